import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.inspection import ExposureFrontierDisplay
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import tune_exposure

PROPORTIONS, LIMITS = [1.0, 0.25, 0.5], [0.05, 0.15]
OPTIONS = {"proportions": PROPORTIONS, "limits": LIMITS}


def texts(artists):
    return [artist.get_text() for artist in artists]


def legend(display):
    return texts(display.ax_.get_legend().get_texts())


@pytest.fixture
def given(tournament):
    return {"features": tournament.data, "eras": tournament.eras}


@pytest.fixture
def table(tournament, given):
    cv = PurgedEraKFold(3, purge=0)
    predictions, target = tournament.example_predictions, tournament.target
    return tune_exposure(predictions, target, cv=cv, **given, **OPTIONS)


@pytest.mark.parametrize("score", ["mean", "sharpe"])
@pytest.mark.parametrize("exposure", ["mean_exposure", "worst_exposure"])
def test_lines_lead_from_the_unchanged_prediction(table, score, exposure):
    display = ExposureFrontierDisplay.from_table(table, score=score, exposure=exposure)
    paths = {
        "proportion": ["none", "proportion 0.25", "proportion 0.5", "proportion 1.0"],
        "limit": ["none", "limit 0.15", "limit 0.05"],
    }
    assert display.lines_.keys() == paths.keys()
    for name, line in display.lines_.items():
        expected = table.loc[paths[name], [exposure, score]]
        np.testing.assert_array_equal(line.get_xydata(), expected)
    assert texts(display.labels_) == ["25%", "50%", "100%", "0.15", "0.05"]
    for marker, row in ((display.unchanged_, "none"), (display.selected_, "selected")):
        np.testing.assert_array_equal(marker.get_xydata()[0], table.loc[row, [exposure, score]])
    names = ["neutralized by a share", "clipped at a limit", "unchanged", "selected on other eras"]
    assert legend(display) == names
    assert "numerai_corr" in display.ax_.get_ylabel()
    assert ("worst era" in display.ax_.get_xlabel()) == (exposure == "worst_exposure")


def test_labels_are_in_the_figure_and_beside_their_points(table):
    display = ExposureFrontierDisplay.from_table(table)
    display.figure_.canvas.draw()
    for label in display.labels_:
        box = label.get_window_extent()
        corner = (box.x0, box.y1) if label.get_ha() == "left" else (box.x1, box.y0)
        assert np.linalg.norm(display.ax_.transData.transform(label.xy) - corner) < 12  # pixels
        assert display.figure_.bbox.contains(box.x0, box.y0)
        assert display.figure_.bbox.contains(box.x1, box.y1)


def test_from_predictions(tournament, given, pyplot):
    _, ax = pyplot.subplots()
    display = ExposureFrontierDisplay.from_predictions(
        tournament.target,
        tournament.example_predictions,
        metric="mmc",
        meta_model=tournament.meta_model,
        score="sharpe",
        cv=PurgedEraKFold(2),
        ax=ax,
        linewidth=3,
        **given,
        **OPTIONS,
    )
    expected = tune_exposure(
        tournament.example_predictions,
        tournament.target,
        scoring="mmc",
        meta_model=tournament.meta_model,
        aggregate="sharpe",
        cv=PurgedEraKFold(2),
        **given,
        **OPTIONS,
    )
    pd.testing.assert_frame_equal(display.table, expected)
    assert display.ax_ is ax
    assert display.lines_["limit"].get_linewidth() == 3
    assert display.ax_.get_ylabel() == "Sharpe ratio of mmc"


def test_a_table_of_one_kind(table):
    only = ExposureFrontierDisplay.from_table(table.loc[["none", "limit 0.05"]])
    assert only.lines_.keys() == {"limit"}
    assert only.selected_ is None
    assert legend(only) == ["clipped at a limit", "unchanged"]
    assert only.plot(score="sharpe").ax_ is not None
    alone = ExposureFrontierDisplay.from_table(table.loc[["none"]])
    assert (alone.lines_, alone.labels_) == ({}, [])


def test_what_is_nan_is_left_out(tournament, given):
    few = tournament.data.index[:240]
    features = {f"feature_{j}": np.random.default_rng(j).normal(size=240) for j in range(70)}
    with pytest.warns(ConstantPredictionWarning, match="leaves nothing"):
        display = ExposureFrontierDisplay.from_predictions(
            tournament.target[:240],
            tournament.example_predictions[:240],
            features=pd.DataFrame(features, index=few),
            eras=tournament.eras[:240],
            proportions=[0.5, 1.0],
            limits=[],
        )
    assert texts(display.labels_) == ["50%"]
    display.figure_.canvas.draw()


def test_errors(table):
    for other, message in (
        (table.drop(columns="mean"), r"^table has no column 'mean'; pass what tune_exposure"),
        (table.drop(index="none"), r"^table has no row 'none'"),
    ):
        with pytest.raises(ValueError, match=message):
            ExposureFrontierDisplay.from_table(other)
    with pytest.raises(ValueError, match=r"'score' parameter"):
        ExposureFrontierDisplay.from_table(table, score="std")
