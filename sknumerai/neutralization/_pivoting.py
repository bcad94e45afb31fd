"""Kernel: the square-root lasso on a Gram matrix, by block principal pivoting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError

from sknumerai._kernels.linalg import cholesky_factor, cholesky_solve, one_thread
from sknumerai._typing import Array
from sknumerai.neutralization._least_distance import VANISHING_NORM

FREE, AT_UPPER, AT_LOWER, FIXED = 0, 1, -1, 2  # FREE: inside its limits, weight zero
FULL_STEPS = 8  # block steps without progress before single (Murty) steps
MAX_PIVOTS = 300
MAX_STEPS = 100
SLACK = 1e-12  # in units of correlation
ACCURACY = 1e-11  # relative, of the residual norm
UNSAFE_PIVOT = 1e-9  # squared Cholesky pivots below leave too few digits to pivot by
PROXIMAL = 1e-7  # regularization that makes pivoting well-posed on dependent columns
PROXIMAL_ACCURACY = 1e-12
MAX_PROXIMAL_STEPS = 200


class PivotingError(ArithmeticError):
    """Pivoting did not solve the problem; another method must."""


class DependentColumnsError(PivotingError):
    """The active columns are linearly dependent."""


class ZeroResidualError(PivotingError):
    """Nothing of the prediction is left at the solution."""


@dataclass
class _FixedNorm:
    """Solution for a fixed residual norm t, with what the update of t needs."""

    weights: Array
    curvature: float  # b_Aᵀ G_AA⁻¹ b_A
    norm: float  # ‖y - X w‖


class GramProblem:
    """Square-root lasso ``min ‖y - Xw‖ + Σ (upper_j max(w_j, 0) + lower_j min(w_j, 0))``.

    Parameters
    ----------
    gram : ndarray of shape (k, k)
        XᵀX, unit diagonal.
    correlations : ndarray of shape (k,)
        Xᵀy, for y of unit norm.
    lower, upper : ndarray of shape (k,)
        Limits of the residual's correlations, lower <= 0 <= upper.
    state : ndarray of shape (k,), optional
        The limit each column sits at (1 upper, -1 lower, 0 none), as a warm start; kept up to
        date.

    References
    ----------
    .. [1] J. J. Júdice and F. M. Pires, "A block principal pivoting algorithm for large-scale
       strictly monotone linear complementarity problems", Computers & Operations Research 21
       (1994).
    .. [2] A. Belloni, V. Chernozhukov and L. Wang, "Square-root lasso: pivotal recovery of sparse
       signals via conic programming", Biometrika 98 (2011).
    """

    def __init__(
        self,
        gram: Array,
        correlations: Array,
        lower: Array,
        upper: Array,
        state: Array | None = None,
    ):
        self.gram, self.correlations = gram, correlations
        self.lower, self.upper = lower, upper
        fixed = (lower == 0.0) & (upper == 0.0)
        self.state = np.where(fixed, FIXED, FREE if state is None else state).astype(np.int8)

    def solve(self, norm: float = 1.0, accuracy: float = ACCURACY) -> Array:
        """Weights, from a first guess of the residual norm t = ‖y - X w(t)‖.

        Parameters
        ----------
        norm : float
            First guess of t.
        accuracy : float
            Of t, relative.

        Returns
        -------
        weights : ndarray of shape (k,)

        Raises
        ------
        PivotingError

        Notes
        -----
        At fixed t the optimality conditions are a linear complementarity problem, solved by
        pivoting. The norm is then updated as if the active columns stayed, within a bracket:
        ‖y - X w(t)‖ / t falls as t grows.
        """
        with one_thread():
            try:
                return self._solve_norm(norm, accuracy, self._pivot)
            except DependentColumnsError:
                return self._solve_norm(norm, accuracy, self._proximal)

    def _solve_norm(
        self, norm: float, accuracy: float, solve_fixed: Callable[[float], _FixedNorm]
    ) -> Array:
        low, high = 0.0, 1.0
        for _ in range(MAX_STEPS):
            solution = solve_fixed(norm)
            if abs(solution.norm - norm) <= accuracy * norm:
                return solution.weights
            if solution.norm < norm:
                high = norm
            else:
                low = norm
            # with the active columns kept, ‖y - X w(t)‖² = ‖y⊥‖² + t² b' G⁻¹ b
            perpendicular = solution.norm**2 - norm**2 * solution.curvature
            candidate = -1.0
            if solution.curvature < 1.0 and perpendicular > 0.0:
                candidate = np.sqrt(perpendicular / (1.0 - solution.curvature))
            if not low < candidate < high:
                candidate = solution.norm if low < solution.norm < high else 0.5 * (low + high)
            norm = float(candidate)
            if norm < VANISHING_NORM:
                raise ZeroResidualError
        raise PivotingError(f"no residual norm found in {MAX_STEPS} steps")

    def _pivot(self, norm: float, centre: Array | None = None) -> _FixedNorm:
        """Solve at a fixed residual norm; with a centre, the proximal problem about it."""
        gram, state, shift = self.gram, self.state, 0.0
        target = self.correlations
        if centre is not None:
            shift = PROXIMAL
            target = target + PROXIMAL * centre
        fewest, patience = len(state) + 1, FULL_STEPS
        for _ in range(MAX_PIVOTS):
            active = np.flatnonzero(state)
            limits = np.where(state == AT_UPPER, self.upper, self.lower)[active]
            limits[state[active] == FIXED] = 0.0
            rows = gram[active]  # of a symmetric matrix: rows are contiguous, columns are not
            solved = self._solve_active(
                rows[:, active], np.column_stack([target[active], limits]), shift
            )
            weights = np.zeros(len(state))
            weights[active] = solved[:, 0] - norm * solved[:, 1]
            fitted = weights[active] @ rows
            correlations = target - fitted
            leave = ((state == AT_UPPER) & (weights < 0)) | ((state == AT_LOWER) & (weights > 0))
            above = (state == FREE) & (correlations > norm * self.upper + SLACK)
            below = (state == FREE) & (correlations < norm * self.lower - SLACK)
            wrong = int(leave.sum() + above.sum() + below.sum())
            if wrong == 0:
                squared = 1.0 + float(weights @ (fitted - 2.0 * self.correlations))
                return _FixedNorm(weights, float(limits @ solved[:, 1]), max(squared, 0.0) ** 0.5)
            if wrong < fewest:
                fewest, patience = wrong, FULL_STEPS
            else:
                patience -= 1
            if patience < 0:  # Murty's rule, which cannot cycle: the last wrong one alone
                last = np.flatnonzero(leave | above | below)[-1]
                leave, above, below = (_only(mask, last) for mask in (leave, above, below))
            state[leave] = FREE
            state[above] = AT_UPPER
            state[below] = AT_LOWER
        raise PivotingError(f"no solution in {MAX_PIVOTS} pivots")

    def _solve_active(self, gram: Array, right: Array, shift: float) -> Array:
        if shift:
            gram.flat[:: len(gram) + 1] += shift
        try:
            factor = cholesky_factor(gram)
        except LinAlgError:
            raise DependentColumnsError from None
        if len(gram) and np.diag(factor).min() ** 2 < min(UNSAFE_PIVOT, 0.5 * (shift or 1.0)):
            raise DependentColumnsError
        return cholesky_solve(factor, right)

    def _proximal(self, norm: float) -> _FixedNorm:
        """Solve at a fixed norm with dependent columns: proximal-point iterations."""
        centre = np.zeros(len(self.state))
        for _ in range(MAX_PROXIMAL_STEPS):
            solution = self._pivot(norm, centre)
            moved = float(np.abs(solution.weights - centre).max())
            centre = solution.weights
            if PROXIMAL * moved <= PROXIMAL_ACCURACY * norm:
                return solution
        raise PivotingError(f"no fixed point in {MAX_PROXIMAL_STEPS} proximal steps")


def _only(mask: Array, position: int) -> Array:
    out = np.zeros_like(mask)
    out[position] = mask[position]
    return out
