"""The derivative of the weights by the signal."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sknumerai.portfolio import PortfolioOptimizer
from tests.portfolio._programs import TERMS, Plain, make_case

cases = st.builds(
    make_case, st.integers(0, 10**6), st.sets(st.sampled_from(TERMS)), st.integers(4, 30)
)
STEPS = (1e-3, 1e-4, 1e-5, 1e-6)  # relative to the largest signal
SOLVED = 1e-12  # what the weights are good to, relative


def unit_of(case):
    """Size of a derivative without limits."""
    return case.scale / np.abs(case.signal).mean()


def active_set(engine, solution, signal):
    """Free assets, and signs of the multipliers: where the weights are linear in the signal."""
    point = engine.dual.evaluate(solution.state, signal / engine.dual.root)
    multipliers = engine.dual.multipliers(solution.state)
    rows = np.sign(multipliers.rows) * ~engine.program.equations
    return np.r_[point.free, rows, multipliers.norms > 0]


@given(cases)
def test_equals_finite_differences(case):
    engine, n = case.engine(), len(case.signal)
    solution = engine.solve(case.signal)
    assume(solution.n_weakly_active == 0)
    v = np.random.default_rng(0).normal(size=n)
    product = solution.matvec(v[:, None])[:, 0]
    here = active_set(engine, solution, case.signal)
    for relative in STEPS:
        step = relative * np.abs(case.signal).max()
        ends = [case.signal + step * v, case.signal - step * v]
        solutions = [engine.solve(end, solution.state) for end in ends]
        if all(
            np.array_equal(active_set(engine, s, end), here)
            for s, end in zip(solutions, ends, strict=True)
        ):
            break
    else:
        assume(False)  # a kink as close as that
    differences = (solutions[0].weights - solutions[1].weights) / (2.0 * step)
    noise = SOLVED * max(np.abs(solution.weights).max(), 1e-3 * case.scale) / step
    atol = 1e-6 * max(np.abs(product).max(), 1e-3 * unit_of(case)) + noise
    np.testing.assert_allclose(product, differences, rtol=0, atol=atol)


def test_finite_differences_are_rarely_skipped():
    """Otherwise the test above says nothing."""
    rng = np.random.default_rng(0)
    counts = []
    for seed in range(60):
        chosen = [term for term in TERMS if rng.random() < 0.4]
        counts.append(make_case(seed, chosen, 20).fit().n_weakly_active_)
    assert np.mean(np.array(counts) == 0) > 0.75


@given(cases)
def test_is_symmetric_and_positive_semidefinite(case):
    n = len(case.signal)
    jacobian = case.fit().gradient(np.eye(n)) / unit_of(case)
    np.testing.assert_allclose(jacobian, jacobian.T, atol=1e-11 * max(1, np.abs(jacobian).max()))
    assert np.linalg.eigvalsh((jacobian + jacobian.T) / 2).min() > -1e-10


@given(cases)
def test_leaves_active_limits_and_held_assets_alone(case):
    optimizer = case.fit()
    n, x, plain = len(case.signal), optimizer.weights_, Plain(case)
    jacobian = optimizer.gradient(np.eye(n)) / unit_of(case)
    size = 1e-9 * max(1.0, np.abs(jacobian).max())
    equal = plain.low == plain.high
    assert np.abs(plain.rows[:, equal].T @ jacobian).max(initial=0.0) < size
    held = (x == case.params.get("max_weights", np.inf)) | (
        x == case.params.get("min_weights", -np.inf)
    )
    if "l1_coef" in case.params or "max_leverage" in case.params:
        held |= x == 0.0
    if {"transaction_costs", "max_turnover"} & set(case.params):
        held |= (x == case.risk["previous_weights"]) & (x != 0.0)
    if not optimizer.n_weakly_active_:
        assert not jacobian[held].any()
        assert not jacobian[:, held].any()
        assert optimizer.n_free_ >= (np.abs(jacobian).max(axis=1) > 1e-9).sum()
        values = x @ plain.rows / plain.unit
        sizes = 1.0 + np.abs(x / plain.unit) @ np.abs(plain.rows)
        room = np.minimum(np.abs(values - plain.low), np.abs(plain.high - values))
        assert np.abs(plain.rows[:, room < 1e-11 * sizes].T @ jacobian).max(initial=0.0) < size
        if abs(np.abs(x / plain.unit).sum() - plain.leverage) < 1e-11:
            assert np.abs(np.sign(x) @ jacobian).max() < size
        moved = x / plain.unit - plain.previous
        if abs(np.abs(moved).sum() - plain.turnover) < 1e-11:
            assert np.abs(np.sign(np.where(np.abs(moved) < 1e-14, 0, moved)) @ jacobian).max() < (
                size
            )


@settings(max_examples=30)
@given(cases)
def test_products_are_linear_and_take_several_vectors(case):
    optimizer, n = case.fit(), len(case.signal)
    v = np.random.default_rng(0).normal(size=(n, 3))
    products = optimizer.gradient(v)
    assert products.shape == (n, 3)
    atol = 1e-11 * unit_of(case)
    for j in range(3):
        np.testing.assert_allclose(optimizer.gradient(v[:, j]), products[:, j], atol=atol)
    np.testing.assert_allclose(optimizer.gradient(np.eye(n)) @ v, products, atol=n * atol)
    np.testing.assert_allclose(
        optimizer.gradient(2.0 * v[:, 0] - v[:, 1]), 2 * products[:, 0] - products[:, 1], atol=atol
    )


def test_is_the_restricted_inverse_of_the_hessian():
    """The textbook formula, with a basis of the directions that are left."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        chosen = [term for term in TERMS if rng.random() < 0.4]
        case = make_case(seed, chosen, 15)
        optimizer = case.fit()
        if optimizer.n_weakly_active_:
            continue
        plain, x = Plain(case), optimizer.weights_
        jacobian = optimizer.gradient(np.eye(15))
        left, sizes, _ = np.linalg.svd(jacobian)
        basis = left[:, sizes > 1e-9 * unit_of(case)]
        hessian = plain.hessian * np.abs(case.signal).max() / plain.unit
        expected = basis @ np.linalg.solve(basis.T @ hessian @ basis, basis.T)
        np.testing.assert_allclose(jacobian, expected, atol=1e-8 * unit_of(case))
        # as many directions as assets less limits
        values = x @ plain.rows / plain.unit
        room = np.minimum(np.abs(values - plain.low), np.abs(plain.high - values))
        free = np.abs(jacobian).max(axis=1) > 0
        columns = [plain.rows[free][:, room < 1e-10]]
        moved = x / plain.unit - plain.previous
        for v, limit in ((x / plain.unit, plain.leverage), (moved, plain.turnover)):
            if abs(np.abs(v).sum() - limit) < 1e-10:
                columns.append(np.sign(v)[free, None])
        rank = np.linalg.matrix_rank(np.hstack(columns)) if free.any() else 0
        assert basis.shape[1] == free.sum() - rank


def test_dependent_rows_do_not_change_it():
    rng = np.random.default_rng(0)
    signal, exposures = rng.normal(size=12), rng.normal(size=(12, 2))
    sectors = rng.integers(0, 3, 12)
    once = PortfolioOptimizer(sector_neutral=True, budget=None, max_exposure=0.05)
    once.fit(signal, exposures=exposures, sectors=sectors)
    more = np.hstack([exposures, exposures, -3 * exposures[:, :1], np.ones((12, 1))])
    twice = PortfolioOptimizer(sector_neutral=True, max_exposure=[0.05] * 4 + [0.15, 0.0])
    twice.fit(signal, exposures=more, sectors=sectors)
    np.testing.assert_allclose(twice.weights_, once.weights_, atol=1e-10)
    np.testing.assert_allclose(twice.gradient(np.eye(12)), once.gradient(np.eye(12)), atol=1e-9)


def test_at_a_weakly_active_limit_it_is_one_of_the_one_sided_derivatives():
    optimizer = PortfolioOptimizer(budget=None, max_weights=1.0).fit([1.0, 0.5])
    assert optimizer.n_weakly_active_ == 1
    assert optimizer.gradient([1.0, 0.0])[0] in (0.0, 1.0)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scale_of_the_signal_does_not_matter(scale):
    """The limits scaled with it, the weights scale and the derivative stays."""
    rng = np.random.default_rng(0)
    signal, exposures, v = rng.normal(size=20), rng.normal(size=(20, 3)), rng.normal(size=20)

    def fit(scale):
        optimizer = PortfolioOptimizer(
            min_weights=-0.6 * scale,
            max_weights=0.5 * scale,
            max_leverage=5.0 * scale,
            max_exposure=0.2 * scale,
            l1_coef=0.05 * scale,
        )
        return optimizer.fit(scale * signal, exposures=exposures)

    one, other = fit(1.0), fit(scale)
    assert 5 < one.n_free_ < 20
    np.testing.assert_allclose(other.weights_ / scale, one.weights_, atol=1e-12)
    np.testing.assert_allclose(other.gradient(v), one.gradient(v), atol=1e-11)
