"""Certificates: how far a portfolio is from optimal, and proof that there is none."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._program import Multipliers, Program, priced_limits

TINY = np.finfo(np.float64).tiny
SMALLEST_SIZE = 1e-6  # of a weight without limits: errors are never judged beside less
ZERO_LIMIT = 1e-12  # of the weights without limits: a limit below counts as zero
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
    def _unit(self) -> Array:
        return weight_sizes(self.weights, self.signal / self.program.curvature)

    @cached_property
    def _rows(self) -> tuple[Array, Array]:
        """Values of the rows, and the sizes of the terms that they sum."""
        program = self.program
        # a weight that the limits hold at zero has the rounding error of the others
        sizes = np.maximum(self._unit, np.sqrt(np.mean(self._unit**2)))
        return self.weights @ program.rows, sizes @ program.absolute_rows

    @cached_property
    def _norms(self) -> list[tuple[float, float, float]]:
        """Limit, value and multiplier of every norm term."""
        return [
            (term.limit, term.norm(self.weights), multiplier)
            for term, multiplier in self.multipliers.with_terms(self.program)
        ]

    @cached_property
    def residual(self) -> float:
        """Largest violation of the optimality conditions, without unit.

        The largest of

        - stationarity: the distance of s - (diag(q) + LLᵀ)x - Eμ from the subdifferential of the
          other terms, relative to the largest signal (or marginal risk);
        - the rows and norms: how far x is outside of a limit, or, where the multiplier is not
          zero, off that limit, relative to the sizes of the terms summed;
        - limits other than zero, once more: how far x is outside of them, relative to the limit,
          however small that is beside the weights without limits;
        - the box, and multipliers of the wrong sign.

        Zero at the exact solution, and only there.
        """
        program, multipliers = self.program, self.multipliers
        low, high = self._subgradients
        size = max(np.abs(self.signal).max(initial=0.0), np.abs(self._risk).max(initial=0.0), TINY)
        off = np.maximum(low - self._rest, self._rest - high)
        values, sizes = self._rows
        gaps = np.maximum(program.row_min - values, values - program.row_max)
        limits = np.where(multipliers.rows > 0, program.row_max, program.row_min)
        gaps = np.where(multipliers.rows != 0.0, np.abs(values - limits), gaps)
        scale = np.maximum(np.maximum(sizes, np.abs(values)), TINY)
        worst = [0.0, np.max(off, initial=0.0) / size, np.max(gaps / scale, initial=0.0)]
        for limit, value, multiplier in self._norms:
            gap = abs(value - limit) if multiplier > 0.0 else value - limit
            worst += [gap / max(value, self._unit.sum(), TINY), -multiplier]
        worst.append(self._beyond_limits)
        outside = np.maximum(program.lower - self.weights, self.weights - program.upper)
        worst.append(outside.max(initial=0.0) / max(self._unit.max(initial=0.0), TINY))
        return float(max(worst)) if not np.isnan(worst).any() else np.inf

    @property
    def _beyond_limits(self) -> float:
        """How far the portfolio is outside of limits other than zero, relative to them."""
        program = self.program
        unlimited = ZERO_LIMIT * np.abs(self.signal / program.curvature)
        values, _ = self._rows
        held = np.abs(self.weights) @ program.absolute_rows
        zero = unlimited @ program.absolute_rows
        limits: list[tuple[Any, ...]] = [
            (program.row_max, values, held, zero),
            (-program.row_min, -values, held, zero),
            *((limit, value, 0.0, unlimited.sum()) for limit, value, _ in self._norms),
        ]
        worst = 0.0
        for limit, value, size, nothing in limits:
            judged = np.isfinite(limit) & (np.abs(limit) > nothing)
            scale = np.where(judged, np.maximum(np.abs(limit), size), np.inf)
            beyond = np.where(judged, value - limit, 0.0) / scale
            worst = max(worst, float(np.max(beyond, initial=0.0)))
        return worst

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
        for limit, value, multiplier in self._norms:
            if np.isfinite(limit):
                count += multiplier == 0.0 and abs(value - limit) <= tol * limit
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
