"""One era's portfolio program as arrays: everything but the signal."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sknumerai._typing import Array


@dataclass(frozen=True)
class NormTerm:
    """The term κ‖x - c‖₁ of an objective, together with the limit ‖x - c‖₁ ≤ Λ.

    Leverage has c = 0 and turnover the previous weights; with those of an index, c makes it a
    limit on active share. Where the budget is b, short weights of at most S are a leverage of at
    most 2S + b.

    Attributes
    ----------
    centre : ndarray of shape (n,)
        c.
    cost : float
        κ, not negative.
    limit : float
        Λ, infinite where there is no limit.
    name : str
        What messages call the limit.
    """

    centre: Array
    cost: float
    limit: float
    name: str

    def norm(self, weights: Array) -> float:
        """‖x - c‖₁."""
        return float(np.abs(weights - self.centre).sum())


def priced_limits(mu: Array, row_min: Array, row_max: Array) -> Array:
    """The limit of each row that its multiplier is the price of, shape (n_rows,); 0 for none."""
    return np.where(mu > 0, row_max, np.where(mu < 0, row_min, 0.0))


@dataclass(frozen=True)
class Program:
    r"""The convex program of one era, for any signal s.

    .. math::
        \min_x\ \tfrac12 x^T (\mathrm{diag}(q) + L L^T) x - s^T x
            + \sum_t \kappa_t \|x - c_t\|_1 \\
        \text{s.t. } l \le x \le u,\ e^- \le E^T x \le e^+,\
            \|x - c_t\|_1 \le \Lambda_t

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
    terms : tuple of NormTerm
        κ, c and Λ.
    """

    curvature: Array
    loadings: Array
    rows: Array
    row_min: Array
    row_max: Array
    row_names: list[str]
    lower: Array
    upper: Array
    terms: tuple[NormTerm, ...] = ()

    @property
    def n(self) -> int:
        return len(self.curvature)

    @property
    def equations(self) -> Array:
        """Which rows are equations, shape (n_rows,)."""
        mask: Array = self.row_min == self.row_max
        return mask

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
        """The portfolio in the box nearest zero, shape (n,)."""
        point: Array = np.clip(0.0, self.lower, self.upper)
        return point

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
            Factors that turn its weights and multipliers into those of this program.
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
            terms=tuple(
                replace(
                    term,
                    centre=term.centre / weight_unit,
                    cost=term.cost / price_unit,
                    limit=term.limit / weight_unit,
                )
                for term in self.terms
            ),
        )
        return program, signal / price_unit, weight_unit, price_unit

    def risk_matvec(self, weights: Array) -> Array:
        """(diag(q) + LLᵀ) x, shape (n,)."""
        product: Array = self.curvature * weights + self.loadings @ (self.loadings.T @ weights)
        return product


@dataclass(frozen=True)
class Multipliers:
    """Lagrange multipliers of a Program.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,)
        Positive where the maximum of a row is binding, negative where its minimum is.
    norms : ndarray of shape (n_terms,)
        Those of the limits of the norm terms; not negative.
    """

    rows: Array
    norms: Array

    def with_terms(self, program: Program) -> list[tuple[NormTerm, float]]:
        """The norm terms of a program, each with its multiplier."""
        return list(zip(program.terms, self.norms.tolist(), strict=True))
