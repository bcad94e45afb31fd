"""Limits of exposure by feature and group, and limits that leave nothing."""

import pickle

import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import (
    ConstantPredictionWarning,
    InfeasibleExposureError,
    InfeasibleExposureWarning,
)
from sknumerai.neutralization import ExposureClipper, clip_exposure
from tests._reference import exposures, make_era


class TestLimits:
    """Limits by feature and by group."""

    def test_per_feature_and_group(self):
        prediction, features = make_era(np.random.default_rng(0), 300, 6)
        table = pd.DataFrame(features).add_prefix("f")
        groups = {"low": ["f0", "f1", "f2"], "tight": ["f2"]}
        limits = {"low": 0.1, "tight": 0.02, "f5": 0.0}
        clipped = clip_exposure(prediction, table, limits, feature_groups=groups)
        after = np.abs(exposures(clipped, features))
        expected = np.array([0.1, 0.1, 0.02, 1.0, 1.0, 0.0])
        assert (after <= expected + 1e-8).all()
        assert (after[3:5] > 0.1).any()  # unnamed features are unlimited
        as_array = clip_exposure(prediction, features, np.where(expected == 1, np.inf, expected))
        np.testing.assert_allclose(as_array, clipped, atol=1e-12)

    def test_unlimited_features_are_as_good_as_absent(self):
        prediction, features = make_era(np.random.default_rng(0), 300, 6)
        limits = np.array([0.05, np.inf, 0.05, np.inf, np.inf, 0.05])
        for bounds in ("symmetric", "shrink"):
            np.testing.assert_allclose(
                clip_exposure(prediction, features, limits, bounds=bounds),
                clip_exposure(prediction, features[:, [0, 2, 5]], 0.05, bounds=bounds),
                atol=1e-9,
            )

    def test_errors_come_at_fit(self):
        prediction, features = make_era(np.random.default_rng(0), 50, 3)
        with pytest.raises(ValueError, match="neither one of the 3 features"):
            ExposureClipper({"nobody": 0.1}).fit(prediction[:, None], features=features)


class TestInfeasible:
    """Limits that leave nothing of a prediction."""

    def _data(self):
        rng = np.random.default_rng(0)
        big, small = make_era(rng, 100, 20), make_era(rng, 15, 20)
        prediction = np.concatenate([big[0], small[0]])
        return prediction, np.concatenate([big[1], small[1]]), np.repeat(["a", "b"], [100, 15])

    def test_error_names_the_era_and_the_way_out(self):
        prediction, features, eras = self._data()
        with pytest.raises(
            InfeasibleExposureError, match=r"In era b: .*\(15 rows, 20 limited features of rank 14"
        ) as caught:
            clip_exposure(prediction, features, 0.01, eras=eras)
        multiple = caught.value.multiple
        assert f"at least {multiple:.4g}" in str(caught.value)
        assert pickle.loads(pickle.dumps(caught.value)).multiple == multiple
        clip_exposure(prediction, features, 0.01 * 1.001 * multiple, eras=eras)
        with pytest.raises(InfeasibleExposureError):
            clip_exposure(prediction, features, 0.01 * 0.999 * multiple, eras=eras)

    @pytest.mark.parametrize("bounds", ["symmetric", "shrink"])
    def test_warn_widens_that_era_only(self, bounds):
        prediction, features, eras = self._data()
        with pytest.warns(InfeasibleExposureWarning, match=r"In 1 era \(b\) .*widened") as caught:
            clipped, info = clip_exposure(
                prediction,
                features,
                0.01,
                eras=eras,
                bounds=bounds,
                on_infeasible="warn",
                return_info=True,
            )
        assert len(caught) == 1
        assert info[0].multiple == 1.0
        assert info[1].multiple > 1.0
        assert np.abs(info[1].exposures_after).max() <= 0.01 * info[1].multiple + 1e-9
        assert np.isfinite(clipped).all()

    def test_a_constant_column_beside_a_widened_one(self):
        prediction, features, eras = self._data()
        columns = np.column_stack([np.where(eras == "b", 0.0, prediction), prediction])
        with (
            pytest.warns(ConstantPredictionWarning, match=r"1 era \(b\)"),
            pytest.warns(InfeasibleExposureWarning, match=r"1 era \(b\) .* at most to \d"),
        ):
            clip_exposure(columns, features, 0.01, eras=eras, on_infeasible="warn")

    def test_zero_limits_cannot_be_widened(self):
        prediction, features, eras = self._data()
        with pytest.raises(InfeasibleExposureError, match="no multiple of the limits"):
            clip_exposure(prediction, features, 0.0, eras=eras)
        with pytest.warns(ConstantPredictionWarning, match=r"1 era \(b\)"):
            clipped = clip_exposure(prediction, features, 0.0, eras=eras, on_infeasible="warn")
        assert np.isnan(clipped[eras == "b"]).all()
        assert np.isfinite(clipped[eras == "a"]).all()
