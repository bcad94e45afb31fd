"""Eras of parquet files as arrays, any of them at any time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sknumerai._eras import EraGroups, Rows
from sknumerai._optional import import_optional
from sknumerai._typing import Array
from sknumerai.datasets._era_rows import read_blocks
from sknumerai.datasets._parquet import default_batch_size
from sknumerai.datasets._sources import ParquetParts


class EraBlocks:
    """Columns of numbers of some eras of parquet files: a column-major array for each era.

    Nothing is kept but which rows are of which era: an item is read when it is asked for, by any
    thread, and iterating reads the file once from its beginning to its end.

    Parameters
    ----------
    parts : ParquetParts
    columns : list of str
    groups : EraGroups
        The rows of the eras, in order of first appearance.
    batch_size : int, optional
        Rows decoded at a time.

    Attributes
    ----------
    label : str
        What messages call the files.

    Raises
    ------
    ValueError
        If a column does not hold numbers.
    """

    def __init__(
        self,
        parts: ParquetParts,
        columns: list[str],
        groups: EraGroups,
        batch_size: int | None = None,
    ):
        types = import_optional("pyarrow", extra="data").types
        for name in columns:
            kind = parts.schema.field(name).type
            if not (types.is_integer(kind) or types.is_floating(kind)):
                raise ValueError(
                    f"Column {name!r} of {parts.label} is not numeric (type {kind}); leave it out "
                    "or write it as numbers."
                )
        self.label, self.columns, self.groups = parts.label, columns, groups
        self.batch_size = batch_size or default_batch_size(len(columns))
        self._parts = parts

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int) -> Array:
        (block,) = self._read([self.groups.rows[number]])
        return block

    def __iter__(self) -> Iterator[Array]:
        return self._read(self.groups.rows)

    def _read(self, rows: Sequence[Rows]) -> Iterator[Array]:
        return read_blocks(self._parts, self.columns, rows, self.batch_size)

    @property
    def largest_row_group(self) -> int:
        """Number of its rows."""
        return int(np.diff(self._parts.starts).max())

    @property
    def n_decoded(self) -> int:
        """Number of rows that are decoded to read all eras one by one.

        A row group is decoded from its first row to the last one that is needed.
        """
        starts, decoded = self._parts.starts, 0
        for rows in self.groups.rows:
            numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
            before = np.searchsorted(numbers, starts)  # rows of the era before each row group
            used = np.flatnonzero(np.diff(before))
            decoded += int((numbers[before[used + 1] - 1] + 1 - starts[used]).sum())
        return decoded
