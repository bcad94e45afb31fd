"""Programs of any size and shape: solved, as the weights show, or refused for a reason."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sknumerai.exceptions import InfeasiblePortfolioError, SolverError
from sknumerai.portfolio import PortfolioOptimizer
from tests.portfolio._kkt import off_stationarity, smallest_violation, violation

seeds = st.integers(0, 10**6)


def random_program(rng, n, signal_size, weight_size, variance_size):
    """Parameters, a signal and risk data around a portfolio that is feasible."""
    signal = rng.normal(size=n) * signal_size
    feasible = rng.normal(size=n) * 0.3 * weight_size
    if rng.random() < 0.5:
        feasible -= feasible.mean()
    params, risk = {}, {"specific_variance": variance_size * np.exp(rng.normal(size=n))}
    if rng.random() < 0.3:
        feasible = np.abs(feasible)
        params["min_weights"] = 0.0
    elif rng.random() < 0.6:
        params |= {"min_weights": -2.0 * weight_size, "max_weights": 2.0 * weight_size}
    params["budget"] = None if rng.random() < 0.3 else float(feasible.sum())
    gross = float(np.abs(feasible).sum())
    if rng.random() < 0.4 and gross:
        params["max_leverage"] = gross * rng.uniform(1.001, 1.5)
    if rng.random() < 0.3:
        k = int(rng.integers(1, n + 3))  # more factors than assets, and a singular covariance
        root = rng.normal(size=(k, k)) * np.sqrt(variance_size)
        root[:, : int(rng.integers(0, k))] = 0.0
        risk |= {"factor_loadings": rng.normal(size=(n, k)), "factor_covariance": root @ root.T}
    if rng.random() < 0.4:
        exposures = rng.integers(-2, 3, (n, int(rng.integers(1, 5)))) * 10.0 ** rng.uniform(-3, 3)
        if rng.random() < 0.5:  # rows twice and rows of zeros
            exposures = np.column_stack([exposures, -exposures[:, 0], np.zeros(n)])
        values = feasible @ exposures
        room = np.abs(values) * rng.choice([0.0, 0.1, 1.0], len(values))
        params |= {"min_exposure": values - room, "max_exposure": values + room}
        risk["exposures"] = exposures
    if rng.random() < 0.4:
        risk["previous_weights"] = feasible + 0.2 * weight_size * rng.normal(size=n)
        if rng.random() < 0.5:
            traded = np.abs(feasible - risk["previous_weights"]).sum()
            params["max_turnover"] = float(traded) * rng.uniform(1.001, 1.5)
    if rng.random() < 0.4:
        params["transaction_costs"] = 10.0 ** rng.uniform(-6, 2)
    if rng.random() < 0.2:
        params["l1_coef"] = 10.0 ** rng.uniform(-6, 0)
    return params, signal, risk


def fit(params, signal, risk):
    """The fitted optimizer, or the error, of one sentence."""
    try:
        return PortfolioOptimizer(**params).fit(signal, **risk), None
    except (SolverError, InfeasiblePortfolioError) as error:
        refusal = error
    assert ". " not in str(refusal)
    return None, refusal


def assert_optimal(params, signal, risk, optimizer):
    assert np.isfinite(optimizer.weights_).all()
    assert violation(params, risk, optimizer.weights_) < 2e-9
    assert off_stationarity(params, signal, risk, optimizer.weights_) < 3e-9
    assert np.isfinite(optimizer.gradient(np.ones(len(signal)))).all()


@settings(max_examples=80)
@given(seeds, st.integers(1, 20), st.integers(-30, 30), st.integers(-12, 12), st.integers(-30, 30))
def test_programs_of_any_size(seed, n, signal_size, weight_size, variance_size):
    """Every weight is optimal and every limit kept, or one sentence says why there are none."""
    sizes = (10.0**size for size in (signal_size, weight_size, variance_size))
    params, signal, risk = random_program(np.random.default_rng(seed), n, *sizes)
    optimizer, refusal = fit(params, signal, risk)
    if refusal is None:
        assert_optimal(params, signal, risk, optimizer)
    else:
        assert isinstance(refusal, SolverError)  # the program is feasible


def test_nearly_all_programs_of_any_size_are_solved():
    """Signals of 1e-200 to 1e200, variances of 1e-30 to 1e30 and weights of 1e-12 to 1e12."""
    refused = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        sizes = 10.0 ** rng.uniform([-200, -12, -30], [200, 12, 30])
        params, signal, risk = random_program(rng, int(rng.integers(1, 30)), *sizes)
        optimizer, refusal = fit(params, signal, risk)
        if refusal is None:
            assert_optimal(params, signal, risk, optimizer)
        else:
            assert isinstance(refusal, SolverError)  # the program is feasible
            refused += 1
    assert refused <= 4


@settings(max_examples=80)
@given(seeds, st.integers(1, 15), st.sampled_from([1e-12, 1e-6, 1.0, 1e6, 1e12]))
def test_refusals_are_right(seed, n, size):
    """Limits moved at random: linear programming says the same of every program."""
    rng = np.random.default_rng(seed)
    params, signal, risk = random_program(rng, n, size, size, 1.0)
    movable = [k for k in ("budget", "max_leverage", "max_turnover", "max_exposure") if k in params]
    for name in movable:
        if params[name] is None or rng.random() < 0.5:
            continue
        if name == "max_exposure":
            shift = size * rng.normal(size=len(params[name]))
            params[name], params["min_exposure"] = (
                params[name] + shift,
                params["min_exposure"] + shift,
            )
        elif name == "budget":
            params[name] += size * n * rng.normal()
        else:
            params[name] *= rng.uniform(0.05, 1.0)
    missed = smallest_violation(params, risk, n)
    optimizer, refusal = fit(params, signal, risk)
    if refusal is None:
        assert missed < 1e-6
        assert_optimal(params, signal, risk, optimizer)
    else:
        assert isinstance(refusal, InfeasiblePortfolioError)
        assert missed > 1e-9
        assert refusal.conflict


# --- sizes that were wrong in silence, or refused -------------------------------------------------


@pytest.mark.parametrize("size", [1e6, 1e10, 1e12, 1e14, 1e16, 1e30, 1e200, 1e300])
@pytest.mark.parametrize(
    "params",
    [
        {"max_leverage": 1.0, "min_weights": -0.1, "max_weights": 0.1},
        {"budget": 1.0, "min_weights": 0.0, "max_weights": 0.1},
        {"budget": 1.0, "min_weights": 0.0},
        {"budget": None, "max_turnover": 0.3},
    ],
)
def test_limits_are_kept_whatever_the_size_of_the_signal(params, size):
    signal = size * np.random.default_rng(0).normal(size=200)
    optimizer = PortfolioOptimizer(**params).fit(signal)
    weights = optimizer.weights_
    assert violation(params, {}, weights) < 1e-12
    assert signal @ weights >= (1 - 1e-9) * best_of(params, signal)


def best_of(params, signal):
    """The largest sᵀx within the limits, in the closed form that each of them has."""
    largest = np.sort(signal)[::-1]
    if "max_turnover" in params:
        return 0.3 * np.abs(signal).max()
    if "max_leverage" in params:
        return 0.1 * (largest[:5].sum() - largest[-5:].sum())
    return params.get("max_weights", 1.0) * largest[: 10 if "max_weights" in params else 1].sum()


def test_raw_ranks_beside_a_small_variance():
    limits = {"max_leverage": 1.0, "min_weights": -0.01, "max_weights": 0.01}
    optimizer = PortfolioOptimizer(**limits).fit(np.arange(1.0, 5001.0), specific_variance=1e-7)
    assert np.abs(optimizer.weights_).sum() == pytest.approx(1.0, rel=1e-12)
    assert abs(optimizer.weights_.sum()) < 1e-12


@pytest.mark.parametrize("size", [1e-4, 1e-8, 1e-10, 1e-13, 1e-100])
def test_costs_far_above_the_signal(size):
    """Positions of the signal's size, of which the budget makes the portfolio sell some."""
    solved = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(5, 40))
        signal, previous = size * rng.normal(size=(2, n))
        params = {"transaction_costs": 10.0 ** rng.uniform(-4, -2)}
        if rng.random() < 0.5:
            params |= {"min_weights": -3.0 * size, "max_weights": 3.0 * size}
        if rng.random() < 0.5:
            params["max_leverage"] = size * n * 0.6
        risk = {"previous_weights": previous}
        optimizer = PortfolioOptimizer(**params).fit(signal, **risk)
        assert_optimal(params, signal, risk, optimizer)
        solved += 1
    assert solved == 15


def test_no_signal_but_costs():
    """Liquidations: what is sold is what the limits ask for."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(5, 40))
        previous = 0.05 * rng.normal(size=n)
        params = {"transaction_costs": 10.0 ** rng.uniform(-4, -1)}
        if rng.random() < 0.5:
            params |= {"min_weights": -0.1, "max_weights": 0.1}
        risk = {"previous_weights": np.clip(previous, -0.1, 0.1)}
        if rng.random() < 0.5:
            risk["factor_loadings"] = rng.normal(size=(n, 3))
            risk["specific_variance"] = 10.0 ** rng.uniform(-320 / 40, 0, n)
        optimizer = PortfolioOptimizer(**params).fit(np.zeros(n), **risk)
        assert_optimal(params, np.zeros(n), risk, optimizer)


def test_curvatures_and_signals_that_overflow_are_refused_in_one_sentence():
    ones = np.ones(4)
    signal = np.array([1.0, -1.0, 2.0, 0.5])
    cases = [
        ({}, 1e300 * signal, {"specific_variance": 1e-300 * ones}),
        ({"risk_aversion": 1e300}, signal, {"specific_variance": 1e300 * ones}),
        ({}, signal, {"specific_variance": 1e-320 * ones}),
        ({"l1_coef": 1e308, "transaction_costs": 1e308}, signal, {}),
        (
            {},
            signal,
            {"specific_variance": ones, "factor_loadings": np.outer(signal, [1e300, 1e300])},
        ),
    ]
    for params, values, risk in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises((SolverError, ValueError), match="float64") as raised:
                PortfolioOptimizer(**params).fit(values, **risk)
        assert ". " not in str(raised.value)


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e30, 1e200, 1e300])
def test_units_of_exposures_do_not_matter(size):
    rng = np.random.default_rng(0)
    signal, exposures = rng.normal(size=12), rng.normal(size=(12, 3))
    one = PortfolioOptimizer(max_exposure=0.1).fit(signal, exposures=exposures)
    other = PortfolioOptimizer(max_exposure=0.1 * size).fit(signal, exposures=size * exposures)
    np.testing.assert_allclose(other.weights_, one.weights_, atol=1e-12)


# --- degenerate programs --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-100, 1.0, 1e100])
def test_degenerate_programs(size):
    rng = np.random.default_rng(0)
    signal = size * rng.normal(size=6)
    fixed = np.linspace(-0.1, 0.1, 6)
    none = {"exposures": np.zeros((6, 0))}
    cases = [
        ({}, signal[:1], {}),
        ({"budget": None, "max_leverage": 1.0}, signal[:1], {}),
        ({"budget": 0.0, "min_weights": 0.0}, signal, {}),
        ({"min_weights": fixed, "max_weights": fixed, "budget": None}, signal, {}),
        ({"min_weights": 0.1, "max_weights": 0.1, "budget": 0.6}, signal, {}),
        ({"budget": None, "max_leverage": 1.0}, signal, none),
        ({"max_leverage": 1.0}, signal, {"exposures": np.ones((6, 4))}),
        ({"max_leverage": 1.0}, signal, {"exposures": np.zeros((6, 2))}),
        ({"max_leverage": 1.0}, signal, {"exposures": rng.normal(size=(6, 9))}),
        ({"budget": 1.0, "max_leverage": 1.0}, signal, {}),
    ]
    for params, values, risk in cases:
        optimizer = PortfolioOptimizer(**params).fit(values, **risk)
        assert violation(params, risk, optimizer.weights_) < 1e-9
        assert off_stationarity(params, values, risk, optimizer.weights_) < 1e-9
    factors = {
        "factor_loadings": rng.normal(size=(6, 20)),
        "factor_covariance": np.zeros((20, 20)),
        "specific_variance": 1.0,
    }
    np.testing.assert_allclose(
        PortfolioOptimizer(max_leverage=1.0).fit(signal, **factors).weights_,
        PortfolioOptimizer(max_leverage=1.0).fit(signal).weights_,
        atol=1e-12,
    )


def test_judges_notice():
    params, risk = {"max_leverage": 1.0}, {}
    signal = np.array([1.0, -1.0, 0.2])
    weights = PortfolioOptimizer(**params).fit(signal).weights_
    assert off_stationarity(params, signal, risk, weights) < 1e-9
    assert off_stationarity(params, signal, risk, 0.9 * weights) > 1e-3
    assert violation(params, risk, 1.001 * weights) > 1e-4
    assert violation(params, risk, weights + 1e-6) > 1e-8
    assert smallest_violation({"budget": 1.0, "max_leverage": 0.9}, {}, 3) > 1e-3
    assert smallest_violation({"budget": 1.0, "max_leverage": 1.0}, {}, 3) < 1e-12
