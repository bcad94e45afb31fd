"""Parquet files whose rows are matched by id, read era by era."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sknumerai._eras import EraGroups, group_eras, name_era
from sknumerai._typing import Array, EraLabel
from sknumerai.cli._errors import CommandError, naming_option
from sknumerai.cli._files import ID, check_ids, list_some, read_columns, read_head
from sknumerai.cli._numbers import describe_unusable, unusable
from sknumerai.datasets import EraReader


class RowFile:
    """A parquet file with ids, and with eras or as a whole.

    Parameters
    ----------
    option : str
    path : Path
    era_column : str
        A file without it is read at once.

    Attributes
    ----------
    source : str
        What messages call the file.
    columns : list of str
        All columns but ids and eras.
    numeric : list of str
        Those of them that hold numbers.
    has_eras : bool

    Raises
    ------
    CommandError
        If the file cannot be read, or has no rows or no ids.
    """

    def __init__(self, option: str, path: Path, era_column: str):
        self.path, self.era_column = path, era_column
        self.option, self.source = option, f"{option} {path}"
        head = read_head(option, path)
        schema, self._id, index = head.schema, head.id, head.index
        if head.n_rows == 0:
            raise CommandError(f"{self.source} has no rows; write it again.")
        if era_column in index:
            raise CommandError(
                f"{self.source} has the era column {era_column!r} as its index; write it with the "
                "ids as index and the eras as a column."
            )
        if not self._id and len(index) != 1:
            raise CommandError(
                f"{self.source} has no column {ID!r} and no index of ids; write the file with the "
                "ids of the rows."
            )
        self.has_eras = era_column in schema.names
        self.columns = [name for name in schema.names if name not in (ID, era_column, *index)]
        self.numeric = [name for name in self.columns if _is_number(schema.field(name).type)]

    def read_ids(self) -> tuple[pd.Index, EraGroups]:
        """Ids as text, in the order of the file, and the rows of its eras.

        Raises
        ------
        CommandError
            If an id is missing or repeated.
        """
        with naming_option(self.option, self.path):
            if self.has_eras:
                columns = [self.era_column, *self._id]
                reader = EraReader(self.path, columns, era_column=self.era_column)
                frame = reader.read()
                groups = group_eras(frame[self.era_column], len(frame))
                # The reader's labels, since pandas may hold them in another type.
                groups = EraGroups(reader.eras, groups.rows, len(frame), groups.categories)
            else:
                frame = self._read_whole([])
                groups = EraGroups([None], [slice(0, len(frame))], len(frame))
        ids = self._ids_of(frame)
        check_ids(ids, self.source)
        return ids.astype(str), groups

    def frames(
        self, names: Sequence[str], eras: Sequence[EraLabel] | None = None
    ) -> Iterator[pd.DataFrame]:
        """Some columns, era after era in the order of the file, with the ids as index.

        Parameters
        ----------
        names : sequence of str
        eras : sequence, optional
            Labels of the eras to read; all by default.
        """
        columns = [*names, *self._id]
        with naming_option(self.option, self.path):
            if not self.has_eras:
                yield self._only(names, self._read_whole(columns))
                return
            reader = EraReader(self.path, columns, era_column=self.era_column, eras=eras)
            for _, frame in reader:
                yield self._only(names, frame)

    def _only(self, names: Sequence[str], frame: pd.DataFrame) -> pd.DataFrame:
        # Not copied where nothing is to be left out: an era of all users is large.
        if list(frame.columns) == list(names):
            return frame
        return frame[list(names)].set_axis(self._ids_of(frame))

    def _ids_of(self, frame: pd.DataFrame) -> pd.Index:
        return pd.Index(frame[ID]) if self._id else frame.index

    def _read_whole(self, columns: list[str]) -> Any:
        return read_columns(self.path, [*columns, *self._id])


def matched_frames(
    file: RowFile, names: Sequence[str], ids: pd.Index, groups: EraGroups, source: str
) -> Iterator[pd.DataFrame]:
    """The rows of a file that belong to those of another, era after era in the other's order.

    Ids are compared before the first frame is read, and a file in the same order as the other is
    read in bounded memory; eras that come too early are kept until it is their turn.

    Parameters
    ----------
    file : RowFile
    names : sequence of str
        Columns to read.
    ids : Index
        Of the other file's rows, as text.
    groups : EraGroups
        The other file's eras.
    source : str
        What messages call the other file.

    Raises
    ------
    CommandError
        If the file lacks ids, or puts the rows of an era into several.
    """
    own, own_groups = file.read_ids()
    found = locate(own, ids, file.source, source)
    era_of = np.empty(len(own), dtype=np.intp)
    position = np.empty(len(own), dtype=np.intp)
    everything = np.arange(len(own))
    for number, selector in enumerate(own_groups.rows):
        rows = everything[selector]
        era_of[rows], position[rows] = number, np.arange(len(rows))
    wanted: dict[int, list[tuple[int, Array]]] = {}
    for i, (label, selector) in enumerate(zip(groups.labels, groups.rows, strict=True)):
        rows = found[selector]
        numbers = np.unique(era_of[rows])
        if len(numbers) > 1:
            raise CommandError(
                f"{file.source} and {source} disagree on the eras: the {len(rows)} rows of "
                f"{name_era(label)} are of {len(numbers)} eras of the former; pass files of the "
                "same data."
            )
        wanted.setdefault(int(numbers[0]), []).append((i, position[rows]))
    chosen = sorted(wanted)
    labels = [own_groups.labels[number] for number in chosen]

    def in_order_of_the_file() -> Iterator[tuple[int, pd.DataFrame]]:
        for number, frame in zip(chosen, file.frames(names, labels), strict=True):
            for i, rows in wanted[number]:
                yield i, frame.iloc[rows]

    return _in_order(in_order_of_the_file(), len(groups))


def _in_order(numbered: Iterator[tuple[int, pd.DataFrame]], n: int) -> Iterator[pd.DataFrame]:
    early: dict[int, pd.DataFrame] = {}
    for i in range(n):
        while i not in early:
            j, frame = next(numbered)
            early[j] = frame
        yield early.pop(i)


def locate(own: pd.Index, ids: pd.Index, where: str, source: str) -> Array:
    """Positions of all ids of one file among those of another; both as text.

    Raises
    ------
    CommandError
        If some are not there.
    """
    found = own.get_indexer(ids)
    if (found < 0).any():
        lost = ids[found < 0]
        raise CommandError(
            f"{len(lost)} of {len(ids)} ids of {source} are not in {where}, first "
            f"{list_some(lost, 3)}; pass a file with these rows, or leave them out of the former."
        )
    return found


def check_numbers(frame: pd.DataFrame, label: EraLabel, source: str) -> None:
    """Insist on finite numbers in one era's rows."""
    values = frame.to_numpy()
    if values.dtype.kind in "biu":
        return
    values = values.astype(np.float64, copy=False)
    bad = unusable(values)
    if bad.any():
        row, column = (int(v) for v in np.argwhere(bad)[0])
        raise CommandError(
            f"{source} has {describe_unusable(values)} of {values.size} values in "
            f"{name_era(label)}, first in column {frame.columns[column]!r} at id "
            f"{frame.index[row]!r}; fill them, or leave the column or the rows out."
        )


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
