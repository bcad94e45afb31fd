"""The report of the subcommand ``score``."""

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sknumerai.cli import _outputs
from sknumerai.cli._calls import call
from sknumerai.exceptions import UnscoredErasWarning
from sknumerai.metrics import score_summary
from sknumerai.metrics._catalogue import METRICS
from sknumerai.streaming._text_table import count_of, format_table

STATISTICS = ("mean", "std", "sharpe", "max_drawdown", "hit_rate", "n_eras")
HEADER = ("mean", "std", "Sharpe", "drawdown", "hit rate", "eras")
NOT_OF_SCORES = ("mean", "std", "n_eras")
PLOTTED = ("numerai_corr", "mmc")


def score(options: dict[str, Any], per_era: Path | None, plot: Path | None, overwrite: bool) -> str:
    """Score a file of predictions and write what is asked for; returns the report."""
    start = time.perf_counter()
    files = {"per_era": per_era, "plot": plot}
    outputs = _outputs.choose_outputs(options, files, overwrite=overwrite)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnscoredErasWarning)  # the report counts them
        scores = call("score_files", options)
    tables = _by_metric(scores)
    if outputs:
        plotted = {METRICS[name].title: tables[name] for name in PLOTTED if name in tables}
        writers: dict[str, Any] = {
            "per_era": lambda path: _tidy(tables).to_csv(path, index=False),
            "plot": lambda path: _outputs.plot_cumulative(plotted, path),
        }
        _outputs.write_outputs(outputs, writers)
    seconds = time.perf_counter() - start
    return f"{_summary(tables)}\n{_last_line(scores, seconds, outputs)}"


def _by_metric(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Eras x predictions for every metric, without the eras for which there is none."""
    if scores.columns.nlevels == 1:
        scores = pd.concat({"prediction": scores}, axis=1, names=["prediction", "metric"])
    lacking = {
        name: [*table_of(scores, name, "meta_model"), *table_of(scores, name, "benchmark")]
        for name in scores.columns.unique("metric")
    }
    return {
        name: pd.DataFrame(scores.xs(name, axis=1, level="metric")).drop(index=eras)
        for name, eras in lacking.items()
    }


def table_of(scores: pd.DataFrame, metric: str, reference: str) -> list[Any]:
    """The eras in which a metric lacks a reference that it needs."""
    needed = reference in METRICS[metric].tables
    return scores.attrs[f"without_{reference}"] if needed else []


def _tidy(per_era: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for every era and prediction, a column for every metric."""
    corr = per_era["numerai_corr"]  # has all eras
    columns = {
        name: table.reindex(corr.index).to_numpy().ravel() for name, table in per_era.items()
    }
    keys = {
        "era": np.repeat(corr.index.to_numpy(), corr.shape[1]),
        "prediction": np.tile(corr.columns.to_numpy(), len(corr)),
    }
    return pd.DataFrame(keys | columns)


def _summary(per_era: dict[str, pd.DataFrame]) -> str:
    """A table of statistics over eras, prediction after prediction."""
    width = max(len(METRICS[name].title) for name in per_era)  # equally long: as if left aligned
    summaries = {name: score_summary(table) for name, table in per_era.items()}
    rows = []
    for j, prediction in enumerate(per_era["numerai_corr"]):
        for name, summary in summaries.items():
            shown = STATISTICS if METRICS[name].is_score else NOT_OF_SCORES
            cells = [summary[key].iloc[j] if key in shown else "-" for key in STATISTICS]
            rows.append([prediction, METRICS[name].title.ljust(width), *cells])
    return format_table(["prediction", "metric".ljust(width), *HEADER], rows)


def _last_line(scores: pd.DataFrame, seconds: float, outputs: dict[str, Path]) -> str:
    found = scores.attrs
    text = f"{count_of(len(scores), 'era')}, {found['n_rows']} rows"
    if found["n_features"]:
        text += f", {count_of(found['n_features'], 'feature')}"
    text += f" in {seconds:.1f} s"
    for reference in ("meta_model", "benchmark"):
        if found[f"without_{reference}"]:
            lacking = count_of(len(found[f"without_{reference}"]), "era")
            text += f"; {lacking} without {reference.replace('_', ' ')}"
    if found["without_targets"]:
        text += f"; left out {count_of(len(found['without_targets']), 'era')} without targets"
    return text + (f" -> {', '.join(map(str, outputs.values()))}" if outputs else "")
