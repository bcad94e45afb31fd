"""The eras of parquet files: which rows are of which, and their columns era by era."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._eras import EraGroups, Rows
from sknumerai._optional import import_optional
from sknumerai._typing import Array, EraLabel, Source
from sknumerai.datasets._parquet import (
    BlockBuilder,
    Builder,
    FrameBuilder,
    RowCursor,
    default_batch_size,
)
from sknumerai.datasets._sources import ParquetParts, index_columns

LABELS_AT_A_TIME = 2**18  # rows of a single column that are decoded at once


class EraRows:
    """The rows of parquet files, grouped by era.

    Parameters
    ----------
    source : str, path-like or sequence of these
        A file, a list of files, a folder of parts or a glob.
    era_column : str or None
        None takes all rows as one era without a label.
    argument : str
        What messages call the source.

    Attributes
    ----------
    parts : ParquetParts
    index : list of str
        Columns that hold the index.
    codes : ndarray of shape (n_rows,), int32
        Number of each row's era, by first appearance.
    labels : list
        Of the eras, in order of first appearance, as the file has them.
    """

    def __init__(self, source: Source, era_column: str | None, argument: str = "path"):
        with ParquetParts(source, argument) as parts:
            self.parts = parts
            self.index = index_columns(parts.schema)
            for name in (*([] if era_column is None else [era_column]), *self.index):
                check_labels(parts, name)
            if parts.n_rows == 0:
                raise ValueError(f"{parts.label} has no rows; download or write it again.")
            if era_column is None:
                self.codes: Array = np.zeros(parts.n_rows, dtype=np.int32)
                self.labels: list[EraLabel] = [None]
            else:
                self.codes, self.labels = _read_eras(parts, era_column)

    @property
    def groups(self) -> EraGroups:
        """The rows of every era."""
        order = np.argsort(self.codes, kind="stable")
        stops = np.cumsum(np.bincount(self.codes, minlength=len(self.labels)))
        rows: list[Rows] = []
        for part in np.split(order, stops[:-1]):
            first, last = int(part[0]), int(part[-1])
            rows.append(slice(first, last + 1) if last - first + 1 == len(part) else part.copy())
        return EraGroups(list(self.labels), rows, len(self.codes))

    def chunks(self, column: str) -> Iterator[Any]:
        """Arrays that together hold a column."""
        with copy(self.parts) as parts:
            cursor = RowCursor(parts, [column], LABELS_AT_A_TIME)
            kind = parts.schema.field(column).type
            for batch in cursor.pieces(np.arange(parts.n_rows)):
                chunk = batch.column(column)
                yield chunk if chunk.type == kind else chunk.cast(kind)  # text of two kinds


def read_frames(
    parts: ParquetParts,
    columns: list[str],
    index: list[str],
    rows: Sequence[Rows],
    batch_size: int | None = None,
) -> Iterator[pd.DataFrame]:
    """DataFrames of some columns, indexed by others, of sets of rows; see `read_rows`."""

    def builder(n_rows: int) -> Builder:
        return FrameBuilder(parts.schema, columns, index, n_rows)

    return read_rows(parts, [*columns, *index], rows, builder, batch_size)


def read_blocks(
    parts: ParquetParts,
    columns: list[str],
    rows: Sequence[Rows],
    batch_size: int | None = None,
) -> Iterator[Array]:
    """Column-major arrays of columns of numbers, of sets of rows; see `read_rows`."""
    types = {np.dtype(parts.schema.field(name).type.to_pandas_dtype()) for name in columns}

    def builder(n_rows: int) -> Builder:
        return BlockBuilder(columns, types, n_rows)

    return read_rows(parts, columns, rows, builder, batch_size)


def read_rows(
    parts: ParquetParts,
    columns: list[str],
    rows: Sequence[Rows],
    builder: Callable[[int], Builder],
    batch_size: int | None = None,
) -> Iterator[Any]:
    """Read sets of rows, such as those of eras, in memory bounded by a few of them.

    The files are read forward, and sets that come too early are kept until it is their turn. Sets
    of scattered rows are read together as far as one batch holds them, in one pass each.

    Parameters
    ----------
    parts : ParquetParts
    columns : list of str
        All that the builder needs.
    rows : sequence of slice or ndarray
        Numbers of rows, in the order wanted.
    builder : callable
        Makes a collector of so many rows.
    batch_size : int, optional
        Rows decoded at a time.

    Yields
    ------
    table : DataFrame or ndarray
        What the builder makes of each set, in the order of ``rows``.
    """
    size = batch_size or default_batch_size(len(columns))
    parts = copy(parts)  # others may read at the same time
    cursor = RowCursor(parts, columns, size)
    early: dict[int, Any] = {}
    turn = 0
    with parts:
        for numbers in _passes(rows, size):
            wanted = [_as_array(rows[number]) for number in numbers]
            union = np.sort(np.concatenate(wanted))
            collected = builder(len(union))
            for batch in cursor.pieces(union):
                collected.add(batch)
            table = collected.finish(union)
            for number, own in zip(numbers, wanted, strict=True):
                early[number] = _take(table, union, own)
            del collected, table
            while turn in early:
                yield early.pop(turn)
                turn += 1


def _passes(rows: Sequence[Rows], size: int) -> Iterator[list[int]]:
    """Positions of the sets to read together, in the order of the file."""
    spans = [_span(selector) for selector in rows]
    group: list[int] = []
    for number in sorted(range(len(rows)), key=lambda number: spans[number][0]):
        first, last, count = spans[number]
        contiguous = last - first + 1 == count
        held = sum(spans[other][2] for other in group)
        if group and (contiguous or held + count > size):
            yield group
            group = []
        group.append(number)
        if contiguous:
            yield group
            group = []
    if group:
        yield group


def _span(rows: Rows) -> tuple[int, int, int]:
    """First row, last row and number of rows."""
    if isinstance(rows, slice):
        return rows.start, rows.stop - 1, rows.stop - rows.start
    return int(rows.min()), int(rows.max()), len(rows)


def _as_array(rows: Rows) -> Array:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def _take(table: Any, union: Array, own: Array) -> Any:
    """The rows of one set, of a table that holds several."""
    if len(own) == len(union) and (own == union).all():
        return table
    local = np.searchsorted(union, own)
    if isinstance(table, np.ndarray):
        return table.T.take(local, axis=1).T  # column-major, as it was
    return table.iloc[local]


def check_labels(parts: ParquetParts, name: str) -> None:
    """Insist on one label in each row of a column, not on a list or a record of them."""
    pa = import_optional("pyarrow", extra="data")
    kind = parts.schema.field(name).type
    if pa.types.is_nested(getattr(kind, "value_type", kind)) or pa.types.is_nested(kind):
        raise ValueError(
            f"column {name!r} of {parts.label} holds no single labels (type {kind}); write one "
            "text or number per row."
        )


def _read_eras(parts: ParquetParts, era_column: str) -> tuple[Array, list[Any]]:
    """Era number of every row, numbered by first appearance, and the labels."""
    pc = import_optional("pyarrow.compute", extra="data")
    pa = import_optional("pyarrow", extra="data")
    codes = np.empty(parts.n_rows, dtype=np.int32)
    numbers: dict[Any, int] = {}
    cursor = RowCursor(parts, [era_column], LABELS_AT_A_TIME)
    done = 0
    for batch in cursor.pieces(np.arange(len(codes))):
        column = batch.column(era_column)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        missing = pc.is_null(column, nan_is_null=True)
        if count := pc.sum(missing).as_py():
            row = done + missing.index(True).as_py()
            raise ValueError(
                f"era column {era_column!r} of {parts.label} has missing values, first at row "
                f"{row} ({count} in {len(column)} rows read); give every row an era."
            )
        encoded = column.dictionary_encode()
        known = [
            numbers.setdefault(label, len(numbers)) for label in encoded.dictionary.to_pylist()
        ]
        codes[done : done + len(column)] = np.array(known)[encoded.indices.to_numpy()]
        done += len(column)
    return codes, list(numbers)
