"""Linear algebra that numpy and scipy do not offer in this form."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from scipy.linalg import lapack

from sknumerai._sklearn import _get_threadpool_controller
from sknumerai._typing import Array

# A column whose squared pivot, in a matrix of unit diagonal, is below depends on the others: what
# is left of it is rounding error.
DEPENDENT_PIVOT = 1e-12


def one_thread() -> AbstractContextManager[Any]:
    """Context in which linear algebra runs on one thread.

    For many small products and factorizations, which several threads make slower. And numpy and
    scipy may each have a BLAS of their own, whose threads, still spinning after a product, take
    the processors from the other's: only the large products and factorizations, all of scipy's
    BLAS, are worth more than one.
    """
    limited: AbstractContextManager[Any] = _get_threadpool_controller().limit(
        limits=1, user_api="blas"
    )
    return limited


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
    if not len(matrix):
        return np.zeros((0, 0)), np.zeros(0, dtype=np.intp)
    factor, pivots, rank, _ = lapack.dpstrf(
        matrix, tol=DEPENDENT_PIVOT, lower=1, overwrite_a=overwrite
    )
    return np.asfortranarray(factor[:rank, :rank]), pivots[:rank].astype(np.intp) - 1
