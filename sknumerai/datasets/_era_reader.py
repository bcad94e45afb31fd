"""Eras of parquet files, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from numbers import Integral
from os import PathLike

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_scalar

from sknumerai._eras import EraGroups, Rows
from sknumerai._typing import EraLabel, Source
from sknumerai.datasets._era_blocks import EraBlocks
from sknumerai.datasets._era_rows import EraRows, read_frames
from sknumerai.datasets._feature_sets import get_feature_set
from sknumerai.datasets._sources import ParquetParts, index_columns

__all__ = ["EraReader"]


class EraReader:
    """The eras of parquet files, read one at a time in bounded memory.

    Iterating yields ``(era, frame)`` in the order in which eras first appear in the file; rows
    keep the order of the file. Every iteration reads the file anew. Memory holds one era and one
    batch of rows, also where row groups hold hundreds of eras, eras span row groups, or the rows
    of an era are scattered (the file is then read several times).

    Parameters
    ----------
    path : str, path-like or sequence of these
        A parquet file with an era column, a list of such files, a folder of parts or a glob.
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
        path: Source,
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
        with ParquetParts(path) as parts:
            self._label, self._folder = parts.label, parts.paths[0].parent
            names = parts.schema.names
            if era_column not in names:
                raise ValueError(
                    f"{parts.label} has no era column {era_column!r}"
                    f"{_did_you_mean(era_column, names)}; name it with era_column=."
                )
            index = index_columns(parts.schema)
            available = [name for name in names if name not in index]
            self.columns = self._choose_columns(
                columns, available, index, feature_set, features_json, era_column
            )
        self._rows = EraRows(path, era_column)
        self._batch_size = batch_size
        groups = self._rows.groups
        chosen = _choose_eras(groups, eras, every, self._label)
        self._groups = groups.take(chosen)
        self.eras = list(self._groups.labels)
        self.n_samples = int(np.isin(self._rows.codes, chosen).sum())

    def __len__(self) -> int:
        return len(self.eras)

    def __repr__(self) -> str:
        return (
            f"EraReader({self._label}, {len(self)} eras, {self.n_samples} rows, "
            f"{len(self.columns)} columns)"
        )

    def __iter__(self) -> Iterator[tuple[EraLabel, pd.DataFrame]]:
        return zip(self.eras, self._frames(self._groups.rows), strict=True)

    def read(self) -> pd.DataFrame:
        """All chosen eras in one frame, rows in the order of the file."""
        (frame,) = self._frames([self._groups.indices(range(len(self)))])
        return frame

    def blocks(self, columns: Sequence[str]) -> EraBlocks:
        """Columns of numbers of the eras as a sequence of arrays, for access in any order.

        Parameters
        ----------
        columns : sequence of str
            Some of ``columns``, of integers or floats.

        Returns
        -------
        blocks : sequence of ndarray of shape (n_rows, n_columns)
            ``blocks[i]`` reads the era ``eras[i]``, in the type that holds all its columns: int8
            features stay int8. It takes as long as decoding the row groups that hold rows of the
            era, up to these rows.

        Raises
        ------
        ValueError
            If a column is not among ``columns`` or does not hold numbers.
        """
        names = list(columns)
        _check_columns(names, self.columns, repr(self), None)
        return EraBlocks(self._rows.parts, names, self._groups, self._batch_size)

    def _frames(self, rows: Sequence[Rows]) -> Iterator[pd.DataFrame]:
        parts, index = self._rows.parts, self._rows.index
        return read_frames(parts, self.columns, index, rows, self._batch_size)

    def _choose_columns(
        self,
        columns: Sequence[str] | None,
        available: list[str],
        index: list[str],
        feature_set: str | None,
        features_json: str | PathLike[str] | None,
        era_column: str,
    ) -> list[str]:
        if isinstance(columns, str):
            raise ValueError(f"columns must be a list of names; found the str {columns!r}.")
        if columns is None and feature_set is None:
            return available
        if columns is not None:
            names = [name for name in columns if name not in index]
            targets: list[str] = []
        else:
            names = [name for name in available if name in (era_column, "data_type")]
            targets = [name for name in available if name.startswith("target")]
        if feature_set is not None:
            source = features_json or self._folder / "features.json"
            names += get_feature_set(source, feature_set)
        names = list(dict.fromkeys(names + targets))
        if not names:
            raise ValueError("columns is empty; name at least one column, or pass None for all.")
        _check_columns(names, available, self._label, feature_set)
        return names


def _choose_eras(
    groups: EraGroups, eras: Iterable[EraLabel] | None, every: int, source: str
) -> list[int]:
    """Numbers of the chosen eras in order of first appearance."""
    chosen = list(range(len(groups))) if eras is None else _named_eras(groups, eras, source)
    if every == 1:
        return chosen
    return sorted(chosen[i] for i in groups.take(chosen).order[::every])


def _named_eras(groups: EraGroups, eras: Iterable[EraLabel], source: str) -> list[int]:
    """Numbers of the eras of some labels."""
    if isinstance(eras, str) or not isinstance(eras, Iterable):
        kind = type(eras).__name__
        raise ValueError(f"eras must be a list of era labels; found the {kind} {eras!r}.")
    wanted = list(dict.fromkeys(eras))
    labels = groups.labels
    known = set(labels)
    missing = [era for era in wanted if era not in known]
    if missing:
        raise ValueError(
            f"eras: {len(missing)} of {len(wanted)} labels are not in {source}, first "
            f"{missing[0]!r}; its {len(labels)} eras are {labels[0]!r} to {labels[-1]!r}."
        )
    if not wanted:
        raise ValueError("eras is empty; name at least one era, or pass None for all.")
    named = set(wanted)
    return [code for code, label in enumerate(labels) if label in named]


def _check_columns(
    names: list[str], available: list[str], source: str, feature_set: str | None
) -> None:
    known = set(available)
    missing = [name for name in names if name not in known]
    if not missing:
        return
    listed = ", ".join(f"{name!r}{_did_you_mean(name, available)}" for name in missing[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    origin = "" if feature_set is None else f" (with feature_set={feature_set!r})"
    raise ValueError(
        f"columns{origin}: {len(missing)} of {len(names)} are not in {source}: "
        f"{listed}{more}; name columns that the file has."
    )


def _did_you_mean(name: str, available: list[str]) -> str:
    close = get_close_matches(str(name), available, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
