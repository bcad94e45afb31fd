"""The path of easier programs: what it counts, when it ends, and what it leads to."""

import numpy as np
import pytest

from sknumerai.exceptions import InfeasiblePortfolioError
from sknumerai.portfolio import PortfolioOptimizer, _newton_engine, _proximal
from sknumerai.portfolio._newton import semismooth_newton
from tests.portfolio._programs import Case, Plain


def tight_case(seed, n=120, rms=100.0):
    """A signal so large beside the box that nearly all assets are at its bounds."""
    rng = np.random.default_rng(seed)
    risk = {
        "factor_loadings": 0.05 * rng.normal(size=(n, 5)),
        "specific_variance": 0.04 * rng.uniform(0.5, 2.0, n),
        "exposures": rng.normal(size=(n, 15)),
    }
    params = {"min_weights": -10.0 / n, "max_weights": 10.0 / n, "max_exposure": 0.02}
    return Case(params, rms * rng.normal(size=n), risk, scale=10.0 / n)


@pytest.fixture
def runs(monkeypatch):
    """Every run of Newton's method: the limit of its iterations, and its result."""
    recorded = []

    def recording(*args, **options):
        result = semismooth_newton(*args, **options)
        recorded.append((options["max_iter"], options.get("proximity", 0.0), result))
        return result

    monkeypatch.setattr(_newton_engine, "semismooth_newton", recording)
    monkeypatch.setattr(_proximal, "semismooth_newton", recording)
    return recorded


def test_iterations_of_every_run_are_counted(runs):
    optimizer = tight_case(0).fit()
    assert len(runs) > 3
    assert runs[0][2].n_iter == _newton_engine.PATIENCE
    assert optimizer.n_iter_ == sum(result.n_iter for *_, result in runs)


@pytest.mark.parametrize("max_iter", [1, 20, 60])
def test_largest_number_of_iterations_is_that_of_the_whole_path(max_iter, runs):
    case = tight_case(1)
    engine = case.engine()
    result = _proximal.proximal_newton(
        engine.dual,
        engine.hessian,
        case.signal / engine.dual.root,
        proximity=1e5,
        tol=1e-12,
        max_iter=max_iter,
    )
    assert result.n_iter == sum(run.n_iter for *_, run in runs)
    left = max_iter
    for limit, _, run in runs:
        assert limit == left
        left -= run.n_iter
    assert left >= 0


def test_path_goes_from_few_binding_limits_to_the_program_itself(runs):
    """c falls to zero, and the first program has many more free assets than the last."""
    optimizer = tight_case(2).fit()
    path = runs[1:]
    proximities = [proximity for _, proximity, _ in path]
    assert proximities[0] > 100.0
    assert (np.diff(proximities) < 0.0).all()
    assert proximities[-1] == 0.0
    assert proximities[-2] < 10.0
    free = [int(result.point.free.sum()) for *_, result in path]
    assert free[0] > 2 * free[-1]
    assert free[-1] == optimizer.n_free_


def test_a_proof_on_the_way_ends_it(monkeypatch, runs):
    """No portfolio meets the limits of an easier program either, whose limits are the same."""
    monkeypatch.setattr(_newton_engine, "PATIENCE", 0)
    signal = np.array([1.0, -0.5, 0.3, 0.2, -1.0, 0.7])
    with pytest.raises(InfeasiblePortfolioError) as raised:
        PortfolioOptimizer(budget=1.0, max_weights=0.1).fit(signal)
    assert raised.value.conflict == ["budget", "min_weights and max_weights"]
    assert [result.infeasible for *_, result in runs] == [False, True]
    assert runs[-1][1] > 0.0


def test_newton_stops_where_rounding_keeps_the_residual():
    """A few iterations after the function has stopped to fall, and not before it is close."""
    case = tight_case(3, rms=0.01)
    engine = case.engine()

    def newton(tol):
        return semismooth_newton(
            engine.dual,
            engine.hessian,
            case.signal / engine.dual.root,
            None,
            tol=tol,
            max_iter=200,
            damping=1.0,
        )

    needed = newton(1e-13)
    assert needed.residual <= 1e-13
    unreachable = newton(1e-17)
    assert unreachable.residual < 1e-14
    assert needed.n_iter < unreachable.n_iter < needed.n_iter + 10


def test_few_free_assets_are_optimal_and_the_same_from_any_start():
    """By linear programming over the multipliers; one engine, from huge signals to tiny ones."""
    for seed in range(4):
        case = tight_case(seed, n=40)
        engine, state = case.engine(), None
        for size in (1.0, 1e-8, 1.0, 1e-4, 10.0):
            now = Case(case.params, size * case.signal, case.risk, case.scale)
            warm, cold = engine.solve(now.signal, state), now.engine().solve(now.signal)
            np.testing.assert_allclose(
                warm.weights, cold.weights, rtol=0, atol=1e-9 * np.abs(cold.weights).max()
            )
            plain = Plain(now)
            assert plain.violation(warm.weights) < 1e-9
            assert plain.distance_from_stationarity(warm.weights) < 1e-9
            state = warm.state


@pytest.mark.parametrize("size", [1.0, 1e3, 1e4, 1e6])
@pytest.mark.parametrize("max_leverage", [0.3, 0.0999999])
def test_limits_far_below_the_signal_are_kept_or_nothing_is_returned(size, max_leverage):
    """They are judged by themselves, and not beside weights a billion times as large."""
    optimizer = PortfolioOptimizer(budget=0.1, max_leverage=max_leverage)
    signal = size * np.array([1.0, -0.7, 0.3])
    if max_leverage < 0.1:
        with pytest.raises(InfeasiblePortfolioError, match="budget, max_leverage"):
            optimizer.fit(signal, specific_variance=[1e-4, 2e-4, 1e-3])
        return
    optimizer.fit(signal, specific_variance=[1e-4, 2e-4, 1e-3])
    assert optimizer.weights_.sum() == pytest.approx(0.1, rel=1e-8)
    assert np.abs(optimizer.weights_).sum() <= 0.3 * (1 + 1e-8)


def test_a_limit_of_zero_but_for_rounding_is_met():
    """Up to rounding errors of its own: no limit is too small to be kept."""
    optimizer = PortfolioOptimizer(budget=3e-17, l1_coef=1.0, max_leverage=1.2)
    np.testing.assert_allclose(optimizer.fit([0.5, -0.2, 0.1]).weights_, [3e-17, 0.0, 0.0])


def test_an_infeasible_program_of_a_huge_signal_is_named():
    optimizer = PortfolioOptimizer(
        budget=None, min_exposure=0.1, max_exposure=0.1, max_leverage=0.0999
    )
    with pytest.raises(InfeasiblePortfolioError) as raised:
        optimizer.fit([1e6, 1e6], exposures=[[1.0], [-1.0]], specific_variance=[0.01, 0.01])
    assert raised.value.conflict == ["exposure 0", "max_leverage"]


def test_no_signal_and_a_budget():
    np.testing.assert_allclose(PortfolioOptimizer(budget=10).fit(np.zeros(5)).weights_, 2.0)


def test_the_library_is_asked_in_the_unit_of_the_limits(monkeypatch):
    """A tiny signal must not turn limits into huge numbers, which it would call infeasible."""
    pytest.importorskip("cvxpy")
    monkeypatch.setattr(_newton_engine, "PATIENCE", 0)
    monkeypatch.setattr(_newton_engine, "proximal_newton", semismooth_newton_of_no_iterations)
    case = tight_case(0, n=20, rms=1e-9)
    case.params.update(budget=1.0, max_leverage=5.0, max_exposure=0.5)
    optimizer = case.fit()
    assert optimizer.weights_.sum() == pytest.approx(1.0, rel=1e-9)
    assert optimizer.kkt_residual_ < 1e-9


def semismooth_newton_of_no_iterations(dual, hessian, signal, **options):
    options = {"tol": options["tol"], "max_iter": 0, "damping": 1.0}
    return semismooth_newton(dual, hessian, signal, None, **options)
