"""The report of the subcommand ``tune``."""

import time
from pathlib import Path
from typing import Any

import pandas as pd

from sknumerai.cli._calls import call
from sknumerai.cli._errors import CommandError
from sknumerai.cli._outputs import choose_outputs, plot_frontier, write_outputs
from sknumerai.streaming._text_table import count_of, format_table

SHOWN = {
    "mean": "mean",
    "std": "std",
    "sharpe": "Sharpe",
    "mean_exposure": "mean exposure",
    "worst_exposure": "worst exposure",
    "correlation": "correlation",
    "n_selected": "selected",
}


def tune(
    options: dict[str, Any],
    n_splits: int | None,
    output: Path | None,
    plot: Path | None,
    overwrite: bool,
) -> str:
    """Compare settings and write what is asked for; returns the report."""
    from sknumerai.model_selection import PurgedEraKFold

    start = time.perf_counter()
    if n_splits is not None and n_splits < 2:
        raise CommandError(f"--n-splits is {n_splits}; pass 2 or more.")
    outputs = choose_outputs(options, {"output": output, "plot": plot}, overwrite=overwrite)
    for plural in ("proportions", "limits"):
        options[plural] = options.pop(plural[:-1])
    cv = None if n_splits is None else PurgedEraKFold(n_splits, horizon="auto")
    table = call("tune_files", options, cv=cv)
    if outputs:
        writers: dict[str, Any] = {
            "output": table.to_csv,
            "plot": lambda path: plot_frontier(table, path),
        }
        write_outputs(outputs, writers)
    seconds = time.perf_counter() - start
    written = f" -> {', '.join(map(str, outputs.values()))}" if outputs else ""
    eras = count_of(table.attrs["n_eras"], "era")
    return f"{_report(table)}\n{table.attrs['scoring']} of {eras} in {seconds:.1f} s{written}"


def _report(table: pd.DataFrame) -> str:
    settings = [str(setting) for setting in table.index]
    width = max(map(len, settings))  # equally long: as if left aligned
    shown = {name: title for name, title in SHOWN.items() if name in table}
    rows = [
        [setting.ljust(width), *(table[name].iloc[i] for name in shown)]
        for i, setting in enumerate(settings)
    ]
    return format_table(["setting".ljust(width), *shown.values()], rows)
