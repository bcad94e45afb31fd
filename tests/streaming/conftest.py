import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from threadpoolctl import threadpool_limits

from tests.streaming._tables import make_predictions, make_rows


@pytest.fixture(autouse=True, scope="module")
def one_thread_of_linear_algebra():
    """Several may sum in another order, which the last digits tell."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def rows():
    return make_rows()


@pytest.fixture(scope="session")
def predictions(rows):
    return make_predictions(rows)


@pytest.fixture
def files(tmp_path, rows, predictions):
    """Paths of predictions, of rows in row groups that eras span, and of the output."""
    predictions.to_parquet(tmp_path / "predictions.parquet")
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=37)
    return [tmp_path / f"{name}.parquet" for name in ("predictions", "rows", "output")]


@pytest.fixture
def small_tasks(monkeypatch):
    """Executors get tasks of one era or two."""
    monkeypatch.setattr("sknumerai.streaming._execution.ROWS_PER_TASK", 20)


@pytest.fixture(scope="session")
def pools():
    """Numbers of jobs, and executors that share memory with this process, or do not."""
    context = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1, mp_context=context) as processes:
        yield {"jobs": 2, "all jobs": -1, "threads": threads, "processes": processes}


@pytest.fixture(params=["jobs", "all jobs", "threads", "processes"])
def executor(request, pools, small_tasks):
    return pools[request.param]
