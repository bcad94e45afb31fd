"""Eras of a parquet file, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_scalar

from sknumerai._optional import import_optional
from sknumerai._typing import EraLabel
from sknumerai.datasets._feature_sets import get_feature_set
from sknumerai.datasets._parquet import (
    FrameBuilder,
    RowCursor,
    check_labels,
    default_batch_size,
    index_columns,
    open_parquet,
)

__all__ = ["EraReader"]


class EraReader:
    """The eras of a parquet file, read one at a time in bounded memory.

    Iterating yields ``(era, frame)`` in the order in which eras first appear in the file; rows
    keep the order of the file. Every iteration reads the file anew. Memory holds one era and one
    batch of rows, also where row groups hold hundreds of eras, eras span row groups, or the rows
    of an era are scattered (the file is then read several times).

    Parameters
    ----------
    path : str or path-like
        A parquet file with an era column.
    columns : sequence of str, default=None
        Columns to read. None means all, or those described under `feature_set`.
    feature_set : str, default=None
        Name of a set or group in features.json ("small", "medium", "all", "wisdom", ...). Its
        features are read beside `columns`; if `columns` is None, beside the era column,
        data_type and all targets.
    features_json : str or path-like, default=None
        Path of features.json. None means the one beside `path`.
    era_column : str, default="era"
        Name of the column that holds the eras, of any type but without missing values.
    eras : sequence of era labels, default=None
        Eras to read. None means all.
    every : int, default=1
        Read every `every`-th era of these, starting with the first.
    batch_size : int, default=None
        Rows decoded at a time. None means as many as hold about 4 million values.

    Attributes
    ----------
    eras : list
        Labels of the eras that will be read, in order.
    columns : list of str
        Columns of the frames.
    n_samples : int
        Number of rows that will be read.

    Raises
    ------
    FileNotFoundError
        If the parquet file or features.json does not exist.
    ValueError
        If the file is not parquet, is damaged or has no rows, or columns, eras or the feature set
        are not in it.
    ImportError
        If pyarrow is not installed (extra "data").

    Examples
    --------
    >>> import tempfile
    >>> from sknumerai.datasets import EraReader, write_tournament
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=6, n_stocks=20, n_features=10, random_state=0)
    ...     reader = EraReader(paths.train, columns=["target"], every=2)
    ...     means = {era: float(frame["target"].mean()) for era, frame in reader}
    >>> reader.eras, len(reader), means
    (['0001', '0003'], 2, {'0001': 0.5, '0003': 0.5})
    """

    def __init__(
        self,
        path: str | PathLike[str],
        columns: Sequence[str] | None = None,
        *,
        feature_set: str | None = None,
        features_json: str | PathLike[str] | None = None,
        era_column: str = "era",
        eras: Sequence[EraLabel] | None = None,
        every: int = 1,
        batch_size: int | None = None,
    ):
        check_scalar(every, "every", Integral, min_val=1)
        if batch_size is not None:
            check_scalar(batch_size, "batch_size", Integral, min_val=1)
        self.path = Path(path)
        with open_parquet(path) as file:
            schema = file.schema_arrow
            self._schema = schema
            self._index = index_columns(schema)
            if era_column not in schema.names:
                raise ValueError(
                    f"path={str(path)!r} has no era column {era_column!r}"
                    f"{_did_you_mean(era_column, schema.names)}; name it with era_column=."
                )
            for name in (era_column, *self._index):
                check_labels(schema, name, path)
            self.columns = self._choose_columns(columns, feature_set, features_json, era_column)
            if file.metadata.num_rows == 0:
                raise ValueError(f"path={str(path)!r} has no rows; download or write it again.")
            self._codes, labels = _read_eras(file, era_column, path)
        n_columns = len(self.columns) + len(self._index)
        self._batch_size = batch_size or default_batch_size(n_columns)
        chosen = _choose_eras(labels, eras, every, path)
        self.eras = [labels[code] for code in chosen]
        self._chosen = chosen
        self.n_samples = int(np.isin(self._codes, chosen).sum())

    def __len__(self) -> int:
        return len(self.eras)

    def __repr__(self) -> str:
        return (
            f"EraReader({str(self.path)!r}, {len(self)} eras, {self.n_samples} rows, "
            f"{len(self.columns)} columns)"
        )

    def __iter__(self) -> Iterator[tuple[EraLabel, pd.DataFrame]]:
        n_labels = int(self._codes.max()) + 1
        counts = np.bincount(self._codes, minlength=n_labels)
        first = np.full(n_labels, len(self._codes))
        np.minimum.at(first, self._codes, np.arange(len(self._codes)))
        last = np.zeros(n_labels, dtype=np.int64)
        last[self._codes] = np.arange(len(self._codes))
        contiguous = last - first + 1 == counts
        labels = dict(zip(self._chosen, self.eras, strict=True))

        with open_parquet(self.path) as file:
            cursor = self._cursor(file)
            for group in self._groups(counts, contiguous):
                if contiguous[group[0]]:
                    rows = np.arange(first[group[0]], last[group[0]] + 1)
                    yield labels[group[0]], self._read(cursor, rows)
                    continue
                rows = np.flatnonzero(np.isin(self._codes, group))
                frame = self._read(self._cursor(file), rows)
                for code in group:
                    yield labels[code], frame[self._codes[rows] == code]

    def read(self) -> pd.DataFrame:
        """All chosen eras in one frame, rows in the order of the file."""
        rows = np.flatnonzero(np.isin(self._codes, self._chosen))
        with open_parquet(self.path) as file:
            return self._read(self._cursor(file), rows)

    def _groups(self, counts: np.ndarray, contiguous: np.ndarray) -> Iterator[list[int]]:
        """Chosen eras in order, scattered neighbours together as far as one batch holds them.

        Scattered eras need a pass through the file; this saves most passes where eras are small.
        """
        group: list[int] = []
        for code in self._chosen:
            fits = counts[group].sum() + counts[code] <= self._batch_size
            if group and (contiguous[code] or contiguous[group[0]] or not fits):
                yield group
                group = []
            group.append(code)
        if group:
            yield group

    def _cursor(self, file: Any) -> RowCursor:
        return RowCursor(file, [*self.columns, *self._index], self._batch_size, self.path)

    def _read(self, cursor: RowCursor, rows: np.ndarray) -> pd.DataFrame:
        builder = FrameBuilder(self._schema, self.columns, self._index, len(rows))
        for batch in cursor.pieces(rows):
            builder.add(batch)
        return builder.frame(rows)

    def _choose_columns(
        self,
        columns: Sequence[str] | None,
        feature_set: str | None,
        features_json: str | PathLike[str] | None,
        era_column: str,
    ) -> list[str]:
        available = [name for name in self._schema.names if name not in self._index]
        if isinstance(columns, str):
            raise ValueError(f"columns must be a list of names; found the str {columns!r}.")
        if columns is None and feature_set is None:
            return available
        if columns is not None:
            names = [name for name in columns if name not in self._index]
            targets: list[str] = []
        else:
            names = [name for name in available if name in (era_column, "data_type")]
            targets = [name for name in available if name.startswith("target")]
        if feature_set is not None:
            source = features_json or self.path.parent / "features.json"
            names += get_feature_set(source, feature_set)
        names = list(dict.fromkeys(names + targets))
        if not names:
            raise ValueError("columns is empty; name at least one column, or pass None for all.")
        _check_columns(names, available, self.path, feature_set)
        return names


def _read_eras(file: Any, era_column: str, path: Any) -> tuple[np.ndarray, list[Any]]:
    """Era number of every row, numbered by first appearance, and the labels."""
    pc = import_optional("pyarrow.compute", extra="data")
    pa = import_optional("pyarrow", extra="data")
    codes = np.empty(file.metadata.num_rows, dtype=np.int32)
    numbers: dict[Any, int] = {}
    cursor = RowCursor(file, [era_column], 2**18, path)
    done = 0
    for batch in cursor.pieces(np.arange(len(codes))):
        column = batch.column(era_column)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        missing = pc.is_null(column, nan_is_null=True)
        if count := pc.sum(missing).as_py():
            row = done + missing.index(True).as_py()
            raise ValueError(
                f"era column {era_column!r} of path={str(path)!r} has missing values, first at row "
                f"{row} ({count} in {len(column)} rows read); give every row an era."
            )
        encoded = column.dictionary_encode()
        known = [
            numbers.setdefault(label, len(numbers)) for label in encoded.dictionary.to_pylist()
        ]
        codes[done : done + len(column)] = np.array(known)[encoded.indices.to_numpy()]
        done += len(column)
    return codes, list(numbers)


def _choose_eras(
    labels: list[Any], eras: Iterable[EraLabel] | None, every: int, path: Any
) -> list[int]:
    """Numbers of the chosen eras in order of first appearance."""
    if eras is None:
        return list(range(len(labels)))[::every]
    if isinstance(eras, str):
        raise ValueError(f"eras must be a list of era labels; found the str {eras!r}.")
    wanted = list(dict.fromkeys(eras))
    known = set(labels)
    missing = [era for era in wanted if era not in known]
    if missing:
        raise ValueError(
            f"eras: {len(missing)} of {len(wanted)} labels are not in path={str(path)!r}, first "
            f"{missing[0]!r}; its {len(labels)} eras are {labels[0]!r} to {labels[-1]!r}."
        )
    if not wanted:
        raise ValueError("eras is empty; name at least one era, or pass None for all.")
    chosen = set(wanted)
    return [code for code, label in enumerate(labels) if label in chosen][::every]


def _check_columns(
    names: list[str], available: list[str], path: Any, feature_set: str | None
) -> None:
    missing = [name for name in names if name not in set(available)]
    if not missing:
        return
    listed = ", ".join(f"{name!r}{_did_you_mean(name, available)}" for name in missing[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    origin = "" if feature_set is None else f" (with feature_set={feature_set!r})"
    raise ValueError(
        f"columns{origin}: {len(missing)} of {len(names)} are not in path={str(path)!r}: "
        f"{listed}{more}; name columns that the file has."
    )


def _did_you_mean(name: str, available: list[str]) -> str:
    close = get_close_matches(str(name), available, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
