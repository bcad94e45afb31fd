"""What scoring reads, brought together by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from sknumerai._eras import EraGroups, name_era
from sknumerai._kernels.correlation import MAX_MISSING_TARGETS, known_targets
from sknumerai._typing import Array, EraLabel, Source
from sknumerai.streaming._ids import Ids
from sknumerai.streaming._numbers import LARGEST, check_finite, unusable
from sknumerai.streaming._row_source import RowSource
from sknumerai.streaming._whole_table import PREDICTION, Predictions, WholeTable


@dataclass(frozen=True)
class Column:
    """Targets, a meta model or a benchmark: a number for each id.

    Attributes
    ----------
    ids : Ids
    values : ndarray of shape (n_rows, 1)
        Targets are NaN where there is none.
    """

    ids: Ids
    values: Array

    @property
    def label(self) -> str:
        return self.ids.source


@dataclass(frozen=True)
class ScoredRows:
    """Rows that can be scored, era after era in chronological order.

    Attributes
    ----------
    source, predicted : str
        What messages call the targets, and the predictions.
    labels : list of length n_eras
    rows : list of slice
    targets : ndarray of shape (n_rows, 1)
    predictions : ndarray of shape (n_rows, n_predictions)
    references : dict of ndarray of shape (n_rows, 1)
        Meta model and benchmark, NaN in rows that they lack.
    without_targets : list
        Labels of predicted eras that have no target.
    """

    source: str
    predicted: str
    labels: list[EraLabel]
    rows: list[slice]
    targets: Array
    predictions: Array
    references: dict[str, Array]
    without_targets: list[EraLabel]

    def without(self, reference: str) -> list[EraLabel]:
        """Labels of the eras in which a reference lacks too many rows."""
        values = self.references[reference]
        pairs = zip(self.labels, self.rows, strict=True)
        return [label for label, rows in pairs if lacks_too_many(values[rows])]


def lacks_too_many(values: Array) -> bool:
    """Whether more rows of an era are NaN than the metrics allow."""
    return bool(np.isnan(values).mean() > MAX_MISSING_TARGETS)


def read_targets(rows: RowSource, column: str, era_column: str) -> tuple[Column, EraGroups]:
    """Read ids, eras and one column of targets.

    Raises
    ------
    ValueError, OSError
        If files cannot be read, or ids, eras or targets are missing, repeated or no numbers.
    """
    for argument, what, name, there in (
        ("era_column", "era", era_column, rows.has_eras),
        ("target_column", "target", column, column in rows.columns),
    ):
        if name == rows.id_column:
            raise ValueError(
                f"{rows.label} has the {what} column {name!r} as its index; write it with the ids "
                "as index."
            )
        if not there:
            known = [*rows.columns, *[era_column] * rows.has_eras]
            close = get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(
                f"{rows.label} has no {what} column {name!r}{hint}; name another one with "
                f"{argument}=."
            )
    rows.check_numeric([column], "name another one with target_column=")
    ids, values = rows.ids, rows.read_numbers(column)
    bad = unusable(values) & ~np.isnan(values)
    if bad.any():
        kind = "infinite" if np.isinf(values).any() else f"larger than {LARGEST:g}"
        raise ValueError(
            f"{rows.label} has {int(bad.sum())} {kind} of {len(values)} targets in column "
            f"{column!r}, first at id {ids[int(np.argmax(bad))]!r}; make them NaN if they are "
            "missing."
        )
    return Column(ids, values[:, None]), rows.groups


def read_reference(source: Source, argument: str, column: str | None, era_column: str) -> Column:
    """Read the one column of a meta model or a benchmark.

    Raises
    ------
    ValueError, OSError
        If files cannot be read, there are several columns to choose from, ids are missing or
        numbers are infinite.
    """
    table = WholeTable(source, argument, [column or PREDICTION])
    name = table.the_one(column, PREDICTION, era_column, f"{argument}_column")
    values = table.values([name], f"{argument}_column")
    check_finite(np.where(np.isnan(values), 0.0, values), table.ids, [name], table.label)
    return Column(table.ids, values)


def bring_together(
    predictions: Predictions,
    targets: Column,
    eras: EraGroups,
    references: Mapping[str, Column],
) -> tuple[ScoredRows, Ids]:
    """Find the targets of predictions, and the meta model and benchmark of both.

    Returns
    -------
    rows : ScoredRows
    ids : Ids
        Of these rows.

    Raises
    ------
    ValueError
        If predictions have no target row, an era is predicted in part or lacks more targets than
        the metrics allow, or all eras lack more of a reference.
    """
    found = predictions.ids.locate(targets.ids)  # of each target row, or -1
    there = np.zeros(len(predictions.ids), dtype=bool)
    there[found[found >= 0]] = True
    if not there.all():
        unknown = np.flatnonzero(~there)
        raise ValueError(
            f"{len(unknown)} of {len(there)} ids of {predictions.label} are not in "
            f"{targets.label}, first {predictions.ids.some(unknown)}; pass the targets of these "
            "rows."
        )
    chosen, without = _predicted_eras(found, targets, eras)
    if not chosen:
        raise ValueError(
            f"None of the {len(without)} predicted eras has a target in {targets.label}; name "
            "another target_column=, or predict eras that are resolved."
        )
    try:
        groups = eras.take(chosen).sorted()
    except ValueError as error:
        raise ValueError(f"{targets.label}: {error}") from error
    labels = list(groups.labels)
    everything = np.arange(len(found), dtype=found.dtype)
    parts = [everything[rows] for rows in groups.rows]
    stops = np.cumsum([len(part) for part in parts]).tolist()
    rows = [slice(stop - len(part), stop) for part, stop in zip(parts, stops, strict=True)]
    order = np.concatenate(parts)
    ids, values = targets.ids, targets.values
    if not np.array_equal(order, everything):  # copies are large
        ids, values, found = ids.take(order), values[order], found[order]
    del everything, parts, order
    _check_complete(predictions.label, found >= 0, labels, rows, ids)
    _check_known(targets, values, labels, rows)
    scored = ScoredRows(
        targets.label,
        predictions.label,
        labels,
        rows,
        values,
        predictions.values[found],
        {name: _in_order(column, ids) for name, column in references.items()},
        [eras.labels[i] for i in without],
    )
    for name, column in references.items():
        if len(scored.without(name)) == len(labels):
            raise ValueError(
                f"{column.label} lacks more than {MAX_MISSING_TARGETS:.0%} of the rows of every "
                f"one of {len(labels)} eras that are scored; pass the file of the same data."
            )
    return scored, ids


def _predicted_eras(found: Array, targets: Column, eras: EraGroups) -> tuple[list[int], list[int]]:
    """Positions of the eras with predictions: those that have targets, and the others."""
    chosen: list[int] = []
    without: list[int] = []
    for i, rows in enumerate(eras.rows):
        if (found[rows] >= 0).any():
            (without if np.isnan(targets.values[rows]).all() else chosen).append(i)
    return chosen, without


def _check_complete(
    source: str, there: Array, labels: list[EraLabel], rows: list[slice], ids: Ids
) -> None:
    partial = [i for i, era in enumerate(rows) if there[era].any() and not there[era].all()]
    if not partial:
        return
    first = rows[partial[0]]
    lacking = ~there[first]
    raise ValueError(
        f"{source} predicts {len(partial)} of {len(rows)} eras in part: it lacks "
        f"{int(lacking.sum())} of the {len(lacking)} rows of {name_era(labels[partial[0]])}, first "
        f"{ids[first.start + int(np.argmax(lacking))]!r}; pass all rows of an era or none."
    )


def _check_known(targets: Column, values: Array, labels: list[EraLabel], rows: list[slice]) -> None:
    for label, era in zip(labels, rows, strict=True):
        try:
            known_targets(values[era])
        except ValueError as error:
            raise ValueError(
                f"{targets.label}, {name_era(label)}: {str(error).partition(';')[0]}; leave out "
                "the predictions of such eras, or name another target_column=."
            ) from error


def _in_order(column: Column, ids: Ids) -> Array:
    """A reference's values of the rows that are scored, NaN where it has none."""
    found = column.ids.locate(ids)
    there = found >= 0
    if not there.any():
        raise ValueError(
            f"{column.label} has none of the {len(ids)} rows that are scored, such as "
            f"{ids.some(np.arange(len(ids)))}; pass the file of the same data."
        )
    return np.where(there[:, None], column.values[found], np.nan).astype(column.values.dtype)
