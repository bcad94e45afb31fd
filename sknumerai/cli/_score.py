"""The subcommand ``score``: predictions and targets whole, features era by era."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._era_loop import stream_eras
from sknumerai._eras import name_era
from sknumerai._typing import Array, EraLabel
from sknumerai._warnings import warn_of_eras
from sknumerai.cli._errors import CommandError
from sknumerai.cli._features import FeatureChoice, FeatureFile, Matched
from sknumerai.cli._files import read_predictions
from sknumerai.cli._report import format_table
from sknumerai.cli._score_inputs import Aligned, align, read_reference, read_targets
from sknumerai.cli._score_outputs import check_outputs, write_outputs
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics import score_summary
from sknumerai.metrics._catalogue import METRICS

STATISTICS = ("mean", "std", "sharpe", "max_drawdown", "hit_rate", "n_eras")
HEADER = ("mean", "std", "Sharpe", "drawdown", "hit rate", "eras")
NOT_OF_SCORES = ("mean", "std", "n_eras")


PLOTTED = ("numerai_corr", "mmc")


@dataclass(frozen=True)
class Job:
    """What the command line asks of ``score``."""

    predictions: Path
    prediction_columns: list[str]
    targets: Path
    target_column: str
    era_column: str
    features: Path | None
    choice: FeatureChoice
    meta_model: Path | None
    meta_model_column: str | None
    benchmark: Path | None
    benchmark_column: str | None
    per_era: Path | None
    plot: Path | None
    n_jobs: int
    quiet: bool
    overwrite: bool

    def inputs(self) -> dict[str, Path]:
        """Files to read, by option."""
        files = {
            "--predictions": self.predictions,
            "--targets": self.targets,
            "--features": self.features,
            "--features-json": self.choice.features_json,
            "--meta-model": self.meta_model,
            "--benchmark": self.benchmark,
        }
        return {option: path for option, path in files.items() if path is not None}

    def outputs(self) -> dict[str, Path]:
        """Files to write, by option."""
        files = {"--per-era": self.per_era, "--plot": self.plot}
        return {option: path for option, path in files.items() if path is not None}


def score_era(tables: Mapping[str, Array | None]) -> dict[str, Array]:
    """All metrics of one era whose tables are there, each of shape (n_predictions,)."""
    given = {name: table for name, table in tables.items() if table is not None}
    return {
        name: metric.score_era(given)
        for name, metric in METRICS.items()
        if metric.default and metric.needs_only(given)
    }


def score(job: Job) -> str:
    """Score a file of predictions; returns the report.

    Raises
    ------
    CommandError
        If files cannot be read or written, or do not fit together.
    """
    start = time.perf_counter()
    _check_options(job)
    outputs = job.outputs()
    check_outputs(outputs, job.inputs(), overwrite=job.overwrite)
    features = None if job.features is None else _open_features(job, job.features)
    predictions = read_predictions(job.predictions, job.prediction_columns, job.era_column)
    references = {
        name: read_reference(f"--{name.replace('_', '-')}", path, column, job.era_column)
        for name, path, column in (
            ("meta_model", job.meta_model, job.meta_model_column),
            ("benchmark", job.benchmark, job.benchmark_column),
        )
        if path is not None
    }
    targets = read_targets(job.targets, job.target_column, job.era_column)
    aligned = align(predictions, f"--predictions {job.predictions}", targets, references)
    results = _score_eras(job, aligned, features)
    per_era = _tables(results, aligned, predictions.names)
    warn_of_eras(
        "a prediction, what it is compared to or what neutralization leaves of it is constant, so "
        "that the score is NaN there and in the summary.",
        [
            label
            for label, result in zip(aligned.labels, results, strict=True)
            if any(np.isnan(values).any() for values in result.values())
        ],
        ConstantPredictionWarning,
    )
    if outputs:
        plotted = {METRICS[name].title: per_era[name] for name in PLOTTED if name in per_era}
        write_outputs(outputs, _tidy(per_era), plotted)
    seconds = time.perf_counter() - start
    return f"{_summary(per_era)}\n{_last_line(aligned, features, seconds, outputs)}"


def _check_options(job: Job) -> None:
    """Insist that every option has the one that it belongs to."""
    choice = job.choice
    for option, value, needs, given in (
        ("--feature-set", choice.feature_set, "--features", job.features),
        ("--features-json", choice.features_json, "--features", job.features),
        ("--feature-columns", choice.pattern, "--features", job.features),
        ("--meta-model-column", job.meta_model_column, "--meta-model", job.meta_model),
        ("--benchmark-column", job.benchmark_column, "--benchmark", job.benchmark),
    ):
        if value is not None and given is None:
            raise CommandError(f"{option} is of use with {needs} only; pass that, too.")
    if job.quiet and not job.outputs():
        raise CommandError("--quiet leaves nothing to see; pass --per-era or --plot, too.")


def _open_features(job: Job, path: Path) -> FeatureFile:
    try:
        return FeatureFile(path, job.choice, job.era_column)
    except CommandError as error:
        # Eras are needed here, where other subcommands can do without.
        text = str(error).replace(", or pass --single-era if all its rows are of one era", "")
        raise CommandError(text) from error


def _score_eras(job: Job, aligned: Aligned, features: FeatureFile | None) -> list[dict[str, Array]]:
    """Metrics of every era, in the order of the eras."""
    n_eras = len(aligned.labels)
    order, matched = list(range(n_eras)), None
    row_sets: list[Any] = list(aligned.rows)
    if features is not None:
        matched = features.match(aligned.ids, f"--predictions {job.predictions}")
        order, row_sets = _era_of_each(matched, aligned, job), list(matched.rows)

    def tasks() -> Iterator[tuple[EraLabel, tuple[Any]]]:
        blocks: Iterator[Array | None] = iter([None] * n_eras)
        if features is not None and matched is not None:
            blocks = features.blocks(matched.labels)
        for i, rows, feature_block in zip(order, row_sets, blocks, strict=True):
            tables: dict[str, Array | None] = {
                "y_true": aligned.targets[rows],
                "y_pred": aligned.predictions[rows],
                "features": feature_block,
            }
            for name, values in aligned.references.items():
                block = values[rows]
                tables[name] = None if np.isnan(block).any() else block
            yield aligned.labels[i], (tables,)

    stream = stream_eras(score_era, tasks(), total=n_eras, n_jobs=job.n_jobs, verbose=not job.quiet)
    results: list[dict[str, Array]] = [{}] * n_eras
    for i, result in zip(order, stream, strict=True):
        results[i] = result
    return results


def _era_of_each(matched: Matched, aligned: Aligned, job: Job) -> list[int]:
    """Positions, among the eras scored, of the eras of the features."""
    sizes = [rows.stop - rows.start for rows in aligned.rows]
    positions = np.repeat(np.arange(len(sizes)), sizes)
    order = []
    for label, rows in zip(matched.labels, matched.rows, strict=True):
        own = positions[rows]
        if (own != own[0]).any() or len(own) != sizes[own[0]]:
            raise CommandError(
                f"--features {job.features} and --targets {job.targets} disagree on the eras: the "
                f"{len(own)} rows of {name_era(label)} of the features are not those of one era "
                "of the targets; pass files of the same data."
            )
        order.append(int(own[0]))
    return order


def _tables(
    results: list[dict[str, Array]], aligned: Aligned, names: list[str]
) -> dict[str, pd.DataFrame]:
    """Eras x predictions for every metric, without the eras for which there is none."""
    tables = {}
    for name in METRICS:
        rows = {i: result[name] for i, result in enumerate(results) if name in result}
        if rows:
            index = pd.Index([aligned.labels[i] for i in rows], name="era")
            tables[name] = pd.DataFrame(np.array(list(rows.values())), index, names)
    return tables


def _tidy(per_era: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
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


def _summary(per_era: Mapping[str, pd.DataFrame]) -> str:
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


def _last_line(
    aligned: Aligned, features: FeatureFile | None, seconds: float, outputs: Mapping[str, Path]
) -> str:
    n_eras, n_without = len(aligned.labels), len(aligned.without_targets)
    text = f"{_count(n_eras, 'era')}, {len(aligned.ids)} rows"
    if features is not None:
        text += f", {_count(len(features.names), 'feature')}"
    text += f" in {seconds:.1f} s"
    if n_without:
        text += f"; left out {_count(n_without, 'era')} without targets"
    return text + (f" -> {', '.join(map(str, outputs.values()))}" if outputs else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
