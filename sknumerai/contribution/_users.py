"""Kernel: many users' predictions of one era, ranked, and their products with other matrices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtri

from sknumerai._kernels.ranks import half_ranks
from sknumerai._typing import Array

BLOCK = 128  # users converted to double precision at a time


class UserSignals:
    """The predictions of all users as signals, without a double-precision copy of them.

    A gaussianized signal takes one of 2n - 1 values, the normal quantiles of average ranks: kept
    are the integers that say which, in a quarter or an eighth of the memory of the signals, and
    the products below are still in double precision.

    Parameters
    ----------
    predictions : ndarray of shape (n, n_users)
        Of any real dtype. A user whose values are all NaN did not take part.
    name : str
        What messages call the predictions.
    gaussianize : bool
        Whether a signal is the normal quantile of (rank - 1/2) / n, ties sharing their average
        rank; else the predictions themselves.

    Attributes
    ----------
    present : ndarray of shape (n_users,), bool
        Users that took part.
    largest : float
        Size of the largest signal.
    constant : ndarray of shape (n_users,), bool
        Users whose prediction is the same for all stocks.

    Raises
    ------
    ValueError
        If some but not all predictions of a user are NaN, or one is infinite.
    """

    def __init__(self, predictions: Array, *, gaussianize: bool, name: str = "user_predictions"):
        self.n, self.n_users = predictions.shape
        self.present = np.ones(self.n_users, dtype=bool)
        self.constant = np.zeros(self.n_users, dtype=bool)
        self._predictions = predictions
        self._ranks: Array | None = None
        self._check_finite(name)
        self.largest = 0.0
        for columns in self._blocks():
            rows = self._read(columns)
            self.constant[columns] = (rows == rows[:, :1]).all(axis=1)
            if not gaussianize:
                self.largest = max(self.largest, float(np.abs(rows).max()))
                continue
            ranks = half_ranks(rows)
            if self._ranks is None:
                self._ranks = np.empty((self.n_users, self.n), dtype=ranks.dtype)
            self._ranks[columns] = ranks
        if gaussianize:
            self._table = ndtri((np.arange(2 * self.n - 1) + 1.0) / (2.0 * self.n))
            self.largest = float(self._table[-1])

    def _blocks(self) -> Iterator[slice]:
        for start in range(0, self.n_users, BLOCK):
            yield slice(start, min(start + BLOCK, self.n_users))

    def _check_finite(self, name: str) -> None:
        """Find users that did not take part; refuse those that did so in part."""
        if self._predictions.dtype.kind != "f":
            return
        with np.errstate(invalid="ignore", over="ignore"):
            suspicious = np.flatnonzero(~np.isfinite(self._predictions.sum(axis=0)))
        if not len(suspicious):
            return
        values = self._predictions[:, suspicious]
        absent: Array = np.all(np.isnan(values), axis=0)
        bad = ~np.isfinite(values) & ~absent
        if bad.any():
            row, user = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{name} contains {int(bad.sum())} values that are NaN or infinite, first at row "
                f"{row} of the era, column {suspicious[user]}; a column has numbers for all "
                "stocks of an era, or NaN for all."
            )
        self.present[suspicious[absent]] = False

    def _read(self, columns: slice) -> Array:
        """Some users' predictions, one row each; zeros for those that did not take part."""
        rows = np.ascontiguousarray(self._predictions[:, columns].T)
        if rows.dtype.kind != "f":
            return rows.astype(np.float64)
        present = self.present[columns]
        return rows if present.all() else np.where(present[:, None], rows, 0.0)

    def block(self, columns: slice) -> Array:
        """Signals of some users, shape (len(columns), n), float64."""
        if self._ranks is not None:
            block: Array = self._table[self._ranks[columns]]
            return block
        block = self._read(columns).astype(np.float64)
        return block

    def weighted_sums(self, weights: Array) -> Array:
        """Signals times weights, shape (n, k), for weights of shape (n_users, k)."""
        total = np.zeros((self.n, weights.shape[1]))
        for columns in self._blocks():
            total += self.block(columns).T @ weights[columns]
        return total

    def products(self, vectors: Array) -> Array:
        """Products of every user's signal with vectors, shape (n_users, k), of shape (n, k)."""
        return np.concatenate([self.block(columns) @ vectors for columns in self._blocks()])
