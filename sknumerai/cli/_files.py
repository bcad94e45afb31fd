"""Files of predictions: reading them whole, writing them whole or not at all."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from pyarrow import csv

from sknumerai._typing import Array
from sknumerai.cli._errors import CommandError, naming_option
from sknumerai.datasets._parquet import index_columns, open_parquet

ID = "id"
DEFAULT_COLUMN = "prediction"
SUFFIXES = (".csv", ".parquet")
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
        if columns is not None:
            columns = list(dict.fromkeys([*columns, *index_columns(file.schema_arrow)]))
        table: pd.DataFrame = file.read(columns=columns).to_pandas()
        return table


def check_suffix(option: str, path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Insist on a file name extension that says what the file is."""
    if path.suffix.lower() not in suffixes:
        found = f"the extension {path.suffix!r}" if path.suffix else "no extension"
        raise CommandError(
            f"{option} {path} has {found}; name a file that ends in {' or '.join(suffixes)}."
        )


def check_input(option: str, path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Insist on a readable file that is not empty."""
    check_suffix(option, path, suffixes)
    if path.is_dir():
        raise CommandError(f"{option} {path} is a folder; name a file in it.")
    if not path.exists():
        raise CommandError(f"{option} {path} does not exist; check the path.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise CommandError(
            f"{option} {path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    if empty:
        raise CommandError(f"{option} {path} is empty (0 bytes); download or write it again.")


def check_output(
    option: str,
    output: Path,
    inputs: Mapping[str, Path],
    *,
    overwrite: bool,
    suffixes: Sequence[str] = SUFFIXES,
) -> None:
    """Insist, before any work, that an output can be written and destroys nothing."""
    check_suffix(option, output, suffixes)
    folder = output.parent
    if output.is_dir():
        raise CommandError(f"{option} {output} is a folder; name a file in it.")
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise CommandError(
            f"{option} {output}: the folder {folder} {problem}; make it or name another one."
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(
            f"{option} {output}: the folder {folder} cannot be written to ({error.strerror}); "
            "name another one."
        ) from error
    if not output.exists():
        return
    for other, path in inputs.items():
        if path.exists() and output.samefile(path):
            raise CommandError(f"{option} {output} is the same file as {other}; name another file.")
    if not overwrite:
        raise CommandError(
            f"{option} {output} exists already; name another file, or pass --overwrite to replace "
            "it."
        )


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
        _check_numeric(frame[name], source, column_option)
    single = all(frame[name].dtype == np.float32 for name in names)
    values = frame[names].to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    _check_finite(values, frame.index, names, source)
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
        frame: pd.DataFrame = table.to_pandas()
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(f"this is no CSV ({error}); download or write it again.") from error
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
            table: pd.DataFrame = file.read(columns=names).to_pandas()
            return table
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
    return numeric


def check_ids(ids: pd.Index, source: str) -> None:
    """Insist on an id for every row, and another one for each."""
    missing = np.flatnonzero(ids.isna())
    if len(missing):
        raise CommandError(
            f"{source} has {len(missing)} of {len(ids)} rows without an id, first row "
            f"{missing[0]}; give every row one."
        )
    repeated = ids[ids.duplicated()]
    if len(repeated):
        raise CommandError(
            f"{source} has {len(repeated)} repeated ids among {len(ids)} rows, first "
            f"{repeated[0]!r}; keep one row per id."
        )


def _check_numeric(column: pd.Series, source: str, column_option: str) -> None:
    if is_numeric_dtype(column) and not is_bool_dtype(column):
        return
    example = ""
    bad = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
    if len(bad):
        example = f", {len(bad)} of {len(column)}, first {bad.iloc[0]!r} at id {bad.index[0]!r}"
    raise CommandError(
        f"Column {column.name!r} of {source} does not hold numbers (dtype "
        f"{column.dtype}{example}); convert it, or name others with {column_option}."
    )


def _check_finite(values: Array, ids: pd.Index, names: list[str], source: str) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    row, column = (int(v) for v in np.argwhere(bad)[0])
    counts = [(int(np.isnan(values).sum()), "NaN"), (int(np.isinf(values).sum()), "infinite")]
    found = " and ".join(f"{count} {kind}" for count, kind in counts if count)
    raise CommandError(
        f"{source} has {found} of {values.size} predictions, first in column "
        f"{names[column]!r} at id {ids[row]!r}; every row needs a finite prediction."
    )


def list_some(names: Sequence[object] | pd.Index, count: int = 5) -> str:
    """The first names of many, for messages."""
    return ", ".join(map(repr, list(names)[:count])) + ", ..." * (len(names) > count)


def write_predictions(predictions: Predictions, output: Path) -> None:
    """Write predictions with their ids, as the extension of the file says."""
    index = predictions.ids.rename(ID)
    frame = pd.DataFrame(predictions.values, index=index, columns=predictions.names)
    write_frame(frame, output)


def write_frame(frame: pd.DataFrame, output: Path) -> None:
    """Write a frame as CSV or parquet, completely or not at all."""
    with naming_output("--output", output), complete_or_absent(output) as temporary:
        if output.suffix.lower() == ".csv":
            frame.to_csv(temporary)
        else:
            frame.to_parquet(temporary, engine="pyarrow")


@contextmanager
def naming_output(option: str, path: Path) -> Iterator[None]:
    """Turn the errors of writing into one that names the option."""
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"{option} {path} could not be written ({error.strerror or error}); free or name "
            "another place."
        ) from error


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, renamed to it at the end, or removed after an error.

    Whatever happens at whatever time, ``path`` is what it was before or complete.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
