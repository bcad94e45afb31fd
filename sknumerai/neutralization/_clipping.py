"""Kernel: exposure clipping of the predictions of one era."""

from dataclasses import dataclass, replace

import numpy as np

from sknumerai._kernels.ranks import normalize_columns, scale_columns
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._typing import Array, EraLabel, Normalize, Scale
from sknumerai.exceptions import InfeasibleExposureError
from sknumerai.neutralization._square_root_lasso import square_root_lasso

WIDENED = 1.01  # multiple of the tightest workable limits used where none can be met


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
        Largest excess of an exposure over its limit, as a correlation.
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
    weights: Array
    exposures_before: Array
    exposures_after: Array
    correlation: float
    violation: float
    gap: float
    n_iter: int
    n_active: int
    multiple: float = 1.0


def clipped_predictions(
    predictions: Array,
    features: Array,
    *,
    limits: Array,
    bounds: str,
    normalize: Normalize,
    scale: Scale,
    tol: float,
    widen: bool,
) -> tuple[Array, list[ClipRecord]]:
    """Clip the feature exposures of the predictions of one era.

    Parameters
    ----------
    predictions : ndarray of shape (n, m)
    features : ndarray of shape (n, k)
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

    Returns
    -------
    clipped : ndarray of shape (n, m), float64
        NaN where a prediction is constant, or no multiple of the limits can be met.
    records : list of ClipRecord, of length m

    Raises
    ------
    InfeasibleExposureError, SolverError
    """
    standardized = StandardizedFeatures(features)
    normalized = normalize_columns(predictions, normalize)
    means = normalized.mean(axis=0)
    centred = normalized - means
    sizes = np.linalg.norm(centred, axis=0)
    constant = np.ptp(normalized, axis=0) == 0.0
    sizes[constant] = 1.0
    starts = standardized.rmatmul(centred / sizes)
    clipped, records = np.empty_like(normalized), []
    for j, size in enumerate(sizes):
        try:
            if constant[j]:
                raise InfeasibleExposureError("the prediction is constant")
            residual, record = _clip(
                standardized, centred[:, j] / size, starts[:, j], limits, bounds, tol, widen
            )
        except InfeasibleExposureError:
            if not (widen or constant[j]):
                raise
            clipped[:, j] = np.nan
            records.append(_no_record(starts[:, j]))
            continue
        clipped[:, j] = means[j] + size * residual
        weights = record.weights * size / (standardized.norms * standardized.unit)
        records.append(replace(record, weights=weights))
    return scale_columns(clipped, scale), records


def _clip(
    features: StandardizedFeatures,
    response: Array,
    start: Array,
    limits: Array,
    bounds: str,
    tol: float,
    widen: bool,
    multiple: float = 1.0,
) -> tuple[Array, ClipRecord]:
    """Clip one prediction of unit norm, widening the limits if allowed and needed."""
    widest = np.where(features.constant, np.inf, multiple * limits)
    lower, upper = -widest, widest
    if bounds == "shrink":
        bounded = np.isfinite(widest)
        kept = np.clip(start, lower, upper)
        lower = np.where(bounded, np.minimum(kept, 0.0), -np.inf)
        upper = np.where(bounded, np.maximum(kept, 0.0), np.inf)
    try:
        solution = square_root_lasso(features, response, lower, upper, tol=tol, start=start)
    except InfeasibleExposureError as error:
        if not widen or not np.isfinite(error.multiple):
            raise
        again = multiple * error.multiple * WIDENED
        return _clip(features, response, start, limits, bounds, tol, widen, again)
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
