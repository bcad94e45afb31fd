"""What contributions read whole: stakes, returns, covariances; and who the users are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from sknumerai._eras import EraGroups
from sknumerai._typing import Array, EraLabel, Source
from sknumerai.datasets._sources import name_source
from sknumerai.streaming._ids import Ids
from sknumerai.streaming._numbers import describe_unusable, unusable
from sknumerai.streaming._paths import check_input, reading
from sknumerai.streaming._quoting import list_some
from sknumerai.streaming._row_source import Reading, RowSource
from sknumerai.streaming._whole_table import WholeTable, read_arrow, read_csv

USER, STAKE, RETURN = "user", "stake", "return"


class Users(RowSource):
    """Files of users' predictions, a column for each.

    Parameters
    ----------
    source : str, path-like or sequence of these
    era_column : str

    Attributes
    ----------
    names : list of str
    eras : EraGroups
        In chronological order.

    Raises
    ------
    ValueError, OSError
        If files cannot be read, or ids, eras or users are missing, or eras have no order.
    """

    def __init__(self, source: Source, era_column: str):
        super().__init__(source, "user_predictions", era_column, eras="optional")
        if not self.has_eras:
            raise ValueError(
                f"{self.label} has no era column {era_column!r} (columns: "
                f"{list_some(self.columns)}); name another one with era_column=."
            )
        if not self.numeric:
            raise ValueError(
                f"{self.label} has no numeric column but ids and eras (columns: "
                f"{list_some(self.columns)}); write one column per user."
            )
        self.names = self.numeric
        _ = self.ids  # checks them
        try:
            self.eras: EraGroups = self.groups.sorted()
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from error

    def predictions(self) -> Reading:
        """What reads the predictions of every era; a user may be absent, as NaN."""
        return self.reading(self.names, self.eras.rows, self.eras.labels, absent=True)

    def rows_in(self, ids: Ids) -> Array:
        """The rows of all users' stocks among those of other ids.

        Raises
        ------
        ValueError
            If some are not there.
        """
        found = ids.locate(self.ids)
        lost = np.flatnonzero(found < 0)
        if len(lost):
            raise ValueError(
                f"{len(lost)} of {len(self.ids)} ids of {self.label} are not in {ids.source}, "
                f"first {self.ids.some(lost)}; pass a file with these rows, or leave them out of "
                "the former."
            )
        return found


@dataclass(frozen=True)
class Covariance:
    """Covariances of the factors: one matrix under the key None, or one per era, as text."""

    names: list[str]
    matrices: dict[str | None, Array]

    def era(self, label: EraLabel) -> Array:
        """The matrix of one era."""
        return self.matrices[None if None in self.matrices else str(label)]


def read_stakes(source: Source, users: Users, era_column: str) -> Array:
    """Stakes of shape (n_eras, n_users), in the order of the eras.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, users or eras differ from those of the predictions, or a
        stake is not a number of zero or more.
    """
    label = name_source("stakes", source)
    frame = _read_small(source, "stakes", (USER, era_column))
    if frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    labels = [str(era) for era in users.eras.labels]
    if era_column in frame.columns:
        table = _by_era(frame, era_column, label, labels)
    elif USER in frame.columns:
        others = [name for name in frame.columns if name != USER]
        column = STAKE if STAKE in others else others[0] if len(others) == 1 else None
        if column is None:
            raise ValueError(
                f"{label} has {len(others)} columns beside {USER!r} and none is called {STAKE!r} "
                f"(columns: {list_some(frame.columns)}); write the columns user and stake."
            )
        names = _keys(frame[USER], label, "user")
        table = pd.DataFrame([frame[column].to_numpy()], index=[None], columns=names)
    else:
        raise ValueError(
            f"{label} has neither a column {USER!r} nor {era_column!r} (columns: "
            f"{list_some(frame.columns)}); write the columns user and stake, or the eras as a "
            "column and one column per user."
        )
    _check_same_users(table.columns, users, label)
    table = table[users.names]
    _check_stakes(table, label)
    values = table.to_numpy(dtype=np.float64)
    return np.broadcast_to(values, (len(labels), values.shape[1]))


def _read_small(source: Source, argument: str, text: Sequence[str]) -> pd.DataFrame:
    """A table without ids, some of its columns as text in a CSV."""
    with reading(name_source(argument, source)):
        frame: pd.DataFrame = read_arrow(source, argument, text=text).to_pandas()
    return frame


def _by_era(frame: pd.DataFrame, era_column: str, source: str, labels: list[str]) -> pd.DataFrame:
    eras = _keys(frame[era_column], source, "era")
    _check_eras(labels, eras, source)
    table = frame.drop(columns=era_column).set_axis(eras).loc[labels]
    return table.set_axis([str(name) for name in table.columns], axis=1)


def _keys(column: pd.Series, source: str, what: str) -> pd.Index:
    """Names of eras or users as text, each once."""
    if column.isna().any():
        raise ValueError(
            f"{source} has {int(column.isna().sum())} of {len(column)} rows without {what}; name "
            "all of them."
        )
    keys = pd.Index(column.astype(str))
    if not keys.is_unique:
        repeated = keys[keys.duplicated()]
        raise ValueError(
            f"{source} has {len(repeated)} rows with a {what} that another row has, first "
            f"{repeated[0]!r}; keep one row each."
        )
    return keys


def _check_eras(labels: Sequence[str], there: pd.Index, source: str) -> None:
    missing = [label for label in labels if label not in there]
    if missing:
        raise ValueError(
            f"{source} lacks {len(missing)} of the {len(labels)} eras of user_predictions=, first "
            f"{missing[0]!r} (it has {list_some(there, 3)}); add them, written in the same way."
        )


def _check_same_users(staked: pd.Index, users: Users, source: str) -> None:
    without = [name for name in users.names if name not in staked]
    unknown = [name for name in staked if name not in set(users.names)]
    found = []
    if without:
        found.append(f"{len(without)} of {len(users.names)} users have no stake ")
        found[-1] += f"({list_some(without, 3)})"
    if unknown:
        found.append(f"{len(unknown)} of {len(staked)} stakes belong to nobody ")
        found[-1] += f"({list_some(unknown, 3)})"
    if found:
        raise ValueError(
            f"{source} and {users.label} do not name the same users: {' and '.join(found)}; "
            "give every user a stake, be it 0, and nobody else."
        )


def _check_stakes(table: pd.DataFrame, source: str) -> None:
    for name in table.columns:
        column = table[name]
        numbers = pd.to_numeric(column, errors="coerce")
        bad = unusable(numbers.to_numpy(dtype=np.float64, na_value=np.nan)) | (numbers < 0)
        if is_bool_dtype(column) or bad.any():
            row = int(np.argmax(bad))
            era = "" if column.index[row] is None else f" in era {column.index[row]}"
            raise ValueError(
                f"{source} has the stake {column.iloc[row]} of user {name!r}{era}; a stake is a "
                "number, zero or more, also of users that did not take part."
            )


def read_returns(source: Source, column: str | None, users: Users, era_column: str) -> Array:
    """Returns of shape (n_rows,), float64, in the order of the users' rows.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, lacks ids, or returns are no finite numbers.
    """
    table = WholeTable(source, "returns", [column or RETURN])
    name = table.the_one(column, RETURN, era_column, "return_column")
    values = table.values([name], "return_column")[:, 0][users.rows_in(table.ids)]
    bad = np.flatnonzero(unusable(values))
    if len(bad):
        raise ValueError(
            f"{table.label} has {describe_unusable(values)} of the {len(values)} returns that "
            f"belong to {users.label}, first at id {users.ids[bad[0]]!r}; fill them, or leave "
            "these eras or rows out of the latter."
        )
    return values.astype(np.float64, copy=False)


def read_covariance(source: Any, users: Users, era_column: str) -> Covariance:
    """Read the covariances of the factors.

    Raises
    ------
    ValueError, OSError
        If the file is no square matrix with a header, or none for every era of the users.
    """
    label = name_source("factor_covariance", source)
    path, *more = check_input("factor_covariance", Path(source), (".csv", ".csv.gz"))
    if more:
        raise ValueError(f"{label} are {1 + len(more)} files; name a single one.")
    with reading(label):
        frame = read_csv(path, (era_column,)).to_pandas()
    blocks: dict[str | None, pd.DataFrame] = {None: frame}
    if era_column in frame.columns:
        eras = frame.pop(era_column)
        blocks = {str(era): block for era, block in frame.groupby(eras, sort=False)}
        labels = [str(era) for era in users.eras.labels]
        _check_eras(labels, pd.Index(blocks), label)
    # A first column without numbers names the rows.
    texts = [
        name
        for name in frame.columns
        if not _holds_numbers(frame[name]) and frame[name].notna().any()
    ]
    names = [name for name in frame.columns if name not in texts]
    for era, block in blocks.items():
        where = "" if era is None else f" in era {era}"
        if len(texts) > 1 or (texts and block[texts[0]].tolist() != names):
            raise ValueError(
                f"{label} holds something else than numbers{where}: column {texts[-1]!r} does "
                "not name the factors of the header row by row; write one row and column per "
                "factor."
            )
        if len(block) != len(names):
            raise ValueError(
                f"{label} has {len(block)} rows and {len(names)} factors "
                f"({list_some(names, 3)}){where}; write the names as header, and one row and "
                "column per factor."
            )
        if not np.isfinite(block[names].to_numpy(dtype=np.float64)).all():
            raise ValueError(f"{label} has NaN or infinite values{where}; fill them.")
    matrices = {era: block[names].to_numpy(dtype=np.float64) for era, block in blocks.items()}
    return Covariance(names, matrices)


def _holds_numbers(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)
