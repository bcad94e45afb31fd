"""`blend` is the documented recipe, era by era."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.pipeline import make_pipeline

from sknumerai.ensemble import blend
from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError, SingleEraWarning
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, neutralize
from sknumerai.preprocessing import EraRankTransformer, rank_by_era
from tests._reference import exposures
from tests.ensemble._case import blended, draw_predictions


@pytest.fixture
def data():
    return draw_predictions()


@pytest.fixture
def features(data):
    frame = data[0]
    rng = np.random.default_rng(1)
    return pd.DataFrame(rng.integers(0, 5, (len(frame), 4), dtype=np.int8), frame.index)


@pytest.mark.parametrize("weights", [[1, 1, 1], [0.1, 0.9, 0.4], [2.0, -1.0, 0.5], [0, 3, 0]])
def test_parity_with_the_documented_recipe(data, weights):
    frame, _, eras = data
    expected = blended(frame, weights, eras)
    result = blend(frame, weights=weights, eras=eras)
    pd.testing.assert_series_equal(result, expected, rtol=0, atol=1e-12, check_names=False)
    if len(set(weights)) == 1:
        pd.testing.assert_series_equal(blend(frame, eras=eras), result)


def test_the_standard_deviation_matters():
    """Tied predictions have smaller quantiles, which the division by their spread makes up for."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=500), "b": rng.integers(0, 2, 500)})
    eras = pd.Series(np.repeat(1, 500))
    pd.testing.assert_series_equal(
        blend(frame, eras=eras), blended(frame, [1, 1], eras), atol=1e-12, check_names=False
    )


class TestInvariants:
    def test_increasing_changes_of_a_prediction(self, data):
        frame, _, eras = data
        expected = blend(frame, weights=[1, 2, 3], eras=eras)
        other = frame.assign(a=np.exp(frame["a"]), b=100 + frame["b"] ** 3)
        pd.testing.assert_series_equal(blend(other, weights=[1, 2, 3], eras=eras), expected)

    def test_scale_of_the_weights_and_order_of_the_predictions(self, data):
        frame, _, eras = data
        expected = blend(frame, weights=[1, 2, 3], eras=eras)
        for unit in (1e-200, 7.0, 1e200):
            result = blend(frame, weights=[unit, 2 * unit, 3 * unit], eras=eras)
            pd.testing.assert_series_equal(result, expected)
        other = blend(frame[["c", "a", "b"]], weights=[3, 1, 2], eras=eras)
        pd.testing.assert_series_equal(other, expected)

    def test_row_order_and_other_eras(self, data):
        frame, _, eras = data
        expected = blend(frame, weights=[1, 2, 3], eras=eras)
        order = np.random.default_rng(1).permutation(len(frame))
        shuffled = blend(frame.iloc[order], weights=[1, 2, 3], eras=eras.iloc[order])
        pd.testing.assert_series_equal(shuffled, expected.iloc[order])
        one = frame[eras == "0003"]
        for label in ("0003", 3, None):
            alone = blend(one, weights=[1, 2, 3], eras=label)
            pd.testing.assert_series_equal(alone, expected[eras == "0003"])

    def test_one_prediction_is_gaussianized(self, data):
        frame, _, eras = data
        expected = rank_by_era(frame["c"], eras=eras, method="gaussian").rename("prediction")
        pd.testing.assert_series_equal(blend(frame[["c"]], eras=eras), expected)
        pd.testing.assert_series_equal(blend(frame["c"], eras=eras), expected)
        pd.testing.assert_series_equal(blend(frame, weights=[0, 0, 2], eras=eras), expected)

    def test_equal_sums_share_a_rank(self):
        """Three models that permute the same ranks: their sums are equal but for rounding."""
        ranks = np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1], [4, 5, 6], [6, 4, 5], [5, 6, 4]])
        result = blend(ranks, eras="X")
        assert len(set(result[:3])) == len(set(result[3:])) == 1
        assert result[0] == -result[3] < 0


class TestWeights:
    @pytest.mark.parametrize("kind", [pd.Series, dict])
    def test_by_name(self, data, kind):
        frame, _, eras = data
        expected = blend(frame, weights=[1, 2, 3], eras=eras)
        named = kind({"c": 3, "a": 1, "b": 2})
        pd.testing.assert_series_equal(blend(frame, weights=named, eras=eras), expected)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ([1, 2], r"weights has shape \(2,\) for 3 predictions; pass one number for each"),
            ([[1, 2, 3]], r"weights has shape \(1, 3\) for 3 predictions"),
            (3.0, r"weights has shape \(\) for 3 predictions"),
            ([1, np.nan, 2], "weights holds nan for 'b'; pass finite numbers"),
            ([1, np.inf, 2], "weights holds inf for 'b'; pass finite numbers"),
            ([0, 0, 0], "weights are all zero; give at least one prediction a weight"),
            (["x", "y", "z"], "weights must be numbers; found"),
            ({"a": 1, "b": 2}, r"weights names \['a', 'b'\] and the predictions are \['a', 'b', "),
            (pd.Series([1, 2, 3]), r"weights names \[0, 1, 2\] and the predictions are"),
        ],
    )
    def test_errors(self, data, weights, message):
        frame, _, eras = data
        with pytest.raises(ValueError, match=message) as caught:
            blend(frame, weights=weights, eras=eras)
        assert "\n" not in str(caught.value)


class TestContainers:
    def test_container_in_container_out(self, data, df_module):
        frame, _, eras = data
        expected = blend(frame, eras=eras).to_numpy()
        result = blend(
            df_module.DataFrame({name: frame[name].to_numpy() for name in frame}),
            eras=eras.to_numpy(),
        )
        assert isinstance(result, df_module.module.Series)
        assert result.name == "prediction"
        np.testing.assert_array_equal(result.to_numpy(), expected)
        column = df_module.Series(frame["a"].to_numpy(), name="mine")
        assert isinstance(blend(column, eras=eras.to_numpy()), df_module.module.Series)

    def test_arrays_and_lists(self, data):
        frame, _, eras = data
        expected = blend(frame, eras=eras).to_numpy()
        for values in (frame.to_numpy(), frame.to_numpy().tolist()):
            result = blend(values, eras=eras.tolist())
            assert result.shape == (len(frame),)
            np.testing.assert_array_equal(result, expected)
        assert blend(frame["a"].tolist(), eras=eras.tolist()).shape == (len(frame),)
        numbered = pd.DataFrame(frame.to_numpy())
        np.testing.assert_array_equal(blend(numbered, eras=eras.to_numpy()), expected)

    def test_float32_is_kept(self, data):
        frame, _, eras = data
        assert blend(frame.astype(np.float32), eras=eras).dtype == np.float32


class TestConstants:
    """As everywhere: NaN in the era, with one warning that names it."""

    def test_with_a_weight(self, data):
        frame, _, eras = data
        frame.loc[eras == "0002", "b"] = 0.5
        with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0002\)") as caught:
            result = blend(frame, eras=eras)
        assert [warning.filename for warning in caught] == [__file__]
        assert result.isna().equals((eras == "0002").rename("prediction"))

    def test_without_a_weight(self, data):
        frame, _, eras = data
        expected = blend(frame, weights=[1, 0, 2], eras=eras)
        frame.loc[eras == "0002", "b"] = 0.5
        pd.testing.assert_series_equal(blend(frame, weights=[1, 0, 2], eras=eras), expected)

    def test_opposites_cancel(self, data):
        """What is left of a prediction and its opposite is rounding noise, and no signal."""
        frame, _, eras = data
        both = pd.DataFrame({"p": frame["a"], "q": -frame["a"]})
        with pytest.warns(ConstantPredictionWarning, match="6 eras"):
            assert blend(both, eras=eras).isna().all()
        twice = both.assign(q=frame["a"])
        with pytest.warns(ConstantPredictionWarning):
            assert blend(twice, weights=[1, -1], eras=eras).isna().all()

    def test_one_row_is_constant(self):
        with pytest.warns(ConstantPredictionWarning, match=r"1 era \(2\)"):
            result = blend(np.array([[1, 2], [2, 1.5], [3, 3]]), weights=[3, 1], eras=[1, 1, 2])
        assert np.isnan(result).tolist() == [False, False, True]

    def test_the_transformer_sees_other_eras_only(self, data, features):
        frame, _, eras = data
        expected = blend(frame, eras=eras, transformer=FeatureNeutralizer(), features=features)
        frame.loc[eras == "0002", "b"] = 0.5
        for labels in (eras, pd.Index(eras), pd.Categorical(eras), eras.tolist()):
            with pytest.warns(ConstantPredictionWarning) as caught:
                result = blend(
                    frame, eras=labels, transformer=FeatureNeutralizer(), features=features
                )
            assert len(caught) == 1
            pd.testing.assert_series_equal(
                result, expected.where((eras != "0002").to_numpy()), rtol=1e-9
            )
        frame["b"] = 0.5
        with pytest.warns(ConstantPredictionWarning):
            result = blend(frame, eras=eras, transformer=FeatureNeutralizer(), features=features)
        assert result.isna().all()


class TestTransformer:
    @pytest.mark.parametrize("container", [lambda data: data, pl.from_pandas, np.asarray])
    def test_neutralizes_the_blend(self, data, features, container):
        frame, _, eras = data
        result = blend(
            frame,
            weights=[1, 2, 3],
            eras=eras,
            transformer=FeatureNeutralizer(0.7),
            features=container(features.add_prefix("feature_")),
        )
        expected = neutralize(
            blend(frame, weights=[1, 2, 3], eras=eras), features, proportion=0.7, eras=eras
        )
        pd.testing.assert_series_equal(result, expected, atol=1e-12)

    def test_clips_the_blend(self, data, features):
        frame, _, eras = data
        result = blend(frame, eras=eras, transformer=ExposureClipper(0.02), features=features)
        one = (eras == "0001").to_numpy()
        found = exposures(result.to_numpy()[one], features.to_numpy()[one])
        assert np.abs(found).max() == pytest.approx(0.02, abs=1e-8)

    def test_without_features(self, data):
        frame, _, eras = data
        result = blend(frame, eras=eras, transformer=EraRankTransformer())
        expected = rank_by_era(blend(frame, eras=eras), eras=eras)
        pd.testing.assert_series_equal(result, expected)

    def test_pipelines(self, data, features):
        frame, _, eras = data
        pipeline = make_pipeline(FeatureNeutralizer(), EraRankTransformer("minmax"))
        call = {"eras": eras, "transformer": pipeline, "features": features}
        with pytest.raises(MissingErasError, match="only by metadata routing, which is off"):
            blend(frame, **call)
        sklearn.set_config(enable_metadata_routing=True)
        expected = blend(frame, eras=eras, transformer=FeatureNeutralizer(), features=features)
        expected = rank_by_era(expected, eras=eras, method="minmax")
        pd.testing.assert_series_equal(blend(frame, **call), expected, rtol=1e-9)

    def test_is_not_changed(self, data, features):
        frame, _, eras = data
        transformer = FeatureNeutralizer()
        blend(frame, eras=eras, transformer=transformer, features=features)
        assert not hasattr(transformer, "n_features_in_")

    @pytest.mark.parametrize("transformer", ["neutralize", 3, np.asarray])
    def test_is_an_estimator(self, data, transformer):
        frame, _, eras = data
        with pytest.raises(ValueError, match="pass an estimator that transforms"):
            blend(frame, eras=eras, transformer=transformer)

    def test_features_need_one(self, data, features):
        frame, _, eras = data
        with pytest.raises(ValueError, match="features were given and transformer is None"):
            blend(frame, eras=eras, features=features)

    def test_a_neutralizer_needs_features(self, data):
        frame, _, eras = data
        with pytest.raises(ValueError, match=r"or pass features=\.\.\."):
            blend(frame, eras=eras, transformer=FeatureNeutralizer())


def test_many_rows_without_eras_warn_once():
    values = np.random.default_rng(0).normal(size=(10_001, 2))
    with pytest.warns(SingleEraWarning) as caught:
        blend(values, transformer=FeatureNeutralizer(), features=values)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (None, "predictions is None; pass"),
        (np.empty((4, 0)), "predictions has no columns; pass at least one"),
        ([[1.0, np.nan], [2.0, 1.0]], "predictions contains 1 NaN of 4 values, first at row 0"),
        ([["a"], ["b"]], "predictions must hold real numbers"),
        ([[1.0], [2.0], [3.0]], "eras has 2 labels for 3 rows"),
    ],
)
def test_bad_predictions(predictions, message):
    with pytest.raises(ValueError, match=message):
        blend(predictions, eras=[1, 1])


@pytest.mark.parametrize("shuffled", ["predictions", "eras", "features"])
def test_shuffled_tables_are_errors(data, features, shuffled):
    frame, _, eras = data
    tables = {"predictions": frame, "eras": eras, "features": features}
    blend(**tables, transformer=FeatureNeutralizer())
    tables[shuffled] = tables[shuffled].iloc[::-1]
    with pytest.raises(ValueError, match=r"indexes of .* share \d+ of \d+ labels but are not"):
        blend(**tables, transformer=FeatureNeutralizer())
