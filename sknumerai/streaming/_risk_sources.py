"""The risk data of portfolios: which columns of which files, and their rows era by era."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._eras import name_era
from sknumerai._typing import Array, Source
from sknumerai.streaming._feature_source import FeatureChoice
from sknumerai.streaming._numbers import describe_unusable, unusable
from sknumerai.streaming._quoting import list_some
from sknumerai.streaming._row_source import Reading, RowSource
from sknumerai.streaming._users import Covariance, Users

SECTORS = "sectors"


@dataclass
class RiskSource:
    """Files with risk data.

    Attributes
    ----------
    rows : RowSource
    tables : dict of str to list of str
        Columns of the tables "exposures" and "factor_loadings", if they are in these files.
    columns : dict of str to str
        Columns of "specific_variance", "sectors" and "previous_weights", likewise.
    """

    rows: RowSource
    tables: dict[str, list[str]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)

    def reading(self, users: Users) -> Reading:
        """What reads the data of every era of the users, stock by stock.

        Raises
        ------
        ValueError
            If ids are missing, or the rows of an era are of several.
        """
        found = users.rows_in(self.rows.ids)
        del self.rows.ids
        codes = self.rows.rows.codes
        rows = []
        for label, selector in zip(users.eras.labels, users.eras.rows, strict=True):
            own = found[selector]
            n_eras = len(np.unique(codes[own]))
            if n_eras > 1:
                raise ValueError(
                    f"{self.rows.label} and {users.label} disagree on the eras: the {len(own)} "
                    f"rows of {name_era(label)} are of {n_eras} eras of the former; pass files of "
                    "the same data."
                )
            rows.append(own)
        names = [name for table in self.tables.values() for name in table]
        names = list(dict.fromkeys([*names, *self.columns.values()]))
        return self.rows.reading(names, rows, users.eras.labels, frames=True)

    def layout(self) -> RiskLayout:
        """What tells the columns of an era's frame apart."""
        return RiskLayout(self.rows.label, self.tables, self.columns)


@dataclass(frozen=True)
class RiskLayout:
    """Which columns of a frame are which risk data."""

    label: str
    tables: Mapping[str, list[str]]
    columns: Mapping[str, str]

    def data(self, frame: pd.DataFrame) -> dict[str, Any]:
        """The data of one era by the library's names.

        Raises
        ------
        ValueError
            If something is missing or no finite number.
        """
        for name, column in self.columns.items():
            if name != SECTORS:
                self._check_numbers(frame[[column]])
            elif frame[column].isna().any():
                missing = frame.index[frame[column].isna()]
                raise ValueError(
                    f"{self.label} has {len(missing)} of {len(frame)} rows without {column!r}, "
                    f"first {missing[0]!r}; label every row."
                )
        for columns in self.tables.values():
            self._check_numbers(frame[columns])
        # Ids may be of another type in each file, and the rows are matched already.
        rows = frame.reset_index(drop=True)
        return {name: rows[columns] for name, columns in self.tables.items()} | {
            name: rows[column] for name, column in self.columns.items()
        }

    def _check_numbers(self, frame: pd.DataFrame) -> None:
        values: Array = frame.to_numpy()
        if values.dtype.kind in "biu":
            return
        values = values.astype(np.float64, copy=False)
        bad = unusable(values)
        if bad.any():
            row, column = (int(v) for v in np.argwhere(bad)[0])
            raise ValueError(
                f"{self.label} has {describe_unusable(values)} of {values.size} values, first in "
                f"column {frame.columns[column]!r} at id {frame.index[row]!r}; fill them, or leave "
                "the column or the rows out."
            )


def open_risk(
    exposures: Source | None,
    choice: FeatureChoice,
    loadings: Source | None,
    covariance: Covariance | None,
    columns: Mapping[str, str],
    era_column: str,
) -> list[RiskSource]:
    """Find the columns of the risk data.

    Parameters
    ----------
    exposures, loadings : source or None
    choice : FeatureChoice
        Of the exposures.
    covariance : Covariance or None
        Names the factors, if given.
    columns : mapping of str to str
        Columns of "specific_variance", "sectors" and "previous_weights".
    era_column : str

    Raises
    ------
    ValueError, OSError
        If files cannot be read or lack columns, or these hold no numbers.
    """
    risk: list[RiskSource] = []
    if loadings is not None:
        rows = RowSource(loadings, "factor_loadings", era_column, eras="optional")
        risk.append(RiskSource(rows))
    if exposures is not None:
        rows = RowSource(exposures, "exposures", era_column, eras="optional")
        risk.append(RiskSource(rows, {"exposures": choice.names(rows)}))
    for argument, column in columns.items():
        owner = next((item for item in risk if column in item.rows.columns), None)
        if owner is None:
            available = [other for item in risk for other in item.rows.columns]
            close = get_close_matches(column, available, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(
                f"{argument}={column!r} is not in "
                f"{' and not in '.join(item.rows.label for item in risk)}{hint}; name another one."
            )
        if argument != SECTORS and column not in owner.rows.numeric:
            raise ValueError(
                f"{argument}={column!r} of {owner.rows.label} does not hold numbers; name another "
                "one."
            )
        owner.columns[argument] = column
    if loadings is not None:
        factors = _factors(risk[0].rows, covariance, list(columns.values()))
        risk[0].tables["factor_loadings"] = factors
    return risk


def _factors(rows: RowSource, covariance: Covariance | None, taken: Sequence[str]) -> list[str]:
    if covariance is None:
        names = [name for name in rows.numeric if name not in taken]
        if not names:
            raise ValueError(
                f"{rows.label} has no numeric column but those that other arguments name (columns: "
                f"{list_some(rows.columns)}); write one column per factor."
            )
        return names
    lost = [name for name in covariance.names if name not in rows.numeric]
    if lost:
        raise ValueError(
            f"{len(lost)} of {len(covariance.names)} factors in the header of factor_covariance= "
            f"are no numeric columns of {rows.label} ({list_some(lost, 3)}); write the names of "
            "the loadings as header."
        )
    return covariance.names
