"""Kernel: one era's features as a standardized matrix, exactly and without copying it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np

from sknumerai._kernels.linalg import lower_gram, one_thread
from sknumerai._kernels.units import in_units
from sknumerai._typing import Array

BLOCK_SIZE = 2**18  # values converted at a time, so that a block stays in the cache
GRAM_ROWS = 32
SMALL_GRAM = 512  # features up to which a second thread costs more than it brings
EXACT_FLOAT32 = 2**24  # integers below are exact in float32
FAR_OFF = 4.0  # a mean, in ranges of its numbers, from which on its own rounding error matters
QUARTERS = 4  # steps in which scaled tournament features come: 0, 0.25, 0.5, 0.75, 1


class StandardizedFeatures:
    """One era's features as if centred and scaled to unit norm, without making that copy.

    Write F for the (n, k) features, μ for their column means and ν for the norms of the centred
    columns. This is X = (F - 1μᵀ) diag(1/ν): its products with vectors and its Gram matrix, the
    correlation matrix of the features.

    Parameters
    ----------
    features : ndarray of shape (n, k)
        Integers (int8 for tournament data) or floats, finite.

    Attributes
    ----------
    n, k : int
    features : ndarray of shape (n, k)
        Those given; floats that all are small multiples of 1/4 as int8, in that unit.
    unit : float or ndarray of shape (k,)
        What a 1 of the numbers used here is in those given: 1/4 for such floats; powers of two for
        features that are too large or too small to be squared; else 1.
    means, norms : ndarray of shape (k,), float64
        In that unit. The norm of a constant feature is set to 1.
    constant : ndarray of shape (k,), bool
        Constant features; their columns of X are zero.
    exact : bool
        Whether the features are integers whose Gram matrix is exact in single precision.

    Notes
    -----
    Tournament features are small integers. Every partial sum of FᵀF is then an integer below
    2²⁴, so that one single-precision product gives it exactly, at half the cost of a
    double-precision one, and n·FᵀF - ssᵀ with s the column sums is an exact integer below 2⁵³.
    Products with vectors have no such luck (single precision misses the eighth digit): they are
    done in double precision, block by block, straight from the integers.
    """

    def __init__(self, features: Array):
        self.features = features
        self.unit: float | Array = 1.0
        self.n, self.k = features.shape
        self._by_row = features.flags.c_contiguous or not features.flags.f_contiguous
        if features.dtype.kind == "f":
            integers = self._integers()
            if integers is not None:
                features, self.unit = integers, 1.0 / QUARTERS
        self.features = features
        self._scale: Array | None = None
        self._drift: Array | None = None
        self.exact = features.dtype.kind in "biu" and (
            self.n * max(int(features.max()), -int(features.min())) ** 2 < EXACT_FLOAT32
        )
        with one_thread():
            squares = self._exact_moments() if self.exact else self._moments()
        self.norms = np.sqrt(np.where(self.constant, 1.0, squares))

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        """Row blocks of a row-major table, column blocks of a column-major one."""
        everything = slice(None)
        length, width = (self.n, self.k) if self._by_row else (self.k, self.n)
        step = max(1, BLOCK_SIZE // max(1, width))
        for i in range(0, length, step):
            part = slice(i, i + step)
            yield (part, everything) if self._by_row else (everything, part)

    def _integers(self) -> Array | None:
        """The features in quarters, as int8, or None if that is not what they are."""
        integers = np.empty_like(self.features, dtype=np.int8)
        for block in self._blocks():
            with np.errstate(over="ignore"):
                steps = self.features[block] * QUARTERS
            if not ((np.abs(steps) <= np.iinfo(np.int8).max) & (steps == np.rint(steps))).all():
                return None
            integers[block] = steps
        return integers

    def _exact_moments(self) -> Array:
        """Sums of squares about the column means, of integers whose sums are exact."""
        sums, squares = np.zeros(self.k), np.zeros(self.k)
        ones = np.ones(self.n, dtype=np.float32)
        for rows, columns in self._blocks():
            block = self.features[rows, columns].astype(np.float32)
            sums[columns] += ones[rows] @ block
            block *= block
            squares[columns] += ones[rows] @ block
        self.means = sums / self.n
        about_means: Array = (self.n * squares - sums**2) / self.n
        self.constant = about_means == 0.0  # exact up to the division
        return about_means

    def _moments(self) -> Array:
        """Sums of squares about the column means, of anything else."""
        lowest, highest = self.features.min(axis=0), self.features.max(axis=0)
        self.constant = lowest == highest
        _, units = in_units(np.stack([lowest, highest]).astype(np.float64))
        if (units != 1.0).any():
            self._scale, self.unit = 1.0 / units, units
        self.means = np.zeros(self.k)
        self.means = self._sums() / self.n
        # The mean of large numbers that hardly vary is off by more than a rounding error of what
        # they vary by: it is computed once more, from the numbers less their mean.
        if (np.abs(self.means) > FAR_OFF * (highest / units - lowest / units)).any():
            self._drift = self._sums() / self.n
        squares = np.zeros(self.k)
        for rows, columns in self._blocks():
            block = self._block(rows, columns)
            squares[columns] += np.einsum("ij,ij->j", block, block)
        return squares

    def _sums(self) -> Array:
        """Sums of the columns less their means as they are known so far."""
        sums = np.zeros(self.k)
        for rows, columns in self._blocks():
            sums[columns] += self._block(rows, columns).sum(axis=0)
        return sums

    def _block(self, rows: slice, columns: slice) -> Array:
        """A block in float64; floats are centred, lest large means cost digits."""
        block = self.features[rows, columns].astype(np.float64)
        if self._scale is not None:
            block *= self._scale[columns]
        if not self.exact:
            block -= self.means[columns]
        if self._drift is not None:
            block -= self._drift[columns]
        return block

    def rmatmul(self, vectors: Array) -> Array:
        """XᵀV, shape (k, m), for V of shape (n, m) whose columns have mean zero."""
        out = np.zeros((self.k, vectors.shape[1]))
        with one_thread():
            for rows, columns in self._blocks():
                out[columns] += self._block(rows, columns).T @ vectors[rows]
        out /= self.norms[:, None]
        out[self.constant] = 0.0
        return out

    def matmul(self, weights: Array, columns: Array | None = None) -> Array:
        """XW, shape (n, m), for weights of all columns, or of ``columns`` alone."""
        part = self if columns is None else self.take(columns)
        scaled = np.where(part.constant[:, None], 0.0, weights / part.norms[:, None])
        out = np.zeros((self.n, weights.shape[1]))
        with one_thread():
            for rows, block_columns in part._blocks():
                out[rows] += part._block(rows, block_columns) @ scaled[block_columns]
        if self.exact:
            out -= part.means @ scaled
        return out

    def take(self, columns: Array) -> StandardizedFeatures:
        """Some of the columns."""
        part = object.__new__(StandardizedFeatures)
        # fancy indexing of a row-major array would be slower, and return a column-major one
        part.features = (
            self.features.take(columns, axis=1) if self._by_row else self.features[:, columns]
        )
        part.n, part.k = part.features.shape
        part.exact, part._by_row = self.exact, self._by_row
        part.unit = self.unit if np.ndim(self.unit) == 0 else np.asarray(self.unit)[columns]
        part._scale = None if self._scale is None else self._scale[columns]
        part._drift = None if self._drift is None else self._drift[columns]
        part.means, part.norms = self.means[columns], self.norms[columns]
        part.constant = self.constant[columns]
        return part

    def dense(self) -> Array:
        """X itself, shape (n, k)."""
        block: Array = self._block(slice(None), slice(None))
        if self.exact:
            block -= self.means
        block /= self.norms
        block[:, self.constant] = 0.0
        return block

    def gram(self, dtype: type[np.floating] = np.float64) -> Array:
        """XᵀX, the correlation matrix of the features: (k, k), both triangles.

        A constant feature has a one on the diagonal and zeros elsewhere.

        Parameters
        ----------
        dtype : {np.float64, np.float32}
            Single precision serves for preconditioning.
        """
        gram = np.empty((self.k, self.k), dtype=dtype)
        if self.exact:
            product = self._lower_gram(self.features.astype(np.float32))
            sums = np.rint(self.means * self.n)
        else:
            product = self._lower_gram(self._block(slice(None), slice(None)))
        scale = np.where(self.constant, 0.0, 1.0 / self.norms)
        for start in range(0, self.k, GRAM_ROWS):  # one pass through memory, in cached pieces
            rows, columns = slice(start, start + GRAM_ROWS), slice(0, start + GRAM_ROWS)
            part = product[rows, columns].astype(np.float64)
            if self.exact:  # exact integers, up to the division
                part *= self.n
                part -= np.multiply.outer(sums[rows], sums[columns])
                part /= self.n
            part *= scale[columns]
            part *= scale[rows, None]
            gram[rows, columns] = part
            gram[columns, rows] = part.T
            square = part[:, start:]
            gram[rows, rows] = np.tril(square) + np.tril(square, -1).T
        np.fill_diagonal(gram, 1.0)
        return gram

    def _lower_gram(self, block: Array) -> Array:
        with one_thread() if self.k <= SMALL_GRAM else nullcontext():
            return lower_gram(block)
