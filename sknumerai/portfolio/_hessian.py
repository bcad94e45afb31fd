"""Kernel: the generalised Hessian of the dual function, kept up to date as assets come and go."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

from sknumerai._typing import Array
from sknumerai.portfolio._dual import Dual, DualPoint

UPDATES = 50  # after which rounding errors are cleared by a new sum


class Hessian:
    """Generalised Hessian at a point of the dual, with and without the assets not free there.

    Between two points most assets stay free, or not: the Gram matrix of the free ones is then
    updated by those that changed, which costs 2 m² flops each instead of 2 n m² in all.

    Parameters
    ----------
    dual : Dual

    Attributes
    ----------
    columns : ndarray of shape (n, n_terms)
        The columns of the norm terms.
    """

    def __init__(self, dual: Dual):
        self.dual = dual
        self._everything: Array | None = None
        self._linear = np.zeros((dual.n_linear, dual.n_linear))
        self._free = np.zeros(dual.program.n, dtype=bool)
        self._updates = 0

    def move_to(self, point: DualPoint) -> None:
        """Take the free assets and signs of a point."""
        self._update(point.free)
        self.columns = self.dual.sign_columns(point)
        self._free_gram = self._bordered(self._linear, point.free)
        self._rest_gram: Array | None = None

    def matrix(self, damping: float = 0.0, proximity: float = 0.0) -> Array:
        """H_λ, a new array of shape (n_multipliers, n_multipliers).

        Parameters
        ----------
        damping : float, default=0.0
            λ, the weight of the assets that are not free.
        proximity : float, default=0.0
            As in `Dual.evaluate`.
        """
        matrix = self._free_gram.copy()
        if damping > 0.0:
            if self._rest_gram is None:
                rest = self._all() - self._linear
                self._rest_gram = self._bordered(rest, ~self._free)
            matrix += damping * self._rest_gram
        matrix /= 1.0 + proximity
        diagonal = np.einsum("ii->i", matrix)
        diagonal[: self.dual.n_factors] += self.dual.ridge
        return matrix

    def _all(self) -> Array:
        if self._everything is None:
            self._everything = self._gram(slice(None))
        return self._everything

    def _update(self, free: Array) -> None:
        come, gone = np.flatnonzero(free & ~self._free), np.flatnonzero(self._free & ~free)
        n_free = int(free.sum())
        n_direct = min(n_free, len(free) - n_free)
        self._free = free
        if len(come) + len(gone) < n_direct and self._updates < UPDATES:
            self._linear = self._linear + self._gram(come) - self._gram(gone)
            self._updates += 1
            return
        self._updates = 0
        if n_free == n_direct:
            self._linear = self._gram(np.flatnonzero(free))
        else:
            self._linear = self._all() - self._gram(np.flatnonzero(~free))

    def _gram(self, chosen: Array | slice) -> Array:
        """CᵀC over the chosen assets, without the norm terms."""
        part = self.dual.matrix[chosen]
        if not part.size:
            return np.zeros((self.dual.n_linear, self.dual.n_linear))
        gram = blas.dsyrk(1.0, part.T, lower=1)  # a row-major part is column-major here
        return np.tril(gram) + np.tril(gram, -1).T

    def _bordered(self, linear: Array, chosen: Array) -> Array:
        """A Gram matrix with the rows and columns of the norm terms."""
        m, dual = self.dual.n_linear, self.dual
        gram = np.zeros((dual.size, dual.size))
        gram[:m, :m] = linear
        for i in np.flatnonzero(dual.capped):
            signs = np.where(chosen, self.columns[:, i], 0.0)
            gram[m + i, :m] = gram[:m, m + i] = signs @ dual.matrix
            gram[m + i, m:] = gram[m:, m + i] = signs @ self.columns
        return gram
