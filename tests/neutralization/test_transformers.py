import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknumerai.exceptions import (
    ConstantPredictionWarning,
    InfeasibleExposureError,
    InfeasibleExposureWarning,
    MissingErasError,
)
from sknumerai.neutralization import (
    ExposureClipper,
    FeatureNeutralizer,
    NeutralizedRegressor,
    clip_exposure,
    neutralize,
)
from tests._reference import exposures, make_era

TRANSFORMERS = [
    FeatureNeutralizer(),
    FeatureNeutralizer(0.5, normalize="gaussian", scale="minmax"),
    FeatureNeutralizer(0.7, normalize="rank", scale="std"),
    ExposureClipper(0.05),
    ExposureClipper(0.05, bounds="shrink", normalize=None, scale=None),
]
ids = [repr(transformer) for transformer in TRANSFORMERS]


def _expected_failures(estimator):
    return {
        "check_methods_subset_invariance": "the rows of one era interact: a part is another era"
    }


# the checks of scikit-learn know no eras
@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.SingleEraWarning")
@parametrize_with_checks(
    [
        FeatureNeutralizer(feature_columns=slice(1, None)),
        ExposureClipper(feature_columns=slice(1, None)),
        NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5)),
        NeutralizedRegressor(Ridge(), ExposureClipper(0.3, on_infeasible="warn")),
    ],
    expected_failed_checks=_expected_failures,
)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.fixture
def tournament():
    """Predictions, features and eras of three eras in mixed order."""
    rng = np.random.default_rng(0)
    parts = [make_era(rng, n, 8) for n in (120, 90, 150)]
    predictions = np.concatenate([part[0] for part in parts])
    predictions = np.column_stack([predictions, rng.normal(size=360)])
    features = np.concatenate([part[1] for part in parts])
    eras = np.repeat(["0001", "0002", "0003"], [120, 90, 150])
    order = rng.permutation(360)
    return predictions[order], features[order], eras[order]


def _transform(transformer, predictions, features, eras):
    return clone(transformer).fit_transform(predictions, features=features, eras=eras)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=ids)
class TestEraInvariants:
    """What must hold for every transformer that works era by era."""

    def test_row_order(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        order = np.random.default_rng(1).permutation(len(eras))
        shuffled = _transform(transformer, predictions[order], features[order], eras[order])
        np.testing.assert_allclose(shuffled, expected[order], atol=1e-7)

    @pytest.mark.parametrize(
        "relabel",
        [
            lambda eras: eras.astype(int),
            lambda eras: pd.Series(eras).astype("category"),
            lambda eras: pd.to_datetime("2020-01-03") + pd.to_timedelta(eras.astype(int), "W"),
            lambda eras: pl.Series("era", eras),
            lambda eras: [("week", era) for era in eras],
            lambda eras: pd.Series(eras, index=np.arange(len(eras))[::-1]),
        ],
    )
    def test_labels(self, transformer, tournament, relabel):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        np.testing.assert_array_equal(
            _transform(transformer, predictions, features, relabel(eras)), expected
        )

    def test_other_eras_are_irrelevant(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        for era in np.unique(eras):
            rows = eras == era
            alone = _transform(transformer, predictions[rows], features[rows], eras[rows])
            np.testing.assert_allclose(alone, expected[rows], atol=1e-12)

    def test_one_era_is_no_era_is_a_scalar(self, transformer, tournament):
        predictions, features, eras = tournament
        rows = eras == "0002"
        results = [
            _transform(transformer, predictions[rows], features[rows], era)
            for era in (None, "X", 7, np.repeat("a", rows.sum()))
        ]
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])

    def test_n_jobs_is_irrelevant(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        parallel = clone(transformer).set_params(n_jobs=2)
        np.testing.assert_allclose(
            _transform(parallel, predictions, features, eras), expected, atol=1e-12
        )

    def test_float32_is_kept(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        single = _transform(transformer, predictions.astype(np.float32), features, eras)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, expected, atol=1e-4)

    def test_columns_do_not_interact(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        alone = _transform(transformer, predictions[:, [1]], features, eras)
        np.testing.assert_allclose(alone[:, 0], expected[:, 1], atol=1e-9)

    def test_containers(self, transformer, tournament, df_module):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        names = [f"feature_{j}" for j in range(8)]
        predicted = df_module.DataFrame({"p": predictions[:, 0], "q": predictions[:, 1]})
        table = df_module.DataFrame(dict(zip(names, features.T, strict=True)))
        result = _transform(transformer, predicted, table, eras)
        assert isinstance(result, np.ndarray)
        np.testing.assert_allclose(result, expected, atol=1e-12)

        mixed = df_module.DataFrame(
            {"p": predictions[:, 0]}
            | dict(zip(names, features.T, strict=True))
            | {"q": predictions[:, 1]}
        )
        as_frame = clone(transformer).set_output(transform=df_module.name)
        result = as_frame.fit_transform(mixed, eras=eras)
        assert isinstance(result, df_module.module.DataFrame)
        assert list(result.columns) == ["p", "q"]
        np.testing.assert_allclose(result.to_numpy(), expected, atol=1e-12)
        assert as_frame.get_feature_names_out().tolist() == ["p", "q"]
        assert as_frame.feature_names_ == names

    def test_pickle_clone_and_repr(self, transformer, tournament):
        predictions, features, eras = tournament
        fitted = clone(transformer).fit(predictions, features=features, eras=eras)
        expected = fitted.transform(predictions, features=features, eras=eras)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(
            again.transform(predictions, features=features, eras=eras), expected
        )
        assert type(transformer).__name__ in estimator_html_repr(fitted)

    def test_eras_given_at_fit_are_required(self, transformer, tournament):
        predictions, features, eras = tournament
        fitted = clone(transformer).fit(predictions, features=features, eras=eras)
        with pytest.raises(MissingErasError, match=r"transform\(X, eras=eras\)"):
            fitted.transform(predictions, features=features)
        live = clone(transformer).fit(predictions, features=features)
        live.transform(predictions, features=features, eras=eras)  # eras at transform alone

    def test_constant_prediction_is_nan_with_one_warning(self, transformer, tournament):
        predictions, features, eras = tournament
        predictions[eras == "0002", 1] = 0.1
        with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0002\)") as caught:
            result = _transform(transformer, predictions, features, eras)
        assert len(caught) == 1
        assert (np.isnan(result) == (np.c_[eras, eras] == ["", "0002"])).all()

    def test_memory_layout_is_irrelevant(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        other = _transform(
            transformer, np.asfortranarray(predictions), np.asfortranarray(features), eras
        )
        np.testing.assert_allclose(other, expected, atol=1e-9)

    def test_feature_dtype_is_irrelevant(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        for dtype in (np.float64, np.float32, np.int64):
            result = _transform(transformer, predictions, features.astype(dtype) / 1, eras)
            np.testing.assert_allclose(result, expected, atol=1e-8)


@pytest.mark.parametrize("transformer", [FeatureNeutralizer(), ExposureClipper()], ids=ids[::3])
class TestBadInput:
    """One sentence that names the argument, what was found and what to do."""

    def _fails(self, transformer, match, X, features=None, eras=None, error=ValueError):
        with pytest.raises(error, match=match):
            clone(transformer).fit_transform(X, features=features, eras=eras)

    def test_nan_prediction(self, transformer, tournament):
        predictions, features, eras = tournament
        predictions[17, 1] = np.nan
        predictions[[200, 300], 0] = np.inf
        self._fails(
            transformer,
            rf"X contains 1 NaN and 2 infinite \(inf\) of 720 values, first at row 17, "
            rf"era {eras[17]}",
            predictions,
            features,
            eras,
        )

    def test_nan_feature(self, transformer, tournament):
        predictions, features, eras = tournament
        table = pd.DataFrame(features, dtype=float).add_prefix("f")
        table.iloc[17, 3] = np.nan
        match = rf"In era {eras[17]}: features contains 1 NaN .* first at row 17 of column 'f3'"
        self._fails(transformer, match, predictions, table, eras)

    def test_nullable_integer_with_missing_value(self, transformer, tournament):
        predictions, features, _ = tournament
        table = pd.DataFrame(features).add_prefix("f").astype("Int8")
        expected = clone(transformer).fit_transform(predictions, features=features)
        np.testing.assert_allclose(
            clone(transformer).fit_transform(predictions, features=table), expected
        )
        table.iloc[3, 0] = pd.NA
        self._fails(transformer, "features contains 1 NaN", predictions, table)

    def test_lengths(self, transformer, tournament):
        predictions, features, eras = tournament
        self._fails(transformer, "features has 359 rows and X has 360", predictions, features[1:])
        self._fails(
            transformer, "eras has 100 labels for 360 rows", predictions, features, eras[:100]
        )

    def test_missing_label(self, transformer, tournament):
        predictions, features, eras = tournament
        labels = pd.Series(eras).where(np.arange(360) != 5)
        self._fails(
            transformer, "1 of 360 eras are missing, first at row 5", predictions, features, labels
        )

    def test_eras_of_two_dimensions(self, transformer, tournament):
        predictions, features, eras = tournament
        self._fails(transformer, "one-dimensional", predictions, features, eras[:, None])

    def test_array_without_named_features(self, transformer, tournament):
        predictions, _, _ = tournament
        self._fails(transformer, r"give feature_columns as .* or pass features=\.\.\.", predictions)

    def test_frame_without_features(self, transformer, tournament):
        predictions, _, _ = tournament
        frame = pd.DataFrame(predictions, columns=["p", "q"])
        self._fails(transformer, r"selects no column of X .*'p', 'q'", frame)

    def test_frame_without_predictions(self, transformer, tournament):
        _, features, _ = tournament
        frame = pd.DataFrame(features).add_prefix("feature_")
        self._fails(transformer, "none is a prediction", frame)

    def test_text_column(self, transformer, tournament, df_module):
        predictions, features, eras = tournament
        frame = df_module.DataFrame(
            {"p": predictions[:, 0], "era": list(eras), "feature_a": features[:, 0]}
        )
        self._fails(transformer, "Column 'era' of X is not numeric", frame)

    def test_indexes(self, transformer, tournament):
        predictions, features, _ = tournament
        frame = pd.DataFrame(predictions, columns=["p", "q"])
        table = pd.DataFrame(features).add_prefix("f")
        expected = clone(transformer).fit_transform(frame, features=table)
        disjoint = table.set_index(pd.Index([f"n{i}" for i in range(360)]))
        np.testing.assert_array_equal(
            clone(transformer).fit_transform(frame, features=disjoint), expected
        )
        self._fails(transformer, "share 360 of 360 labels", frame, table.iloc[::-1])
        self._fails(
            transformer, "share 359 of 360 labels", frame, table.set_index(np.arange(1, 361))
        )

    def test_other_features_at_transform(self, transformer, tournament):
        predictions, features, _ = tournament
        table = pd.DataFrame(features).add_prefix("f")
        fitted = clone(transformer).fit(predictions, features=table)
        for other, match in [
            (table.iloc[:, ::-1], "in another order"),
            (table.rename(columns={"f3": "g"}), r"missing: \['f3'\], new: \['g'\]"),
            (table.iloc[:, 1:], r"7 in number \(missing: \['f0'\]"),
        ]:
            with pytest.raises(ValueError, match=match):
                fitted.transform(predictions, features=other)

    def test_unknown_feature_column(self, transformer, tournament):
        predictions, features, _ = tournament
        chosen = clone(transformer).set_params(feature_columns=["f1", "f99"])
        table = pd.DataFrame(features).add_prefix("f")
        self._fails(chosen, "names 'f99', which features with its 8 columns", predictions, table)
        chosen = clone(transformer).set_params(feature_columns=["f1", "f1"])
        self._fails(chosen, "names a column twice", predictions, table)

    def test_bad_parameters(self, transformer, tournament):
        predictions, features, _ = tournament
        for name, value in [("normalize", "ranks"), ("scale", "max"), ("feature_columns", 1.5)]:
            bad = clone(transformer).set_params(**{name: value})
            self._fails(bad, f"The '{name}' parameter", predictions, features)

    def test_empty(self, transformer, tournament):
        predictions, features, eras = tournament
        self._fails(transformer, "0 sample", predictions[:0], features[:0], eras[:0])


@pytest.mark.parametrize(
    ("feature_columns", "expected"),
    [
        (None, ["feature_a", "feature_b"]),
        (["feature_b"], ["feature_b"]),
        ("_b$", ["feature_b"]),
        (lambda names: [name for name in names if name.endswith("a")], ["feature_a"]),
        ([0, -1], ["feature_a", "feature_b"]),
        (slice(0, 1), ["feature_a"]),
        ([True, False, True], ["feature_a", "feature_b"]),
    ],
)
def test_feature_columns(feature_columns, expected, df_module):
    rng = np.random.default_rng(0)
    frame = df_module.DataFrame(
        {
            "feature_a": rng.integers(0, 5, 50),
            "prediction": rng.normal(size=50),
            "feature_b": rng.integers(0, 5, 50),
        }
    )
    fitted = FeatureNeutralizer(
        feature_columns=feature_columns, prediction_columns=["prediction"]
    ).fit(frame)
    assert fitted.feature_names_ == expected
    assert fitted.prediction_columns_ == [1]


def test_normalize_and_scale():
    prediction, features = make_era(np.random.default_rng(0))
    prediction = prediction.round(1)  # ties
    scaled = neutralize(prediction, features, normalize="gaussian", scale="minmax")
    assert (scaled.min(), scaled.max()) == (0.0, 1.0)
    by_std = neutralize(prediction, features, normalize="rank", scale="std")
    assert by_std.std() == pytest.approx(1.0)
    # neutral is neutral, whatever the scale
    assert np.abs(exposures(scaled, features)).max() < 1e-10
    # any increasing change of the predictions is undone by ranking; ties stay ties
    for normalize in ("rank", "gaussian"):
        np.testing.assert_allclose(
            neutralize(np.exp(prediction), features, normalize=normalize),
            neutralize(prediction, features, normalize=normalize),
            atol=1e-12,
        )
    untouched = neutralize(prediction, features, proportion=0.0, normalize="rank")
    assert np.unique(untouched).size == np.unique(prediction).size


class TestFunctions:
    def test_keep_the_container(self, df_module):
        prediction, features = make_era(np.random.default_rng(0))
        expected = clip_exposure(prediction, features, 0.05)
        series = df_module.Series(prediction, name="mine")
        result = clip_exposure(series, features, 0.05)
        assert isinstance(result, type(series))
        assert result.name == "mine"
        np.testing.assert_allclose(result.to_numpy(), expected)
        frame = df_module.DataFrame({"a": prediction, "b": prediction**3})
        result = neutralize(frame, df_module.DataFrame({"f": features[:, 0]}))
        assert isinstance(result, type(frame))
        assert list(result.columns) == ["a", "b"]

    def test_keep_the_pandas_index(self):
        prediction, features = make_era(np.random.default_rng(0), 50, 3)
        index = pd.Index([f"n{i}" for i in range(50)], name="id")
        series = pd.Series(prediction, index=index, name="mine")
        table = pd.DataFrame(features, index=index)
        pd.testing.assert_index_equal(neutralize(series, table).index, index)
        assert neutralize(series, table).name == "mine"
        pd.testing.assert_index_equal(clip_exposure(series.to_frame(), table).index, index)
        several = neutralize(series, table, proportion=[0.5, 1])
        assert list(several) == ["mine_0.5", "mine_1"]

    def test_columns_of_arrays_are_numbered(self):
        prediction, features = make_era(np.random.default_rng(0), 50, 3)
        assert neutralize(prediction, features, proportion=[0.5, 1]).shape == (50, 2)
        assert neutralize(prediction, features).shape == (50,)
        assert neutralize(prediction[:, None], features).shape == (50, 1)
        assert neutralize(prediction.tolist(), features.tolist()).shape == (50,)

    def test_equal_the_transformers(self, tournament):
        predictions, features, eras = tournament
        for function, transformer in [
            (neutralize, FeatureNeutralizer()),
            (clip_exposure, ExposureClipper(normalize=None, scale=None)),
        ]:
            np.testing.assert_array_equal(
                function(predictions, features, eras=eras),
                transformer.fit_transform(predictions, features=features, eras=eras),
            )

    @pytest.mark.parametrize(
        ("call", "match"),
        [
            (lambda p, f: neutralize(p, f, proportion=1.5), "'proportion' parameter"),
            (lambda p, f: neutralize(p, f, proportion=[0.5, 2]), r"numbers in \[0, 1\]"),
            (lambda p, f: neutralize(p, f, normalize="x"), "'normalize' parameter"),
            (lambda p, f: clip_exposure(p, f, -0.1), "'max_exposure' parameter"),
            (lambda p, f: clip_exposure(p, f, [0.1, 0.2]), r"shape \(2,\) for 3 features"),
            (lambda p, f: clip_exposure(p, f, [0.1, np.nan, 0.1]), "holds nan"),
            (lambda p, f: clip_exposure(p, f, {"g": 0.1}), "neither one of the 3 features"),
            (lambda p, f: clip_exposure(p, f, {0: "big"}), "must be a number"),
            (
                lambda p, f: clip_exposure(p, f, {"g": 0.1}, feature_groups={"g": ["zz"]}),
                "not among the 3 features",
            ),
            (lambda p, f: clip_exposure(p, f, bounds="both"), "'bounds' parameter"),
            (lambda p, f: clip_exposure(p, f, tol=0), "'tol' parameter"),
            (lambda p, f: neutralize(p[None, :, None], f), "two-dimensional"),
            (lambda p, f: neutralize(p, f.astype(str)), "must hold real numbers"),
        ],
    )
    def test_bad_arguments(self, call, match):
        prediction, features = make_era(np.random.default_rng(0), 50, 3)
        with pytest.raises(ValueError, match=match):
            call(prediction, features)


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


@pytest.mark.parametrize("unit", [1, 0.25])
def test_records(unit):
    prediction, features = make_era(np.random.default_rng(0), 200, 5)
    features = features * unit
    table = pd.DataFrame(features).add_prefix("f")
    frame = pd.DataFrame({"p": prediction, "q": -(prediction**3)})
    eras = np.repeat([2, 1], 100)
    clipped, info = clip_exposure(
        frame, table, 0.05, eras=eras, normalize="gaussian", return_info=True
    )
    assert [(record.era, record.prediction) for record in info] == [
        (2, "p"),
        (2, "q"),
        (1, "p"),
        (1, "q"),
    ]
    for record in info:
        rows = eras == record.era
        normalized = neutralize(
            frame[record.prediction][rows], features[rows], proportion=0, normalize="gaussian"
        ).to_numpy()
        centred = features[rows] - features[rows].mean(axis=0)
        np.testing.assert_allclose(
            clipped[record.prediction][rows], normalized - centred @ record.weights, atol=1e-9
        )
        np.testing.assert_allclose(
            record.exposures_before, exposures(normalized, features[rows]), atol=1e-9
        )
    table = pd.DataFrame(map(vars, info))
    assert (table[["violation", "gap"]] <= 1e-9).all(axis=None)


class TestPipelines:
    """Eras and features through scikit-learn's metadata routing."""

    def test_pipeline_routes_eras(self, tournament):
        predictions, features, eras = tournament
        sklearn.set_config(enable_metadata_routing=True)
        pipeline = make_pipeline(
            ExposureClipper(0.05, normalize=None, scale=None), FeatureNeutralizer(0.5)
        )
        result = pipeline.fit_transform(predictions, features=features, eras=eras)
        np.testing.assert_allclose(
            result,
            neutralize(
                clip_exposure(predictions, features, 0.05, eras=eras),
                features,
                proportion=0.5,
                eras=eras,
            ),
        )
        with pytest.raises(MissingErasError, match="set_config"):
            pipeline.transform(predictions, features=features)

    def test_verbose_shows_progress(self, tournament, capsys):
        predictions, features, eras = tournament
        FeatureNeutralizer(verbose=True).fit_transform(predictions, features=features, eras=eras)
        assert re.search(r"3/3 .*era", capsys.readouterr().err)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
def test_rank_columns(dtype):
    from scipy.stats import rankdata

    from sknumerai._kernels.ranks import rank_columns

    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 300):
        values = rng.integers(0, n + 1, (n, 4)).astype(dtype)
        values[:, 1] = 3
        np.testing.assert_array_equal(rank_columns(values), rankdata(values, axis=0))
        np.testing.assert_array_equal(
            rank_columns(np.asfortranarray(values)), rankdata(values, axis=0)
        )


@pytest.mark.parametrize("n", [2**15 - 1, 2**15, 2**15 + 1, 70_000])
@pytest.mark.parametrize("kind", ["distinct", "ties", "constant", "zeros of both signs"])
def test_ranks_of_many_rows(n, kind):
    """Twice a rank outgrows 16 bits above 2**15 rows."""
    from scipy.stats import rankdata

    from sknumerai._kernels.ranks import half_ranks, rank_columns

    rng = np.random.default_rng(n)
    values = {
        "distinct": lambda: rng.permutation(n) / n,
        "ties": lambda: rng.integers(0, 7, n).astype(np.float32),
        "constant": lambda: np.ones(n, dtype=np.int8),
        "zeros of both signs": lambda: rng.choice([-1.0, -0.0, 0.0, 1.0], n),
    }[kind]()
    ranks = half_ranks(values[None])
    assert ranks.dtype.kind == "u"
    assert ranks.dtype.itemsize == (2 if n <= 2**15 else 4)
    np.testing.assert_array_equal(ranks[0] / 2.0 + 1.0, rankdata(values))
    np.testing.assert_array_equal(rank_columns(values[:, None])[:, 0], rankdata(values))


def test_half_ranks_of_tied_and_distinct_rows_together():
    """Rows without ties take a shorter path, next to rows with them."""
    from scipy.stats import rankdata

    from sknumerai._kernels.ranks import half_ranks

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 50))
    rows[1] = rng.integers(0, 4, 50)
    rows[3, [0, 49]] = rows[3].max() + 1.0  # ties at the end
    rows[4, [7, 8]] = rows[4].min() - 1.0  # and at the start
    ranks = half_ranks(rows)
    np.testing.assert_array_equal(ranks / 2.0 + 1.0, rankdata(rows, axis=1))
    np.testing.assert_array_equal(np.sort(ranks[0]), 2 * np.arange(50))


def test_warnings_point_at_the_caller():
    """However deep the layers of this package and of scikit-learn's validation are."""
    _, features = make_era(np.random.default_rng(0), 30, 3)
    for call in (
        lambda: neutralize(np.ones(30), features),
        lambda: clip_exposure(np.ones(30), features),
        lambda: (
            FeatureNeutralizer()
            .set_output(transform="pandas")
            .fit_transform(pd.DataFrame({"p": np.ones(30)}), features=features)
        ),
    ):
        with pytest.warns(ConstantPredictionWarning) as caught:
            call()
        assert caught[0].filename == __file__
