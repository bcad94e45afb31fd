"""Kernel: semismooth Newton on the dual of a portfolio program, globalised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from sys import float_info

import numpy as np
import scipy.linalg

from sknumerai._typing import Array
from sknumerai.portfolio._certificates import (
    farkas_candidate,
    proves_infeasible,
    weight_sizes,
)
from sknumerai.portfolio._dual import Dual, DualPoint
from sknumerai.portfolio._hessian import Hessian

ARMIJO = 1e-4  # share of the decrease that the slope promises
SHRINK = 0.4  # of a step that does not decrease the function by as much
LENGTHEN, LENGTHENED = 4.0, 100  # of a step along a linear part: how much and how often at most
FIRST_DAMPING, LARGEST_DAMPING, NO_DAMPING = 1e-4, 100.0, 1e-9
VALUE_ROUNDING = 1e-13  # relative rounding error of values of the dual function
STALLED = 5  # iterations in a row without a decrease beyond rounding error are the end,
CLOSE = 1e3  # provided that the residual is at most so many times the tolerance


@dataclass(frozen=True)
class NewtonResult:
    """Where the iteration ended.

    Attributes
    ----------
    point : DualPoint
    residual : float
        Largest distance from a limit, relative to the portfolio.
    n_iter : int
    infeasible : bool
        Whether `point` holds a proof that the program has no feasible portfolio.
    """

    point: DualPoint
    residual: float
    n_iter: int
    infeasible: bool = False


@dataclass(frozen=True)
class Stationarity:
    """Which multipliers may move, where to, and how far the point is from the minimum.

    Attributes
    ----------
    gradient : ndarray of shape (n_multipliers,)
        One-sided derivatives, zero for a multiplier that stays at its kink.
    active : ndarray of shape (n_multipliers,), bool
    side : ndarray of shape (n_multipliers,)
        The side of zero, ±1, that a multiplier is on or may go to; 0 for no kink.
    """

    gradient: Array
    active: Array
    side: Array


def semismooth_newton(
    dual: Dual,
    hessian: Hessian,
    signal: Array,
    start: Array | None,
    *,
    tol: float,
    max_iter: int,
    damping: float,
    proximity: float = 0.0,
) -> NewtonResult:
    r"""Minimise the dual function.

    A Newton step solves :math:`H_\lambda d = -g` over the multipliers that may move, with

    .. math:: H_\lambda = \mathrm{diag}(I, 0) + C_F^T C_F + \lambda\, C_N^T C_N

    where F are the free assets and N those at a bound or kink: with :math:`\lambda = 0` this is
    an element of the generalised Hessian and converges in finitely many steps near the solution;
    with more it is bounded away from singular. Multipliers of inequalities have a kink or a bound
    at zero: those whose step would cross it at once are left out and the step is solved anew. The
    step is searched along its projection, then up to the first kink it meets, and if neither
    decreases the function, :math:`\lambda` grows and the step is taken anew; no step is taken
    that does not decrease it.

    Parameters
    ----------
    dual : Dual
    hessian : Hessian
        Of that dual; it remembers where it was last.
    signal : ndarray of shape (n,)
        Scaled, over √q.
    start : ndarray of shape (n_multipliers,) or None
        Scaled multipliers to start from; zeros if None.
    tol : float
        Residual at which to stop.
    max_iter : int
    damping : float
        First λ: 1 for a cold start, 0 near the solution.
    proximity : float, default=0.0
        As in `Dual.evaluate`.

    Returns
    -------
    result : NewtonResult
        Not verified: the caller looks at the residual and at the certificate.

    Notes
    -----
    An iteration costs 2 n m² flops for the Hessian with m multipliers, and two passes through
    the (n, m) matrix.

    References
    ----------
    Qi, L. and Sun, J. (1993), "A nonsmooth version of Newton's method", Mathematical Programming.
    """
    evaluate = partial(dual.evaluate, signal=signal, proximity=proximity)
    point = evaluate(np.zeros(dual.size) if start is None else start)
    stalled = 0
    for iteration in range(max_iter + 1):
        state = stationarity(dual, point)
        residual = float(np.abs(state.gradient).max(initial=0.0))
        if residual > 0.0:
            size = np.linalg.norm(weight_sizes(point.weights, signal))
            residual /= max(float(size), float_info.min)
        if residual <= tol or iteration == max_iter or stalled == STALLED:
            break
        if iteration >= 2:
            candidate = farkas_candidate(dual.program, dual.multipliers(point.theta))
            if proves_infeasible(dual.program, candidate):
                return NewtonResult(point, residual, iteration, infeasible=True)
        hessian.move_to(point)
        found = None
        while damping <= LARGEST_DAMPING:
            matrix = hessian.matrix(damping, proximity)
            step = _direction(matrix, state, point.theta)
            found = _search(evaluate, point, state, step, patient=damping >= 1.0)
            if found is not None:
                break
            damping = max(10.0 * damping, FIRST_DAMPING)
        if found is None:
            break
        decrease = point.value - found[0].value
        no_progress = decrease <= VALUE_ROUNDING * abs(point.value) and residual <= CLOSE * tol
        stalled = stalled + 1 if no_progress else 0
        point, length = found
        damping *= 0.1 if length == 1.0 else (1.0 if length > 0.3 else 3.0)
        if damping < NO_DAMPING:
            damping = 0.0
    return NewtonResult(point, residual, iteration)


def stationarity(dual: Dual, point: DualPoint) -> Stationarity:
    """One-sided derivatives at a point of the dual; see `Stationarity`."""
    gradient, theta = point.gradient.copy(), point.theta
    active = np.ones(dual.size, dtype=bool)
    side = np.zeros(dual.size)
    rows, norms = slice(dual.n_factors, dual.n_linear), slice(dual.n_linear, None)
    equations = dual.program.equations
    mu, slope = theta[rows], gradient[rows]
    upwards, downwards = slope + dual.row_max, slope + dual.row_min
    stays = (mu == 0.0) & ~equations & (upwards >= 0.0) & (downwards <= 0.0)
    sign = np.where(mu != 0.0, np.sign(mu), np.where(upwards < 0.0, 1.0, -1.0))
    gradient[rows] = np.where(stays, 0.0, np.where(equations | (sign > 0), upwards, downwards))
    active[rows] = ~stays
    side[rows] = np.where(equations, 0.0, sign)
    side[norms] = 1.0
    active[norms] = dual.capped & ((theta[norms] > 0.0) | (gradient[norms] < 0.0))
    gradient[norms] = np.where(active[norms], gradient[norms], 0.0)
    return Stationarity(gradient, active, side)


def _direction(hessian: Array, state: Stationarity, theta: Array) -> Array:
    """Newton step over the multipliers that may move, shape (n_multipliers,)."""
    moving = np.flatnonzero(state.active)
    while True:
        step = -_solve(hessian[np.ix_(moving, moving)], state.gradient[moving])
        leaves = (theta[moving] == 0.0) & (state.side[moving] != 0.0)
        leaves &= step * state.side[moving] <= 0.0
        if not leaves.any():
            break
        moving = moving[~leaves]
    full = np.zeros(len(theta))
    full[moving] = step
    return full


def _solve(matrix: Array, right: Array) -> Array:
    """Solve a positive semidefinite system; a small ridge makes it regular."""
    if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
        raise FloatingPointError("overflow in the Hessian")
    ridge = 1e-12
    while len(right):
        damped = matrix.copy()
        np.einsum("ii->i", damped)[:] += ridge
        try:
            factor = scipy.linalg.cho_factor(
                damped, lower=True, overwrite_a=True, check_finite=False
            )
        except scipy.linalg.LinAlgError:
            ridge *= 100.0
            continue
        return scipy.linalg.cho_solve(factor, right, check_finite=False)
    return right


def _lengthen(
    evaluate: Callable[[Array], DualPoint], point: DualPoint, new: DualPoint
) -> DualPoint:
    """A point further away while no asset is free and the function, linear there, decreases."""
    for _ in range(LENGTHENED):
        if new.free.any():
            break
        further = evaluate(point.theta + LENGTHEN * (new.theta - point.theta))
        if not further.value < new.value:
            break
        new = further
    return new


def _search(
    evaluate: Callable[[Array], DualPoint],
    point: DualPoint,
    state: Stationarity,
    step: Array,
    *,
    patient: bool,
) -> tuple[DualPoint, float] | None:
    """A point that decreases the dual function, and the length of the step, or None."""
    theta, rounding = point.theta, VALUE_ROUNDING * abs(point.value)
    orthant = np.where(theta != 0.0, np.sign(theta), state.side)
    kinked = state.side != 0.0
    length = 1.0
    for attempt in range(4):
        trial = theta + length * step
        crossed = kinked & (orthant * trial < 0.0)
        trial[crossed] = 0.0
        slope = state.gradient @ (trial - theta)
        if slope < 0.0:
            new = evaluate(trial)
            if new.value <= point.value + ARMIJO * slope + rounding:
                if length == 1.0 and not new.free.any():
                    new = _lengthen(evaluate, point, new)
                return new, length
        if not crossed.any() and attempt >= 2:
            break
        length *= SHRINK
    # never across a kink: stop exactly at the first one
    crosses = kinked & (theta != 0.0) & (orthant * step < 0.0)
    ratio = np.full(len(theta), np.inf)
    ratio[crosses] = -theta[crosses] / step[crosses]
    longest = length = min(1.0, ratio.min())
    slope = state.gradient @ step
    for attempt in range(25):
        trial = theta + length * step
        trial[ratio <= length * (1.0 + 1e-12)] = 0.0
        new = evaluate(trial)
        if new.value <= point.value + ARMIJO * length * slope + rounding:
            return new, length
        if not patient and attempt >= 3 and length < 0.05 * longest:
            break
        length *= SHRINK
    return None
