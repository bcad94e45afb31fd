"""One era's portfolio program as arrays: everything but the signal."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sknumerai._typing import Array


@dataclass(frozen=True)
class Program:
    r"""The convex program of one era, for any signal s.

    .. math::
        \min_x\ \tfrac12 x^T (\mathrm{diag}(q) + L L^T) x - s^T x
            + \kappa \|x\|_1 + c \|x - x_0\|_1 \\
        \text{s.t. } l \le x \le u,\ e^- \le E^T x \le e^+,\
            \|x\|_1 \le \Lambda,\ \|x - x_0\|_1 \le \tau

    Attributes
    ----------
    curvature : ndarray of shape (n,)
        q > 0: risk aversion × specific variance + L2 coefficient.
    loadings : ndarray of shape (n, n_factors)
        L: factor loadings × a root of the factor covariance × √(risk aversion).
    rows : ndarray of shape (n, n_rows)
        E: budget, exposures and sectors, one column each.
    row_min, row_max : ndarray of shape (n_rows,)
        e⁻ and e⁺; equal for an equation, infinite where there is no limit.
    row_names : list of length n_rows
        What messages call them.
    lower, upper : ndarray of shape (n,)
        l and u, infinite where there is no bound.
    previous : ndarray of shape (n,)
        x₀.
    l1_coef, transaction_costs : float
        κ and c.
    max_leverage, max_turnover : float
        Λ and τ, infinite where there is no limit.
    """

    curvature: Array
    loadings: Array
    rows: Array
    row_min: Array
    row_max: Array
    row_names: list[str]
    lower: Array
    upper: Array
    previous: Array
    l1_coef: float = 0.0
    transaction_costs: float = 0.0
    max_leverage: float = np.inf
    max_turnover: float = np.inf

    @property
    def n(self) -> int:
        return len(self.curvature)

    @property
    def equations(self) -> Array:
        """Which rows are equations, shape (n_rows,)."""
        return self.row_min == self.row_max

    @cached_property
    def absolute_rows(self) -> Array:
        """|E|, shape (n, n_rows)."""
        return np.abs(self.rows)

    @cached_property
    def row_norms(self) -> Array:
        """Norms of the columns of E over √q, shape (n_rows,); 1 for a column of zeros."""
        norms = np.sqrt(np.einsum("ij,i,ij->j", self.rows, 1.0 / self.curvature, self.rows))
        return np.where(norms == 0.0, 1.0, norms)

    @cached_property
    def middle(self) -> Array:
        """The portfolio in the box that is nearest to zero, shape (n,)."""
        return np.clip(0.0, self.lower, self.upper)

    @cached_property
    def middle_values(self) -> Array:
        """Values of the rows there, shape (n_rows,)."""
        return self.middle @ self.rows

    def scaled(self, signal: Array) -> tuple["Program", Array, float, float]:
        """The same with signals and curvatures of about one, for solvers of absolute tolerances.

        Returns
        -------
        program : Program
        signal : ndarray of shape (n,)
        weight_unit, price_unit : float
            What its weights and its multipliers are to be multiplied with.
        """
        curvature_unit = float(np.median(self.curvature))
        # the prices of the signal, or those of weights that the limits ask for
        needed = np.abs(np.clip(0.0, self.row_min, self.row_max) - self.middle_values)
        needed = needed / np.maximum(self.absolute_rows.sum(axis=0), np.finfo(float).tiny)
        size = max(needed.max(initial=0.0), np.abs(self.middle).max())
        price_unit = max(float(np.abs(signal).max()), curvature_unit * float(size)) or 1.0
        weight_unit = price_unit / curvature_unit
        program = replace(
            self,
            curvature=self.curvature / curvature_unit,
            loadings=self.loadings / np.sqrt(curvature_unit),
            row_min=self.row_min / weight_unit,
            row_max=self.row_max / weight_unit,
            lower=self.lower / weight_unit,
            upper=self.upper / weight_unit,
            previous=self.previous / weight_unit,
            l1_coef=self.l1_coef / price_unit,
            transaction_costs=self.transaction_costs / price_unit,
            max_leverage=self.max_leverage / weight_unit,
            max_turnover=self.max_turnover / weight_unit,
        )
        return program, signal / price_unit, weight_unit, price_unit

    def risk_matvec(self, weights: Array) -> Array:
        """(diag(q) + LLᵀ) x, shape (n,)."""
        return self.curvature * weights + self.loadings @ (self.loadings.T @ weights)


@dataclass(frozen=True)
class Multipliers:
    """Lagrange multipliers of a Program.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,)
        Positive where a row presses at its maximum, negative at its minimum.
    leverage, turnover : float
        Not negative.
    """

    rows: Array
    leverage: float = 0.0
    turnover: float = 0.0
