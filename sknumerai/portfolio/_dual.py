"""The dual of a portfolio program, in units that make it well scaled."""

from dataclasses import dataclass

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._program import Multipliers, Program


@dataclass(frozen=True)
class DualPoint:
    """Everything known at one point of the dual.

    Attributes
    ----------
    theta : ndarray of shape (n_multipliers,)
        Factor exposures, multipliers of the rows, of leverage and of turnover, all scaled.
    value : float
        The dual function.
    gradient : ndarray of shape (n_multipliers,)
    tilted : ndarray of shape (n,)
        Signal less the prices of factors and rows, scaled.
    weights : ndarray of shape (n,)
        The portfolio that is best at these prices, scaled.
    free : ndarray of shape (n,), bool
        Assets neither at a bound nor at a kink.
    """

    theta: Array
    value: float
    gradient: Array
    tilted: Array
    weights: Array
    free: Array


class Dual:
    r"""Dual function of a `Program`: convex, piecewise quadratic.

    Given prices :math:`\theta = (z, \mu, \eta, \rho)` of the factor link :math:`z = L^T x`, the
    rows, the leverage and the turnover, every asset is on its own:

    .. math::
        x_i = \arg\max_{l_i \le x \le u_i}
            v_i x - \tfrac12 q_i x^2 - (\kappa + \eta) |x| - (c + \rho) |x - x_{0i}|,
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
    """

    def __init__(self, program: Program):
        self.program = program
        self.n_factors = program.loadings.shape[1]
        self.n_linear = self.n_factors + len(program.row_min)
        self.size = self.n_linear + 2
        self.root = np.sqrt(program.curvature)
        matrix = np.empty((program.n, self.n_linear))
        matrix[:, : self.n_factors] = program.loadings
        matrix[:, self.n_factors :] = program.rows
        matrix /= -self.root[:, None]
        norms = np.sqrt(np.einsum("ij,ij->j", matrix, matrix))
        norms[: self.n_factors] = np.hypot(norms[: self.n_factors], 1.0)
        self.norms = np.append(norms, np.full(2, np.sqrt(np.sum(1.0 / program.curvature))))
        self.norms[self.norms == 0.0] = 1.0
        matrix /= self.norms[:-2]
        self.matrix = matrix
        self.ridge = self.norms[: self.n_factors] ** -2.0
        self.row_min = program.row_min / self.norms[self.n_factors : -2]
        self.row_max = program.row_max / self.norms[self.n_factors : -2]
        self.caps = np.array([program.max_leverage, program.max_turnover]) / self.norms[-2:]
        self.capped = np.isfinite(self.caps)
        self.lower, self.upper = program.lower * self.root, program.upper * self.root
        # without costs, the previous portfolio is no kink
        self.anchored = program.transaction_costs > 0.0 or bool(self.capped[1])
        self.previous = program.previous * self.root if self.anchored else np.zeros(program.n)
        self._low, self._high = np.minimum(self.previous, 0.0), np.maximum(self.previous, 0.0)

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
        program, curvature = self.program, 1.0 + proximity
        tilted = signal + self.matrix @ theta[: self.n_linear]
        around_zero = (program.l1_coef + theta[-2] / self.norms[-2]) / self.root
        around_previous = (program.transaction_costs + theta[-1] / self.norms[-1]) / self.root
        weights, free = self._best_weights(
            tilted / curvature, around_zero / curvature, around_previous / curvature
        )
        size, moved = np.abs(weights), np.abs(weights - self.previous)
        mu = theta[self.n_factors : -2]
        limits = np.where(mu > 0, self.row_max, np.where(mu < 0, self.row_min, 0.0))
        factors = theta[: self.n_factors]
        caps = np.where(self.capped, self.caps, 0.0)
        value = (
            (tilted - 0.5 * curvature * weights) @ weights
            - around_zero @ size
            - around_previous @ moved
            + 0.5 * (self.ridge * factors) @ factors
            + limits @ mu
            + caps @ theta[-2:]
        )
        gradient = np.empty(self.size)
        gradient[:-2] = weights @ self.matrix
        gradient[: self.n_factors] += self.ridge * factors
        gradient[-2] = caps[0] - (size / self.root).sum() / self.norms[-2]
        gradient[-1] = caps[1] - (moved / self.root).sum() / self.norms[-1]
        return DualPoint(theta, float(value), gradient, tilted, weights, free)

    def _best_weights(
        self, tilted: Array, around_zero: Array, around_previous: Array
    ) -> tuple[Array, Array]:
        """Each asset's best weight, and whether a small change of its price moves it."""
        low, high = self._low, self._high
        both = around_zero + around_previous
        below, above = tilted + both, tilted - both
        between = tilted
        if self.anchored:
            between = tilted - np.where(
                self.previous > 0, around_zero - around_previous, around_previous - around_zero
            )
        is_below, is_above = below < low, above > high
        weights = np.where(is_below, below, np.where(is_above, above, np.clip(between, low, high)))
        free = is_below | is_above | ((between > low) & (between < high))
        if not both.any():
            free = np.ones(len(tilted), dtype=bool)
        free &= (weights > self.lower) & (weights < self.upper)
        return np.clip(weights, self.lower, self.upper), free

    def sign_columns(self, point: DualPoint) -> Array:
        """Derivative of the prices of the assets by η and ρ, shape (n, 2)."""
        columns = np.empty((len(point.weights), 2))
        columns[:, 0] = -np.sign(point.weights)
        columns[:, 1] = -np.sign(point.weights - self.previous)
        columns /= self.root[:, None]
        columns /= self.norms[-2:]
        return columns

    def portfolio(self, point: DualPoint) -> Array:
        """The weights in the units of the program, exactly at their bounds and kinks."""
        weights = point.weights / self.root
        at_previous = (point.weights == self.previous) & ~point.free
        for held, at in (
            (at_previous & self.anchored, self.program.previous),
            (point.weights <= self.lower, self.program.lower),
            (point.weights >= self.upper, self.program.upper),
        ):
            weights[held] = at[held]
        return weights

    def multipliers(self, theta: Array) -> Multipliers:
        """The multipliers in the units of the program."""
        plain = theta / self.norms
        return Multipliers(plain[self.n_factors : -2], float(plain[-2]), float(plain[-1]))

    def point(self, weights: Array, multipliers: Multipliers) -> Array:
        """Scaled prices that belong to a portfolio and multipliers, shape (n_multipliers,)."""
        mu = np.where(
            ((multipliers.rows > 0) & np.isinf(self.row_max))
            | ((multipliers.rows < 0) & np.isinf(self.row_min)),
            0.0,
            multipliers.rows,
        )
        caps = np.where(self.capped, [multipliers.leverage, multipliers.turnover], 0.0)
        return self.norms * np.r_[self.program.loadings.T @ weights, mu, np.maximum(caps, 0.0)]
