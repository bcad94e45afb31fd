"""The work of ``clip`` and ``neutralize``: predictions whole, features era by era."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sknumerai._era_loop import stream_eras
from sknumerai._kernels.correlation import pearson
from sknumerai._kernels.exposure import max_exposures
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._typing import Array, EraLabel, Normalize, Scale
from sknumerai._warnings import warn_of_nan, warn_of_widened
from sknumerai.cli._errors import CommandError
from sknumerai.cli._features import FeatureChoice, FeatureFile
from sknumerai.cli._files import read_predictions, write_predictions
from sknumerai.cli._paths import check_output
from sknumerai.cli._report import format_table
from sknumerai.exceptions import InfeasibleExposureError, SolverError
from sknumerai.neutralization import _neutralize
from sknumerai.neutralization._clipping import clipped_predictions


@dataclass(frozen=True)
class EraResult:
    """One era's new predictions, shape (n, m), and what became of each: shape (m,)."""

    values: Array
    max_exposure_before: Array
    max_exposure_after: Array
    correlation: Array
    multiple: Array


@dataclass(frozen=True)
class Job:
    """What the command line asks of ``clip`` or ``neutralize``, apart from the operation."""

    predictions: Path
    features: Path
    output: Path
    prediction_columns: list[str]
    choice: FeatureChoice
    era_column: str
    single_era: bool
    n_jobs: int
    quiet: bool
    overwrite: bool


def clip_era(predictions: Array, features: Array, *, limit: float, **options: Any) -> EraResult:
    """Clip one era and report on it; options are those of `clipped_predictions`."""
    limits = np.full(features.shape[1], limit)
    values, records = clipped_predictions(predictions, features, limits=limits, **options)
    correlation = np.array([record.correlation for record in records])
    before = np.array([np.abs(record.exposures_before).max() for record in records])
    return EraResult(
        values,
        np.where(np.isnan(correlation), np.nan, before),
        np.array([np.abs(record.exposures_after).max() for record in records]),
        correlation,
        np.array([record.multiple for record in records]),
    )


def neutralize_era(
    predictions: Array,
    features: Array,
    *,
    proportion: float,
    normalize: Normalize,
    scale: Scale,
) -> EraResult:
    """Neutralize one era and report on it."""
    values = _neutralize.neutralize_era(
        predictions, features, proportions=[proportion], normalize=normalize, scale=scale
    )
    normalized = normalize_columns(predictions, normalize)
    found = max_exposures(np.column_stack([normalized, values]), features)
    before, after = np.split(found, 2)
    return EraResult(
        values,
        before,
        after,
        pearson(normalized, values),
        np.ones(values.shape[1]),
    )


def clip(
    job: Job,
    *,
    max_exposure: float,
    bounds: str,
    normalize: Normalize,
    scale: Scale,
    on_infeasible: str,
) -> str:
    """Clip the exposures of a file of predictions; returns the report."""
    kernel = partial(
        clip_era,
        limit=max_exposure,
        bounds=bounds,
        normalize=normalize,
        scale=scale,
        tol=1e-9,
        widen=on_infeasible == "warn",
    )
    return _run(job, kernel)


def neutralize(job: Job, *, proportion: float, normalize: Normalize, scale: Scale) -> str:
    """Neutralize a file of predictions; returns the report."""
    return _run(
        job, partial(neutralize_era, proportion=proportion, normalize=normalize, scale=scale)
    )


def _run(job: Job, kernel: Callable[..., EraResult]) -> str:
    start = time.perf_counter()
    inputs = {"--predictions": job.predictions, "--features": job.features}
    check_output("--output", job.output, inputs, overwrite=job.overwrite)
    era_column = None if job.single_era else job.era_column
    features = FeatureFile(job.features, job.choice, era_column)
    predictions = read_predictions(job.predictions, job.prediction_columns, job.era_column)
    matched = features.match(predictions.ids, f"--predictions {job.predictions}")

    def tasks() -> Iterator[tuple[EraLabel, tuple[Array, Array]]]:
        blocks = features.blocks(matched.labels)
        for label, rows, block in zip(matched.labels, matched.rows, blocks, strict=True):
            yield label, (predictions.values[rows], block)

    values = np.empty_like(predictions.values)
    results: list[EraResult] = []
    try:
        stream = stream_eras(
            kernel, tasks(), total=len(matched.labels), n_jobs=job.n_jobs, verbose=not job.quiet
        )
        for rows, result in zip(matched.rows, stream, strict=True):
            values[rows] = result.values
            # The report needs its numbers and whether there are NaN, not its rows.
            results.append(replace(result, values=result.values[:1].copy()))
    except (InfeasibleExposureError, SolverError) as error:
        text = str(error).replace("pass on_infeasible='warn'", "pass --on-infeasible warn")
        raise CommandError(text) from error
    warn_of_nan(matched.labels, [result.values for result in results])
    multiples = [float(np.fmax.reduce(result.multiple)) for result in results]
    warn_of_widened(dict(zip(matched.labels, multiples, strict=True)))
    write_predictions(replace(predictions, values=values), job.output)
    table = _summary(predictions.names, len(values), results)
    n_eras, seconds = len(results), time.perf_counter() - start
    return (
        f"{table}\n{n_eras} era{'s' * (n_eras != 1)}, {len(values)} rows, {len(features.names)} "
        f"features in {seconds:.1f} s -> {job.output}"
    )


def _summary(names: list[str], n_rows: int, results: list[EraResult]) -> str:
    """A table of what became of every prediction."""
    before = np.array([result.max_exposure_before for result in results])
    after = np.array([result.max_exposure_after for result in results])
    correlation = np.array([result.correlation for result in results])
    header = ["prediction", "eras", "rows", "mean", "worst", "mean", "worst", "mean", "min"]
    rows = []
    for j, name in enumerate(names):
        numbers = [
            function(column[~np.isnan(column)]) if not np.isnan(column).all() else np.nan
            for column, functions in (
                (before[:, j], (np.mean, np.max)),
                (after[:, j], (np.mean, np.max)),
                (correlation[:, j], (np.mean, np.min)),
            )
            for function in functions
        ]
        rows.append([name, len(results), n_rows, *numbers])
    above = [
        ("", 3),
        ("max exposure before", 2),
        ("max exposure after", 2),
        ("corr. with original", 2),
    ]
    return format_table(header, rows, above=above)
