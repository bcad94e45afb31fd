import tracemalloc
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata

from sknumerai.contribution import true_contribution
from sknumerai.contribution._era_gradient import Rounds, era_gradient
from sknumerai.contribution._users import UserSignals
from sknumerai.datasets import make_market
from sknumerai.exceptions import (
    ConstantPredictionWarning,
    FewFreeAssetsWarning,
    InfeasiblePortfolioError,
)
from sknumerai.metrics import meta_portfolio_contribution
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._engines import make_engine
from sknumerai.portfolio._risk_data import RiskTables

N, USERS = 30, 6
SEED = 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class Case:
    """Arrays of one or more eras in which some limits press, and a plain reading of TC."""

    def __init__(self, seed=0, n=N, n_users=USERS, n_eras=1):
        rng = np.random.default_rng(seed)
        rows = n * n_eras
        self.predictions = rng.normal(size=(rows, n_users))
        self.stakes = rng.uniform(0.5, 2.0, n_users)
        self.stakes[1] = 0.0
        self.returns = 0.1 * rng.normal(size=rows)
        self.eras = np.repeat([f"{era:04d}" for era in range(1, n_eras + 1)], n)
        self.risk = {
            "factor_loadings": rng.normal(size=(rows, 2)),
            "factor_covariance": np.array([[0.5, 0.1], [0.1, 0.3]]),
            "specific_variance": rng.uniform(0.5, 2.0, rows),
            "exposures": rng.normal(size=(rows, 2)),
        }
        self.optimizer = PortfolioOptimizer(
            min_weights=-0.6, max_weights=0.5, max_leverage=8.0, max_exposure=0.1
        )

    def __call__(self, **options):
        """Contributions with some of the arguments exchanged."""
        given = {
            "user_predictions": self.predictions,
            "stakes": self.stakes,
            "returns": self.returns,
            "optimizer": self.optimizer,
            "eras": self.eras,
            "random_state": SEED,
            "n_rounds": 5,
            "signal_scale": 0.8,
            **self.risk,
            **options,
        }
        return true_contribution(**given)


class PlainReturn:
    """Return of the portfolio as a function of the stakes, each step written out."""

    def __init__(self, case, *, gaussianize=True, gradient="raw", signal_scale=0.8, power=1.5):
        self.case, self.gradient, self.power = case, gradient, power
        self.scale = signal_scale
        self.signals = case.predictions
        if gaussianize:
            self.signals = norm.ppf((rankdata(case.predictions, axis=0) - 0.5) / N)

    def portfolio(self, stakes):
        meta_model = self.signals @ stakes
        if self.gradient == "stake_weighted":
            meta_model = meta_model / stakes.sum()
        signal = np.sign(meta_model) * np.abs(meta_model) ** self.power
        if self.scale is not None:
            signal = signal * self.scale / np.sqrt(np.mean(signal**2))
        return self.case.optimizer.fit(signal, **self.case.risk).weights_

    def __call__(self, stakes):
        return self.case.returns @ self.portfolio(stakes)

    def derivatives(self, stakes, step=1e-5):
        """Central differences by every stake."""
        return np.array(
            [
                (self(stakes + step * unit) - self(stakes - step * unit)) / (2.0 * step)
                for unit in np.eye(len(stakes))
            ]
        )


def dropped_stakes(stakes, n_rounds=5, dropout=0.5, seed=SEED):
    """The stakes of every round, a row each."""
    return Rounds(n_rounds=n_rounds, dropout=dropout, seed=seed).stakes(stakes).T


def assert_close(found, expected, tolerance):
    """Largest error relative to the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


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
        assert ((free >= 5) & (free < N)).all()  # limits press, and leave something to move
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


def kernel(case, rounds):
    """The kernel on the first era of a case."""
    n = int((case.eras == case.eras[0]).sum())
    tables = RiskTables(len(case.returns), **case.risk)
    engine = make_engine(case.optimizer, tables.era(None, slice(0, n)))
    users = UserSignals(case.predictions[:n], gaussianize=True)
    return era_gradient(users, case.stakes, case.returns[:n], engine, rounds)


class TestFairness:
    """What the post promises to users."""

    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_identical_signals_score_identically_whatever_their_stakes(self, gradient):
        case = Case()
        first = case.predictions[:, :1]
        copies = np.hstack([case.predictions, first, np.exp(3.0 * first)])
        table = case(
            user_predictions=copies, stakes=np.append(case.stakes, [0.0, 7.0]), gradient=gradient
        )
        scores = table.loc["0001"]
        assert scores[0] != 0.0
        assert scores[6] == pytest.approx(scores[0], rel=1e-12)
        assert scores[7] == pytest.approx(scores[0], rel=1e-12)

    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_a_stake_of_zero_is_the_limit_of_small_stakes(self, gradient):
        case = Case()
        zero = case(gradient=gradient).loc["0001"]
        assert case.stakes[1] == 0.0
        assert abs(zero[1]) > 0.01 * np.abs(zero).max()
        errors = []
        for stake in (1e-3, 1e-5):
            stakes = case.stakes.copy()
            stakes[1] = stake
            difference = case(stakes=stakes, gradient=gradient).loc["0001"] - zero
            errors.append(np.abs(difference).max() / np.abs(zero).max())
        assert errors[1] < 1e-4
        assert errors[1] < 0.02 * errors[0]

    def test_units_of_stakes(self):
        """Return per unit of stake, or of total stake."""
        case = Case()
        assert_close(case(stakes=1e6 * case.stakes), 1e-6 * case(), 1e-9)
        weighted = partial(case, gradient="stake_weighted")
        assert_close(weighted(stakes=1e6 * case.stakes), weighted(), 1e-9)

    @pytest.mark.parametrize("unit", [1e-250, 1e250])
    def test_stakes_of_any_size(self, unit):
        case = Case()
        weighted = partial(case, dropout=0.0)
        assert_close(unit * weighted(stakes=unit * case.stakes), weighted(), 1e-9)

    def test_opposite_signals_score_opposite(self):
        case = Case()
        both = np.hstack([case.predictions, -case.predictions])
        scores = case(user_predictions=both, stakes=np.append(case.stakes, np.zeros(USERS)))
        values = scores.loc["0001"].to_numpy()
        np.testing.assert_allclose(values[USERS:], -values[:USERS], rtol=1e-9)


class TestInvariance:
    def test_only_ranks_matter(self):
        case = Case()
        expected = case()
        assert_close(case(user_predictions=np.exp(case.predictions)), expected, 1e-12)
        assert_close(case(user_predictions=rankdata(case.predictions, axis=0)), expected, 1e-12)
        assert np.abs(
            case(user_predictions=np.exp(case.predictions), gaussianize=False) - expected
        ).max(axis=None) > 1e-3 * expected.abs().max(axis=None)

    def test_permuted_rows(self, rng):
        case = Case(n_eras=3)
        expected = case()
        order = rng.permutation(len(case.eras))
        risk = {
            name: values if name == "factor_covariance" else values[order]
            for name, values in case.risk.items()
        }
        shuffled, info = case(
            user_predictions=case.predictions[order],
            returns=case.returns[order],
            eras=case.eras[order],
            return_info=True,
            **risk,
        )
        assert shuffled.index.tolist() == ["0001", "0002", "0003"]
        assert_close(shuffled, expected, 1e-9)
        # portfolios have the rows of their era in the order of the caller
        for label, whole in case(return_info=True)[1].items():
            rows = order[case.eras[order] == label] - np.flatnonzero(case.eras == label)[0]
            np.testing.assert_allclose(
                info[label].portfolios, whole.portfolios[:, rows], atol=1e-10
            )

    def test_permuted_users(self, rng):
        case = Case(n_users=12)
        order = rng.permutation(12)
        permuted = case(
            user_predictions=case.predictions[:, order], stakes=case.stakes[order], dropout=0.0
        )
        assert_close(permuted, case(dropout=0.0).to_numpy()[:, order], 1e-9)

    def test_eras_do_not_depend_on_one_another(self):
        case = Case(n_eras=3)
        together = case()
        for label in together.index:
            rows = case.eras == label
            risk = {
                name: values if name == "factor_covariance" else values[rows]
                for name, values in case.risk.items()
            }
            alone = partial(
                case, user_predictions=case.predictions[rows], returns=case.returns[rows], **risk
            )
            np.testing.assert_array_equal(alone(eras=label).loc[label], together.loc[label])
            np.testing.assert_array_equal(alone(eras=None).iloc[0], together.loc[label])
            np.testing.assert_array_equal(alone(eras=case.eras[rows]), together.loc[[label]])

    @pytest.mark.parametrize(
        "relabel",
        [
            int,
            lambda label: f"era{label}",
            lambda label: pd.Timestamp("2020-01-03") - 7 * int(label) * pd.Timedelta("1D"),
        ],
        ids=["numbers", "names", "dates backwards"],
    )
    def test_labels(self, relabel):
        case = Case(n_eras=3)
        labels = [relabel(label) for label in case.eras]
        found, expected = case(eras=pd.Series(labels)), case()
        by_label = {relabel(label): scores for label, scores in expected.iterrows()}
        assert found.index.tolist() == sorted(by_label)
        assert found.index.name == "era"
        for label, scores in found.iterrows():
            np.testing.assert_array_equal(scores, by_label[label])

    def test_n_jobs(self):
        case = Case(n_eras=3)
        alone, info = case(return_info=True)
        parallel, parallel_info = case(n_jobs=2, return_info=True)
        pd.testing.assert_frame_equal(parallel, alone, check_exact=True)
        for label in info:
            np.testing.assert_array_equal(parallel_info[label].gradient, info[label].gradient)

    def test_verbose_shows_progress(self, capsys):
        Case(n_eras=2)(verbose=True, n_rounds=1)
        assert "2/2" in capsys.readouterr().err


class TestContainers:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int64, np.uint16])
    def test_dtypes(self, rng, dtype):
        case = Case()
        values = rng.integers(0, 50, case.predictions.shape)
        expected = case(user_predictions=values.astype(float))
        for layout in (np.ascontiguousarray, np.asfortranarray):
            predictions = layout(values.astype(dtype))
            before = predictions.copy()
            found = case(user_predictions=predictions)
            assert (found.dtypes == np.float64).all()
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(predictions, before)

    def test_returns_of_any_dtype(self, rng):
        case = Case()
        returns = rng.integers(-3, 4, N)
        expected = case(returns=returns.astype(float))
        for dtype in (np.int8, np.float32):
            np.testing.assert_array_equal(case(returns=returns.astype(dtype)), expected)

    def test_frames(self, df_module):
        case = Case(n_eras=2)
        names = [f"user_{j}" for j in range(USERS)]
        found = case(
            user_predictions=df_module.DataFrame(dict(zip(names, case.predictions.T, strict=True))),
            stakes=df_module.Series(case.stakes, name="stake"),
            returns=df_module.Series(case.returns, name="return"),
            eras=df_module.Series(case.eras, name="era"),
            factor_loadings=df_module.DataFrame(
                {f"f{j}": column for j, column in enumerate(case.risk["factor_loadings"].T)}
            ),
            specific_variance=df_module.Series(case.risk["specific_variance"], name="variance"),
            exposures=df_module.DataFrame(
                {f"e{j}": column for j, column in enumerate(case.risk["exposures"].T)}
            ),
        )
        assert isinstance(found, pd.DataFrame)
        assert found.columns.tolist() == names
        np.testing.assert_array_equal(found, case())

    def test_covariance_by_era(self):
        case = Case(n_eras=2)
        covariances = {
            label: np.diag([0.1, 0.9]) * (i + 1) for i, label in enumerate(["0002", "0001"])
        }
        found = case(factor_covariance=covariances)
        for label, covariance in covariances.items():
            np.testing.assert_array_equal(
                found.loc[label], case(factor_covariance=covariance).loc[label]
            )
        del covariances["0001"]
        with pytest.raises(ValueError, match=r"In era 0001: factor_covariance has no entry for"):
            case(factor_covariance=covariances)

    @pytest.mark.parametrize("argument", ["returns", "exposures"])
    def test_indexes_must_agree(self, argument):
        case = Case()
        index = pd.Index([f"stock_{i}" for i in range(N)])
        predictions = pd.DataFrame(case.predictions, index=index)
        values = case.returns if argument == "returns" else case.risk["exposures"]
        container = pd.Series if argument == "returns" else pd.DataFrame
        expected = case()
        for labels in (index, index + "_other"):  # equal, or by position
            found = case(
                user_predictions=predictions, **{argument: container(values, index=labels)}
            )
            np.testing.assert_array_equal(found, expected)
        with pytest.raises(
            ValueError, match=f"indexes of user_predictions and {argument} share 30"
        ):
            case(user_predictions=predictions, **{argument: container(values, index=index[::-1])})

    def test_stakes(self):
        case = Case(n_eras=2)
        names = [f"user_{j}" for j in range(USERS)]
        predictions = pd.DataFrame(case.predictions, columns=names)
        expected = case(user_predictions=predictions)
        assert expected.columns.tolist() == names
        for stakes in (
            case.stakes.tolist(),
            pd.Series(case.stakes, index=names),
            pd.Series(case.stakes),
            pd.DataFrame([case.stakes] * 3, index=["0003", "0002", "0001"], columns=names),
        ):
            found = case(user_predictions=predictions, stakes=stakes)
            pd.testing.assert_frame_equal(found, expected, check_exact=True)
        by_era = pd.DataFrame(
            [case.stakes, case.stakes[::-1]], index=["0002", "0001"], columns=names
        )
        found = case(user_predictions=predictions, stakes=by_era)
        np.testing.assert_array_equal(found.loc["0002"], expected.loc["0002"])
        reversed_stakes = case(user_predictions=predictions, stakes=case.stakes[::-1])
        np.testing.assert_array_equal(found.loc["0001"], reversed_stakes.loc["0001"])
        assert (found.loc["0001"] != expected.loc["0001"]).all()

    @pytest.mark.parametrize(
        ("stakes", "message"),
        [
            ([1.0, -1.0, 1.0, np.nan, -np.inf, 1.0], r"hold 3 values .* first -1.0 of user 1"),
            ([1.0] * 5, r"stakes has shape \(5,\) for 6 users"),
            (np.ones((2, 6)), r"stakes has shape \(2, 6\) for 6 users"),
            (["1", "2", "three", "4", "5", "6"], r"stakes must be numbers \(.*'three'\); convert"),
            ("plenty", "stakes must be numbers"),
            (np.zeros(6), r"In era 0001: None of the 6 users .* positive stake"),
            (
                pd.Series(1.0, index=[f"user_{j}" for j in range(5, -1, -1)]),
                r"share 6 of 6 user names but not in the same order; .* stakes.loc\[",
            ),
            (
                pd.DataFrame(1.0, ["0001", "0002"], [f"user_{j}" for j in range(1, 7)]),
                r"share 5 of 6 user names .* stakes\[user_predictions.columns\]",
            ),
            (
                pd.DataFrame(np.ones((1, 6)), index=["0002"]),
                r"no row for 1 of 2 eras \(first 0001\)",
            ),
            (
                pd.DataFrame(np.ones((3, 6)), index=["0001", "0002", "0001"]),
                "several rows for an era",
            ),
            (pd.DataFrame(np.ones((2, 5)), index=["0001", "0002"]), r"shape \(2, 5\) for 6 users"),
        ],
    )
    def test_bad_stakes(self, stakes, message):
        case = Case(n_eras=2)
        predictions = pd.DataFrame(case.predictions).add_prefix("user_")
        with pytest.raises(ValueError, match=message):
            case(user_predictions=predictions, stakes=stakes)

    def test_all_stakes_zero_in_one_era(self):
        case = Case(n_eras=2)
        stakes = pd.DataFrame([case.stakes, 0.0 * case.stakes], index=["0001", "0002"])
        with pytest.raises(ValueError, match=r"In era 0002: None of the 6 users"):
            case(stakes=stakes)


class TestAbsentUsers:
    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    @pytest.mark.parametrize("gaussianize", [True, False])
    @pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, pd.DataFrame])
    def test_are_as_if_not_there(self, layout, gradient, gaussianize):
        case = Case(n_eras=2)
        values = case.predictions.copy()
        values[:N, [0, 4]] = np.nan  # in the first era
        predictions = layout(values)
        call = partial(case, dropout=0.0, gradient=gradient, gaussianize=gaussianize)
        found, info = call(user_predictions=predictions, return_info=True)
        assert np.isnan(found.loc["0001", [0, 4]]).all()
        assert np.isnan(info["0001"].spread[[0, 4]]).all()
        assert np.isfinite(found.drop(columns=[0, 4])).all(axis=None)
        others = [1, 2, 3, 5]
        without = call(user_predictions=values[:, others], stakes=case.stakes[others])
        assert_close(found.loc["0001", others], without.loc["0001"], 1e-10)
        np.testing.assert_array_equal(found.loc["0002"], call().loc["0002"])
        np.testing.assert_array_equal(np.asarray(predictions), values)  # the caller's is left alone

    def test_others_keep_their_dropout(self):
        """The stakes that are dropped do not depend on who takes part."""
        case = Case()
        predictions = case.predictions.copy()
        predictions[:, 4] = np.nan
        stakes = case.stakes.copy()
        stakes[4] = 0.0
        found = case(user_predictions=predictions).loc["0001"].drop(4)
        assert_close(found, case(stakes=stakes).loc["0001"].drop(4), 1e-10)

    def test_no_staked_user_left(self):
        case = Case(n_eras=2)
        predictions = case.predictions.copy()
        predictions[N:, case.stakes > 0.0] = np.nan
        with pytest.raises(ValueError, match="In era 0002: None of the 1 users that took part"):
            case(user_predictions=predictions)

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({(N + 4, 2): np.nan}, "contains 1 values .* first at row 4 of the era, column 2;"),
            (
                {(N, 1): np.nan, (N + 1, 1): np.inf},
                r"contains 1 NaN and 1 infinite \(inf\) of \d+ values, first at row",
            ),
        ],
    )
    def test_partly_absent_users_are_refused(self, bad, message):
        case = Case(n_eras=2)
        predictions = case.predictions.copy()
        for place, value in bad.items():
            predictions[place] = value
        with pytest.raises(ValueError, match=f"In era 0002: user_predictions {message}"):
            case(user_predictions=predictions)

    @pytest.mark.parametrize("gaussianize", [True, False])
    def test_constant_users(self, gaussianize):
        case = Case(n_eras=3)
        predictions = case.predictions.copy()
        predictions[N : 2 * N, 3] = 0.25
        with pytest.warns(ConstantPredictionWarning, match=r"In 1 era \(0002\) a user's") as record:
            found, info = case(
                user_predictions=predictions, gaussianize=gaussianize, return_info=True
            )
        assert len(record) == 1
        assert np.isnan(found.loc["0002", 3])
        assert np.isnan(info["0002"].spread[3])
        assert np.isnan(found).to_numpy().sum() == 1

    def test_a_constant_signal_has_no_weight(self):
        case = Case()
        predictions = case.predictions.copy()
        predictions[:, 3] = 0.25
        others = [0, 1, 2, 4, 5]
        with pytest.warns(ConstantPredictionWarning):
            found = case(user_predictions=predictions, dropout=0.0)
        expected = case(
            user_predictions=predictions[:, others], stakes=case.stakes[others], dropout=0.0
        )
        assert_close(found.loc["0001", others], expected.loc["0001"], 1e-10)


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
            single, free = self._rounds(market, 100, 1, signal_scale, **limits)
            assert free == pytest.approx(n_free, abs=10)
            rho = mean_correlation(single)
            others, _ = self._rounds(market, 200, 2, signal_scale, **limits)
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


RISK = ("factor_loadings", "factor_covariance", "specific_variance", "exposures")


def mean_correlation(runs):
    """Mean correlation of two different runs."""
    correlations = np.corrcoef(runs)
    return (correlations.sum() - len(runs)) / (len(runs) * (len(runs) - 1))


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


class TestMetaPortfolioContribution:
    """numerai-tools' gradient is the special case of a ball: max mᵀx, ‖x‖ <= 1, Nᵀx = 0."""

    @pytest.fixture
    def data(self, rng):
        n, n_users = 60, 8
        neutralizers = rng.normal(size=(n, 4))
        neutralizers = np.linalg.qr(neutralizers - neutralizers.mean(axis=0))[0]
        predictions = pd.DataFrame(rng.normal(size=(n, n_users))).add_prefix("user_")
        stakes = pd.Series(rng.uniform(0.1, 1.0, n_users), index=predictions.columns)
        stakes /= stakes.sum()
        targets = rng.normal(size=n)
        scores = meta_portfolio_contribution(
            targets,
            predictions,
            stakes=stakes,
            neutralizers=neutralizers,
            sample_weights=np.ones(n),
        )
        signals = norm.ppf((rankdata(predictions, axis=0) - 0.5) / n)
        signals = np.sign(signals) * np.abs(signals) ** 1.5
        return signals, stakes, targets, neutralizers, scores.to_numpy()

    def test_derivative_of_the_optimizer(self, data):
        """The multiplier of the ball is the risk aversion that makes the portfolio's norm one.

        On the ball the derivative loses the direction of the portfolio itself:
        ∂x/∂m = J (I - xxᵀ), with J that of the program of identity risk.
        """
        signals, stakes, targets, neutralizers, scores = data
        meta_model = signals @ stakes
        size = np.linalg.norm(PortfolioOptimizer().fit(meta_model, exposures=neutralizers).weights_)
        ball = PortfolioOptimizer(risk_aversion=size).fit(meta_model, exposures=neutralizers)
        direction = ball.weights_
        assert np.linalg.norm(direction) == pytest.approx(1.0, rel=1e-12)
        gradient = ball.gradient(targets - direction * (direction @ targets))
        assert_close(signals.T @ gradient / 50.0, scores, 1e-9)

    def test_contribution_of_neutral_signals(self, data):
        """A signal of fixed size takes the place of the ball, if it is neutral already."""
        signals, stakes, targets, neutralizers, scores = data
        program = PortfolioOptimizer()
        neutral = np.column_stack(
            [program.fit(signal, exposures=neutralizers).weights_ for signal in signals.T]
        )
        found = true_contribution(
            neutral,
            stakes.to_numpy(),
            targets,
            optimizer=program,
            exposures=neutralizers,
            dropout=0.0,
            gaussianize=False,
            power=1.0,
            signal_scale=1.0 / np.sqrt(len(targets)),  # a portfolio of norm one
        )
        assert_close(found.iloc[0] / 50.0, scores, 1e-9)


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


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"user_predictions": np.full((N, USERS), "a")}, ValueError, "must hold real numbers"),
            ({"user_predictions": np.zeros((N, 0))}, ValueError, r"has shape \(30, 0\)"),
            ({"user_predictions": np.zeros((0, USERS))}, ValueError, r"has shape \(0, 6\)"),
            ({"user_predictions": np.zeros((2, 3, 4))}, ValueError, "must be two-dimensional"),
            ({"returns": np.zeros(N - 1)}, ValueError, "returns has 29 rows and user_predictions"),
            ({"returns": np.zeros((N, 2))}, ValueError, "returns must hold one column; found 2"),
            ({"eras": ["0001"] * (N - 1)}, ValueError, "eras has 29 labels for 30 rows"),
            ({"eras": ["spring"] * N}, ValueError, "'spring' have no known order"),
            ({"optimizer": None}, ValueError, "The 'optimizer' parameter"),
            ({"n_rounds": 0}, ValueError, "The 'n_rounds' parameter"),
            ({"dropout": 1.0}, ValueError, "The 'dropout' parameter"),
            ({"dropout": -0.1}, ValueError, "The 'dropout' parameter"),
            ({"gradient": "mean"}, ValueError, "The 'gradient' parameter"),
            ({"signal_scale": 0.0}, ValueError, "The 'signal_scale' parameter"),
            ({"power": 0.5}, ValueError, "The 'power' parameter"),
            ({"random_state": "a"}, ValueError, "The 'random_state' parameter"),
            ({"exposure": np.zeros((N, 1))}, TypeError, "exposure is no risk data; known are"),
            ({"specific_variance": None}, ValueError, "without specific_variance; pass both"),
        ],
    )  # fmt: skip
    def test_arguments(self, options, error, message):
        with pytest.raises(error, match=message):
            Case()(**options)

    @pytest.mark.parametrize(
        "name", ["returns", "exposures", "factor_loadings", "specific_variance"]
    )
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, name, value):
        case = Case(n_eras=2)
        values = np.array(case.returns if name == "returns" else case.risk[name])
        values[N + 7] = value
        kind = "NaN" if np.isnan(value) else "infinite"
        with pytest.raises(ValueError, match=rf"In era 0002: {name} contains \d {kind}.* row 37"):
            case(**{name: values})

    @pytest.mark.parametrize("gaussianize", [True, False])
    def test_a_constant_signal(self, gaussianize):
        case = Case(n_eras=2)
        predictions = case.predictions.copy()
        predictions[N:, case.stakes > 0.0] = 0.0
        with pytest.raises(ValueError, match="In era 0002: The stake-weighted signal is zero"):
            case(user_predictions=predictions, dropout=0.0, gaussianize=gaussianize)

    @pytest.mark.parametrize("gaussianize", [True, False])
    def test_users_that_cancel(self, gaussianize):
        case = Case(n_eras=2)
        predictions = case.predictions.copy()
        predictions[N:, 1] = predictions[N:, 2] = -predictions[N:, 0]
        stakes = np.array([1.0, 0.3, 0.7, 0.0, 0.0, 0.0])
        with pytest.raises(ValueError, match="In era 0002: The stake-weighted signal is zero"):
            case(user_predictions=predictions, stakes=stakes, dropout=0.0, gaussianize=gaussianize)

    def test_no_portfolio(self):
        case = Case(n_eras=2)
        optimizer = PortfolioOptimizer(budget=2.0, max_leverage=1.0)
        with pytest.raises(InfeasiblePortfolioError, match="In era 0001: No portfolio meets"):
            case(optimizer=optimizer)


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_memory(layout):
    """Predictions of many users are never copied to double precision."""
    n, n_users = 1000, 2000
    rng = np.random.default_rng(0)
    predictions = layout(rng.random((n, n_users), dtype=np.float32))
    stakes, returns = rng.random(n_users), rng.normal(size=n)
    tracemalloc.start()
    try:
        true_contribution(
            predictions,
            stakes,
            returns,
            optimizer=PortfolioOptimizer(),
            n_rounds=10,
            random_state=0,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.65 * 8 * n * n_users


def test_real_data(shared_data):
    pytest.importorskip("pyarrow", reason="needs pyarrow to read the real data")
    frame = pd.read_parquet(shared_data / "numerai_2018_08.parquet")
    eras = sorted(frame.loc[frame.region == 0, "era"].unique())[:6]
    frame = frame[frame.era.isin(eras)]
    exposures = frame[[f"x{j}" for j in range(1, 11)]]
    returns = frame.bernie - frame.bernie.groupby(frame.era).transform("mean")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(frame), 12))
    skill = np.linspace(-1.0, 1.0, 12)
    users = 0.2 * noise + np.outer(returns, skill)
    table, info = true_contribution(
        pd.DataFrame(users, index=frame.index).add_prefix("user_"),
        np.ones(12),
        returns,
        optimizer=PortfolioOptimizer(),
        eras=frame.era,
        exposures=exposures,
        n_rounds=10,
        random_state=0,
        return_info=True,
    )
    assert table.shape == (6, 12)
    assert np.isfinite(table).all(axis=None)
    assert np.corrcoef(table.mean(), skill)[0, 1] > 0.9
    for era, rows in exposures.groupby(frame.era):
        assert (info[era].kkt_residual <= 1e-9).all()
        held = np.abs(info[era].portfolios).max()
        assert np.abs(info[era].portfolios @ rows.to_numpy()).max() < 1e-8 * held * len(rows)
