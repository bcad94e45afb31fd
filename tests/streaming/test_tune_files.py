"""`tune_files` gives what `tune_exposure` gives."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import ConstantPredictionWarning, UnscoredErasWarning
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import tune_exposure
from tests.streaming._tables import FEATURES, make_predictions, make_rows

pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import tune_files

SETTINGS = {"proportions": [0.5, 1.0], "limits": [0.2, 0.1]}


@pytest.fixture(scope="module")
def rows():
    return make_rows([40] * 12)


@pytest.fixture(scope="module")
def predictions(rows):
    return make_predictions(rows)


def in_memory(predictions, rows, **options):
    return tune_exposure(
        predictions.loc[rows.index, "prediction"],
        rows["target"],
        features=rows[FEATURES],
        eras=rows["era"],
        **options,
    )


@pytest.fixture
def save(tmp_path):
    def call(**tables):
        paths = {name: tmp_path / f"{name}.parquet" for name in tables}
        for name, table in tables.items():
            table.to_parquet(paths[name], row_group_size=50)
        return paths

    return call


@pytest.mark.parametrize("scoring", ["numerai_corr", "fnc"])
@pytest.mark.parametrize("cv", [None, PurgedEraKFold(3, purge=1)])
def test_equal_to_the_function_in_memory(save, rows, predictions, executor, scoring, cv):
    options = SETTINGS | {"scoring": scoring, "cv": cv, "normalize": "gaussian"}
    expected = in_memory(predictions, rows, **options)
    paths = save(predictions=predictions, targets=rows, features=rows)
    for given in (None, executor):
        table = tune_files(**paths, executor=given, **options)
        pd.testing.assert_frame_equal(table, expected, rtol=0, atol=1e-12)
        assert table.attrs["n_eras"] == expected.attrs["n_eras"]
        assert table.attrs["scoring"] == scoring
        chosen = [split["selected"] for split in expected.attrs["splits"]]
        assert [split["selected"] for split in table.attrs["splits"]] == chosen


def test_eras_that_cannot_be_scored_are_left_out(save, rows, predictions):
    targets = rows.copy()
    targets.loc[targets["era"] == "0012", "target"] = np.nan
    rng = np.random.default_rng(3)
    meta_model = pd.DataFrame({"prediction": rng.normal(size=len(rows))}, rows.index)
    covered = rows["era"] > "0002"
    options = SETTINGS | {"scoring": "mmc"}
    with pytest.warns(UnscoredErasWarning):
        expected = in_memory(
            predictions,
            targets,
            meta_model=meta_model["prediction"].where(covered),
            **options,
        )
    paths = save(
        predictions=predictions, targets=targets, features=rows, meta_model=meta_model[covered]
    )
    with pytest.warns(UnscoredErasWarning) as caught:
        table = tune_files(**paths, **options)
    pd.testing.assert_frame_equal(table, expected, rtol=0, atol=1e-12)
    assert table.attrs["n_eras"] == 9
    messages = sorted(str(warning.message) for warning in caught)
    assert "0012" in messages[0]
    assert "no row has a target" in messages[0]
    assert "0001" in messages[1]
    assert "too many rows lack what 'mmc' needs" in messages[1]


def test_a_constant_prediction_has_no_score(save, rows, predictions):
    constant = predictions.copy()
    constant.loc[rows.index[rows["era"] == "0003"]] = 0.25
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantPredictionWarning)
        expected = in_memory(constant, rows, **SETTINGS)
    paths = save(predictions=constant, targets=rows, features=rows)
    with pytest.warns(ConstantPredictionWarning, match="0003"):
        table = tune_files(**paths, **SETTINGS)
    pd.testing.assert_frame_equal(table, expected, rtol=0, atol=1e-12)
    assert np.isnan(table["mean"]).all()


def test_what_is_refused(save, rows, predictions):
    paths = save(predictions=predictions, targets=rows, features=rows)
    with pytest.raises(ValueError, match="proportions must hold numbers in"):
        tune_files(**paths, proportions=[2.0])
    with pytest.raises(ValueError, match=r"limits=.* names a number twice"):
        tune_files(**paths, limits=[0.1, 0.1])
    with pytest.raises(ValueError, match="'max_exposure' is the risk"):
        tune_files(**paths, scoring="max_exposure")
    with pytest.raises(ValueError, match="metric 'mmc' needs meta_model="):
        tune_files(**paths, scoring="mmc")
    with pytest.raises(ValueError, match="names 'sharp'; known are"):
        tune_files(**paths, scoring="sharp")
    with pytest.raises(ValueError, match="cv=3 is no splitter"):
        tune_files(**paths, cv=3)
    several = predictions.assign(other=predictions["prediction"])
    paths = save(predictions=several, targets=rows, features=rows)
    with pytest.raises(ValueError, match="columns 'prediction', 'other'; name one"):
        tune_files(**paths, prediction_columns=["prediction", "other"])
