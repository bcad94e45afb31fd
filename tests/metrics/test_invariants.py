"""What holds for every metric of eras."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics import meta_model_contribution
from tests.metrics._catalogue import COLUMNS_INTERACT, CUT, OURS
from tests.metrics._tournament import convert, make_table, reorder, select

ALL = pytest.mark.parametrize("name", OURS)


def assert_close(left, right):
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-11)


@pytest.fixture(scope="module")
def table():
    return make_table(n_eras=3, seed=5)


@pytest.fixture(scope="module")
def untied():
    table = make_table(n_eras=3, seed=6)
    noise = np.random.default_rng(0).normal(size=table.predictions.shape)
    return SimpleNamespace(**vars(table) | {"predictions": table.predictions + 1e-3 * noise})


@ALL
def test_the_order_of_rows_does_not_matter(name, untied, table):
    given = untied if name in CUT else table
    order = np.random.default_rng(1).permutation(len(given.target))
    again = reorder(given, order)
    expected = OURS[name](given, eras=given.eras, aggregate=None)
    assert_close(OURS[name](again, eras=again.eras, aggregate=None), expected)


@ALL
def test_other_eras_and_labels_do_not_matter(name, table):
    scores = OURS[name](table, eras=table.eras, aggregate=None)
    renamed = OURS[name](table, eras=table.eras.map(lambda era: f"week of {era}"))
    assert_close(renamed, scores.mean())
    for era in scores.index:
        alone = select(table, (table.eras == era).to_numpy())
        assert_close(OURS[name](alone), scores.loc[era])
        assert_close(OURS[name](alone, eras=7), scores.loc[era])


@ALL
def test_numpy_and_polars_and_pandas_agree(name, table):
    expected = OURS[name](table, eras=table.eras, aggregate=None)
    arrays = convert(table, lambda part: part.to_numpy())
    assert_close(OURS[name](arrays, eras=arrays.eras, aggregate=None), expected)

    def as_polars(part):
        if isinstance(part, pd.Series):
            return pl.Series(str(part.name), part.to_numpy())
        return pl.DataFrame({str(c): part[c].to_numpy() for c in part})

    frames = convert(table, as_polars)
    scores = OURS[name](frames, eras=frames.eras, aggregate=None)
    assert_close(scores, expected)
    assert scores.columns.tolist() == expected.columns.tolist()


@pytest.mark.parametrize("name", [name for name in OURS if name not in COLUMNS_INTERACT])
def test_columns_do_not_interact_and_one_column_is_a_float(name, table):
    together = OURS[name](table, eras=table.eras)
    for column in table.predictions:
        one = SimpleNamespace(**vars(table) | {"predictions": table.predictions[column]})
        score = OURS[name](one, eras=table.eras)
        assert isinstance(score, float)
        assert score == pytest.approx(together[column], abs=1e-11)
        per_era = OURS[name](one, eras=table.eras, aggregate=None)
        assert isinstance(per_era, pd.Series)
        assert per_era.index.tolist() == sorted(table.eras.unique())


@ALL
def test_dtypes_and_memory_layout_do_not_matter(name, table):
    expected = OURS[name](table, eras=table.eras)
    changed = {
        "features": np.asfortranarray(table.features.to_numpy(dtype=np.float32)),
        "predictions": table.predictions.astype(np.float32),  # multiples of 1/4 are exact
    }
    again = OURS[name](SimpleNamespace(**vars(table) | changed), eras=table.eras)
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-9)


@ALL
def test_a_constant_prediction_is_nan_with_one_warning(name, table):
    predictions = table.predictions.copy()
    predictions.loc[table.eras == "0002", "model_1"] = 0.5
    given = SimpleNamespace(**vars(table) | {"predictions": predictions})
    with pytest.warns(ConstantPredictionWarning, match=r"In 1 era \(0002\)") as caught:
        scores = OURS[name](given, eras=table.eras, aggregate=None)
    assert len(caught) == 1
    assert scores["model_1"].isna().tolist() == [False, True, False]
    assert scores[["model_0", "model_2"]].notna().all(axis=None)


WITH_META_MODEL = ["mmc", "bmc", "neutral_contribution", "payout", "cwmm", "spearman"]


@pytest.mark.parametrize("name", WITH_META_MODEL)
def test_a_constant_meta_model_is_nan_with_one_warning(name, table):
    meta_model = table.meta_model.mask(table.eras == "0002", 0.5)
    given = SimpleNamespace(**vars(table) | {"meta_model": meta_model})
    with pytest.warns(ConstantPredictionWarning, match=r"In 1 era \(0002\)"):
        scores = OURS[name](given, eras=table.eras, aggregate=None)
    assert scores.isna().all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["fnc", "neutral_corr", "fnc_tb"])
def test_what_features_explain_wholly_is_nan_not_noise(name):
    table = make_table(n_eras=1, n_features=100, missing=0.0)  # more features than stocks
    with pytest.warns(ConstantPredictionWarning):
        assert OURS[name](table, eras=table.eras, aggregate=None).isna().all(axis=None)


def test_what_features_explain_wholly_contributes_nothing():
    table = make_table(n_eras=1)
    explained = np.where(table.features.iloc[:, 0] > 1, 1.0, -1.0)
    features = table.features.assign(sign=explained)
    predictions = table.predictions.assign(model_0=explained)
    given = vars(table) | {"features": features, "predictions": predictions}
    scores = OURS["neutral_contribution"](SimpleNamespace(**given))
    assert scores["model_0"] == 0.0
    with pytest.warns(ConstantPredictionWarning):
        scores = OURS["neutral_contribution"](SimpleNamespace(**given | {"meta_model": explained}))
    assert scores.isna().all()


WITHOUT_TARGET = ("cwmm", "pearson", "spearman", "max_exposure", "exposure_dissimilarity")
WITH_TARGET = [name for name in OURS if not name.startswith(WITHOUT_TARGET)]


@pytest.mark.parametrize("name", WITH_TARGET)
def test_too_many_missing_targets_are_an_error(name, table):
    few = np.flatnonzero(table.eras == "0003")[:30]
    target = table.target.copy()
    target.iloc[few] = np.nan
    with pytest.raises(ValueError, match=r"In era 0003: \d+ of 104 targets are missing"):
        OURS[name](SimpleNamespace(**vars(table) | {"target": target}), eras=table.eras)


NEEDS = {
    "features": [
        "fnc",
        "neutral_corr",
        "neutral_contribution",
        "max_exposure",
        "exposure_dissimilarity",
    ],
    "meta_model": WITH_META_MODEL,
    "example": ["exposure_dissimilarity"],
    "neutralizers": ["alpha", "mpc"],
    "weights": ["alpha", "mpc"],
    "predictions": list(OURS),
}


@pytest.mark.parametrize(("part", "name"), [(p, n) for p, names in NEEDS.items() for n in names])
def test_missing_values_and_other_rows_are_errors(part, name, table):
    data = getattr(table, part).astype(float)
    broken = data.copy()
    broken.iloc[(17, 0) if data.ndim == 2 else 17] = np.nan
    cases = {
        r"contains 1 NaN of .* first at row 17|contains 1 NaN of": broken,
        r"has \d+ rows and y_pred has|rows and y_pred has \d+": data.iloc[1:],
        r"share \d+ of \d+ labels but are not equal": data.iloc[::-1],
    }
    for message, changed in cases.items():
        with pytest.raises(ValueError, match=message):
            OURS[name](SimpleNamespace(**vars(table) | {part: changed}), eras=table.eras)


@pytest.mark.parametrize("name", [*WITH_META_MODEL, "exposure_dissimilarity"])
def test_two_meta_models_are_an_error(name, table):
    two = table.predictions
    with pytest.raises(ValueError, match=r"must hold one column; found 3"):
        OURS[name](SimpleNamespace(**vars(table) | {"meta_model": two, "example": two}))


@ALL
def test_unknown_aggregates_are_errors(name, table):
    with pytest.raises(ValueError, match=r"'aggregate' parameter"):
        OURS[name](table, eras=table.eras, aggregate="median")


@pytest.mark.parametrize("name", CUT)
def test_too_many_top_and_bottom_rows_are_an_error(name, table):
    part = select(table, np.arange(len(table.target)) < 23)
    with pytest.raises(ValueError, match=r"top_bottom=12 needs 24 rows"):
        OURS[name](part)


@pytest.mark.parametrize("top_bottom", [None, 10])
def test_contribution_of_the_meta_model_itself_is_no_number(top_bottom):
    """It would be rounding noise, of which a Sharpe ratio could be anything."""
    rng = np.random.default_rng(0)
    y, meta_model, other = rng.normal(size=(3, 100))
    eras = np.repeat([1, 2], 50)
    predictions = np.column_stack([meta_model, np.exp(meta_model), other])
    with pytest.warns(ConstantPredictionWarning, match="2 eras"):
        scores = meta_model_contribution(
            y, predictions, meta_model=meta_model, eras=eras, top_bottom=top_bottom, aggregate=None
        )
    assert scores[[0, 1]].isna().all(axis=None)
    assert scores[2].notna().all()
