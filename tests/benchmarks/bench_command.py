"""The command on files of many eras: throughput and peak memory."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sknumerai.datasets import write_tournament
from tests.benchmarks._measure import Table

ROWS, FEATURES = 5000, 780


def _run(folder, output, *options):
    """Seconds and peak resident megabytes of one run of the command, in a process of its own."""
    command = [
        sys.executable, "-m", "sknumerai.cli", "clip", "--quiet",
        "--predictions", str(folder / "train_example_preds.parquet"),
        "--features", str(folder / "train.parquet"),
        "--output", str(output), *options,
    ]  # fmt: skip
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the command failed with exit code {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / (
        1024 if sys.platform != "darwin" else 1024**2
    )


def command():
    """`sknumerai clip` on 100 and on 200 eras."""
    table = Table(
        f"The command: `sknumerai clip`, eras of {ROWS:,} rows × {FEATURES} int8 features",
        ["eras", "jobs", "seconds", "rows per second", "peak memory"],
    )
    for n_eras in (100, 200):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_tournament(
                folder, n_eras + 1, ROWS, FEATURES, n_validation_eras=1, random_state=0
            )
            for n_jobs in (1, 2):
                elapsed, megabytes = _run(
                    folder, folder / f"clipped{n_jobs}.parquet", "--n-jobs", str(n_jobs)
                )
                table.add(
                    n_eras, n_jobs, f"{elapsed:.1f}", f"{n_eras * ROWS / elapsed:,.0f}",
                    f"{megabytes:,.0f} MB",
                )  # fmt: skip
    table.notes.append(
        "Start of the interpreter and imports included. The peak is that of the largest process."
    )
    return table


BENCHMARKS = [command]
