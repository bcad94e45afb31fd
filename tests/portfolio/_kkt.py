"""The conditions of an optimal portfolio, read from the weights returned: plain numpy, no package.

A second reading of the documented program, for sizes of any order of magnitude.
"""

from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

OPTIONS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def limits_of(params, risk, n):
    """Rows as (coefficients, minimum, maximum), and norms as (centre, cost, limit)."""
    rows = []
    if params.get("budget", 0.0) is not None:
        rows.append((np.ones(n), params.get("budget", 0.0), params.get("budget", 0.0)))
    if params.get("sector_neutral"):
        sectors = np.asarray(risk["sectors"])
        rows += [((sectors == sector) * 1.0, 0.0, 0.0) for sector in np.unique(sectors)]
    if "exposures" in risk:
        exposures = np.asarray(risk["exposures"], dtype=float)
        maximum = np.broadcast_to(params.get("max_exposure", 0.0), exposures.shape[1])
        minimum = np.broadcast_to(params.get("min_exposure", -maximum), exposures.shape[1])
        rows += list(zip(exposures.T, minimum, maximum, strict=True))
    previous = np.asarray(risk.get("previous_weights", np.zeros(n)), dtype=float)
    norms = [
        (np.zeros(n), params.get("l1_coef", 0.0), params.get("max_leverage", np.inf)),
        (previous, params.get("transaction_costs", 0.0), params.get("max_turnover", np.inf)),
    ]
    return rows, norms


def violation(params, risk, weights):
    """How far weights miss a limit, relative to it or to the weights; sums are exact."""
    x, n = [Fraction(float(w)) for w in weights], len(weights)
    rows, norms = limits_of(params, risk, n)
    size = Fraction(float(np.abs(weights).max()))
    worst = [Fraction(0)]
    for coefficients, low, high in rows:
        e = [Fraction(float(v)) for v in coefficients]
        value = sum((a * b for a, b in zip(e, x, strict=True)), Fraction(0))
        held = sum((abs(a) * max(abs(b), size) for a, b in zip(e, x, strict=True)), Fraction(0))
        for sign, limit in ((1, high), (-1, low)):
            if np.isfinite(limit):
                missed = sign * (value - Fraction(float(limit)))
                scale = max(held, abs(Fraction(float(limit))))
                if missed > 0:
                    worst.append(missed / scale if scale else Fraction(1))
    for centre, _, limit in norms:
        if np.isfinite(limit):
            c = [Fraction(float(v)) for v in centre]
            value = sum((abs(a - b) for a, b in zip(x, c, strict=True)), Fraction(0))
            # what a rounding error of each weight amounts to
            summed = sum((abs(a) + abs(b) for a, b in zip(x, c, strict=True)), Fraction(0))
            missed = value - Fraction(float(limit)) - 32 * Fraction(2.0**-52) * summed
            worst.append(max(missed, Fraction(0)) / Fraction(float(limit)))
    low = np.broadcast_to(params.get("min_weights", -np.inf), n)
    high = np.broadcast_to(params.get("max_weights", np.inf), n)
    if (weights < low).any() or (weights > high).any():
        worst.append(Fraction(1))
    return float(max(worst))


def off_stationarity(params, signal, risk, weights, active=1e-8):
    """Smallest error of stationarity over all multipliers, relative to the prices.

    Multipliers of limits that are not reached are zero; the others, a subgradient of each norm
    and a normal of the box are the unknowns of a linear program. Prices are the largest of the
    signal and the marginal risk, or the costs where these are a million times as large.
    """
    x, n = np.asarray(weights, dtype=float), len(weights)
    rows, norms = limits_of(params, risk, n)
    aversion = params.get("risk_aversion", 1.0)
    marginal = aversion * np.broadcast_to(risk.get("specific_variance", 1.0), n) * x
    if "factor_loadings" in risk:
        loadings = np.asarray(risk["factor_loadings"], dtype=float)
        covariance = np.asarray(risk.get("factor_covariance", np.eye(loadings.shape[1])))
        marginal = marginal + aversion * (loadings @ (covariance @ (loadings.T @ x)))
    marginal = marginal + params.get("l2_coef", 0.0) * x
    costs = sum(cost for _, cost, _ in norms)
    price = max(float(np.abs(signal).max()), float(np.abs(marginal).max()))
    if price < 1e-6 * costs:
        price = costs
    if price == 0.0:
        return 0.0
    force = np.asarray(signal, dtype=float) / price - marginal / price
    size = float(np.abs(x).max())
    columns, bounds, equal, right = [], [], [], []
    for e, low, high in rows:
        if not e.any():
            continue
        value, held = float(e @ x), float(np.abs(e) @ np.maximum(np.abs(x), size))
        reach = active * max(held, *(abs(v) for v in (low, high) if np.isfinite(v)), 0.0)
        columns.append(e / np.abs(e).max())
        bounds.append((None if value - low <= reach else 0, None if high - value <= reach else 0))
    m = len(columns)
    rank_one = np.reshape(columns, (m, n)).T if m else np.zeros((n, 0))
    etas, subgradients = [], []
    for centre, cost, limit in norms:
        moved = x - centre
        at = np.isfinite(limit) and np.abs(moved).sum() >= limit * (1 - active)
        etas.append((0, None if at else 0))
        subgradients.append((moved, cost / price))
    # unknowns: multipliers, η of both norms, subgradients of both, normal of the box, error
    width = m + 2 + 3 * n + 1
    eye = np.eye(n)
    stationary = np.hstack([rank_one, np.zeros((n, 2)), eye, eye, eye])
    ones = np.ones((n, 1))
    upper, limits = (
        [np.hstack([stationary, -ones]), np.hstack([-stationary, -ones])],
        [force, -force],
    )
    for k, (moved, cost) in enumerate(subgradients):
        for i in range(n):
            row = np.zeros(width)
            row[m + 2 + k * n + i] = 1.0
            sign = np.sign(moved[i]) if abs(moved[i]) > active * size else 0.0
            if sign:
                row[m + k] = -sign
                equal.append(row)
                right.append(sign * cost)
            else:
                for direction in (1.0, -1.0):
                    one_sided = direction * row
                    one_sided[m + k] = -1.0
                    upper.append(one_sided[None])
                    limits.append(np.array([cost]))
    low = np.broadcast_to(params.get("min_weights", -np.inf), n)
    high = np.broadcast_to(params.get("max_weights", np.inf), n)
    box = [
        (None if at_low else 0, None if at_high else 0)
        for at_low, at_high in zip(x - low <= active * size, high - x <= active * size, strict=True)
    ]
    result = linprog(
        np.r_[np.zeros(width - 1), 1.0],
        A_ub=np.vstack(upper),
        b_ub=np.concatenate(limits),
        A_eq=np.reshape(equal, (len(equal), width)),
        b_eq=np.asarray(right),
        bounds=[*bounds, *etas, *[(None, None)] * (2 * n), *box, (0, None)],
        method="highs",
        options=OPTIONS,
    )
    assert result.status == 0, result.message
    return float(result.x[-1])


def smallest_violation(params, risk, n):
    """Phase 1: the smallest possible violation of rows and norms by weights in the box.

    Relative to the size of the limits; inf where the box itself is empty.
    """
    rows, norms = limits_of(params, risk, n)
    low = np.broadcast_to(params.get("min_weights", -np.inf), n)
    high = np.broadcast_to(params.get("max_weights", np.inf), n)
    if (low > high).any():
        return np.inf
    sizes = [np.abs(low), np.abs(high), [np.abs(centre).sum() for centre, _, _ in norms]]
    sizes += [[abs(a) / np.abs(e).max(), abs(b) / np.abs(e).max()] for e, a, b in rows if e.any()]
    sizes = np.concatenate([np.atleast_1d(s) for s in sizes])
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    unit = float(sizes.max()) if len(sizes) else 1.0
    width = 3 * n + 1
    upper, limits = [], []
    for e, minimum, maximum in rows:
        scale = float(np.abs(e).max()) or 1.0
        for sign, limit in ((1.0, maximum), (-1.0, -minimum)):
            if np.isfinite(limit):
                upper.append(np.r_[sign * e / scale, np.zeros(2 * n), -1.0])
                limits.append(limit / scale / unit)
    for k, (centre, _, limit) in enumerate(norms):
        if not np.isfinite(limit):
            continue
        row = np.zeros(width)
        row[n + k * n : 2 * n + k * n], row[-1] = 1.0, -1.0
        upper.append(row)
        limits.append(limit / unit)
        for sign in (1.0, -1.0):
            for i in range(n):
                row = np.zeros(width)
                row[i], row[n + k * n + i] = sign, -1.0
                upper.append(row)
                limits.append(sign * centre[i] / unit)
    result = linprog(
        np.r_[np.zeros(width - 1), 1.0],
        A_ub=np.reshape(upper, (len(upper), width)),
        b_ub=np.asarray(limits),
        bounds=[*zip(low / unit, high / unit, strict=True), *[(None, None)] * (2 * n), (0, None)],
        method="highs",
        options=OPTIONS,
    )
    assert result.status == 0, result.message
    return float(result.fun)
