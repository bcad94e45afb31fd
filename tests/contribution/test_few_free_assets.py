"""A warning where limits hold almost all assets."""

import warnings

import numpy as np
import pytest

from sknumerai.contribution import true_contribution
from sknumerai.contribution._era_gradient import Rounds, era_gradient
from sknumerai.contribution._users import UserSignals
from sknumerai.datasets import make_market
from sknumerai.exceptions import FewFreeAssetsWarning
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._engines import make_engine
from sknumerai.portfolio._risk_data import RiskTables
from tests.contribution._case import SEED, Case, N, dropped_stakes


class TestFewFreeAssets:
    BOX = PortfolioOptimizer(min_weights=-0.01, max_weights=0.01, max_leverage=1.0)

    def _call(self, n_eras=2, **options):
        market = make_market(200, n_users=20, n_eras=n_eras, random_state=0)
        return true_contribution(
            market.user_predictions,
            market.stakes,
            market.returns,
            eras=market.eras,
            random_state=0,
            n_rounds=10,
            **options,
        )

    def test_are_warned_of(self):
        with pytest.warns(FewFreeAssetsWarning, match=r"In 2 eras \(0001, 0002\) fewer") as record:
            _, info = self._call(optimizer=self.BOX, signal_scale=1.0, return_info=True)
        assert len(record) == 1
        assert "lower signal_scale" in str(record[0].message)
        assert max(np.median(i.n_free) for i in info.values()) < 0.1 * 200
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self._call(optimizer=self.BOX, signal_scale=1e-3)

    def test_assets_that_limits_hold_are_not_free_to_move(self):
        """More than a tenth are off their bounds, and the exposures leave them one direction."""
        market = make_market(200, n_users=20, random_state=0)
        assert market.exposures.shape == (200, 20)

        def call(**options):
            return true_contribution(
                market.user_predictions,
                market.stakes,
                market.returns,
                optimizer=self.BOX,
                random_state=0,
                n_rounds=20,
                return_info=True,
                **options,
            )[1][None]

        with pytest.warns(FewFreeAssetsWarning, match="In the table fewer than 10%") as record:
            info = call(exposures=market.exposures, signal_scale=1.0)
        assert len(record) == 1
        assert 0.1 * 200 < np.median(info.n_free) < 0.1 * 200 + 22
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            info = call(exposures=market.exposures, signal_scale=1e-3)
        assert np.median(info.n_free) == 200

    @pytest.mark.parametrize("signal_scale", [0.1, 0.8, 3.0, 50.0])
    def test_directions_are_the_rank_of_the_derivative(self, signal_scale):
        case = Case()
        tables = RiskTables(len(case.returns), **case.risk)
        engine = make_engine(case.optimizer, tables.era(None, slice(0, N)))
        users = UserSignals(case.predictions, gaussianize=True)
        rounds = Rounds(4, 0.5, "raw", 1.5, signal_scale, SEED)
        result = era_gradient(users, case.stakes, case.returns, engine, rounds)
        ranks = []
        for stakes in dropped_stakes(case.stakes, 4):
            signal = users.weighted_sums(stakes[:, None])[:, 0]
            signal = np.sign(signal) * np.abs(signal) ** 1.5
            signal *= signal_scale / np.sqrt(np.mean(signal**2))
            jacobian = engine.solve(signal).matvec(np.eye(N))
            ranks.append(np.linalg.matrix_rank(jacobian, tol=1e-10))
        assert result.n_directions == ranks
        assert all(rank < free for rank, free in zip(ranks, result.n_free, strict=True))
        assert result.few_free == (np.median(ranks) < 0.1 * N)

    def test_defaults_leave_all_free(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _, info = self._call(optimizer=PortfolioOptimizer(), return_info=True)
        assert info["0001"].n_free == [200] * 10
