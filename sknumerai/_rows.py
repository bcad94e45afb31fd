"""Whether all tables of a call speak of the same rows, in the same order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sknumerai._typing import Array


class HasRows(Protocol):
    """Anything that has one entry per row of a call: a table, eras, sectors."""

    @property
    def name(self) -> str: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def index(self) -> pd.Index | None: ...


@dataclass(frozen=True)
class RowLabels:
    """The rows of something that is no `Table`."""

    name: str
    n_rows: int
    index: pd.Index | None


def row_index(data: Any) -> pd.Index | None:
    """The row labels of a pandas object; other containers have none."""
    return data.index if isinstance(data, pd.Series | pd.DataFrame) else None


def id_codes(ids: Any, *, sort: bool = False) -> Array:
    """A number for every id; with ``sort``, numbers in the order of the ids.

    Raises
    ------
    ValueError
        If an id is missing.
    TypeError
        If ids are to be sorted and have no order.
    """
    # of a list numpy would make text of all, missing ones among them
    if not isinstance(ids, np.ndarray | pd.Series | pd.Index):
        ids = pd.Series(list(ids), dtype=object)
    codes: Array = pd.factorize(ids, sort=sort)[0]
    if (codes < 0).any():
        raise ValueError(
            f"{int((codes < 0).sum())} of {len(codes)} ids are missing, first at row "
            f"{int(np.argmax(codes < 0))}; name the stock of every row."
        )
    return codes


def check_column_names(data: Any, name: str) -> None:
    """Insist that the columns of a pandas frame have different names.

    Raises
    ------
    ValueError
    """
    if isinstance(data, pd.DataFrame) and not data.columns.is_unique:
        repeated = data.columns[data.columns.duplicated()]
        raise ValueError(
            f"{name} has {len(repeated)} columns with a name that another column has, first "
            f"{repeated[0]!r}; give every column a name of its own."
        )


def check_same_rows(*tables: HasRows) -> None:
    """Check that all tables of a call hold the same rows in the same order.

    Any two pandas indexes must be equal, or share no label at all: then rows match by position.

    Parameters
    ----------
    *tables : Table, EraGroups or RowLabels

    Raises
    ------
    ValueError
        If two of them have other numbers of rows, or some of the same labels in another order.
    """
    for table in tables[1:]:
        if table.n_rows != tables[0].n_rows:
            raise ValueError(
                f"{table.name} has {table.n_rows} rows and {tables[0].name} has "
                f"{tables[0].n_rows}; pass the same rows."
            )
    _check_indexes((table.name, table.index) for table in tables)


def check_no_column(eras: Any, name: str, columns: Any) -> None:
    """Refuse one label for all rows that is the name of a column of a table of the call.

    Raises
    ------
    ValueError
    """
    if isinstance(eras, str) and columns is not None and eras in list(columns):
        raise ValueError(
            f"eras={eras!r} would be one label for all rows, and {name} has a column of that name; "
            f"pass its values, eras={name}[{eras!r}]."
        )


def check_same_labels(**data: Any) -> None:
    """Check the pandas indexes of a call's arguments, as `check_same_rows` does.

    For estimators, which leave numbers of rows to scikit-learn. What has no index, or another
    number of rows than the first that has one, is passed over.
    """
    for name, value in data.items():
        check_no_column(data.get("eras"), name, getattr(value, "columns", None))
    indexes = [
        (name, index) for name, value in data.items() if (index := row_index(value)) is not None
    ]
    _check_indexes((name, index) for name, index in indexes if len(index) == len(indexes[0][1]))


def _check_indexes(indexes: Iterable[tuple[str, pd.Index | None]]) -> None:
    distinct: list[tuple[str, pd.Index]] = []  # no two of which share a label
    for name, index in indexes:
        if index is None:
            continue
        for other, labels in distinct:
            if _same(index, labels):
                break
            _check_disjoint(other, labels, name, index)
        else:
            distinct.append((name, index))


def _same(left: pd.Index, right: pd.Index) -> bool:
    """Whether two indexes are equal, be it in other types."""
    if left is right or left.equals(right):
        return True
    return (
        left.dtype != right.dtype
        and left.nlevels == right.nlevels == 1
        and list(left) == list(right)
    )


def _check_disjoint(left: str, left_index: pd.Index, right: str, right_index: pd.Index) -> None:
    if left_index.nlevels != right_index.nlevels:
        return
    if left_index.dtype == right_index.dtype:
        shared = int(left_index.isin(right_index).sum())
    else:
        labels = set(right_index)
        shared = sum(label in labels for label in left_index)
    if shared:
        pairs = zip(left_index, right_index, strict=False)
        row = next((i for i, (a, b) in enumerate(pairs) if not (a is b or _equal_labels(a, b))), 0)
        raise ValueError(
            f"The indexes of {left} and {right} share {shared} of {len(left_index)} labels but are "
            f"not equal (first difference at row {row}: {left_index[row]!r} and "
            f"{right_index[row]!r}); align them, for example {right}.loc[{left}.index], or reset "
            "both to match by position."
        )


def _equal_labels(left: Any, right: Any) -> bool:
    """Whether two labels are equal; a missing one is equal to itself alone."""
    equal = left == right
    return isinstance(equal, bool | np.bool_) and bool(equal)
