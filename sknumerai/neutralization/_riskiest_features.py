"""The choice of features RiskiestFeatures, and how a transformer learns it."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator

from sknumerai._era_loop import map_eras
from sknumerai._eras import EraGroups
from sknumerai._frames import Table, numeric_table
from sknumerai._kernels.correlation import known_targets, rows_of
from sknumerai._kernels.exposure import exposures
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._rows import check_same_rows
from sknumerai._sklearn import Interval, StrOptions
from sknumerai._typing import Array, ArrayLike, FeatureColumns, Normalize
from sknumerai._warnings import warn_of_eras
from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError

Method = Literal["exposure", "return", "return_change"]


class RiskiestFeatures(BaseEstimator):
    """The features that were riskiest in training, as a choice of ``feature_columns``.

    `FeatureNeutralizer` and `ExposureClipper` learn them in ``fit`` and keep them in
    ``selected_features_``: the k features that vary most over the training eras, by one of
    three methods.

    Parameters
    ----------
    k : int, default=50
        Number of features.
    method : {"exposure", "return", "return_change"}, default="exposure"
        What varies:

        - "exposure": the correlation of the predictions with the feature, by its standard
          deviation over eras. The predictions are normalized first as the transformer does it;
          of several, the one that varies most counts.
        - "return": the correlation of the feature with the target, by its standard deviation
          over eras.
        - "return_change": the same correlation, by how far its means over the earlier and the
          later half of the eras are apart: the rule of Numerai's example scripts [1]_.

        The last two need ``y`` at ``fit``.
    feature_columns : list, str, callable or slice, optional
        Which columns are features at all, as in `FeatureNeutralizer`.

    See Also
    --------
    FeatureNeutralizer, ExposureClipper : Take it as ``feature_columns``.

    Notes
    -----
    All eras have the same weight, and at least two are needed. Eras in which the predictions, or
    the targets, are constant do not count. Standard deviations have ddof=0.

    References
    ----------
    .. [1] Numerai example scripts, ``get_biggest_change_features``,
       https://github.com/numerai/example-scripts

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.neutralization import FeatureNeutralizer, RiskiestFeatures
    >>> tournament = make_tournament(n_eras=8, n_stocks=200, n_features=10, random_state=0)
    >>> predictions = tournament.frame[["example_predictions"]]
    >>> neutralizer = FeatureNeutralizer(feature_columns=RiskiestFeatures(3, method="return"))
    >>> neutral = neutralizer.fit_transform(
    ...     predictions, tournament.target, features=tournament.data, eras=tournament.eras
    ... )
    >>> len(neutralizer.selected_features_), neutralizer.n_features_
    (3, 10)
    >>> neutralizer.set_params(feature_columns__k=2).feature_columns
    RiskiestFeatures(k=2, method='return')
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "k": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions({"exposure", "return", "return_change"})],
        "feature_columns": ["array-like", str, callable, slice, None],
    }

    def __init__(
        self,
        k: int = 50,
        *,
        method: Method = "exposure",
        feature_columns: FeatureColumns = None,
    ):
        self.k = k
        self.method = method
        self.feature_columns = feature_columns

    def __call__(self, names: list[Any]) -> list[Any]:
        """Refuse to choose by names alone, wherever a choice of columns is not learned.

        Raises
        ------
        ValueError
        """
        raise ValueError(
            f"feature_columns={self!r} is learned in fit by FeatureNeutralizer and "
            "ExposureClipper; pass it to one of these, or name the columns here."
        )


def select_riskiest(
    choice: RiskiestFeatures,
    predictions: Table,
    features: Table,
    y: ArrayLike | None,
    groups: EraGroups,
    *,
    normalize: Normalize,
    n_jobs: int | None,
    verbose: bool | int,
) -> list[int]:
    """Positions of the riskiest features, the riskiest first.

    Parameters
    ----------
    choice : RiskiestFeatures
    predictions : Table
        Of floats.
    features : Table
        Those to choose from.
    y : array-like or None
        Targets, where the method needs them.
    groups : EraGroups
    normalize, n_jobs, verbose
        Those of the transformer.

    Raises
    ------
    MissingErasError
        If there are no eras.
    ValueError
        If there are too few features or eras, or no targets.
    """
    choice._validate_params()
    if choice.k > features.n_columns:
        raise ValueError(
            f"{choice!r} selects {choice.k} of {features.n_columns} features; pass a smaller k."
        )
    if not groups.given:
        raise MissingErasError(
            f"{choice!r} compares eras and fit got none; pass fit(..., eras=eras)."
        )
    if choice.method == "exposure":
        kernel: Any = partial(_exposures, normalize=normalize)
        source = predictions
    elif y is None:
        raise ValueError(f"{choice!r} learns from the targets and fit got y=None; pass y.")
    else:
        kernel, source = _returns, numeric_table(y, "y", allow_nan=True)
        check_same_rows(predictions, features, source, groups)
    if choice.method == "return_change":
        groups = groups.sorted()
    results = map_eras(kernel, groups, source, features, n_jobs=n_jobs, verbose=verbose)
    per_era = np.array(results)  # (n_eras, n_predictions, n_features)
    usable = ~np.isnan(per_era).any(axis=2)
    what = "prediction" if choice.method == "exposure" else "target"
    warn_of_eras(
        f"a {what} is constant; they do not count for {type(choice).__name__}.",
        [label for label, row in zip(groups.labels, usable, strict=True) if not row.all()],
        ConstantPredictionWarning,
    )
    fewest = int(usable.sum(axis=0).min())
    if fewest < 2:
        raise ValueError(
            f"{choice!r} compares eras and found {fewest} in which no {what} is constant; pass at "
            "least 2."
        )
    measure = _change if choice.method == "return_change" else _deviation
    risks = [measure(per_era[usable[:, j], j]) for j in range(per_era.shape[1])]
    riskiest = np.argsort(-np.max(risks, axis=0), kind="stable")[: choice.k]
    return [int(j) for j in riskiest]


def _exposures(predictions: Array, features: Array, *, normalize: Normalize) -> Array:
    """Correlations of the predictions of one era with the features, shape (m, k)."""
    return exposures(normalize_columns(predictions, normalize), features)


def _returns(targets: Array, features: Array) -> Array:
    """Correlations of the features of one era with targets, some of which may be missing."""
    known = [known_targets(column[:, None]) for column in targets.T]
    return np.concatenate(
        [exposures(values[:, None], rows_of(features, rows)) for rows, values in known]
    )


def _deviation(per_era: Array) -> Array:
    """Standard deviation over eras of every column."""
    deviation: Array = per_era.std(axis=0)
    return deviation


def _change(per_era: Array) -> Array:
    """Distance of the mean over the later eras from that over the earlier ones."""
    half = len(per_era) // 2
    change: Array = np.abs(per_era[half:].mean(axis=0) - per_era[:half].mean(axis=0))
    return change
