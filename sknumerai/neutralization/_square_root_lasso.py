"""Kernel: exposure clipping of one prediction in one era, solved as a square-root lasso."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sknumerai._kernels.projection import FeatureProjection
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._typing import Array
from sknumerai.exceptions import InfeasibleExposureError, SolverError
from sknumerai.neutralization._least_distance import (
    VANISHING_NORM,
    VanishingResidualError,
    least_distance_lasso,
)
from sknumerai.neutralization._pivoting import ACCURACY, GramProblem, PivotingError

FIRST_COLUMNS = 128  # most violated limits that enter the working set at first; then it doubles
WHOLE_GRAM = 0.5  # share of the features in the working set from which on all are taken
ROUGH = 0.01  # accuracy of the residual norm while the working set is incomplete
MAX_PASSES = 60
NOTHING_LEFT = "the exposure limits leave nothing of the prediction"


@dataclass(frozen=True)
class ClippedSignal:
    """Solution of `square_root_lasso`, with its certificate.

    Attributes
    ----------
    residual : ndarray of shape (n,)
        q = y - X w.
    weights : ndarray of shape (k,)
        w, in units of the standardized features.
    exposures : ndarray of shape (k,)
        Correlations of the features with the residual.
    violation : float
        Largest excess of an exposure over its limit.
    gap : float
        Duality gap, relative to ‖y‖.
    n_iter : int
        Passes over the features.
    n_active : int
        Features with a weight.
    """

    residual: Array
    weights: Array
    exposures: Array
    violation: float
    gap: float
    n_iter: int
    n_active: int


def square_root_lasso(
    features: StandardizedFeatures,
    response: Array,
    lower: Array,
    upper: Array,
    *,
    tol: float = 1e-9,
    start: Array | None = None,
    state: Array | None = None,
) -> ClippedSignal:
    """The most faithful residual whose correlations with the features stay inside limits.

    ``maximize corr(q, y) subject to lower_j <= corr(x_j, q) <= upper_j`` is solved by q = y - Xw,
    w the minimizer of the square-root lasso

        ‖y - X w‖ + Σ_j (upper_j max(w_j, 0) + lower_j min(w_j, 0)).

    Parameters
    ----------
    features : StandardizedFeatures
        X, of shape (n, k).
    response : ndarray of shape (n,)
        y, with mean zero and unit norm.
    lower, upper : ndarray of shape (k,)
        Limits, lower <= 0 <= upper; infinite ones do not bind.
    tol : float
        Bound on the violation of a limit and on the duality gap.
    start : ndarray of shape (k,), optional
        Xᵀy, if known.
    state : ndarray of shape (k,), optional
        Signs of the weights at other limits, as a warm start.

    Returns
    -------
    solution : ClippedSignal

    Raises
    ------
    InfeasibleExposureError
        If nothing of the response would be left.
    SolverError
        If the certificate misses ``tol``.

    Notes
    -----
    A working set of features, the most violated first, is solved on its Gram matrix; passes over
    all features find the next violated ones. A solution is returned only with its certificate,
    computed in double precision from the features themselves: violation and gap
    ``Σ_{w>0} w (upper - e) + Σ_{w<0} w (lower - e)``, e the exposures of q.
    """
    if start is None:
        start = features.rmatmul(response[:, None])[:, 0]
    bounded = np.flatnonzero((lower > -1.0) | (upper < 1.0))
    lower, upper = np.maximum(lower, -2.0), np.minimum(upper, 2.0)  # finite; correlations <= 1
    weights, residual, exposures = np.zeros(features.k), response, start
    if len(bounded) and not lower[bounded].any() and not upper[bounded].any():
        part = features.take(bounded)
        residual, weights[bounded, None] = _neutralized(part, response)
        exposures = features.rmatmul(residual[:, None])[:, 0] / np.linalg.norm(residual)
    state = np.zeros(features.k, dtype=np.int8) if state is None else state.astype(np.int8)
    chosen = state != 0
    norm, rough, last_resort = 1.0, False, False
    warm = bool(chosen.any())
    for passes in range(1, MAX_PASSES):
        violation, gap = _certificate(weights, exposures, lower, upper)
        if max(violation, gap) <= tol:
            n_active = int(np.count_nonzero(weights))
            return ClippedSignal(residual, weights, exposures, violation, gap, passes, n_active)
        excess = np.maximum(exposures - upper, lower - exposures)
        excess[chosen] = 0.0
        entering = np.flatnonzero(excess > 0.1 * tol)
        if warm:  # what the features of a warm start leave is found in the next pass
            entering, warm = entering[:0], False
        elif len(entering) == 0:
            if last_resort:
                break
            last_resort = not rough
        room = max(FIRST_COLUMNS, int(chosen.sum()))
        rough = len(entering) > room  # more will follow, and spoil the digits of this solution
        if rough:
            entering = np.argsort(-excess)[:room]
        chosen[entering] = True
        if chosen.sum() > WHOLE_GRAM * len(bounded):
            chosen[bounded], rough = True, False
        working = np.flatnonzero(chosen)
        part = features if len(working) == features.k else features.take(working)
        problem = GramProblem(
            part.gram(), start[working], lower[working], upper[working], state[working]
        )
        try:
            if last_resort or len(working) >= features.n - 1:
                raise PivotingError
            weights[working] = problem.solve(norm, ROUGH if rough else ACCURACY)
        except PivotingError:
            try:
                weights[working] = least_distance_lasso(
                    part.dense(), response, lower[working], upper[working]
                )
            except VanishingResidualError:
                raise InfeasibleExposureError(NOTHING_LEFT) from None
        state[working] = problem.state
        residual = response - part.matmul(weights[working, None])[:, 0]
        norm = float(np.linalg.norm(residual))
        exposures = features.rmatmul(residual[:, None])[:, 0] / norm
    raise SolverError(
        f"the exposure limits are met to {violation:.1e} with a duality gap of {gap:.1e}, not to "
        f"tol={tol:.1e}; raise tol, or drop features that nearly repeat others."
    )


def _certificate(
    weights: Array, exposures: Array, lower: Array, upper: Array
) -> tuple[float, float]:
    """Largest violation of a limit, and the duality gap."""
    violation = np.maximum(exposures - upper, lower - exposures).max(initial=0.0)
    positive, negative = weights > 0, weights < 0
    gap = weights[positive] @ (upper - exposures)[positive]
    gap += weights[negative] @ (lower - exposures)[negative]
    return max(float(violation), 0.0), abs(float(gap))


def _neutralized(part: StandardizedFeatures, response: Array) -> tuple[Array, Array]:
    """The solution where all limits are zero: full neutralization."""
    residual, weights = FeatureProjection(part, official=False).split(response[:, None])
    if np.linalg.norm(residual) < VANISHING_NORM:
        raise InfeasibleExposureError(NOTHING_LEFT)
    return residual[:, 0], weights
