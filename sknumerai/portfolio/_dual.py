"""The dual of a portfolio program, in units that make it well scaled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._program import Multipliers, Program, priced_limits


@dataclass(frozen=True)
class DualPoint:
    """Everything known at one point of the dual.

    Attributes
    ----------
    theta : ndarray of shape (n_multipliers,)
        Factor exposures, then the multipliers of the rows and of the norm terms, all scaled.
    value : float
        The dual function.
    gradient : ndarray of shape (n_multipliers,)
    weights : ndarray of shape (n,)
        The portfolio that is best at these prices, scaled.
    free : ndarray of shape (n,), bool
        Assets neither at a bound nor at a kink.
    """

    theta: Array
    value: float
    gradient: Array
    weights: Array
    free: Array


class Dual:
    r"""Dual function of a `Program`: convex, piecewise quadratic.

    Given prices :math:`\theta = (z, \mu, \eta)` of the factor link :math:`z = L^T x`, the rows and
    the norm terms, every asset is on its own:

    .. math::
        x_i = \arg\max_{l_i \le x \le u_i}
            v_i x - \tfrac12 q_i x^2 - \sum_t (\kappa_t + \eta_t) |x - c_{ti}|,
        \quad v = s - L z - E \mu

    The dual function is the sum of these maxima, plus :math:`\|z\|^2/2`, plus the limits times
    their prices; its gradient is how far each limit is missed. Weights are kept times
    :math:`\sqrt{q}`, and multipliers times the norm of their column of the matrix, so that
    the Hessian with all assets free has a diagonal of ones.

    Parameters
    ----------
    program : Program

    Attributes
    ----------
    matrix : ndarray of shape (n, n_factors + n_rows)
        -[L, E] with rows over :math:`\sqrt q` and columns over their norms.
    ridge : ndarray of shape (n_factors,)
        The diagonal that :math:`\|z\|^2/2` adds to the Hessian.
    n_linear, size : int
        Number of factors and rows, and of all multipliers.
    capped : ndarray of shape (n_terms,), bool
        Which norm terms have a limit.
    """

    def __init__(self, program: Program):
        self.program = program
        self.n_factors = program.loadings.shape[1]
        self.n_linear = self.n_factors + len(program.row_min)
        self.size = self.n_linear + len(program.terms)
        self.root = np.sqrt(program.curvature)
        matrix = np.empty((program.n, self.n_linear))
        matrix[:, : self.n_factors] = program.loadings
        matrix[:, self.n_factors :] = program.rows
        matrix /= -self.root[:, None]
        norms = np.sqrt(np.einsum("ij,ij->j", matrix, matrix))
        norms[: self.n_factors] = np.hypot(norms[: self.n_factors], 1.0)
        norms[norms == 0.0] = 1.0
        if not np.isfinite(norms).all():
            raise FloatingPointError("overflow in the norm of an exposure")
        matrix /= norms
        self.matrix = matrix
        self.ridge = norms[: self.n_factors] ** -2.0
        self.row_min = program.row_min / norms[self.n_factors :]
        self.row_max = program.row_max / norms[self.n_factors :]
        self.lower, self.upper = program.lower * self.root, program.upper * self.root
        self._inverse_root = 1.0 / self.root
        self._term_norm = float(np.linalg.norm(self._inverse_root))
        self.norms = np.append(norms, np.full(len(program.terms), self._term_norm))
        self._costs = np.array([term.cost for term in program.terms])
        limits = np.array([term.limit for term in program.terms])
        self.capped = np.isfinite(limits)
        self._caps = np.where(self.capped, limits, 0.0) / self._term_norm
        centres = [term.centre * self.root for term in program.terms]
        self._centres = np.reshape(centres, (len(centres), program.n))
        self._order = np.argsort(self._centres, axis=0)
        self._kinks = np.take_along_axis(self._centres, self._order, axis=0)

    def evaluate(self, theta: Array, signal: Array, proximity: float = 0.0) -> DualPoint:
        """The dual function and what belongs to it.

        Parameters
        ----------
        theta : ndarray of shape (n_multipliers,)
        signal : ndarray of shape (n,)
            Over √q.
        proximity : float, default=0.0
            c of a program whose curvature is (1 + c) q.
        """
        curvature = 1.0 + proximity
        factors, mu, eta = np.split(theta, [self.n_factors, self.n_linear])
        tilted, prices = self._prices(theta, signal)
        weights, free = self._best_weights(tilted / curvature, prices / curvature)
        norms = np.abs(weights - self._centres) @ self._inverse_root
        limits = priced_limits(mu, self.row_min, self.row_max)
        value = (
            (tilted - 0.5 * curvature * weights) @ weights
            - prices @ norms
            + 0.5 * (self.ridge * factors) @ factors
            + limits @ mu
            + self._caps @ eta
        )
        gradient = np.empty(self.size)
        gradient[: self.n_linear] = weights @ self.matrix
        gradient[: self.n_factors] += self.ridge * factors
        gradient[self.n_linear :] = self._caps - norms / self._term_norm
        return DualPoint(theta, float(value), gradient, weights, free)

    def _prices(self, theta: Array, signal: Array) -> tuple[Array, Array]:
        """What is left of the signal, shape (n,), and the prices of the norms, (n_terms,)."""
        tilted = signal + self.matrix @ theta[: self.n_linear]
        return tilted, self._costs + theta[self.n_linear :] / self._term_norm

    def _best_weights(self, tilted: Array, prices: Array) -> tuple[Array, Array]:
        """Each asset's best weight, and whether a small change of its price moves it.

        Between two kinks the slope of the norm terms is constant, and the best weight is the
        signal less that slope. At a kink the slope rises: the best weight is then the one of the
        slope below if that is below the kink, the one of the slope above if that is above the
        kink, and the kink itself otherwise. From the smallest kink to the largest, this is exact
        for any number of them.
        """
        slope = -prices.sum()
        weights = tilted - slope * self._inverse_root
        for kink, term in zip(self._kinks, self._order, strict=True):
            slope = slope + 2.0 * prices[term]
            above = tilted - slope * self._inverse_root
            weights = np.maximum(np.minimum(weights, kink), above)
        free = (weights > self.lower) & (weights < self.upper)
        for price, centre in zip(prices, self._centres, strict=True):
            if price > 0.0:
                free &= weights != centre
        return np.clip(weights, self.lower, self.upper), free

    def sign_columns(self, point: DualPoint) -> Array:
        """Derivative of the prices of the assets by those of the norm terms, shape (n, n_terms)."""
        scale = self._inverse_root / -self._term_norm
        return np.ascontiguousarray((np.sign(point.weights - self._centres) * scale).T)

    def portfolio(self, point: DualPoint) -> Array:
        """The weights in the units of the program, exactly at their bounds and kinks."""
        weights, program = point.weights / self.root, self.program
        for centre, term in zip(self._centres, program.terms, strict=True):
            held = (point.weights == centre) & ~point.free
            weights = np.where(held, term.centre, weights)
        weights = np.where(point.weights <= self.lower, program.lower, weights)
        return np.where(point.weights >= self.upper, program.upper, weights)

    def range_of_weights(
        self, point: DualPoint, signal: Array, error: Array
    ) -> tuple[Array, Array]:
        """Smallest and largest weights at a point of the dual, for signals within an error."""
        tilted, prices = self._prices(point.theta, signal * self._inverse_root)
        error = error * self._inverse_root
        low, high = (
            self.portfolio(replace(point, weights=weights, free=free))
            for weights, free in (
                self._best_weights(tilted - error, prices),
                self._best_weights(tilted + error, prices),
            )
        )
        return low, high

    def held_at(self, point: DualPoint, weights: Array) -> DualPoint:
        """The point with other weights at its prices, those of `portfolio`."""
        program, prices = self.program, self._costs + point.theta[self.n_linear :]
        free = (weights > program.lower) & (weights < program.upper)
        for price, term in zip(prices, program.terms, strict=True):
            if price > 0.0:
                free &= weights != term.centre
        return replace(point, weights=weights * self.root, free=free)

    def multipliers(self, theta: Array) -> Multipliers:
        """The multipliers in the units of the program."""
        _, rows, norms = np.split(theta / self.norms, [self.n_factors, self.n_linear])
        return Multipliers(rows, norms)

    def point(self, weights: Array, multipliers: Multipliers) -> Array:
        """Scaled prices that belong to a portfolio and multipliers, shape (n_multipliers,)."""
        # not priced: limits that are infinite
        limits = priced_limits(multipliers.rows, self.row_min, self.row_max)
        mu = np.where(np.isinf(limits), 0.0, multipliers.rows)
        eta = np.where(self.capped, np.maximum(multipliers.norms, 0.0), 0.0)
        point: Array = self.norms * np.r_[self.program.loadings.T @ weights, mu, eta]
        return point
