"""The check runs an upload as the tournament does, and tells why a bad one is bad."""

import contextlib
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cloudpickle", reason="needs the extra 'upload'")
pytest.importorskip("pyarrow", reason="needs the extra 'upload'")

import cloudpickle

from sknumerai.upload import check_upload, make_predict, save_upload
from sknumerai.upload._check_upload import read_memory
from tests.upload._models import make_benchmarks, make_data, make_models

PROJECT = str(Path(__file__).parents[2] / "pyproject.toml")
RUNS: list[None] = []
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

HERE = ".".join(platform.python_version_tuple()[:2])
X, y, eras, live = make_data()
NAMES = list(X.columns)
MODELS = make_models(X, y, eras)


@pytest.fixture
def check(tmp_path):
    """Write a function and check it."""

    def call(predict, rows=live, **options):
        path = tmp_path / "predict.pkl"
        if predict in (no_arguments, three_arguments):  # which save_upload refuses
            module = sys.modules[__name__]
            cloudpickle.register_pickle_by_value(module)
            path.write_bytes(cloudpickle.dumps(predict))
            cloudpickle.unregister_pickle_by_value(module)
        else:
            save_upload(predict, path)
        return check_upload(path, rows, **{"runtime": HERE, "seconds": 60} | options)

    return call


def good(live_features):
    """Ranks of a feature and a bit of another."""
    values = live_features[NAMES[0]] + 0.1 * live_features[NAMES[1]]
    return values.rank(pct=True).to_frame("prediction")


def assert_refused(report, *words):
    assert not report.passed
    assert len(report.problems) == 1, report.problems
    for word in words:
        assert word in report.problems[0]
    assert str(report).endswith("refused")


@pytest.mark.parametrize("name", MODELS)
def test_good_ones(check, name):
    predict = make_predict(MODELS[name])
    report = check(predict)
    assert report.passed, report
    assert report.n_rows == len(live)
    assert 0 < report.run_seconds < 30
    assert 5e7 < report.peak_memory < 1e9
    assert str(report).endswith("passed")
    own = predict(live)["prediction"]
    pd.testing.assert_series_equal(report.predictions, own, rtol=0, atol=1e-9)


def test_rows_are_made_up(check):
    report = check(make_predict(MODELS["clipped"]), None)
    assert report.passed, report
    assert report.n_rows == 7000
    with pytest.raises(ValueError, match="live_features is needed, since the file is none of"):
        check(good, None)


def test_benchmark_models(check):
    def users(live_features, live_benchmark_models):
        own = live_benchmark_models["v53_lgbm_ender60"].reindex(live_features.index)
        return own.rank(pct=True).to_frame("prediction")

    assert check(users, live_benchmark_models=make_benchmarks(live)).passed

    def by_position(live_features, live_benchmark_models):
        values = live_benchmark_models["v53_lgbm_ender60"].to_numpy()
        return pd.DataFrame({"prediction": values}, live_features.index)

    report = check(by_position, live_benchmark_models=make_benchmarks(live))
    assert_refused(report, "depend on the order of the rows", "join tables by id")


# --- bad ones ---------------------------------------------------------------------------------


def no_arguments():
    return good(live)


def three_arguments(live_features, live_benchmark_models, live_other):
    return good(live_features)


def some_nan(live_features):
    frame = good(live_features)
    frame.iloc[:3] = np.nan
    return frame


def a_series(live_features):
    return good(live_features)["prediction"]


def an_array(live_features):
    return good(live_features).to_numpy()


def empty(live_features):
    return good(live_features).iloc[:0]


def other_index(live_features):
    return good(live_features).reset_index(drop=True)


def repeated_ids(live_features):
    frame = good(live_features)
    return frame.set_axis([frame.index[0], *frame.index[:-1]])


def other_column(live_features):
    return good(live_features).set_axis(["signal"], axis=1)


def out_of_range(live_features):
    return 3 * good(live_features) - 1


def text(live_features):
    return good(live_features).astype(str).radd("p")


def constant(live_features):
    return good(live_features) * 0 + 0.5


def missing_package(live_features):
    import cvxpy

    return good(live_features) * len(cvxpy.__name__)


def the_package_itself(live_features):
    import sknumerai.metrics

    return good(live_features) * bool(sknumerai.metrics)


def memory_hog(live_features):
    return good(live_features) * np.ones((30_000, 30_000)).mean()


def endless(live_features):
    while True:
        time.sleep(0.01)


def writes_a_file(live_features):
    with open("note.txt", "w") as file:
        file.write("note")
    return good(live_features)


def writes_quietly(live_features):
    with contextlib.suppress(OSError):
        good(live_features).to_csv("note.csv")
    return good(live_features)


def opens_a_socket(live_features):
    import socket

    socket.create_connection(("127.0.0.1", 80), timeout=1)
    return good(live_features)


def needs_era(live_features):
    return good(live_features[live_features["era"] == live_features["era"].iloc[0]])


def row_order(live_features):
    values = np.arange(len(live_features)) / len(live_features)
    return pd.DataFrame({"prediction": values}, live_features.index)


def at_random(live_features):
    values = np.random.default_rng().random(len(live_features))
    return pd.DataFrame({"prediction": values}, live_features.index)


def exits_quietly(live_features):
    os._exit(0)


def other_values_without_era(live_features):
    return good(live_features) * (1 if "era" in live_features else 50)


def numbers_as_text(live_features):
    return good(live_features).astype("string")


def reads_a_file(live_features):
    with open(PROJECT) as file:
        return good(live_features) * bool(file.read())


def sleeps_in_later_runs(live_features):
    time.sleep(30 * len(RUNS))
    RUNS.append(None)
    return good(live_features)


def asks(live_features):
    return good(live_features) * float(input())


def exits(live_features):
    sys.exit(0)


def crashes(live_features):
    os.abort()


def raises(live_features):
    return live_features["no such column"]


BAD = {
    no_arguments: ["0 parameters"],
    three_arguments: ["3 parameters"],
    some_nan: ["3 of its values are NaN"],
    a_series: ["returns a pandas", "Series; return a pandas DataFrame"],
    an_array: ["returns a numpy.ndarray"],
    empty: ["returns an empty frame"],
    other_index: ["index has other ids", "return the index of live_features"],
    repeated_ids: ["repeated ids"],
    other_column: ["columns are 'signal'", "'prediction'"],
    out_of_range: ["must lie in [0, 1]"],
    text: ["holds no numbers"],
    constant: ["All of its predictions are 0.5"],
    missing_package: ["imports 'cvxpy', which the runtime does not have"],
    the_package_itself: ["imports 'sknumerai', which the runtime does not have"],
    needs_era: ["have no column 'era'", "KeyError", "may lack it"],
    row_order: ["depend on the order of the rows"],
    at_random: ["Two runs on the same rows differ"],
    asks: ["The function fails", "EOFError"],
    exits_quietly: ["ended by exit code 0 while predicting"],
    other_values_without_era: ["differ where the column 'era' is missing"],
    numbers_as_text: ["holds no numbers"],
    exits: ["The function fails", "SystemExit"],
    crashes: ["ended by signal 6 while predicting"],
    raises: ["The function fails: KeyError", "no such column"],
}


@pytest.mark.parametrize("predict", BAD, ids=lambda predict: predict.__name__)
def test_bad_ones_are_refused(check, predict):
    assert_refused(check(predict), *BAD[predict])


@pytest.mark.parametrize(
    ("predict", "words"),
    [
        (writes_a_file, ["PermissionError", "It writes a file (note.txt)"]),
        (writes_quietly, ["It writes a file (note.csv)"]),
        (reads_a_file, ["PermissionError", "It reads the file"]),
        (opens_a_socket, ["PermissionError", "there is no network"]),
    ],
)
def test_what_is_tried_is_named(check, predict, words):
    report = check(predict)
    assert not report.passed
    found = " ".join(report.problems)
    for word in words:
        assert word in found
    assert len(report.problems) == len(words)


def test_temporary_files_and_processes_are_allowed(check):
    def busy(live_features):
        import subprocess
        import tempfile

        with tempfile.NamedTemporaryFile("w") as file:
            file.write("text")
        subprocess.run(["true"], check=True)
        return good(live_features)

    assert check(busy).passed


def test_limits(check):
    report = check(memory_hog, memory="400MB")
    assert_refused(report, "more than 0.4 GB of memory while predicting")
    start = time.monotonic()
    report = check(endless, seconds=1)
    assert_refused(report, "more than 1 seconds while predicting")
    report = check(sleeps_in_later_runs, seconds=1)
    assert_refused(report, "more than 1 seconds while predicting")
    assert time.monotonic() - start < 30


def test_what_it_starts_is_counted_and_ended(check):
    def forks(live_features):
        if not os.fork():
            block = np.ones(60_000_000)
            time.sleep(60)
            os._exit(int(block[0]))
        time.sleep(1.5)
        return good(live_features)

    start = time.monotonic()
    assert_refused(check(forks, memory="400MB"), "more than 0.4 GB of memory")
    assert time.monotonic() - start < 30


def test_several_eras(check):
    rows = X.assign(era=eras).iloc[-240:]
    assert rows["era"].nunique() == 2
    assert check(make_predict(MODELS["clipped"]), rows).passed


def test_notes(check):
    report = check(lambda live_features: good(live_features).rename_axis("other"))
    assert report.passed
    assert any("named 'other'" in note for note in report.notes)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "predict.pkl"
    options = {"live_features": live, "runtime": HERE}
    path.write_bytes(b"no pickle")
    assert_refused(check_upload(path, **options), "The file cannot be read")
    path.write_bytes(cloudpickle.dumps({"a": 1}))
    assert_refused(check_upload(path, **options), "The file holds no function")
    # by reference, to a module that is not there
    path.write_bytes(b"ctests.upload._local_helper\nsmooth\n.")
    assert_refused(check_upload(path, **options), "imports 'tests', which the runtime")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        check_upload(tmp_path / "other.pkl")


def test_another_python(check):
    other = "3.13" if HERE != "3.13" else "3.12"
    report = check(good, runtime=other)
    assert_refused(report, f"run by Python {HERE} and is to run on {other}", f"choose {HERE}")


def test_arguments(check, tmp_path):
    with pytest.raises(ValueError, match="'runtime' parameter"):
        check(good, runtime="2.7")
    with pytest.raises(ValueError, match="memory='much'; pass bytes"):
        check(good, memory="much")
    with pytest.raises(ValueError, match="cannot be run"):
        check(good, python=tmp_path / "python")
    with pytest.raises(ValueError, match="whose index holds the ids"):
        check(good, live.reset_index())
    with pytest.raises(ValueError, match="live_features is a ndarray; pass a pandas"):
        check(good, live.to_numpy())
    with pytest.raises(FileNotFoundError, match="live_features: there is no file"):
        check(good, tmp_path / "live.parquet")
    assert [read_memory(text) for text in ("4GB", "500 mb", 17, "1GiB")] == [
        4_000_000_000,
        500_000_000,
        17,
        2**30,
    ]


def test_rows_may_come_back_in_another_order(check):
    def sorted_rows(live_features):
        return good(live_features).sort_values("prediction")

    report = check(sorted_rows)
    assert report.passed
    assert any("another order" in note for note in report.notes)


def test_what_it_prints_is_told(check):
    def chatty(live_features):
        print("hello")
        return good(live_features)

    assert any("hello" in note for note in check(chatty).notes)
