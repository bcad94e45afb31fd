"""Kernel: the square-root lasso by least-distance programming, for any rank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from sknumerai._kernels.linalg import nonnegative_least_squares, triangular_factor
from sknumerai._typing import Array
from sknumerai.exceptions import SolverError

# Norm of a residual, relative to the response, that counts as nothing: the correlations of a
# smaller one have too few digits to be compared with limits.
VANISHING_NORM = 1e-6
PRECISE_NORMS = 1e-2, 1e-4  # at which what is left still has most of its digits
NO_MULTIPLE = 1e6  # limits that would have to be widened beyond this are zeros in effect


class VanishingResidualError(ArithmeticError):
    """The limits leave nothing of the response."""


def least_distance_lasso(design: Array, response: Array, lower: Array, upper: Array) -> Array:
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

    Raises
    ------
    VanishingResidualError
        If nothing of the response would be left.

    References
    ----------
    .. [1] C. L. Lawson and R. J. Hanson, "Solving Least Squares Problems", ch. 23 (1974).
    """
    solve = _at_fixed_norm(design, response, lower, upper)
    # ‖q(t)‖ / t falls as t grows, and a larger t has more digits
    lowest = next((t for t in (*PRECISE_NORMS, VANISHING_NORM) if solve(t)[1] > t), None)
    if lowest is None:
        raise VanishingResidualError
    norm = 1.0
    if solve(1.0)[1] < 1.0:
        norm = brentq(lambda t: solve(t)[1] - t, lowest, 1.0, xtol=1e-15, rtol=1e-14)
    return solve(norm)[0]


def vanishing_multiple(design: Array, response: Array, lower: Array, upper: Array) -> float:
    """What limits must be multiplied by, at least, to leave something of the response.

    Parameters as in `least_distance_lasso`.

    Returns
    -------
    multiple : float
        1 where they need not be multiplied; infinite where limits of zero are in the way.
    """
    solve = _at_fixed_norm(design, response, lower, upper)
    multiple = min(t / max(solve(t)[1], np.finfo(float).tiny) for t in PRECISE_NORMS)
    return max(multiple, 1.0) if multiple < NO_MULTIPLE else np.inf


def _at_fixed_norm(
    design: Array, response: Array, lower: Array, upper: Array
) -> Callable[[float], tuple[Array, float]]:
    """Weights, and the norm of what they leave, as a function of the norm t."""
    n, k = design.shape
    triangle = triangular_factor(design) if n > k else design
    start = design.T @ response

    def solve(norm: float) -> tuple[Array, float]:
        # rows A z >= b of the least-distance program, z = -X w in the basis of the span
        gaps = np.concatenate([norm * lower - start, start - norm * upper])
        program = np.vstack([np.hstack([triangle, -triangle]), gaps])
        goal = np.zeros(len(program))
        goal[-1] = 1.0
        multipliers = nonnegative_least_squares(program, goal)
        share = 1.0 - gaps @ multipliers
        if not share > 0.0:
            raise SolverError("the least-distance program of the exposure limits has no solution.")
        multipliers = multipliers / share
        weights = multipliers[k:] - multipliers[:k]
        return weights, float(np.linalg.norm(response - design @ weights))

    return solve
