"""Certificates: how far a portfolio is from optimal, and proof that there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._program import Multipliers, NormTerm, Program, priced_limits

TINY = np.finfo(np.float64).tiny
SMALLEST_SIZE = 1e-6  # of a weight without limits: errors are never judged beside less
ROUNDING = 16 * np.finfo(np.float64).eps  # of a sum, relative to the sizes of its terms
NOTICED = 1e-10  # relative size from which an error of stationarity is looked into
PROOF = 1e-7  # relative size from which a Farkas certificate is more than rounding error
SMALL_MULTIPLIER = 1e-6  # of the largest one: smaller ones are not needed in a proof
CANCELLED = 1e-10  # of the sizes of its terms: a smaller sum is zero up to rounding error


def weight_sizes(weights: Array, unlimited: Array) -> Array:
    """Sizes that errors of weights are relative to, shape (n,).

    Those of the weights, or a small part of the weights without limits where these leave less.
    """
    return np.maximum(np.abs(weights), SMALLEST_SIZE * np.abs(unlimited))


@dataclass(frozen=True)
class Certificate:
    """How far a portfolio and multipliers are from optimal.

    Parameters
    ----------
    program : Program
    signal, weights : ndarray of shape (n,)
    multipliers : Multipliers
    """

    program: Program
    signal: Array
    weights: Array
    multipliers: Multipliers

    @cached_property
    def _risk(self) -> Array:
        return self.program.risk_matvec(self.weights)

    @cached_property
    def _rest(self) -> Array:
        """The force that the box and the norm terms must balance: s - (diag(q) + LLᵀ)x - Eμ."""
        rest: Array = self.signal - self._risk - self.program.rows @ self.multipliers.rows
        return rest

    @cached_property
    def _subgradients(self) -> tuple[Array, Array]:
        """Interval of Σₜ (κₜ + ηₜ) ∂|x - cₜ| + N(x), N the normal cone of the box."""
        low, high = np.zeros((2, self.program.n))
        for term, multiplier in self.multipliers.with_terms(self.program):
            size, offset = term.cost + multiplier, self.weights - term.centre
            low += np.where(offset > 0, size, -size)
            high += np.where(offset < 0, -size, size)
        low[self.weights <= self.program.lower] = -np.inf
        high[self.weights >= self.program.upper] = np.inf
        return low, high

    @cached_property
    def _sizes(self) -> Array:
        """Sizes that errors of the weights are judged beside, shape (n,)."""
        # a weight that the limits hold at zero has the rounding error of the others
        sizes = np.abs(self.weights)
        largest = sizes.max(initial=0.0)
        if largest > 0.0:  # squares of tiny weights would vanish
            largest *= np.sqrt(np.mean((sizes / largest) ** 2))
        judged: Array = np.maximum(sizes, largest)
        return judged

    @cached_property
    def _rows(self) -> tuple[Array, Array]:
        """Values of the rows, and the sizes of the terms that they sum."""
        program = self.program
        return self.weights @ program.rows, self._sizes @ program.absolute_rows

    @cached_property
    def _norms(self) -> list[tuple[NormTerm, float, float]]:
        """Every norm term with its value and multiplier."""
        return [
            (term, term.norm(self.weights), multiplier)
            for term, multiplier in self.multipliers.with_terms(self.program)
        ]

    @cached_property
    def residual(self) -> float:
        """Largest violation of the optimality conditions, without unit.

        The largest of

        - stationarity: the distance of s - (diag(q) + LLᵀ)x - Eμ from the subdifferential of the
          other terms, relative to the largest signal or marginal risk (or to costs a million
          times as large), beyond the rounding error of that sum;
        - the rows: how far x is outside of a limit, or, where the multiplier is not zero, off
          that limit, relative to the limit or to the sizes of the terms summed;
        - the norms: the same relative to the limit, beyond the rounding error of the sum;
        - the box, and multipliers of the wrong sign.

        Zero at the exact solution, and only there. Nothing is relative to weights without limits,
        which nobody sees.
        """
        program, multipliers = self.program, self.multipliers
        values, sizes = self._rows
        gaps = np.maximum(program.row_min - values, values - program.row_max)
        limits = priced_limits(multipliers.rows, program.row_min, program.row_max)
        gaps = np.where(multipliers.rows != 0.0, np.abs(values - limits), gaps)
        missed = np.where(values > program.row_max, program.row_max, program.row_min)
        limits = np.abs(np.where(multipliers.rows != 0.0, limits, missed))
        scale = np.maximum(np.where(np.isfinite(limits), limits, 0.0), np.maximum(sizes, TINY))
        worst = [0.0, self._off_stationarity, np.max(gaps / scale, initial=0.0)]
        for term, value, multiplier in self._norms:
            gap = abs(value - term.limit) if multiplier > 0.0 else value - term.limit
            summed = np.abs(self.weights).sum() + np.abs(term.centre).sum()
            gap = gap - ROUNDING * summed if gap > 0.0 else 0.0
            worst += [gap / term.limit, -multiplier]
        outside = np.maximum(program.lower - self.weights, self.weights - program.upper)
        worst.append(outside.max(initial=0.0) / max(self._sizes.max(initial=0.0), TINY))
        return float(max(worst)) if not np.isnan(worst).any() else np.inf

    @property
    def _off_stationarity(self) -> float:
        low, high = self._subgradients
        off = np.maximum(low - self._rest, self._rest - high)
        risk = float(np.abs(self._risk).max())
        size = max(self.program.price_size(self.signal, risk), TINY)
        if off.max(initial=0.0) > NOTICED * size:
            # prices that are large beside the signal cancel in the sum, up to rounding errors
            prices = self.program.absolute_rows @ np.abs(self.multipliers.rows)
            for term, multiplier in self.multipliers.with_terms(self.program):
                prices += term.cost + np.abs(multiplier)
            off = off - ROUNDING * prices
        return float(off.max(initial=0.0) / size)

    def count_weakly_active(self, tol: float) -> int:
        """Number of weakly active limits: where there are any, the weights have no derivative.

        An asset counts that is at a bound or kink although the force on it is at the end of the
        range that keeps it there, or that is free and about to reach one; a row or norm counts
        that is at its limit with a multiplier of zero. All up to `tol`, relative.
        """
        program, multipliers, weights = self.program, self.multipliers, self.weights
        low, high = self._subgradients
        size = max(np.abs(self.signal).max(initial=0.0), TINY)
        held = high > low
        edge = np.minimum(np.abs(self._rest - low), np.abs(high - self._rest)) <= tol * size
        reach = tol * max(np.abs(weights).max(initial=0.0), TINY)
        touching = np.minimum(weights - program.lower, program.upper - weights) <= reach
        for term, multiplier in multipliers.with_terms(program):
            if term.cost + multiplier > 0.0:
                touching |= np.abs(weights - term.centre) <= reach
        values, sizes = self._rows
        room = np.minimum(np.abs(values - program.row_min), np.abs(program.row_max - values))
        loose = ~program.equations & (multipliers.rows == 0.0)
        count = (held & edge).sum() + (~held & touching).sum()
        count += (loose & (room <= tol * (sizes + TINY))).sum()
        for term, value, multiplier in self._norms:
            if np.isfinite(term.limit):
                count += multiplier == 0.0 and abs(value - term.limit) <= tol * term.limit
        return int(count)


def farkas_certificate(program: Program, multipliers: Multipliers) -> float:
    """Relative size of the proof by multipliers that a program has no feasible portfolio.

    For every x in the box, the limits weighted with the multipliers add up to at most

        S = Σᵢ max_{l ≤ x ≤ u} [-(Eμ)ᵢ x - Σₜ ηₜ |x - cₜᵢ|] + Σⱼ eⱼ μⱼ + Σₜ Λₜ ηₜ,

    where eⱼ is the maximum of the row for μⱼ > 0, else its minimum; a feasible x would make it
    at least zero.

    Parameters
    ----------
    program : Program
    multipliers : Multipliers

    Returns
    -------
    proof : float
        -S relative to the sum of the sizes of its terms; a positive number is a proof.
    """
    mu = multipliers.rows
    slope = program.rows @ mu
    rounding = CANCELLED * (program.absolute_rows @ np.abs(mu))
    slope = np.where(np.abs(slope) <= rounding, 0.0, slope)
    steepest = multipliers.norms.sum() * (1.0 + CANCELLED)
    open_below, open_above = np.isinf(program.lower), np.isinf(program.upper)
    if (open_below & (slope > steepest)).any() or (open_above & (-slope > steepest)).any():
        return -np.inf
    priced = multipliers.with_terms(program)
    largest = np.full(program.n, -np.inf)
    for point in (  # a concave function is largest at a kink or an end of its interval
        program.middle,
        np.where(open_below, program.middle, program.lower),
        np.where(open_above, program.middle, program.upper),
        *(np.clip(term.centre, program.lower, program.upper) for term in program.terms),
    ):
        norms = sum(eta * np.abs(point - term.centre) for term, eta in priced)
        largest = np.maximum(largest, -slope * point - norms)
    limits = mu * priced_limits(mu, program.row_min, program.row_max)
    limits = np.append(limits, [term.limit * eta for term, eta in priced if eta > 0.0])
    size = np.abs(largest).sum() + np.abs(limits).sum()
    if not np.isfinite(size) or size == 0.0:
        return -np.inf
    return float(-(largest.sum() + limits.sum()) / size)


def proves_infeasible(program: Program, multipliers: Multipliers) -> bool:
    """Whether multipliers are a Farkas certificate, by more than rounding error."""
    # One portfolio of the box that meets the weighted limits refutes it, at a fraction of the cost.
    mu = multipliers.rows
    limits = priced_limits(mu, program.row_min, program.row_max)
    total = (limits - program.middle_values) @ mu
    for term, eta in multipliers.with_terms(program):
        if eta > 0.0:
            total += (term.limit - term.norm(program.middle)) * eta
    return bool(total < 0.0) and farkas_certificate(program, multipliers) > PROOF


def farkas_candidate(program: Program, multipliers: Multipliers) -> Multipliers:
    """Multipliers on the way to infinity, as they are at its end if the program is infeasible.

    Any multipliers make a proof as long as those of inequalities have the right sign. So those of
    rows that are small beside others, by rounding or because the others still grow, are dropped,
    and that of one norm is made large enough to hold the assets that have no bounds.
    """
    sizes = np.abs(multipliers.rows) * program.row_norms
    rows = np.where(sizes < SMALL_MULTIPLIER * sizes.max(initial=0.0), 0.0, multipliers.rows)
    norms = multipliers.norms.copy()
    slope = program.rows @ rows
    open_ended = np.where(slope > 0, np.isinf(program.lower), np.isinf(program.upper))
    needed = np.abs(slope[open_ended]).max(initial=0.0)
    limited = [t for t, term in enumerate(program.terms) if np.isfinite(term.limit)]
    if limited:
        norms[limited[0]] += max(needed - norms.sum(), 0.0)
    return Multipliers(rows, norms)


def name_conflict(program: Program, multipliers: Multipliers) -> list[str]:
    """Names of the limits that a Farkas certificate needs.

    Limits are left out, the smallest multipliers first, as long as the rest remains a proof.
    """

    def without(part: str, j: int) -> Multipliers:
        values = getattr(multipliers, part).copy()
        values[j] = 0.0
        fewer = replace(multipliers, **{part: values})
        return fewer if proves_infeasible(program, fewer) else multipliers

    for t in range(len(program.terms)):
        multipliers = without("norms", t)
    for j in np.argsort(np.abs(multipliers.rows) * program.absolute_rows.max(axis=0, initial=0.0)):
        if multipliers.rows[j] != 0.0:
            multipliers = without("rows", j)
    names = [program.row_names[j] for j in np.flatnonzero(multipliers.rows)]
    names += [program.terms[t].name for t in np.flatnonzero(multipliers.norms > 0.0)]
    infinite = np.full(program.n, np.inf)
    unbounded = replace(program, lower=-infinite, upper=infinite)
    if not proves_infeasible(unbounded, multipliers):
        names.append("min_weights and max_weights")
    return names
