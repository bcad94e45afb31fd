"""Tables that are read whole, such as predictions: from CSV or parquet, and written again."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._atomic import complete_or_absent
from sknumerai._optional import import_optional
from sknumerai._typing import Array, Source
from sknumerai.datasets._sources import (
    check_names_differ,
    first_line,
    index_columns,
    name_source,
    open_parquet,
)
from sknumerai.streaming._ids import ID, Ids
from sknumerai.streaming._numbers import check_finite, describe_text
from sknumerai.streaming._paths import check_input, reading, writing
from sknumerai.streaming._quoting import list_some, shorten
from sknumerai.streaming._row_source import is_number

PREDICTION = "prediction"
NOT_PREDICTIONS = ("feature", "target")
ROWS_PER_GROUP = 2**17  # in a parquet that is written


class WholeTable:
    """A table with ids, read whole.

    Parameters
    ----------
    source : str, path-like or sequence of these
        CSV, CSV.gz or parquet with a column "id", or parquet with an index.
    argument : str
        What messages call it.
    columns : sequence of str
        The only ones to read of a parquet, if it has them all.

    Attributes
    ----------
    label : str
    names : list of str
        All columns but that of the ids.

    Raises
    ------
    ValueError, OSError
        If files cannot be read, or have no rows or no ids.
    """

    def __init__(self, source: Source, argument: str, columns: Sequence[str] = ()):
        self.label, self.argument = name_source(argument, source), argument
        self._table = read_arrow(source, argument, columns)
        names = self._table.column_names
        index = [] if ID in names else index_columns(self._table.schema)
        if not self._table.num_rows or not names:
            raise ValueError(f"{self.label} has no rows or no columns; write it again.")
        if ID not in names and len(index) != 1:
            raise ValueError(
                f"{self.label} has no column {ID!r} (columns: {list_some(names)}); write the file "
                "with the ids of the rows."
            )
        self.id_column = ID if ID in names else index[0]
        stored = index_columns(self._table.schema)
        self.names = [name for name in names if name not in (self.id_column, *stored)]
        self._ids: Ids | None = None

    @property
    def ids(self) -> Ids:
        """Ids as the file has them; ValueError if one is missing or repeated."""
        if self._ids is None:
            self._ids = Ids(self._table[self.id_column].chunks, self.label)
        return self._ids

    def numeric(self, but: str) -> list[str]:
        """Columns of numbers but one."""
        fields = self._table.schema
        return [name for name in self.names if name != but and is_number(fields.field(name).type)]

    def find(self, column: str, argument: str) -> str:
        """A column that an argument names, if it is there."""
        if column in self.names:
            return column
        close = get_close_matches(column, self.names, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"{argument}={column!r} is not in {self.label}{hint}; it has {list_some(self.names)}."
        )

    def the_one(self, column: str | None, default: str, era_column: str, argument: str) -> str:
        """The column that an argument names, else that of a default name, else the only numeric."""
        if column is not None:
            return self.find(column, argument)
        if default in self.names:
            return default
        numeric = self.numeric(era_column)
        if len(numeric) != 1:
            raise ValueError(
                f"{self.label} has no column {default!r} and {len(numeric)} other numeric ones "
                f"(columns: {list_some(self.names)}); name one with {argument}=."
            )
        return numeric[0]

    def values(self, names: Sequence[str], argument: str) -> Array:
        """Columns of numbers, shape (n_rows, n_names): float32 if all are, else float64."""
        for name in names:
            column = self._table[name]
            if not is_number(column.type):
                raise ValueError(
                    f"Column {name!r} of {self.label} does not hold numbers (type "
                    f"{column.type}{describe_text(column, self.ids)}); convert it, or name "
                    f"others with {argument}=."
                )
        single = all(str(self._table[name].type) == "float" for name in names)
        dtype = np.float32 if single else np.float64
        values = np.empty((self._table.num_rows, len(names)), dtype=dtype)
        for j, name in enumerate(names):
            values[:, j] = self._table[name].to_numpy()
        return values

    def release(self) -> None:
        """Let go of the file's content but the ids."""
        assert self._ids is not None
        self._table = None
        import_optional("pyarrow", extra="data").default_memory_pool().release_unused()


class Predictions:
    """Predictions of a file.

    Parameters
    ----------
    source : str, path-like or sequence of these
    columns : sequence of str or None
        None or empty: "prediction" if there is one, else all numeric columns but the eras.
    era_column : str
    argument, column_argument : str
        What messages call the file and the choice of its columns.

    Attributes
    ----------
    ids : Ids
    names : list of str
    values : ndarray of shape (n_rows, n_names), float32 or float64
        Finite.
    label : str
    """

    def __init__(
        self,
        source: Source,
        columns: Sequence[str] | None,
        era_column: str,
        *,
        argument: str = "predictions",
        column_argument: str = "prediction_columns",
    ):
        if isinstance(columns, str):
            columns = [columns]
        table = WholeTable(source, argument, columns or [PREDICTION])
        self.label = table.label
        self.names = _choose(table, columns or [], era_column, column_argument)
        self.ids = table.ids
        self.values = table.values(self.names, column_argument)
        check_finite(self.values, self.ids, self.names, self.label)
        table.release()


def read_arrow(
    source: Source, argument: str, columns: Sequence[str] = (), text: Sequence[str] = (ID,)
) -> Any:
    """An Arrow table of CSV and parquet files: whole, or some columns and the ids if all are there.

    Columns named as text are text in a CSV.

    Raises
    ------
    ValueError, OSError
    """
    pa = import_optional("pyarrow", extra="data")
    parts = check_input(argument, source)
    tables = []
    for path in parts:
        with reading(f"{argument}={str(path)!r}"):
            if path.name.lower().endswith(".parquet"):
                tables.append(_read_parquet(path, columns, argument))
            else:
                table = read_csv(path, text)
                if columns and {ID, *columns} <= set(table.column_names):
                    chosen = dict.fromkeys([*columns, ID])
                    table = table.select([name for name in chosen if name in table.column_names])
                tables.append(table)
    if len(tables) == 1:
        return tables[0]
    for path, table in zip(parts, tables, strict=True):
        for name in set(table.column_names) & set(tables[0].column_names):
            types = [each.schema.field(name).type for each in (tables[0], table)]
            if is_number(types[0]) != is_number(types[1]):
                raise ValueError(
                    f"{argument}: the parts {str(parts[0])!r} and {str(path)!r} differ in columns "
                    f"such as {name!r}, of type {types[0]} and {types[1]}; write one type."
                )
    with reading(name_source(argument, source)):
        return pa.concat_tables(tables, promote_options="permissive")


def read_csv(path: Path, text: Sequence[str]) -> Any:
    """An Arrow table of a CSV, some columns of it as text, whatever they look like.

    Raises
    ------
    ValueError
        If it is none.
    """
    pa = import_optional("pyarrow", extra="data")
    pc = import_optional("pyarrow.compute", extra="data")
    csv = import_optional("pyarrow.csv", extra="data")
    # Not by pandas, some versions of which miss the last digit of a float.
    try:
        with pa.input_stream(path) as stream:  # which decompresses
            content = stream.read()
        table = csv.read_csv(
            pa.BufferReader(content),
            # in one block: the types are inferred from the first
            read_options=csv.ReadOptions(block_size=min(len(content) + 1, 2**31 - 1)),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string())),
        )
        names = table.column_names
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(
            f"this is no CSV ({shorten(str(error))}); download or write it again."
        ) from error
    check_names_differ(names, "this")
    for name in set(text) & set(names):
        column, missing = table[name], pa.scalar(None, pa.string())
        column = pc.if_else(pc.equal(column, ""), missing, column)
        table = table.set_column(names.index(name), name, column)
    return table


def _read_parquet(path: Path, columns: Sequence[str], argument: str) -> Any:
    """Whole, or the chosen columns of it, so that a wide table is no burden."""
    with open_parquet(path, argument) as file:
        names = file.schema_arrow.names
        if columns and set(columns) <= set(names):
            names = list(dict.fromkeys([*columns, ID, *index_columns(file.schema_arrow)]))
            names = [name for name in names if name in file.schema_arrow.names]
        try:
            return file.read(columns=names, use_threads=False)
        except OSError as error:
            raise ValueError(
                f"{argument}={str(path)!r} is damaged ({first_line(error)}); download or write it "
                "again."
            ) from error


def _choose(table: WholeTable, columns: Sequence[str], era_column: str, argument: str) -> list[str]:
    if columns:
        return [table.find(name, argument) for name in dict.fromkeys(columns)]
    if PREDICTION in table.names:
        return [PREDICTION]
    numeric = table.numeric(era_column)
    if not numeric:
        raise ValueError(
            f"{table.label} has no column {PREDICTION!r} and no other numeric one (columns: "
            f"{list_some(table.names)}); name it with {argument}=."
        )
    others = [name for name in numeric if name.startswith(NOT_PREDICTIONS)]
    if others:
        raise ValueError(
            f"{table.label} has {len(others)} columns that are features or targets by their names, "
            f"such as {others[0]!r}, among {len(numeric)} numeric ones; name the predictions with "
            f"{argument}=."
        )
    return numeric


def write_predictions(ids: Ids, names: Sequence[str], values: Array, output: Path) -> None:
    """Write predictions with their ids, as the extension of the file says."""
    pa = import_optional("pyarrow", extra="data")
    pq = import_optional("pyarrow.parquet", extra="data")
    with writing({"output": output}), complete_or_absent(output) as temporary:
        if output.suffix.lower() == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as file:
                for rows, piece in ids.pieces():
                    frame = pd.DataFrame(values[rows], pd.Index(piece.to_pandas()), list(names))
                    frame.rename_axis(ID).to_csv(file, header=rows.start == 0, lineterminator="\n")
            return
        columns = {name: pa.array(values[:, j]) for j, name in enumerate(names)}
        table = pa.table(columns | {ID: ids.values})
        # what pandas needs to know to take the ids for the index
        few = pd.DataFrame(
            values[:1], pd.Index(ids.values.slice(0, 1).to_pandas(), name=ID), list(names)
        )
        schema = pa.Schema.from_pandas(few)
        table = table.replace_schema_metadata(schema.metadata)
        pq.write_table(table, temporary, row_group_size=ROWS_PER_GROUP)


def write_frame(frame: pd.DataFrame, output: str | PathLike[str]) -> None:
    """Write a frame as CSV or parquet, completely or not at all."""
    output = Path(output)
    with writing({"output": output}), complete_or_absent(output) as temporary:
        if output.suffix.lower() == ".csv":
            frame.to_csv(temporary)
        else:
            frame.to_parquet(temporary, engine="pyarrow")
