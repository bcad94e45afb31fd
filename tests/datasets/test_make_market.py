"""The synthetic market has a true risk model, and its users are what the bunch says they are."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri
from scipy.stats import rankdata, skew, spearmanr

from sknumerai.datasets import make_market

N_ERAS, N_STOCKS, N_USERS = 60, 1000, 60
STOCK_KEYS = [
    "eras",
    "ids",
    "factor_loadings",
    "specific_variance",
    "sectors",
    "exposures",
    "returns",
    "alpha",
    "feature_alpha",
    "example_predictions",
]
ROW_KEYS = [*STOCK_KEYS, "user_predictions", "meta_model"]
USER_KEYS = ["user_skill", "user_exposure", "user_overlap", "stakes"]


@pytest.fixture(scope="module")
def market():
    return make_market(N_STOCKS, 8, N_USERS, n_eras=N_ERAS, as_frame=False, random_state=0)


def per_era(values, n_eras=N_ERAS):
    return np.split(np.asarray(values), n_eras)


def correlations(a, b, n_eras):
    """Correlation per era and column of `a` with `b`, shape (n_eras, n_columns)."""
    rows = []
    for x, y in zip(per_era(a, n_eras), per_era(b, n_eras), strict=True):
        x, y = x.astype(float) - x.mean(axis=0), y - y.mean()
        rows.append(y @ x / np.linalg.norm(x, axis=0) / np.linalg.norm(y))
    return np.array(rows)


def explained(y, X):
    """R² of a regression, adjusted for what noise alone would explain."""
    design = np.column_stack([np.ones(len(X)), X])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    share_left = residual.var(axis=0) / y.var(axis=0)
    return 1 - share_left * len(X) / (len(X) - design.shape[1])


@pytest.mark.parametrize("as_frame", [True, False])
@pytest.mark.parametrize("n_eras", [1, 3])
def test_shapes_and_dtypes(n_eras, as_frame):
    market = make_market(
        40, 4, 7, n_eras=n_eras, n_features=6, n_sectors=5, as_frame=as_frame, random_state=0
    )
    n = 40 * n_eras
    for name in ROW_KEYS:
        assert len(market[name]) == n
    assert market.factor_loadings.shape == (n, 4)
    assert market.factor_returns.shape == (n_eras, 4)
    assert market.exposures.shape == (n, 6)
    assert market.user_predictions.shape == (n, 7)
    assert np.asarray(market.exposures).dtype == np.int8
    assert np.asarray(market.user_predictions).dtype == np.float32
    for name in ("factor_loadings", "returns", "alpha", "meta_model", "example_predictions"):
        assert np.asarray(market[name]).dtype == np.float64
    for name in USER_KEYS:
        assert market[name].shape == (7,)
    for name in ("user_predictions", "example_predictions", "meta_model"):
        ranks = np.sort(np.asarray(market[name]).reshape(n_eras, 40, -1), axis=1)
        expected = np.broadcast_to((np.arange(40) + 0.5)[:, None] / 40, ranks.shape)
        np.testing.assert_allclose(ranks, expected, rtol=1e-6)
    if n_eras == 1:
        assert market.factor_covariance.shape == (4, 4)
    else:
        assert list(market.factor_covariance) == ["0001", "0002", "0003"]
        assert all(c.shape == (4, 4) for c in market.factor_covariance.values())
    assert len(np.unique(market.ids)) == n
    assert f"{n_eras} weekly eras x 40 stocks in 5 sectors" in market.DESCR


def test_frames_and_arrays_agree():
    frame = make_market(30, 3, 6, n_eras=2, random_state=0)
    array = make_market(30, 3, 6, n_eras=2, as_frame=False, random_state=0)
    assert frame.keys() == array.keys()
    for name in [*ROW_KEYS, *USER_KEYS, "factor_returns"]:
        assert isinstance(array[name], np.ndarray)
        np.testing.assert_array_equal(np.asarray(frame[name]), array[name])
    for name in set(ROW_KEYS) - {"ids"}:
        assert frame[name].index.equals(frame.ids)
    for name in USER_KEYS:
        assert frame[name].index.tolist() == frame.user_names
        assert frame[name].name == name
    assert frame.user_predictions.columns.tolist() == frame.user_names
    assert frame.exposures.columns.tolist() == frame.feature_names
    assert frame.factor_loadings.columns.tolist() == frame.factor_names
    assert frame.factor_returns.index.tolist() == list(frame.factor_covariance)
    assert frame.user_names[0] == "user_0001"
    assert all(name.startswith("feature_") for name in frame.feature_names)
    assert frame.ids[0] == "0001_00001"
    assert frame.ids.name == "id"


def test_same_seed_same_market_and_other_seed_another():
    first, second = (make_market(30, 3, 6, random_state=5) for _ in range(2))
    state = make_market(30, 3, 6, random_state=np.random.RandomState(5))
    other = make_market(30, 3, 6, random_state=6)
    for name in [*ROW_KEYS, *USER_KEYS, "factor_covariance"]:
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_array_equal(first[name], state[name])
        if name not in ("eras", "ids"):
            assert not np.array_equal(first[name], other[name])


def test_longer_market_starts_with_the_shorter_one():
    one, short, long = (make_market(30, 3, 6, n_eras=n, random_state=0) for n in (1, 4, 9))
    for name in set(ROW_KEYS) - {"ids"}:
        values = long[name]
        assert values[:120].equals(short[name])
        assert values[:30].equals(one[name])
    for name in USER_KEYS:
        pd.testing.assert_series_equal(long[name], one[name])
    np.testing.assert_array_equal(long.factor_covariance["0001"], one.factor_covariance)
    np.testing.assert_array_equal(long.factor_covariance["0004"], short.factor_covariance["0004"])


def test_stocks_do_not_depend_on_the_users():
    few = make_market(30, 3, 2, n_eras=2, random_state=0)
    many = make_market(30, 3, 600, n_eras=2, user_skill=(0.2, 0.2), random_state=0)
    for name in STOCK_KEYS:
        assert few[name].equals(many[name])


def test_users_do_not_depend_on_the_size_of_blocks(monkeypatch):
    whole = make_market(50, 3, 40, as_frame=False, random_state=0)
    monkeypatch.setattr("sknumerai.datasets._market_users._BLOCK", 7)
    parts = make_market(50, 3, 40, as_frame=False, random_state=0)
    np.testing.assert_array_equal(whole.user_predictions, parts.user_predictions)
    np.testing.assert_array_equal(whole.meta_model, parts.meta_model)


def test_loadings_are_standardized_and_drift_slowly(market):
    eras = np.array(per_era(market.factor_loadings))
    np.testing.assert_allclose(eras.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(eras.std(axis=1), 1, rtol=1e-12)

    def similarity(lag):
        return np.mean(eras[lag:] * eras[: N_ERAS - lag])

    assert 0.97 < similarity(1) < 0.99
    assert 0.35 < similarity(50) < 0.6


def test_sectors_are_unequal_and_lasting(market):
    eras = np.array(per_era(market.sectors))
    assert (eras == eras[0]).all()
    sizes = np.unique(eras[0], return_counts=True)[1]
    assert len(sizes) == 11
    assert sizes.max() > 3 * sizes.min()
    all_alone = make_market(20, 2, 1, n_sectors=20, random_state=0)
    assert all_alone.sectors.nunique() == 20


def test_features_are_fifths_and_partly_explained_by_loadings(market):
    eras = zip(per_era(market.exposures)[::20], per_era(market.factor_loadings)[::20], strict=True)
    for features, loadings in eras:
        for column in features.T:
            assert np.bincount(column + 2).tolist() == [N_STOCKS // 5] * 5
        shares = explained(features.astype(float), loadings)
        assert 0.02 < shares.min() < 0.2
        assert 0.25 < shares.max() < 0.5


def test_covariances_are_positive_definite_with_realistic_volatilities(market):
    assert list(market.factor_covariance) == list(dict.fromkeys(market.eras))
    deviations = []
    for covariance in market.factor_covariance.values():
        np.testing.assert_array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > 0
        deviations.append(np.sqrt(np.diag(covariance)))
    np.testing.assert_allclose(np.median(deviations, axis=0)[[0, -1]], [0.015, 0.003], rtol=0.1)
    correlation = covariance / np.outer(deviations[-1], deviations[-1])
    assert 0.1 < np.abs(correlation - np.eye(8)).max() < 0.9


def test_factor_returns_have_the_stated_covariance():
    market = make_market(5, 4, 1, n_eras=600, n_features=2, n_sectors=1, random_state=0)
    whitened = np.array(
        [
            np.linalg.solve(np.linalg.cholesky(covariance), row)
            for covariance, row in zip(
                market.factor_covariance.values(), market.factor_returns.to_numpy(), strict=True
            )
        ]
    )
    np.testing.assert_allclose(whitened.T @ whitened / 600, np.eye(4), atol=0.2)
    # In hectic eras and in quiet ones: the covariance is true era by era.
    order = np.argsort([np.trace(covariance) for covariance in market.factor_covariance.values()])
    for half in np.split(order, 2):
        assert np.mean(whitened[half] ** 2) == pytest.approx(1, abs=0.15)


def test_returns_are_the_sum_of_their_parts(market):
    loadings = np.array(per_era(market.factor_loadings))
    common = np.einsum("tik,tk->ti", loadings, market.factor_returns).ravel()
    specific = market.returns - common - market.alpha - market.feature_alpha
    standardized = specific / np.sqrt(market.specific_variance)
    assert np.mean(standardized**2) == pytest.approx(1, abs=0.03)
    # Stocks of high and of low variance alike: the variances are true one by one.
    high = market.specific_variance > np.median(market.specific_variance)
    assert np.mean(standardized[high] ** 2) == pytest.approx(1, abs=0.04)
    volatility = np.sqrt(market.specific_variance)
    assert np.median(volatility) == pytest.approx(0.03, rel=0.1)
    assert np.log(volatility).std() == pytest.approx(0.38, abs=0.05)
    assert abs(skew(np.log(volatility[:N_STOCKS]))) < 0.3


@pytest.mark.parametrize(("alpha", "n_factors"), [(0.04, 10), (0.3, 3), (0.1, 40)])
def test_alpha_has_the_stated_correlation_with_returns(alpha, n_factors):
    market = make_market(3000, n_factors, 1, n_eras=40, alpha=alpha, as_frame=False, random_state=1)
    values = correlations(market.alpha[:, None], market.returns, 40)
    assert values.mean() == pytest.approx(alpha, abs=0.01 + 0.04 * alpha)
    weekly = np.array(per_era(market.returns, 40)).std(axis=1)
    assert 0.02 < weekly.min() < weekly.max() < 0.12


def test_alpha_is_independent_of_features_and_loadings(market):
    for name in ("exposures", "factor_loadings"):
        values = [
            explained(alpha, block.astype(float))
            for alpha, block in zip(per_era(market.alpha), per_era(market[name]), strict=True)
        ]
        assert abs(np.mean(values)) < 0.005
    eras = np.array(per_era(market.alpha))
    neighbours = np.corrcoef(eras[1:].ravel(), eras[:-1].ravel())[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(market.alpha.size)


def test_no_planted_signal_leaves_noise():
    market = make_market(
        50, 2, 3, alpha=0, feature_corr=0, feature_risk=0, as_frame=False, random_state=0
    )
    assert not market.alpha.any()
    assert not market.feature_alpha.any()
    assert np.isfinite(market.user_predictions).all()


def test_feature_alpha_is_linear_in_the_features(market):
    eras = zip(per_era(market.feature_alpha)[::20], per_era(market.exposures)[::20], strict=True)
    for part, features in eras:
        assert explained(part, features.astype(float)) > 1 - 1e-10


def test_mean_return_of_the_features():
    market = make_market(
        3000, 3, 1, n_eras=40, feature_corr=0.1, feature_risk=0, as_frame=False, random_state=0
    )
    common = np.einsum(
        "tik,tk->ti", np.array(per_era(market.factor_loadings, 40)), market.factor_returns
    ).ravel()
    # The features share factors, whose returns would drown this mean.
    residual = market.returns - common
    values = correlations(market.feature_alpha[:, None], residual, 40)
    ratio = market.returns.std() / residual.std()
    assert values.mean() == pytest.approx(0.1 * ratio, abs=0.012)


def test_exposed_users_take_risk_that_changes_sign():
    market = make_market(
        2000,
        10,
        40,
        n_eras=50,
        feature_risk=0.08,
        user_skill=(0.0, 0.0),
        user_overlap=(0.0, 0.0),
        user_exposure=(0.0, 0.9),
        as_frame=False,
        random_state=0,
    )
    scores = correlations(market.user_predictions, market.returns, 50)
    risk = scores.std(axis=0)
    assert spearmanr(risk, market.user_exposure)[0] > 0.8
    exposed = market.user_exposure > 0.6
    assert risk[exposed].mean() > 0.065
    assert risk[market.user_exposure < 0.1].max() < 0.04
    share_positive = (scores[:, exposed] > 0).mean(axis=0)
    assert ((share_positive > 0.2) & (share_positive < 0.9)).all()


def test_skill_and_overlap_are_the_stated_correlations(market):
    gaussian = ndtri(market.user_predictions)
    # Four standard errors of a correlation over all rows.
    tolerance = 4 / np.sqrt(N_ERAS * N_STOCKS)
    skill = correlations(gaussian, market.alpha, N_ERAS).mean(axis=0)
    np.testing.assert_allclose(skill, market.user_skill, atol=tolerance)
    assert spearmanr(skill, market.user_skill)[0] > 0.99
    overlap = correlations(gaussian, ndtri(market.example_predictions), N_ERAS).mean(axis=0)
    np.testing.assert_allclose(overlap, market.user_overlap, atol=tolerance)
    ranks = correlations(market.user_predictions, market.alpha, N_ERAS).mean(axis=0)
    np.testing.assert_allclose(ranks, np.sqrt(3 / np.pi) * market.user_skill, atol=tolerance)
    example = correlations(ndtri(market.example_predictions)[:, None], market.alpha, N_ERAS)
    assert example.mean() == pytest.approx(0.4, abs=tolerance)


def test_exposure_is_the_stated_share_of_what_features_explain(market):
    weights = np.linalg.solve([[1, 0.4], [0.4, 1]], [market.user_skill, market.user_overlap])
    expected = market.user_exposure**2 + (0.5 * weights[1]) ** 2
    measured = np.mean(
        [
            explained(ndtri(predictions), features.astype(float))
            for predictions, features in zip(
                per_era(market.user_predictions), per_era(market.exposures), strict=True
            )
        ],
        axis=0,
    )
    np.testing.assert_allclose(measured, expected, atol=0.02)


def test_limits_of_the_users():
    market = make_market(
        200, 3, 4, user_skill=(1, 1), user_overlap=(0.4, 0.4), user_exposure=(0, 0), random_state=0
    )
    quantiles = (rankdata(market.alpha) - 0.5) / 200
    # Neighbours may change places where float32 cannot tell them apart.
    for _, predictions in market.user_predictions.items():
        np.testing.assert_allclose(predictions, quantiles, atol=1e-6 + 1 / 200)
    market = make_market(
        200, 3, 4, user_skill=(0.4, 0.4), user_overlap=(1, 1), user_exposure=(0, 0), random_state=0
    )
    for _, predictions in market.user_predictions.items():
        np.testing.assert_allclose(predictions, market.example_predictions, atol=1e-6 + 1 / 200)


def test_stakes_have_a_heavy_tail_and_some_zeros():
    stakes = make_market(5, 1, 4000, n_features=2, n_sectors=1, random_state=0).stakes.to_numpy()
    assert (stakes == 0).sum() == 400
    staked = np.sort(stakes[stakes > 0])
    assert staked.min() >= 1
    for size in (2, 5, 20):
        assert (staked > size).mean() == pytest.approx(size**-1.16, abs=0.03)
    assert staked[-720:].sum() > 0.5 * staked.sum()


def test_meta_model_is_the_stake_weighted_mean_of_ranks(market):
    blended = market.user_predictions.astype(float) @ market.stakes / market.stakes.sum()
    for expected, meta_model in zip(per_era(blended), per_era(market.meta_model), strict=True):
        np.testing.assert_allclose(
            meta_model, (rankdata(expected) - 0.5) / N_STOCKS, atol=1e-9 + 1 / N_STOCKS
        )
    alone = make_market(100, 2, 1, as_frame=False, random_state=0)
    np.testing.assert_allclose(alone.meta_model, alone.user_predictions[:, 0], atol=1e-6)


def test_contribution_to_a_feature_neutral_portfolio_follows_skill():
    """The gradient of the return of a mean-variance portfolio without feature exposure."""
    n_eras, n = 160, 200
    market = make_market(n, 5, 60, n_eras=n_eras, as_frame=False, random_state=3)
    gradients = np.zeros(60)
    for label, rows in zip(
        market.factor_covariance, per_era(np.arange(n * n_eras), n_eras), strict=True
    ):
        loadings = market.factor_loadings[rows]
        risk = loadings @ market.factor_covariance[label] @ loadings.T
        risk += np.diag(market.specific_variance[rows])
        held_at_zero = np.column_stack([np.ones(n), market.exposures[rows]])
        inverse = np.linalg.inv(risk)
        weighted = inverse @ held_at_zero
        jacobian = inverse - weighted @ np.linalg.solve(held_at_zero.T @ weighted, weighted.T)
        gradients += ndtri(market.user_predictions[rows]).T @ jacobian @ market.returns[rows]
    assert spearmanr(gradients, market.user_skill)[0] > 0.7


@pytest.mark.parametrize("n_features", [2, 3, 9])
@pytest.mark.parametrize("n_factors", [1, 12])
def test_small_markets(n_features, n_factors):
    market = make_market(
        5, n_factors, 3, n_eras=2, n_features=n_features, n_sectors=5, random_state=0
    )
    for name in ("returns", "user_predictions", "meta_model", "factor_loadings"):
        assert np.isfinite(np.asarray(market[name])).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_stocks": 4}, "n_stocks == 4, must be >= 5"),
        ({"n_factors": 0}, "n_factors == 0, must be >= 1"),
        ({"n_users": 0}, "n_users == 0, must be >= 1"),
        ({"n_eras": 0}, "n_eras == 0, must be >= 1"),
        ({"n_features": 1}, "n_features == 1, must be >= 2"),
        ({"n_stocks": 10, "n_sectors": 11}, "n_sectors == 11, must be <= 10"),
        ({"alpha": -0.1}, "alpha == -0.1, must be >= 0"),
        ({"alpha": 1.0}, "explain 1.01 of the variance of the returns"),
        ({"alpha": np.nan}, "explain nan of the variance"),
        ({"feature_risk": 0.4}, "8 feature themes taken together"),
        ({"user_skill": (0.5, 0.1)}, "user_skill must satisfy -1 <= low <= high <= 1"),
        ({"user_overlap": (0.0, 1.1)}, "user_overlap must satisfy"),
        ({"user_exposure": (0.0, np.nan)}, "user_exposure must satisfy"),
        ({"user_skill": (-1, 0)}, "No prediction has all the correlations that user_skill"),
        ({"user_exposure": (0, 0.9)}, "explain up to 1.25 of its variance"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_market(**parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_stocks": 50.5}, "n_stocks must be an instance of"),
        ({"alpha": "0.1"}, "alpha must be an instance of"),
        ({"user_skill": 0.3}, "user_skill must be a pair of numbers (low, high); found 0.3"),
        ({"user_skill": (0.1, 0.2, 0.3)}, "user_skill must be a pair of numbers"),
        ({"user_overlap": ("0", "1")}, "user_overlap must be a pair of numbers"),
    ],
)
def test_parameters_of_wrong_type(parameters, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        make_market(**parameters)
