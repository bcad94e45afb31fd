"""Kernel: exposure limits that leave nothing of a prediction, and the multiple that does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sknumerai._kernels.linalg import check_finite
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._typing import Array
from sknumerai.exceptions import InfeasibleExposureError
from sknumerai.neutralization._least_distance import NO_MULTIPLE, vanishing_multiple

LimitsAt = Callable[[float], tuple[Array, Array]]  # lower and upper limits at a multiple of them

PRECISION = 1e-5  # relative, of a multiple that is searched for
STEP = 1.1  # ratio of the multiples that are tried first


def smallest_multiple(
    features: StandardizedFeatures, response: Array, limits_at: LimitsAt
) -> float:
    """Smallest multiple of the limits that leaves something of a prediction; infinite if none does.

    Parameters
    ----------
    features : StandardizedFeatures
    response : ndarray of shape (n,)
        Of unit norm.
    limits_at : callable
        Lower and upper limits at a multiple, which leave nothing at 1.

    Notes
    -----
    Where limits are proportional to the multiple, one least-distance program gives it. Others, as
    those of the rule "shrink", which end at the exposures that the prediction has, are tried at
    growing multiples, and bisection finds where the first that leave something begin.
    """
    first = limits_at(1.0)
    bounded = np.flatnonzero((first[0] > -1.0) | (first[1] < 1.0))
    design = features.take(bounded).dense()

    def needed(multiple: float) -> float:
        """What limits would have to be multiplied by, beyond a multiple; 1 if that suffices."""
        lower, upper = (np.clip(limit[bounded], -2.0, 2.0) for limit in limits_at(multiple))
        if not lower.any() and not upper.any():
            return np.inf
        return vanishing_multiple(design, response, lower, upper)

    low = needed(1.0)  # right if the limits are proportional so far
    proportional = np.isinf(low) or all(
        np.allclose(limit[bounded], low * once[bounded], rtol=1e-12, atol=0.0)
        for once, limit in zip(first, limits_at(low), strict=True)
    )
    if proportional:
        return low
    low, high = 1.0, STEP
    while needed(high) > 1.0:
        low, high = high, STEP * high
        if high > NO_MULTIPLE:
            return np.inf
    while high > (1.0 + PRECISION) * low:
        middle = np.sqrt(low * high)
        low, high = (middle, high) if needed(middle) > 1.0 else (low, middle)
    return float(high)


def infeasible(
    features: StandardizedFeatures, multiple: float, limits_at: LimitsAt
) -> InfeasibleExposureError:
    """The error that names the multiple."""
    lower, upper = limits_at(1.0)
    bounded = np.flatnonzero((lower > -1.0) | (upper < 1.0))
    dense = features.take(bounded).dense()
    check_finite(dense)
    advice = (
        f"multiply the limits by at least {multiple:.4g}, limit fewer features, or pass "
        "on_infeasible='warn'"
        if np.isfinite(multiple)
        else "no multiple of the limits can be met: limit fewer features or raise limits of zero"
    )
    return InfeasibleExposureError(
        f"the exposure limits leave nothing of the prediction ({features.n} rows, {len(bounded)} "
        f"limited features of rank {np.linalg.matrix_rank(dense)}); {advice}.",
        multiple,
    )
