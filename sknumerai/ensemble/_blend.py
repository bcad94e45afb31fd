"""The function blend(), and what blends need: weights, eras, a transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, overload

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.base import clone

from sknumerai._era_loop import map_eras
from sknumerai._eras import EraGroups, group_tables
from sknumerai._frames import Table, like_input, many_columns, read_predictions
from sknumerai._routing import accepted_metadata
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import _check_method_params
from sknumerai._typing import (
    Array,
    ArrayLike,
    ArrayOrList,
    Column,
    Container,
    Eras,
    FloatArray,
    PolarsFrame,
    Transformer,
)
from sknumerai._warnings import warn_of_nan
from sknumerai.ensemble._blending import blend_era

Weights = ArrayLike | Mapping[Any, float] | None

NAME = "prediction"  # of the blend of a frame
ONE_ERA = 0  # a label for what is one era


@overload
def blend(
    predictions: ArrayOrList,
    *,
    weights: Weights = ...,
    eras: Eras | None = ...,
    transformer: Transformer | None = ...,
    features: ArrayLike | None = ...,
) -> FloatArray: ...
@overload
def blend(
    predictions: pd.DataFrame | pd.Series,
    *,
    weights: Weights = ...,
    eras: Eras | None = ...,
    transformer: Transformer | None = ...,
    features: ArrayLike | None = ...,
) -> pd.Series: ...
@overload
def blend(
    predictions: PolarsFrame,
    *,
    weights: Weights = ...,
    eras: Eras | None = ...,
    transformer: Transformer | None = ...,
    features: ArrayLike | None = ...,
) -> Column: ...
def blend(
    predictions: ArrayLike,
    *,
    weights: Weights = None,
    eras: Eras | None = None,
    transformer: Transformer | None = None,
    features: ArrayLike | None = None,
) -> Container:
    """Blend predictions, era by era, as Numerai blends its benchmark models.

    In each era (1) every prediction is ranked, ties sharing their average, and gaussianized;
    (2) divided by its standard deviation (ddof=1); (3) the weighted sum is taken; (4) that is
    gaussianized in the same way, and (5) neutralized, if a transformer is given [1]_.

    Parameters
    ----------
    predictions : array-like or DataFrame of shape (n_samples, n_predictions)
        Finite numbers. float32 gives float32, everything else float64.
    weights : array-like of shape (n_predictions,), Series or dict, optional
        A Series of pandas, or a dict, goes by the names of the predictions. Only ratios matter;
        negative ones are allowed; predictions with weight zero are left out. Equal by default.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    transformer : estimator, optional
        Such as `FeatureNeutralizer` or `ExposureClipper`; a clone of it is fitted to the blend,
        which it changes. It gets the features and eras, if it takes them.
    features : array-like or DataFrame of shape (n_samples, n_features), optional
        Features of the same rows, for the transformer.

    Returns
    -------
    blended : ndarray or Series of shape (n_samples,)
        In the library, order and (pandas) index of ``predictions``; a Series is called
        "prediction". NaN, with one warning, in eras where a prediction that has a weight is
        constant, or the weighted sum is.

    Raises
    ------
    ValueError
        If a value is not finite, the tables do not fit together, or the weights do not fit the
        predictions.
    MissingErasError
        If the transformer is a composite, and what needs eras in it cannot get them.

    See Also
    --------
    select_weights : Weights that score best.
    EraEnsemble : Regressors whose predictions are blended.

    Notes
    -----
    Weighted sums are ranked to twelve decimals: rows whose sums differ by rounding errors alone
    share a rank, where the published snippet ranks the errors.

    References
    ----------
    .. [1] "Benchmark models", Numerai documentation,
       https://docs.numer.ai/numerai-tournament/models

    Examples
    --------
    >>> import pandas as pd
    >>> from sknumerai.ensemble import blend
    >>> predictions = pd.DataFrame({"a": [1, 2, 3, 4, 9, 7], "b": [3, 2, 4, 9, 1, 2]})
    >>> blend(predictions, weights=[2, 1], eras=[1, 1, 1, 1, 2, 2]).round(3).tolist()
    [-1.15, -0.319, 0.319, 1.15, 0.674, -0.674]
    """
    if features is not None and transformer is None:
        raise ValueError(
            "features were given and transformer is None; pass the transformer that they are for, "
            "such as FeatureNeutralizer()."
        )
    check_transformer(transformer)
    table = many_columns(predictions, "predictions")
    check_same_labels(predictions=predictions, eras=eras, features=features)
    groups = group_tables(eras, table)
    blended = blend_table(table, groups, read_weights(weights, table.labels))
    if transformer is not None:
        given = {"eras": ONE_ERA if eras is None else eras, "features": features}
        blended = transform_known(partial(_fit_transform, transformer), blended, given)
    return like_input(blended, _first_column(predictions, table))


def blend_table(predictions: Table, groups: EraGroups, weights: Array) -> Array:
    """Blend the columns of a table, era by era; shape (n_samples, 1)."""
    values = read_predictions(predictions, groups)
    used = np.flatnonzero(weights)
    kernel = partial(blend_era, weights=weights[used])
    blocks = map_eras(kernel, groups, values.subset(used.tolist()))
    warn_of_nan(groups.labels, blocks)
    return groups.assemble(blocks).astype(values.whole().dtype, copy=False)


def read_weights(weights: Weights, labels: Sequence[Any]) -> Array:
    """One weight for each prediction, in their order.

    Parameters
    ----------
    weights : array-like, Series, dict or None
    labels : sequence
        Names or numbers of the predictions.

    Raises
    ------
    ValueError
    """
    if weights is None:
        return np.full(len(labels), 1.0 / len(labels))
    if isinstance(weights, pd.Series | Mapping):
        names = list(weights.keys())
        if len(names) != len(labels) or set(names) != set(labels):
            raise ValueError(
                f"weights names {names} and the predictions are {list(labels)}; name each of them "
                "once, or pass a list."
            )
        weights = [weights[label] for label in labels]
    try:
        values = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"weights must be numbers; found {weights!r}.") from None
    if values.shape != (len(labels),):
        raise ValueError(
            f"weights has shape {values.shape} for {len(labels)} predictions; pass one number for "
            "each."
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"weights holds {values[bad[0]]} for {labels[bad[0]]!r}; pass finite numbers."
        )
    if not values.any():
        raise ValueError("weights are all zero; give at least one prediction a weight.")
    return values


def check_transformer(transformer: Any) -> None:
    """Insist on an estimator that transforms, or None."""
    if transformer is not None and not (
        hasattr(transformer, "fit") and hasattr(transformer, "transform")
    ):
        raise ValueError(f"transformer is {transformer!r}; pass an estimator that transforms.")


def transform_known(
    apply: Callable[..., Any], blended: Array, metadata: Mapping[str, Any]
) -> Array:
    """Change the rows that have a blend; those of eras without one stay NaN.

    Parameters
    ----------
    apply : callable
        ``apply(rows, **metadata)`` returns rows.
    blended : ndarray of shape (n_samples, 1)
    metadata : mapping
        Features and eras; None is left out.
    """
    given = {key: value for key, value in metadata.items() if value is not None}
    known = np.flatnonzero(~np.isnan(blended[:, 0]))
    if len(known) == len(blended):
        return np.asarray(apply(blended, **given))
    changed = np.full_like(blended, np.nan)
    if len(known):
        changed[known] = apply(blended[known], **take_rows(blended, given, known))
    return changed


def take_rows(X: Any, metadata: Mapping[str, Any], rows: Array) -> dict[str, Any]:
    """Some rows of all metadata that have one entry for each row of X."""
    # rows can be taken of a Series, but not of every Index, and not of a Categorical
    indexable = {
        key: pd.Series(value) if isinstance(value, pd.Index | pd.Categorical) else value
        for key, value in metadata.items()
    }
    taken: dict[str, Any] = _check_method_params(X, indexable, indices=rows)
    return taken


def _fit_transform(transformer: Any, blended: Array, **metadata: Any) -> Any:
    at_fit = accepted_metadata(transformer, "fit", metadata)
    fitted = clone(transformer).fit(blended, **at_fit)
    return fitted.transform(blended, **accepted_metadata(transformer, "transform", metadata))


def _first_column(data: Any, table: Table) -> Any:
    """What a result of one column is to look like: a Series for a frame, else one dimension."""
    if isinstance(table.frame, nw.DataFrame):
        return table.frame[:, 0].alias(NAME).to_native()
    return table.frame[:, 0]
