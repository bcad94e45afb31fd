"""Bad input: one sentence each, that names the argument, says what was found and what to do."""

import warnings

import numpy as np
import pytest

from sknumerai.exceptions import InfeasiblePortfolioError, SolverError
from sknumerai.portfolio import PortfolioOptimizer

N = 6
S = np.array([1.0, -0.5, 0.3, 0.2, -1.0, 0.7])
E = np.array([[1.0], [2.0], [-1.0], [0.0], [1.0], [1.0]])
B, ONES, INF, NAN = np.ones((N, 2)), np.ones(N), np.inf, np.nan


def hole(values, value=NAN):
    values = np.array(values, dtype=float)
    values.flat[1] = value
    return values


# parameters, signal, risk data, words of the message
FITS = [
    # the signal
    ({}, [], {}, "signal is empty"),
    ({}, None, {}, "signal"),
    ({}, 3.0, {}, "signal"),
    ({}, "abc", {}, "signal"),
    ({}, hole(S), {}, "signal contains 1"),
    ({}, hole(S, INF), {}, "signal contains 1"),
    ({}, np.full(N, NAN), {}, "signal contains 6"),
    ({}, B, {}, "signal has 2 columns"),
    ({}, np.ones((2, 2, 2)), {}, "signal must be two-dimensional"),
    ({}, ["a", "b"], {}, "signal must hold real numbers"),
    ({}, S + 1j, {}, "signal must hold real numbers"),
    ({}, np.array(["2020-01-01"] * 3, dtype="datetime64[D]"), {}, "signal must hold real numbers"),
    # limits on weights
    ({"min_weights": INF}, S, {}, "min_weights is inf for 6 of 6 stocks"),
    ({"max_weights": -INF}, S, {}, "max_weights is -inf for 6 of 6 stocks"),
    ({"min_weights": hole(-ONES, INF)}, S, {}, "min_weights is inf for 1 of 6 stocks"),
    ({"max_weights": hole(ONES, -INF)}, S, {}, "max_weights is -inf for 1 of 6"),
    ({"min_weights": INF, "max_weights": INF}, S, {}, "min_weights is inf"),
    ({"min_weights": NAN}, S, {}, "min_weights contains 1 NaN"),
    ({"max_weights": hole(ONES)}, S, {}, "max_weights contains 1 NaN"),
    ({"min_weights": 1.0, "max_weights": -1.0}, S, {}, "min_weights is above max_weights"),
    ({"min_weights": [0.0, 1.0]}, S, {}, "min_weights has shape (2,) for 6 stocks"),
    ({"max_weights": np.ones((N, 1))}, S, {}, "max_weights has shape (6, 1)"),
    ({"max_weights": "much"}, S, {}, "'max_weights' parameter"),
    ({"max_weights": ["a"] * N}, S, {}, "max_weights"),
    ({"budget": NAN}, S, {}, "'budget' parameter"),
    ({"budget": INF}, S, {}, "'budget' parameter"),
    ({"budget": "all"}, S, {}, "'budget' parameter"),
    ({"max_leverage": 0.0}, S, {}, "'max_leverage' parameter"),
    ({"max_leverage": -1.0}, S, {}, "'max_leverage' parameter"),
    ({"max_leverage": INF}, S, {}, "'max_leverage' parameter"),
    ({"max_turnover": NAN}, S, {}, "'max_turnover' parameter"),
    # limits on exposures
    ({"max_exposure": 0.1}, S, {}, "max_exposure and min_exposure limit exposures"),
    ({"min_exposure": -0.1}, S, {}, "max_exposure and min_exposure limit exposures"),
    ({"min_exposure": INF, "max_exposure": INF}, S, {"exposures": E}, "min_exposure is inf for 1"),
    ({"max_exposure": -INF}, S, {"exposures": E}, "is inf for 1 of 1 exposures"),
    ({"max_exposure": NAN}, S, {"exposures": E}, "max_exposure contains 1 NaN"),
    ({"max_exposure": [1.0, 2.0]}, S, {"exposures": E}, "max_exposure has shape (2,)"),
    ({"max_exposure": {"size": 1.0}}, S, {"exposures": E}, "max_exposure names 'size'"),
    ({"min_exposure": 0.5, "max_exposure": 0.1}, S, {"exposures": E}, "exposure 0 are 0.5 to 0.1"),
    ({"max_exposure": -0.1}, S, {"exposures": E}, "limits of exposure 0 are 0.1 to -0.1"),
    # prices and the rest
    ({"risk_aversion": 0.0}, S, {}, "'risk_aversion' parameter"),
    ({"risk_aversion": INF}, S, {}, "'risk_aversion' parameter"),
    ({"l1_coef": -1e-9}, S, {}, "'l1_coef' parameter"),
    ({"l2_coef": NAN}, S, {}, "'l2_coef' parameter"),
    ({"transaction_costs": -1.0}, S, {}, "'transaction_costs' parameter"),
    ({"engine": "simplex"}, S, {}, "'engine' parameter"),
    ({"tol": 0.0}, S, {}, "'tol' parameter"),
    ({"tol": 1.0}, S, {}, "'tol' parameter"),
    ({"tol": 1e300}, S, {}, "'tol' parameter"),
    ({"tol": 1e-300}, S * 0.3, {"specific_variance": ONES * 0.7}, "tol=1e-300"),
    ({"max_iter": 0}, S, {}, "'max_iter' parameter"),
    ({"max_iter": 2.5}, S, {}, "'max_iter' parameter"),
    ({"sector_neutral": "yes"}, S, {}, "'sector_neutral' parameter"),
    ({"sector_neutral": True}, S, {}, "sector_neutral=True needs sectors"),
    # risk data
    ({}, S, {"specific_variance": 0.0}, "specific_variance must be positive; 6 of 6"),
    ({}, S, {"specific_variance": -ONES}, "specific_variance must be positive; 6 of 6"),
    ({}, S, {"specific_variance": hole(ONES)}, "specific_variance contains 1"),
    ({}, S, {"specific_variance": ONES[1:]}, "specific_variance has 5 rows"),
    ({}, S, {"specific_variance": 1e-320}, "too far apart for float64"),
    ({}, S, {"factor_loadings": B}, "factor_loadings were given without specific_variance"),
    ({}, S, {"factor_loadings": hole(B), "specific_variance": ONES}, "factor_loadings contains 1"),
    ({}, S, {"factor_covariance": np.eye(2)}, "factor_covariance was given without"),
    ({}, S, {"exposures": hole(E, INF)}, "exposures contains 1"),
    ({}, S, {"exposures": E[1:]}, "exposures has 5 rows"),
    ({}, S, {"exposures": np.full((N, 1), "x")}, "exposures must hold real numbers"),
    ({}, S, {"previous_weights": hole(ONES)}, "previous_weights contains 1"),
    ({}, S, {"previous_weights": B}, "previous_weights has 2 columns"),
    ({}, S, {"sectors": ["a"] * 5}, "sectors has shape (5,) for 6 rows"),
    ({}, S, {"sectors": ["a", None] * 3}, "3 of 6 sectors are missing"),
    # limits that conflict, and sizes that do not go together
    ({"budget": 1.0, "max_weights": 0.1}, S, {}, "budget, min_weights and max_weights"),
    ({"budget": 1.0, "max_leverage": 0.999}, S, {}, "budget, max_leverage"),
    ({"budget": 1e-9, "max_leverage": 9e-10}, 1e9 * S, {}, "budget, max_leverage"),
    ({"budget": 0.5, "min_weights": 0.1, "max_weights": 0.1}, S, {}, "budget, min_weights"),
    ({"min_exposure": 1.0, "max_exposure": 2.0}, S, {"exposures": 0 * E}, "exposure 0"),
    ({}, 1e300 * S, {"specific_variance": 1e-300}, "too far apart for float64"),
    ({"risk_aversion": 1e300}, S, {"specific_variance": 1e300}, "too far apart for float64"),
]  # fmt: skip
COVARIANCES = [
    (np.eye(3), "factor_covariance has shape (3, 3) for 2 factors"),
    (np.ones(2), "factor_covariance has shape (2,)"),
    ([[1.0, 0.5], [0.0, 1.0]], "factor_covariance is not symmetric"),
    (-np.eye(2), "factor_covariance has a negative eigenvalue"),
    ([[1.0, NAN], [NAN, 1.0]], "factor_covariance contains 2"),
    (INF * np.ones((2, 2)), "factor_covariance contains 4"),
    ({"a": np.eye(2), "b": np.eye(2)}, "factor_covariance has no entry for None"),
]
VECTORS = [
    (ONES[1:], "v has shape (5,) for 6 stocks"),
    (np.ones((2, N)), "v has shape (2, 6)"),
    (hole(ONES), "v contains 1 values"),
    (INF * ONES, "v contains 6 values"),
    (1.0, "v has shape ()"),
]


def assert_one_sentence(call, words, kinds=(ValueError, TypeError, SolverError)):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kinds) as raised:
            call()
    message = str(raised.value)
    assert words in message
    # scikit-learn adds what it got to its sentence about parameters
    sentence = message.partition(" Got ")[0].rstrip(".")
    assert ". " not in sentence
    assert "\n" not in sentence


def name(case):
    return str(case)[:40] if isinstance(case, str) else None


@pytest.mark.parametrize(("params", "signal", "risk", "words"), FITS, ids=name)
def test_fit(params, signal, risk, words):
    assert_one_sentence(lambda: PortfolioOptimizer(**params).fit(signal, **risk), words)


@pytest.mark.parametrize(("covariance", "words"), COVARIANCES, ids=name)
def test_factor_covariance(covariance, words):
    risk = {"factor_loadings": B, "specific_variance": ONES, "factor_covariance": covariance}
    assert_one_sentence(lambda: PortfolioOptimizer().fit(S, **risk), words)


@pytest.mark.parametrize(("v", "words"), VECTORS, ids=name)
def test_gradient(v, words):
    assert_one_sentence(lambda: PortfolioOptimizer().fit(S).gradient(v), words)


def test_infeasible_programs_raise_their_own_error():
    with pytest.raises(InfeasiblePortfolioError):
        PortfolioOptimizer(budget=1.0, max_leverage=0.999).fit(S)


def test_portfolio_layer():
    torch = pytest.importorskip("torch")
    from sknumerai.portfolio import PortfolioLayer

    optimizer, signal = PortfolioOptimizer(max_leverage=1.0), torch.ones(N)
    eras = {"eras": ["a"] * 3 + ["b"] * 3}
    cases = [
        (lambda: PortfolioLayer("newton"), "optimizer must be a PortfolioOptimizer; found str"),
        (lambda: PortfolioLayer(PortfolioOptimizer(tol=0.0)), "'tol' parameter"),
        (lambda: PortfolioLayer(optimizer, exposures=B, sectors=["a"]), "sectors has shape (1,)"),
        (lambda: PortfolioLayer(optimizer, factor_loadings=B), "without specific_variance"),
        (lambda: PortfolioLayer(optimizer)(S), "signal must be a tensor of floating point"),
        (lambda: PortfolioLayer(optimizer)(torch.ones(N, dtype=torch.int64)), "found torch.int64"),
        (lambda: PortfolioLayer(optimizer)(torch.ones(0)), "signal has shape (0,)"),
        (lambda: PortfolioLayer(optimizer)(torch.ones(N, 1)), "signal has shape (6, 1)"),
        (lambda: PortfolioLayer(optimizer)(torch.ones(2, 3, 4)), "signal has shape (2, 3, 4)"),
        (lambda: PortfolioLayer(optimizer)(NAN * signal), "signal contains 6 NaN or infinite"),
        (lambda: PortfolioLayer(optimizer)(INF * signal), "signal contains 6 NaN or infinite"),
        (lambda: PortfolioLayer(optimizer, exposures=E)(signal[1:]), "signal has shape (5,) for 6"),
        (lambda: PortfolioLayer(optimizer, **eras)(signal, era="c"), "era='c' is none of the 2"),
        (lambda: PortfolioLayer(optimizer)(signal, era="a"), "era='a' was given"),
        (
            lambda: PortfolioLayer(PortfolioOptimizer(max_weights=-INF))(signal),
            "max_weights is -inf",
        ),
    ]
    for call, words in cases:
        assert_one_sentence(call, words)


def test_from_cvxpy():
    cp = pytest.importorskip("cvxpy")
    pytest.importorskip("cvxpylayers")
    signal, x = cp.Parameter(N), cp.Variable(N)

    def program(limits=(), signal=signal, objective=None):
        objective = cp.sum_squares(x) - signal @ x if objective is None else objective
        return cp.Problem(cp.Minimize(objective), list(limits))

    own = PortfolioOptimizer.from_cvxpy
    scale = cp.Parameter(name="scale")
    cases = [
        (lambda: own(program(), cp.Parameter(N), x), "signal must be a parameter of problem"),
        (lambda: own(program(), signal, x[1:]), "found shapes (5,) and (6,)"),
        (lambda: own(program(), signal, cp.square(x)), "weights must be an affine expression"),
        (
            lambda: own(program(objective=-cp.sum_squares(x) + signal @ x), signal, x),
            "problem must",
        ),
        (
            lambda: own(program(objective=scale * (signal @ x) + cp.norm(x)), signal, x),
            "disciplined parametrized program",
        ),
        (lambda: own(program([cp.sum(x) <= scale]), signal, x).fit(S), "scale of the problem has"),
        (lambda: own(program(), signal, x).fit(S[1:]), "signal has 5 stocks and the problem 6"),
        (lambda: own(program(), signal, x).fit(S, exposures=E), "holds its risk data itself"),
        (lambda: own(program(), signal, x).fit(hole(S)), "signal contains 1"),
        (lambda: own(program([x >= 1, x <= 0]), signal, x).fit(S), "could not solve the program"),
        (lambda: own(program(objective=signal @ x), signal, x).fit(S), "could not solve"),
    ]
    for call, words in cases:
        assert_one_sentence(call, words)
