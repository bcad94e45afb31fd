"""Tables as callers hold them (numpy, pandas, polars): names, columns, rows, and the way back."""

import re
from collections.abc import Hashable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from sknumerai._eras import EraGroups, Rows, name_era
from sknumerai._typing import Array, FeatureColumns

FEATURE_PREFIX = "feature"


class Table:
    """A table of numbers whose rows are handed out one era at a time, in its own dtype.

    Parameters
    ----------
    data : array-like or DataFrame of shape (n_rows, n_columns)
        Not copied. A one-dimensional array or Series is a table of one column.
    name : str
        What error messages call it.
    columns : sequence of int, optional
        The columns to hand out; all by default.
    """

    def __init__(self, data: Any, name: str, columns: Sequence[int] | None = None):
        self.name = name
        native = nw.from_native(data, eager_only=True, allow_series=True, pass_through=True)
        if isinstance(native, nw.Series):
            native = native.to_frame()
        self.frame: nw.DataFrame[Any] | Array
        if isinstance(native, nw.DataFrame):
            self.frame = native
            all_names: list[Any] | None = list(native.columns)
        else:
            array = np.asarray(native)
            array = array.reshape(-1, 1) if array.ndim == 1 else array
            if array.ndim != 2:
                raise ValueError(f"{name} must be two-dimensional; found shape {array.shape}.")
            self.frame = array
            all_names = None
        self.n_rows, self.n_all_columns = self.frame.shape
        self.columns = list(range(self.n_all_columns)) if columns is None else list(columns)
        self.names = None if all_names is None else [all_names[j] for j in self.columns]

    def subset(self, columns: Sequence[int], name: str | None = None) -> "Table":
        """Some columns of the same data, which must be numeric.

        Raises
        ------
        ValueError
            If a selected column is not numeric.
        """
        part = Table(self.frame, name or self.name, columns)
        part._check_numeric()
        return part

    @property
    def n_columns(self) -> int:
        return len(self.columns)

    @property
    def index(self) -> pd.Index | None:
        """The row labels, where the table is a pandas frame."""
        native = self.frame.to_native() if isinstance(self.frame, nw.DataFrame) else None
        return native.index if isinstance(native, pd.DataFrame) else None

    def rows(self, rows: Rows) -> Array:
        """The rows of one era, shape (n_era, n_columns), in the table's own dtype.

        Raises
        ------
        ValueError
            If a value is NaN or infinite.
        """
        if isinstance(self.frame, nw.DataFrame):
            whole = self.n_columns == self.n_all_columns
            part = self.frame[rows] if whole else self.frame[rows, self.columns]
            block = part.to_numpy()
        elif self.n_columns == self.n_all_columns:
            block = self.frame[rows]
        else:
            block = self.frame[rows][:, self.columns]
        if block.dtype.kind == "O":  # nullable columns with missing values
            block = block.astype(np.float64)
        if block.dtype.kind == "f":
            self._check_finite(block, rows)
        return block

    def _check_numeric(self) -> None:
        if isinstance(self.frame, nw.DataFrame):
            schema = self.frame.schema
            for name in self.names or ():
                if not (schema[name].is_numeric() or schema[name] == nw.Boolean):
                    raise ValueError(
                        f"Column {name!r} of {self.name} is not numeric (dtype {schema[name]}); "
                        "drop it or convert it to numbers."
                    )
        elif self.frame.dtype.kind not in "biuf":
            raise ValueError(
                f"{self.name} must hold real numbers; found dtype {self.frame.dtype}. "
                "Convert it, or pass a DataFrame and name the columns."
            )

    def _check_finite(self, block: Array, rows: Rows) -> None:
        bad = ~np.isfinite(block)
        if not bad.any():
            return
        i, j = (int(v) for v in np.argwhere(bad)[0])
        row = rows.start + i if isinstance(rows, slice) else int(rows[i])
        column = "" if self.names is None else f" of column {self.names[j]!r}"
        raise ValueError(
            f"{self.name} contains {_count_bad(block)}, first at row {row}{column}; "
            "fill or drop those rows or columns first."
        )


def _count_bad(values: Array) -> str:
    n_nan, n_inf = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    parts = [f"{n_nan} NaN"] * bool(n_nan) + [f"{n_inf} infinite (inf)"] * bool(n_inf)
    return f"{' and '.join(parts)} of {values.size} values"


def read_predictions(table: Table, groups: EraGroups) -> Array:
    """All predictions as floats, checked for finiteness.

    Returns
    -------
    predictions : ndarray of shape (n_rows, n_columns), float64 or float32

    Raises
    ------
    ValueError
        If there is no row, or a prediction is NaN or infinite; the message has the count and
        the first row with its era.
    """
    values = (
        table.frame[:, table.columns].to_numpy()
        if isinstance(table.frame, nw.DataFrame)
        else table.frame[:, table.columns]
    )
    values = check_array(
        values,
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
        input_name=table.name,
        ensure_min_features=0,
    )
    finite = np.isfinite(values)
    if not finite.all():
        row, column = (int(v) for v in np.argwhere(~finite)[0])
        name = "" if table.names is None else f", column {table.names[column]!r}"
        raise ValueError(
            f"{table.name} contains {_count_bad(values)}, first at row {row}, "
            f"{name_era(groups.label_of_row(row))}{name}; every row needs a finite prediction."
        )
    return values


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
        selected = list(positions[feature_columns])
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
        wanted = [name for name in names or () if re.search(feature_columns, str(name))]
    elif callable(feature_columns):
        wanted = list(feature_columns(names))
    else:
        wanted = list(feature_columns)
    if all(isinstance(item, bool | np.bool_) for item in wanted) and wanted:
        wanted = list(np.flatnonzero(wanted))
    known: dict[Hashable, int] = {} if names is None else {n: j for j, n in enumerate(names)}
    selected = []
    for item in wanted:
        if item in known:
            selected.append(known[item])
        elif (
            isinstance(item, int | np.integer)
            and -table.n_all_columns <= item < table.n_all_columns
        ):
            selected.append(int(item) % table.n_all_columns)
        else:
            raise ValueError(
                f"{argument} names {item!r}, which {table.name} with its "
                f"{table.n_all_columns} columns{_some(names)} does not hold."
            )
    if len(set(selected)) < len(selected):
        raise ValueError(f"{argument} names a column twice; name each once.")
    return selected


def _some(names: list[Any] | None) -> str:
    """A few column names in brackets, for messages."""
    return "" if not names else f" ({', '.join(map(repr, names[:3]))}{', ...' * (len(names) > 3)})"


def check_same_rows(predictions: Table, features: Table) -> None:
    """Check that two tables speak of the same rows in the same order.

    Two pandas indexes must be equal, or share no label at all (then rows match by position).

    Raises
    ------
    ValueError
    """
    if predictions.n_rows != features.n_rows:
        raise ValueError(
            f"{features.name} has {features.n_rows} rows and {predictions.name} has "
            f"{predictions.n_rows}; pass the same rows."
        )
    left, right = predictions.index, features.index
    if left is None or right is None or left.equals(right):
        return
    shared = left.isin(right)
    if shared.any():
        first = int(np.flatnonzero(np.asarray(left != right))[0])
        raise ValueError(
            f"The indexes of {predictions.name} and {features.name} share {int(shared.sum())} of "
            f"{len(left)} labels but are not equal (first difference at row {first}: "
            f"{left[first]!r} and {right[first]!r}); align them, for example "
            f"features.loc[predictions.index], or reset both to match by position."
        )


def like_input(values: Array, data: Any, names: Sequence[Any] | None = None) -> Any:
    """Values of shape (n_rows, n_columns) in the container that the caller passed.

    Parameters
    ----------
    values : ndarray
    data : array-like, Series or DataFrame
        The caller's container; its index is kept.
    names : sequence, optional
        Column names of the result; those of ``data`` by default.
    """
    native = nw.from_native(data, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.Series):
        if values.shape[1] == 1 and names is None:
            if isinstance(data, pd.Series):
                return pd.Series(values[:, 0], index=data.index, name=data.name)
            return nw.new_series(
                native.name, values[:, 0], backend=native.implementation
            ).to_native()
        names = [native.name] if names is None else names
    elif isinstance(native, nw.DataFrame):
        names = native.columns if names is None else names
    else:
        return values[:, 0] if np.ndim(data) == 1 and values.shape[1] == 1 else values
    if isinstance(data, pd.Series | pd.DataFrame):
        return pd.DataFrame(values, index=data.index, columns=list(names))
    columns = {str(name): values[:, j] for j, name in enumerate(names)}
    return nw.from_dict(columns, backend=native.implementation).to_native()
