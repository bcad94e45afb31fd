"""Tables as callers hold them (numpy, pandas, polars): names, columns, rows, and the way back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from sknumerai._eras import EraGroups, Rows, name_era
from sknumerai._rows import check_column_names, row_index
from sknumerai._typing import Array, ArrayLike, Column, Container, Frame


class Table:
    """A table whose rows are handed out one era at a time, in its own dtype.

    Parameters
    ----------
    data : array-like or DataFrame of shape (n_rows, n_columns)
        Not copied. A one-dimensional array or Series is a table of one column.
    name : str
        What error messages call it.
    columns : sequence of int, optional
        The columns to hand out; all by default.
    allow_nan : bool
        Whether NaN may stand for missing values.
    """

    def __init__(
        self,
        data: Any,
        name: str,
        columns: Sequence[int] | None = None,
        *,
        allow_nan: bool = False,
    ):
        self.name, self.allow_nan = name, allow_nan
        _check_container(data, name)
        native = nw.from_native(data, eager_only=True, allow_series=True, pass_through=True)
        if isinstance(native, nw.Series):
            native = native.to_frame()
        self.frame: nw.DataFrame[Any] | Array
        if isinstance(native, nw.DataFrame):
            self.frame = native
            self.index = row_index(native.to_native())
            all_names: list[Any] | None = list(native.columns)
        else:
            array = np.asarray(native)
            if array.dtype == object and allow_nan:
                array = _with_nan(array, name)
            array = array.reshape(-1, 1) if array.ndim == 1 else array
            if array.ndim != 2:
                raise ValueError(f"{name} must be two-dimensional; found shape {array.shape}.")
            self.frame, self.index, all_names = array, None, None
        self.n_rows, self.n_all_columns = self.frame.shape
        self.columns = list(range(self.n_all_columns)) if columns is None else list(columns)
        self.names = None if all_names is None else [all_names[j] for j in self.columns]

    def subset(self, columns: Sequence[int], name: str | None = None) -> Table:
        """Some columns of the same data, which must be numeric.

        Raises
        ------
        ValueError
            If a selected column is not numeric.
        """
        part = Table(self.frame, name or self.name, columns, allow_nan=self.allow_nan)
        part.check_numeric()
        return part

    def with_values(self, values: Array) -> Table:
        """The same rows and columns, with other values, of shape (n_rows, n_columns)."""
        table = Table(values, self.name, allow_nan=self.allow_nan)
        table.names, table.index = self.names, self.index
        return table

    @property
    def n_columns(self) -> int:
        return len(self.columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What rows come in."""
        return self._read(slice(0, 0)).dtype

    @property
    def labels(self) -> Sequence[Any]:
        """Names of the columns, or their positions where they have none."""
        return range(self.n_columns) if self.names is None else self.names

    @property
    def row_tables(self) -> tuple[Table]:
        """Itself, as an argument of `map_eras`."""
        return (self,)

    def era(self, label: Hashable, rows: Rows) -> Array:
        """The rows of one era; see `rows`."""
        return self.rows(rows)

    def rows(self, rows: Rows) -> Array:
        """Some rows, shape (n, n_columns), in the table's own dtype.

        Raises
        ------
        ValueError
            If a value is infinite, or NaN where that is not allowed.
        """
        block = self._read(rows)
        if block.dtype.kind == "O":  # nullable columns with missing values
            block = block.astype(np.float64)
        if block.dtype.kind == "f":
            self.check_finite(block, rows)
        return block

    def whole(self) -> Array:
        """All rows; see `rows`."""
        return self.rows(slice(0, self.n_rows))

    def _read(self, rows: Rows) -> Array:
        whole = self.n_columns == self.n_all_columns
        if isinstance(self.frame, nw.DataFrame):
            return (self.frame[rows] if whole else self.frame[rows, self.columns]).to_numpy()
        return self.frame[rows] if whole else self.frame[rows][:, self.columns]

    def check_numeric(self) -> None:
        """Check that all columns hold real numbers.

        Raises
        ------
        ValueError
        """
        if isinstance(self.frame, nw.DataFrame):
            schema = self.frame.schema
            for name in self.names or ():
                if not (schema[name].is_numeric() or schema[name] == nw.Boolean):
                    # the schema calls a sparse one unknown
                    dtype = self.frame.get_column(name).to_native().dtype
                    raise ValueError(
                        f"Column {name!r} of {self.name} is not numeric (dtype {dtype}); "
                        "drop it or convert it to dense numbers."
                    )
        elif self.frame.dtype.kind not in "biuf":
            raise ValueError(
                f"{self.name} must hold real numbers; found dtype {self.frame.dtype}; "
                "convert it, or pass a DataFrame and name the columns."
            )

    def check_finite(self, block: Array, rows: Rows) -> None:
        """Check the values of some rows.

        Raises
        ------
        ValueError
            If a value is infinite, or NaN where that is not allowed.
        """
        bad = np.isinf(block) if self.allow_nan else ~np.isfinite(block)
        if not bad.any():
            return
        i, j = (int(v) for v in np.argwhere(bad)[0])
        row = rows.start + i if isinstance(rows, slice) else int(rows[i])
        column = "" if self.names is None else f" of column {self.names[j]!r}"
        raise ValueError(
            f"{self.name} contains {_count_bad(block)}, first at row {row}{column}; "
            "fill or drop those rows or columns first."
        )


def _check_container(data: Any, name: str) -> None:
    """Refuse what is no table, and what numpy would take for another one."""
    if data is None:
        raise ValueError(f"{name} is None; pass one value per row.")
    if isinstance(data, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array, whose mask would be lost; fill it first.")
    if hasattr(data, "toarray") or (np.ndim(data) == 0 and not hasattr(data, "__array__")):
        advice = "pass an array, Series or DataFrame with one row per stock"
        if hasattr(data, "collect"):
            advice = "collect it first"
        elif hasattr(data, "toarray"):
            advice = "pass it as a dense array"
        raise ValueError(f"{name} is a {type(data).__name__}; {advice}.")
    check_column_names(data, name)


def _with_nan(array: Array, name: str) -> Array:
    """Numbers in an array of objects, with NaN for None."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers; found other objects. Convert it.") from None


def is_series(data: Any) -> bool:
    """Whether data are a Series of pandas or polars."""
    return isinstance(nw.from_native(data, series_only=True, pass_through=True), nw.Series)


def numeric_table(data: ArrayLike, name: str, *, allow_nan: bool = False) -> Table:
    """A table of numbers, such as predictions.

    Raises
    ------
    ValueError
        If a column is not numeric.
    """
    table = Table(data, name, allow_nan=allow_nan)
    table.check_numeric()
    return table


def one_column(data: ArrayLike, name: str, *, allow_nan: bool = False) -> Table:
    """A table of one column of numbers, such as a meta model, or targets that may be NaN.

    Raises
    ------
    ValueError
        If there are more columns, or the column is not numeric.
    """
    table = Table(data, name, allow_nan=allow_nan)
    if table.n_columns != 1:
        raise ValueError(
            f"{name} must hold one column; found {table.n_columns}, pass one at a time."
        )
    table.check_numeric()
    return table


def many_columns(data: ArrayLike, name: str, *, allow_nan: bool = False) -> Table:
    """A table of at least one column of numbers, such as features.

    Raises
    ------
    ValueError
        If there is no column, or one is not numeric.
    """
    table = Table(data, name, allow_nan=allow_nan)
    if not table.n_columns:
        raise ValueError(f"{name} has no columns; pass at least one.")
    table.check_numeric()
    return table


def n_dimensions(data: Any) -> int:
    """Number of dimensions of an array or table in any container."""
    return np.ndim(data)


def _count_bad(values: Array) -> str:
    n_nan, n_inf = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    parts = [f"{n_nan} NaN"] * bool(n_nan) + [f"{n_inf} infinite (inf)"] * bool(n_inf)
    return f"{' and '.join(parts)} of {values.size} values"


def read_predictions(table: Table, groups: EraGroups) -> Table:
    """All predictions as floats, checked for finiteness.

    Returns
    -------
    predictions : Table
        Of one array of float64 or float32, under the names of ``table``.

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
    return table.with_values(values)


def like_input(values: Array, data: Any, names: Sequence[Any] | None = None) -> Container:
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
            series = nw.new_series(native.name, values[:, 0], backend=native.implementation)
            column: Column = series.to_native()
            return column
        names = [native.name] if names is None else names
    elif isinstance(native, nw.DataFrame):
        names = native.columns if names is None else names
    else:
        return values[:, 0] if n_dimensions(data) == 1 and values.shape[1] == 1 else values
    if isinstance(data, pd.Series | pd.DataFrame):
        return pd.DataFrame(values, index=data.index, columns=list(names))
    columns = {str(name): values[:, j] for j, name in enumerate(names)}
    frame: Frame = nw.from_dict(columns, backend=native.implementation).to_native()
    return frame
