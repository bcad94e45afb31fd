"""The reference engine, and programs of one's own."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone

from sknumerai.exceptions import SolverError
from sknumerai.portfolio import PortfolioOptimizer
from tests.portfolio._programs import make_case

cp = pytest.importorskip("cvxpy")
pytest.importorskip("cvxpylayers")

N = 8
RNG = np.random.default_rng(0)
SIGNAL, EXPOSURES = RNG.normal(size=N), RNG.normal(size=(N, 2))


def long_short(leverage=None):
    """Long and short parts as variables, as hand-written programs have them."""
    signal = cp.Parameter(N, name="signal")
    long, short = cp.Variable(N, nonneg=True), cp.Variable(N, nonneg=True)
    weights = long - short
    limits = [cp.sum(weights) == 0, cp.abs(EXPOSURES.T @ weights) <= 0.1, long <= 0.6, short <= 0.5]
    limits.append(cp.sum(long + short) <= (2.0 if leverage is None else leverage))
    cost = cp.sum_squares(weights) - signal @ weights + 0.05 * cp.sum(long + short)
    return cp.Problem(cp.Minimize(cost), limits), signal, weights


EQUIVALENT = PortfolioOptimizer(
    risk_aversion=2.0,
    min_weights=-0.5,
    max_weights=0.6,
    max_leverage=2.0,
    max_exposure=0.1,
    l1_coef=0.05,
)


@pytest.mark.parametrize(
    "terms",
    [
        {"box", "leverage", "exposures", "factors"},
        {"box", "turnover", "costs", "sectors", "singular factors"},
        {"one-sided exposures", "no budget", "l1", "l2"},
    ],
    ids=["leverage", "turnover", "no budget"],
)
def test_engines_agree(terms):
    case = make_case(1, terms, 12)
    newton, reference = case.fit(), case.fit(engine="cvxpylayers")
    assert newton.n_weakly_active_ == 0
    largest = np.abs(newton.weights_).max()
    np.testing.assert_allclose(reference.weights_, newton.weights_, atol=1e-4 * largest)
    v = np.random.default_rng(0).normal(size=(12, 2))
    gradient = newton.gradient(v)
    np.testing.assert_allclose(reference.gradient(v), gradient, atol=1e-4 * np.abs(gradient).max())
    assert reference.gradient(v[:, 0]).shape == (12,)


def test_reference_cannot_tell_everything():
    optimizer = PortfolioOptimizer(engine="cvxpylayers", max_weights=0.5).fit(SIGNAL)
    assert np.isnan(optimizer.kkt_residual_)
    assert optimizer.n_free_ is None
    assert optimizer.n_weakly_active_ is None


def test_reference_fits_twice_and_does_not_change_the_first_result():
    optimizer = PortfolioOptimizer(engine="cvxpylayers", max_weights=0.5)
    first = optimizer.fit(SIGNAL).weights_
    kept = first.copy()
    second = optimizer.fit(-SIGNAL).weights_
    np.testing.assert_array_equal(first, kept)
    assert np.abs(first - second).max() > 0.1


def test_program_of_ones_own_agrees_with_newton():
    own = PortfolioOptimizer.from_cvxpy(*long_short()).fit(SIGNAL)
    newton = clone(EQUIVALENT).fit(SIGNAL, exposures=EXPOSURES)
    np.testing.assert_allclose(own.weights_, newton.weights_, atol=1e-4)
    # long and short at once cost nothing at first order: the library's derivative is less exact
    v = np.arange(N) - 3.5
    np.testing.assert_allclose(own.gradient(v), newton.gradient(v), atol=1e-3)


def test_program_of_ones_own_is_made_once_and_takes_any_signal():
    own = PortfolioOptimizer.from_cvxpy(*long_short())
    for signal in (SIGNAL, -SIGNAL, 0.1 * SIGNAL[::-1]):
        expected = clone(EQUIVALENT).fit(signal, exposures=EXPOSURES).weights_
        layer = own.engine._layer
        np.testing.assert_allclose(own.fit(signal).weights_, expected, atol=1e-4)
        assert layer is None or own.engine._layer is layer


def test_weights_may_be_a_variable():
    signal, weights = cp.Parameter(N), cp.Variable(N)
    objective = cp.Minimize(0.5 * cp.sum_squares(weights) - signal @ weights)
    own = PortfolioOptimizer.from_cvxpy(cp.Problem(objective), signal, weights).fit(SIGNAL)
    np.testing.assert_allclose(own.weights_, SIGNAL, atol=1e-4)
    np.testing.assert_allclose(own.gradient(np.eye(N)), np.eye(N), atol=1e-4)


def test_other_parameters_keep_their_values():
    leverage = cp.Parameter(nonneg=True, name="leverage")
    own = PortfolioOptimizer.from_cvxpy(*long_short(leverage))
    with pytest.raises(ValueError, match="Parameter leverage of the problem has no value; set it"):
        own.fit(SIGNAL)
    for value in (0.7, 1.1):
        leverage.value = value
        assert np.abs(own.fit(SIGNAL).weights_).sum() == pytest.approx(value, abs=1e-6)


def test_clones_and_copies_work():
    own = PortfolioOptimizer.from_cvxpy(*long_short())
    expected = own.fit(SIGNAL).weights_
    for other in (clone(own), copy.deepcopy(own), clone(clone(own).fit(SIGNAL))):
        np.testing.assert_allclose(other.fit(SIGNAL).weights_, expected, atol=1e-9)
    assert repr(own) == f"PortfolioOptimizer(engine=CvxpyProgram({N} stocks))"


def test_program_of_ones_own_is_pickled():
    own = PortfolioOptimizer.from_cvxpy(*long_short())
    expected = own.fit(SIGNAL).weights_
    again = pickle.loads(pickle.dumps(clone(own)))
    np.testing.assert_allclose(again.fit(SIGNAL).weights_, expected, atol=1e-9)


def test_problem_that_is_not_dpp_is_refused():
    signal, scale, weights = cp.Parameter(N), cp.Parameter(), cp.Variable(N)
    objective = cp.Minimize(cp.sum_squares(weights) - scale * (signal @ weights))
    with pytest.raises(ValueError, match="problem must be a disciplined parametrized program"):
        PortfolioOptimizer.from_cvxpy(cp.Problem(objective), signal, weights)


def test_signal_that_is_no_parameter_of_the_problem_is_refused():
    problem, _, weights = long_short()
    with pytest.raises(ValueError, match="signal must be a parameter of problem"):
        PortfolioOptimizer.from_cvxpy(problem, cp.Parameter(N), weights)


def test_weights_of_another_shape_are_refused():
    problem, signal, weights = long_short()
    with pytest.raises(ValueError, match=r"found shapes \(7,\) and \(8,\)"):
        PortfolioOptimizer.from_cvxpy(problem, signal, weights[:-1])
    with pytest.raises(ValueError, match="weights must be an affine expression"):
        PortfolioOptimizer.from_cvxpy(problem, signal, cp.abs(weights))


@pytest.mark.parametrize(
    "name", ["exposures", "specific_variance", "previous_weights", "sectors", "factor_loadings"]
)
def test_risk_data_beside_a_program_of_ones_own_are_refused(name):
    values = np.ones((N, 2)) if name in ("exposures", "factor_loadings") else np.ones(N)
    risk = {name: values}
    if name == "factor_loadings":
        risk["specific_variance"] = np.ones(N)
    with pytest.raises(ValueError, match="a program of one's own holds its risk data itself"):
        PortfolioOptimizer.from_cvxpy(*long_short()).fit(SIGNAL, **risk)


def test_signal_of_another_length_is_refused():
    with pytest.raises(ValueError, match="signal has 7 stocks and the problem 8"):
        PortfolioOptimizer.from_cvxpy(*long_short()).fit(SIGNAL[:-1])


@pytest.mark.parametrize("engine", ["cvxpylayers", None])
def test_infeasible_program_is_an_error(engine):
    if engine is None:
        leverage = cp.Parameter(value=-1.0)
        optimizer = PortfolioOptimizer.from_cvxpy(*long_short(leverage))
    else:
        optimizer = PortfolioOptimizer(engine=engine, budget=1.0, max_weights=0.1)
    with pytest.raises(SolverError, match="cvxpylayers could not solve the program"):
        optimizer.fit(SIGNAL)


@pytest.mark.parametrize(
    ("module", "extra"), [("cvxpy", "cvxpy"), ("cvxpylayers.torch", "cvxpy"), ("torch", "torch")]
)
def test_missing_library_is_named_with_its_extra(monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"pip install 'sknumerai\[{extra}\]'"
    with pytest.raises(ImportError, match=message):
        PortfolioOptimizer(engine="cvxpylayers").fit(SIGNAL)


# --- nothing is returned that is not optimal, and everything can be copied ------------------------


@pytest.mark.parametrize("limits", [lambda w: [cp.sum(w) == 0], lambda w: [w <= 1], lambda w: []])
def test_unbounded_programs_are_refused(limits):
    """cvxpylayers returns numbers for them, which meet the limits."""
    signal, weights = cp.Parameter(N), cp.Variable(N)
    problem = cp.Problem(cp.Maximize(signal @ weights), limits(weights))
    with pytest.raises(SolverError, match="cvxpylayers could not solve the program"):
        PortfolioOptimizer.from_cvxpy(problem, signal, weights).fit(SIGNAL)


def test_bounded_linear_programs_are_solved():
    signal, weights = cp.Parameter(N), cp.Variable(N)
    problem = cp.Problem(
        cp.Maximize(signal @ weights), [cp.sum(weights) == 0, cp.norm1(weights) <= 1]
    )
    own = PortfolioOptimizer.from_cvxpy(problem, signal, weights).fit(SIGNAL)
    assert own.weights_ @ SIGNAL == pytest.approx(0.5 * np.ptp(SIGNAL), rel=1e-4)


def test_a_portfolio_that_is_not_the_best_is_refused():
    own = PortfolioOptimizer.from_cvxpy(*long_short())
    own.fit(SIGNAL)
    values = [value.detach().numpy() for value in own._matvec.graph()[1]]
    own.engine.verify(SIGNAL, values)
    with pytest.raises(SolverError, match=r"its objective is -0\.\d+ where -0\.\d+ is possible"):
        own.engine.verify(SIGNAL, [0.9 * value for value in values])


def test_the_signal_of_the_problem_keeps_its_value():
    problem, signal, weights = long_short()
    signal.value = np.ones(N)
    PortfolioOptimizer.from_cvxpy(problem, signal, weights).fit(SIGNAL)
    np.testing.assert_array_equal(signal.value, np.ones(N))


def by_cloudpickle(estimator):
    cloudpickle = pytest.importorskip("cloudpickle")
    return cloudpickle.loads(cloudpickle.dumps(estimator))


COPIES = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "deepcopy": copy.deepcopy,
    "cloudpickle": by_cloudpickle,
    "clone": clone,
}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("make", ["own", "cvxpylayers"])
def test_copies_before_and_after_a_fit(make, copied):
    optimizer = PortfolioOptimizer(engine="cvxpylayers", max_weights=0.5)
    if make == "own":
        optimizer = PortfolioOptimizer.from_cvxpy(*long_short())
    before = COPIES[copied](optimizer)
    optimizer.fit(SIGNAL)
    after = COPIES[copied](optimizer)
    v = np.arange(N) - 3.5
    if copied == "clone":
        assert not hasattr(after, "weights_")
        after.fit(SIGNAL)
    for other in (before.fit(SIGNAL), after, COPIES[copied](after).fit(SIGNAL)):
        np.testing.assert_allclose(other.weights_, optimizer.weights_, atol=1e-9)
        np.testing.assert_allclose(other.gradient(v), optimizer.gradient(v), atol=1e-6)
    assert optimizer.gradient(np.zeros((N, 0))).shape == (N, 0)


def test_a_pickle_of_another_process_shares_no_variables(tmp_path):
    """cvxpy counts its variables: those of a pickle must not be taken for those made after."""
    own = PortfolioOptimizer.from_cvxpy(*long_short()).fit(SIGNAL)
    path = tmp_path / "own.pkl"
    path.write_bytes(pickle.dumps(own))
    code = (
        "import pickle, sys, cvxpy\n"
        "own = pickle.load(open(sys.argv[1], 'rb'))\n"
        "assert cvxpy.Variable().id > max(v.id for v in own.engine.problem.variables())\n"
        "print(abs(own.fit(own._matvec.signal).weights_ - pickle.load(open(sys.argv[1], 'rb'))"
        ".weights_).max() < 1e-9)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "True"
