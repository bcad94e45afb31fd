"""What ``score`` reads, brought together by id."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from sknumerai._eras import EraGroups, group_eras, name_era
from sknumerai._kernels.correlation import known_targets
from sknumerai._typing import Array, EraLabel
from sknumerai.cli._errors import CommandError, naming_option
from sknumerai.cli._files import ID, Predictions, check_ids, list_some, read_head, read_predictions
from sknumerai.cli._numbers import LARGEST, unusable
from sknumerai.datasets import EraReader


@dataclass(frozen=True)
class Targets:
    """Targets of a file.

    Attributes
    ----------
    source : str
        What messages call them.
    ids : Index
    eras : EraGroups
        Labels as the file has them.
    values : ndarray of shape (n_rows, 1)
        NaN where there is none.
    """

    source: str
    ids: pd.Index
    eras: EraGroups
    values: Array


@dataclass(frozen=True)
class Reference:
    """A meta model or a benchmark.

    Attributes
    ----------
    source : str
        What messages call it.
    ids : Index
    values : ndarray of shape (n_rows, 1)
        Finite.
    """

    source: str
    ids: pd.Index
    values: Array


@dataclass(frozen=True)
class Aligned:
    """Rows that can be scored, era after era in chronological order.

    Attributes
    ----------
    labels : list of length n_eras
    rows : list of slice
    ids : Index of length n_rows
    targets : ndarray of shape (n_rows, 1)
    predictions : ndarray of shape (n_rows, n_predictions)
    references : dict of ndarray of shape (n_rows, 1)
        Meta model and benchmark, NaN in all rows of eras that they lack.
    without_targets : list
        Labels of predicted eras that have no target.
    """

    labels: list[EraLabel]
    rows: list[slice]
    ids: pd.Index
    targets: Array
    predictions: Array
    references: dict[str, Array]
    without_targets: list[EraLabel]


def read_targets(path: Path, column: str, era_column: str) -> Targets:
    """Read ids, eras and one column of targets.

    Raises
    ------
    CommandError
        If the file cannot be read, or ids, eras or targets are missing, repeated or no numbers.
    """
    source = f"--targets {path}"
    head = read_head("--targets", path)
    schema, index, own_id = head.schema, head.index, head.id
    if not own_id and len(index) != 1:
        raise CommandError(
            f"{source} has no column {ID!r} and no index of ids; write the file with the ids of "
            "the rows."
        )
    for option, what, name in (
        ("--era-column", "era", era_column),
        ("--target-column", "target", column),
    ):
        if name in index:
            raise CommandError(
                f"{source} has the {what} column {name!r} as its index; write it with the ids as "
                "index."
            )
        if name not in schema.names:
            close = get_close_matches(name, schema.names, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise CommandError(
                f"{source} has no {what} column {name!r}{hint}; name another one with {option}."
            )
    kind = schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise CommandError(
            f"Column {column!r} of {source} does not hold numbers (type {kind}); name another one "
            "with --target-column."
        )
    with naming_option("--targets", path):
        reader = EraReader(path, [era_column, column, *own_id], era_column=era_column)
        frame = reader.read()
    ids = pd.Index(frame[ID]) if own_id else frame.index
    check_ids(ids, source)
    values = frame[column].to_numpy(dtype=np.float64)
    bad = unusable(values) & ~np.isnan(values)
    if bad.any():
        kind = "infinite" if np.isinf(values).any() else f"larger than {LARGEST:g}"
        raise CommandError(
            f"{source} has {int(bad.sum())} {kind} of {len(values)} targets in column {column!r}, "
            f"first at id {ids[int(np.argmax(bad))]!r}; make them NaN if they are missing."
        )
    groups = group_eras(frame[era_column], len(frame))
    # The reader's labels, since pandas may hold them in another type.
    eras = EraGroups(reader.eras, groups.rows, len(frame), groups.categories)
    return Targets(source, ids, eras, values[:, None])


def read_reference(option: str, path: Path, column: str | None, era_column: str) -> Reference:
    """Read the one column of a meta model or a benchmark.

    Raises
    ------
    CommandError
        As `read_predictions`, or if there are several columns to choose from.
    """
    columns = [] if column is None else [column]
    reference = read_predictions(
        path, columns, era_column, option=option, column_option=f"{option}-column"
    )
    if len(reference.names) > 1:
        raise CommandError(
            f"{option} {path} has {len(reference.names)} numeric columns "
            f"({list_some(reference.names)}); name one with {option}-column."
        )
    return Reference(f"{option} {path}", reference.ids, reference.values)


def align(
    predictions: Predictions, source: str, targets: Targets, references: Mapping[str, Reference]
) -> Aligned:
    """Find the targets of predictions, and the meta model and benchmark of both.

    Parameters
    ----------
    predictions : Predictions
    source : str
        What messages call them.
    targets : Targets
    references : dict of Reference

    Returns
    -------
    aligned : Aligned
        With the keys of ``references``.

    Raises
    ------
    CommandError
        If predictions have no target row, or an era is predicted in part, lacks more targets
        than the metrics allow, or is in a reference in part.
    """
    found = _locate(targets.ids, predictions.ids)
    unknown = np.setdiff1d(np.arange(len(predictions.ids)), found)
    if len(unknown):
        raise CommandError(
            f"{len(unknown)} of {len(predictions.ids)} ids of {source} are not in "
            f"{targets.source}, first {list_some(predictions.ids[unknown], 3)}; pass the targets "
            "of these rows."
        )
    chosen, without = _predicted_eras(found, targets)
    if not chosen:
        raise CommandError(
            f"None of the {len(without)} predicted eras has a target in {targets.source}; name "
            "another --target-column, or predict eras that are resolved."
        )
    chosen = _in_order(chosen, targets)
    labels = [targets.eras.labels[i] for i in chosen]
    everything = np.arange(len(targets.ids))
    parts = [everything[targets.eras.rows[i]] for i in chosen]
    stops = np.cumsum([len(part) for part in parts])
    rows = [slice(stop - len(part), stop) for part, stop in zip(parts, stops.tolist(), strict=True)]
    order = np.concatenate(parts)
    ids = targets.ids[order]
    _check_complete(source, "predicts", found[order] >= 0, labels, rows, ids)
    _check_known(targets, targets.values[order], labels, rows)
    aligned = {
        name: _align_reference(reference, labels, rows, ids)
        for name, reference in references.items()
    }
    return Aligned(
        labels,
        rows,
        ids,
        targets.values[order],
        predictions.values[found[order]],
        aligned,
        [targets.eras.labels[i] for i in without],
    )


def _locate(ids: pd.Index, among: pd.Index) -> Array:
    """Positions of ids among others, or -1; as text, for a CSV does not say what its ids are."""
    return among.astype(str).get_indexer(ids.astype(str))


def _predicted_eras(found: Array, targets: Targets) -> tuple[list[int], list[int]]:
    """Positions of the eras with predictions: those that have targets, and the others."""
    chosen: list[int] = []
    without: list[int] = []
    for i, rows in enumerate(targets.eras.rows):
        if (found[rows] >= 0).any():
            (without if np.isnan(targets.values[rows]).all() else chosen).append(i)
    return chosen, without


def _in_order(chosen: list[int], targets: Targets) -> list[int]:
    try:
        return [chosen[i] for i in targets.eras.take(chosen).order]
    except ValueError as error:
        raise CommandError(f"{targets.source}: {error}") from error


def _check_complete(
    source: str, verb: str, there: Array, labels: list[EraLabel], rows: list[slice], ids: pd.Index
) -> None:
    partial = [i for i, era in enumerate(rows) if there[era].any() and not there[era].all()]
    if not partial:
        return
    first = partial[0]
    lacking = ~there[rows[first]]
    raise CommandError(
        f"{source} {verb} {len(partial)} of {len(rows)} eras in part: it lacks "
        f"{int(lacking.sum())} of the {len(lacking)} rows of {name_era(labels[first])}, first "
        f"{ids[rows[first]][lacking][0]!r}; pass all rows of an era or none."
    )


def _check_known(
    targets: Targets, values: Array, labels: list[EraLabel], rows: list[slice]
) -> None:
    for label, era in zip(labels, rows, strict=True):
        try:
            known_targets(values[era])
        except ValueError as error:
            raise CommandError(
                f"{targets.source}, {name_era(label)}: {str(error).partition(';')[0]}; leave out "
                "the predictions of such eras, or name another --target-column."
            ) from error


def _align_reference(
    reference: Reference, labels: list[EraLabel], rows: list[slice], ids: pd.Index
) -> Array:
    found = _locate(ids, reference.ids)
    there = found >= 0
    if not there.any():
        raise CommandError(
            f"{reference.source} has none of the {len(ids)} rows that are scored, such as "
            f"{list_some(ids, 3)}; pass the file of the same data."
        )
    _check_complete(reference.source, "holds", there, labels, rows, ids)
    return np.where(there[:, None], reference.values[found], np.nan).astype(reference.values.dtype)
