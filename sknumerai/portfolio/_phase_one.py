"""Kernel: the portfolio that misses the limits least, for a proof that none meets them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from sknumerai.portfolio._program import Multipliers, Program

TOLERANCES = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def phase_one(program: Program) -> Multipliers | None:
    r"""Multipliers of the portfolio that misses the limits least.

    .. math::
        \min_{l \le x \le u,\, v \ge 0} v \quad \text{s.t. } e^- - r v \le E^T x \le e^+ + r v,
            \quad \|x - c_t\|_1 \le \Lambda_t + v

    with :math:`r_j` the largest size in a column of E. Where v is positive at the minimum they
    are a Farkas certificate, which the caller verifies.

    Returns
    -------
    multipliers : Multipliers or None
        None if the linear program could not be solved, or has a minimum of zero.

    Notes
    -----
    By HiGHS, of scipy: for programs that Newton's method neither solves nor refutes.
    """
    n, terms = program.n, [term for term in program.terms if np.isfinite(term.limit)]
    unit = max(program.needed_size, *(np.abs(term.centre).max() for term in terms), 0.0)
    if unit == 0.0:  # the portfolio without weights meets all limits
        return None
    sizes = program.absolute_rows.max(axis=0, initial=0.0)
    sizes = np.where(sizes > 0.0, sizes, 1.0)
    columns: Any = sparse.csr_array(program.rows / sizes).T
    row_limits = [program.row_max / sizes, -program.row_min / sizes]
    eye, ones, k = sparse.identity(n), np.ones((1, n)), len(terms)
    blocks: list[list[Any]] = [[columns, *[None] * k, -np.ones((len(sizes), 1))]]
    blocks += [[-columns, *[None] * k, -np.ones((len(sizes), 1))]]
    limits = [*row_limits]
    for t, term in enumerate(terms):
        own: list[Any] = [None] * k
        own[t] = ones
        blocks.append([None, *own, -np.ones((1, 1))])
        limits.append(np.array([term.limit]))
    for t, term in enumerate(terms):
        own = [None] * k
        own[t] = -eye
        blocks += [[eye, *own, None], [-eye, *own, None]]
        limits += [term.centre, -term.centre]
    limit = np.concatenate(limits) / unit
    kept = np.isfinite(limit)
    bounds = np.vstack(
        [
            np.column_stack([program.lower, program.upper]) / unit,
            np.tile([-np.inf, np.inf], (n * k, 1)),
            [[0.0, np.inf]],
        ]
    )
    matrix = sparse.csr_array(sparse.block_array(blocks))[kept]
    solve: Any = linprog  # its annotations know neither sparse matrices nor unlimited weights
    result = solve(
        np.append(np.zeros(n * (1 + k)), 1.0),
        A_ub=matrix,
        b_ub=limit[kept],
        bounds=bounds,
        method="highs",
        options=TOLERANCES,
    )
    if result.status != 0 or not result.fun > 0.0:
        return None
    prices = np.zeros(len(limit))
    prices[kept] = -result.ineqlin.marginals
    above, below, capped, _ = np.split(prices, np.cumsum([len(sizes), len(sizes), k]))
    norms = np.zeros(len(program.terms))
    norms[[np.isfinite(term.limit) for term in program.terms]] = np.maximum(capped, 0.0)
    return Multipliers((np.maximum(above, 0.0) - np.maximum(below, 0.0)) / sizes, norms)
