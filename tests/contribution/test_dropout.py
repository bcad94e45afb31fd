"""Rounds of dropout: their stakes, their seeds and how well they repeat."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.contribution import true_contribution
from sknumerai.contribution._era_gradient import Rounds, era_gradient
from sknumerai.contribution._users import UserSignals
from sknumerai.datasets import make_market
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._engines import make_engine
from sknumerai.portfolio._risk_data import RiskTables
from tests.contribution._case import Case, N, PlainReturn, assert_close, dropped_stakes
from tests.contribution._scored_market import RISK


class TestDropout:
    def test_stakes_of_the_rounds(self, rng):
        stakes = rng.pareto(2.0, 500) + 0.1
        rounds = dropped_stakes(stakes, 400, 0.3)
        kept = rounds > 0.0
        assert rounds.shape == (400, 500)
        np.testing.assert_allclose(rounds[kept], np.broadcast_to(stakes / 0.7, rounds.shape)[kept])
        assert kept.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / kept.size))
        assert abs(np.corrcoef(kept[0], kept[1])[0, 1]) < 0.2
        # unbiased: on average over the rounds nothing is lost
        np.testing.assert_allclose(rounds.mean(axis=0), stakes, rtol=0.2)
        np.testing.assert_array_equal(dropped_stakes(stakes, 7, 0.0), stakes[None])

    def test_rounds_without_a_stake_are_drawn_again(self):
        stakes = np.zeros(5)
        stakes[3] = 2.0
        rounds = dropped_stakes(stakes, 50, 0.9)
        np.testing.assert_allclose(rounds[:, 3], 20.0)
        case = Case()
        found, info = case(
            stakes=np.append(stakes, 0.0), dropout=0.9, n_rounds=20, return_info=True
        )
        assert np.isfinite(found).all(axis=None)
        once = case(stakes=np.append(stakes, 0.0) * 10.0, dropout=0.0)
        assert_close(found, once, 1e-9)
        assert info["0001"].spread.max() < 1e-9 * found.abs().max(axis=None)

    def test_one_round(self):
        case = Case()
        found, info = case(n_rounds=1, return_info=True)
        stakes = dropped_stakes(case.stakes, 1)[0]
        assert_close(found.loc["0001"], PlainReturn(case).derivatives(stakes), 1e-6)
        assert (info["0001"].spread == 0.0).all()

    def test_seeds(self):
        case = Case(n_eras=2)
        found = case(random_state=0)
        pd.testing.assert_frame_equal(case(random_state=0), found, check_exact=True)
        pd.testing.assert_frame_equal(case(random_state=np.int64(0)), found, check_exact=True)
        assert (case(random_state=1) != found).all(axis=None)
        state = np.random.RandomState(0)
        first, second = case(random_state=state), case(random_state=state)
        assert (first != second).all(axis=None)  # a generator moves on
        again = case(random_state=np.random.RandomState(0))
        pd.testing.assert_frame_equal(again, first, check_exact=True)
        assert (case(random_state=None) != case(random_state=None)).all(axis=None)
        # no matter without dropout
        pd.testing.assert_frame_equal(
            case(random_state=0, dropout=0.0), case(random_state=1, dropout=0.0), check_exact=True
        )

    def test_all_eras_have_the_same_dropout(self):
        case = Case(n_eras=1)
        twice = {
            name: values if name == "factor_covariance" else np.concatenate([values, values])
            for name, values in case.risk.items()
        }
        found = case(
            user_predictions=np.vstack([case.predictions] * 2),
            returns=np.tile(case.returns, 2),
            eras=np.repeat([1, 2], N),
            **twice,
        )
        np.testing.assert_array_equal(found.loc[1], found.loc[2])


@pytest.fixture(scope="module")
def market():
    return make_market(400, 10, 200, as_frame=False, random_state=0)


def mean_correlation(runs):
    """Mean correlation of two different runs."""
    correlations = np.corrcoef(runs)
    return (correlations.sum() - len(runs)) / (len(runs) * (len(runs) - 1))


class TestRepeatability:
    """Two runs of R rounds agree as Rρ / (1 + (R-1)ρ), ρ the correlation of two rounds.

    That holds for rounds of equal weight: under "raw" a round weighs the inverse of its total
    stake, so that one stake that outweighs all others leaves fewer rounds that count.
    """

    def _rounds(self, market, n_rounds, seed, signal_scale, **limits):
        """Contributions in single rounds, (n_rounds, n_users), and the free assets."""
        n = len(market.returns)
        tables = RiskTables(
            n,
            **{name: market[name] for name in RISK if name != "factor_covariance"},
            factor_covariance=market.factor_covariance,
        )
        engine = make_engine(PortfolioOptimizer(**limits), tables.era(None, slice(0, n)))
        users = UserSignals(market.user_predictions, gaussianize=True)
        rounds = Rounds(n_rounds, 0.5, "raw", 1.5, signal_scale, seed)
        result = era_gradient(users, np.minimum(market.stakes, 5.0), market.returns, engine, rounds)
        return users.products(result.gradients.T).T, np.median(result.n_free)

    def test_follows_from_the_correlation_of_two_rounds(self, market):
        box = {"min_weights": -0.005, "max_weights": 0.005, "max_leverage": 1.0}
        correlations = []
        for signal_scale, limits, n_free in ((1e-3, {}, 400), (1e-5, box, 194), (1e-4, box, 46)):
            single, free = self._rounds(market, 50, 1, signal_scale, **limits)
            assert free == pytest.approx(n_free, abs=10)
            rho = mean_correlation(single)
            others, _ = self._rounds(market, 100, 2, signal_scale, **limits)
            for n_rounds in (5, 20):
                runs = others.reshape(-1, n_rounds, others.shape[1]).mean(axis=1)
                expected = n_rounds * rho / (1.0 + (n_rounds - 1) * rho)
                repeat = mean_correlation(runs)
                assert 1.0 - repeat == pytest.approx(1.0 - expected, rel=0.15)
            correlations.append(rho)
        assert correlations[0] > correlations[1] > correlations[2]  # as the free assets are fewer

    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_hundred_rounds_agree_where_assets_are_free(self, market, gradient):
        runs = [
            true_contribution(
                market.user_predictions,
                market.stakes,
                market.returns,
                optimizer=PortfolioOptimizer(),
                gradient=gradient,
                random_state=seed,
                **{name: market[name] for name in RISK},
            ).iloc[0]
            for seed in (1, 2)
        ]
        assert np.corrcoef(runs)[0, 1] > 0.995
