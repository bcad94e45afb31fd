"""Parquet files written from frames that come one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sknumerai._optional import import_optional


class RowGroupWriter:
    """Parquet file that gets frames one by one and holds several in each row group."""

    def __init__(self, path: Path, frames_per_row_group: int):
        self._path = path
        self._size = frames_per_row_group
        self._tables: list[Any] = []
        self._writer: Any = None
        self._schema: Any = None

    def __enter__(self) -> RowGroupWriter:
        return self

    def __exit__(self, error_type: Any, *_: Any) -> None:
        if error_type is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def write(self, frame: pd.DataFrame) -> None:
        pa = import_optional("pyarrow", extra="data")
        if self._schema is None:
            pq = import_optional("pyarrow.parquet", extra="data")
            schema = pa.Schema.from_pandas(frame)
            # Text is plain "string" in the real files, whatever pandas holds it in.
            for i, column in enumerate(schema):
                if pa.types.is_large_string(column.type):
                    schema = schema.set(i, column.with_type(pa.string()))
            self._schema = schema
            # Bounds of thousands of feature columns would only make the footer large.
            bounded = [name for name in ("era", "date", "data_type") if name in frame.columns]
            self._writer = pq.ParquetWriter(self._path, schema, write_statistics=bounded)
        self._tables.append(pa.Table.from_pandas(frame, schema=self._schema))
        if len(self._tables) == self._size:
            self._flush()

    def _flush(self) -> None:
        if self._tables:
            pa = import_optional("pyarrow", extra="data")
            table = pa.concat_tables(self._tables)
            self._tables = []
            self._writer.write_table(table, row_group_size=table.num_rows)
