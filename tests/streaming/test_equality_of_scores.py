"""`score_files` gives what `era_table` gives."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import ConstantPredictionWarning, UnscoredErasWarning
from sknumerai.metrics import era_table
from tests.streaming._tables import FEATURES, make_predictions, make_rows

pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import score_files

ALL = ["numerai_corr", "fnc", "mmc", "bmc", "cwmm", "max_exposure"]
EVERY = [*ALL, "neutral_corr", "neutral_contribution", "payout"]


@pytest.fixture(scope="module")
def references(rows):
    """A meta model and a benchmark."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(len(rows), 2)) + rows[["target"]].to_numpy()
    return pd.DataFrame(values, rows.index, ["meta_model", "benchmark"])


@pytest.fixture
def save(tmp_path, rows, references):
    """Write tables, rows of each in another order; gives the arguments of `score_files`."""

    def call(predictions, rows=rows, features=rows, meta_model=None, benchmark=None):
        given = {"targets": rows, "features": features}
        given |= {"meta_model": meta_model, "benchmark": benchmark}
        paths = {"predictions": tmp_path / "predictions.parquet"}
        predictions.to_parquet(paths["predictions"])
        for name, table in given.items():
            if table is not None:
                paths[name] = tmp_path / f"{name}.parquet"
                table.to_parquet(paths[name], row_group_size=50)
        return paths

    return call


def in_memory(predictions, rows, features=True, **options):
    table = predictions.loc[rows.index]
    if table.shape[1] == 1:
        table = table.iloc[:, 0]
    if features:
        options["features"] = rows[FEATURES]
    return era_table(rows["target"], table, eras=rows["era"], **options)


def assert_close(result, expected, tolerance=1e-12):
    pd.testing.assert_frame_equal(
        result, expected, check_index_type=False, check_column_type=False, rtol=0, atol=tolerance
    )


def as_file(column):
    return column.rename("prediction").to_frame().sample(frac=1.0, random_state=3)


@pytest.mark.parametrize("n_predictions", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_metrics(save, rows, references, executor, n_predictions, dtype):
    predictions = make_predictions(rows, n_predictions, dtype)
    tables = references.astype(dtype)
    expected = in_memory(predictions, rows, **tables)
    paths = save(predictions, **{name: as_file(column) for name, column in tables.items()})
    for given in (None, executor):
        table = score_files(**paths, executor=given)
        assert_close(table, expected)
        assert table.attrs == {
            "n_rows": len(rows),
            "n_features": len(FEATURES),
            "without_targets": [],
            "without_meta_model": [],
            "without_benchmark": [],
        }
    names = [*ALL] if n_predictions == 1 else [(f"p{j}", name) for j in range(3) for name in ALL]
    assert table.columns.tolist() == names


def test_to_the_last_bit(save, rows, predictions, references):
    paths = save(predictions, **{name: as_file(column) for name, column in references.items()})
    parts = [(part, references.loc[part.index]) for _, part in rows.groupby("era")]
    expected = pd.concat([in_memory(predictions, part, **own) for part, own in parts])
    pd.testing.assert_frame_equal(score_files(**paths), expected, check_exact=True)


@pytest.mark.parametrize("names", [["mmc"], ["max_exposure", "neutral_corr", "cwmm", "mmc"]])
def test_chosen_metrics(save, rows, predictions, references, names):
    paths = save(predictions, meta_model=as_file(references["meta_model"]))
    expected = in_memory(predictions, rows, metrics=names, meta_model=references["meta_model"])
    assert_close(score_files(**paths, metrics=[*names, names[0]]), expected)


def test_without_features(save, rows, predictions, executor):
    paths = save(predictions, features=None)
    expected = in_memory(predictions, rows, features=False)
    assert expected.columns.tolist() == ["numerai_corr"]
    pd.testing.assert_frame_equal(score_files(**paths), expected, check_exact=True)
    assert_close(score_files(**paths, executor=executor), expected)


class Recorded:
    """An executor that must not be asked."""

    def submit(self, *arguments):
        raise AssertionError("something was submitted")


def test_without_features_it_is_this_process(save, rows, predictions):
    paths = save(predictions, features=None)
    assert len(score_files(**paths, executor=Recorded())) == 5


@pytest.mark.parametrize("order", ["chronological", "backward", "scattered"])
def test_order_of_eras(save, tmp_path, rows, predictions, references, executor, order):
    """Eras in their order, whatever that of targets and features; eraX comes last."""
    eras = rows["era"].replace({"0002": "eraX"})
    rows = rows.assign(era=eras)
    expected = in_memory(predictions, rows, meta_model=references["meta_model"])
    assert expected.index.tolist() == ["0001", "0003", "0004", "0005", "eraX"]
    other = {
        "chronological": rows,
        "backward": rows[::-1],
        "scattered": rows.sample(frac=1.0, random_state=5),
    }[order]
    meta_model = as_file(references["meta_model"])
    for targets, features in ((other, rows), (rows, other), (other, other)):
        paths = save(predictions, targets, features, meta_model=meta_model)
        for given in (None, executor):
            assert_close(score_files(**paths, executor=given), expected)


@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.UnscoredErasWarning")
def test_eras_that_tables_lack(save, rows, references, executor):
    """One without predictions, one without targets, one of another reference each."""
    eras = rows["era"]
    predictions = make_predictions(rows, 2)[lambda p: eras.loc[p.index] != "0001"]
    targets = rows.assign(target=rows["target"].mask(eras == "0003"))
    some = targets.index[eras == "0004"][::6]
    targets.loc[some, "target"] = np.nan
    scored = targets[eras.isin(["0002", "0004", "0005"])]
    meta_model = references["meta_model"].where(eras != "0005").dropna()
    benchmark = references["benchmark"].where(eras != "0002").dropna()
    full = references.loc[scored.index]
    expected = in_memory(predictions, scored, **full)
    for name in ("p0", "p1"):
        expected.loc["0005", [(name, "mmc"), (name, "cwmm")]] = np.nan
        expected.loc["0002", (name, "bmc")] = np.nan
    files = {"meta_model": as_file(meta_model), "benchmark": as_file(benchmark)}
    paths = save(predictions, targets, **files)
    for given in (None, executor):
        table = score_files(**paths, executor=given)
        assert_close(table, expected)
        assert table.attrs == {
            "n_rows": len(scored),
            "n_features": len(FEATURES),
            "without_targets": ["0003"],
            "without_meta_model": ["0005"],
            "without_benchmark": ["0002"],
        }


@pytest.mark.parametrize("n_predictions", [1, 2])
def test_references_may_lack_a_fifth_of_an_era(save, rows, references, executor, n_predictions):
    """Whether rows are absent or NaN; an era that lacks more has no such score."""
    predictions = make_predictions(rows, n_predictions)
    places = rows.groupby("era").cumcount()
    sizes = rows.groupby("era")["era"].transform("size")
    known = references.copy()
    known.loc[(rows["era"] == "0001") & (places < 4), "meta_model"] = np.nan  # of 23
    known.loc[(rows["era"] == "0002") & (places < 8), "meta_model"] = np.nan  # a fifth of 40
    known.loc[(rows["era"] == "0003") & (places < 7), "meta_model"] = np.nan  # of 31: too many
    known.loc[places >= 0.8 * sizes, "benchmark"] = np.nan
    with pytest.warns(UnscoredErasWarning, match="0003"):
        expected = in_memory(predictions, rows, metrics=EVERY, **known)
    mmc = expected["mmc"] if n_predictions == 1 else expected["p0", "mmc"]
    assert mmc.isna().tolist() == [False, False, True, False, False]
    absent = places % 2 == 0  # of those that are NaN, some are in no row of the file
    files = {name: as_file(column[column.notna() | ~absent]) for name, column in known.items()}
    assert all(0 < file["prediction"].isna().sum() < 40 for file in files.values())
    paths = save(predictions, **files)
    for given in (None, executor):
        with pytest.warns(UnscoredErasWarning, match="0003"):
            table = score_files(**paths, metrics=EVERY, executor=given)
        assert_close(table, expected)
        assert table.attrs["without_meta_model"] == ["0003"]
        assert table.attrs["without_benchmark"] == []
    assert expected.attrs["without_meta_model"] == ["0003"]


def test_a_reference_that_no_era_has(save, rows, predictions, references):
    with pytest.raises(ValueError, match=r"lacks more than 20% of the rows of every one of 5 eras"):
        score_files(**save(predictions, meta_model=as_file(references["meta_model"][::2])))


def test_a_meta_model_of_whole_numbers(save, rows, predictions, references):
    """Which have no NaN of their own."""
    ranks = references["meta_model"].rank().astype(int)
    some = ranks[rows.groupby("era").cumcount() > 2]
    expected = in_memory(predictions, rows, meta_model=some.reindex(rows.index))
    assert_close(score_files(**save(predictions, meta_model=as_file(some))), expected)


def test_constant_predictions(save, rows, executor):
    predictions = make_predictions(rows, 2)
    eras = rows.loc[predictions.index, "era"]
    predictions.loc[eras == "0002", "p1"] = 0.5
    expected, warned = told(lambda: in_memory(predictions, rows))
    paths = save(predictions)
    for given in (None, executor):
        table, said = told(lambda e=given: score_files(**paths, executor=e))
        assert_close(table, expected)
        assert [category for category, _ in said] == [ConstantPredictionWarning]
        assert said[0][1].startswith("In 1 era (0002) a prediction, what it is compared to or")
    assert {category for category, _ in warned} == {ConstantPredictionWarning}
    assert table.loc["0002", "p1"].isna().all()
    assert table.isna().sum().sum() == 3


def told(call):
    """What a call warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    assert all(warning.filename == __file__ for warning in caught)  # the line of the caller
    return result, [(warning.category, str(warning.message)) for warning in caught]


@pytest.mark.parametrize("kind", [np.int8, np.float32])
def test_types_of_features_and_targets(tmp_path, save, kind):
    rows = make_rows(dtype=kind)
    rows["target"] = (4 * rows["target"]).astype(np.int64) if kind is np.int8 else rows["target"]
    predictions = make_predictions(rows)
    paths = save(predictions, rows, rows)
    assert_close(score_files(**paths), in_memory(predictions, rows))


def test_other_names(tmp_path, rows, predictions, references):
    """Of every column."""
    renamed = rows.rename(columns={"era": "week", "target": "y"})
    renamed["week"] = renamed["week"].astype(int)
    renamed.rename_axis("stock").to_parquet(tmp_path / "rows.parquet")
    predictions.rename(columns={"prediction": "mine"}).to_csv(tmp_path / "predictions.csv")
    references.assign(text="x").reset_index().to_parquet(tmp_path / "references.parquet")
    table = score_files(
        tmp_path / "predictions.csv",
        tmp_path / "rows.parquet",
        features=tmp_path / "rows.parquet",
        meta_model=tmp_path / "references.parquet",
        meta_model_column="meta_model",
        benchmark=tmp_path / "references.parquet",
        benchmark_column="benchmark",
        target_column="y",
        era_column="week",
        feature_columns="^feature_[a-c]",
    )
    options = {"features": rows[FEATURES[:3]], **references}
    expected = era_table(
        rows["target"], predictions.loc[rows.index, "prediction"], eras=rows["era"], **options
    )
    assert table.index.tolist() == [1, 2, 3, 4, 5]
    assert_close(table.set_axis(expected.index), expected)


@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.UnscoredErasWarning")
def test_file_of_2018(shared_data, tmp_path):
    source = shared_data / "numerai_2018_08.parquet"
    names = [f"x{j}" for j in range(1, 11)]
    rows = pd.read_parquet(source)
    rows = rows[rows["region"] != 0]
    values = np.random.default_rng(0).normal(size=(len(rows), 2))
    tables = pd.DataFrame(values, rows.index, ["prediction", "meta_model"])
    for name, column in tables.items():
        as_file(column).to_parquet(tmp_path / f"{name}.parquet")
    table = score_files(
        tmp_path / "prediction.parquet",
        source,
        features=source,
        meta_model=tmp_path / "meta_model.parquet",
        target_column="bernie",
        feature_columns=names,
    )
    known = rows["bernie"].notna().groupby(rows["era"]).transform("any")
    rows, tables = rows[known], tables[known]
    options = {"features": rows[names], "meta_model": tables["meta_model"]}
    expected = era_table(rows["bernie"], tables["prediction"], eras=rows["era"], **options)
    assert_close(table, expected)
    assert (len(table), len(table.attrs["without_targets"])) == (12, 46)
