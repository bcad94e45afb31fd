"""The columns that callers name: lists, regular expressions, callables, positions, slices."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import narwhals as nw
import numpy as np

from sknumerai._frames import Table
from sknumerai._typing import FeatureColumns

FEATURE_PREFIX = "feature"


def select_features(
    table: Table,
    feature_columns: FeatureColumns,
    *,
    all_by_default: bool,
    argument: str = "feature_columns",
) -> list[int]:
    """Positions of the columns that ``feature_columns`` selects.

    Parameters
    ----------
    table : Table
        With all columns.
    feature_columns : None, list of names or positions, str, callable or slice
        None selects all columns, or those whose name starts with "feature"; a str is a regular
        expression (``re.search``); a callable gets the list of names and returns names.
    all_by_default : bool
        What None means.
    argument : str
        What error messages call ``feature_columns``.

    Raises
    ------
    ValueError
        If a name is unknown or nothing is selected.
    """
    names, positions = table.names, range(table.n_all_columns)
    or_pass = "" if all_by_default else " or pass features=..."
    if feature_columns is None and all_by_default:
        return list(positions)
    if isinstance(feature_columns, slice):
        try:
            selected = list(positions[feature_columns])
        except TypeError:
            raise ValueError(
                f"{argument}={feature_columns!r} is no slice of positions; pass a list of names."
            ) from None
    elif names is None and (feature_columns is None or isinstance(feature_columns, str)):
        raise ValueError(
            f"{table.name} is an array, whose columns have no names: give {argument} as positions "
            f"or a slice (found {feature_columns!r}){or_pass}."
        )
    else:
        selected = _positions(table, feature_columns, argument)
    if not selected:
        raise ValueError(
            f"{argument}={feature_columns!r} selects no column of {table.name} with its "
            f"n_features = {table.n_all_columns}{_some(names)}; name columns that it has{or_pass}."
        )
    return selected


def take_columns(
    data: Any, name: str, columns: FeatureColumns, argument: str = "feature_columns"
) -> Any:
    """Some columns, by default all, in the caller's container.

    Parameters
    ----------
    data : array-like or DataFrame
    name : str
        What error messages call it.
    columns, argument
        ``feature_columns`` and what error messages call it, see `select_features`.
    """
    if columns is None:
        return data
    table = Table(data, name)
    selected = select_features(table, columns, all_by_default=True, argument=argument)
    if isinstance(table.frame, nw.DataFrame):
        return table.frame[:, selected].to_native()
    return table.frame[:, selected]


def _positions(table: Table, feature_columns: Any, argument: str) -> list[int]:
    names = table.names
    wanted: Sequence[Any]
    if feature_columns is None:
        wanted = [name for name in names or () if str(name).startswith(FEATURE_PREFIX)]
    elif isinstance(feature_columns, str):
        try:
            pattern = re.compile(feature_columns)
        except re.error as error:
            raise ValueError(
                f"{argument}={feature_columns!r} is no regular expression ({error}); write one "
                "such as '^feature_'."
            ) from None
        wanted = [name for name in names or () if pattern.search(str(name))]
    elif callable(feature_columns):
        chosen = feature_columns(names)
        if chosen is None or isinstance(chosen, str) or not isinstance(chosen, Iterable):
            raise ValueError(
                f"{argument} is a callable that returned {chosen!r}; return a list of names."
            )
        wanted = list(chosen)
    else:
        wanted = list(feature_columns)
    if all(isinstance(item, bool | np.bool_) for item in wanted) and wanted:
        if len(wanted) != table.n_all_columns:
            raise ValueError(
                f"{argument} is a mask of {len(wanted)} for the {table.n_all_columns} columns of "
                f"{table.name}; pass one value per column."
            )
        names, wanted = None, [int(j) for j in np.flatnonzero(wanted)]
    # where names are numbers, a number is a name
    by_position = names is None or all(isinstance(name, str) for name in names)
    known: dict[Hashable, int] = {} if names is None else {n: j for j, n in enumerate(names)}
    selected = []
    for item in wanted:
        if not isinstance(item, Hashable):
            raise ValueError(f"{argument} holds {item!r}, which is no name; pass a flat list.")
        if item in known:
            selected.append(known[item])
        elif (
            by_position
            and isinstance(item, int | np.integer)
            and -table.n_all_columns <= item < table.n_all_columns
        ):
            selected.append(int(item) % table.n_all_columns)
        else:
            raise ValueError(
                f"{argument} names {item!r}, which {table.name} with its "
                f"{table.n_all_columns} columns{_some(table.names)} does not hold"
                f"{'; its names are numbers, which are no positions' * (not by_position)}."
            )
    if len(set(selected)) < len(selected):
        raise ValueError(f"{argument} names a column twice; name each once.")
    return selected


def _some(names: list[Any] | None) -> str:
    """A few column names in brackets, for messages."""
    return "" if not names else f" ({', '.join(map(repr, names[:3]))}{', ...' * (len(names) > 3)})"
