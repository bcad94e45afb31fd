"""Files of many eras: throughput and peak memory, by jobs here and by workers of a cluster."""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from sknumerai.metrics import era_table
from sknumerai.neutralization import clip_exposure, neutralize
from sknumerai.streaming import clip_files, neutralize_files
from tests.benchmarks._measure import Table, alternately

ROWS, FEATURES, ERAS_PER_ROW_GROUP = 5000, 780, 4
FUNCTIONS = ("clip_files", "neutralize_files", "score_files")

# dask lets workers give back memory at once, which makes allocations slow: see the user guide.
ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
ALLOCATION = {
    f"{ENVIRONMENT}.MALLOC_TRIM_THRESHOLD_": 2**30,
    f"{ENVIRONMENT}.MALLOC_MMAP_THRESHOLD_": 2**25,
}

# In a process of its own, whose peak memory is that of the call; the peak counts that of the parent
# at the fork, hence a small one between.
CALL = """
import resource, sys, time
from pathlib import Path
from sknumerai import streaming

name, folder, n_jobs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
predictions, features = folder / "predictions.parquet", folder / "features.parquet"
start = time.perf_counter()
if name == "score_files":
    streaming.score_files(predictions, features, features=features, executor=n_jobs)
else:
    output = folder / "output.parquet"
    getattr(streaming, name)(predictions, features, output, executor=n_jobs, overwrite=True)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
LAUNCHER = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"


def _run(name, folder, n_jobs):
    """Seconds and peak resident megabytes of a call, with linear algebra on one thread each."""
    command = [sys.executable, "-c", LAUNCHER, "-c", CALL, name, str(folder), str(n_jobs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    elapsed, peak = (float(number) for number in done.stdout.split())
    return elapsed, peak / (1024**2 if sys.platform == "darwin" else 1024)


@contextmanager
def _files(n_eras):
    """A folder with features, targets and predictions of so many eras."""
    rng = np.random.default_rng(0)
    names = [f"feature_{i:04d}" for i in range(FEATURES)]
    weights = rng.normal(size=20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer, held, predictions = None, [], []
        for era in range(1, n_eras + 1):
            block = rng.integers(0, 5, (FEATURES, ROWS), dtype=np.int8)
            ids = pa.array([f"n{number:015x}" for number in rng.integers(0, 2**60, ROWS)])
            linear = weights @ block[:20]
            prediction = linear / linear.std() + 3.0 * rng.normal(size=ROWS)
            columns = {"id": ids, "era": pa.array([f"{era:04d}"] * ROWS)}
            columns["target"] = pa.array(rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], ROWS))
            held.append(pa.table(columns | dict(zip(names, map(pa.array, block), strict=True))))
            predictions.append(pa.table({"id": ids, "prediction": pa.array(prediction)}))
            if len(held) == ERAS_PER_ROW_GROUP or era == n_eras:
                table, held = pa.concat_tables(held), []
                writer = writer or pq.ParquetWriter(folder / "features.parquet", table.schema)
                writer.write_table(table, row_group_size=len(table))
        writer.close()
        pq.write_table(pa.concat_tables(predictions), folder / "predictions.parquet")
        yield folder


def _reading(folder):
    """Seconds that pyarrow alone needs to decode the features, on one thread."""
    start = time.perf_counter()
    with pq.ParquetFile(folder / "features.parquet") as file:
        names = [name for name in file.schema_arrow.names if name.startswith("feature")]
        for _ in file.iter_batches(batch_size=ROWS, columns=names, use_threads=False):
            pass
    return time.perf_counter() - start


def files():
    """Clipping, neutralizing and scoring files of 100 and of 400 eras."""
    table = Table(
        f"Files: eras of {ROWS:,} rows × {FEATURES} int8 features",
        ["eras", "function", "jobs", "seconds", "rows per second", "speed-up", "peak memory"],
    )
    peaks = {}
    for n_eras in (100, 400):
        with _files(n_eras) as folder:
            seconds = median(_reading(folder) for _ in range(3))
            rate = f"{n_eras * ROWS / seconds:,.0f}"
            table.add(n_eras, "pyarrow decodes alone", 1, f"{seconds:.1f}", rate, "", "")
            for name in FUNCTIONS:
                runs = {n_jobs: [] for n_jobs in (1, 2)}
                for _ in range(3):  # in turn, so that a drift of the machine meets both
                    for n_jobs, found in runs.items():
                        found.append(_run(name, folder, n_jobs))
                serial = median(elapsed for elapsed, _ in runs[1])
                for n_jobs, found in runs.items():
                    elapsed = median(elapsed for elapsed, _ in found)
                    peak = median(megabytes for _, megabytes in found)
                    peaks[n_eras, name, n_jobs] = peak
                    table.add(
                        n_eras, name, n_jobs, f"{elapsed:.1f}",
                        f"{n_eras * ROWS / elapsed:,.0f}",
                        f"{serial / elapsed:.2f}" if n_jobs > 1 else "", f"{peak:,.0f} MB",
                    )  # fmt: skip
    growth = [
        f"{name} {(peaks[400, name, 1] - peaks[100, name, 1]) / 300:.2f} MB" for name in FUNCTIONS
    ]
    table.notes.append(
        "Imports not included. Scoring is CORR, FNC and the largest exposure. Memory grows with "
        f"every further era, one job, by: {', '.join(growth)}; some 190 MB are imports."
    )
    return table


def in_memory():
    """Two jobs against one of the functions on tables in memory."""
    table = Table(
        f"Two jobs against one, in memory: 24 eras of {ROWS:,} × {FEATURES} int8",
        ["function", "1 job", "2 jobs", "speed-up"],
    )
    rng = np.random.default_rng(0)
    n = 24 * ROWS
    features = rng.integers(0, 5, (FEATURES, n), dtype=np.int8).T
    linear = features[:, :20] @ rng.normal(size=20)
    predictions = linear / linear.std() + 3.0 * rng.normal(size=n)
    target = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], n)
    eras = np.repeat(np.arange(24), ROWS)
    calls = {
        "neutralize": lambda n_jobs: neutralize(predictions, features, eras=eras, n_jobs=n_jobs),
        "clip_exposure": lambda n_jobs: clip_exposure(
            predictions, features, 0.02, eras=eras, n_jobs=n_jobs
        ),
        "era_table": lambda n_jobs: era_table(
            target, predictions, eras=eras, features=features, n_jobs=n_jobs
        ),
    }
    with threadpool_limits(1):
        for name, call in calls.items():
            one, two = alternately(lambda call=call: call(1), lambda call=call: call(2))
            table.add(name, f"{one:.2f} s", f"{two:.2f} s", f"{one / two:.2f}")
    table.notes.append("Linear algebra on one thread per job.")
    return table


def cluster():
    """Workers of a dask cluster on this machine."""
    import dask
    from distributed import Client, LocalCluster

    table = Table(
        f"A dask cluster on this machine: 100 eras of {ROWS:,} × {FEATURES} int8",
        ["function", "1 worker", "2 workers", "speed-up"],
    )
    functions = (clip_files, neutralize_files)
    found = {}
    with _files(100) as folder:
        names = [folder / f"{name}.parquet" for name in ("predictions", "features", "output")]
        for n_workers in (1, 2):
            options = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": None}
            with (
                dask.config.set(ALLOCATION),
                LocalCluster(**options) as local,
                Client(local) as client,
            ):
                executor = client.get_executor()
                for function in functions:
                    function(*names, executor=executor, overwrite=True)  # which imports
                    times = []
                    for _ in range(3):
                        start = time.perf_counter()
                        function(*names, executor=executor, overwrite=True)
                        times.append(time.perf_counter() - start)
                    found[function.__name__, n_workers] = median(times)
                start = time.perf_counter()
                for future in [executor.submit(abs, -1) for _ in range(200)]:
                    future.result()
                overhead = (time.perf_counter() - start) / 200
        for function in functions:
            one, two = (found[function.__name__, n_workers] for n_workers in (1, 2))
            table.add(function.__name__, f"{one:.2f} s", f"{two:.2f} s", f"{one / two:.2f}")
        counting = _Counting()
        clip_files(*names, executor=counting, overwrite=True)
    sent, received = (size / (100 * ROWS) for size in (counting.sent, counting.received))
    table.notes.append(
        f"{counting.n_tasks} tasks. Sent per row: {sent:.2f} bytes, {sent / FEATURES:.2%} of its "
        f"features ({sent / 2376:.2%} of 2,376); received {received:.2f}. A task that does nothing "
        f"takes {1e3 * overhead:.1f} ms."
    )
    return table


class _Counting:
    """An executor that runs tasks at once and counts the bytes of them and of their results."""

    def __init__(self):
        self.n_tasks = self.sent = self.received = 0

    def submit(self, function, *arguments):
        outcome = function(*arguments)
        self.n_tasks += 1
        self.sent += len(pickle.dumps((function, arguments)))
        self.received += len(pickle.dumps(outcome))
        future = Future()
        future.set_result(outcome)
        return future


BENCHMARKS = [files, in_memory, cluster]
