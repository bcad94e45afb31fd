"""A tournament file era by era, or whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral
from os import PathLike

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_scalar

from sknumerai._eras import group_eras
from sknumerai._typing import EraLabel, Source
from sknumerai.datasets._era_reader import EraReader

__all__ = ["iter_eras", "read_tournament"]

DATA_TYPE = "data_type"


def iter_eras(
    path: Source,
    columns: Sequence[str] | None = None,
    *,
    feature_set: str | None = None,
    features_json: str | PathLike[str] | None = None,
    era_column: str = "era",
    eras: Sequence[EraLabel] | None = None,
    every: int = 1,
    batch_size: int | None = None,
) -> Iterator[tuple[EraLabel, pd.DataFrame]]:
    """Iterate over the eras of a parquet file in bounded memory.

    The arguments are checked by the call, before the first era is asked for. Use
    :class:`EraReader` where the number of eras is needed first, as for a progress bar.

    Parameters
    ----------
    path : str, path-like or sequence of these
        A parquet file with an era column, a list of such files, a folder of parts or a glob.
    columns : sequence of str, default=None
        Columns to read. None means all, or those described under `feature_set`.
    feature_set : str, default=None
        Name of a set or group in features.json, read beside `columns`; if `columns` is None,
        beside the era column, data_type and all targets.
    features_json : str or path-like, default=None
        Path of features.json. None means the one beside `path`.
    era_column : str, default="era"
        Name of the column that holds the eras.
    eras : sequence of era labels, default=None
        Eras to read. None means all.
    every : int, default=1
        Read every `every`-th era of these, starting with the first.
    batch_size : int, default=None
        Rows decoded at a time. None means as many as hold about 4 million values.

    Yields
    ------
    era : object
        Label, in order of first appearance.
    frame : DataFrame
        Its rows in the order of the file, indexed by id (by row number where the file has
        none), every column in its own type: int8 features stay int8.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As :class:`EraReader`.

    Examples
    --------
    >>> import tempfile
    >>> from sknumerai.datasets import iter_eras, write_tournament
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=3, n_stocks=20, n_features=10, random_state=0)
    ...     for era, frame in iter_eras(paths.train, columns=["target"]):
    ...         print(era, frame.shape)
    0001 (20, 1)
    0002 (20, 1)
    """
    return iter(
        EraReader(
            path,
            columns,
            feature_set=feature_set,
            features_json=features_json,
            era_column=era_column,
            eras=eras,
            every=every,
            batch_size=batch_size,
        )
    )


def read_tournament(
    path: Source,
    *,
    columns: Sequence[str] | None = None,
    feature_set: str | None = None,
    features_json: str | PathLike[str] | None = None,
    era_column: str = "era",
    data_type: str | None = None,
    eras: Sequence[EraLabel] | None = None,
    embargo: int = 0,
    every: int = 1,
) -> pd.DataFrame:
    """Read a tournament file, or some columns and eras of it, into one frame.

    Peak memory is the frame and one batch of rows.

    Parameters
    ----------
    path : str, path-like or sequence of these
        A parquet file with an era column, a list of such files, a folder of parts or a glob.
    columns : sequence of str, default=None
        Columns to read beside the era column, which is always read. None means all, or those
        described under `feature_set`.
    feature_set : str, default=None
        Name of a set or group in features.json, read beside `columns`; if `columns` is None,
        beside the era column, data_type and all targets.
    features_json : str or path-like, default=None
        Path of features.json. None means the one beside `path`.
    era_column : str, default="era"
        Name of the column that holds the eras.
    data_type : str, default=None
        Keep the rows of this data type only: "train", "validation", "test" or "live". Validation
        files hold recent eras of type "test", which have no targets yet.
    eras : sequence of era labels, default=None
        Eras to read. None means all.
    embargo : int, default=0
        Leave out so many of the first of these eras, in the order of eras. The first validation
        eras follow the last training era, whose targets overlap with theirs: 4 for targets of 20
        days, 12 for 60.
    every : int, default=1
        Read every `every`-th era of these, starting with the first. Targets of neighbouring
        weekly eras overlap; every fourth holds most of the information.

    Returns
    -------
    frame : DataFrame
        Rows in the order of the file, indexed by id; int8 features stay int8.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As :class:`EraReader`.

    Examples
    --------
    >>> import tempfile
    >>> from sknumerai.datasets import read_tournament, write_tournament
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=9, n_stocks=20, n_features=42, random_state=0)
    ...     train = read_tournament(paths.train, feature_set="medium", every=4)
    >>> train.shape, train["era"].unique().tolist()
    ((40, 17), ['0001', '0005'])
    """
    check_scalar(embargo, "embargo", Integral, min_val=0)
    if columns is not None and not isinstance(columns, str):
        columns = list(dict.fromkeys([era_column, *columns]))
    if data_type is not None or embargo:
        eras = _eras_of(path, era_column, eras, data_type, embargo)
    reader = EraReader(
        path,
        columns,
        feature_set=feature_set,
        features_json=features_json,
        era_column=era_column,
        eras=eras,
        every=every,
    )
    return reader.read()


def _eras_of(
    path: Source,
    era_column: str,
    eras: Sequence[EraLabel] | None,
    data_type: str | None,
    embargo: int,
) -> list[EraLabel]:
    """The eras of a data type, without the first few."""
    columns = [era_column] if data_type is None else [era_column, DATA_TYPE]
    reader = EraReader(path, columns, era_column=era_column, eras=eras)
    labels = list(reader.eras)
    if data_type is not None:
        types = {era: set(frame[DATA_TYPE]) for era, frame in reader}
        mixed = [era for era, found in types.items() if len(found) > 1 and data_type in found]
        if mixed:
            raise ValueError(
                f"data_type={data_type!r}: era {mixed[0]} has rows of {len(types[mixed[0]])} data "
                "types; read the whole file and choose the rows that you mean."
            )
        labels = [era for era, found in types.items() if found == {data_type}]
        if not labels:
            known = sorted({str(each) for found in types.values() for each in found})
            raise ValueError(
                f"data_type={data_type!r} is of no row of path={str(path)!r}, which has "
                f"{', '.join(map(repr, known))}; name one of these."
            )
    if embargo >= len(labels):
        raise ValueError(
            f"embargo={embargo} leaves none of {len(labels)} eras; pass fewer than these."
        )
    # an array of objects keeps the labels as they are
    order = group_eras(np.array([*labels, None], dtype=object)[:-1], len(labels)).order
    dropped = {labels[i] for i in order[:embargo]}
    return [era for era in labels if era not in dropped]
