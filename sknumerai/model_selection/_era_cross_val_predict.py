"""The function era_cross_val_predict()."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import check_cv
from tqdm.auto import tqdm

from sknumerai._eras import group_eras
from sknumerai._parallel import call_in_order
from sknumerai._routing import predictor_of, split_metadata
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import _check_method_params, _num_samples, _safe_indexing
from sknumerai._typing import Array, ArrayLike, Eras, Regressor, Splitter


def era_cross_val_predict(
    estimator: Regressor,
    X: ArrayLike,
    y: ArrayLike,
    *,
    eras: Eras,
    cv: Splitter | int | Iterable[tuple[Array, Array]],
    params: Mapping[str, object] | None = None,
    n_jobs: int | None = None,
    verbose: bool | int = False,
) -> Array:
    """Out-of-fold predictions, with eras handed to whatever wants them.

    scikit-learn's `cross_val_predict` hands no metadata to ``predict``, which per-era estimators
    need.

    Parameters
    ----------
    estimator : estimator
        A clone of it is fitted for every split. It gets the eras if it takes them: with metadata
        routing on also through Pipelines. Of a search, the best estimator predicts.
    X : array-like or DataFrame of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    eras : array-like of shape (n_samples,)
        Era of every row, for the splitter and the estimator.
    cv : splitter, int or iterable of (train, test)
        Such as `PurgedEraKFold`; gets the eras as groups.
    params : dict, optional
        Further metadata (of one value per row, or of any other kind). With metadata routing on,
        ``fit`` and ``predict`` get what the estimator requests, as in scikit-learn. With routing
        off, ``predict`` gets what it names, and ``fit`` everything but what only ``predict`` names.
    n_jobs : int, optional
        Splits computed in parallel, as in joblib.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    predictions : ndarray of shape (n_samples,) or (n_samples, n_targets)
        In the order of the rows of X. NaN where a row is in no test set; the mean where it is
        in several.

    Raises
    ------
    ValueError
        If X, y and eras are not of one length.
    MissingErasError
        If something inside the estimator needs eras and cannot get them: inside composites they
        travel by metadata routing only, and not inside all composites.
    TypeError
        If the estimator takes no metadata of a name in ``params``.
    UnsetMetadataPassedError
        If, with metadata routing on, the estimator takes it and did not request it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.model_selection import EraTimeSeriesSplit, era_cross_val_predict
    >>> tournament = make_tournament(12, 100, 5, random_state=0, as_frame=False)
    >>> predictions = era_cross_val_predict(
    ...     Ridge(),
    ...     tournament.data,
    ...     tournament.target,
    ...     eras=tournament.eras,
    ...     cv=EraTimeSeriesSplit(2, test_eras=3),
    ... )
    >>> predictions.shape, int(np.isnan(predictions).sum())  # the first six eras are not tested
    ((1200,), 600)
    """
    if not isinstance(params, Mapping | None):
        raise ValueError(f"params is {params!r}; pass a dict of metadata.")
    if not hasattr(estimator, "predict"):
        raise ValueError(f"estimator is {estimator!r}, which cannot predict; pass a regressor.")
    n_samples = _num_samples(X)
    if _num_samples(y) != n_samples:
        raise ValueError(
            f"y has {_num_samples(y)} rows and X has {n_samples}; pass one target per row."
        )
    group_eras(eras, n_samples)  # checks them
    params = dict(params or {})
    for name in {"X", "y", "eras"} & params.keys():
        raise ValueError(f"params holds {name!r}, an argument of its own; pass {name}=... only.")
    check_same_labels(X=X, y=y, eras=eras, **params)
    # rows can be taken of a Series, but not of every Index, and not of a Categorical
    eras = pd.Series(eras) if isinstance(eras, pd.Index | pd.Categorical) else eras
    at_fit, at_predict = split_metadata(estimator, eras, params)
    splits = list(check_cv(cv).split(X, y, groups=eras))
    calls = ((clone(estimator), X, y, train, test, at_fit, at_predict) for train, test in splits)
    results = call_in_order(_fit_and_predict, calls, n_jobs=n_jobs)
    total: Array | None = None
    times = np.zeros(n_samples)
    for (_, test), block in zip(
        splits, tqdm(results, total=len(splits), unit="split", disable=not verbose), strict=True
    ):
        if total is None:
            total = np.zeros((n_samples, *block.shape[1:]))
        total[test] += block
        times[test] += 1
    if total is None:
        raise ValueError(f"cv={cv!r} makes no splits; ask for at least one.")
    times[times == 0] = np.nan
    return total / times.reshape(-1, *[1] * (total.ndim - 1))


def _fit_and_predict(
    estimator: Any,
    X: Any,
    y: Any,
    train: Array,
    test: Array,
    at_fit: dict[str, Any],
    at_predict: dict[str, Any],
) -> Array:
    fitted = estimator.fit(
        _safe_indexing(X, train),
        _safe_indexing(y, train),
        **_check_method_params(X, at_fit, indices=train),
    )
    testing = _check_method_params(X, at_predict, indices=test)
    return np.asarray(predictor_of(fitted).predict(_safe_indexing(X, test), **testing))
