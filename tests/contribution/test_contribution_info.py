"""What is reported beside the contributions."""

import numpy as np
import pytest

from sknumerai.contribution import true_contribution
from sknumerai.contribution._users import UserSignals
from sknumerai.datasets import make_market
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._case import Case, N, assert_close, dropped_stakes


class TestInfo:
    def test_fields(self):
        case = Case(n_eras=2)
        table, infos = case(return_info=True, n_rounds=7)
        assert list(infos) == ["0001", "0002"]
        for label, info in infos.items():
            rows = case.eras == label
            assert info.era == label
            assert info.portfolios.shape == (7, N)
            np.testing.assert_allclose(info.portfolio_returns, info.portfolios @ case.returns[rows])
            assert info.gradient.shape == (N,)
            users = UserSignals(case.predictions[rows], gaussianize=True)
            np.testing.assert_allclose(
                users.products(info.gradient[:, None])[:, 0], table.loc[label], rtol=1e-9
            )
            assert info.kkt_residual.shape == (7,)
            assert (info.kkt_residual <= 1e-9).all()
            for counts in (info.n_iter, info.n_free, info.n_weakly_active):
                assert len(counts) == 7
                assert all(isinstance(count, int) for count in counts)
            assert info.spread.index.equals(table.columns)
            risk = {
                name: values if name == "factor_covariance" else values[rows]
                for name, values in case.risk.items()
            }
            limits = case.optimizer
            for portfolio in info.portfolios:
                assert abs(portfolio.sum()) < 1e-10
                assert portfolio.min() >= limits.min_weights
                assert portfolio.max() <= limits.max_weights
                assert np.abs(portfolio).sum() < limits.max_leverage + 1e-9
                assert np.abs(portfolio @ risk["exposures"]).max() < 0.1 + 1e-9

    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_spread_by_a_loop(self, gradient):
        """Every round for itself: a run of one round, with its stakes."""
        case = Case()
        table, info = case(gradient=gradient, return_info=True)
        singles = [
            case(stakes=stakes, dropout=0.0, gradient=gradient).loc["0001"]
            for stakes in dropped_stakes(case.stakes)
        ]
        assert_close(table.loc["0001"], np.mean(singles, axis=0), 1e-9)
        assert_close(info["0001"].spread, np.std(singles, axis=0), 1e-9)

    def test_rounds_start_warm(self):
        market = make_market(300, n_users=100, random_state=0)
        _, info = true_contribution(
            market.user_predictions,
            market.stakes,
            market.returns,
            optimizer=PortfolioOptimizer(min_weights=-0.01, max_weights=0.01, max_leverage=1.0),
            signal_scale=3e-3,
            exposures=market.exposures,
            n_rounds=20,
            random_state=0,
            return_info=True,
        )
        first, *later = info[None].n_iter
        assert np.mean(later) < first
