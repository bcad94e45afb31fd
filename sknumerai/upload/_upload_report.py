"""The class UploadReport."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

import pandas as pd

MEGABYTE = 1e6


@dataclass(frozen=True)
class UploadReport:
    """What became of an upload that was run as the tournament runs it.

    ``str(report)`` is a table; ``report.passed`` says whether there are no problems.

    Attributes
    ----------
    path : Path
        The file.
    problems : tuple of str
        What the tournament would refuse, or what would go wrong there, each with what to do.
    notes : tuple of str
        What may be meant.
    runtime, python : str
        Version of Python of the runtime, and of the interpreter that ran the file.
    size : int
        Of the file, in bytes.
    n_rows : int
        Live rows that were predicted.
    load_seconds, run_seconds : float
        Time to read the file, and to predict; NaN where it was not reached.
    peak_memory : int
        Largest resident memory, in bytes.
    predictions : Series or None
        By id; None where there are none.
    """

    path: Path
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    runtime: str
    python: str
    size: int
    n_rows: int
    load_seconds: float
    run_seconds: float
    peak_memory: int
    predictions: pd.Series | None = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def __str__(self) -> str:
        rows = [
            ("file", f"{self.path}, {self.size / MEGABYTE:.1f} MB"),
            ("Python", f"{self.python}, runtime {self.runtime}"),
            ("memory", f"{self.peak_memory / MEGABYTE:,.0f} MB at most"),
        ]
        if not isnan(self.load_seconds):
            rows.append(("load", f"{self.load_seconds:.1f} s"))
        if not isnan(self.run_seconds):
            rows.append(("run", f"{self.run_seconds:.1f} s for {self.n_rows} rows"))
        if self.predictions is not None:
            low, high = self.predictions.min(), self.predictions.max()
            rows.append(("predictions", f"{low:.4f} to {high:.4f}"))
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {value}" for name, value in rows]
        lines += [f"{'note':<{width}}  {note}" for note in self.notes]
        lines += [f"{'problem':<{width}}  {problem}" for problem in self.problems]
        lines.append(f"{'result':<{width}}  {'passed' if self.passed else 'refused'}")
        return "\n".join(lines)
