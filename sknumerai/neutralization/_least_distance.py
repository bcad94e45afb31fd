"""Kernel: the square-root lasso by least-distance programming, for any rank."""

import numpy as np
from scipy.linalg import qr
from scipy.optimize import brentq, nnls

from sknumerai._typing import Array

# Norm of a residual, relative to the response, that counts as nothing: the correlations of a
# smaller one have too few digits to be compared with limits.
VANISHING_NORM = 1e-6
NO_MULTIPLE = 1e6  # limits that would have to be widened beyond this are zeros in effect


def least_distance_lasso(
    design: Array, response: Array, lower: Array, upper: Array
) -> tuple[Array, float]:
    """Square-root lasso by non-negative least squares, for small or degenerate problems.

    At a fixed norm t the residual is the point nearest to the response with
    ``t lower <= Xᵀq <= t upper``: a least-distance program, which non-negative least squares
    solves in finitely many steps whatever the rank of X [1]_. A scalar root search finds the t
    with ``‖q(t)‖ = t``.

    Parameters
    ----------
    design : ndarray of shape (n, k)
        Centred columns of unit norm.
    response : ndarray of shape (n,)
        Of unit norm.
    lower, upper : ndarray of shape (k,)
        Finite, lower <= 0 <= upper.

    Returns
    -------
    weights : ndarray of shape (k,)
    multiple : float
        1.0 where the limits can be met. Otherwise nothing of the response would be left, the
        weights are those at a vanishing residual, and the limits times ``multiple`` are the
        tightest that can be met.

    References
    ----------
    .. [1] C. L. Lawson and R. J. Hanson, "Solving Least Squares Problems", ch. 23 (1974).
    """
    n, k = design.shape
    triangle = qr(design, mode="economic")[1] if n > k else design
    start = design.T @ response

    def solve(norm: float) -> tuple[Array, float]:
        # rows A z >= b of the least-distance program, z = -X w in the basis of the span
        gaps = np.concatenate([norm * lower - start, start - norm * upper])
        program = np.vstack([np.hstack([triangle, -triangle]), gaps])
        goal = np.zeros(len(program))
        goal[-1] = 1.0
        multipliers, _ = nnls(program, goal, maxiter=50 * program.shape[1])
        multipliers = multipliers / (1.0 - gaps @ multipliers)
        weights = multipliers[k:] - multipliers[:k]
        return weights, float(np.linalg.norm(response - design @ weights))

    weights, left = solve(VANISHING_NORM)
    if left <= VANISHING_NORM:
        multiple = VANISHING_NORM / max(left, np.finfo(float).tiny)
        return weights, multiple if multiple < NO_MULTIPLE else np.inf
    norm = brentq(lambda t: solve(t)[1] - t, VANISHING_NORM, 1.0, xtol=1e-15, rtol=1e-14)
    return solve(norm)[0], 1.0
