"""Optimality of every portfolio, proofs of infeasibility, and what happens should Newton fail."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sknumerai.exceptions import InfeasiblePortfolioError, SolverError
from sknumerai.portfolio import PortfolioOptimizer, _newton_engine
from sknumerai.portfolio._certificates import Certificate, farkas_certificate
from sknumerai.portfolio._dual import Dual
from sknumerai.portfolio._hessian import Hessian
from sknumerai.portfolio._library import solve_by_library
from sknumerai.portfolio._newton import NewtonResult
from sknumerai.portfolio._program import Multipliers
from tests.portfolio._programs import TERMS, Plain, make_case, shift_limits

seeds = st.integers(0, 10**6)
terms = st.sets(st.sampled_from(TERMS))
SIGNAL = np.array([1.0, -0.5, 0.3, 0.2, -1.0, 0.7])
EXPOSURE = np.array([[1.0], [2.0], [-1.0], [0.0], [1.0], [1.0]])


def assert_same_weights(actual, desired, case, rtol=1e-6):
    """Up to `rtol` of the largest weight, or of a hundredth of one without limits."""
    atol = rtol * max(np.abs(desired).max(), 1e-2 * case.scale)
    np.testing.assert_allclose(actual, desired, rtol=0, atol=atol)


@given(seeds, terms, st.integers(4, 30))
def test_every_portfolio_is_optimal(seed, terms, n):
    case = make_case(seed, terms, n)
    optimizer = case.fit()
    plain = Plain(case)
    assert plain.violation(optimizer.weights_) < 1e-9
    assert plain.distance_from_stationarity(optimizer.weights_) < 1e-9
    assert optimizer.kkt_residual_ <= optimizer.tol


@settings(max_examples=60)
@given(seeds, terms, st.integers(4, 40))
def test_agrees_with_an_interior_point_method(seed, terms, n):
    pytest.importorskip("cvxpy")
    case = make_case(seed, terms, n)
    tight = {f"tol_{name}": 1e-11 for name in ("gap_abs", "gap_rel", "feas")}
    status, weights = Plain(case).by_cone_solver(**tight)
    assert status == "optimal"
    assert_same_weights(case.fit().weights_, weights, case)


def test_agrees_with_sequential_quadratic_programming():
    """Independent of cvxpy; SLSQP itself gives up on some programs, or stops a little early."""
    rng, solved = np.random.default_rng(0), 0
    for seed in range(60):
        chosen = [term for term in TERMS if rng.random() < 0.4]
        case = make_case(seed, chosen, int(rng.integers(4, 8)))
        success, weights = Plain(case).by_quadratic_programming()
        if success:
            assert_same_weights(case.fit().weights_, weights, case, rtol=3e-5)
            solved += 1
    assert solved >= 50


def test_agrees_with_a_splitting_method():
    """Clarabel, SLSQP and SCS have nothing in common but the program."""
    pytest.importorskip("cvxpy")
    for seed in range(4):
        case = make_case(seed, {"box", "leverage", "turnover", "exposures", "factors", "costs"}, 12)
        options = {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iters": 100_000}
        status, weights = Plain(case).by_cone_solver("SCS", **options)
        assert status == "optimal"
        assert_same_weights(case.fit().weights_, weights, case)


def test_all_limits_at_once_on_many_stocks():
    pytest.importorskip("cvxpy")
    for seed in range(3):
        case = make_case(seed, set(TERMS) - {"no budget", "one-sided box"}, 400)
        optimizer = case.fit()
        plain = Plain(case)
        assert plain.violation(optimizer.weights_) < 1e-9
        assert 0 < optimizer.n_free_ < 400
        weights = plain.by_cone_solver(tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)[1]
        assert_same_weights(optimizer.weights_, weights, case, rtol=1e-5)


def solved(terms=("box", "leverage", "turnover", "exposures", "factors", "costs"), seed=0, n=20):
    """A case, its program, its solution and the multipliers."""
    case = make_case(seed, terms, n)
    engine = case.engine()
    solution = engine.solve(case.signal)
    return case, engine.program, solution.weights, engine.dual.multipliers(solution.state)


def test_judges_notice_a_portfolio_that_is_not_optimal():
    """Of these tests as well as of the package: every asset, moved a little, is noticed."""
    case, program, weights, multipliers = solved()
    plain = Plain(case)
    assert Certificate(program, case.signal, weights, multipliers).residual < 1e-12
    for i in range(len(weights)):
        moved = weights.copy()
        moved[i] += 1e-6 * case.scale
        error = max(plain.violation(moved), plain.distance_from_stationarity(moved))
        assert error > 1e-8
        assert Certificate(program, case.signal, moved, multipliers).residual > 1e-9


def test_certificate_notices_wrong_multipliers():
    case, program, weights, multipliers = solved()

    def residual(**changes):
        wrong = replace(multipliers, **changes)
        return Certificate(program, case.signal, weights, wrong).residual

    assert residual() < 1e-12
    for j in range(len(multipliers.rows)):
        for change in (1e-6, -1e-6):
            rows = multipliers.rows.copy()
            rows[j] += change * np.abs(case.signal).max()
            assert residual(rows=rows) > 1e-9
    for t, multiplier in enumerate(multipliers.norms):
        for wrong in (-1.0, multiplier + np.abs(case.signal).max()):
            norms = multipliers.norms.copy()
            norms[t] = wrong
            assert residual(norms=norms) > 1e-9


def test_certificate_notices_limits_that_are_not_reached():
    """Where the multiplier of a limit is positive, a looser limit must be noticed."""
    case, program, weights, multipliers = solved(
        ("leverage", "turnover", "exposures", "box"), seed=22
    )
    assert multipliers.rows[1:].any()
    assert len(multipliers.norms) == 2
    assert multipliers.norms.min() > 0.0

    def residual(**changes):
        looser = replace(program, **changes)
        return Certificate(looser, case.signal, weights, multipliers).residual

    assert residual() < 1e-12
    room = 1e-3 * case.scale
    assert residual(row_min=program.row_min - room, row_max=program.row_max + room) > 1e-6
    for t, term in enumerate(program.terms):
        terms = list(program.terms)
        terms[t] = replace(term, limit=term.limit + room)
        assert residual(terms=tuple(terms)) > 1e-6
    assert residual(upper=program.upper + room) > 1e-6
    assert residual(lower=program.lower - room) > 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_certificate_of_a_portfolio_with_holes_is_infinite(bad):
    case, program, weights, multipliers = solved()
    weights = weights.copy()
    weights[3] = bad
    with np.errstate(invalid="ignore"):
        residual = Certificate(program, case.signal, weights, multipliers).residual
    assert not residual <= 1e-9


def test_weakly_active_limits_are_counted():
    def count(**params):
        optimizer = PortfolioOptimizer(budget=None, **params)
        return optimizer.fit([1.0, -0.5, 0.2], previous_weights=[0.4, 0.0, 0.0]).n_weakly_active_

    assert count() == 0
    assert count(max_weights=1.0) == 1
    assert count(min_weights=-0.5, max_weights=1.0) == 2
    assert count(max_weights=1.0 + 1e-6) == 0
    assert count(max_weights=1.0 - 1e-6) == 0
    assert count(max_leverage=1.7) == 1
    assert count(max_leverage=1.8) == 0
    assert count(max_turnover=0.6 + 0.7) == 1
    assert count(l1_coef=0.2) == 1
    assert count(l1_coef=0.1) == 0
    assert count(transaction_costs=0.6) == 1


@settings(max_examples=60)
@given(seeds, terms, st.integers(4, 20))
def test_warm_starts_end_where_cold_ones_do(seed, terms, n):
    case = make_case(seed, terms, n)
    engine, rng = case.engine(), np.random.default_rng(seed)
    state = engine.solve(case.signal).state
    for size in (1e-3, 1.0, 30.0):
        signal = case.signal + size * np.abs(case.signal).mean() * rng.normal(size=n)
        warm, cold = engine.solve(signal, state), case.engine().solve(signal)
        scaled = replace(case, scale=case.scale * (1.0 + size))
        assert_same_weights(warm.weights, cold.weights, scaled, rtol=1e-9)
        assert warm.kkt_residual <= 1e-9


def test_a_warm_start_from_anywhere_is_allowed():
    case = make_case(3, {"box", "leverage", "exposures", "factors", "costs", "turnover"}, 25)
    engine = case.engine()
    cold = engine.solve(case.signal)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1.0, 1e3):
        start = cold.state + size * np.abs(cold.state).max() * rng.normal(size=len(cold.state))
        norms = slice(engine.dual.n_linear, None)
        start[norms] = np.abs(start[norms])
        np.testing.assert_allclose(
            engine.solve(case.signal, start).weights, cold.weights, atol=1e-9 * case.scale
        )


def test_a_warm_start_at_the_solution_takes_no_iteration():
    case = make_case(1, {"box", "exposures", "factors"}, 30)
    engine = case.engine()
    solution = engine.solve(case.signal)
    again = engine.solve(case.signal, solution.state)
    assert solution.n_iter > 0
    assert again.n_iter == 0
    np.testing.assert_array_equal(again.weights, solution.weights)


# --- infeasible programs -------------------------------------------------------------------------

BOX = "min_weights and max_weights"
SECTORS = list("aabbcc")
CONFLICTS = {
    "budget and sectors": (
        {"budget": 0.1, "sector_neutral": True},
        {"sectors": SECTORS},
        ["budget", *(f"neutrality of sector {name!r}" for name in "abc")],
    ),
    "budget and maxima": ({"budget": 1.0, "max_weights": 0.1}, {}, ["budget", BOX]),
    "budget and minima": ({"budget": -1.0, "min_weights": -0.1}, {}, ["budget", BOX]),
    "budget and negative maxima": ({"max_weights": -0.1}, {}, ["budget", BOX]),
    "budget and positive minima": ({"min_weights": [0, 0, 0, 0, 0, 0.1]}, {}, ["budget", BOX]),
    "budget and leverage": ({"budget": 1.0, "max_leverage": 0.9}, {}, ["budget", "max_leverage"]),
    "budget and turnover": (
        {"max_turnover": 0.1},
        {"previous_weights": [0.5, 0, 0, 0, 0, 0]},
        ["budget", "max_turnover"],
    ),
    "leverage and turnover": (
        {"budget": None, "max_leverage": 1.0, "max_turnover": 0.1},
        {"previous_weights": [2.0, 0, 0, 0, 0, 0]},
        ["max_leverage", "max_turnover"],
    ),
    "leverage and box": (
        {"budget": None, "min_weights": 0.2, "max_leverage": 1.0},
        {},
        ["max_leverage", BOX],
    ),
    "turnover and box": (
        {"budget": None, "max_weights": 0.1, "max_turnover": 0.1},
        {"previous_weights": [0.5, 0, 0, 0, 0, 0]},
        ["max_turnover", BOX],
    ),
    "two exposures": (
        {"budget": None, "min_exposure": [0.1, -np.inf, 0], "max_exposure": [np.inf, -0.1, 0]},
        {"exposures": np.hstack([EXPOSURE, 2 * EXPOSURE, EXPOSURE**2])},
        ["exposure 0", "exposure 1"],
    ),
    "two equations": (
        {"budget": None, "min_exposure": [0.1, 0.3], "max_exposure": [0.1, 0.3]},
        {"exposures": np.hstack([EXPOSURE, 2 * EXPOSURE])},
        ["exposure 0", "exposure 1"],
    ),
    "exposure and box": (
        {"min_exposure": 10.0, "max_exposure": 20.0, "max_weights": 0.1, "min_weights": -0.1},
        {"exposures": EXPOSURE},
        ["exposure 0", BOX],
    ),
    "budget and constant exposure": (
        {"min_exposure": [0.1, -1], "max_exposure": [0.2, 1]},
        {"exposures": np.hstack([EXPOSURE * 0 + 3, EXPOSURE])},
        ["budget", "exposure 0"],
    ),
    "exposure of zeros": (
        {"min_exposure": 0.1, "max_exposure": 0.2},
        {"exposures": 0 * EXPOSURE},
        ["exposure 0"],
    ),
}


@pytest.mark.parametrize("signal", [SIGNAL, 1e-6 * SIGNAL, 0 * SIGNAL], ids=["1", "1e-6", "0"])
@pytest.mark.parametrize("name", CONFLICTS)
def test_conflicting_limits_are_named(name, signal):
    params, risk, conflict = CONFLICTS[name]
    with pytest.raises(InfeasiblePortfolioError) as raised:
        PortfolioOptimizer(**params).fit(signal, **risk)
    assert sorted(raised.value.conflict) == sorted(conflict)
    for limit in conflict:
        assert limit in str(raised.value)


def test_no_limit_is_named_without_need():
    """Each of three limits conflicts with the budget: one of them is enough to say so."""
    optimizer = PortfolioOptimizer(
        budget=1.0, max_weights=0.1, max_leverage=0.7, max_turnover=0.8, max_exposure=3.0
    )
    with pytest.raises(InfeasiblePortfolioError) as raised:
        optimizer.fit(SIGNAL, exposures=EXPOSURE, previous_weights=np.zeros(6))
    conflict = raised.value.conflict
    assert len(conflict) == 2
    assert "budget" in conflict
    assert "exposure 0" not in conflict


def test_limits_that_conflict_are_named_as_the_caller_names_them(df_module):
    exposures = df_module.DataFrame({"size": EXPOSURE[:, 0], "beta": -EXPOSURE[:, 0]})
    optimizer = PortfolioOptimizer(
        budget=None, min_exposure={"size": 0.1, "beta": 0.2}, max_exposure={"size": 0.3}
    )
    with pytest.raises(InfeasiblePortfolioError, match="'size', exposure 'beta'; widen or drop"):
        optimizer.fit(SIGNAL, exposures=exposures)


def test_infeasible_programs_are_told_from_feasible_ones():
    """As linear programming and Clarabel do, on random programs; and the named limits conflict."""
    pytest.importorskip("cvxpy")
    rng = np.random.default_rng(1)
    n_feasible = n_infeasible = n_named = 0
    for seed in range(120):
        chosen = [term for term in TERMS if rng.random() < 0.4]
        if "no budget" in chosen:
            chosen.append("leverage")  # something to move
        case = shift_limits(make_case(seed, chosen, int(rng.integers(4, 30))), seed)
        plain = Plain(case)
        impossible = plain.smallest_violation() > 1e-7
        if seed % 3 == 0:
            assert (plain.by_cone_solver()[0] == "infeasible") == impossible
        if not impossible:
            n_feasible += 1
            weights = case.fit().weights_
            assert plain.violation(weights) < 1e-9
            assert plain.distance_from_stationarity(weights) < 1e-9
            continue
        n_infeasible += 1
        with pytest.raises(InfeasiblePortfolioError) as raised:
            case.fit()
        if raised.value.conflict:  # empty where the proof is a library's
            n_named += 1
            assert plain.smallest_violation(raised.value.conflict) > 1e-7
    assert min(n_feasible, n_infeasible) >= 40
    assert n_named >= 0.95 * n_infeasible


def test_no_multipliers_prove_that_a_feasible_program_is_infeasible():
    rng = np.random.default_rng(0)
    for seed in range(40):
        chosen = [term for term in TERMS if rng.random() < 0.5]
        program = make_case(seed, chosen, 12).engine().program
        for _ in range(50):
            rows = rng.normal(size=len(program.row_min)) * (rng.random(len(program.row_min)) < 0.7)
            rows[(rows > 0) & np.isinf(program.row_max)] *= -1.0
            rows[(rows < 0) & np.isinf(program.row_min)] = 0.0
            capped = np.isfinite([term.limit for term in program.terms])
            norms = np.abs(rng.normal(size=len(capped))) * capped
            assert farkas_certificate(program, Multipliers(rows, norms)) <= 1e-12


@pytest.mark.parametrize(
    ("params", "risk"),
    [
        ({"budget": 0.6, "max_weights": 0.1}, {}),
        ({"budget": 0.9, "max_leverage": 0.9}, {}),
        ({"max_turnover": 0.5}, {"previous_weights": [0.5, 0, 0, 0, 0, 0]}),
        ({"min_weights": 0.0}, {}),
        ({"min_weights": 0.0, "max_leverage": 0.5, "budget": 0.5}, {}),
        ({"min_exposure": 0.0, "max_exposure": 0.0}, {"exposures": 0 * EXPOSURE}),
    ],
    ids=["box", "leverage", "turnover", "nothing is left", "long only", "zeros"],
)
def test_limits_that_just_touch_are_met(params, risk):
    optimizer = PortfolioOptimizer(**params).fit(SIGNAL, **risk)
    if "max_turnover" not in params:  # the smallest trade is one of many: no check of uniqueness
        assert optimizer.kkt_residual_ < 1e-12
    assert abs(optimizer.weights_.sum() - params.get("budget", 0.0)) < 1e-12
    assert np.abs(optimizer.weights_).sum() <= params.get("max_leverage", np.inf) + 1e-12


# --- few free assets ------------------------------------------------------------------------------


def tight_program(n, rms, **params):
    """A signal so large beside the box that nearly all assets are at its bounds."""
    rng = np.random.default_rng(0)
    loadings, exposures = 0.05 * rng.normal(size=(n, 20)), rng.normal(size=(n, 30))
    signal = rms * np.sign(rng.normal(size=n)) * np.abs(rng.normal(size=n)) ** 1.5
    limits = {"min_weights": -10.0 / n, "max_weights": 10.0 / n, **params}
    return PortfolioOptimizer(**limits), signal, {
        "factor_loadings": loadings,
        "specific_variance": np.full(n, 0.04) * rng.uniform(0.5, 2.0, n),
        "exposures": exposures,
    }  # fmt: skip


@pytest.mark.parametrize("rms", [0.1, 10.0, 1000.0])
@pytest.mark.parametrize(
    "params", [{}, {"max_leverage": 1.0, "max_exposure": 0.02}, {"l1_coef": 1e-3, "budget": 0.5}]
)
def test_few_free_assets_need_no_library(params, rms, monkeypatch):
    """Newton's method alone goes from kink to kink, hundreds of times or for ever."""
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    optimizer, signal, risk = tight_program(600, rms, **params)
    optimizer.fit(signal, **risk)
    assert optimizer.n_free_ < 120
    assert optimizer.kkt_residual_ < 1e-9
    assert optimizer.n_iter_ < 200


def test_easier_programs_lead_to_the_same_portfolio(monkeypatch):
    """From the first iteration on, on programs that Newton's method solves by itself."""
    rng = np.random.default_rng(1)
    for seed in range(60):
        case = make_case(seed, {term for term in TERMS if rng.random() < 0.5}, 20)
        expected = case.fit().weights_
        with monkeypatch.context() as patch:
            patch.setattr(_newton_engine, "PATIENCE", 0)
            optimizer = case.fit()
        assert_same_weights(optimizer.weights_, expected, case, rtol=1e-9)
        assert optimizer.n_iter_ > 0


def test_proximity_is_a_larger_curvature():
    """The dual at c is that of the same program with curvature (1 + c) q."""
    case = make_case(3, set(TERMS) - {"no budget", "one-sided box"}, 25)
    dual, c = case.engine().dual, 2.5
    stiffer = Dual(replace(dual.program, curvature=(1.0 + c) * dual.program.curvature))
    rng = np.random.default_rng(0)
    for scale in (0.1, 1.0, 10.0):
        theta = scale * rng.normal(size=dual.size)
        theta[dual.n_linear :] = np.abs(theta[dual.n_linear :])
        point = dual.evaluate(theta, case.signal / dual.root, c)
        there = stiffer.evaluate(theta / dual.norms * stiffer.norms, case.signal / stiffer.root)
        np.testing.assert_allclose(point.value, there.value, rtol=1e-10)
        np.testing.assert_allclose(
            dual.portfolio(point), stiffer.portfolio(there), atol=1e-12 * case.scale
        )
        np.testing.assert_array_equal(point.free, there.free)
        slopes = point.gradient * dual.norms, there.gradient * stiffer.norms
        np.testing.assert_allclose(*slopes, atol=1e-10 * np.abs(slopes[1]).max())
        hessian, stiff = Hessian(dual), Hessian(stiffer)
        hessian.move_to(point)
        stiff.move_to(there)
        for damping in (0.0, 0.5):
            left = dual.norms[:, None] * hessian.matrix(damping, c) * dual.norms
            right = stiffer.norms[:, None] * stiff.matrix(damping) * stiffer.norms
            np.testing.assert_allclose(left, right, atol=1e-10 * np.abs(right).max())


# --- should Newton's method fail -----------------------------------------------------------------


def test_fallback_polishes_the_solution_of_a_library(monkeypatch):
    pytest.importorskip("cvxpy")
    rng = np.random.default_rng(0)
    for seed in range(12):
        chosen = {term for term in TERMS if rng.random() < 0.5}
        case = make_case(seed, chosen, 15)
        expected = case.fit()
        with monkeypatch.context() as patch:
            newton = _newton_engine.semismooth_newton

            def only_warm(dual, hessian, signal, start=None, newton=newton, **options):
                if start is None:
                    options.update(max_iter=0, damping=1.0)
                return newton(dual, hessian, signal, start, **options)

            patch.setattr(_newton_engine, "semismooth_newton", only_warm)
            patch.setattr(_newton_engine, "proximal_newton", only_warm)
            optimizer = case.fit()
        assert optimizer.kkt_residual_ <= optimizer.tol
        if "dependent rows" not in chosen:  # whose multipliers are not unique
            assert optimizer.n_weakly_active_ == expected.n_weakly_active_
        assert_same_weights(optimizer.weights_, expected.weights_, case, rtol=1e-9)
        if not expected.n_weakly_active_:
            v = rng.normal(size=15)
            atol = 1e-9 * case.scale / np.abs(case.signal).mean()
            np.testing.assert_allclose(optimizer.gradient(v), expected.gradient(v), atol=atol)


SLOW = make_case(2, {"box", "leverage", "turnover", "exposures", "factors", "costs"}, 30)


def test_multipliers_of_the_library_are_those_of_the_program():
    pytest.importorskip("cvxpy")
    rng = np.random.default_rng(0)
    compared = 0
    for seed in range(100):
        chosen = {term for term in TERMS if rng.random() < 0.5}
        case = make_case(seed, chosen, 15)
        if not (0.03 < np.abs(case.signal).max() < 30 and 0.03 < case.scale < 30):
            continue  # its tolerances are absolute
        compared += 1
        program, plain = case.engine().program, Plain(case)
        weights, multipliers = solve_by_library(program, case.signal)
        price = np.abs(case.signal).max()
        gaps = Plain(case)
        gaps.signal = plain.signal - program.rows @ multipliers.rows / price
        names = [term.name for term in program.terms]
        prices = dict(zip(names, multipliers.norms / price, strict=True))
        gaps.l1 += prices.get("max_leverage", 0.0)
        gaps.costs += prices.get("max_turnover", 0.0)
        gaps.leverage = gaps.turnover = np.inf
        gaps.rows, gaps.low, gaps.high = np.zeros((15, 0)), np.zeros(0), np.zeros(0)
        # what is left to explain are the norms and the box, near whose limits the library stops
        assert gaps.distance_from_stationarity(weights, active=1e-4) < 1e-3
    assert compared > 5


def test_too_few_iterations_are_made_up_for_or_refused():
    pytest.importorskip("cvxpy")
    expected = SLOW.fit()
    assert expected.n_iter_ > 3
    returned = 0
    for max_iter in (1, 2, 3):
        try:
            optimizer = SLOW.fit(max_iter=max_iter)
        except SolverError:
            continue
        returned += 1
        assert_same_weights(optimizer.weights_, expected.weights_, SLOW, 1e-9)
    assert returned


def test_fallback_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(SolverError, match=r"residual of .* pip install 'sknumerai\[cvxpy\]'"):
        SLOW.fit(max_iter=1)


def test_newton_needs_no_library(monkeypatch):
    for module in ("cvxpy", "cvxpylayers", "torch"):
        monkeypatch.setitem(sys.modules, module, None)
    assert SLOW.fit().kkt_residual_ < 1e-9


def test_linear_programming_proves_what_newtons_method_missed(monkeypatch):
    def proves_nothing(dual, hessian, signal, start=None, **options):
        result = newton(dual, hessian, signal, start, **{"damping": 1.0, **options})
        return NewtonResult(result.point, 1.0, result.n_iter)

    newton = _newton_engine.semismooth_newton
    monkeypatch.setattr(_newton_engine, "semismooth_newton", proves_nothing)
    monkeypatch.setattr(_newton_engine, "proximal_newton", proves_nothing)
    for params, risk, conflict in CONFLICTS.values():
        with pytest.raises(InfeasiblePortfolioError, match="Farkas") as raised:
            PortfolioOptimizer(**params).fit(SIGNAL, **risk)
        assert sorted(raised.value.conflict) == sorted(conflict)


def test_the_word_of_a_library_is_no_proof_of_infeasibility(monkeypatch):
    cp = pytest.importorskip("cvxpy")

    def calls_it_infeasible(problem, **options):
        problem._status = "infeasible"

    monkeypatch.setattr(_newton_engine, "PATIENCE", 0)
    monkeypatch.setattr(
        _newton_engine, "proximal_newton", lambda *args, **options: stay(*args, **options)
    )
    monkeypatch.setattr(cp.Problem, "solve", calls_it_infeasible)
    with pytest.raises(SolverError, match="ended 'infeasible', of which there is no proof"):
        SLOW.fit()


def stay(dual, hessian, signal, **options):
    options = {"tol": options["tol"], "max_iter": 0, "damping": 1.0}
    return _newton_engine.semismooth_newton(dual, hessian, signal, None, **options)


def test_no_portfolio_is_returned_that_is_not_verified(monkeypatch):
    pytest.importorskip("cvxpy")
    case = make_case(0, {"box", "leverage", "factors", "exposures"}, 30)
    with pytest.raises(SolverError, match="tol=1e-300"):
        case.fit(tol=1e-300)

    class Doubting(Certificate):
        residual = 1.0

    monkeypatch.setattr(_newton_engine, "Certificate", Doubting)
    with pytest.raises(SolverError, match=r"KKT residual of 1\.0e\+00 after \d+ iterations"):
        case.fit()
