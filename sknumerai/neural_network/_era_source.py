"""Eras of parquet files that `FNCRegressor` trains on without loading them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import Any, Self, TypeVar

import numpy as np
import pandas as pd

from sknumerai._columns import FEATURE_PREFIX, select_features
from sknumerai._eras import Rows, name_era
from sknumerai._frames import Table, _count_bad
from sknumerai._typing import Array, EraLabel, FeatureColumns
from sknumerai._warnings import callers_level
from sknumerai.datasets import EraReader

MOST_DECODED = 10  # rows for each one that is used, before it is worth a warning

Item = TypeVar("Item")


class EraSource:
    """Features and targets of an `EraReader`; features are read when they are asked for.

    It is a context manager, at whose end the thread that reads ahead ends.

    Parameters
    ----------
    reader : EraReader
    feature_columns : None, list of names, str or callable
        See `FNCRegressor`.
    target : str
        Name of the column that holds the targets.

    Attributes
    ----------
    names : list of str
        Of the features.
    groups : EraGroups
        Numbers of the rows of each era in the file.
    n_rows : int
        Of the file.

    Raises
    ------
    ValueError
        If a column is not there or does not hold numbers.
    """

    def __init__(self, reader: EraReader, feature_columns: FeatureColumns, target: str):
        self.names = _choose_features(reader, feature_columns)
        if target not in reader.columns:
            known = [name for name in reader.columns if name.startswith("target")]
            raise ValueError(
                f"target={target!r} is not among the columns of {reader!r}"
                f"{f', whose targets are {known}' if known else ''}; name one that is."
            )
        if target in self.names:
            raise ValueError(
                f"target={target!r} is among the features that feature_columns="
                f"{feature_columns!r} selects; select features only."
            )
        self._blocks = reader.blocks(self.names)
        self._target, self._targets = target, reader.blocks([target])
        self.groups, self.n_rows = self._blocks.groups, self._blocks.groups.n_samples
        self._numbers = {label: number for number, label in enumerate(self.groups.labels)}
        self._header = Table(pd.DataFrame(columns=self.names), self._blocks.label)
        self._thread = ThreadPoolExecutor(max_workers=1)

    def __enter__(self) -> Self:
        self._warn_of_row_groups()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    @property
    def n_columns(self) -> int:
        return len(self.names)

    def targets(self) -> Array:
        """Targets of shape (n_rows,), 0 in the rows of other eras.

        Raises
        ------
        ValueError
            If some are NaN or infinite.
        """
        blocks = [block[:, 0] for block in self._targets]
        bad = [
            label
            for label, block in zip(self.groups.labels, blocks, strict=True)
            if not np.isfinite(block).all()
        ]
        if bad:
            raise ValueError(
                f"target={self._target!r} of {self._blocks.label} contains "
                f"{_count_bad(np.concatenate(blocks))}, in {len(bad)} of {len(blocks)} eras, first "
                f"in {name_era(bad[0])}; leave these eras out, with EraReader(..., eras=...)."
            )
        targets = np.zeros(self.n_rows, dtype=np.result_type(*blocks))
        for rows, block in zip(self.groups.rows, blocks, strict=True):
            targets[rows] = block
        return targets

    def era(self, label: EraLabel, rows: Rows) -> Array:
        """The features of one era, as of a `Table`."""
        return self._checked(self._blocks[self._numbers[label]], rows)

    def eras(self) -> Iterator[Array]:
        """The features of every era, in one pass over the file."""
        return map(self._checked, self._blocks, self.groups.rows)

    def ahead(self, read: Callable[[int], Item], numbers: Iterable[int]) -> Iterator[Item]:
        """What a function returns for some numbers; the next call goes on during each of them."""
        following = None
        for number in numbers:
            current, following = following, self._thread.submit(read, number)
            if current is not None:
                yield current.result()
        if following is not None:
            yield following.result()

    def _checked(self, block: Array, rows: Rows) -> Array:
        if block.dtype.kind == "f":
            self._header.check_finite(block, rows)
        return block

    def _warn_of_row_groups(self) -> None:
        blocks, n_eras, n_decoded = self._blocks, len(self.groups), self._blocks.n_decoded
        n_rows = sum(_n_rows(rows) for rows in self.groups.rows)
        if n_decoded > max(MOST_DECODED * n_rows, n_eras * blocks.batch_size):
            warnings.warn(
                f"{blocks.label} has up to {blocks.largest_row_group} rows in a row group and "
                f"{n_rows // n_eras} in an era, so that each step decodes "
                f"{n_decoded / n_rows:.0f} times the rows it takes; write it with the rows "
                "of an era together and a row group for each era or a few.",
                UserWarning,
                stacklevel=callers_level(),
            )


def open_source(
    X: Any, y: Any, eras: Any, target: Any, feature_columns: FeatureColumns
) -> EraSource | None:
    """The source that the arguments of a fit name, or None where X is a table.

    Raises
    ------
    ValueError
        If arguments are missing, or do not go together.
    """
    kind = type(X).__name__
    if not isinstance(X, EraReader | str | PathLike):
        if target is not None:
            raise ValueError(
                f"target={target!r} names a column of a file and X is a {kind}; pass its targets "
                "as y."
            )
        return None
    what = "an EraReader" if isinstance(X, EraReader) else f"the path {str(X)!r}"
    given = [name for name, value in (("y", y), ("eras", eras)) if value is not None]
    if given:
        raise ValueError(
            f"X is {what}, whose columns hold the targets and eras, and {' and '.join(given)} "
            "cannot be passed beside it; name the column of the targets with target=."
        )
    if target is None:
        raise ValueError(
            f"X is {what}, and target is None; name the column of the targets, such as "
            "target='target'."
        )
    return EraSource(X if isinstance(X, EraReader) else EraReader(X), feature_columns, target)


def _choose_features(reader: EraReader, feature_columns: FeatureColumns) -> list[str]:
    """Names of the feature columns, which are also what is selected of these names alone."""
    columns = f"^{FEATURE_PREFIX}" if feature_columns is None else feature_columns
    names = _select(reader.columns, columns, repr(reader))
    try:
        again = _select(names, columns, "X")
    except ValueError:
        again = []
    if again != names:
        raise ValueError(
            f"feature_columns={feature_columns!r} selects by position among all columns of the "
            "file, and predict gets the features alone; pass names or a regular expression."
        )
    return names


def _select(names: list[str], columns: FeatureColumns, source: str) -> list[str]:
    table = Table(pd.DataFrame(columns=names), source)
    return [names[j] for j in select_features(table, columns, all_by_default=True)]


def _n_rows(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)
