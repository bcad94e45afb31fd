"""Users without predictions in an era, or with constant ones."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import ConstantPredictionWarning
from tests.contribution._case import Case, N, assert_close


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
