"""Kernel: derivative of the optimal weights by the signal."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from sknumerai._kernels.linalg import pivoted_cholesky
from sknumerai._typing import Array
from sknumerai.portfolio._dual import Dual, DualPoint
from sknumerai.portfolio._hessian import Hessian
from sknumerai.portfolio._newton import stationarity


class Jacobian:
    r"""J = dx/ds at the solution of a `Program`.

    .. math:: J = P_F \left( Q^{-1} - Q^{-1} C_A (C_A^T P_F Q^{-1} C_A + I_f)^{-1}
        C_A^T Q^{-1} \right) P_F

    with :math:`P_F` the projection on the free assets, Q the curvature, and :math:`C_A` the
    columns of the factors and of the binding limits: the inverse Hessian of the objective,
    restricted to portfolios that stay on their bounds, kinks and limits. It is symmetric, positive
    semidefinite, and zero in the direction of a binding row.

    Parameters
    ----------
    dual : Dual
    point : DualPoint
        The solution.
    hessian : Hessian
        At that point.

    Attributes
    ----------
    n_directions : int
        Rank of J: the free assets less the independent ones of the binding limits.

    Notes
    -----
    A product costs 4 n m flops with m multipliers; nothing of size n × n is formed.
    """

    def __init__(self, dual: Dual, point: DualPoint, hessian: Hessian):
        state = stationarity(dual, point)
        active = np.flatnonzero(state.active & ((point.theta != 0.0) | (state.side == 0.0)))
        self.free, self.root = np.flatnonzero(point.free), dual.root[point.free]
        linear = active[active < dual.n_linear]
        self.columns = dual.matrix[np.ix_(self.free, linear)]
        if len(linear) < len(active):
            caps = active[active >= dual.n_linear] - dual.n_linear
            signs = hessian.columns[np.ix_(self.free, caps)]
            self.columns = np.hstack([self.columns, signs])
        matrix = hessian.matrix()[np.ix_(active, active)]
        self.factor, self.kept = pivoted_cholesky(matrix)
        self.n = dual.program.n
        n_binding = int((active[self.kept] >= dual.n_factors).sum())
        self.n_directions = max(len(self.free) - n_binding, 0)

    def matvec(self, vectors: Array) -> Array:
        """JV, shape (n, k), for V of shape (n, k); NaN where V is not finite."""
        if not np.isfinite(vectors).all():
            return np.full((self.n, vectors.shape[1]), np.nan)
        whitened = vectors[self.free] / self.root[:, None]
        columns = self.columns
        moved = np.zeros((columns.shape[1], vectors.shape[1]))
        if moved.size:
            moved[self.kept] = scipy.linalg.cho_solve(
                (self.factor, True), (columns.T @ whitened)[self.kept], check_finite=False
            )
        result = np.zeros((self.n, vectors.shape[1]))
        result[self.free] = (whitened - columns @ moved) / self.root[:, None]
        return result
