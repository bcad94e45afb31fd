"""The contract: what callers may pass, what they get, and what they are told."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from sknumerai.portfolio import PortfolioOptimizer
from tests.portfolio._programs import TERMS, Plain, make_case

RNG = np.random.default_rng(0)
N = 24
SIGNAL, V = RNG.normal(size=N), RNG.normal(size=N)
RISK = {
    "factor_loadings": RNG.normal(size=(N, 3)),
    "factor_covariance": np.diag([0.5, 1.0, 2.0]) + 0.1,
    "specific_variance": RNG.uniform(0.5, 2.0, N),
    "exposures": RNG.integers(-2, 3, (N, 2)).astype(float),
    "sectors": np.array(list("abcd"))[np.arange(N) % 4],
    "previous_weights": 0.1 * RNG.normal(size=N),
}
FULL = PortfolioOptimizer(
    risk_aversion=1.5,
    min_weights=-0.12,
    max_weights=0.15,
    max_leverage=2.5,
    max_exposure=0.2,
    sector_neutral=True,
    l1_coef=0.01,
    l2_coef=0.1,
    transaction_costs=0.02,
    max_turnover=2.2,
)
PARAMS = sorted(FULL.get_params())


def fit(**risk):
    return clone(FULL).fit(SIGNAL, **{**RISK, **risk})


# --- the default program -------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(3, 40), st.integers(0, 4))
def test_default_is_the_projection_of_the_signal(seed, n, k):
    """Dollar neutral and neutral to all exposures: least squares."""
    rng = np.random.default_rng(seed)
    signal, exposures = rng.normal(size=n), rng.normal(size=(n, min(k, n - 2)))
    optimizer = PortfolioOptimizer().fit(signal, exposures=exposures)
    design = np.column_stack([np.ones(n), exposures])
    projection = np.eye(n) - design @ np.linalg.pinv(design)
    np.testing.assert_allclose(optimizer.weights_, projection @ signal, atol=1e-10)
    np.testing.assert_allclose(optimizer.gradient(np.eye(n)), projection, atol=1e-9)
    assert optimizer.n_free_ == n
    assert optimizer.n_weakly_active_ == 0
    assert optimizer.weights_.dtype == np.float64


def test_without_limits_it_is_mean_variance():
    """Closed form, with the factors ½ of the documented objective."""
    optimizer = PortfolioOptimizer(risk_aversion=2.0, l2_coef=0.3, budget=None)
    names = ("factor_loadings", "factor_covariance", "specific_variance")
    optimizer.fit(SIGNAL, **{name: RISK[name] for name in names})
    loadings, covariance, variance = (RISK[name] for name in names)
    hessian = 2.0 * (np.diag(variance) + loadings @ covariance @ loadings.T) + 0.3 * np.eye(N)
    np.testing.assert_allclose(optimizer.weights_, np.linalg.solve(hessian, SIGNAL), atol=1e-12)
    np.testing.assert_allclose(optimizer.gradient(np.eye(N)), np.linalg.inv(hessian), atol=1e-12)


def test_l1_and_costs_are_soft_thresholds():
    signal = np.array([2.0, 0.5, -0.2, -1.5])
    lasso = PortfolioOptimizer(budget=None, l1_coef=0.4).fit(signal)
    np.testing.assert_allclose(lasso.weights_, [1.6, 0.1, 0.0, -1.1], atol=1e-12)
    costs = PortfolioOptimizer(budget=None, transaction_costs=0.4)
    costs.fit(signal, previous_weights=[1.0, 0.6, 0.0, -3.0])
    np.testing.assert_allclose(costs.weights_, [1.6, 0.6, 0.0, -1.9], atol=1e-12)
    assert costs.n_free_ == 2


# --- degenerate input ----------------------------------------------------------------------------


def test_zero_signal_without_previous_weights_is_the_empty_portfolio():
    optimizer = PortfolioOptimizer(max_weights=0.2, max_leverage=1.0, max_exposure=0.1)
    optimizer.fit(np.zeros(N), exposures=RISK["exposures"])
    np.testing.assert_array_equal(optimizer.weights_, np.zeros(N))
    assert optimizer.kkt_residual_ == 0.0


def test_zero_signal_with_costs_is_the_minimum_variance_portfolio_near_the_previous_one():
    optimizer = clone(FULL).fit(np.zeros(N), **RISK)
    assert optimizer.kkt_residual_ <= 1e-9
    assert np.isfinite(optimizer.gradient(V)).all()


def test_equal_signals_leave_nothing_to_choose():
    optimizer = PortfolioOptimizer(max_weights=0.2).fit(np.full(N, 3.0))
    np.testing.assert_allclose(optimizer.weights_, 0.0, atol=1e-12)


def test_more_exposures_than_assets_leave_the_empty_portfolio():
    exposures = np.random.default_rng(0).normal(size=(6, 9))
    optimizer = PortfolioOptimizer().fit(SIGNAL[:6], exposures=exposures)
    np.testing.assert_allclose(optimizer.weights_, 0.0, atol=1e-9)
    np.testing.assert_allclose(optimizer.gradient(np.eye(6)), 0.0, atol=1e-9)


def test_more_exposures_than_assets_within_limits():
    rng = np.random.default_rng(0)
    exposures = rng.normal(size=(6, 30))
    optimizer = PortfolioOptimizer(max_exposure=0.1).fit(SIGNAL[:6], exposures=exposures)
    assert np.abs(optimizer.weights_ @ exposures).max() == pytest.approx(0.1)
    assert np.abs(optimizer.weights_).max() > 0.01


@pytest.mark.parametrize("budget", [0.0, 0.5, None])
def test_one_asset(budget):
    optimizer = PortfolioOptimizer(budget=budget, max_weights=0.7).fit([1.3])
    assert optimizer.weights_ == pytest.approx([0.7 if budget is None else budget], abs=1e-12)
    assert optimizer.gradient([1.0]) == pytest.approx([0.0], abs=1e-12)


def test_sector_dummies_twice_and_dollar_neutrality_are_dependent():
    dummies = pd.get_dummies(RISK["sectors"]).to_numpy(dtype=np.int8)
    once = PortfolioOptimizer(sector_neutral=True, budget=None)
    once.fit(SIGNAL, sectors=RISK["sectors"])
    twice = PortfolioOptimizer(sector_neutral=True).fit(
        SIGNAL, sectors=RISK["sectors"], exposures=np.hstack([dummies, dummies])
    )
    means = pd.Series(SIGNAL).groupby(RISK["sectors"]).transform("mean")
    for optimizer in (once, twice):
        np.testing.assert_allclose(optimizer.weights_, SIGNAL - means, atol=1e-12)
        np.testing.assert_allclose(
            optimizer.gradient(V),
            V - pd.Series(V).groupby(RISK["sectors"]).transform("mean"),
            atol=1e-10,
        )


@pytest.mark.parametrize("n_factors", [0, 3])
@pytest.mark.parametrize("n", [6, 50, 500])
def test_assets_alone_in_their_sector_are_left_out(n, n_factors):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sectors = np.r_[np.arange(3), rng.integers(3, 5, n - 3)]
        risk = {"factor_loadings": rng.normal(size=(n, n_factors)), "specific_variance": np.ones(n)}
        signal = rng.normal(size=n)
        optimizer = PortfolioOptimizer(sector_neutral=True).fit(signal, sectors=sectors, **risk)
        np.testing.assert_allclose(optimizer.weights_[:3], 0.0, atol=1e-10)
        assert np.abs(optimizer.weights_).max() > 0.1


def test_duplicated_constant_and_empty_exposures_change_nothing():
    exposures = RISK["exposures"]
    plain = PortfolioOptimizer(max_exposure=0.05).fit(SIGNAL, exposures=exposures)
    more = np.column_stack([exposures, exposures, -exposures, np.full(N, 7.0), np.zeros(N)])
    optimizer = PortfolioOptimizer(max_exposure=0.05).fit(SIGNAL, exposures=more)
    np.testing.assert_allclose(optimizer.weights_, plain.weights_, atol=1e-11)
    np.testing.assert_allclose(optimizer.gradient(V), plain.gradient(V), atol=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e12])
def test_without_limits_weights_scale_with_the_signal(scale):
    names = ("factor_loadings", "factor_covariance", "specific_variance", "exposures", "sectors")
    risk = {name: RISK[name] for name in names}
    one = PortfolioOptimizer(sector_neutral=True).fit(SIGNAL, **risk)
    other = PortfolioOptimizer(sector_neutral=True).fit(scale * SIGNAL, **risk)
    np.testing.assert_allclose(other.weights_ / scale, one.weights_, atol=1e-12)
    np.testing.assert_allclose(other.gradient(V), one.gradient(V), atol=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e4, 1e12])
def test_units_of_money_do_not_matter(scale):
    """All that is in units of weight scaled, and what is in units of risk accordingly."""
    one = fit()
    params = {
        name: getattr(FULL, name) * scale
        for name in ("min_weights", "max_weights", "max_leverage", "max_exposure", "max_turnover")
    }
    params |= {"risk_aversion": FULL.risk_aversion / scale, "l2_coef": FULL.l2_coef / scale}
    risk = {**RISK, "previous_weights": scale * RISK["previous_weights"]}
    other = clone(FULL).set_params(**params).fit(SIGNAL, **risk)
    np.testing.assert_allclose(other.weights_ / scale, one.weights_, atol=1e-10)
    np.testing.assert_allclose(other.gradient(V) / scale, one.gradient(V), atol=1e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e4])
def test_signals_of_any_size_meet_the_limits(scale):
    optimizer = clone(FULL).fit(scale * SIGNAL, **RISK)
    assert optimizer.kkt_residual_ <= 1e-9
    assert np.abs(optimizer.weights_).sum() <= FULL.max_leverage * (1 + 1e-9)
    assert np.abs(optimizer.weights_.sum()) <= 1e-10


def test_assets_with_one_weight_allowed_keep_it():
    low, high = np.full(N, -0.3), np.full(N, 0.3)
    low[:4] = high[:4] = [0.1, -0.05, 0.0, 0.3]
    optimizer = PortfolioOptimizer(min_weights=low, max_weights=high).fit(SIGNAL)
    np.testing.assert_array_equal(optimizer.weights_[:4], low[:4])
    assert not optimizer.gradient(V)[:4].any()


def test_all_assets_held_have_no_derivative():
    weights = np.linspace(-0.1, 0.1, N)
    optimizer = PortfolioOptimizer(min_weights=weights, max_weights=weights, budget=None)
    optimizer.fit(SIGNAL)
    np.testing.assert_array_equal(optimizer.weights_, weights)
    assert optimizer.n_free_ == 0
    assert not optimizer.gradient(V).any()
    boxed = PortfolioOptimizer(min_weights=-0.1, max_weights=0.1, budget=None).fit(100 * SIGNAL)
    np.testing.assert_array_equal(boxed.weights_, 0.1 * np.sign(SIGNAL))
    assert boxed.n_free_ == 0


def test_specific_variances_of_many_sizes():
    variance = 10.0 ** np.linspace(-8, 0, N)
    optimizer = PortfolioOptimizer(max_weights=1.0, min_weights=-1.0).fit(
        1e-4 * SIGNAL, specific_variance=variance
    )
    assert optimizer.kkt_residual_ <= 1e-9
    assert abs(optimizer.weights_.sum()) < 1e-9


def test_singular_factor_covariance_equals_fewer_factors():
    loadings, covariance = RISK["factor_loadings"], np.diag([1.0, 0.0, 2.0])
    other = {"specific_variance": RISK["specific_variance"]}
    all_three = PortfolioOptimizer(max_weights=0.3).fit(
        SIGNAL, factor_loadings=loadings, factor_covariance=covariance, **other
    )
    two = PortfolioOptimizer(max_weights=0.3).fit(
        SIGNAL,
        factor_loadings=loadings[:, [0, 2]],
        factor_covariance=covariance[np.ix_([0, 2], [0, 2])],
        **other,
    )
    np.testing.assert_allclose(all_three.weights_, two.weights_, atol=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sets(st.sampled_from(TERMS)), st.integers(4, 25))
def test_order_of_assets_does_not_matter(seed, terms, n):
    case = make_case(seed, terms, n)
    order = np.random.default_rng(seed).permutation(n)
    by_asset = ("factor_loadings", "specific_variance", "exposures", "sectors", "previous_weights")
    risk = {k: v[order] if k in by_asset else v for k, v in case.risk.items()}
    params = {
        k: v[order] if k in ("min_weights", "max_weights") else v for k, v in case.params.items()
    }
    one = case.fit()
    other = PortfolioOptimizer(**params).fit(case.signal[order], **risk)
    np.testing.assert_allclose(
        other.weights_,
        one.weights_[order],
        atol=1e-8 * max(np.abs(one.weights_).max(), 1e-2 * case.scale),
    )


# --- containers and dtypes -----------------------------------------------------------------------


def test_frames_give_what_arrays_give(df_module):
    frames = {
        "factor_loadings": df_module.DataFrame(
            {f"factor_{j}": RISK["factor_loadings"][:, j] for j in range(3)}
        ),
        "exposures": df_module.DataFrame({c: RISK["exposures"][:, j] for j, c in enumerate("pq")}),
        "sectors": df_module.Series(list(RISK["sectors"]), name="sector"),
        "specific_variance": df_module.Series(RISK["specific_variance"], name="d"),
        "previous_weights": df_module.Series(RISK["previous_weights"], name="w"),
    }
    signal = df_module.Series(SIGNAL, name="signal")
    optimizer = clone(FULL).fit(signal, **{**RISK, **frames})
    np.testing.assert_array_equal(optimizer.weights_, fit().weights_)
    by_column = clone(FULL).fit(signal.to_frame(), **{**RISK, **frames})
    np.testing.assert_array_equal(by_column.weights_, optimizer.weights_)
    with pytest.raises(ValueError, match="signal"):
        clone(FULL).fit(df_module.DataFrame({"a": SIGNAL, "b": SIGNAL}))


def test_limits_by_name(df_module):
    exposures = df_module.DataFrame({"size": SIGNAL + V, "beta": V, "none": SIGNAL})
    optimizer = PortfolioOptimizer(max_exposure={"beta": 0.3, "size": 0.4})
    optimizer.fit(SIGNAL, exposures=exposures)
    reference = PortfolioOptimizer(max_exposure=[0.4, 0.3]).fit(
        SIGNAL, exposures=np.column_stack([SIGNAL + V, V])
    )
    np.testing.assert_allclose(optimizer.weights_, reference.weights_, atol=1e-12)
    one_sided = PortfolioOptimizer(max_exposure={"beta": 0.3}, min_exposure={"none": 1.0})
    weights = one_sided.fit(SIGNAL, exposures=exposures).weights_
    reference = PortfolioOptimizer(
        max_exposure=[np.inf, 0.3, np.inf], min_exposure=[-np.inf, -np.inf, 1.0]
    ).fit(SIGNAL, exposures=np.column_stack([SIGNAL + V, V, SIGNAL]))
    np.testing.assert_allclose(weights, reference.weights_, atol=1e-12)


def test_limits_by_position():
    optimizer = PortfolioOptimizer(max_exposure={1: 0.1}).fit(SIGNAL, exposures=RISK["exposures"])
    assert abs(optimizer.weights_ @ RISK["exposures"][:, 1]) <= 0.1 + 1e-9


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, bool])
def test_exposures_of_any_dtype(dtype):
    exposures = RNG.integers(0, 2, (N, 2)).astype(dtype)
    kept = exposures.copy()
    optimizer = PortfolioOptimizer(max_exposure=0.1).fit(SIGNAL, exposures=exposures)
    reference = PortfolioOptimizer(max_exposure=0.1).fit(SIGNAL, exposures=exposures.astype(float))
    np.testing.assert_array_equal(optimizer.weights_, reference.weights_)
    np.testing.assert_array_equal(exposures, kept)


def test_single_precision_signals_are_solved_in_double():
    optimizer = fit()
    single = clone(FULL).fit(SIGNAL.astype(np.float32), **RISK)
    assert single.weights_.dtype == np.float64
    assert single.kkt_residual_ <= 1e-9
    np.testing.assert_allclose(single.weights_, optimizer.weights_, atol=1e-5)
    ints = PortfolioOptimizer().fit(np.array([3, 1, -1], dtype=np.int8))
    np.testing.assert_allclose(ints.weights_, [2, 0, -2], atol=1e-12)


def test_lists_and_a_scalar_variance():
    lists = PortfolioOptimizer(min_weights=[-0.1] * 3, max_weights=[0.2] * 3)
    lists.fit([1.0, 2.0, 3.0], specific_variance=4.0, previous_weights=[0, 0, 0])
    arrays = PortfolioOptimizer(min_weights=-0.1, max_weights=0.2, risk_aversion=4.0)
    np.testing.assert_array_equal(lists.weights_, arrays.fit(np.array([1.0, 2, 3])).weights_)


def test_input_is_not_changed():
    signal, risk = SIGNAL.copy(), copy.deepcopy(RISK)
    clone(FULL).fit(signal, **risk)
    np.testing.assert_array_equal(signal, SIGNAL)
    for name, values in risk.items():
        np.testing.assert_array_equal(values, RISK[name])


def test_sectors_matter_only_where_asked_for():
    optimizer = PortfolioOptimizer(max_weights=0.3)
    weights = optimizer.fit(SIGNAL).weights_
    np.testing.assert_array_equal(optimizer.fit(SIGNAL, sectors=RISK["sectors"]).weights_, weights)


@pytest.mark.parametrize(
    "labels", [np.arange(N) % 4, pd.Categorical(RISK["sectors"]), list(RISK["sectors"])]
)
def test_sectors_of_any_label(labels):
    optimizer = PortfolioOptimizer(sector_neutral=True, max_weights=0.3)
    expected = optimizer.fit(SIGNAL, sectors=RISK["sectors"]).weights_
    np.testing.assert_allclose(optimizer.fit(SIGNAL, sectors=labels).weights_, expected, atol=1e-12)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", sorted(set(RISK) - {"sectors"}))
def test_holes_in_risk_data_are_named(name, bad):
    values = np.array(RISK[name], dtype=float)
    values[2] = bad
    with pytest.raises(ValueError, match=rf"{name} contains \d+ "):
        fit(**{name: values})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_holes_in_the_signal_are_named(bad, df_module):
    signal = SIGNAL.copy()
    signal[5] = bad
    for container in (signal, df_module.Series(signal, name="s")):
        with pytest.raises(ValueError, match=r"signal contains 1 .* of 24 values, first at row 5"):
            PortfolioOptimizer().fit(container)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_sectors_are_named(missing):
    sectors = RISK["sectors"].astype(object)
    sectors[3] = missing
    with pytest.raises(ValueError, match="1 of 24 sectors are missing, first at row 3"):
        fit(sectors=sectors)


@pytest.mark.parametrize(
    "name", ["min_weights", "max_weights", "max_exposure", "min_exposure", "budget"]
)
def test_nan_in_parameters_is_named(name):
    size = N if "weights" in name else 2
    values = [np.nan] if name == "budget" else [np.nan, np.r_[np.nan, np.ones(size - 1)]]
    for value in values:
        with pytest.raises(ValueError, match=name):
            clone(FULL).set_params(**{name: value}).fit(SIGNAL, **RISK)


@pytest.mark.parametrize(
    "name",
    ["risk_aversion", "l1_coef", "l2_coef", "transaction_costs", "max_leverage", "max_turnover"],
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, "much"])
def test_impossible_numbers_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        clone(FULL).set_params(**{name: value}).fit(SIGNAL, **RISK)


@pytest.mark.parametrize("name", ["max_weights", "max_exposure"])
def test_infinite_limits_are_none(name):
    infinite = clone(FULL).set_params(**{name: np.inf})
    none = clone(FULL).set_params(**{name: np.full(2, 1e9) if name == "max_exposure" else None})
    np.testing.assert_allclose(
        infinite.fit(SIGNAL, **RISK).weights_, none.fit(SIGNAL, **RISK).weights_, atol=1e-12
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf, "much"])
def test_impossible_budgets_are_named(value):
    with pytest.raises(ValueError, match="budget"):
        PortfolioOptimizer(budget=value).fit(SIGNAL)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"engine": "simplex"}, "'engine' parameter .* must be"),
        ({"tol": 0.0}, "'tol' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"sector_neutral": "yes"}, "'sector_neutral' parameter"),
        ({"risk_aversion": 0.0}, "'risk_aversion' parameter"),
    ],
)
def test_parameters_are_validated_as_scikit_learn_does(params, message):
    with pytest.raises(InvalidParameterError, match=message):
        PortfolioOptimizer(**params).fit(SIGNAL)


@pytest.mark.parametrize(
    ("params", "risk", "message"),
    [
        ({}, {"factor_loadings": np.ones((N - 1, 3))}, "factor_loadings has 23 rows and signal"),
        ({}, {"exposures": np.ones((N + 1, 2))}, "exposures has 25 rows and signal has 24"),
        ({}, {"specific_variance": np.ones(N - 1)}, "specific_variance has 23 rows"),
        ({}, {"specific_variance": np.ones((N, 2))}, "specific_variance has 2 columns"),
        ({}, {"previous_weights": np.ones(N - 2)}, "previous_weights has 22 rows"),
        ({}, {"previous_weights": np.ones((N, 2))}, "previous_weights has 2 columns"),
        ({}, {"sectors": ["a"] * (N - 1)}, r"sectors has shape \(23,\) for 24 rows"),
        ({}, {"sectors": [["a", "b"]] * N}, r"sectors has shape \(24, 2\)"),
        ({}, {"exposures": np.ones((N, 2, 1))}, "exposures must be two-dimensional"),
        ({}, {"exposures": np.full((N, 2), "x")}, "exposures must hold real numbers"),
        ({}, {"factor_covariance": np.eye(2)}, r"factor_covariance has shape \(2, 2\) for 3 fac"),
        ({}, {"factor_covariance": np.ones(3)}, r"factor_covariance has shape \(3,\)"),
        ({}, {"factor_covariance": np.triu(np.ones((3, 3)))}, "factor_covariance is not symmetric"),
        ({}, {"factor_covariance": -np.eye(3)}, "factor_covariance has a negative eigenvalue"),
        ({}, {"factor_loadings": None}, "factor_covariance was given without factor_loadings"),
        ({}, {"specific_variance": None}, "factor_loadings were given without specific_variance"),
        ({}, {"specific_variance": np.r_[0.0, -1, np.ones(N - 2)]}, "positive; 2 of 24"),
        ({}, {"specific_variance": -1.0}, "specific_variance must be positive"),
        ({"min_weights": [0.1, 0.2]}, {}, r"min_weights has shape \(2,\) for 24 stocks"),
        ({"max_weights": np.ones((N, 1))}, {}, r"max_weights has shape \(24, 1\) for 24 stocks"),
        ({"min_weights": 0.5}, {}, "min_weights is above max_weights for 24 of 24 stocks"),
        ({"max_exposure": [1.0] * 3}, {}, r"max_exposure has shape \(3,\) for 2 exposures"),
        ({"max_exposure": {"size": 1.0}}, {}, "max_exposure names 'size', which is none of the 2"),
        ({"min_exposure": {7: 1.0}}, {}, "min_exposure names 7"),
        ({"min_exposure": 0.5}, {}, "limits of exposure 0 are 0.5 to 0.2"),
        ({"max_exposure": -0.5}, {}, "limits of exposure 0 are 0.5 to -0.5"),
        ({}, {"exposures": None}, "max_exposure and min_exposure limit exposures"),
        ({}, {"sectors": None}, "sector_neutral=True needs sectors"),
    ],
)
def test_input_that_does_not_fit_is_named(params, risk, message):
    with pytest.raises(ValueError, match=message):
        clone(FULL).set_params(**params).fit(SIGNAL, **{**RISK, **risk})


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        ([], "signal is empty"),
        (np.ones((5, 2)), "signal has 2 columns"),
        (np.ones((5, 1, 1)), "signal must be two-dimensional"),
        (["a", "b"], "signal must hold real numbers"),
        (1.0, "signal"),
        (np.array([1j, 2]), "signal must hold real numbers"),
    ],
)
def test_signals_that_are_none_are_refused(signal, message):
    with pytest.raises(ValueError, match=message):
        PortfolioOptimizer().fit(signal)


def test_misaligned_indexes_are_refused():
    signal = pd.Series(SIGNAL, index=[f"s{i}" for i in range(N)])
    exposures = pd.DataFrame(RISK["exposures"], index=signal.index)
    aligned = PortfolioOptimizer().fit(signal, exposures=exposures)
    with pytest.raises(ValueError, match=r"exposures share 24 of 24 labels but are not equal"):
        PortfolioOptimizer().fit(signal, exposures=exposures[::-1])
    for name in ("specific_variance", "previous_weights"):
        column = pd.Series(np.ones(N), index=signal.index)
        with pytest.raises(ValueError, match=f"{name} share 24 of 24 labels"):
            PortfolioOptimizer().fit(signal, **{name: column[::-1]})
    other = exposures.set_axis(range(N))  # nothing in common: by position
    np.testing.assert_array_equal(
        PortfolioOptimizer().fit(signal, exposures=other).weights_, aligned.weights_
    )


def test_misaligned_sectors_are_refused():
    signal = pd.Series(SIGNAL, index=[f"s{i}" for i in range(N)])
    sectors = pd.Series(RISK["sectors"], index=signal.index)
    optimizer = PortfolioOptimizer(sector_neutral=True).fit(signal, sectors=sectors)
    assert abs(optimizer.weights_[::4].sum()) < 1e-9
    with pytest.raises(ValueError, match="sectors share 24 of 24 labels but are not equal"):
        PortfolioOptimizer(sector_neutral=True).fit(signal, sectors=sectors[::-1])


def test_unknown_risk_data_are_a_type_error():
    with pytest.raises(TypeError, match="groups"):
        PortfolioOptimizer().fit(SIGNAL, groups=RISK["sectors"])


# --- scikit-learn --------------------------------------------------------------------------------


def test_parameters_are_kept_as_given():
    low = [-0.1] * N
    optimizer = PortfolioOptimizer(min_weights=low, max_exposure={"a": 1.0})
    assert optimizer.get_params()["min_weights"] is low
    assert clone(optimizer).get_params()["max_exposure"] == {"a": 1.0}
    assert clone(FULL).get_params() == FULL.get_params()
    assert repr(PortfolioOptimizer(max_leverage=2.0)) == "PortfolioOptimizer(max_leverage=2.0)"
    fitted = fit()
    assert fitted.get_params() == FULL.get_params()
    assert not hasattr(clone(fitted), "weights_")


def test_fit_takes_y_and_returns_itself():
    optimizer = PortfolioOptimizer()
    assert optimizer.fit(SIGNAL, SIGNAL) is optimizer
    assert optimizer.fit(SIGNAL, y=None) is optimizer


def test_fit_forgets_the_last_fit():
    optimizer = fit()
    first, gradient = optimizer.weights_, optimizer.gradient(V)
    assert (
        len(
            optimizer.fit(
                SIGNAL[:8], **{k: v[:8] if len(v) == N else v for k, v in RISK.items()}
            ).weights_
        )
        == 8
    )
    optimizer.fit(SIGNAL, **RISK)
    np.testing.assert_array_equal(optimizer.weights_, first)
    np.testing.assert_array_equal(optimizer.gradient(V), gradient)


def test_results_of_two_optimizers_are_their_own():
    one, other = fit(), fit()
    gradient = one.gradient(V)
    other.fit(-SIGNAL, **RISK)
    np.testing.assert_array_equal(one.gradient(V), gradient)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_and_pickles(copied):
    before = copied(clone(FULL)).fit(SIGNAL, **RISK)
    after = copied(fit())
    for optimizer in (before, after):
        np.testing.assert_array_equal(optimizer.weights_, fit().weights_)
        np.testing.assert_array_equal(optimizer.gradient(V), fit().gradient(V))
        assert optimizer.kkt_residual_ == fit().kkt_residual_


def test_no_gradient_before_fit():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        PortfolioOptimizer().gradient(V)


def test_vectors_of_the_gradient():
    optimizer = fit()
    jacobian = optimizer.gradient(np.eye(N))
    np.testing.assert_allclose(optimizer.gradient(list(V)), jacobian @ V, atol=1e-12)
    np.testing.assert_allclose(optimizer.gradient(V[:, None])[:, 0], jacobian @ V, atol=1e-12)
    assert optimizer.gradient(np.ones(N, dtype=np.int8)).shape == (N,)
    assert optimizer.gradient(np.zeros((N, 0))).shape == (N, 0)
    assert optimizer.gradient(np.asfortranarray(np.ones((N, 4)))).shape == (N, 4)


@pytest.mark.parametrize("shape", [(), (N - 1,), (N, 2, 2), (2, N), (0,)])
def test_vectors_of_a_wrong_shape_are_named(shape):
    with pytest.raises(ValueError, match=r"v has shape .* for 24 stocks; pass"):
        fit().gradient(np.ones(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_with_holes_are_named(bad):
    v = np.ones((N, 2))
    v[3, 1] = bad
    with pytest.raises(ValueError, match="v contains 1 values that are NaN or infinite"):
        fit().gradient(v)


def test_attributes():
    optimizer = fit()
    assert optimizer.weights_.shape == (N,)
    assert isinstance(optimizer.kkt_residual_, float)
    assert 0.0 <= optimizer.kkt_residual_ <= FULL.tol
    assert 1 <= optimizer.n_iter_ <= FULL.max_iter
    jacobian = optimizer.gradient(np.eye(N))
    assert optimizer.n_free_ == (np.abs(jacobian).max(axis=1) > 0).sum()
    assert optimizer.n_weakly_active_ == 0


def test_every_parameter_matters():
    """Each limit of the full program is binding and each cost matters: the tests are about them."""
    weights = fit().weights_
    changes = {
        "risk_aversion": 3.0,
        "min_weights": None,
        "max_weights": None,
        "budget": None,
        "max_leverage": 2.0,
        "max_exposure": 0.1,
        "min_exposure": 0.0,
        "sector_neutral": False,
        "l1_coef": 0.2,
        "l2_coef": 0.0,
        "transaction_costs": 0.2,
        "max_turnover": 1.5,
    }
    assert set(changes) | {"engine", "tol", "max_iter"} == set(PARAMS)
    for name, value in changes.items():
        other = clone(FULL).set_params(**{name: value}).fit(SIGNAL, **RISK).weights_
        if name != "budget":  # follows from the sectors
            assert np.abs(other - weights).max() > 1e-4, name
    for name in set(RISK) - {"factor_loadings", "specific_variance", "sectors", "exposures"}:
        assert np.abs(fit(**{name: None}).weights_ - weights).max() > 1e-4, name


def test_tighter_limits_cost_objective():
    """The optimum of a larger set is never worse: a law that needs no other solver."""

    def objective(params):
        case = make_case(5, {"box", "leverage", "exposures", "factors", "costs", "turnover"}, 20)
        weights = case.without(*params).fit().weights_
        x, plain = weights / case.scale, Plain(case)
        return (
            plain.signal @ x
            - 0.5 * x @ plain.hessian @ x
            - plain.costs * np.abs(x - plain.previous).sum()
        )

    dropped, values = [], [objective([])]
    for name in ("max_leverage", "max_turnover", "max_weights", "min_weights"):
        dropped.append(name)
        values.append(objective(dropped))
    assert (np.diff(values) >= -1e-12).all()
    assert values[-1] > values[0] + 1e-6
