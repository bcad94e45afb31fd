from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.inspection import FeatureExposureDisplay
from sknumerai.metrics import feature_exposure


def y_labels(display):
    return [text.get_text() for text in display.ax_.get_yticklabels()]


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


@pytest.fixture
def exposures(tournament, predictions):
    return feature_exposure(predictions, features=tournament.data, eras=tournament.eras)


def test_bars_are_means_and_points_extremes_in_order(tournament, predictions, exposures):
    display = FeatureExposureDisplay.from_predictions(
        predictions, tournament.data, eras=tournament.eras, max_features=12
    )
    largest = exposures.abs().max().unstack("prediction").max(axis=1)
    features = largest.sort_values(ascending=False, kind="stable").index[:12]
    assert y_labels(display) == features.tolist()
    for j, name in enumerate(predictions):
        own = exposures[name][features]
        widths = [bar.get_width() for bar in display.bars_[j]]
        np.testing.assert_allclose(widths, own.mean(), atol=1e-12)
        found = display.points_[j].get_xdata()
        np.testing.assert_allclose(np.abs(found), own.abs().max(), atol=1e-12)
        assert all(value in own[f].to_numpy() for value, f in zip(found, features, strict=True))
    assert display.ax_.get_ylabel() == "feature (largest 12 of 30)"
    assert legend(display) == [
        "example_predictions: mean over eras",
        "meta_model: mean over eras",
        "largest in any era",
    ]


def test_limits_and_all_features(tournament, predictions):
    display = FeatureExposureDisplay.from_predictions(
        predictions["meta_model"],
        tournament.data,
        eras=tournament.eras,
        limit=0.1,
        max_features=None,
    )
    assert [line.get_xdata()[0] for line in display.limit_lines_] == [-0.1, 0.1]
    assert len(y_labels(display)) == 30
    assert display.ax_.get_ylabel() == ""
    assert legend(display) == ["meta_model: mean over eras", "largest in any era", "limit"]
    assert display.plot().limit_lines_ == []


@pytest.mark.parametrize("n_features", [5, 20, None])
def test_labels_do_not_overlap_nor_leave_the_figure(tournament, predictions, n_features):
    display = FeatureExposureDisplay.from_predictions(
        predictions, tournament.data, eras=tournament.eras, limit=0.1, max_features=n_features
    )
    display.figure_.canvas.draw()
    boxes = [text.get_window_extent() for text in display.ax_.get_yticklabels()]
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    frame = display.ax_.get_legend().get_window_extent()
    assert frame.y0 >= display.ax_.get_window_extent().y1 - 1  # above the bars
    assert frame.y1 <= display.figure_.bbox.y1


def test_arrays_have_positions_for_names(tournament, predictions, pyplot):
    _, ax = pyplot.subplots()
    display = FeatureExposureDisplay.from_predictions(
        predictions["meta_model"].to_numpy(), tournament.data.to_numpy(), ax=ax, color="red"
    )
    assert display.ax_ is ax
    assert set(y_labels(display)) <= {str(j) for j in range(30)}
    assert legend(display) == ["mean over eras", "largest in any era"]
    assert display.points_[0].get_color() == (1.0, 0.0, 0.0)


def test_an_estimator_is_named(tournament):
    model = Ridge().fit(tournament.data, tournament.target)
    display = FeatureExposureDisplay.from_estimator(model, tournament.data, eras=tournament.eras)
    assert legend(display)[0] == "Ridge: mean over eras"
    expected = feature_exposure(
        model.predict(tournament.data), features=tournament.data, eras=tournament.eras
    )
    np.testing.assert_allclose(display.mean.iloc[:, 0], expected.mean())


def test_eras_of_a_constant_prediction_are_left_out(tournament, predictions, exposures):
    values = predictions.copy()
    values.loc[tournament.eras == "0003", "meta_model"] = 0.5
    with pytest.warns(ConstantPredictionWarning, match=r"0003"):
        display = FeatureExposureDisplay.from_predictions(
            values, tournament.data, eras=tournament.eras
        )
    expected = exposures["meta_model"].drop(index="0003").mean()
    np.testing.assert_allclose(display.mean["meta_model"], expected)
    with pytest.warns(ConstantPredictionWarning):
        display = FeatureExposureDisplay.from_predictions(
            values.assign(meta_model=0.5), tournament.data, eras=tournament.eras
        )
    assert display.mean["meta_model"].isna().all()
    assert display.mean["example_predictions"].notna().all()


def test_errors(tournament, predictions):
    with pytest.raises(ValueError, match=r"'limit' parameter"):
        FeatureExposureDisplay.from_predictions(predictions, tournament.data, limit=-0.1)
    with pytest.raises(ValueError, match=r"'max_features' parameter"):
        FeatureExposureDisplay.from_predictions(predictions, tournament.data, max_features=0)
