"""The report of the subcommand ``tc``."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._eras import name_era
from sknumerai.cli._calls import call
from sknumerai.metrics import score_summary
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.streaming._paths import check_output
from sknumerai.streaming._quoting import list_some
from sknumerai.streaming._text_table import count_of, format_table
from sknumerai.streaming._whole_table import write_frame

HEADER = ("user", "mean", "std", "Sharpe", "hit rate", "eras")
N_SHOWN = 10  # at either end of the ranking
INPUTS = (
    *("user_predictions", "stakes", "returns", "exposures", "features_json"),
    *("factor_loadings", "factor_covariance"),
)


def contributions(
    options: dict[str, Any], program: dict[str, Any], output: Path | None, overwrite: bool
) -> str:
    """Compute the contributions of users, and write them; returns the report."""
    start = time.perf_counter()
    if output is not None:
        check_output("output", output, {n: options[n] for n in INPUTS}, overwrite=overwrite)
    table = call("contribution_files", options, optimizer=PortfolioOptimizer(**program))
    if output is not None:
        write_frame(table, output)
    seconds = time.perf_counter() - start
    rounds = count_of(options["n_rounds"], "round")
    return f"{_summary(table)}\n{_last_lines(table, rounds, seconds, output)}"


def _summary(table: pd.DataFrame) -> str:
    """Statistics of the users that contribute most and least, over the eras they took part in."""
    ranking = table.mean().dropna().sort_values(ascending=False, kind="stable").index
    chosen = list(ranking)
    if len(ranking) > 2 * N_SHOWN:
        chosen = [*ranking[:N_SHOWN], None, *ranking[-N_SHOWN:]]
    rows = []
    for user in chosen:
        if user is None:
            rows.append(["...", *[""] * (len(HEADER) - 1)])
            continue
        summary = score_summary(table[user].dropna())
        small = [f"{summary[name]:.2e}" for name in ("mean", "std")]
        others = [summary["sharpe"], summary["hit_rate"], int(summary["n_eras"])]
        rows.append([user, *small, *others])
    return format_table(HEADER, rows)


def _last_lines(table: pd.DataFrame, rounds: str, seconds: float, output: Path | None) -> str:
    shares = np.array(table.attrs["free_share"])
    lowest = int(np.argmin(shares))
    text = (
        f"free assets in the median round: {shares.mean():.1%}, least {shares[lowest]:.1%} in "
        f"{name_era(table.index[lowest])}\n"
    )
    silent = table.columns[table.isna().all()]
    if len(silent):
        text += f"without a contribution: {len(silent)} users ({list_some(silent, 3)})\n"
    text += (
        f"{count_of(len(table), 'era')}, {table.attrs['n_rows']} rows, "
        f"{count_of(table.shape[1], 'user')}, {rounds} in {seconds:.1f} s"
    )
    return text + (f" -> {output}" if output else "")
