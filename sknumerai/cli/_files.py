"""Files of predictions: reading them whole, writing them whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from pyarrow import csv

from sknumerai._atomic import complete_or_absent
from sknumerai._typing import Array
from sknumerai.cli._errors import CommandError, naming_option, shorten
from sknumerai.cli._numbers import check_finite, check_numeric
from sknumerai.cli._paths import check_input, naming_output
from sknumerai.datasets._parquet import check_names_differ, index_columns, open_parquet, to_frame

ID = "id"
DEFAULT_COLUMN = "prediction"
MAX_CSV_BLOCK = 2**31 - 1


@dataclass(frozen=True)
class Predictions:
    """Predictions of a file.

    Attributes
    ----------
    ids : Index
        As the file has them, unique.
    names : list of str
    values : ndarray of shape (n_rows, n_names), float32 or float64
        Finite.
    """

    ids: pd.Index
    names: list[str]
    values: Array


@dataclass(frozen=True)
class ParquetHead:
    """What a parquet file says of itself.

    Attributes
    ----------
    schema : pyarrow.Schema
    n_rows : int
    index : list of str
        Columns that pandas takes for the index.
    id : list of str
        The column of ids, where there is one beside the index: it is meant whatever the index is.
    """

    schema: pa.Schema
    n_rows: int
    index: list[str]
    id: list[str]


def read_head(option: str, path: Path) -> ParquetHead:
    """Read the schema of a parquet file that an option names."""
    check_input(option, path, (".parquet",))
    with naming_option(option, path), open_parquet(path) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        index = index_columns(schema)
    return ParquetHead(schema, n_rows, index, [ID] * (ID in schema.names and ID not in index))


def read_columns(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Some columns of a parquet file, by default all, and its index."""
    with open_parquet(path) as file:
        index = index_columns(file.schema_arrow)
        if columns is not None:
            columns = list(dict.fromkeys([*columns, *index]))
        frame = to_frame(file.read(columns=columns))
    # A writer other than pandas does not say that the ids are the index.
    return frame.set_index(index) if index and set(index) <= set(frame.columns) else frame


def read_predictions(
    path: Path,
    columns: Sequence[str],
    era_column: str,
    *,
    option: str = "--predictions",
    column_option: str = "--prediction-column",
) -> Predictions:
    """Read a file of predictions.

    Parameters
    ----------
    path : Path
        CSV with a column "id", or parquet with that column or an index.
    columns : sequence of str
        Prediction columns. If empty: "prediction" if there is one, else all numeric columns but
        the era column.
    era_column : str

    Returns
    -------
    predictions : Predictions

    Raises
    ------
    CommandError
        If the file cannot be read, or ids or predictions are missing, repeated or no numbers.
    """
    source = f"{option} {path}"
    frame = read_table(option, path, columns)
    names = _choose(frame, columns, era_column, source, column_option)
    check_ids(frame.index, source)
    for name in names:
        check_numeric(frame[name], source, column_option)
    single = all(frame[name].dtype == np.float32 for name in names)
    values = frame[names].to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    check_finite(values, frame.index, names, source)
    return Predictions(frame.index, names, values)


def read_table(option: str, path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV or parquet with the ids as index.

    Parameters
    ----------
    option : str
    path : Path
        CSV with a column "id", or parquet with that column or an index.
    columns : sequence of str
        The only ones to read of a parquet, if it has them all. If empty: "prediction" if there
        is one.

    Returns
    -------
    frame : DataFrame
        Not empty. Ids are neither checked nor sorted.

    Raises
    ------
    CommandError
        If the file cannot be read, or has no rows or no ids.
    """
    check_input(option, path)
    with naming_option(option, path):
        if path.suffix.lower() == ".csv":
            frame = read_csv(path)
        else:
            frame = _read_parquet(path, columns)
    if frame.empty:
        raise CommandError(f"{option} {path} has no rows or no columns; write it again.")
    if ID in frame.columns:
        return frame.set_index(ID)
    if isinstance(frame.index, pd.RangeIndex) or frame.index.nlevels > 1:
        raise CommandError(
            f"{option} {path} has no column {ID!r} (columns: {list_some(frame.columns)}); "
            "write the file with the ids of the rows."
        )
    return frame


def read_csv(path: Path, text: Sequence[str] = (ID,)) -> pd.DataFrame:
    """Read a CSV, some columns of it as text, whatever they look like.

    Raises
    ------
    ValueError
        If it is none.
    """
    # Not by pandas, some versions of which miss the last digit of a float.
    size = min(path.stat().st_size + 1, MAX_CSV_BLOCK)
    try:
        table = csv.read_csv(
            path,
            # in one block: the types are inferred from the first
            read_options=csv.ReadOptions(block_size=size),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string())),
        )
        check_names_differ(table.column_names, path)
        frame: pd.DataFrame = table.to_pandas()
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(
            f"this is no CSV ({shorten(str(error))}); download or write it again."
        ) from error
    for name in text:
        if name in frame.columns:
            frame[name] = frame[name].mask(frame[name] == "")
    return frame


def _read_parquet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Whole, or the chosen columns of it, so that a wide table is no burden."""
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        chosen = columns or [DEFAULT_COLUMN] * (DEFAULT_COLUMN in names)
        if chosen and set(chosen) <= set(names):
            names = list(dict.fromkeys([*chosen, ID, *index_columns(file.schema_arrow)]))
            names = [name for name in names if name in file.schema_arrow.names]
        try:
            return to_frame(file.read(columns=names))
        except OSError as error:
            raise ValueError(
                f"path={str(path)!r} is damaged ({error}); download or write it again."
            ) from error


def _choose(
    frame: pd.DataFrame, columns: Sequence[str], era_column: str, source: str, column_option: str
) -> list[str]:
    if columns:
        for name in columns:
            if name not in frame.columns:
                close = get_close_matches(name, map(str, frame.columns), n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                raise CommandError(
                    f"{column_option} {name!r} is not in {source}{hint}; it has "
                    f"{list_some(frame.columns)}."
                )
        return list(dict.fromkeys(columns))
    if DEFAULT_COLUMN in frame.columns:
        return [DEFAULT_COLUMN]
    numeric = [
        name
        for name in frame.columns
        if name != era_column and is_numeric_dtype(frame[name]) and not is_bool_dtype(frame[name])
    ]
    if not numeric:
        raise CommandError(
            f"{source} has no column {DEFAULT_COLUMN!r} and no other numeric one "
            f"(columns: {list_some(frame.columns)}); name it with {column_option}."
        )
    others = [name for name in numeric if str(name).startswith(("feature", "target"))]
    if others:
        raise CommandError(
            f"{source} has {len(others)} columns that are features or targets by their names, such "
            f"as {others[0]!r}, among {len(numeric)} numeric ones; name the predictions with "
            f"{column_option}."
        )
    return numeric


def check_ids(ids: pd.Index, source: str) -> None:
    """Insist on an id for every row, and another one for each."""
    missing = np.flatnonzero(ids.isna())
    if len(missing):
        raise CommandError(
            f"{source} has {len(missing)} of {len(ids)} rows without an id, first row "
            f"{missing[0]}; give every row one."
        )
    try:
        repeated = ids[ids.duplicated()]
    except TypeError as error:
        raise CommandError(
            f"{source} has ids such as {ids[0]!r}; write one text or number per row."
        ) from error
    if len(repeated):
        raise CommandError(
            f"{source} has {len(repeated)} repeated ids among {len(ids)} rows, first "
            f"{repeated[0]!r}; keep one row per id."
        )


def list_some(names: Sequence[object] | pd.Index, count: int = 5) -> str:
    """The first names of many, for messages."""
    shown = [shorten(repr(name)) for name in list(names)[:count]]
    return ", ".join(shown) + ", ..." * (len(names) > count)


def write_predictions(predictions: Predictions, output: Path) -> None:
    """Write predictions with their ids, as the extension of the file says."""
    index = predictions.ids.rename(ID)
    frame = pd.DataFrame(predictions.values, index=index, columns=predictions.names)
    write_frame(frame, output)


def write_frame(frame: pd.DataFrame, output: Path) -> None:
    """Write a frame as CSV or parquet, completely or not at all."""
    with naming_output({"--output": output}), complete_or_absent(output) as temporary:
        if output.suffix.lower() == ".csv":
            frame.to_csv(temporary)
        else:
            frame.to_parquet(temporary, engine="pyarrow")
