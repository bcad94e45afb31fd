"""Kernel: exposure clipping of the predictions of one era."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from sknumerai._kernels.ranks import normalize_columns, scale_columns
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._kernels.units import centre, in_units
from sknumerai._typing import Array, EraLabel, Normalize, Scale
from sknumerai.exceptions import InfeasibleExposureError
from sknumerai.neutralization._infeasible import LimitsAt, infeasible, smallest_multiple
from sknumerai.neutralization._square_root_lasso import square_root_lasso

WIDENED = 1.01  # multiple of the tightest workable limits used where none can be met
NOTICEABLE = 0.1  # share of the tolerance that rounding may take without being looked at


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """What exposure clipping did to one prediction in one era.

    Attributes
    ----------
    era : label or None
    prediction : str or int
        Name or position of the prediction.
    weights : ndarray of shape (n_features,)
        w of clipped = p - (F - mean(F)) w, with p the normalized prediction, before scaling.
    exposures_before, exposures_after : ndarray of shape (n_features,)
        Correlations with the features; zero for a constant feature.
    correlation : float
        Between the normalized and the clipped prediction.
    violation : float
        Largest excess of an exposure of the returned prediction over its limit, as a correlation:
        at most ``tol``, plus what rounding adds to it in single precision, or where the mean is
        far larger than the deviation.
    gap : float
        Duality gap, relative to the centred prediction's norm: how far `correlation` can be
        from the best possible.
    n_iter : int
        Passes over the features.
    n_active : int
        Features with a weight.
    multiple : float
        What the limits were multiplied by: 1.0 unless they could not be met.
    """

    era: EraLabel = None
    prediction: str | int = 0
    weights: Array = field(repr=False)
    exposures_before: Array = field(repr=False)
    exposures_after: Array = field(repr=False)
    correlation: float
    violation: float
    gap: float
    n_iter: int
    n_active: int
    multiple: float = 1.0


def clipped_predictions(
    predictions: Array,
    features: Array | StandardizedFeatures,
    *,
    limits: Array,
    bounds: str,
    normalize: Normalize,
    scale: Scale,
    tol: float,
    widen: bool,
    warm: Sequence[ClipRecord] | None = None,
) -> tuple[Array, list[ClipRecord]]:
    """Clip the feature exposures of the predictions of one era.

    Parameters
    ----------
    predictions : ndarray of shape (n, m)
    features : ndarray or StandardizedFeatures of shape (n, k)
        In their own dtype; int8 is fastest.
    limits : ndarray of shape (k,)
        Largest absolute exposures, >= 0; infinite ones do not bind.
    bounds : {"symmetric", "shrink"}
    normalize, scale
        See `normalize_columns` and `scale_columns`.
    tol : float
        Bound on violation and gap.
    widen : bool
        Whether to widen limits that cannot be met, instead of raising.
    warm : sequence of ClipRecord, optional
        Those of the same predictions at other limits, to start from.

    Returns
    -------
    clipped : ndarray of shape (n, m), float64
        NaN where a prediction is constant, or no multiple of the limits can be met.
    records : list of ClipRecord, of length m

    Raises
    ------
    InfeasibleExposureError, SolverError
    """
    standardized = (
        features if isinstance(features, StandardizedFeatures) else StandardizedFeatures(features)
    )
    normalized, units = in_units(normalize_columns(predictions, normalize))
    means, centred = normalized.mean(axis=0), centre(normalized)
    sizes = np.linalg.norm(centred, axis=0)
    constant = np.ptp(normalized, axis=0) == 0.0
    sizes[constant] = 1.0
    starts = standardized.rmatmul(centred / sizes)
    states: list[Array | None] = [None] * len(sizes)
    if warm is not None:
        states = [np.sign(np.nan_to_num(record.weights)) for record in warm]
    clipped, records = np.empty_like(normalized), []
    by_prediction = [
        partial(_limits_at, limits=limits, start=start, features=standardized, bounds=bounds)
        for start in starts.T
    ]
    for j, (size, limits_at) in enumerate(zip(sizes, by_prediction, strict=True)):
        try:
            if constant[j]:
                raise InfeasibleExposureError("the prediction is constant")
            residual, record = _clip(
                standardized,
                centred[:, j] / size,
                starts[:, j],
                limits_at,
                tol,
                widen,
                states[j],
            )
        except InfeasibleExposureError:
            if not (widen or constant[j]):
                raise
            clipped[:, j] = np.nan
            records.append(_no_record(starts[:, j]))
            continue
        clipped[:, j] = means[j] + size * residual
        weights = record.weights * (size * units[j] / (standardized.norms * standardized.unit))
        records.append(replace(record, weights=weights))
    out = scale_columns(clipped if scale else clipped * units, scale)
    out = out.astype(np.result_type(predictions.dtype, np.float32), copy=False)
    for j, limits_at in enumerate(by_prediction):
        if not np.isnan(records[j].correlation):
            records[j] = _as_returned(records[j], out[:, j], standardized, limits_at, tol)
    return out, records


def _limits_at(
    multiple: float, *, limits: Array, start: Array, features: StandardizedFeatures, bounds: str
) -> tuple[Array, Array]:
    """Lower and upper limits of the exposures at a multiple of those given."""
    widest = np.where(features.constant, np.inf, multiple * limits)
    if bounds == "symmetric":
        return -widest, widest
    bounded = np.isfinite(widest)
    kept = np.clip(start, -widest, widest)
    lower = np.where(bounded, np.minimum(kept, 0.0), -np.inf)
    upper = np.where(bounded, np.maximum(kept, 0.0), np.inf)
    return lower, upper


def _as_returned(
    record: ClipRecord,
    returned: Array,
    features: StandardizedFeatures,
    limits_at: LimitsAt,
    tol: float,
) -> ClipRecord:
    """The record of what is returned, where rounding it may have moved its exposures.

    Rounding matters in single precision, and where the mean is far larger than the deviation.
    """
    values, _ = in_units(returned.astype(np.float64))
    centred = centre(values)
    size = np.linalg.norm(centred)
    error = np.finfo(returned.dtype).eps * np.abs(values).max() * np.sqrt(len(values))
    if error <= NOTICEABLE * tol * size:
        return record
    exposures = features.rmatmul(centred[:, None] / size)[:, 0]
    lower, upper = limits_at(record.multiple)
    violation = float(np.maximum(exposures - upper, lower - exposures).max(initial=0.0))
    return replace(record, exposures_after=exposures, violation=violation)


def _clip(
    features: StandardizedFeatures,
    response: Array,
    start: Array,
    limits_at: LimitsAt,
    tol: float,
    widen: bool,
    state: Array | None,
) -> tuple[Array, ClipRecord]:
    """Clip one prediction of unit norm, widening the limits if allowed and needed."""
    multiple = 1.0
    try:
        solution = square_root_lasso(
            features, response, *limits_at(1.0), tol=tol, start=start, state=state
        )
    except InfeasibleExposureError:
        smallest = smallest_multiple(features, response, limits_at)
        if not widen or not np.isfinite(smallest):
            raise infeasible(features, smallest, limits_at) from None
        multiple = smallest * WIDENED
        limits = limits_at(multiple)
        solution = square_root_lasso(features, response, *limits, tol=tol, start=start)
    record = ClipRecord(
        weights=solution.weights,
        exposures_before=start,
        exposures_after=solution.exposures,
        correlation=float(solution.residual @ response / np.linalg.norm(solution.residual)),
        violation=solution.violation,
        gap=solution.gap,
        n_iter=solution.n_iter,
        n_active=solution.n_active,
        multiple=multiple,
    )
    return solution.residual, record


def _no_record(start: Array) -> ClipRecord:
    nothing = np.full_like(start, np.nan)
    return ClipRecord(
        weights=nothing,
        exposures_before=start,
        exposures_after=nothing,
        correlation=np.nan,
        violation=np.nan,
        gap=np.nan,
        n_iter=0,
        n_active=0,
        multiple=np.nan,
    )
