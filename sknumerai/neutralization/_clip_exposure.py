"""The function clip_exposure()."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Literal, TypedDict, Unpack, overload

import numpy as np

from sknumerai._era_loop import map_eras
from sknumerai._eras import EraGroups
from sknumerai._frames import Table, like_input, read_predictions
from sknumerai._sklearn import Interval, StrOptions, validate_params
from sknumerai._typing import (
    Array,
    ArrayLike,
    ArrayOrList,
    Container,
    Eras,
    ExposureLimit,
    FeatureGroups,
    FloatArray,
    Normalize,
    Same,
    Scale,
)
from sknumerai._warnings import warn_of_nan, warn_of_widened
from sknumerai.neutralization._base import read_input
from sknumerai.neutralization._clipping import ClipRecord, clipped_predictions
from sknumerai.neutralization._limits import exposure_limits
from sknumerai.neutralization._neutralize import NORMALIZE, SCALE

Bounds = Literal["symmetric", "shrink"]
OnInfeasible = Literal["raise", "warn"]

CLIP_CONSTRAINTS: dict[str, list[object]] = {
    "max_exposure": [Interval(Real, 0, None, closed="left"), "array-like", dict],
    "bounds": [StrOptions({"symmetric", "shrink"})],
    "feature_groups": [dict, None],
    "normalize": NORMALIZE,
    "scale": SCALE,
    "tol": [Interval(Real, 0, None, closed="neither")],
    "on_infeasible": [StrOptions({"raise", "warn"})],
}


def clip_table(
    predictions: Table,
    features: Table,
    groups: EraGroups,
    *,
    max_exposure: ExposureLimit,
    feature_groups: FeatureGroups | None,
    bounds: Bounds,
    normalize: Normalize,
    scale: Scale,
    tol: float,
    on_infeasible: OnInfeasible,
    n_jobs: int | None,
    verbose: bool | int = False,
) -> tuple[Array, list[ClipRecord]]:
    """Clip the exposures of all prediction columns of a table, era by era."""
    values = read_predictions(predictions, groups)
    kernel = partial(
        clipped_predictions,
        limits=exposure_limits(max_exposure, features.names, features.n_columns, feature_groups),
        bounds=bounds,
        normalize=normalize,
        scale=scale,
        tol=tol,
        widen=on_infeasible == "warn",
    )
    results = map_eras(kernel, groups, values, features, n_jobs=n_jobs, verbose=verbose)
    blocks = [block for block, _ in results]
    records = [
        replace(record, era=label, prediction=name)
        for label, (_, era_records) in zip(groups.labels, results, strict=True)
        for name, record in zip(
            predictions.names or range(predictions.n_columns), era_records, strict=True
        )
    ]
    warn_of_nan(groups.labels, blocks)
    warn_of_widened(
        {
            label: float(np.fmax.reduce([record.multiple for record in era_records]))
            for label, (_, era_records) in zip(groups.labels, results, strict=True)
        }
    )
    return groups.assemble(blocks).astype(values.dtype, copy=False), records


class _Options(TypedDict, total=False):
    """The arguments that do not decide the type of the result."""

    bounds: Bounds
    feature_groups: FeatureGroups | None
    eras: Eras | None
    normalize: Normalize
    scale: Scale
    tol: float
    on_infeasible: OnInfeasible
    n_jobs: int | None


@overload
def clip_exposure(
    predictions: ArrayOrList,
    features: ArrayLike,
    max_exposure: ExposureLimit = ...,
    *,
    return_info: Literal[False] = ...,
    **options: Unpack[_Options],
) -> FloatArray: ...
@overload
def clip_exposure(
    predictions: ArrayOrList,
    features: ArrayLike,
    max_exposure: ExposureLimit = ...,
    *,
    return_info: Literal[True],
    **options: Unpack[_Options],
) -> tuple[FloatArray, list[ClipRecord]]: ...
@overload
def clip_exposure(
    predictions: Same,
    features: ArrayLike,
    max_exposure: ExposureLimit = ...,
    *,
    return_info: Literal[False] = ...,
    **options: Unpack[_Options],
) -> Same: ...
@overload
def clip_exposure(
    predictions: Same,
    features: ArrayLike,
    max_exposure: ExposureLimit = ...,
    *,
    return_info: Literal[True],
    **options: Unpack[_Options],
) -> tuple[Same, list[ClipRecord]]: ...
@validate_params(
    {**CLIP_CONSTRAINTS, "return_info": ["boolean"]}, prefer_skip_nested_validation=True
)
def clip_exposure(
    predictions: ArrayLike,
    features: ArrayLike,
    max_exposure: ExposureLimit = 0.1,
    *,
    bounds: Bounds = "symmetric",
    feature_groups: FeatureGroups | None = None,
    eras: Eras | None = None,
    normalize: Normalize = None,
    scale: Scale = None,
    tol: float = 1e-9,
    on_infeasible: OnInfeasible = "raise",
    n_jobs: int | None = None,
    verbose: bool | int = False,
    return_info: bool = False,
) -> Container | tuple[Container, list[ClipRecord]]:
    """Clip the feature exposures of predictions, era by era, changing them least.

    An exposure is the correlation of the predictions with a feature in one era. Of all signals
    ``p - F w`` whose exposures are inside the limits, this returns the one that correlates most
    with the predictions p: the solution of a square-root lasso [1]_, with a certificate of
    optimality. The mean of the predictions is kept.

    Parameters
    ----------
    predictions : array-like, Series or DataFrame of shape (n_samples,) or \
(n_samples, n_predictions)
        Finite numbers. float32 gives float32, everything else float64.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest. Two pandas indexes must
        be equal, or share no label.
    max_exposure : float, array-like of shape (n_features,), Series or dict, default=0.1
        Largest absolute correlation with a feature: one limit, one per feature (a Series by its
        labels, which must be the names), or a dict of limits by feature or group name. A dict
        leaves unnamed features unlimited; of several limits the tightest wins. Limits of 0
        neutralize.
    bounds : {"symmetric", "shrink"}, default="symmetric"
        "symmetric": every exposure within ±limit. "shrink": besides, no exposure may grow or
        change its sign.
    feature_groups : dict of str to sequence of names, optional
        Groups that ``max_exposure`` may name.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    normalize : {None, "rank", "gaussian"}, default=None
        Per era, before: ranks in (0, 1), or normal quantiles of them.
    scale : {None, "minmax", "std"}, default=None
        Per era, after: onto [0, 1], or to unit standard deviation. Exposures are correlations
        and do not change.
    tol : float, default=1e-9
        Bound on the violation of a limit and on the duality gap.
    on_infeasible : {"raise", "warn"}, default="raise"
        Where limits leave nothing of a prediction (usually an era with few rows): raise, or
        widen that era's limits to 1.01 times the tightest workable ones and warn.
    n_jobs : int, optional
        Eras computed in parallel, as in joblib.
    verbose : bool, default=False
        Whether to show a progress bar.
    return_info : bool, default=False
        Whether to return records of what was done, too.

    Returns
    -------
    clipped : ndarray, Series or DataFrame
        In the container, order and (pandas) index of ``predictions``. NaN in eras where a
        prediction is constant.
    info : list of ClipRecord
        One record for each era and prediction, with weights, exposures before and after,
        violation, gap, passes and the number of active features. Only with ``return_info``;
        ``pandas.DataFrame(map(vars, info))`` makes it a table.

    Raises
    ------
    InfeasibleExposureError
        If the limits leave nothing of a prediction in some era.
    SolverError
        If a solution misses ``tol``.
    ValueError
        If a value is not finite, or predictions, features and eras do not fit together.

    See Also
    --------
    ExposureClipper : The same as a transformer.
    neutralize : Removes the linear part altogether.

    References
    ----------
    .. [1] A. Belloni, V. Chernozhukov and L. Wang, "Square-root lasso: pivotal recovery of sparse
       signals via conic programming", Biometrika 98 (2011).

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.neutralization import clip_exposure
    >>> rng = np.random.default_rng(0)
    >>> features = rng.integers(0, 5, (1000, 3), dtype=np.int8)
    >>> predictions = features @ [0.1, 0.0, -0.2] + rng.normal(size=1000)
    >>> clipped, (record,) = clip_exposure(predictions, features, 0.1, return_info=True)
    >>> record.exposures_before.round(2)
    array([ 0.14, -0.02, -0.25])
    >>> record.exposures_after.round(2)
    array([ 0.1 , -0.02, -0.1 ])
    >>> round(record.correlation, 3)
    0.988
    """
    table, given, groups = read_input(predictions, features, eras, name="predictions")
    values, records = clip_table(
        table,
        given,
        groups,
        max_exposure=max_exposure,
        feature_groups=feature_groups,
        bounds=bounds,
        normalize=normalize,
        scale=scale,
        tol=tol,
        on_infeasible=on_infeasible,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    clipped = like_input(values, predictions)
    return (clipped, records) if return_info else clipped
