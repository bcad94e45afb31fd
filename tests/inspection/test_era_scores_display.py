from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from sknumerai.inspection import EraScoresDisplay
from sknumerai.metrics import feature_neutral_corr, numerai_corr
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor


def x_labels(display):
    display.figure_.canvas.draw()
    return [text.get_text() for text in display.ax_.get_xticklabels()]


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


@pytest.fixture
def scores(tournament, predictions):
    return numerai_corr(tournament.target, predictions, eras=tournament.eras, aggregate=None)


def test_cumulative_lines_start_at_zero(tournament, predictions, scores):
    display = EraScoresDisplay.from_predictions(
        tournament.target, predictions, eras=tournament.eras
    )
    assert len(display.lines_) == len(display.drawdowns_) == 2
    assert display.bars_ == []
    for line, name in zip(display.lines_, predictions, strict=True):
        np.testing.assert_allclose(line.get_ydata(), np.r_[0.0, np.cumsum(scores[name])])
        assert line.get_xdata().tolist() == list(range(-1, 40))
    assert display.ax_.get_ylabel() == "cumulative numerai_corr"
    assert display.ax_.get_xlabel() == "era"
    mean = scores["meta_model"].mean()
    sharpe = mean / scores["meta_model"].std(ddof=0)
    assert legend(display)[1] == f"meta_model (mean {mean:.4f}, Sharpe {sharpe:.2f})"


def test_the_shade_lies_between_the_line_and_its_peak():
    display = EraScoresDisplay.from_scores(pd.Series([0.1, -0.3, 0.1], ["1", "2", "3"]))
    (area,) = display.drawdowns_
    heights = area.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(0.1)
    assert heights.min() == pytest.approx(-0.2)
    assert EraScoresDisplay(display.scores).plot(drawdown=False).drawdowns_ == []


def test_bars_are_the_scores(tournament, predictions, scores):
    display = EraScoresDisplay.from_predictions(
        tournament.target, predictions, eras=tournament.eras, kind="bar"
    )
    assert display.lines_ == display.drawdowns_ == []
    for bars, name in zip(display.bars_, predictions, strict=True):
        np.testing.assert_allclose([bar.get_height() for bar in bars], scores[name])
    centres = np.mean([[bar.get_x() + bar.get_width() / 2 for bar in b] for b in display.bars_], 0)
    np.testing.assert_allclose(centres, np.arange(40), atol=1e-12)
    assert display.ax_.get_ylabel() == "numerai_corr"


@pytest.mark.parametrize("kind", ["cumulative", "bar"])
@pytest.mark.parametrize(
    "labels",
    [
        [f"{i:04d}" for i in range(574)],
        list(pd.date_range("2013-01-04", periods=500, freq="W-FRI")),
        [f"era{i}" for i in range(30)],
        list(range(1, 7)),
        [7],
    ],
)
def test_era_labels_do_not_overlap(kind, labels):
    scores = pd.Series(np.linspace(-0.01, 0.03, len(labels)), labels)
    display = EraScoresDisplay.from_scores(scores, kind=kind)
    texts = x_labels(display)
    assert texts[0] == str(labels[0]).removesuffix(" 00:00:00")
    boxes = [text.get_window_extent() for text in display.ax_.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    if len(labels) <= 6:
        assert texts == [str(label) for label in labels]


def test_small_axes_of_the_caller(pyplot, scores):
    _, axes = pyplot.subplots(1, 3)
    display = EraScoresDisplay.from_scores(scores, ax=axes[1], kind="bar", alpha=0.5)
    assert display.ax_ is axes[1]
    assert display.figure_ is axes[1].figure
    assert display.bars_[0][0].get_alpha() == 0.5
    display.figure_.canvas.draw()
    boxes = [text.get_window_extent() for text in display.ax_.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_names_in_the_legend(tournament, predictions):
    given = {"eras": tournament.eras}
    series = EraScoresDisplay.from_predictions(
        tournament.target, predictions["meta_model"], **given
    )
    assert legend(series)[0].startswith("meta_model (mean")
    array = EraScoresDisplay.from_predictions(
        tournament.target, predictions["meta_model"].to_numpy(), **given
    )
    assert legend(array)[0].startswith("mean ")
    named = EraScoresDisplay.from_predictions(
        tournament.target, predictions["meta_model"], name="mine", **given
    )
    assert legend(named)[0].startswith("mine (mean")


def test_an_estimator_gets_eras_and_features(tournament):
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5))
    model.fit(tournament.data, tournament.target, eras=tournament.eras)
    display = EraScoresDisplay.from_estimator(
        model, tournament.data, tournament.target, eras=tournament.eras, metric="fnc"
    )
    expected = feature_neutral_corr(
        tournament.target,
        model.predict(tournament.data, eras=tournament.eras),
        features=tournament.data,
        eras=tournament.eras,
        aggregate=None,
    )
    np.testing.assert_allclose(display.scores.iloc[:, 0], expected)
    assert legend(display)[0].startswith("NeutralizedRegressor (mean")
    assert display.ax_.get_ylabel() == "cumulative fnc"


def test_metrics_may_be_functions(tournament, predictions):
    display = EraScoresDisplay.from_predictions(
        tournament.target, predictions, eras=tournament.eras, metric=numerai_corr
    )
    assert display.metric_name == "numerai_corr"


def test_a_line_ends_before_a_missing_score():
    display = EraScoresDisplay.from_scores(pd.Series([0.1, np.nan, 0.1], [1, 2, 3]))
    assert np.isnan(display.lines_[0].get_ydata()).tolist() == [False, False, True, True]
    display.figure_.canvas.draw()


def test_errors(scores):
    with pytest.raises(ValueError, match=r"must be a Series or DataFrame indexed by era"):
        EraScoresDisplay.from_scores([0.1, 0.2])
    with pytest.raises(ValueError, match=r"nothing to plot"):
        EraScoresDisplay.from_scores(pd.Series([], dtype=float))
    with pytest.raises(ValueError, match=r"'kind' parameter"):
        EraScoresDisplay.from_scores(scores, kind="pie")
