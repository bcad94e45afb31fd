"""Products with the inverse of a Hessian in whatever form it comes, none of them inverted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, cast

import numpy as np
from scipy.linalg import LinAlgError, lapack
from scipy.sparse import issparse, sparray, spmatrix
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from sknumerai._eras import Rows
from sknumerai._frames import numeric_table
from sknumerai._kernels.linalg import cholesky_factor, cholesky_solve
from sknumerai._rows import HasRows, RowLabels, row_index
from sknumerai._typing import Array, ArrayLike
from sknumerai.exceptions import SolverError
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._interface import RiskData, covariance_root, make_engine

Solve = Callable[[Array], Array]
HessianOfEra = (
    ArrayLike | tuple[ArrayLike, ...] | LinearOperator | sparray | spmatrix | PortfolioOptimizer
)
Hessian = HessianOfEra | Mapping[Any, HessianOfEra]  # by era, see ArraysByEra

SINGULAR = 1e-14  # reciprocal condition number
CG_TOLERANCE = 1e-13
ROUNDING = 1e-10


class EraHessians:
    """A Hessian as callers hold it, of which an era gets its part.

    A dict is looked up, arrays with one value per row are cut; anything else is for one era.

    Parameters
    ----------
    hessian : float, array-like, tuple, LinearOperator, sparse matrix, PortfolioOptimizer or dict
    n_rows : int

    Raises
    ------
    ValueError
        If it is a tuple of another length, or not all of it has one value per row.
    """

    def __init__(self, hessian: Any, n_rows: int):
        self.hessian, self.n_rows = hessian, n_rows
        parts = {}
        if isinstance(hessian, tuple):
            if len(hessian) not in (2, 3):
                raise ValueError(
                    f"hessian is a tuple of {len(hessian)}; pass (diagonal, loadings) or "
                    "(diagonal, loadings, covariance)."
                )
            parts = {"hessian's diagonal": hessian[0], "hessian's loadings": hessian[1]}
        elif not isinstance(hessian, PortfolioOptimizer | LinearOperator | Mapping) and (
            np.ndim(hessian) == 1
        ):
            parts = {"hessian": hessian}
        self._tables = [
            (numeric_table(part, name), np.ndim(part) == 1) for name, part in parts.items()
        ]
        self.row_tables: list[HasRows] = [table for table, _ in self._tables]
        for table in self.row_tables:
            if table.n_rows != n_rows:
                raise ValueError(
                    f"{table.name} has {table.n_rows} rows for {n_rows}; pass one per row, or a "
                    "dict of era to Hessian (in cross-validation a scorer sees the rows of a fold)."
                )
        if row_index(hessian) is not None and not self._tables:  # (n, n), labelled like the rows
            self.row_tables = [RowLabels("hessian", len(hessian), row_index(hessian))]

    def era(self, label: Hashable, rows: Rows) -> Any:
        """The part that belongs to an era."""
        if isinstance(self.hessian, Mapping):
            if label not in self.hessian:
                raise ValueError(
                    f"hessian has no entry for {label}; it has {len(self.hessian)} "
                    f"({', '.join(map(str, list(self.hessian)[:3]))}, ...): key it by the eras' "
                    "labels."
                )
            return self.hessian[label]
        blocks = []
        for table, is_vector in self._tables:
            block = table.rows(rows).astype(np.float64)
            blocks.append(block[:, 0] if is_vector else block)
        if isinstance(self.hessian, tuple):
            return (*blocks, *self.hessian[2:])
        return blocks[0] if blocks else self.hessian


def inverse_hessian(hessian: Any, n: int, point: Array, risk: RiskData | None = None) -> Solve:
    """A function that multiplies vectors with the inverse Hessian.

    Parameters
    ----------
    hessian : float, ndarray, tuple, LinearOperator, sparse matrix or PortfolioOptimizer
        See `closed_form_tc`.
    n : int
        Number of stocks.
    point : ndarray of shape (n,)
        Signal at whose solution an optimizer that is not fitted takes its derivative.
    risk : RiskData, optional
        For an optimizer that is not fitted.

    Returns
    -------
    solve : callable
        (n,) -> (n,)

    Raises
    ------
    ValueError
        If the Hessian is of another shape, not symmetric, or not positive definite.
    """
    if isinstance(hessian, PortfolioOptimizer):
        return _derivative(hessian, n, point, risk)
    if isinstance(hessian, tuple):
        return _woodbury(hessian, n)
    if issparse(hessian):
        _check_finite(cast("Any", hessian).data)
        hessian = aslinearoperator(cast("Any", hessian))
    if isinstance(hessian, LinearOperator):
        return _conjugate_gradient(hessian, n)
    try:
        values = np.asarray(hessian, dtype=np.float64)
    except (TypeError, ValueError):
        values = None
    if hessian is None or values is None:
        raise ValueError(
            f"hessian is {hessian!r}; pass a number, an array, a tuple, a LinearOperator or a "
            "PortfolioOptimizer."
        )
    _check_finite(values)
    if values.ndim < 2:
        diagonal = _positive(values, n)
        return lambda vector: vector / diagonal
    return _cholesky(values, n)


def _check_finite(values: Array) -> None:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(f"hessian contains {bad} values that are NaN or infinite; fill them.")


def _check_shape(shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if shape != wanted:
        raise ValueError(f"hessian has shape {shape} for {wanted[0]} stocks; it must be {wanted}.")


def _positive(diagonal: Array, n: int) -> Array:
    if diagonal.ndim:
        _check_shape(diagonal.shape, (n,))
    bad = int(np.sum(~(diagonal > 0.0)))
    if bad:
        raise ValueError(
            f"hessian is not positive definite: {bad} values of its diagonal are not positive."
        )
    return np.broadcast_to(diagonal, (n,))


def _cholesky(matrix: Array, n: int) -> Solve:
    _check_shape(matrix.shape, (n, n))
    if np.abs(matrix - matrix.T).max(initial=0.0) > ROUNDING * np.abs(matrix).max(initial=0.0):
        raise ValueError("hessian is not symmetric; pass (H + H.T) / 2.")
    try:
        factor = cholesky_factor(matrix)
    except LinAlgError:
        raise ValueError(
            "hessian is singular or indefinite; the optimizer's cost must be strictly convex."
        ) from None
    condition, _ = lapack.dpocon(factor, np.abs(matrix).sum(axis=0).max(), uplo="L")
    if condition < SINGULAR:
        raise ValueError(
            f"hessian is singular to working precision (reciprocal condition {condition:.0e}); the "
            "optimizer's cost must be strictly convex."
        )
    return lambda vector: cholesky_solve(factor, vector)


def _woodbury(parts: tuple[Any, ...], n: int) -> Solve:
    """(D + BΩBᵀ)⁻¹ by a system of the size of Ω."""
    diagonal = _positive(np.asarray(parts[0], dtype=np.float64), n)
    loadings = np.asarray(parts[1], dtype=np.float64)
    if loadings.ndim != 2 or len(loadings) != n:
        raise ValueError(f"hessian's loadings have shape {loadings.shape} for {n} stocks.")
    k = loadings.shape[1]
    root = np.eye(k) if len(parts) == 2 else covariance_root(parts[2], k, "hessian's covariance")
    scaled = loadings @ root / np.sqrt(diagonal)[:, None]
    inner = cholesky_factor(np.eye(k) + scaled.T @ scaled)
    size = np.sqrt(diagonal)

    def solve(vector: Array) -> Array:
        whitened = vector / size
        return (whitened - scaled @ cholesky_solve(inner, scaled.T @ whitened)) / size

    return solve


def _conjugate_gradient(operator: LinearOperator, n: int) -> Solve:
    _check_shape(operator.shape, (n, n))

    def solve(vector: Array) -> Array:
        solution, residual = np.zeros(n), vector.astype(np.float64)
        direction, square = residual.copy(), float(residual @ residual)
        goal = CG_TOLERANCE**2 * square
        for _ in range(10 * n + 100):
            if square <= goal:
                return solution
            image = operator.matvec(direction)
            curvature = float(direction @ image)
            if np.isnan(curvature):
                raise ValueError("hessian's product with a vector is NaN; check its values.")
            if not curvature > 0.0:
                raise ValueError(
                    "hessian is singular or indefinite: it has a direction of no positive "
                    "curvature; the optimizer's cost must be strictly convex."
                )
            length = square / curvature
            solution += length * direction
            residual -= length * image
            square, previous = float(residual @ residual), square
            direction = residual + square / previous * direction
        raise SolverError(
            "Conjugate gradients did not converge: the operator of the Hessian is too badly "
            "conditioned, or not symmetric; pass a matrix, or diagonal and loadings."
        )

    return solve


def _derivative(
    optimizer: PortfolioOptimizer, n: int, point: Array, risk: RiskData | None
) -> Solve:
    """The derivative of an optimizer's weights, at its solution for a signal."""
    if hasattr(optimizer, "weights_"):
        _check_shape((len(optimizer.weights_),) * 2, (n, n))
        return optimizer.gradient
    solution = make_engine(optimizer, RiskData(n) if risk is None else risk).solve(point)
    return lambda vector: solution.matvec(vector[:, None])[:, 0]
