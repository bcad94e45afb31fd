"""Rows of a parquet file by number, in bounded memory; no eras here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._optional import import_optional

NO_METADATA = "the parquet file is not as pandas writes it"
COLUMN_BUFFER = 2**16  # bytes read at a time for each column


def open_parquet(path: str | PathLike[str]) -> Any:
    """Open a parquet file, or say why it is none."""
    pa = import_optional("pyarrow", extra="data")
    pq = import_optional("pyarrow.parquet", extra="data")
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path={str(path)!r} is a folder; pass one parquet file of it.")
    if not path.is_file():
        raise FileNotFoundError(
            f"path={str(path)!r} does not exist; check it or download the file."
        )
    if path.stat().st_size == 0:
        raise ValueError(f"path={str(path)!r} is empty (0 bytes); download or write it again.")
    try:
        # Through small buffers, and not ahead: the compressed columns of a large row group never
        # lie in memory together. Mapped pages would, as far as the process is billed for them.
        file = pq.ParquetFile(path, buffer_size=COLUMN_BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"path={str(path)!r} is not a complete parquet file ({_first_line(error)}); download "
            "or write it again."
        ) from error
    check_names_differ(file.schema_arrow.names, path)
    return file


def check_names_differ(names: list[str], path: str | PathLike[str]) -> None:
    """Insist on another name for each column of a file."""
    counts = Counter(names)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f"path={str(path)!r} has {len(names) - len(counts)} columns with a name that another "
            f"column has, first {repeated[0]!r}; keep one column each."
        )


def check_labels(schema: Any, name: str, path: str | PathLike[str]) -> None:
    """Insist on one label in each row of a column, not on a list or a record of them."""
    pa = import_optional("pyarrow", extra="data")
    kind = schema.field(name).type
    if pa.types.is_nested(getattr(kind, "value_type", kind)) or pa.types.is_nested(kind):
        raise ValueError(
            f"column {name!r} of path={str(path)!r} holds no single labels (type {kind}); write "
            "one text or number per row."
        )


def index_columns(schema: Any) -> list[str]:
    """Columns that hold the index: those of pandas, else ``id``, else none."""
    try:
        stored = list((schema.pandas_metadata or {}).get("index_columns", []))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{NO_METADATA} ({_first_line(error)}); write it again.") from error
    names = [name for name in stored if isinstance(name, str) and name in schema.names]
    return names or [name for name in ("id",) if name in schema.names]


def to_frame(table: Any) -> pd.DataFrame:
    """A pyarrow table as pandas wrote it."""
    try:
        frame: pd.DataFrame = table.to_pandas()
        return frame
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{NO_METADATA} ({_first_line(error)}); write it again.") from error


def default_batch_size(n_columns: int) -> int:
    """Rows of a batch of about 4 million values: decoding needs some 16 bytes for each."""
    return max(2**22 // max(n_columns, 1), 256)


class RowCursor:
    """Reads chosen rows of a parquet file, forward only.

    Holds one batch of at most `batch_size` rows and skips row groups that hold no chosen row,
    however large the row groups are.
    """

    def __init__(self, file: Any, columns: list[str], batch_size: int, path: Any):
        self._file = file
        self._columns = columns
        self._batch_size = batch_size
        self._path = path
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._row_group = -1
        self._batches: Iterator[Any] = iter(())
        self._batch: Any = None
        self._offset = 0

    def pieces(self, rows: np.ndarray) -> Iterator[Any]:
        """Record batches that together hold `rows`, ascending numbers in the file."""
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
        row_group = int(np.searchsorted(self._starts, row, side="right")) - 1
        if row_group != self._row_group:
            self._batches = self._file.iter_batches(
                batch_size=self._batch_size, row_groups=[row_group], columns=self._columns
            )
            self._row_group = row_group
            self._batch = None
            self._offset = int(self._starts[row_group])
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
                f"path={str(self._path)!r} is damaged in row group {self._row_group} "
                f"({_first_line(error)}); download or write it again."
            ) from error


class FrameBuilder:
    """Collects record batches into one pandas frame, each number copied once.

    Neighbouring columns of one numeric type share a preallocated block, so that int8 features
    stay one int8 block and no second copy of the table exists at any time.
    """

    def __init__(self, schema: Any, columns: list[str], index: list[str], n_rows: int):
        pa = import_optional("pyarrow", extra="data")
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
            chunks.append(batch.column(name))
        rows = slice(self._filled, self._filled + batch.num_rows)
        for i, (names, block) in enumerate(self._runs):
            if block is None:
                continue
            for j, name in enumerate(names):
                values = batch.column(name)
                if values.null_count and block.dtype.kind in "iu":
                    # Integers cannot be missing: floats that hold them exactly can.
                    exact = np.float32 if block.dtype.itemsize <= 2 else np.float64
                    block = block.astype(exact)
                    self._runs[i] = (names, block)
                block[j, rows] = values.to_numpy(zero_copy_only=False)
        self._filled += batch.num_rows

    def frame(self, row_numbers: np.ndarray) -> pd.DataFrame:
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
        return pd.concat(parts, axis=1)

    def _make_index(self, row_numbers: np.ndarray) -> pd.Index:
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


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
