"""Calls in parallel under any backend of joblib: in order, bounded, and never orphaned."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from joblib.parallel import BACKENDS, MultiprocessingBackend, SequentialBackend
from sklearn.linear_model import Ridge

import sknumerai
from sknumerai._parallel import CALLS_PER_JOB, call_in_order
from sknumerai.datasets import make_tournament
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, neutralize


class NoGenerators(SequentialBackend):
    """As Ray's: registered from outside, and without return_as="generator"."""

    supports_return_generator = False


@pytest.fixture
def no_generators(monkeypatch):
    monkeypatch.setitem(BACKENDS, "no_generators", NoGenerators)
    return "no_generators"


def square(number):
    return number * number


@pytest.mark.parametrize("n_jobs", [None, 1, 2, -1, np.int64(2)])
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing", "no_generators"])
def test_results_are_in_order(no_generators, backend, n_jobs):
    numbers = range(11)
    with parallel_config(backend):
        results = list(call_in_order(square, ((i,) for i in numbers), n_jobs=n_jobs))
    assert results == [i * i for i in numbers]


def test_arguments_are_read_as_results_are_taken(no_generators):
    read = []

    def arguments():
        for i in range(100):
            read.append(i)
            yield (i,)

    with parallel_config(no_generators):
        results = call_in_order(square, arguments(), n_jobs=2)
        for i, _ in enumerate(results):
            assert len(read) <= i + 1 + 2 * CALLS_PER_JOB
    assert len(read) == 100


def test_a_pool_is_used_for_all_calls():
    class Counted(MultiprocessingBackend):
        started = 0

        def configure(self, *arguments, **options):
            type(self).started += 1
            return super().configure(*arguments, **options)

    with parallel_config(Counted()):
        assert len(list(call_in_order(square, ((i,) for i in range(20)), n_jobs=2))) == 20
    assert Counted.started == 1


@pytest.mark.parametrize("backend", ["multiprocessing", "no_generators"])
def test_the_library_works_under_such_backends(no_generators, backend):
    data = make_tournament(12, 30, 4, random_state=0)
    table = data.data, data.target
    options = {"eras": data.eras, "cv": PurgedEraKFold(3, horizon=5), "n_jobs": 2}
    expected = era_cross_val_predict(Ridge(), *table, **options)
    neutral = neutralize(data.target, data.data, eras=data.eras)
    with parallel_config(backend):
        np.testing.assert_array_equal(era_cross_val_predict(Ridge(), *table, **options), expected)
        result = neutralize(data.target, data.data, eras=data.eras, n_jobs=2)
    np.testing.assert_array_equal(result, neutral)


@pytest.mark.parametrize("transformer", [FeatureNeutralizer, ExposureClipper])
def test_numpy_integers_are_numbers_of_jobs(transformer):
    data = make_tournament(3, 30, 4, random_state=0)
    columns = {"features": data.data, "eras": data.eras}
    predictions = np.random.default_rng(0).normal(size=(len(data.data), 1))
    results = [
        transformer(n_jobs=n_jobs).fit_transform(predictions, **columns)
        for n_jobs in (1, np.int64(1), np.int8(1))
    ]
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from sknumerai._parallel import call_in_order\n"
        "def work(i):\n"
        "    (Path(sys.argv[1]) / str(os.getpid())).touch()\n"
        "    time.sleep(60)\n"
        "list(call_in_order(work, ((i,) for i in range(4)), n_jobs=2))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(sknumerai.__file__).parents[1])}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(tmp_path.iterdir())) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(lives(path.name) for path in tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [path.name for path in tmp_path.iterdir() if lives(path.name)]


def lives(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except OSError:
        return False
