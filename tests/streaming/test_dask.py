"""A cluster of dask computes the same, also while it loses workers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from joblib import parallel_config

from sknumerai.datasets import make_market
from sknumerai.exceptions import InfeasibleExposureError, LostWorkersError
from sknumerai.neutralization import _neutralize, neutralize
from tests.streaming._tables import FEATURES, make_predictions, make_rows, read

distributed = pytest.importorskip("distributed", reason="needs the extra 'dask'")
pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import (  # noqa: E402
    clip_files,
    contribution_files,
    neutralize_files,
    score_files,
)

pytestmark = pytest.mark.usefixtures("small_tasks")


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(protocol="tcp", processes=True, **options) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def executor(client):
    return client.get_executor()


@pytest.fixture(scope="module")
def rows():
    return make_rows((20,) * 40)


@pytest.fixture(scope="module")
def predictions(rows):
    return make_predictions(rows)


@pytest.fixture
def expected(files):
    """What one process makes of them."""
    neutralize_files(*files)
    result = read(files[2])
    files[2].unlink()
    return result


class Slow:
    """An executor whose tasks take a while."""

    def __init__(self, executor):
        self.executor = executor

    def submit(self, *call):
        return self.executor.submit(slowly, *call)


def slowly(function, *arguments):
    time.sleep(0.1)
    return function(*arguments)


def assert_close(result, expected):
    pd.testing.assert_frame_equal(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", [neutralize_files, clip_files])
def test_predictions(files, executor, function):
    report = function(*files, executor=executor, normalize="gaussian")
    result = read(files[2])
    serial = function(*files, overwrite=True, normalize="gaussian")
    assert_close(result, read(files[2]))
    assert_close(report.per_era, serial.per_era)


def test_scores(files, executor):
    arguments = {"features": files[1], "meta_model": files[0], "metrics": ["numerai_corr", "fnc"]}
    table = score_files(*files[:2], **arguments, executor=executor)
    assert_close(table, score_files(*files[:2], **arguments))


def test_contributions(tmp_path, executor):
    market = make_market(30, 3, 4, n_eras=4, n_features=5, random_state=0)
    market.user_predictions.assign(era=market.eras).to_parquet(tmp_path / "users.parquet")
    market.stakes.rename("stake").to_csv(tmp_path / "stakes.csv")
    market.returns.to_frame("return").to_parquet(tmp_path / "returns.parquet")
    market.exposures.to_parquet(tmp_path / "exposures.parquet")
    names = ("users.parquet", "stakes.csv", "returns.parquet")
    options = {"exposures": tmp_path / "exposures.parquet", "n_rounds": 2, "random_state": 0}
    tables = [
        contribution_files(*(tmp_path / name for name in names), **options, executor=given)
        for given in (None, executor)
    ]
    pd.testing.assert_frame_equal(tables[1], tables[0], rtol=1e-9, atol=1e-16)


def test_errors_are_those_of_one_process(files, rows, predictions, executor):
    era = rows.index[rows["era"] == "0007"]
    frame = predictions.copy()
    frame.loc[era, "prediction"] = rows.loc[era, FEATURES[0]].astype(float)
    frame.to_parquet(files[0])
    texts = []
    for given in (None, executor):
        with pytest.raises(InfeasibleExposureError, match=r"^In era 0007: ") as error:
            clip_files(*files, max_exposure=0.0, executor=given)
        texts.append(str(error.value))
    assert texts[0] == texts[1]
    assert not files[2].exists()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_worker_that_is_killed(files, tmp_path, client, executor, expected):
    before = set(client.run(os.getpid).values())
    victim = min(before)
    timer = threading.Timer(0.5, os.kill, (victim, signal.SIGKILL))
    timer.start()
    neutralize_files(*files, executor=Slow(executor))
    assert timer.finished.is_set()
    assert_close(read(files[2]), expected)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files}
    client.wait_for_workers(2, timeout=30)
    assert victim not in client.run(os.getpid).values()


def test_the_command(files, cluster, expected, capsys):
    from sknumerai.cli import main

    arguments = ["--predictions", files[0], "--features", files[1], "--output", files[2]]
    arguments += ["--normalize", "none", "--scale", "none", "--dask", cluster.scheduler_address]
    assert main(["neutralize", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert "40/40" in err
    assert "40 eras, 800 rows, 6 features" in out
    assert_close(read(files[2]), expected)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1", "nowhere", ""]
)
def test_the_command_without_a_scheduler(files, capsys, monkeypatch, address):
    from sknumerai.cli import _calls, main

    monkeypatch.setattr(_calls, "NO_CONNECTION", 1)
    arguments = ["--predictions", files[0], "--features", files[1], "--output", files[2]]
    assert main(["clip", *map(str, arguments), "--dask", address]) == 2
    out, err = capsys.readouterr()
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: --dask {address}: there is no scheduler (")
    assert line.endswith(".")
    assert "Traceback" not in out + err
    assert not files[2].exists()


def test_joblib_in_memory(client, rows, predictions):
    table, options = predictions.loc[rows.index], {"eras": rows["era"]}
    expected = neutralize(table, rows[FEATURES], **options)
    with parallel_config("dask", client=client):
        result = neutralize(table, rows[FEATURES], **options, n_jobs=2)
    assert_close(result, expected)


def test_joblib_on_files(files, client, expected):
    with parallel_config("dask", client=client):
        neutralize_files(*files, executor=2)
    assert_close(read(files[2]), expected)


def test_no_executor_is_this_process(files, client, expected, monkeypatch):
    """Whatever joblib is told."""
    kernel, eras = _neutralize.neutralize_era, []

    def counted(*arguments, **options):
        eras.append(os.getpid())
        return kernel(*arguments, **options)

    monkeypatch.setattr(_neutralize, "neutralize_era", counted)
    with parallel_config("dask", client=client):
        neutralize_files(*files)
    assert eras == [os.getpid()] * 40
    assert_close(read(files[2]), expected)


# --- a scheduler that is gone ---------------------------------------------------------------------


@pytest.fixture
def scheduler(tmp_path_factory):
    """A scheduler with a worker, each a process; gives the first and its address."""
    file = tmp_path_factory.mktemp("scheduler") / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    commands = [
        ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"],
        ["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny"],
    ]
    common = ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", file]
    processes = [
        subprocess.Popen([sys.executable, "-m", *command, *common], **quiet) for command in commands
    ]
    try:
        yield processes[0], address_in(file)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def address_in(file):
    """Once it is there, and complete."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return json.loads(file.read_text())["address"]
        except (OSError, ValueError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_scheduler_that_is_killed(files, tmp_path, scheduler):
    """An error once the client gives up to find it again, here after two seconds."""
    process, address = scheduler
    with distributed.Client(address, timeout=2, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=30)
        errors = []

        def work():
            try:
                neutralize_files(*files, executor=Slow(client.get_executor()))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        time.sleep(0.5)
        process.kill()
        thread.join(timeout=8)
    assert [type(error) for error in errors] == [LostWorkersError]
    assert str(errors[0]).startswith("The executor (Slow) lost a task ")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files[:2]}
