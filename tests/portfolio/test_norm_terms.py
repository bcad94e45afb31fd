"""Norm terms are data: any number of them, beyond those that the optimizer has parameters for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sknumerai.exceptions import InfeasiblePortfolioError
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._compile import compile_program
from sknumerai.portfolio._dual import Dual
from sknumerai.portfolio._library import solve_by_library
from sknumerai.portfolio._newton_engine import NewtonEngine
from sknumerai.portfolio._program import NormTerm, Program
from sknumerai.portfolio._risk_data import RiskData

N = 30


def prox_by_enumeration(v, kinks, sizes, lower, upper):
    """argmin x²/2 - v x + Σ a|x - c| over [l, u]: the best of all places where it can be.

    These are the kinks, the bounds, and where the derivative is zero for some signs of x - c.
    """
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * len(sizes))).reshape(len(sizes), -1)
    places = np.clip(np.r_[kinks, v - signs.T @ sizes], lower, upper)
    costs = places**2 / 2 - v * places + sizes @ np.abs(places - kinks[:, None])
    return places[np.argmin(costs)]


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_weight_of_an_asset_with_any_number_of_kinks(seed, n_terms):
    rng = np.random.default_rng(seed)
    curvature, signal = np.exp(rng.normal(size=N)), 3.0 * rng.normal(size=N)
    centres = rng.integers(-2, 3, (n_terms, N)) * 0.5  # many of them equal
    sizes = rng.exponential(size=n_terms) * (rng.random(n_terms) < 0.8)
    lower, upper = -rng.exponential(2.0, N), rng.exponential(2.0, N)
    program = Program(
        curvature=curvature,
        loadings=np.zeros((N, 0)),
        rows=np.zeros((N, 0)),
        row_min=np.zeros(0),
        row_max=np.zeros(0),
        row_names=[],
        lower=lower,
        upper=upper,
        terms=tuple(NormTerm(centre, 0.0, 1.0, "a limit") for centre in centres),
    )
    dual = Dual(program)
    point = dual.evaluate(dual.norms * sizes, signal / dual.root)
    weights = dual.portfolio(point)
    for i in range(N):
        scaled = signal[i] / curvature[i], centres[:, i], sizes / curvature[i]
        best = prox_by_enumeration(*scaled, lower[i], upper[i])
        assert weights[i] == pytest.approx(best, abs=1e-12)
        held = best in (lower[i], upper[i]) or best in centres[sizes > 0.0, i]
        assert point.free[i] == (not held)


def benchmark():
    weights = np.random.default_rng(7).exponential(size=N)
    return weights / weights.sum()


class Fund:
    """A program with limits on leverage, turnover and, by one more term, active share."""

    def __init__(self, seed, **params):
        rng = np.random.default_rng(seed)
        self.signal = 0.2 * rng.normal(size=N)
        self.previous = 0.5 * benchmark() + 0.04 * rng.normal(size=N)
        self.loadings = rng.normal(size=(N, 3))
        self.exposures = rng.normal(size=(N, 2))
        self.variance = np.exp(0.3 * rng.normal(size=N))
        optimizer = PortfolioOptimizer(
            budget=1.0,
            min_weights=-0.15,
            max_exposure=0.3,
            l1_coef=1e-3,
            max_leverage=1.3,
            transaction_costs=2e-3,
            max_turnover=1.2,
        )
        risk = RiskData(
            N,
            factor_root=self.loadings,
            specific_variance=self.variance,
            exposures=self.exposures,
            previous_weights=self.previous,
        )
        program = compile_program(optimizer.set_params(**params), risk)
        active_share = NormTerm(benchmark(), 1e-3, 0.9, "max_active_share")
        self.program = replace(program, terms=(*program.terms, active_share))
        self.engine = NewtonEngine(self.program)

    def by_cone_solver(self):
        """Weights by Clarabel, the program written out."""
        cp = pytest.importorskip("cvxpy")
        x = cp.Variable(N)
        gross, traded, active = (cp.norm1(x - c) for c in (np.zeros(N), self.previous, benchmark()))
        risk = cp.sum_squares(cp.multiply(np.sqrt(self.variance), x))
        risk += cp.sum_squares(self.loadings.T @ x)
        costs = 1e-3 * gross + 2e-3 * traded + 1e-3 * active
        limits = [cp.sum(x) == 1.0, x >= -0.15, cp.abs(self.exposures.T @ x) <= 0.3]
        limits += [gross <= 1.3, traded <= 1.2, active <= 0.9]
        problem = cp.Problem(cp.Maximize(self.signal @ x - 0.5 * risk - costs), limits)
        tight = {f"tol_{name}": 1e-12 for name in ("gap_abs", "gap_rel", "feas")}
        problem.solve(solver="CLARABEL", **tight)
        return x.value


@pytest.mark.parametrize("seed", range(3))
class TestThirdTerm:
    def test_all_three_limits_are_binding(self, seed):
        fund = Fund(seed)
        solution = fund.engine.solve(fund.signal)
        assert fund.engine.dual.multipliers(solution.state).norms.min() > 1e-3
        norms = [term.norm(solution.weights) for term in fund.program.terms]
        np.testing.assert_allclose(norms, [1.3, 1.2, 0.9], rtol=1e-9)
        assert solution.kkt_residual < 1e-9
        assert solution.n_weakly_active == 0
        assert 5 < solution.n_free < N

    def test_agrees_with_a_cone_program(self, seed):
        fund = Fund(seed)
        weights = fund.engine.solve(fund.signal).weights
        np.testing.assert_allclose(weights, fund.by_cone_solver(), atol=1e-8)

    def test_multipliers_of_the_library_are_the_same(self, seed):
        pytest.importorskip("cvxpy")
        fund = Fund(seed)
        ours = fund.engine.dual.multipliers(fund.engine.solve(fund.signal).state)
        _, theirs = solve_by_library(fund.program, fund.signal)
        np.testing.assert_allclose(theirs.norms, ours.norms, atol=1e-5)
        np.testing.assert_allclose(theirs.rows, ours.rows, atol=1e-5)

    def test_derivative_equals_finite_differences(self, seed):
        fund, step = Fund(seed), 1e-6
        solution = fund.engine.solve(fund.signal)
        directions = np.random.default_rng(0).normal(size=(5, N))
        for v in directions:
            ends = [fund.engine.solve(fund.signal + t * v, solution.state) for t in (step, -step)]
            assert {end.n_free for end in ends} == {solution.n_free}
            difference = (ends[0].weights - ends[1].weights) / (2.0 * step)
            np.testing.assert_allclose(solution.matvec(v[:, None])[:, 0], difference, atol=1e-6)

    def test_dual_has_the_gradient_that_it_returns(self, seed):
        """By central differences, away from the kinks at zero multipliers."""
        dual, rng = Fund(seed).engine.dual, np.random.default_rng(seed)
        theta, signal = rng.normal(size=dual.size), rng.normal(size=N)
        theta[dual.n_linear :] = np.abs(theta[dual.n_linear :])
        gradient = dual.evaluate(theta, signal).gradient
        rows = slice(dual.n_factors, dual.n_linear)
        gradient[rows] += np.where(theta[rows] > 0, dual.row_max, dual.row_min)
        for j, step in enumerate(1e-6 * np.eye(dual.size)):
            ends = [dual.evaluate(theta + t * step, signal).value for t in (1.0, -1.0)]
            assert gradient[j] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-6)

    def test_conflict_names_it(self, seed):
        """Without long positions, the distance from the benchmark is at least 1."""
        fund = Fund(seed, max_weights=0.0, budget=None, max_exposure=10.0)
        with pytest.raises(InfeasiblePortfolioError) as raised:
            fund.engine.solve(fund.signal)
        assert raised.value.conflict == ["max_active_share", "min_weights and max_weights"]


def test_limit_on_short_weights_is_one_on_leverage():
    """Where the budget is b, short weights of at most S are a leverage of at most 2S + b."""
    cp = pytest.importorskip("cvxpy")
    signal, b, short = np.random.default_rng(0).normal(size=N), 0.4, 0.25
    weights = PortfolioOptimizer(budget=b, max_leverage=2 * short + b).fit(signal).weights_
    x = cp.Variable(N)
    limits = [cp.sum(x) == b, cp.sum(cp.neg(x)) <= short]
    cp.Problem(cp.Maximize(signal @ x - 0.5 * cp.sum_squares(x)), limits).solve(solver="CLARABEL")
    np.testing.assert_allclose(weights, x.value, atol=1e-6)
    assert -weights[weights < 0].sum() == pytest.approx(short)
