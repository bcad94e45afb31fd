"""What clipping and neutralizing files share: predictions whole, features era by era."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypedDict

import numpy as np

from sknumerai._typing import Array, Source
from sknumerai._warnings import warn_of_nan, warn_of_widened
from sknumerai.streaming._execution import EraTask, compute
from sknumerai.streaming._feature_source import FeatureChoice, FeatureSource
from sknumerai.streaming._paths import check_output
from sknumerai.streaming._stream_report import StreamReport, tabulate
from sknumerai.streaming._whole_table import Predictions, write_predictions


class TransformOptions(TypedDict, total=False):
    """What both take beside the operation."""

    prediction_columns: str | Sequence[str] | None
    feature_set: str | None
    features_json: str | PathLike[str] | None
    feature_columns: str | Sequence[str] | None
    era_column: str
    single_era: bool
    executor: int | Executor | None
    overwrite: bool
    verbose: bool | int


def check_options(function: str, options: Mapping[str, object]) -> None:
    """Insist on options that there are."""
    unknown = sorted(set(options) - set(TransformOptions.__annotations__))
    if unknown:
        raise TypeError(
            f"{function}() got an unexpected keyword argument {unknown[0]!r}; it takes "
            f"{', '.join(TransformOptions.__annotations__)} beside its own."
        )


@dataclass(frozen=True)
class EraResult:
    """One era's new predictions, shape (n, m), and what became of each: shape (m,)."""

    values: Array
    max_exposure_before: Array
    max_exposure_after: Array
    correlation: Array
    multiple: Array


def transform_files(
    kernel: Callable[..., EraResult],
    predictions: Source,
    features: Source,
    output: str | PathLike[str],
    *,
    prediction_columns: str | Sequence[str] | None = None,
    feature_set: str | None = None,
    features_json: str | PathLike[str] | None = None,
    feature_columns: str | Sequence[str] | None = None,
    era_column: str = "era",
    single_era: bool = False,
    executor: int | Executor | None = None,
    overwrite: bool = False,
    verbose: bool | int = False,
) -> StreamReport:
    """Apply a kernel to the predictions and features of every era, and write what it returns."""
    start = time.perf_counter()
    inputs = {"predictions": predictions, "features": features}
    output = check_output("output", output, inputs, overwrite=overwrite)
    choice = FeatureChoice(feature_set, features_json, feature_columns)
    source = FeatureSource(features, choice, None if single_era else era_column)
    given = Predictions(predictions, prediction_columns, era_column)
    matched = source.match(given.ids, given.label)
    labels: list[Any] = list(matched.labels)

    def arguments(i: int) -> tuple[Array]:
        # column-major as in memory, where sums are taken in the same order
        return (np.asfortranarray(given.values[matched.predictions[i]]),)

    task = EraTask(labels, arguments, [source.features(matched)])
    values = np.empty_like(given.values)
    first_rows: list[Array] = []
    columns: dict[str, list[Array]] = {
        name: []
        for name in ("max_exposure_before", "max_exposure_after", "correlation", "multiple")
    }
    with closing(compute(kernel, task, executor=executor, verbose=verbose)) as stream:
        for rows, result in zip(matched.predictions, stream, strict=True):
            values[rows] = result.values
            first_rows.append(result.values[:1].copy())
            for name, column in columns.items():
                column.append(getattr(result, name))
    warn_of_nan(labels, first_rows)
    multiples = [float(np.fmax.reduce(multiple)) for multiple in columns["multiple"]]
    warn_of_widened(dict(zip(labels, multiples, strict=True)))
    write_predictions(given.ids, given.names, values, output)
    per_era = tabulate(labels, given.names, columns)
    seconds = time.perf_counter() - start
    return StreamReport(per_era, len(values), len(source.names), seconds, output)
