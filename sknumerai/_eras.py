"""The one place that knows what an era is: labels, their order, the rows that belong to each."""

from __future__ import annotations

import numbers
import re
import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeGuard, cast

import narwhals as nw
import numpy as np
import pandas as pd

from sknumerai._rows import HasRows, check_no_column, check_same_rows, row_index
from sknumerai._typing import Array, Eras
from sknumerai._warnings import callers_level
from sknumerai.exceptions import MissingErasError, SingleEraWarning

LIVE_LABELS = ("erax", "x", "live")
MAX_ROWS_WITHOUT_ERAS = 10_000

Rows = slice | Array


@dataclass(frozen=True)
class EraGroups:
    """The rows of every era.

    Attributes
    ----------
    labels : list of length n_eras
        Era labels, in order of first appearance; ``[None]`` where no eras were given.
    rows : list of length n_eras
        Row selector of each era: a slice where its rows are contiguous, else an ascending
        index array.
    n_samples : int
        Number of rows of the table.
    categories : list or None
        The categories in their order, where the labels are an ordered categorical.
    index : Index or None
        The row labels of the eras themselves, where they came in a pandas Series.
    """

    labels: list[Hashable]
    rows: list[Rows]
    n_samples: int
    categories: list[Hashable] | None = None
    index: pd.Index | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def name(self) -> str:
        return "eras"

    @property
    def n_rows(self) -> int:
        return self.n_samples

    @property
    def given(self) -> bool:
        """Whether there are eras, be it a single one."""
        return self.labels != [None]

    @property
    def order(self) -> list[int]:
        """Positions of ``labels`` in chronological order.

        Numbers, datetimes and ISO dates are ordered naturally; numeric strings, with or without
        the prefix "era", numerically; ordered categoricals by category; "eraX", "X" and "live"
        come last.

        Raises
        ------
        ValueError
            If the labels have no such order.
        """
        return _chronological(self.labels, self.categories)

    def sorted(self) -> EraGroups:
        """The same groups in chronological order."""
        return self.take(self.order)

    def take(self, positions: Iterable[int]) -> EraGroups:
        """Some of the groups, by their positions in ``labels``, in that order."""
        positions = list(positions)
        return replace(
            self,
            labels=[self.labels[i] for i in positions],
            rows=[self.rows[i] for i in positions],
        )

    def label_of_row(self, row: int) -> Hashable:
        """Label of the era that holds a row."""
        for label, rows in zip(self.labels, self.rows, strict=True):
            inside = rows.start <= row < rows.stop if isinstance(rows, slice) else row in rows
            if inside:
                return label
        raise IndexError(row)

    def indices(self, positions: Iterable[int]) -> Array:
        """Ascending numbers of all rows of some eras.

        Parameters
        ----------
        positions : iterable of int
            Positions in ``labels``.
        """
        everything = np.arange(self.n_samples)
        return np.sort(np.concatenate([everything[self.rows[i]] for i in positions]))

    def assemble(self, blocks: Iterable[Array]) -> Array:
        """Put one block of rows per era back into the order of the table."""
        blocks = list(blocks)
        out = np.empty((self.n_samples, *blocks[0].shape[1:]), dtype=np.result_type(*blocks))
        for rows, block in zip(self.rows, blocks, strict=True):
            out[rows] = block
        return out


def name_era(label: Hashable) -> str:
    """How messages name an era."""
    return "the table" if label is None else f"era {label}"


def group_eras(
    eras: Eras | None, n_samples: int, *, max_rows: int = MAX_ROWS_WITHOUT_ERAS
) -> EraGroups:
    """Group the rows of a table by era.

    Parameters
    ----------
    eras : array-like of shape (n_samples,), scalar or None
        Hashable labels, rows in any order; one scalar puts all rows into one era, as does
        None (with a warning above ``max_rows``).
    n_samples : int
        Number of rows of the table that the eras belong to.
    max_rows : int
        How many rows can be one era; 0 for the rows of a training, which are never one.

    Returns
    -------
    groups : EraGroups

    Raises
    ------
    ValueError
        If the labels are not one-dimensional, of another length, or partly missing.
    """
    if eras is None:
        if n_samples > max_rows:
            warnings.warn(
                f"No eras were given: all {n_samples} rows are treated as one era. Pass eras=..., "
                "or one label such as eras='all' if they are one; to a search, pass eras=... after "
                "sklearn.set_config(enable_metadata_routing=True), since groups=... reach only "
                "its splitter.",
                SingleEraWarning,
                stacklevel=callers_level(),
            )
        return EraGroups([None], [slice(0, n_samples)], n_samples)
    if isinstance(eras, np.ma.MaskedArray):
        raise ValueError("eras is a masked array, whose mask would be lost; fill it first.")
    if _is_scalar(eras):
        if pd.isna(cast(Any, eras)):
            raise ValueError(f"eras is {eras!r}; pass one label per row, or one for all rows.")
        return EraGroups([eras], [slice(0, n_samples)], n_samples)
    if not n_samples:
        raise ValueError("There are no rows; pass at least one.")
    labels, categories = _as_labels(eras)
    if len(labels) != n_samples:
        raise ValueError(
            f"eras has {len(labels)} labels for {n_samples} rows; pass one label per row "
            "(or one scalar for a single era)."
        )
    try:
        codes, unique = pd.factorize(labels)
    except TypeError as error:
        raise ValueError(
            f"eras must be hashable labels such as numbers or text ({error}); convert them."
        ) from None
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {n_samples} eras are missing, first at row {missing[0]}; "
            "label every row."
        )
    order = np.argsort(codes, kind="stable")
    stops = np.cumsum(np.bincount(codes, minlength=len(unique)))
    rows = [_as_slice(part) for part in np.split(order, stops[:-1])]
    return EraGroups(list(unique), rows, n_samples, categories, row_index(eras))


def group_tables(eras: Eras | None, *tables: HasRows) -> EraGroups:
    """Group the rows that all tables of a call share by era; see `group_eras`.

    Raises
    ------
    ValueError
        If tables or eras do not hold the same rows, or ``eras`` is the name of a column.
    """
    check_same_rows(*tables)
    for table in tables:
        check_no_column(eras, table.name, getattr(table, "names", None))
    groups = group_eras(eras, tables[0].n_rows)
    check_same_rows(*tables, groups)
    return groups


def _is_scalar(eras: Any) -> TypeGuard[Hashable]:
    return isinstance(eras, str | bytes | numbers.Number | date | np.generic) or (
        isinstance(eras, np.ndarray) and eras.ndim == 0
    )


def _as_labels(eras: Any) -> tuple[Any, list[Hashable] | None]:
    """One-dimensional labels that pandas can factorize, and ordered categories if any."""
    series = nw.from_native(eras, series_only=True, pass_through=True)
    if isinstance(series, nw.Series) and not isinstance(eras, pd.Series):
        eras = series.to_numpy()
    if isinstance(eras, pd.Series | pd.Index):
        if isinstance(eras.dtype, pd.CategoricalDtype) and eras.dtype.ordered:
            return eras, list(eras.dtype.categories)
        return eras, None
    if isinstance(eras, pd.Categorical):
        return _as_labels(pd.Series(eras))
    if isinstance(eras, Sequence) and any(isinstance(label, tuple) for label in eras):
        labels = np.empty(len(eras), dtype=object)
        labels[:] = eras
        return labels, None
    labels = np.asarray(eras)
    if labels.dtype == np.float16:
        labels = labels.astype(np.float64)  # which pandas has no index for
    if labels.ndim != 1:
        raise ValueError(
            f"eras must be one-dimensional with one label per row; found a "
            f"{type(eras).__name__} of shape {labels.shape}."
        )
    if labels.dtype.kind in "US" and not isinstance(eras, np.ndarray):
        # numpy turns a list of mixed labels into strings; keep what the caller wrote
        labels = np.array(eras, dtype=object)
    return labels, None


def _as_slice(rows: Array) -> Rows:
    """The same rows as a slice where they are contiguous."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def require_eras(eras: Eras | None, *, given_at_fit: bool, caller: str) -> None:
    """Insist on eras where they were given at fit.

    Parameters
    ----------
    eras : array-like, scalar or None
    given_at_fit : bool
    caller : str
        Class and method, such as "ExposureClipper.transform".

    Raises
    ------
    MissingErasError
        If eras were given at fit and are not given now.
    """
    if eras is None and given_at_fit:
        raise MissingErasError(
            f"{caller} was called without eras although eras were given at fit. Pass them: "
            f"{caller.rpartition('.')[2]}(X, eras=eras); inside a Pipeline or a search, call "
            "sklearn.set_config(enable_metadata_routing=True) first and pass eras=eras to the "
            "outermost call, which for a search is search.best_estimator_.predict(X, eras=eras)."
        )


def _chronological(labels: Sequence[Hashable], categories: list[Hashable] | None) -> list[int]:
    """Positions of labels in chronological order; see `EraGroups.order`."""
    if categories is not None:
        place = {label: i for i, label in enumerate(categories)}
        return sorted(range(len(labels)), key=lambda i: place[labels[i]])
    keys = [_era_key(label) for label in labels]
    kinds = {kind for kind, _ in keys if kind != "live"}
    if kinds == {"date"} and len({key.tzinfo is None for kind, key in keys if kind == "date"}) > 1:
        raise ValueError("Some eras have a time zone and others have none; give all or none one.")
    if len(kinds) > 1 or "unknown" in kinds:
        example = next(
            (label for label, key in zip(labels, keys, strict=True) if key[0] == "unknown"),
            labels[:3],
        )
        raise ValueError(
            f"Eras such as {example!r} have no known order; use numbers, dates (ISO strings or "
            "datetimes), numeric strings such as '0123' or 'era123', or an ordered categorical."
        )
    return sorted(range(len(keys)), key=lambda i: (keys[i][0] == "live", keys[i][1]))


def _era_key(label: Hashable) -> tuple[str, Any]:
    """Kind of a label and what it is sorted by among its kind."""
    if isinstance(label, np.generic):
        label = pd.Timestamp(str(label)) if label.dtype.kind == "M" else label.item()
    if isinstance(label, numbers.Real):
        return "number", float(label)
    if isinstance(label, date):  # a datetime or Timestamp, too
        return "date", pd.Timestamp(label)
    if isinstance(label, str):
        text = label.strip().lower()
        if text in LIVE_LABELS:
            return "live", 0
        if re.fullmatch(r"(era[ _-]?)?\d+(\.\d+)?", text):
            return "number", float(re.sub(r"^era[ _-]?", "", text))
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}([t ].*)?", text):
            try:
                return "date", pd.Timestamp(text)
            except ValueError:  # no such day
                return "unknown", 0
    return ("live", 0) if label is None else ("unknown", 0)
