"""Kernel: weights that meet the limits up to rounding errors of their own size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._certificates import ROUNDING
from sknumerai.portfolio._dual import Dual, DualPoint
from sknumerai.portfolio._hessian import Hessian
from sknumerai.portfolio._newton import semismooth_newton
from sknumerai.portfolio._program import Multipliers, NormTerm, Program

SHARE = 0.1  # of the error allowed of prices, for the ranges of the weights
NO_PRICE = 1e-3  # of that error: a multiplier below, times the largest of its row, is zero
NO_WEIGHT = 1e-14  # of the largest weight without limits: what is left of a zero
CORRECTIONS, MAX_ITER = 2, 50


def meet_limits(
    dual: Dual, signal: Array, point: DualPoint, error: float
) -> tuple[Array, Multipliers]:
    r"""The nearest portfolio that meets the limits, at nearly the same prices.

    Weights x̃ are differences of prices, with rounding errors relative to these: where limits
    leave little of the weights that a signal asks for, the sums of these errors are seen in the
    limits and in the exposures to factors, which are z in the prices. So each asset may take any
    weight that is optimal for it at prices off by a small part of what is allowed, and of these
    portfolios x̃ + d the one nearest to x̃ and z is wanted that has the binding limits as equations,

    .. math::
        \min_d\ \tfrac12 d^T \mathrm{diag}(q)\, d + \tfrac12 \|L^T (\tilde x + d) - z\|^2
        \quad \text{s.t. } a \le \tilde x + d \le b,\ \text{all limits}:

    a program of corrections, with rounding errors relative to these. The optimality conditions of
    both add up: its multipliers are those that the prices lack.

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
    """
    program, multipliers = dual.program, dual.multipliers(point.theta)
    largest = program.absolute_rows.max(axis=0, initial=0.0)
    negligible = np.abs(multipliers.rows) * largest <= NO_PRICE * error
    rows = np.where(negligible & ~program.equations, 0.0, multipliers.rows)
    norms = np.where(multipliers.norms <= NO_PRICE * error, 0.0, multipliers.norms)

    prices = program.absolute_rows @ np.abs(rows) + norms.sum() + program.largest_cost
    low, high = dual.range_of_weights(point, signal, SHARE * error + 0.5 * ROUNDING * prices)
    weights = np.clip(dual.portfolio(point), low, high)
    noise = NO_WEIGHT * np.abs(signal / program.curvature).max()
    weights = np.where(np.abs(weights) <= noise, np.clip(0.0, low, high), weights)
    factors = point.theta[: dual.n_factors] / dual.norms[: dual.n_factors]
    for _ in range(CORRECTIONS):
        nearest = _nearest(program, Multipliers(rows, norms), low, weights, high)
        projection = Dual(nearest)
        result = semismooth_newton(
            projection,
            Hessian(projection),
            (program.loadings @ (factors - weights @ program.loadings)) / projection.root,
            None,
            tol=1e-14,
            max_iter=MAX_ITER,
            damping=1.0,
        )
        if result.infeasible:
            break
        moved = projection.portfolio(result.point)
        more = projection.multipliers(result.point.theta).rows
        weights = np.where(
            moved <= nearest.lower,
            weights + nearest.lower,
            np.where(moved >= nearest.upper, weights + nearest.upper, weights + moved),
        )
        weights = np.clip(weights, low, high)
        binding = norms > 0.0
        rows = rows + more[: len(rows)]
        norms[binding] += more[len(rows) :]
        factors = weights @ program.loadings
    return weights, Multipliers(rows, norms)


def _nearest(
    program: Program, multipliers: Multipliers, low: Array, weights: Array, high: Array
) -> Program:
    """The program of corrections; norms that bind are rows, on the side of the weights."""
    columns, limits = [program.rows], []
    terms: list[NormTerm] = []
    for term, eta in multipliers.with_terms(program):
        offset = weights - term.centre
        if eta == 0.0:
            terms.append(replace(term, centre=-offset, cost=0.0))
            continue
        above = np.where(offset == 0.0, high - term.centre >= term.centre - low, offset > 0.0)
        low = np.where(above & (low < term.centre), np.minimum(term.centre, high), low)
        high = np.where(~above & (high > term.centre), np.maximum(term.centre, low), high)
        columns.append(np.where(above, 1.0, -1.0)[:, None])
        limits.append(term.limit - term.norm(weights))
    mu, values = multipliers.rows, weights @ program.rows
    return replace(
        program,
        rows=np.hstack(columns),
        row_min=np.append(np.where(mu > 0.0, program.row_max, program.row_min) - values, limits),
        row_max=np.append(np.where(mu < 0.0, program.row_min, program.row_max) - values, limits),
        lower=low - weights,
        upper=high - weights,
        terms=tuple(terms),
    )
