"""Rows of parquet files by number, in bounded memory; no eras here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sknumerai._optional import import_optional
from sknumerai._typing import Array
from sknumerai.datasets._sources import ParquetParts, first_line


def default_batch_size(n_columns: int) -> int:
    """Rows of a batch of about 4 million values: decoding needs some 16 bytes for each."""
    return max(2**22 // max(n_columns, 1), 256)


class RowCursor:
    """Reads chosen rows of parquet files: forward; backward by starting a row group anew.

    Holds one batch of at most `batch_size` rows and skips row groups that hold no chosen row,
    however large the row groups are.
    """

    def __init__(self, parts: ParquetParts, columns: list[str], batch_size: int):
        self._parts = parts
        self._columns = columns
        self._batch_size = batch_size
        self._row_group = -1
        self._batches: Iterator[Any] = iter(())
        self._batch: Any = None
        self._offset = 0

    def pieces(self, rows: Array) -> Iterator[Any]:
        """Record batches that together hold `rows`, ascending numbers."""
        done = 0
        while done < len(rows):
            self._advance(int(rows[done]))
            stop = int(np.searchsorted(rows, self._offset + self._batch.num_rows))
            local = rows[done:stop] - self._offset
            if local[-1] - local[0] + 1 == len(local):
                yield self._batch.slice(int(local[0]), len(local))
            else:
                yield self._batch.take(import_optional("pyarrow", extra="data").array(local))
            done = stop

    def _advance(self, row: int) -> None:
        row_group = int(np.searchsorted(self._parts.starts, row, side="right")) - 1
        if row_group != self._row_group or row < self._offset:
            self._batch = None
            self._batches = self._parts.batches(row_group, self._columns, self._batch_size)
            self._row_group = row_group
            self._offset = int(self._parts.starts[row_group])
        while self._batch is None or row >= self._offset + self._batch.num_rows:
            self._offset += self._batch.num_rows if self._batch is not None else 0
            self._batch = None  # free it before the next one is read
            self._batch = self._next()

    def _next(self) -> Any:
        pa = import_optional("pyarrow", extra="data")
        try:
            return next(self._batches)
        except (pa.ArrowException, OSError, StopIteration) as error:
            raise ValueError(
                f"{self._parts.name(self._row_group)} ({first_line(error)}); download or write it "
                "again."
            ) from error


class Builder(Protocol):
    """What collects record batches into one table."""

    def add(self, batch: Any) -> None:
        """Append the rows of a record batch."""

    def finish(self, row_numbers: Array) -> Any:
        """The table of the rows of these numbers."""


class BlockBuilder:
    """Collects columns of numbers into one column-major array, each number copied once.

    Parameters
    ----------
    columns : list of str
        Of integers or floats.
    types : set of dtype
        Theirs. Several become one that holds them all; integers that are missing make it floats.
    n_rows : int
    """

    def __init__(self, columns: list[str], types: set[np.dtype[Any]], n_rows: int):
        self._columns, self._n_rows, self._filled = columns, n_rows, 0
        self._uniform = len(types) == 1
        self._dtype = np.result_type(*types)
        self._block: Array | None = None

    def add(self, batch: Any) -> None:
        """Append the rows of a record batch."""
        batch = batch.select(self._columns)
        complete = not any(column.null_count for column in batch.columns)
        whole = self._block is None and batch.num_rows == self._n_rows
        values = None
        if complete and self._uniform:
            values = batch.to_tensor(row_major=False).to_numpy().T
        if values is not None and whole:
            self._block = values
        else:
            self._copy(batch, values)
        self._filled += batch.num_rows

    def _copy(self, batch: Any, values: Array | None) -> None:
        if self._block is None:
            self._block = np.empty((len(self._columns), self._n_rows), self._dtype)
        rows = slice(self._filled, self._filled + batch.num_rows)
        if values is not None:
            self._block[:, rows] = values
            return
        for j, column in enumerate(batch.columns):
            if column.null_count:
                self._block = with_missing(self._block)
            self._block[j, rows] = column.to_numpy(zero_copy_only=False)

    def finish(self, row_numbers: Array) -> Array:
        """The array of shape (n_rows, n_columns)."""
        assert self._filled == self._n_rows == len(row_numbers)
        assert self._block is not None
        return self._block.T


class FrameBuilder:
    """Collects record batches into one pandas frame, each number copied once.

    Neighbouring columns of one numeric type share a preallocated block, so that int8 features
    stay one int8 block and no second copy of the table exists at any time.
    """

    def __init__(self, schema: Any, columns: list[str], index: list[str], n_rows: int):
        pa = import_optional("pyarrow", extra="data")
        self._schema = schema
        self._columns = columns
        self._index = index
        self._n_rows = n_rows
        self._filled = 0
        self._chunks: dict[str, list[Any]] = {name: [] for name in index}
        self._runs: list[tuple[list[str], np.ndarray | None]] = []
        previous: Any = None
        for name in columns:
            kind = schema.field(name).type
            numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
            if numeric and kind == previous:
                self._runs[-1][0].append(name)
            else:
                self._runs.append(([name], None))
            if not numeric:
                self._chunks[name] = []
            previous = kind if numeric else None
        for i, (names, _) in enumerate(self._runs):
            if names[0] not in self._chunks:
                dtype = schema.field(names[0]).type.to_pandas_dtype()
                self._runs[i] = (names, np.empty((len(names), n_rows), dtype=dtype))

    def add(self, batch: Any) -> None:
        """Append the rows of a record batch."""
        for name, chunks in self._chunks.items():
            kind, column = self._schema.field(name).type, batch.column(name)
            # parts by several writers may hold text of several kinds
            chunks.append(column if column.type == kind else column.cast(kind))
        rows = slice(self._filled, self._filled + batch.num_rows)
        for i, (names, block) in enumerate(self._runs):
            if block is None:
                continue
            for j, name in enumerate(names):
                values = batch.column(name)
                if values.null_count:
                    block = with_missing(block)
                    self._runs[i] = (names, block)
                block[j, rows] = values.to_numpy(zero_copy_only=False)
        self._filled += batch.num_rows

    def finish(self, row_numbers: Array) -> pd.DataFrame:
        """The frame; without an index in the file it is indexed by row number in the file."""
        assert self._filled == self._n_rows == len(row_numbers)
        index = self._make_index(row_numbers)
        parts: list[pd.DataFrame | pd.Series] = []
        for names, block in self._runs:
            if block is None:
                values = self._to_pandas(names[0])
                parts.append(pd.Series(values.array, index=index, name=names[0]))
            else:
                parts.append(pd.DataFrame(block.T, index=index, columns=names, copy=False))
        return pd.concat(parts, axis=1) if parts else pd.DataFrame(index=index)

    def _make_index(self, row_numbers: Array) -> pd.Index:
        if not self._index:
            first, n = int(row_numbers[0]), len(row_numbers)
            if int(row_numbers[-1]) - first + 1 == n:
                return pd.RangeIndex(first, first + n)
            index: pd.Index = pd.Index(row_numbers)
            return index
        # pandas stores an index without a name under a placeholder.
        labels = [None if name.startswith("__index_level_") else name for name in self._index]
        arrays = [self._to_pandas(name) for name in self._index]
        if len(arrays) == 1:
            index = pd.Index(arrays[0], name=labels[0])
            return index
        return pd.MultiIndex.from_arrays(arrays, names=labels)

    def _to_pandas(self, name: str) -> pd.Series:
        pa = import_optional("pyarrow", extra="data")
        series: pd.Series = pa.chunked_array(self._chunks[name]).unify_dictionaries().to_pandas()
        return series


def with_missing(block: Array) -> Array:
    """The same numbers in a type that has NaN, too: integers cannot be missing."""
    if block.dtype.kind == "f":
        return block
    return block.astype(np.float32 if block.dtype.itemsize <= 2 else np.float64)
