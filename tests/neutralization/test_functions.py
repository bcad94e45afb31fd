"""`neutralize` and `clip_exposure` as functions: containers, scales, arguments and records."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, clip_exposure, neutralize
from tests._reference import exposures, make_era


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
