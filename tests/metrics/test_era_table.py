import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError
from sknumerai.metrics import (
    corr_with,
    era_table,
    exposure_dissimilarity,
    feature_neutral_corr,
    max_feature_exposure,
    meta_model_contribution,
    neutral_corr,
    numerai_corr,
    score_summary,
)
from tests.metrics._tournament import make_table


@pytest.fixture(scope="module")
def table():
    return make_table(n_eras=3)


def everything(table):
    return {
        "eras": table.eras,
        "features": table.features,
        "meta_model": table.meta_model,
        "benchmark": table.example,
        "example_predictions": table.example,
    }


def test_every_column_is_its_metric(table):
    y, p, given = table.target, table.predictions, everything(table)
    scores = era_table(y, p, **given)
    f, m, e = table.features, table.meta_model, table.example
    options = {"eras": table.eras, "aggregate": None}
    expected = {
        "numerai_corr": numerai_corr(y, p, **options),
        "fnc": feature_neutral_corr(y, p, features=f, **options),
        "mmc": meta_model_contribution(y, p, meta_model=m, **options),
        "bmc": meta_model_contribution(y, p, meta_model=e, **options),
        "cwmm": corr_with(p, m, **options),
        "max_exposure": max_feature_exposure(p, features=f, **options),
        "exposure_dissimilarity": exposure_dissimilarity(
            p, example_predictions=e, features=f, **options
        ),
    }
    assert scores.columns.names == ["prediction", "metric"]
    assert scores.columns.tolist() == [(name, metric) for name in p for metric in expected]
    for metric, values in expected.items():
        pd.testing.assert_frame_equal(
            scores.xs(metric, axis=1, level="metric"), values, check_names=False
        )
    assert score_summary(scores).shape == (21, 9)


def test_one_prediction_has_one_level(table):
    one = era_table(table.target, table.predictions["model_1"], **everything(table))
    both = era_table(table.target, table.predictions, **everything(table))
    pd.testing.assert_frame_equal(one, both["model_1"], check_names=False, atol=1e-12)
    assert one.index.tolist() == ["0001", "0002", "0003"]
    assert one.index.name == "era"


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        (["target"], ["numerai_corr"]),
        (["target", "features"], ["numerai_corr", "fnc", "max_exposure"]),
        (["meta_model"], ["cwmm"]),
        (["features"], ["max_exposure"]),
    ],
)
def test_default_metrics_are_those_that_can_be_computed(table, given, columns):
    target = table.target if "target" in given else None
    options = {name: getattr(table, name) for name in given if name != "target"}
    scores = era_table(target, table.predictions["model_0"], eras=table.eras, **options)
    assert scores.columns.tolist() == columns


def sign_corr(y_true, y_pred, *, eras):
    return numerai_corr(np.sign(y_true - 0.5), y_pred, eras=eras, aggregate=None)


def test_metrics_by_name_and_function(table):
    one = table.predictions["model_0"]
    metrics = {"CORR": "numerai_corr", "neutral": neutral_corr, "sign": sign_corr}
    scores = era_table(table.target, one, metrics=metrics, **everything(table))
    assert scores.columns.tolist() == list(metrics)
    expected = neutral_corr(
        table.target, one, features=table.features, eras=table.eras, aggregate=None
    )
    pd.testing.assert_series_equal(scores["neutral"], expected, check_names=False)
    scores = era_table(table.target, one, eras=table.eras, metrics=["numerai_corr", sign_corr])
    assert scores.columns.tolist() == ["numerai_corr", "sign_corr"]


def test_one_warning_for_all_metrics(table):
    constant = table.predictions["model_0"].mask(table.eras == "0002", 0.5)
    with pytest.warns(ConstantPredictionWarning, match=r"In 1 era \(0002\)") as caught:
        scores = era_table(table.target, constant, **everything(table))
    assert len(caught) == 1
    assert scores.loc["0002"].isna().all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"eras": None}, MissingErasError, r"eras is None"),
        (
            {"metrics": ["sharpness"]},
            ValueError,
            r"'sharpness'; known are numerai_corr, numerai_corr_tb200, fnc",
        ),
        ({"metrics": ["fnc"]}, ValueError, r"'fnc' needs features; pass features="),
        ({"metrics": "fnc"}, ValueError, r"pass \['fnc'\]"),
        ({"metrics": []}, ValueError, r"metrics is empty"),
        ({"metrics": [lambda y_true, y_pred: 0]}, ValueError, r"has no argument eras"),
    ],
)
def test_errors(table, options, error, message):
    with pytest.raises(error, match=message):
        era_table(table.target, table.predictions, **{"eras": table.eras} | options)


def test_nothing_to_compute_is_an_error(table):
    with pytest.raises(ValueError, match=r"No score can be computed"):
        era_table(None, table.predictions, eras=table.eras)
