"""The command on files of many eras: throughput and peak memory."""

import subprocess
import sys
import tempfile
from pathlib import Path

from sknumerai.datasets import write_tournament
from tests.benchmarks._measure import Table

ROWS, FEATURES = 5000, 780


# The peak memory of a process counts that of its parent at the fork: a small one starts it.
LAUNCHER = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen([sys.executable, "-m", "sknumerai.cli", *sys.argv[1:]])
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - start, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _run(folder, output, *options):
    """Seconds and peak resident megabytes of one run of the command, in a process of its own."""
    arguments = [
        "clip", "--quiet",
        "--predictions", str(folder / "train_example_preds.parquet"),
        "--features", str(folder / "train.parquet"),
        "--output", str(output), *options,
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *arguments], stdout=subprocess.PIPE, check=True, text=True
    )
    elapsed, peak = (float(number) for number in done.stdout.split())
    return elapsed, peak / (1024**2 if sys.platform == "darwin" else 1024)


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
