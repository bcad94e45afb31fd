"""Linear algebra that never hands BLAS or LAPACK an empty or non-finite operand.

Both may end the process instead of raising. All factorizations, solutions and products with their
transpose go through these functions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import LinAlgError, lapack
from scipy.optimize import nnls

from sknumerai._kernels.released import potrf, syrk
from sknumerai._sklearn import _get_threadpool_controller
from sknumerai._typing import Array
from sknumerai.exceptions import SolverError

# A column whose squared pivot, in a matrix of unit diagonal, is below depends on the others: what
# is left of it is rounding error.
DEPENDENT_PIVOT = 1e-12
DEPENDENT_COLUMN = 1e-11  # likewise of a pivot of the matrix itself, which has more digits


class _ThreadLimit:
    """One limit on BLAS threads, shared by all threads of Python that are inside `one_thread`.

    The limit belongs to the process: the first to enter sets it, the last to leave lifts it.
    """

    def __init__(self) -> None:
        self._lock, self._count = Lock(), 0
        self._limit: Any = None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _ThreadLimit, ()  # of its own in every process

    def enter(self) -> None:
        with self._lock:
            if not self._count:
                self._limit = _get_threadpool_controller().limit(limits=1, user_api="blas")
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                self._limit.restore_original_limits()


_THREAD_LIMIT = _ThreadLimit()


def _forget_other_threads() -> None:
    """Start anew in a forked child, in which the threads that were inside do not exist."""
    global _THREAD_LIMIT
    _THREAD_LIMIT = _ThreadLimit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which linear algebra runs on one thread.

    For many small products and factorizations, which several threads make slower. And numpy and
    scipy may each have a BLAS of their own, whose threads, still spinning after a product, take
    the processors from the other's: only the large products and factorizations, all of scipy's
    BLAS, are worth more than one.
    """
    limit = _THREAD_LIMIT
    limit.enter()
    try:
        yield
    finally:
        limit.leave()


def check_finite(*operands: Array) -> None:
    """Refuse operands that are not finite.

    Raises
    ------
    SolverError
    """
    for operand in operands:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(operand.sum()):  # reads the operand once and writes nothing
                continue
        if not np.isfinite(operand).all():
            raise SolverError(
                "Numbers beyond the range of double precision appeared in a matrix; bring the "
                "data to a common scale."
            )


def lower_gram(matrix: Array) -> Array:
    """AᵀA, of which the lower triangle is valid, in the precision of A.

    Parameters
    ----------
    matrix : ndarray of shape (n, k), float32 or float64
    """
    if not matrix.size:
        return np.zeros((matrix.shape[1],) * 2, dtype=matrix.dtype)
    check_finite(matrix)
    if matrix.flags.f_contiguous:
        return syrk(matrix, lower=True)
    return syrk(np.ascontiguousarray(matrix).T, lower=False, trans=False).T


def cholesky_factor(matrix: Array, *, overwrite: bool = False) -> Array:
    """Cholesky factor of a positive definite matrix.

    Parameters
    ----------
    matrix : ndarray of shape (k, k), float32 or float64
        The lower triangle is read.
    overwrite : bool
        Whether a column-major matrix may be overwritten.

    Returns
    -------
    factor : ndarray of shape (k, k)
        The lower triangle is valid.

    Raises
    ------
    LinAlgError
        If the matrix is not positive definite.
    """
    if not matrix.size:
        return np.zeros_like(matrix)
    check_finite(matrix)
    in_place = overwrite and matrix.flags.f_contiguous
    factor: Array = matrix if in_place else matrix.copy(order="F")
    info = potrf(factor)
    if info != 0:
        raise LinAlgError(f"the leading minor of order {info} is not positive")
    return factor


def cholesky_solve(factor: Array, right: Array) -> Array:
    """Solution X of L Lᵀ X = B.

    Parameters
    ----------
    factor : ndarray of shape (k, k)
        L in its lower triangle.
    right : ndarray of shape (k,) or (k, m)
    """
    if not factor.size or not right.size:
        return np.zeros_like(right)
    check_finite(right)
    return scipy.linalg.cho_solve((factor, True), right, check_finite=False)


def pivoted_cholesky(matrix: Array, *, overwrite: bool = False) -> tuple[Array, Array]:
    """Cholesky factor of the independent rows of a positive semidefinite matrix.

    Parameters
    ----------
    matrix : ndarray of shape (k, k)
        With a diagonal of about one; the lower triangle is read.
    overwrite : bool
        Whether a column-major matrix may be overwritten, which spares a copy.

    Returns
    -------
    factor : ndarray of shape (r, r), column-major
        The lower triangle holds L with LLᵀ the part of the matrix in the rows below; what is
        above is not part of it. Its smallest diagonal value is the last.
    independent : ndarray of shape (r,), int
        Positions of r rows that span the others, the one with the largest pivot first.

    References
    ----------
    N. J. Higham, "Analysis of the Cholesky decomposition of a semi-definite matrix" (1990).
    """
    if not matrix.size:
        return np.zeros((0, 0)), np.zeros(0, dtype=np.intp)
    check_finite(matrix)
    factor, pivots, rank, _ = lapack.dpstrf(
        matrix, tol=DEPENDENT_PIVOT, lower=1, overwrite_a=overwrite
    )
    return np.asfortranarray(factor[:rank, :rank]), pivots[:rank].astype(np.intp) - 1


def triangular_factor(matrix: Array) -> Array:
    """R of a QR factorization, shape (min(n, k), k)."""
    if not matrix.size:
        return np.zeros((min(matrix.shape), matrix.shape[1]))
    check_finite(matrix)
    return scipy.linalg.qr(matrix, mode="r")[0][: min(matrix.shape)]


def independent_columns(matrix: Array) -> tuple[Array, Array, Array]:
    """QR factorization of the independent columns of a matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n, k)
        With columns of about unit norm.

    Returns
    -------
    basis : ndarray of shape (n, r)
    triangle : ndarray of shape (r, r)
    independent : ndarray of shape (r,), int
        Positions of the columns that are the product of the two.
    """
    if not matrix.size:
        return np.zeros((len(matrix), 0)), np.zeros((0, 0)), np.zeros(0, dtype=np.intp)
    check_finite(matrix)
    basis, triangle, pivots = scipy.linalg.qr(
        matrix, mode="economic", pivoting=True, check_finite=False
    )
    rank = int((np.abs(np.diag(triangle)) > DEPENDENT_COLUMN).sum())
    return basis[:, :rank], triangle[:rank, :rank], pivots[:rank]


def solve_upper(triangle: Array, right: Array) -> Array:
    """Solution X of R X = B, R upper triangular."""
    if not right.size:
        return np.zeros_like(right)
    check_finite(right)
    return scipy.linalg.solve_triangular(triangle, right, check_finite=False)


def least_squares(design: Array, right: Array, *, rcond: float) -> Array:
    """Least-squares solution of least norm, as ``numpy.linalg.lstsq``."""
    if not design.size or not right.size:
        return np.zeros((design.shape[1], *right.shape[1:]))
    check_finite(design, right)
    return np.linalg.lstsq(design, right, rcond=rcond)[0]


def nonnegative_least_squares(design: Array, right: Array) -> Array:
    """X >= 0 that minimizes ‖A x - b‖.

    Raises
    ------
    SolverError
        If the iterations do not suffice.
    """
    if not design.size:
        return np.zeros(design.shape[1])
    check_finite(design, right)
    try:
        solution, _ = nnls(design, right, maxiter=50 * design.shape[1])
    except RuntimeError as error:
        raise SolverError(f"Non-negative least squares failed ({error}).") from error
    return solution
