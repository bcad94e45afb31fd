"""Random portfolio programs as callers state them, and slow, independent ways to judge them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linprog, minimize

from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._engines import make_engine
from sknumerai.portfolio._risk_data import RiskTables

TERMS = (
    *("box", "one-sided box", "leverage", "turnover", "budget", "no budget"),
    *("exposures", "one-sided exposures", "sectors", "dependent rows"),
    *("factors", "singular factors", "l1", "l2", "costs"),
)


@dataclass(frozen=True)
class Case:
    """Parameters of a PortfolioOptimizer, a signal and risk data.

    `scale` is the size of a weight without limits; every judge works in units of it.
    """

    params: dict[str, Any]
    signal: np.ndarray
    risk: dict[str, Any]
    scale: float

    def optimizer(self, **params):
        return PortfolioOptimizer(**{**self.params, **params})

    def fit(self, **params):
        return self.optimizer(**params).fit(self.signal, **self.risk)

    def engine(self, **params):
        tables = RiskTables(len(self.signal), **self.risk)
        risk = tables.era(None, slice(0, len(self.signal)))
        return make_engine(self.optimizer(**params), risk)

    def without(self, *names):
        """The same without some parameters."""
        return replace(self, params={k: v for k, v in self.params.items() if k not in names})


def make_case(seed, terms, n):
    """A random program around a portfolio that is feasible, so that most limits are binding.

    Parameters
    ----------
    seed : int
    terms : collection of str
        Those of TERMS that are on.
    n : int
        Number of stocks.
    """
    rng = np.random.default_rng(seed)
    variance = np.exp(rng.normal(size=n)) * 10.0 ** rng.uniform(-4, 1)
    aversion = rng.uniform(0.5, 5.0)
    signal = rng.normal(size=n) * 10.0 ** rng.uniform(-4, 1)
    params: dict[str, Any] = {"risk_aversion": aversion}
    risk: dict[str, Any] = {"specific_variance": variance}
    if {"factors", "singular factors"} & set(terms):
        k = int(rng.integers(1, 5))
        risk["factor_loadings"] = rng.normal(size=(n, k))
        root = rng.normal(size=(k, k)) * np.sqrt(variance.mean()) * 10.0 ** rng.uniform(-1.5, 0.5)
        if "singular factors" in terms:
            root[:, 0] = 0.0
        risk["factor_covariance"] = root @ root.T
    if "l2" in terms:
        params["l2_coef"] = aversion * variance.mean() * rng.uniform(0.1, 2.0)
    scale = float(np.abs(signal / (aversion * variance + params.get("l2_coef", 0.0))).mean())

    feasible = 0.3 * rng.normal(size=n)
    if "sectors" in terms:
        sectors = rng.integers(0, 3, n)
        for sector in np.unique(sectors):
            feasible[sectors == sector] -= feasible[sectors == sector].mean()
        params["sector_neutral"] = True
        risk["sectors"] = sectors
    elif "budget" not in terms:
        feasible -= feasible.mean()
    feasible *= scale
    params["budget"] = None if "no budget" in terms else float(feasible.sum())
    if "sectors" in terms and "no budget" not in terms:
        params["budget"] = 0.0
    if "box" in terms or "one-sided box" in terms:
        room = scale * np.exp(rng.normal(size=(2, n))) * 10.0 ** rng.uniform(-2, 0)
        params["max_weights"] = np.maximum(feasible, 0.0) + room[0]
        if "box" in terms:
            params["min_weights"] = np.minimum(feasible, 0.0) - room[1]
    if "turnover" in terms or "costs" in terms:
        previous = np.where(rng.random(n) < 0.4, 0.0, 0.4 * scale * rng.normal(size=n))
        risk["previous_weights"] = previous
    if "turnover" in terms:
        params["max_turnover"] = np.abs(feasible - previous).sum() * rng.uniform(1.05, 1.5)
    if "leverage" in terms:
        params["max_leverage"] = np.abs(feasible).sum() * rng.uniform(1.05, 1.5)
    for term, name in (("l1", "l1_coef"), ("costs", "transaction_costs")):
        if term in terms:
            params[name] = np.abs(signal).mean() * rng.uniform(0.02, 0.4)
    if {"exposures", "one-sided exposures", "dependent rows"} & set(terms):
        exposures = rng.integers(0, 5, (n, int(rng.integers(1, max(2, min(6, n // 3)))))) - 2.0
        if "dependent rows" in terms:
            exposures = np.column_stack([exposures, -2.0 * exposures[:, 0], np.ones(n)])
        values = feasible @ exposures
        width = np.abs(values).mean() * 10.0 ** rng.uniform(-2, 0, (2, len(values)))
        width[:, rng.random(len(values)) < 0.3] = 0.0
        if "one-sided exposures" in terms:
            width[rng.random(width.shape) < 0.3] = np.inf
        params["min_exposure"], params["max_exposure"] = values - width[0], values + width[1]
        risk["exposures"] = exposures
    return Case(params, signal, risk, scale)


def shift_limits(case, seed):
    """The same with one kind of limit moved, which often leaves no portfolio."""
    rng = np.random.default_rng(seed)
    params = dict(case.params)
    movable = [
        name
        for name in ("budget", "max_leverage", "max_turnover", "max_exposure", "max_weights")
        if params.get(name) is not None
    ]
    name = movable[rng.integers(len(movable))]
    if name in ("max_leverage", "max_turnover"):
        params[name] *= rng.uniform(0.01, 1.0)
    elif name == "budget":
        params[name] += case.scale * len(case.signal) * rng.normal()
    elif name == "max_exposure":
        shift = case.scale * len(case.signal) * rng.normal(size=len(params[name]))
        params["max_exposure"] = params["max_exposure"] + shift
        params["min_exposure"] = params["min_exposure"] + shift
    else:
        shift = case.scale * rng.normal()
        params["max_weights"] = params["max_weights"] + shift
        params["min_weights"] = params.get("min_weights", -np.inf) + min(shift, 0.0)
    return replace(case, params=params)


class Plain:
    """A case as dense matrices: a second reading of the documented objective and limits.

    In units of `scale` for weights and of the largest signal for the objective.
    """

    def __init__(self, case):
        get, n = case.params.get, len(case.signal)
        unit, price = case.scale, float(np.abs(case.signal).max())
        variance = np.diag(np.broadcast_to(case.risk.get("specific_variance", 1.0), n))
        if "factor_loadings" in case.risk:
            loadings = case.risk["factor_loadings"]
            k = loadings.shape[1]
            variance = variance + loadings @ case.risk.get("factor_covariance", np.eye(k)) @ (
                loadings.T
            )
        hessian = get("risk_aversion", 1.0) * variance + get("l2_coef", 0.0) * np.eye(n)
        self.n, self.unit = n, unit
        self.hessian = hessian * unit / price
        self.signal = case.signal / price
        self.l1 = get("l1_coef", 0.0) / price
        self.costs = get("transaction_costs", 0.0) / price
        self.previous = np.asarray(case.risk.get("previous_weights", np.zeros(n))) / unit
        self.lower = np.broadcast_to(get("min_weights", -np.inf), n) / unit
        self.upper = np.broadcast_to(get("max_weights", np.inf), n) / unit
        self.leverage = get("max_leverage", np.inf) / unit
        self.turnover = get("max_turnover", np.inf) / unit
        rows, low, high, self.names = [], [], [], []
        if get("budget", 0.0) is not None:
            self.names.append("budget")
            rows.append(np.ones((n, 1)))
            low.append([get("budget", 0.0)])
            high.append(low[-1])
        if get("sector_neutral"):
            sectors = np.asarray(case.risk["sectors"])
            for sector in np.unique(sectors).tolist():
                self.names.append(f"neutrality of sector {sector!r}")
                rows.append((sectors == sector)[:, None] * 1.0)
                low.append([0.0])
                high.append([0.0])
        if "exposures" in case.risk:
            exposures = np.asarray(case.risk["exposures"], dtype=float)
            m = exposures.shape[1]
            high.append(np.broadcast_to(get("max_exposure", 0.0), m))
            low.append(np.broadcast_to(get("min_exposure", -high[-1]), m))
            rows.append(exposures)
            self.names += [f"exposure {j}" for j in range(m)]
        self.rows = np.hstack([np.zeros((n, 0)), *rows])
        self.low, self.high = (np.concatenate([[], *limit]) / unit for limit in (low, high))

    def violation(self, weights):
        """How far weights are outside of the limits."""
        x = weights / self.unit
        values = x @ self.rows
        gaps = [self.low - values, values - self.high, self.lower - x, x - self.upper]
        gaps += [[np.abs(x).sum() - self.leverage]]
        gaps += [[np.abs(x - self.previous).sum() - self.turnover]]
        return max(0.0, *np.concatenate(gaps))

    def distance_from_stationarity(self, weights, active=1e-8):
        """Smallest error of the stationarity condition over all multipliers, by linear programming.

        The multipliers are unknowns: nothing but the weights comes from who is judged. Unknowns
        are μ (rows), η (leverage), ρ (turnover), a subgradient of each norm per asset, a normal
        of the box per asset, and the error t, which is minimised.
        """
        n, m, x = self.n, len(self.low), weights / self.unit
        moved, values = x - self.previous, x @ self.rows
        size = 1.0 + np.abs(x) @ np.abs(self.rows)
        signs = [np.where(np.abs(v) <= active, 0.0, np.sign(v)) for v in (x, moved)]
        bounds = [
            (
                None if abs(values[j] - self.low[j]) <= active * size[j] else 0,
                None if abs(values[j] - self.high[j]) <= active * size[j] else 0,
            )
            for j in range(m)
        ]
        for limit, v in ((self.leverage, x), (self.turnover, moved)):
            at = np.isfinite(limit) and abs(np.abs(v).sum() - limit) <= active * (1.0 + limit)
            bounds.append((0, None if at else 0))
        bounds += [(None, None)] * (2 * n)
        bounds += [
            (None if at_lower else 0, None if at_upper else 0)
            for at_lower, at_upper in zip(
                x - self.lower <= active, self.upper - x <= active, strict=True
            )
        ]
        bounds.append((0, None))
        eye, zero = np.eye(n), np.zeros((n, n))
        stationary = np.hstack([self.rows, np.zeros((n, 2)), eye, eye, eye])
        force = self.signal - self.hessian @ x
        ones = np.ones((n, 1))
        upper = [np.hstack([stationary, -ones]), np.hstack([-stationary, -ones])]
        right = [force, -force]
        equal, equal_right = [np.zeros((0, m + 2 + 3 * n + 1))], [np.zeros(0)]
        for k, (sign, coef) in enumerate(zip(signs, (self.l1, self.costs), strict=True)):
            own = [zero, zero, zero]
            own[k] = eye
            at_zero = sign == 0.0
            for direction in (1.0, -1.0):  # direction · subgradient <= coef + multiplier
                block = np.zeros((n, m + 2))
                block[:, m + k] = -1.0
                row = np.hstack([block, direction * own[0], direction * own[1], zero, 0 * ones])
                upper.append(row[at_zero])
                right.append(np.full(at_zero.sum(), coef))
            block = np.zeros((n, m + 2))
            block[:, m + k] = -sign
            row = np.hstack([block, *own, 0 * ones])
            equal.append(row[~at_zero])
            equal_right.append(coef * sign[~at_zero])
        result = linprog(
            np.r_[np.zeros(m + 2 + 3 * n), 1.0],
            A_ub=np.vstack(upper),
            b_ub=np.concatenate(right),
            A_eq=np.vstack(equal),
            b_eq=np.concatenate(equal_right),
            bounds=bounds,
            method="highs",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        assert result.status == 0, result.message
        return result.x[-1]

    def smallest_violation(self, names=None):
        """Smallest possible largest violation of the limits, or of those of the given names.

        By linear programming over weights, their sizes, the sizes of trades, and the violation.
        """
        n = self.n
        chosen = [names is None or name in names for name in self.names]
        low, high = (limit[chosen] for limit in (self.low, self.high))
        rows, eye, zero = self.rows[:, chosen].T, np.eye(n), np.zeros((n, n))
        wide = np.zeros((len(rows), 2 * n))
        ones = np.ones((1, n))
        blocks = [  # coefficients of weights and sizes, limit, whether it may be violated
            (np.hstack([rows, wide]), high, 1),
            (np.hstack([-rows, wide]), -low, 1),
            (np.hstack([eye, -eye, zero]), np.zeros(n), 0),
            (np.hstack([-eye, -eye, zero]), np.zeros(n), 0),
            (np.hstack([eye, zero, -eye]), self.previous, 0),
            (np.hstack([-eye, zero, -eye]), -self.previous, 0),
        ]
        if names is None or "max_leverage" in names:
            blocks.append((np.hstack([0 * ones, ones, 0 * ones]), [self.leverage], 1))
        if names is None or "max_turnover" in names:
            blocks.append((np.hstack([0 * ones, 0 * ones, ones]), [self.turnover], 1))
        if names is None or "min_weights and max_weights" in names:
            blocks.append((np.hstack([eye, zero, zero]), self.upper, 1))
            blocks.append((np.hstack([-eye, zero, zero]), -self.lower, 1))
        matrix = np.vstack([np.column_stack([a, np.full(len(a), -t)]) for a, _, t in blocks])
        limit = np.concatenate([b for _, b, _ in blocks])
        finite = np.isfinite(limit)
        result = linprog(
            np.r_[np.zeros(3 * n), 1.0],
            A_ub=matrix[finite],
            b_ub=limit[finite],
            bounds=[(None, None)] * (3 * n) + [(0, None)],
            method="highs",
        )
        assert result.status == 0, result.message
        return result.x[-1]

    def by_cone_solver(self, solver="CLARABEL", **options):
        """Status and weights by cvxpy."""
        import cvxpy as cp

        x = cp.Variable(self.n)
        objective = 0.5 * cp.quad_form(x, cp.psd_wrap(self.hessian)) - self.signal @ x
        objective += self.l1 * cp.norm1(x) + self.costs * cp.norm1(x - self.previous)
        limits = []
        values = self.rows.T @ x
        equal = self.low == self.high
        above, below = np.isfinite(self.high) & ~equal, np.isfinite(self.low) & ~equal
        boxed = (np.isfinite(self.lower), np.isfinite(self.upper))
        for chosen, holds in (
            (equal, lambda at: values[at] == self.high[at]),
            (above, lambda at: values[at] <= self.high[at]),
            (below, lambda at: values[at] >= self.low[at]),
            (boxed[0], lambda at: x[at] >= self.lower[at]),
            (boxed[1], lambda at: x[at] <= self.upper[at]),
        ):
            if chosen.any():
                limits.append(holds(np.flatnonzero(chosen)))
        if np.isfinite(self.leverage):
            limits.append(cp.norm1(x) <= self.leverage)
        if np.isfinite(self.turnover):
            limits.append(cp.norm1(x - self.previous) <= self.turnover)
        problem = cp.Problem(cp.Minimize(objective), limits)
        problem.solve(solver=solver, **options)
        return problem.status, None if x.value is None else self.unit * x.value

    def by_quadratic_programming(self):
        """Success and weights by SLSQP, for a few assets; |x| and |x - x₀| split into parts."""
        n = self.n
        split = np.hstack([np.eye(n), -np.eye(n)])
        to_x = np.hstack([split, np.zeros((n, 2 * n))])
        to_moved = np.hstack([np.zeros((n, 2 * n)), split])
        linear = np.r_[np.full(2 * n, self.l1), np.full(2 * n, self.costs)]
        linear = linear - to_x.T @ self.signal
        hessian = to_x.T @ self.hessian @ to_x
        equal = self.low == self.high
        equations = np.vstack([to_x - to_moved, self.rows.T[equal] @ to_x])
        equations = (equations, np.r_[self.previous, self.low[equal]])
        # of dependent equations SLSQP takes one
        left, sizes, right = np.linalg.svd(equations[0], full_matrices=False)
        kept = sizes > 1e-10
        equations = (right[kept], (left.T[kept] @ equations[1]) / sizes[kept])
        below, above = np.isfinite(self.low) & ~equal, np.isfinite(self.high) & ~equal
        low, high = np.isfinite(self.lower), np.isfinite(self.upper)
        matrices = [self.rows.T[below] @ to_x, -self.rows.T[above] @ to_x, to_x[low], -to_x[high]]
        limits = [self.low[below], -self.high[above], self.lower[low], -self.upper[high]]
        for cap, part in ((self.leverage, slice(0, 2 * n)), (self.turnover, slice(2 * n, 4 * n))):
            if np.isfinite(cap):
                row = np.zeros((1, 4 * n))
                row[0, part] = -1.0
                matrices.append(row)
                limits.append([-cap])
        matrix, limit = np.vstack(matrices), np.concatenate(limits)
        constraints = [
            {"type": kind, "fun": lambda z, a=a, b=b: a @ z - b, "jac": lambda z, a=a: a}
            for kind, (a, b) in (("eq", equations), ("ineq", (matrix, limit)))
            if len(b)
        ]
        z = np.zeros(4 * n)
        for _ in range(3):  # its line search gives up early: begin again where it stopped
            result = minimize(
                lambda z: 0.5 * z @ hessian @ z + linear @ z,
                z,
                jac=lambda z: hessian @ z + linear,
                bounds=[(0, None)] * (4 * n),
                constraints=constraints,
                method="SLSQP",
                options={"ftol": 1e-15, "maxiter": 1000},
            )
            z = result.x
        return result.success, self.unit * (to_x @ result.x)
