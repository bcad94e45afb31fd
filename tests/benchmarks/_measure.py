"""Timing, tables, and what machine they were taken on."""

import os
import platform
import time
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import scipy
import sklearn
import threadpoolctl


def seconds(function, repeats=7, warm_up=1):
    """Median wall time of a call, and its last result."""
    for _ in range(warm_up):
        function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return median(times), result


def alternately(ours, theirs, repeats=5):
    """Median times of two calls taken in turn, so that a drift of the machine meets both."""
    ours(), theirs()
    pairs = [(seconds(ours, 1, 0)[0], seconds(theirs, 1, 0)[0]) for _ in range(repeats)]
    return median(a for a, _ in pairs), median(b for _, b in pairs)


def pretty(value):
    """Seconds in a unit that reads well."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


@dataclass
class Table:
    """One table of results."""

    title: str
    columns: list
    rows: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def add(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def markdown(self):
        lines = [f"## {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|" + "|".join(" --- " for _ in self.columns) + "|")
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"


def machine():
    """What the figures were taken on, in a line."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        pass
    blas = {
        f"{info['internal_api']} {info['version']} ({info['architecture']}, "
        f"{info['num_threads']} threads)"
        for info in threadpoolctl.threadpool_info()
        if info["user_api"] == "blas"
    }
    return (
        f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, numpy "
        f"{np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, "
        f"{', '.join(sorted(blas))}"
    )
