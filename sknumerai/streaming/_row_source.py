"""Rows of parquet files with their ids and eras: the one reader of tables on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sknumerai._eras import EraGroups, Rows, name_era
from sknumerai._optional import import_optional
from sknumerai._typing import Array, EraLabel, Source
from sknumerai.datasets._era_rows import EraRows, read_blocks, read_frames
from sknumerai.datasets._parquet import RowCursor
from sknumerai.datasets._sources import ParquetParts, index_columns, name_source
from sknumerai.streaming._ids import ID, Ids
from sknumerai.streaming._numbers import describe_unusable, unusable
from sknumerai.streaming._paths import check_input, reading
from sknumerai.streaming._quoting import list_some


class RowSource:
    """Rows of parquet files, with ids, and with eras or as a whole.

    Parameters
    ----------
    source : str, path-like or sequence of these
        A file, a list of files, a folder of parts or a glob.
    argument : str
        What messages call it.
    era_column : str or None
        None takes all rows as one era.
    eras : {"required", "always", "optional"}
        "optional" takes files without the era column as a whole; "always": callers have no
        `single_era`.

    Attributes
    ----------
    label : str
        What messages call the files.
    columns : list of str
        All columns but ids and eras.
    numeric : list of str
        Those of them that hold numbers.
    has_eras : bool
    id_column : str

    Raises
    ------
    ValueError, OSError
        If files cannot be read, or have no rows, no ids or no eras.
    """

    def __init__(
        self, source: Source, argument: str, era_column: str | None, *, eras: str = "required"
    ):
        check_input(argument, source, (".parquet",))
        label = name_source(argument, source)
        with reading(label), ParquetParts(source, argument) as parts:
            self.label, schema, index = parts.label, parts.schema, index_columns(parts.schema)
            n_rows = parts.n_rows
        names = schema.names
        if n_rows == 0:
            raise ValueError(f"{self.label} has no rows; download or write it again.")
        if era_column is not None and era_column in index:
            raise ValueError(
                f"{self.label} has the era column {era_column!r} as its index; write it with the "
                "ids as index and the eras as a column."
            )
        if ID not in names and len(index) != 1:
            raise ValueError(
                f"{self.label} has no column {ID!r} and no index of ids; write the file with the "
                "ids of the rows."
            )
        self.has_eras = era_column is not None and era_column in names
        if eras != "optional" and era_column is not None and not self.has_eras:
            single = ", or pass single_era=True if all its rows are of one era"
            raise ValueError(
                f"{self.label} has no era column {era_column!r} (columns: {list_some(names)}); "
                f"name it with era_column={single if eras == 'required' else ''}."
            )
        self.id_column: str = ID if ID in names else index[0]
        self.columns = [name for name in names if name not in (ID, era_column, *index)]
        self.numeric = [name for name in self.columns if is_number(schema.field(name).type)]
        self._source, self._argument, self._schema = source, argument, schema
        self._era_column = era_column if self.has_eras else None

    @cached_property
    def rows(self) -> EraRows:
        """Which rows are of which era; read when it is asked for."""
        return EraRows(self._source, self._era_column, self._argument)

    @property
    def groups(self) -> EraGroups:
        """The rows of every era, which have the labels of the file."""
        return self.rows.groups

    @cached_property
    def ids(self) -> Ids:
        """Ids in the order of the files; ValueError if one is missing or repeated."""
        return Ids(list(self.rows.chunks(self.id_column)), self.label)

    def type_of(self, column: str) -> Any:
        """The Arrow type of a column."""
        return self._schema.field(column).type

    def check_numeric(self, columns: Sequence[str], advice: str) -> None:
        """Insist on columns of numbers."""
        for name in columns:
            if not is_number(self.type_of(name)):
                raise ValueError(
                    f"Column {name!r} of {self.label} does not hold numbers (type "
                    f"{self.type_of(name)}); {advice}."
                )

    def read_numbers(self, column: str) -> Array:
        """A column of numbers, shape (n_rows,), float64, NaN where there is none."""
        chunks = self.rows.chunks(column)
        return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks]).astype(
            np.float64, copy=False
        )

    def reading(
        self, columns: Sequence[str], rows: Sequence[Rows], labels: Sequence[EraLabel], **how: Any
    ) -> Reading:
        """What reads sets of rows."""
        return Reading(self.rows.parts, list(columns), self.id_column, rows, labels, **how)


@dataclass(frozen=True)
class Reading:
    """Columns of the rows of some eras, which iterating over it reads one after the other.

    It holds paths and numbers of rows, and travels to workers.

    Attributes
    ----------
    parts : ParquetParts
    columns : list of str
    id_column : str
    rows : sequence of slice or ndarray
        Numbers of the rows of each era, in the order wanted.
    labels : sequence
        Of the eras, for messages.
    frames : bool
        Whether to read DataFrames instead of arrays.
    absent : bool
        Whether NaN may stand in for columns that an era does not have.
    """

    parts: ParquetParts
    columns: list[str]
    id_column: str
    rows: Sequence[Rows]
    labels: Sequence[EraLabel]
    frames: bool = False
    absent: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Sequence[int]) -> Reading:
        """The same of some of the eras."""
        return replace(
            self,
            rows=[self.rows[i] for i in positions],
            labels=[self.labels[i] for i in positions],
        )

    def __iter__(self) -> Iterator[Any]:
        if self.frames:
            yield from read_frames(self.parts, self.columns, [self.id_column], self.rows)
            return
        blocks = read_blocks(self.parts, self.columns, self.rows)
        for label, rows, block in zip(self.labels, self.rows, blocks, strict=True):
            if block.dtype.kind == "f":
                self._check(block, label, rows)
            yield block

    def _check(self, block: Array, label: EraLabel, rows: Rows) -> None:
        """Insist on finite numbers."""
        bad = unusable(block)
        if self.absent:
            missing = np.isnan(block)
            bad &= ~missing.all(axis=0)
        if not bad.any():
            return
        column = int(np.argmax(bad.any(axis=0)))
        row = int(np.argmax(bad[:, column]))
        what, where = describe_unusable(block[bad]), self._id_of(rows, row)
        if self.absent:
            share = f"{int(bad[:, column].sum())} of {len(bad)}"
            raise ValueError(
                f"{self.parts.label} has {what} predictions in {name_era(label)}, first {share} of "
                f"user {self.columns[column]!r}, at id {where!r}; a user has predictions for all "
                "stocks of an era, or NaN for all."
            )
        raise ValueError(
            f"{self.parts.label} has {what} of {block.size} values in {name_era(label)}, first in "
            f"column {self.columns[column]!r} at id {where!r}; fill them, or choose features "
            "without."
        )

    def _id_of(self, rows: Rows, row: int) -> Any:
        number = rows.start + row if isinstance(rows, slice) else rows[row]
        with copy(self.parts) as parts:
            cursor = RowCursor(parts, [self.id_column], 2**12)
            return next(cursor.pieces(np.array([number]))).column(0)[0].as_py()


def is_number(kind: Any) -> bool:
    """Whether an Arrow type is one of integers or floats."""
    pa = import_optional("pyarrow", extra="data")
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
