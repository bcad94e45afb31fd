"""Contributions are the gradient of the portfolio's return by the stakes."""

import numpy as np
import pytest

from sknumerai.contribution._era_gradient import Rounds, era_gradient
from sknumerai.contribution._users import UserSignals
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._engines import make_engine
from sknumerai.portfolio._risk_data import RiskTables
from tests.contribution._case import SEED, USERS, Case, N, PlainReturn, assert_close, dropped_stakes


def kernel(case, rounds):
    """The kernel on the first era of a case."""
    n = int((case.eras == case.eras[0]).sum())
    tables = RiskTables(len(case.returns), **case.risk)
    engine = make_engine(case.optimizer, tables.era(None, slice(0, n)))
    users = UserSignals(case.predictions[:n], gaussianize=True)
    return era_gradient(users, case.stakes, case.returns[:n], engine, rounds)


class TestGradient:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"power": 1.0},
            {"gaussianize": False, "power": 2.0},
            {"signal_scale": None, "power": 1.0},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_equals_finite_differences_of_the_whole_chain(self, options, gradient):
        case = Case(seed=4)
        table, info = case(gradient=gradient, return_info=True, **options)
        assert info["0001"].n_weakly_active == [0] * 5
        free = np.array(info["0001"].n_free)
        assert ((free >= 5) & (free < N)).all()  # limits bind, and leave something to move
        plain = PlainReturn(case, gradient=gradient, **options)
        rounds = dropped_stakes(case.stakes)
        assert len({tuple(stakes > 0) for stakes in rounds}) > 1
        per_round = [plain.derivatives(stakes) for stakes in rounds]
        if gradient == "stake_weighted":  # by shares of the total stake
            per_round = [d * stakes.sum() for d, stakes in zip(per_round, rounds, strict=True)]
        for stakes, portfolio in zip(rounds, info["0001"].portfolios, strict=True):
            np.testing.assert_allclose(portfolio, plain.portfolio(stakes), atol=1e-9)
        assert_close(table.loc["0001"], np.mean(per_round, axis=0), 1e-6)
        assert_close(info["0001"].spread, np.std(per_round, axis=0), 1e-6)

    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_without_dropout(self, gradient):
        """One round is made, however many are asked for."""
        case = Case()
        table, info = case(dropout=0.0, gradient=gradient, return_info=True)
        factor = case.stakes.sum() if gradient == "stake_weighted" else 1.0
        plain = PlainReturn(case, gradient=gradient)
        assert_close(table.loc["0001"], factor * plain.derivatives(case.stakes), 1e-6)
        assert info["0001"].portfolios.shape == (1, N)
        assert (info["0001"].spread == 0.0).all()

    def test_equals_autograd_through_cvxpylayers(self):
        """The module of Numerai's post and its loop over rounds of dropout."""
        cp = pytest.importorskip("cvxpy")
        torch = pytest.importorskip("torch")
        layers = pytest.importorskip("cvxpylayers.torch")
        case, n_rounds = Case(), 4
        root = np.linalg.cholesky(case.risk["factor_covariance"])
        loadings = case.risk["factor_loadings"] @ root
        limits = case.optimizer

        class SWMModel(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.lin1 = torch.nn.Linear(USERS, 1, bias=False, dtype=torch.float64)
                alpha = cp.Parameter(N)
                longs, shorts = cp.Variable(N, nonneg=True), cp.Variable(N, nonneg=True)
                weights, factors = longs - shorts, cp.Variable(2)
                variance = cp.sum_squares(
                    cp.multiply(np.sqrt(case.risk["specific_variance"]), weights)
                )
                # a touch of curvature in longs + shorts, without which the two are not unique
                objective = (
                    alpha @ weights
                    - 0.5 * (variance + cp.sum_squares(factors))
                    - 1e-6 * cp.sum_squares(longs + shorts)
                )
                constraints = [
                    factors == loadings.T @ weights,
                    cp.sum(weights) == 0.0,
                    cp.sum(longs + shorts) <= limits.max_leverage,
                    weights >= limits.min_weights,
                    weights <= limits.max_weights,
                    cp.abs(case.risk["exposures"].T @ weights) <= limits.max_exposure,
                ]
                problem = cp.Problem(cp.Maximize(objective), constraints)
                assert problem.is_dpp()
                self.layer = layers.CvxpyLayer(
                    problem, parameters=[alpha], variables=[longs, shorts]
                )

            def forward(self, user_predictions):
                x1 = self.lin1(user_predictions)[:, 0]
                solution = self.layer(x1, solver_args={"solve_method": "CLARABEL"})
                return solution[0] - solution[1]

        swmm = SWMModel()
        signals = torch.tensor(PlainReturn(case).signals)
        returns = torch.tensor(case.returns)
        stake_grads = []
        for stakes in dropped_stakes(case.stakes, n_rounds):
            swmm.lin1.weight.data = torch.tensor(stakes)[None]
            swmm.zero_grad()
            (swmm(signals) @ returns).backward()
            stake_grads.append(swmm.lin1.weight.grad.numpy()[0].copy())
        ours = case(n_rounds=n_rounds, power=1.0, signal_scale=None)
        assert_close(ours.loc["0001"], np.mean(stake_grads, axis=0), 5e-3)

    def test_equals_the_engine_of_cvxpylayers(self):
        pytest.importorskip("cvxpylayers.torch")
        case = Case()
        ours = case(n_rounds=2)
        theirs, info = case(
            n_rounds=2,
            optimizer=PortfolioOptimizer(**case.optimizer.get_params() | {"engine": "cvxpylayers"}),
            return_info=True,
        )
        assert_close(theirs, ours, 5e-3)
        assert np.isnan(info["0001"].kkt_residual).all()
        assert info["0001"].n_free == [None, None]

    def test_small_stakes_by_brute_force(self):
        """Leaving out a user of a small stake changes the return by stake times contribution."""
        case, smallest = Case(seed=1), 1e-6
        plain = PlainReturn(case)
        for user in range(USERS):
            without, small = case.stakes.copy(), case.stakes.copy()
            without[user], small[user] = 0.0, smallest
            changed = (plain(small) - plain(without)) / smallest
            contribution = case(stakes=small, dropout=0.0).loc["0001"]
            assert abs(contribution[user] - changed) < 1e-4 * np.abs(contribution).max()

    def test_leaving_users_out_in_turn_ranks_them_alike(self):
        """What the gradient replaced: many users, equal stakes, an optimization for each."""
        case = Case(seed=2, n_users=40)
        stakes = np.ones(40)
        plain = PlainReturn(case)
        table = case(stakes=stakes, dropout=0.0)
        agreement = []
        for part in (1.0, 0.01):
            lost = [plain(stakes) - plain(stakes - part * unit) for unit in np.eye(40)]
            agreement.append(np.corrcoef(lost, table.loc["0001"])[0, 1])
        assert agreement[0] > 0.85
        assert agreement[1] > 0.999

    def test_moving_stakes_along_the_gradient_raises_the_return(self):
        case = Case(seed=4)
        plain = PlainReturn(case)
        gradient = case(dropout=0.0).loc["0001"].to_numpy()
        step = 1e-3 * gradient / np.linalg.norm(gradient)
        gain = plain(case.stakes + step) - plain(case.stakes)
        assert gain == pytest.approx(1e-3 * np.linalg.norm(gradient), rel=0.05)

    def test_a_program_without_limits_has_the_gradient_of_the_textbook(self):
        case = Case()
        table = case(
            optimizer=PortfolioOptimizer(risk_aversion=2.0, budget=None),
            signal_scale=None,
            power=1.0,
            gaussianize=False,
            factor_loadings=None,
            factor_covariance=None,
            specific_variance=None,
            exposures=None,
        )
        assert_close(table.loc["0001"], case.predictions.T @ case.returns / 2.0, 1e-12)

    def test_conventions_of_the_gradient(self):
        """Round by round one is the total stake times the other; their means are not."""
        case = Case()
        for options in ({"dropout": 0.0}, {"n_rounds": 1}):
            raw, weighted = (case(gradient=g, **options) for g in ("raw", "stake_weighted"))
            total = dropped_stakes(case.stakes, 1, options.get("dropout", 0.5)).sum()
            assert_close(weighted, total * raw, 1e-10)
        raw, weighted = (case(gradient=g).loc["0001"] for g in ("raw", "stake_weighted"))
        ratio = weighted / raw
        assert np.ptp(ratio) > 1e-3 * np.abs(ratio).mean()

    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_a_scaled_signal_has_no_gradient_along_itself(self, gradient):
        case = Case()
        result = kernel(case, Rounds(5, 0.5, gradient, 1.5, 0.8, SEED))
        users = UserSignals(case.predictions, gaussianize=True)
        totals = users.weighted_sums(dropped_stakes(case.stakes).T).T
        along = np.einsum("ij,ij->i", totals, result.gradients)
        sizes = np.linalg.norm(totals, axis=1) * np.linalg.norm(result.gradients, axis=1)
        assert (np.abs(along) < 1e-13 * sizes).all()
        assert np.abs(result.offsets).max() < 1e-12 * np.abs(result.portfolio_returns).max()
        # so that the stakes themselves add up to nothing
        table = case(gradient=gradient, dropout=0.0)
        assert abs(table.loc["0001"] @ case.stakes) < 1e-12 * (
            table.abs().loc["0001"] @ case.stakes
        )
