"""Functions on files give what functions in memory give."""

import gc
import warnings

import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import (
    ConstantPredictionWarning,
    InfeasibleExposureError,
    InfeasibleExposureWarning,
)
from sknumerai.metrics import max_feature_exposure
from sknumerai.neutralization import clip_exposure, neutralize
from tests.streaming._tables import FEATURES, make_predictions, make_rows, read

pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import clip_files, neutralize_files

IN_MEMORY = {neutralize_files: neutralize, clip_files: clip_exposure}
CASES = [
    (neutralize_files, {}),
    (neutralize_files, {"proportion": 0.0}),
    (neutralize_files, {"proportion": 0.4, "normalize": "rank"}),
    (neutralize_files, {"normalize": "gaussian", "scale": "minmax"}),
    (neutralize_files, {"proportion": 0.7, "scale": "std"}),
    (clip_files, {}),
    (clip_files, {"max_exposure": 0.0, "normalize": "gaussian"}),
    (clip_files, {"max_exposure": 0.05, "bounds": "shrink", "scale": "std"}),
    (clip_files, {"max_exposure": 0.02, "scale": "minmax", "normalize": "rank", "tol": 1e-6}),
    (clip_files, {"max_exposure": 0.3, "on_infeasible": "warn", "normalize": "gaussian"}),
]
FEW = [CASES[3], CASES[7]]


def in_memory(function, predictions, rows, **options):
    """In the order of the features, which is the order of the sums."""
    table = predictions.loc[rows.index]
    return IN_MEMORY[function](table, rows[FEATURES], eras=rows["era"], **options)


def era_by_era(function, predictions, rows, names=FEATURES, **options):
    """The same of one era after the other, whose columns then lie in memory as those of a file."""
    parts = [part.copy() for _, part in rows.groupby("era", sort=False)]
    own = [predictions.loc[part.index].copy() for part in parts]
    tables = zip(own, parts, strict=True)
    return pd.concat([IN_MEMORY[function](p, part[names], **options) for p, part in tables])


def assert_close(result, expected, tolerance=1e-12):
    pd.testing.assert_frame_equal(
        result.loc[expected.index], expected, check_index_type=False, rtol=0, atol=tolerance
    )


def assert_same(result, expected):
    pd.testing.assert_frame_equal(result.loc[expected.index], expected, check_exact=True)


@pytest.mark.parametrize(("function", "options"), CASES)
def test_to_the_last_bit(files, rows, predictions, function, options):
    function(*files, **options)
    written = read(files[2])
    assert written.index.equals(predictions.index)
    assert_same(written, era_by_era(function, predictions, rows, **options))
    assert_close(written, in_memory(function, predictions, rows, **options))


@pytest.mark.parametrize(("function", "options"), FEW)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.int8, np.int16, np.float32, np.float64])
def test_types(tmp_path, function, options, dtype, kind):
    rows = make_rows(dtype=kind)
    predictions = make_predictions(rows, dtype=dtype)
    predictions.to_parquet(tmp_path / "predictions.parquet")
    rows.to_parquet(tmp_path / "rows.parquet")
    for name in ("output.parquet", "output.csv"):
        paths = [tmp_path / each for each in ("predictions.parquet", "rows.parquet", name)]
        function(*paths, **options)
        written = read(paths[2])
        if name == "output.parquet":
            assert written.dtypes.tolist() == [dtype]
        expected = era_by_era(function, predictions, rows, **options)
        assert_same(written.astype(dtype), expected)


@pytest.mark.parametrize(("function", "options"), FEW)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_several_predictions(tmp_path, rows, function, options, dtype):
    predictions = make_predictions(rows, 3, dtype).assign(note="x", good=True, era=5)
    predictions.to_parquet(tmp_path / "predictions.parquet")
    rows.to_parquet(tmp_path / "rows.parquet")
    paths = [tmp_path / f"{name}.parquet" for name in ("predictions", "rows", "output")]
    report = function(*paths, **options)
    names = ["p0", "p1", "p2"]
    expected = in_memory(function, predictions[names], rows, **options)
    assert_close(read(paths[2]), expected)
    assert report.per_era.index.get_level_values("prediction").unique().tolist() == names
    options = options | {"prediction_columns": ["p2", "p0", "p2"], "overwrite": True}
    function(*paths, **options)
    assert_close(read(paths[2]), expected[["p2", "p0"]])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_outputs_are_written_in_pieces(files, rows, predictions, monkeypatch, suffix):
    monkeypatch.setattr("sknumerai.streaming._ids.AT_A_TIME", 50)
    monkeypatch.setattr("sknumerai.streaming._whole_table.ROWS_PER_GROUP", 50)
    output = files[2].with_suffix(suffix)
    neutralize_files(*files[:2], output)
    written = read(output)
    assert_same(written, era_by_era(neutralize_files, predictions, rows))
    assert written.index.equals(predictions.index)
    assert written.index.name == "id"


def test_predictions_reach_the_kernel_as_in_memory(tmp_path, rows, monkeypatch):
    """As columns: else the sums of products are taken in another order."""
    from sknumerai.neutralization import _neutralize

    orders = []
    kernel = _neutralize.neutralize_era

    def recorded(predictions, features, **options):
        orders.append(predictions.flags.f_contiguous)
        return kernel(predictions, features, **options)

    monkeypatch.setattr(_neutralize, "neutralize_era", recorded)
    make_predictions(rows, 3).to_parquet(tmp_path / "predictions.parquet")
    rows.to_parquet(tmp_path / "rows.parquet")
    neutralize_files(*(tmp_path / f"{name}.parquet" for name in ("predictions", "rows", "out")))
    assert orders == [True] * 5


@pytest.mark.parametrize(("function", "options"), FEW)
def test_executors(files, rows, predictions, executor, function, options):
    report = function(*files, executor=executor, **options)
    written = read(files[2])
    assert_close(written, in_memory(function, predictions, rows, **options))
    serial = function(*files, overwrite=True, **options)
    assert_close(written, read(files[2]))
    pd.testing.assert_frame_equal(report.per_era, serial.per_era, rtol=0, atol=1e-12)
    assert (report.n_eras, report.n_rows, report.n_features) == (5, len(rows), 6)


@pytest.mark.parametrize(
    ("function", "change", "nothing"),
    [
        (clip_files, {"max_exposure": 0.05}, {"max_exposure": 1.0}),
        (neutralize_files, {"proportion": 0.7}, {"proportion": 0.0}),
    ],
)
def test_report(files, rows, predictions, function, change, nothing):
    report = function(*files, normalize="gaussian", **change)
    after = in_memory(function, predictions, rows, normalize="gaussian", **change)
    before = in_memory(function, predictions, rows, normalize="gaussian", **nothing)
    options = {"features": rows[FEATURES], "eras": rows["era"], "aggregate": None}
    for name, table in (("max_exposure_before", before), ("max_exposure_after", after)):
        exposures = max_feature_exposure(table["prediction"], **options)
        column = report.per_era[name].xs("prediction", level="prediction")
        np.testing.assert_allclose(column, exposures, rtol=0, atol=1e-9)
    pairs = before.assign(after=after["prediction"]).groupby(rows["era"])
    correlation = [pair.corr().iloc[0, 1] for _, pair in pairs]
    np.testing.assert_allclose(report.per_era["correlation"], correlation, rtol=0, atol=1e-12)
    assert report.output == files[2]


@pytest.mark.parametrize(("function", "options"), FEW)
def test_single_era(files, rows, predictions, executor, function, options):
    for given in (None, executor):
        function(*files, single_era=True, executor=given, overwrite=True, **options)
        table = predictions.loc[rows.index]
        assert_close(read(files[2]), IN_MEMORY[function](table, rows[FEATURES], **options))


def test_eras_without_predictions(files, rows, predictions, executor):
    some = predictions[rows.loc[predictions.index, "era"].isin(["0002", "0005"])]
    some.to_parquet(files[0])
    report = clip_files(*files, executor=executor)
    kept = rows[rows["era"].isin(["0002", "0005"])]
    assert_close(read(files[2]), in_memory(clip_files, some, kept))
    assert report.per_era.index.tolist() == [("0002", "prediction"), ("0005", "prediction")]


# --- warnings and errors --------------------------------------------------------------------------


def told(call):
    """What a call warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    assert all(warning.filename == __file__ for warning in caught)  # the line of the caller
    return result, [(warning.category, str(warning.message)) for warning in caught]


@pytest.mark.parametrize("function", [neutralize_files, clip_files])
def test_constant_predictions(tmp_path, rows, executor, function):
    predictions = make_predictions(rows, 2)
    eras = rows.loc[predictions.index, "era"]
    predictions.loc[eras == "0002", "p1"] = 0.25
    predictions.loc[eras == "0004", :] = -1.0
    predictions.to_parquet(tmp_path / "predictions.parquet")
    rows.to_parquet(tmp_path / "rows.parquet")
    paths = [tmp_path / f"{name}.parquet" for name in ("predictions", "rows", "output")]
    expected, warned = told(lambda: in_memory(function, predictions, rows))
    assert [category for category, _ in warned] == [ConstantPredictionWarning]
    assert "(0002, 0004)" in warned[0][1]
    for given in (None, executor):
        report, said = told(lambda e=given: function(*paths, executor=e, overwrite=True))
        assert said == warned
        assert_close(read(paths[2]), expected)
        missing = report.per_era["correlation"].isna()
        assert missing[missing].index.tolist() == [("0002", "p1"), ("0004", "p0"), ("0004", "p1")]
    assert expected.isna().sum().tolist() == [57, 97]


def infeasible(rows, era):
    """Predictions of which a limit of zero leaves nothing in one era."""
    predictions = make_predictions(rows)
    era = rows.index[rows["era"] == era]
    predictions.loc[era, "prediction"] = rows.loc[era, FEATURES[0]].astype(float)
    return predictions


@pytest.mark.parametrize("name", [None, "threads", "processes"])
def test_limits_that_cannot_be_met(files, rows, pools, small_tasks, name):
    predictions = infeasible(rows, "0003")
    predictions.to_parquet(files[0])
    options = {"max_exposure": 0.0}
    with pytest.raises(InfeasibleExposureError) as expected:
        in_memory(clip_files, predictions, rows, **options)
    with pytest.raises(InfeasibleExposureError) as found:
        clip_files(*files, executor=name and pools[name], **options)
    assert str(found.value) == str(expected.value)
    assert str(found.value).startswith("In era 0003: ")
    assert found.value.multiple == expected.value.multiple
    assert not files[2].exists()


def test_limits_that_cannot_be_met_by_jobs(files, small_tasks):
    """The error is all that is said, though tasks are left."""
    rows = make_rows((25,) * 20)
    rows.to_parquet(files[1], row_group_size=25)
    infeasible(rows, "0001").to_parquet(files[0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            clip_files(*files, executor=2, max_exposure=0.0)
        except InfeasibleExposureError as error:
            text = str(error)
        gc.collect()
    assert text.startswith("In era 0001: ")
    assert [str(warning.message) for warning in caught] == []


def test_limits_are_widened(tmp_path, executor):
    """As many features as rows, all but one."""
    rng = np.random.default_rng(0)
    sizes = (9, 40)
    rows = make_rows(sizes)
    rows[FEATURES] = rng.normal(size=(49, 6))
    rows["feature_g"], rows["feature_h"] = rng.normal(size=(2, 49))
    names = [*FEATURES, "feature_g", "feature_h"]
    predictions = make_predictions(rows)
    paths = [tmp_path / f"{name}.parquet" for name in ("predictions", "rows", "output")]
    predictions.to_parquet(paths[0])
    rows.to_parquet(paths[1])
    options = {"max_exposure": 0.01, "on_infeasible": "warn"}
    table = predictions.loc[rows.index]
    expected, warned = told(lambda: clip_exposure(table, rows[names], eras=rows["era"], **options))
    assert [category for category, _ in warned] == [InfeasibleExposureWarning]
    for given in (None, executor):
        report, said = told(
            lambda e=given: clip_files(*paths, executor=e, overwrite=True, **options)
        )
        assert said == warned
        assert_close(read(paths[2]), expected)
        assert (report.per_era["multiple"] > 1.0).tolist() == [True, False]


# --- real data ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "options"), FEW)
def test_file_of_2018(shared_data, tmp_path, function, options):
    source = shared_data / "numerai_2018_08.parquet"
    names = [f"x{j}" for j in range(1, 11)]
    rows = pd.read_parquet(source)
    rows = rows[rows["region"] != 0]
    values = np.random.default_rng(0).normal(size=len(rows)) + rows[names[0]].to_numpy()
    predictions = pd.DataFrame({"prediction": values}, rows.index)
    predictions.sample(frac=1.0, random_state=0).to_csv(tmp_path / "predictions.csv")
    output = tmp_path / "output.parquet"
    arguments = [tmp_path / "predictions.csv", source, output]
    report = function(*arguments, feature_columns=names, **options)
    assert_same(read(output), era_by_era(function, predictions, rows, names, **options))
    assert report.n_eras == rows["era"].nunique()
