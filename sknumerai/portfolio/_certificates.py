"""Certificates: how far a portfolio is from optimal, and proof that there is none."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._program import Multipliers, Program

TINY = np.finfo(np.float64).tiny
NO_PORTFOLIO = 1e-6  # of the weights without limits, below which weights count as that small
NO_LIMIT = 1e-12  # of these weights, below which a limit counts as zero
ENOUGH = 1e-6  # relative size of a certificate that is no rounding
SMALL_MULTIPLIER = 1e-6  # beside the largest one
CANCELLED = 1e-10  # share of a sum's terms below which it is zero but for rounding


def subgradient_bounds(
    program: Program, weights: Array, multipliers: Multipliers
) -> tuple[Array, Array]:
    """Interval of Σₜ (κₜ + ηₜ) ∂|x - cₜ| + N(x), N the normal cone of the box; two (n,) arrays."""
    low = np.zeros(program.n)
    high = np.zeros(program.n)
    for term, multiplier in zip(program.terms, multipliers.norms, strict=True):
        size, offset = term.cost + multiplier, weights - term.centre
        low += np.where(offset > 0, size, -size)
        high += np.where(offset < 0, -size, size)
    low[weights <= program.lower] = -np.inf
    high[weights >= program.upper] = np.inf
    return low, high


def weight_sizes(weights: Array, unlimited: Array) -> Array:
    """What errors of weights are measured against, shape (n,).

    The weights, or a small part of what they would be without limits: limits may leave nothing.
    """
    return np.maximum(np.abs(weights), NO_PORTFOLIO * np.abs(unlimited))


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
        """What the box and the norms have to hold: s - (diag(q) + LLᵀ)x - Eμ."""
        return self.signal - self._risk - self.program.rows @ self.multipliers.rows

    @cached_property
    def _bounds(self) -> tuple[Array, Array]:
        return subgradient_bounds(self.program, self.weights, self.multipliers)

    @cached_property
    def _unit(self) -> Array:
        return weight_sizes(self.weights, self.signal / self.program.curvature)

    @cached_property
    def _rows(self) -> tuple[Array, Array]:
        """Values of the rows, and the sizes of what is summed in them."""
        program = self.program
        # a weight that the limits hold at zero is rounding of the others
        sizes = np.maximum(self._unit, np.sqrt(np.mean(self._unit**2)))
        return self.weights @ program.rows, sizes @ program.absolute_rows

    @cached_property
    def _norms(self) -> list[tuple[float, float, float]]:
        """Limit, value and multiplier of every norm term."""
        pairs = zip(self.program.terms, self.multipliers.norms, strict=True)
        return [(term.limit, term.norm(self.weights), float(price)) for term, price in pairs]

    @cached_property
    def residual(self) -> float:
        """Largest violation of the optimality conditions, without unit.

        The largest of

        - stationarity: the distance of s - (diag(q) + LLᵀ)x - Eμ from the subdifferential of the
          other terms, relative to the largest signal (or marginal risk);
        - the rows and norms: how far x is outside of a limit, or, where the multiplier is not
          zero, off that limit, relative to the sizes of what is summed;
        - limits other than zero, once more: how far x is outside of them, relative to the limit,
          however small that is beside the weights without limits;
        - the box, and multipliers of the wrong sign.

        Zero at the exact solution, and only there.
        """
        program, multipliers = self.program, self.multipliers
        low, high = self._bounds
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
        unlimited = NO_LIMIT * np.abs(self.signal / program.curvature)
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
        """Number of limits that hold without pressing: there the weights have no derivative.

        An asset counts that is at a bound or kink although the forces on it would let it go, or
        that is free and about to reach one; a row, leverage or turnover counts that is at its
        limit with a multiplier of zero. All up to `tol`, relative.
        """
        program, multipliers, weights = self.program, self.multipliers, self.weights
        low, high = self._bounds
        size = max(np.abs(self.signal).max(initial=0.0), TINY)
        held = high > low
        edge = np.minimum(np.abs(self._rest - low), np.abs(high - self._rest)) <= tol * size
        reach = tol * max(np.abs(weights).max(initial=0.0), TINY)
        touching = np.minimum(weights - program.lower, program.upper - weights) <= reach
        for term, multiplier in zip(program.terms, multipliers.norms, strict=True):
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
    """Relative size by which multipliers prove that a program has no feasible portfolio.

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
    mu, pairs = multipliers.rows, list(zip(program.terms, multipliers.norms, strict=True))
    slope = program.rows @ mu
    rounding = CANCELLED * (program.absolute_rows @ np.abs(mu))
    slope = np.where(np.abs(slope) <= rounding, 0.0, slope)
    total = np.full(program.n, -np.inf)
    centres = [term.centre for term in program.terms]
    for point in (program.middle, *centres, program.lower, program.upper):
        at = np.clip(point, program.lower, program.upper)
        finite = np.where(np.isfinite(at), at, 0.0)
        value = -slope * finite
        for term, eta in pairs:
            value -= eta * np.abs(finite - term.centre)
        towards = np.sign(np.where(np.isfinite(at), 0.0, at))
        steepest = multipliers.norms.sum() * (1.0 + CANCELLED)
        rising = (towards != 0.0) & (-slope * towards > steepest)
        value = np.where(np.isfinite(at), value, -np.inf)
        total = np.maximum(total, np.where(rising, np.inf, value))
    limits = np.where(mu > 0, program.row_max, np.where(mu < 0, program.row_min, 0.0))
    limited = np.append(limits * mu, [term.limit * eta for term, eta in pairs if eta > 0.0])
    size = np.abs(total).sum() + np.abs(limited).sum()
    if not np.isfinite(size) or size == 0.0:
        return -np.inf
    return float(-(total.sum() + limited.sum()) / size)


def may_prove(program: Program, multipliers: Multipliers) -> bool:
    """Whether a Farkas certificate is not out of the question; much cheaper than to look."""
    mu = multipliers.rows
    limits = np.where(mu > 0, program.row_max, np.where(mu < 0, program.row_min, 0.0))
    total = (limits - program.middle_values) @ mu
    for term, eta in zip(program.terms, multipliers.norms, strict=True):
        if eta > 0.0:
            total += (term.limit - term.norm(program.middle)) * eta
    return bool(total < 0.0)


def repaired(program: Program, multipliers: Multipliers) -> Multipliers:
    """The multipliers of a ray of the dual, of which some are rounding or still on their way.

    Any multipliers make a proof as long as those of inequalities have the right sign: those of
    rows that are small beside others are dropped, and η or ρ is made large enough to hold assets
    that have no bounds.
    """
    sizes = np.abs(multipliers.rows) * program.row_norms
    rows = np.where(sizes < SMALL_MULTIPLIER * sizes.max(initial=0.0), 0.0, multipliers.rows)
    norms = multipliers.norms.copy()
    slope = program.rows @ rows
    open_ended = np.where(slope > 0, np.isinf(program.lower), np.isinf(program.upper))
    needed = np.abs(slope[open_ended]).max(initial=0.0)
    capped = [t for t, term in enumerate(program.terms) if np.isfinite(term.limit)]
    if capped:
        norms[capped[0]] += max(needed - norms.sum(), 0.0)
    return Multipliers(rows, norms)


def name_conflict(program: Program, multipliers: Multipliers) -> list[str]:
    """Names of the limits that a Farkas certificate needs.

    Limits are left out, the smallest multipliers first, as long as the rest remains a proof.
    """
    enough = min(farkas_certificate(program, multipliers), ENOUGH)

    def without(part: str, j: int) -> Multipliers:
        values = getattr(multipliers, part).copy()
        values[j] = 0.0
        fewer = replace(multipliers, **{part: values})
        return fewer if farkas_certificate(program, fewer) >= enough else multipliers

    for t in range(len(program.terms)):
        multipliers = without("norms", t)
    for j in np.argsort(np.abs(multipliers.rows) * program.absolute_rows.max(axis=0, initial=0.0)):
        if multipliers.rows[j] != 0.0:
            multipliers = without("rows", j)
    names = [program.row_names[j] for j in np.flatnonzero(multipliers.rows)]
    names += [program.terms[t].name for t in np.flatnonzero(multipliers.norms > 0.0)]
    infinite = np.full(program.n, np.inf)
    unbounded = replace(program, lower=-infinite, upper=infinite)
    if farkas_certificate(unbounded, multipliers) < enough:
        names.append("min_weights and max_weights")
    return names
