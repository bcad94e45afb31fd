"""Kernel: weights that meet the limits up to rounding errors of their own size."""

from dataclasses import replace

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._certificates import ROUNDING
from sknumerai.portfolio._dual import Dual, DualPoint
from sknumerai.portfolio._hessian import Hessian
from sknumerai.portfolio._newton import semismooth_newton
from sknumerai.portfolio._program import Multipliers, Program

SHARE = 0.1  # of the error allowed of prices, for the ranges of the weights
NO_PRICE = 1e-3  # of that error: a multiplier below, times the largest of its row, is zero
NO_WEIGHT = 1e-14  # of the largest weight without limits: what is left of a zero
CORRECTIONS, MAX_ITER = 2, 50


def meet_limits(
    dual: Dual, signal: Array, point: DualPoint, error: float
) -> tuple[Array, Multipliers]:
    r"""The nearest portfolio that meets the limits, at the same prices.

    Weights are differences of prices, with rounding errors relative to these: where limits leave
    little of the weights that a signal asks for, the sums of these errors are seen in the limits.
    So each asset may take any weight that is optimal for it at prices off by a small part of what
    is allowed, and of these portfolios the one nearest to x̃ is wanted that has the binding limits
    as equations,

    .. math::
        \min_x\ \tfrac12 (x - \tilde x)^T \mathrm{diag}(q) (x - \tilde x)
        \quad \text{s.t. } a \le x \le b,\ \text{all limits}:

    a program with weights where the signal was, and rounding errors relative to weights.

    Parameters
    ----------
    dual : Dual
    signal : ndarray of shape (n,)
    point : DualPoint
    error : float
        Allowed of prices.

    Returns
    -------
    weights : ndarray of shape (n,)
    multipliers : Multipliers
        Those of the point, but for the negligible ones.
    """
    program, multipliers = dual.program, dual.multipliers(point.theta)
    largest = program.absolute_rows.max(axis=0, initial=0.0)
    negligible = np.abs(multipliers.rows) * largest <= NO_PRICE * error
    rows = np.where(negligible & ~program.equations, 0.0, multipliers.rows)
    norms = np.where(multipliers.norms <= NO_PRICE * error, 0.0, multipliers.norms)
    multipliers = Multipliers(rows, norms)

    prices = program.absolute_rows @ np.abs(rows)
    prices += sum(term.cost + eta for term, eta in multipliers.with_terms(program))
    low, high = dual.range_of_weights(point, signal, SHARE * error + 0.5 * ROUNDING * prices)
    weights = np.clip(dual.portfolio(point), low, high)
    noise = NO_WEIGHT * np.abs(signal / program.curvature).max()
    weights = np.where(np.abs(weights) <= noise, np.clip(0.0, low, high), weights)
    nearest = _nearest(program, multipliers, low, weights, high)
    projection = Dual(nearest)
    for _ in range(CORRECTIONS):
        result = semismooth_newton(
            projection,
            Hessian(projection),
            weights * projection.root,
            None,
            tol=1e-14,
            max_iter=MAX_ITER,
            damping=1.0,
        )
        if result.infeasible:
            break
        weights = projection.portfolio(result.point)
    return weights, multipliers


def _nearest(
    program: Program, multipliers: Multipliers, low: Array, weights: Array, high: Array
) -> Program:
    """The program of the nearest portfolio; norms that bind are rows, on the side of weights."""
    columns, limits, terms = [program.rows], [], []
    for term, eta in multipliers.with_terms(program):
        if eta == 0.0:
            terms.append(replace(term, cost=0.0))
            continue
        offset = np.where(
            weights == term.centre, high + low - 2.0 * term.centre, weights - term.centre
        )
        above = offset >= 0.0
        low = np.where(above, np.maximum(low, np.minimum(term.centre, high)), low)
        high = np.where(above, high, np.minimum(high, np.maximum(term.centre, low)))
        sign = np.where(above, 1.0, -1.0)
        columns.append(sign[:, None])
        limits.append(term.limit + sign @ term.centre)
    mu = multipliers.rows
    return Program(
        curvature=program.curvature,
        loadings=np.zeros((program.n, 0)),
        rows=np.hstack(columns),
        row_min=np.append(np.where(mu > 0.0, program.row_max, program.row_min), limits),
        row_max=np.append(np.where(mu < 0.0, program.row_min, program.row_max), limits),
        row_names=[],
        lower=low,
        upper=high,
        terms=tuple(terms),
    )
