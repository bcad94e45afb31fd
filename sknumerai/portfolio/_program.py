"""One era's portfolio program as arrays: everything but the signal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sknumerai._typing import Array

EXTREME = 2.0**100  # sizes up to here and down to its inverse can be squared, cubed and summed
LOST = 1e-6  # of a cost: a smaller signal is changed by the rounding errors of that


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

    @cached_property
    def absolute_loadings(self) -> Array:
        """|L|, shape (n, n_factors)."""
        return np.abs(self.loadings)

    @cached_property
    def largest_cost(self) -> float:
        """What a unit of weight costs at most in the norm terms."""
        return float(sum(term.cost for term in self.terms))

    def price_size(self, signal: Array, risk: float = 0.0) -> float:
        """The prices that errors of prices are judged beside.

        Those of the signal or the marginal risk, or the costs in whose rounding errors both are
        lost.
        """
        size = max(float(np.abs(signal).max()), risk)
        return size if size >= LOST * self.largest_cost else self.largest_cost

    @cached_property
    def needed_size(self) -> float:
        """The size of the weights that limits ask for without a signal."""
        needed = np.abs(np.clip(0.0, self.row_min, self.row_max) - self.middle_values)
        sizes = self.absolute_rows.sum(axis=0)
        needed = needed / np.where(sizes > 0.0, sizes, 1.0)
        return float(max(needed.max(initial=0.0), np.abs(self.middle).max()))

    @cached_property
    def size_range(self) -> Array:
        """Smallest and largest sizes of curvatures and finite limits other than zero."""
        limits = [self.row_min, self.row_max, self.lower, self.upper]
        limits += [np.append(term.centre, term.limit) for term in self.terms]
        sizes = np.abs(np.concatenate(limits))
        sizes = sizes[(sizes > 0.0) & np.isfinite(sizes)]
        return np.append(
            [self.curvature.min(), self.curvature.max()],
            [sizes.min(), sizes.max()] if len(sizes) else [],
        )

    @cached_property
    def largest_weights(self) -> Array:
        """What the limits, one at a time, leave of the size of each weight, shape (n,)."""
        low, high = self.lower.copy(), self.upper.copy()
        for term in self.terms:
            low = np.maximum(low, term.centre - term.limit)
            high = np.minimum(high, term.centre + term.limit)
        if np.isinf(low).any() != np.isinf(high).any():  # long only, for example, with a budget
            low, high = self._bounds_by_rows(low, high)
        return np.maximum(np.abs(low), np.abs(high))

    def _bounds_by_rows(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Bounds that follow from those of all other assets and one row."""
        for j in range(len(self.row_min)):
            row = self.rows[:, j]
            held = np.flatnonzero(row)
            e, limits = row[held], (self.row_max[j], -self.row_min[j])
            for sign, limit in zip((1.0, -1.0), limits, strict=True):
                least = sign * e * np.where(sign * e > 0.0, low[held], high[held])
                room = limit - least.sum()
                if np.isfinite(room):
                    ends = (least + room) / (sign * e)
                    up = sign * e > 0.0
                    high[held[up]] = np.minimum(high[held[up]], ends[up])
                    low[held[~up]] = np.maximum(low[held[~up]], ends[~up])
        return low, high

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
