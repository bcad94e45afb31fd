"""Risk data as callers hold them, and the arrays of one era."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

import narwhals as nw
import numpy as np
import pandas as pd

from sknumerai._eras import Rows
from sknumerai._frames import Table, numeric_table
from sknumerai._rows import HasRows, RowLabels, row_index
from sknumerai._typing import Array, ArrayLike, ArraysByEra

RISK_NAMES = (
    "factor_loadings",
    "factor_covariance",
    "specific_variance",
    "exposures",
    "sectors",
    "previous_weights",
)
ROUNDING = 1e-10


class Risk(TypedDict, total=False):
    """Risk data as callers pass them, by name; see ``PortfolioOptimizer.fit``."""

    factor_loadings: ArrayLike | None
    factor_covariance: ArrayLike | ArraysByEra | None
    specific_variance: ArrayLike | None
    exposures: ArrayLike | None
    sectors: ArrayLike | None
    previous_weights: ArrayLike | None


@dataclass(frozen=True)
class RiskData:
    """Risk data of one era, checked; what is not there is None.

    Attributes
    ----------
    n : int
        Number of stocks.
    factor_root : ndarray of shape (n, n_factors) or None
        Loadings times a root of the factor covariance: factor_root @ factor_root.T is the part
        of the covariance matrix that the factors explain.
    specific_variance, previous_weights : ndarray of shape (n,) or None
    exposures : ndarray of shape (n, n_exposures) or None
    exposure_names : list or None
    sectors : ndarray of shape (n, n_sectors) or None
        One column of zeros and ones per sector.
    sector_names : list
    """

    n: int
    factor_root: Array | None = None
    specific_variance: Array | None = None
    exposures: Array | None = None
    exposure_names: list[Any] | None = None
    sectors: Array | None = None
    sector_names: list[Any] | None = None
    previous_weights: Array | None = None

    @property
    def empty(self) -> bool:
        """Whether there are no data."""
        return all(getattr(self, field.name) is None for field in fields(self)[1:])


class RiskTables:
    """Risk data of all rows, one row per stock and era.

    Parameters
    ----------
    n_rows : int
        Number of rows that the data belong to.
    **data : array-like, DataFrame, Series, dict or None
        Under the names of `RISK_NAMES`.

    Raises
    ------
    ValueError
        If lengths or indexes differ, or data that belong together are not all there.
    TypeError
        If a name is unknown.
    """

    def __init__(self, n_rows: int, **data: Any):
        unknown = set(data) - set(RISK_NAMES)
        if unknown:
            raise TypeError(
                f"{', '.join(sorted(unknown))} is no risk data; known are {', '.join(RISK_NAMES)}."
            )
        self.covariance = data.pop("factor_covariance", None)
        self.tables: dict[str, Table] = {}
        self.sectors: Array | None = None
        self.row_tables: list[HasRows] = []
        for name, values in data.items():
            if values is None:
                continue
            if name == "specific_variance" and np.ndim(values) == 0:
                values = np.full(n_rows, values, dtype=np.float64)
            if name == "sectors":
                self.sectors = _labels(values, n_rows)
                self.row_tables.append(RowLabels(name, len(self.sectors), row_index(values)))
                continue
            self.tables[name] = numeric_table(values, name)
            self.row_tables.append(self.tables[name])
        if "factor_loadings" in self.tables and "specific_variance" not in self.tables:
            raise ValueError(
                "factor_loadings were given without specific_variance; pass both, in the same "
                "units (squares of those of returns)."
            )
        if self.covariance is not None and "factor_loadings" not in self.tables:
            raise ValueError("factor_covariance was given without factor_loadings; pass both.")

    def era(self, label: Hashable, rows: Rows) -> RiskData:
        """The arrays of one era.

        Raises
        ------
        ValueError
            If a value is NaN, infinite or impossible.
        """
        blocks = {name: table.rows(rows).astype(np.float64) for name, table in self.tables.items()}
        columns: dict[str, Any] = {}
        for name in ("specific_variance", "previous_weights"):
            if name in blocks:
                if blocks[name].shape[1] != 1:
                    raise ValueError(
                        f"{name} has {blocks[name].shape[1]} columns; pass one value per stock."
                    )
                columns[name] = blocks[name][:, 0]
        variance = columns.get("specific_variance")
        if variance is not None and not (variance > 0.0).all():
            raise ValueError(
                f"specific_variance must be positive; {int((variance <= 0).sum())} of "
                f"{len(variance)} values are not."
            )
        if "factor_loadings" in blocks:
            loadings = blocks["factor_loadings"]
            columns["factor_root"] = _factor_root(
                loadings, self._covariance_root(label, loadings.shape[1])
            )
        if self.sectors is not None:
            codes, names = pd.factorize(self.sectors[rows])
            columns["sectors"] = np.eye(len(names))[codes]
            columns["sector_names"] = names.tolist()
        if "exposures" in blocks:
            columns["exposures"] = blocks["exposures"]
            columns["exposure_names"] = self.tables["exposures"].names
        n = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        return RiskData(n, **columns)

    def _covariance_root(self, label: Hashable, n_factors: int) -> Array:
        """Root of the factor covariance of an era."""
        covariance = self.covariance
        if covariance is None:
            return np.eye(n_factors)
        if isinstance(covariance, Mapping):
            if label is None and len(covariance) == 1:
                label = next(iter(covariance))
            if label not in covariance:
                raise ValueError(
                    f"factor_covariance has no entry for {label}; it has {len(covariance)} "
                    f"({', '.join(map(str, list(covariance)[:3]))}, ...): key it by the eras' "
                    "labels."
                )
            covariance = covariance[label]
        return covariance_root(covariance, n_factors, "factor_covariance")


def _factor_root(loadings: Array, root: Array) -> Array:
    """Loadings times a root of the factor covariance, shape (n, n_factors)."""
    if not loadings.size:
        return loadings
    with np.errstate(over="ignore", invalid="ignore"):
        product = loadings @ root
    if not np.isfinite(product).all():
        raise ValueError(
            "factor_loadings times the root of factor_covariance are too large for float64; scale "
            "them."
        )
    return product


def covariance_root(covariance: Any, n_factors: int, name: str) -> Array:
    """R with R Rᵀ = Ω, which may be singular; shape (n_factors, n_factors).

    Raises
    ------
    ValueError
        If the matrix is of another shape, not finite, not symmetric, or indefinite.
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.shape != (n_factors, n_factors):
        raise ValueError(
            f"{name} has shape {matrix.shape} for {n_factors} factors; pass one row and column "
            "per column of the loadings."
        )
    if not np.isfinite(matrix).all():
        raise ValueError(
            f"{name} contains {int((~np.isfinite(matrix)).sum())} values that are NaN or infinite; "
            "fill them first."
        )
    size = np.abs(matrix).max(initial=0.0)
    if np.abs(matrix - matrix.T).max(initial=0.0) > ROUNDING * size:
        raise ValueError(f"{name} is not symmetric; pass (C + C.T) / 2.")
    if not n_factors:
        return matrix
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -ROUNDING * size:
        raise ValueError(
            f"{name} has a negative eigenvalue ({values[0]:.1e}); pass a positive semidefinite "
            "matrix."
        )
    root: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _labels(sectors: Any, n_rows: int) -> Array:
    """Sector labels as a one-dimensional array without gaps."""
    series = nw.from_native(sectors, series_only=True, pass_through=True)
    labels = series.to_numpy() if isinstance(series, nw.Series) else np.asarray(sectors)
    if labels.shape != (n_rows,):
        raise ValueError(
            f"sectors has shape {labels.shape} for {n_rows} rows; pass one label per row."
        )
    missing = pd.isna(labels)
    if missing.any():
        raise ValueError(
            f"{int(missing.sum())} of {n_rows} sectors are missing, first at row "
            f"{int(np.flatnonzero(missing)[0])}; label every row."
        )
    return labels
