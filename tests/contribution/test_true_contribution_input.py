"""Containers, dtypes and stakes, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import InfeasiblePortfolioError
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._case import USERS, Case, N


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
