"""Eras without a target, or without a meta model, are left out where that is asked for."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_validate

from sknumerai.datasets import make_tournament
from sknumerai.exceptions import UnscoredErasWarning
from sknumerai.inspection import EraScoresDisplay
from sknumerai.metrics import (
    corr_with,
    era_table,
    feature_neutral_corr,
    get_era_scorer,
    meta_model_contribution,
    neutral_contribution,
    neutral_corr,
    numerai_corr,
    score_summary,
)
from sknumerai.model_selection import PurgedEraKFold

LATEST, EARLIEST = ["0007", "0008"], ["0001", "0002", "0003"]


@pytest.fixture(scope="module")
def data():
    data = make_tournament(8, 50, 5, random_state=0)
    y, meta_model = data.target.copy(), data.meta_model.copy()
    y[data.eras.isin(LATEST)] = np.nan
    meta_model[data.eras.isin(EARLIEST)] = np.nan
    data.update(y=y, meta=meta_model)
    return data


def test_targets(data):
    known = ~data.eras.isin(LATEST)
    for score, tables in (
        (numerai_corr, {}),
        (feature_neutral_corr, {"features": data.data}),
        (neutral_corr, {"features": data.data}),
        (meta_model_contribution, {"meta_model": data.meta_model}),
        (neutral_contribution, {"meta_model": data.meta_model, "features": data.data}),
    ):
        prediction = data.example_predictions
        with pytest.warns(UnscoredErasWarning, match=r"In 2 eras \(0007, 0008\) no row has a targ"):
            found = score(
                data.y, prediction, eras=data.eras, aggregate=None, missing="skip", **tables
            )
        part = {name: table[known] for name, table in tables.items()}
        expected = score(
            data.y[known], prediction[known], eras=data.eras[known], aggregate=None, **part
        )
        pd.testing.assert_series_equal(found, expected)
        with pytest.raises(ValueError, match="50 of 50 targets are missing"):
            score(data.y, prediction, eras=data.eras, **tables)


def test_meta_model(data):
    known = ~data.eras.isin(EARLIEST)
    options = {"eras": data.eras, "aggregate": None, "missing": "skip"}
    message = r"In 3 eras \(0001, 0002, 0003\) more than 20% of the rows have no other"
    with pytest.warns(UnscoredErasWarning, match=message):
        found = corr_with(data.example_predictions, data.meta, **options)
    expected = corr_with(
        data.example_predictions[known], data.meta[known], eras=data.eras[known], aggregate=None
    )
    pd.testing.assert_series_equal(found, expected)
    with pytest.raises(ValueError, match="In era 0001: meta_model contains 50 NaN of 50"):
        meta_model_contribution(
            data.target, data.example_predictions, meta_model=data.meta, eras=data.eras
        )


@pytest.mark.parametrize(("n_missing", "scored"), [(1, True), (10, True), (11, False)])
def test_a_fifth_of_an_era_may_lack_the_meta_model(data, n_missing, scored):
    first = data.eras == "0001"
    target, prediction = data.target[first], data.example_predictions[first]
    meta_model = data.meta_model[first].copy()
    meta_model.iloc[:n_missing] = np.nan
    call = {"meta_model": meta_model, "eras": "0001", "missing": "skip"}
    if not scored:
        with (
            pytest.warns(UnscoredErasWarning, match="In 1 era"),
            pytest.raises(ValueError, match="None of the 1 eras can be scored: in all of them mor"),
        ):
            meta_model_contribution(target, prediction, **call)
        return
    rest = slice(n_missing, None)
    expected = meta_model_contribution(
        target.iloc[rest], prediction.iloc[rest], meta_model=meta_model.iloc[rest], eras="0001"
    )
    assert meta_model_contribution(target, prediction, **call) == expected


def test_a_partly_missing_era_is_an_error_in_any_case(data):
    y = data.target.copy()
    y.iloc[:11] = np.nan
    with pytest.raises(ValueError, match="In era 0001: 11 of 50 targets are missing"):
        numerai_corr(y, data.example_predictions, eras=data.eras, missing="skip")


def test_era_table(data):
    predictions = data.frame[["example_predictions"]].assign(other=data.nonlinear_part)
    tables = {"features": data.data, "meta_model": data.meta}
    with pytest.warns(UnscoredErasWarning) as caught:
        table = era_table(data.y, predictions, eras=data.eras, **tables)
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2  # once for all metrics
    assert "no row has a target" in texts[0]
    assert "have no meta_model" in texts[1]
    assert table.index.tolist() == [f"000{era}" for era in range(1, 7)]
    missing = table.isna()
    for metric in ("mmc", "cwmm"):
        assert missing.xs(metric, axis=1, level="metric").loc["0001":"0003"].all(axis=None)
    assert missing.to_numpy().sum() == 2 * 2 * 3
    assert table.attrs == {
        "without_targets": LATEST,
        "without_meta_model": EARLIEST,
        "without_benchmark": [],
    }
    one = era_table(data.target, predictions["other"], eras=data.eras, metrics=["numerai_corr"])
    assert one.attrs["without_targets"] == []
    assert len(one) == 8


def test_summaries_and_pictures_of_eras_that_are_not_scored(data):
    tables = {"eras": data.eras, "metrics": ["numerai_corr", "mmc"]}
    with pytest.warns(UnscoredErasWarning):
        table = era_table(data.y, data.example_predictions, meta_model=data.meta, **tables)
    summary = score_summary(table)
    assert summary["n_eras"].tolist() == [6, 3]
    known = table.loc["0004":]
    known.attrs = {}
    pd.testing.assert_series_equal(summary.loc["mmc"], score_summary(known).loc["mmc"])
    assert summary.loc["numerai_corr", "payout"] == summary.loc["mmc", "payout"]
    assert score_summary(table["mmc"])["n_eras"] == 3
    table.attrs = {}
    assert np.isnan(score_summary(table).loc["mmc", "mean"])  # for another reason
    pytest.importorskip("matplotlib")
    display = EraScoresDisplay(table[["mmc"]]).plot()
    height = display.lines_[0].get_ydata()
    np.testing.assert_allclose(height, [0, 0, 0, 0, *known["mmc"].cumsum()])


def test_scorers(data):
    scorer = get_era_scorer("numerai_corr")
    model = Ridge().fit(data.data, data.target)
    known = ~data.eras.isin(LATEST)
    expected = scorer(model, data.data[known], data.y[known], eras=data.eras[known])
    with pytest.warns(UnscoredErasWarning, match="In 2 eras"):
        assert scorer(model, data.data, data.y, eras=data.eras) == expected
    with sklearn.config_context(enable_metadata_routing=True):
        cv = PurgedEraKFold(2, horizon=5)
        scores = cross_validate(
            Ridge(), data.data, data.y, scoring=scorer, cv=cv, params={"eras": data.eras}
        )
    assert np.isfinite(scores["test_score"]).all()  # the splitter leaves these eras out
