"""Tasks of a few eras each, by whatever executor, whatever becomes of its workers."""

import gc
import os
import re
import warnings
from concurrent.futures import BrokenExecutor, CancelledError, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import numpy as np
import pandas as pd
import pytest

from sknumerai.exceptions import LostWorkersError
from tests.streaming._tables import FEATURES, make_predictions, make_rows, read

pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.datasets._era_rows import EraRows
from sknumerai.datasets._sources import ParquetParts
from sknumerai.streaming import clip_files, neutralize_files, score_files
from sknumerai.streaming._execution import EraTask, compute
from sknumerai.streaming._row_source import Reading
from tests.streaming._executors import Backward, Failing, Recorder

N_ERAS = 12
pytestmark = pytest.mark.usefixtures("small_tasks")


@pytest.fixture
def path(tmp_path):
    rows = make_rows((20,) * N_ERAS)
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=20)
    return tmp_path / "rows.parquet"


@pytest.fixture
def task(path):
    """An era's number and its features."""
    source = EraRows(path, "era")
    groups = source.groups
    reading = Reading(source.parts, FEATURES, "id", groups.rows, groups.labels)
    return EraTask(groups.labels, lambda i: (i,), [reading])


def total(number, features):
    return number, int(features.sum())


def refusing(number, features, refused=(4,)):
    if number in refused:
        raise ValueError(f"nothing can be done with {number}; pass another one.")
    return total(number, features)


def out_of_memory(number, features):
    raise MemoryError("no more")


@pytest.fixture
def expected(path):
    sums = pd.read_parquet(path).groupby("era")[FEATURES].sum().sum(axis=1)
    return list(enumerate(sums.tolist()))


def results(task, executor, kernel=total, **options):
    return list(compute(kernel, task, executor=executor, **options))


# --- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [None, 1, 2, -1, np.int64(2), True])
def test_jobs(task, expected, executor):
    assert results(task, executor) == expected


@pytest.mark.parametrize(("limit", "one"), [(200, True), (10**6, False)])
def test_one_reader_serves_all_jobs_where_row_groups_are_large(
    path, task, expected, monkeypatch, limit, one
):
    """Else each task decodes what lies before its rows, too."""
    pd.read_parquet(path).to_parquet(path)
    monkeypatch.setattr("sknumerai.streaming._execution.LARGEST_ROW_GROUP", limit)
    source = EraRows(path, "era")
    reading = Reading(source.parts, FEATURES, "id", source.groups.rows, task.labels)
    opened = []
    batches = ParquetParts.batches

    def recorded(self, *arguments):
        opened.append(arguments[0])
        return batches(self, *arguments)

    monkeypatch.setattr(ParquetParts, "batches", recorded)
    assert results(EraTask(task.labels, task.arguments, [reading]), 2) == expected
    assert (len(opened) == 1) == one


@pytest.mark.parametrize("kind", [Recorder, Backward])
def test_results_are_in_order(task, expected, kind):
    executor = kind()
    assert results(task, executor) == expected
    assert len(executor.futures) == N_ERAS  # a row group each
    if kind is Backward:
        assert executor.done == list(range(N_ERAS))[::-1]


def test_results_are_in_the_order_of_the_labels(path):
    """Which is not that of the file, in which tasks are cut."""
    source = EraRows(path, "era")
    groups = source.groups.take([7, 2, 11, 0, 3])
    reading = Reading(source.parts, FEATURES, "id", groups.rows, groups.labels)
    task = EraTask(groups.labels, lambda i: (groups.labels[i],), [reading])
    serial = results(task, None)
    assert [label for label, _ in serial] == ["0008", "0003", "0012", "0001", "0004"]
    for executor in (Recorder(), Backward(), 2):
        assert results(task, executor) == serial
    executor = Recorder()
    results(task, executor)
    first = [executor.labels(number)[0] for number in range(len(executor.futures))]
    assert first == sorted(first)


def test_few_tasks_are_under_way(task, expected, monkeypatch):
    """And no more arguments are made than that."""
    monkeypatch.setattr("sknumerai.streaming._execution.TASKS_UNDER_WAY", 3)
    made = []
    task = EraTask(task.labels, lambda i: (made.append(i) or i,), task.readings)
    executor = Recorder()
    stream = compute(total, task, executor=executor)
    for i, wanted in enumerate(expected):
        assert next(stream) == wanted
        assert len(executor.futures) == len(made) <= i + 3
    assert next(stream, None) is None
    assert executor.cancelled == [False] * N_ERAS


@pytest.mark.parametrize("executor", [None, 2, Recorder()])
def test_progress(task, capsys, executor):
    results(task, executor, verbose=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{N_ERAS}/{N_ERAS}" in err
    assert {int(total) for total in re.findall(r"\d+/(\d+)", err)} == {N_ERAS}
    results(task, executor)
    assert capsys.readouterr() == ("", "")


def test_progress_of_files(files, capsys):
    for executor in (None, 2, Recorder()):
        neutralize_files(*files, executor=executor, verbose=True, overwrite=True)
        assert "5/5" in capsys.readouterr().err


@pytest.mark.parametrize("executor", [1.5, "2", "tcp://host:8786", [], object()])
def test_what_is_no_executor(files, executor):
    with pytest.raises(ValueError, match=r"^executor is a \w+; pass None, a number of jobs, or an"):
        neutralize_files(*files, executor=executor)
    assert not files[2].exists()


@pytest.mark.parametrize("executor", [0, False])
def test_no_jobs(files, executor):
    with pytest.raises(ValueError, match="executor"):
        neutralize_files(*files, executor=executor)


# --- what travels ---------------------------------------------------------------------------------


def test_tasks_hold_no_features(tmp_path, monkeypatch):
    """Predictions do travel, and little else."""
    monkeypatch.undo()
    rows = make_rows((1000,) * 60)
    predictions = make_predictions(rows)
    paths = [tmp_path / f"{name}.parquet" for name in ("predictions", "rows", "output")]
    predictions.to_parquet(paths[0])
    rows.to_parquet(paths[1], row_group_size=5000)
    executor = Recorder()
    neutralize_files(*paths, executor=executor)
    assert len(executor.futures) == 3
    n_bytes = sum(map(len, executor.payloads))
    assert 8 * len(rows) < n_bytes < 12 * len(rows)
    executor = Recorder()
    score_files(paths[0], paths[1], features=paths[1], executor=executor)
    assert sum(map(len, executor.payloads)) < 20 * len(rows)  # targets, too


def test_tasks_of_wide_files(tmp_path):
    """Of today's 2376 features. A task has 20 to 40 thousand rows of 8 bytes each."""
    names = [f"feature_{'abcdefghij'[number % 10] * 20}_{number:04d}" for number in range(2376)]
    index = pd.Index([f"n{number:015x}" for number in range(40)], name="id")
    values = np.random.default_rng(0).integers(0, 5, (40, len(names))).astype(np.int8)
    rows = pd.DataFrame(values, index, names).assign(era=["0001"] * 20 + ["0002"] * 20)
    paths = [tmp_path / f"{name}.parquet" for name in ("predictions", "rows", "output")]
    pd.DataFrame({"prediction": np.arange(40.0)}, index).to_parquet(paths[0])
    rows.to_parquet(paths[1], row_group_size=20)
    executor = Recorder()
    neutralize_files(*paths, executor=executor)
    assert max(map(len, executor.payloads)) < 240_000  # what 30 thousand rows take


def test_paths_travel_as_they_are(tmp_path, files, monkeypatch):
    """Relative ones, too, which workers look up where they are."""
    monkeypatch.chdir(tmp_path)
    executor = Recorder()
    names = [path.name for path in files]
    neutralize_files(*names, executor=executor)
    assert all(str(tmp_path).encode() not in payload for payload in executor.payloads)


# --- workers and schedulers that are lost ---------------------------------------------------------


@pytest.mark.parametrize("error", [BrokenExecutor("x"), BrokenProcessPool("x"), OSError("gone")])
@pytest.mark.parametrize("times", [1, 2])
def test_lost_tasks_are_tried_again(task, expected, error, times):
    """Tasks 0 and 5, which have other numbers when they are tried again."""
    lost = {0: error, 5: error}
    if times == 2:
        lost |= {N_ERAS: error, N_ERAS + 2: error}
    executor = Failing(lost)
    assert results(task, executor) == expected
    assert len(executor.futures) == N_ERAS + 2 * times
    again = executor.labels(N_ERAS)
    assert again == executor.labels(0)


@pytest.mark.parametrize("text", ["", "the pipe\nis closed"])
def test_a_task_that_is_lost_again_and_again(files, text):
    executor = Failing(dict.fromkeys(range(1000), BrokenExecutor(text)))
    with pytest.raises(LostWorkersError) as error:
        neutralize_files(*files, executor=executor)
    message = str(error.value)
    reason = "BrokenExecutor: the pipe is closed" if text else "BrokenExecutor"
    assert message.startswith("The executor (Failing) lost a task 3 times, or its scheduler (")
    assert f"scheduler ({reason}); see the logs of its workers" in message
    assert message.endswith(".")
    assert "\n" not in message
    assert not files[2].exists()
    first = [i for i in range(len(executor.futures)) if executor.labels(i) == executor.labels(0)]
    assert len(first) == 3
    rest = set(range(len(executor.futures))) - set(first)
    assert rest
    assert all(executor.futures[i].cancelled() for i in rest)


def test_an_executor_that_takes_no_more(task):
    class Closed(Recorder):
        def submit(self, *arguments):
            if len(self.futures) == 4:
                raise RuntimeError("cannot schedule new futures after shutdown")
            return super().submit(*arguments)

    executor = Closed()
    with pytest.raises(LostWorkersError, match=r"RuntimeError: cannot schedule new futures after"):
        results(task, executor)
    assert executor.cancelled == [True] * 4


def test_a_pool_that_is_shut_down(files):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(LostWorkersError, match=r"The executor \(ThreadPoolExecutor\) lost"):
        clip_files(*files, executor=pool)
    assert not files[2].exists()


def test_a_task_that_others_have_cancelled(task):
    """As dask does with all of them where its scheduler is gone; nothing submitted then ends."""

    class Gone(Failing):
        def result(self, number):
            if number >= N_ERAS:
                raise AssertionError("this waits for ever")
            raise CancelledError

    executor = Gone({})
    with pytest.raises(LostWorkersError, match="CancelledError"):
        results(task, executor)
    assert len(executor.futures) == N_ERAS


def test_interruption(task):
    executor = Failing({3: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        results(task, executor)
    assert executor.cancelled[4:] == [True] * (N_ERAS - 4)


def test_results_that_are_not_taken(task):
    """Whoever stops asking lets the rest go."""
    executor = Recorder()
    stream = compute(total, task, executor=executor)
    next(stream)
    stream.close()
    assert executor.cancelled == [False] + [True] * (N_ERAS - 1)


# --- errors of kernels ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, 2, Recorder, Backward])
def test_an_error_names_its_era_once(task, kind):
    executor = kind() if isinstance(kind, type) else kind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # see test_limits_that_cannot_be_met_by_jobs
        try:
            results(task, executor, refusing)
        except ValueError as error:
            text = str(error)
        gc.collect()
    assert text == "In era 0005: nothing can be done with 4; pass another one."
    if isinstance(kind, type):
        assert len(executor.futures) == N_ERAS  # nothing is tried again


def test_the_first_error_in_the_file_is_told(task):
    kernel = partial(refusing, refused=(2, 9))
    for executor in (None, Backward()):
        with pytest.raises(ValueError, match=r"^In era 0003: "):
            results(task, executor, kernel)


def test_after_an_error_the_rest_is_cancelled(task):
    executor = Recorder()
    with pytest.raises(ValueError, match="nothing can be done"):
        results(task, executor, refusing)
    assert executor.cancelled == [False] * 5 + [True] * (N_ERAS - 5)


def test_memory_errors_are_not_tried_again(task):
    executor = Recorder()
    with pytest.raises(MemoryError, match="no more"):
        results(task, executor, out_of_memory)
    assert len(executor.futures) == N_ERAS


def test_features_that_are_missing(files, rows, executor):
    """What readers say of them is the same wherever they are."""
    broken = rows.astype(dict.fromkeys(FEATURES, float))
    broken.loc[broken.index[30], FEATURES[1]] = np.nan
    broken.to_parquet(files[1], row_group_size=37)
    texts = []
    for given in (None, executor) if not isinstance(executor, int) else (None,):
        with pytest.raises(ValueError, match="choose features without") as error:
            neutralize_files(*files, executor=given)
        texts.append(str(error.value))
    assert len(set(texts)) == 1
    assert "era 0002" in texts[0]
    assert f"in column {FEATURES[1]!r} at id {broken.index[30]!r}" in texts[0]


def test_files_that_workers_do_not_see(files):
    """They are elsewhere, and open the files themselves."""

    class Elsewhere(Recorder):
        def result(self, number):
            if files[1].exists():
                os.rename(files[1], files[1].with_suffix(".moved"))
            return self.call(number)

    executor = Elsewhere()
    with pytest.raises(FileNotFoundError, match=r"rows\.parquet' does not exist"):
        neutralize_files(*files, executor=executor)
    assert not files[2].exists()


@pytest.mark.parametrize("kind", ["executor", "this thread"])
def test_files_that_are_replaced_meanwhile(files, rows, monkeypatch, kind):
    """An error, and no numbers of other rows."""
    other = rows.sample(frac=1.0, random_state=0).sort_values("era", kind="stable")
    other.to_parquet(files[1].with_suffix(".new"), row_group_size=37)
    iterate = Reading.__iter__

    def replaced(self):
        if files[1].with_suffix(".new").exists():
            os.replace(files[1].with_suffix(".new"), files[1])
        return iterate(self)

    monkeypatch.setattr(Reading, "__iter__", replaced)
    with pytest.raises((ValueError, OSError)):
        neutralize_files(*files, executor=Recorder() if kind == "executor" else None)


def test_files_of_one_time_and_size(files, rows):
    """Such as archives hold them: there is an error, too, and no numbers of other rows."""
    options = {"compression": None, "use_dictionary": False, "row_group_size": 37}
    other = files[1].with_suffix(".new")
    rows.to_parquet(files[1], **options)
    rows[::-1].to_parquet(other, **options)
    assert other.stat().st_size == files[1].stat().st_size
    for path in (files[1], other):
        os.utime(path, ns=(1, 1))

    class Replacing(Recorder):
        def result(self, number):
            if other.exists():
                os.replace(other, files[1])
            return self.call(number)

    with pytest.raises((ValueError, OSError)):
        neutralize_files(*files, executor=Replacing())


def test_copies_of_files(files, rows):
    """Every machine may have its own, of another time."""
    neutralize_files(*files)
    expected = read(files[2])

    class Elsewhere(Recorder):
        def result(self, number):
            os.utime(files[1], ns=(number + 1, number + 1))
            return self.call(number)

    neutralize_files(*files, executor=Elsewhere(), overwrite=True)
    pd.testing.assert_frame_equal(read(files[2]), expected, check_exact=True)


def test_executors_are_left_open(files):
    """They are the caller's."""
    with ThreadPoolExecutor(1) as pool:
        neutralize_files(*files, executor=pool)
        first = read(files[2])
        neutralize_files(*files, executor=pool, overwrite=True)
        pd.testing.assert_frame_equal(read(files[2]), first, check_exact=True)
