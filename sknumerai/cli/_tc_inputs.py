"""What ``tc`` reads whole: stakes, returns, covariances; and who the users are."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from sknumerai._eras import EraGroups
from sknumerai._typing import Array, EraLabel
from sknumerai.cli._errors import CommandError, naming_option
from sknumerai.cli._files import check_ids, list_some, read_columns, read_csv, read_table
from sknumerai.cli._numbers import describe_unusable, unusable
from sknumerai.cli._paths import check_input
from sknumerai.cli._tc_rows import RowFile, locate

USER, STAKE, RETURN = "user", "stake", "return"


@dataclass(frozen=True)
class Users:
    """A file of users' predictions.

    Attributes
    ----------
    file : RowFile
    names : list of str
    ids : Index
        As text, in the order of the file.
    groups : EraGroups
    order : list of int, of length n_eras
        Positions of the eras in chronological order.
    """

    file: RowFile
    names: list[str]
    ids: pd.Index
    groups: EraGroups
    order: list[int]


@dataclass(frozen=True)
class Covariance:
    """Covariances of the factors: one matrix under the key None, or one per era, as text."""

    names: list[str]
    matrices: dict[str | None, Array]

    def era(self, label: EraLabel) -> Array:
        """The matrix of one era."""
        return self.matrices[None if None in self.matrices else str(label)]


def read_users(path: Path, era_column: str) -> Users:
    """Read ids and eras, and find the users' columns.

    Raises
    ------
    CommandError
        If the file cannot be read, or ids, eras or users are missing, or eras have no order.
    """
    file = RowFile("--users", path, era_column)
    if not file.has_eras:
        raise CommandError(
            f"{file.source} has no era column {era_column!r} (columns: {list_some(file.columns)}); "
            "name another one with --era-column."
        )
    if not file.numeric:
        raise CommandError(
            f"{file.source} has no numeric column but ids and eras (columns: "
            f"{list_some(file.columns)}); write one column per user."
        )
    ids, groups = file.read_ids()
    try:
        order = groups.order
    except ValueError as error:
        raise CommandError(f"{file.source}: {error}") from error
    return Users(file, file.numeric, ids, groups, order)


def read_stakes(path: Path, users: Users, era_column: str) -> Array:
    """Stakes of shape (n_eras, n_users), in the order of the users' file.

    Raises
    ------
    CommandError
        If the file cannot be read, users or eras differ from those of the predictions, or a
        stake is not a number of zero or more.
    """
    source = f"--stakes {path}"
    check_input("--stakes", path)
    with naming_option("--stakes", path):
        if path.suffix.lower() == ".csv":
            frame = read_csv(path, (USER, era_column))
        else:
            frame = read_columns(path)
            if not isinstance(frame.index, pd.RangeIndex):
                frame = frame.reset_index()
    labels = [str(label) for label in users.groups.labels]
    if era_column in frame.columns:
        table = _by_era(frame, era_column, source, labels)
    elif USER in frame.columns:
        others = [name for name in frame.columns if name != USER]
        column = STAKE if STAKE in others else others[0] if len(others) == 1 else None
        if column is None:
            raise CommandError(
                f"{source} has {len(others)} columns beside {USER!r} and none is called {STAKE!r} "
                f"(columns: {list_some(frame.columns)}); write the columns user and stake."
            )
        names = _keys(frame[USER], source, "user")
        table = pd.DataFrame([frame[column].to_numpy()], index=[None], columns=names)
    else:
        raise CommandError(
            f"{source} has neither a column {USER!r} nor {era_column!r} (columns: "
            f"{list_some(frame.columns)}); write the columns user and stake, or the eras as a "
            "column and one column per user."
        )
    _check_same_users(table.columns, users, source)
    table = table[users.names]
    _check_stakes(table, source)
    values = table.to_numpy(dtype=np.float64)
    return np.broadcast_to(values, (len(labels), values.shape[1]))


def _by_era(frame: pd.DataFrame, era_column: str, source: str, labels: list[str]) -> pd.DataFrame:
    eras = _keys(frame[era_column], source, "era")
    _check_eras(labels, eras, source)
    table = frame.drop(columns=era_column).set_axis(eras).loc[labels]
    return table.set_axis([str(name) for name in table.columns], axis=1)


def _keys(column: pd.Series, source: str, what: str) -> pd.Index:
    """Names of eras or users as text, each once."""
    if column.isna().any():
        raise CommandError(
            f"{source} has {int(column.isna().sum())} of {len(column)} rows without {what}; name "
            "all of them."
        )
    keys = pd.Index(column.astype(str))
    if not keys.is_unique:
        repeated = keys[keys.duplicated()]
        raise CommandError(
            f"{source} has {len(repeated)} rows with a {what} that another row has, first "
            f"{repeated[0]!r}; keep one row each."
        )
    return keys


def _check_eras(labels: Sequence[str], there: pd.Index, source: str) -> None:
    missing = [label for label in labels if label not in there]
    if missing:
        raise CommandError(
            f"{source} lacks {len(missing)} of the {len(labels)} eras of --users, first "
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
        raise CommandError(
            f"{source} and {users.file.source} do not name the same users: {' and '.join(found)}; "
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
            raise CommandError(
                f"{source} has the stake {column.iloc[row]} of user {name!r}{era}; a stake is a "
                "number, zero or more, also of users that did not take part."
            )


def read_returns(path: Path, column: str | None, users: Users, era_column: str) -> Array:
    """Returns of shape (n_rows,), float64, in the order of the users' rows.

    Raises
    ------
    CommandError
        If the file cannot be read, lacks ids, or returns are no finite numbers.
    """
    source = f"--returns {path}"
    frame = read_table("--returns", path, [column or RETURN])
    name = _return_column(frame, column, era_column, source)
    if not _holds_numbers(frame[name]):
        raise CommandError(
            f"Column {name!r} of {source} does not hold numbers (dtype {frame[name].dtype}); name "
            "another one with --return-column."
        )
    check_ids(frame.index, source)
    rows = locate(frame.index.astype(str), users.ids, source, users.file.source)
    values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)[rows]
    bad = np.flatnonzero(unusable(values))
    if len(bad):
        raise CommandError(
            f"{source} has {describe_unusable(values)} of the {len(values)} returns that "
            f"belong to {users.file.source}, first at id {users.ids[bad[0]]!r}; fill them, "
            "or leave these eras or rows out of the latter."
        )
    return values


def _return_column(frame: pd.DataFrame, column: str | None, era_column: str, source: str) -> str:
    if column is None and RETURN in frame.columns:
        return RETURN
    if column is None:
        numeric = [
            name for name in frame.columns if name != era_column and _holds_numbers(frame[name])
        ]
        if len(numeric) != 1:
            raise CommandError(
                f"{source} has no column {RETURN!r} and {len(numeric)} other numeric ones "
                f"(columns: {list_some(frame.columns)}); name one with --return-column."
            )
        return numeric[0]
    if column not in frame.columns:
        close = get_close_matches(column, map(str, frame.columns), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise CommandError(
            f"--return-column {column!r} is not in {source}{hint}; it has "
            f"{list_some(frame.columns)}."
        )
    return column


def read_covariance(path: Path, users: Users, era_column: str) -> Covariance:
    """Read the covariances of the factors.

    Raises
    ------
    CommandError
        If the file is no square matrix with a header, or none for every era of the users.
    """
    source = f"--covariance {path}"
    check_input("--covariance", path, (".csv",))
    with naming_option("--covariance", path):
        frame = read_csv(path, (era_column,))
    blocks: dict[str | None, pd.DataFrame] = {None: frame}
    if era_column in frame.columns:
        eras = frame.pop(era_column)
        blocks = {str(era): block for era, block in frame.groupby(eras, sort=False)}
        labels = [str(label) for label in users.groups.labels]
        _check_eras(labels, pd.Index(blocks), source)
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
            raise CommandError(
                f"{source} holds something else than numbers{where}: column {texts[-1]!r} does "
                "not name the factors of the header row by row; write one row and column per "
                "factor."
            )
        if len(block) != len(names):
            raise CommandError(
                f"{source} has {len(block)} rows and {len(names)} factors "
                f"({list_some(names, 3)}){where}; write the names as header, and one row and "
                "column per factor."
            )
        if not np.isfinite(block[names].to_numpy(dtype=np.float64)).all():
            raise CommandError(f"{source} has NaN or infinite values{where}; fill them.")
    matrices = {era: block[names].to_numpy(dtype=np.float64) for era, block in blocks.items()}
    return Covariance(names, matrices)


def _holds_numbers(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)
