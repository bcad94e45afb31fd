"""Kernel: neutralization of predictions against the features of one era."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.linalg import LinAlgError

from sknumerai._kernels.linalg import (
    cholesky_factor,
    cholesky_solve,
    independent_columns,
    least_squares,
    pivoted_cholesky,
    solve_upper,
)
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._kernels.units import centre, in_units
from sknumerai._typing import Array

OFFICIAL_RCOND = 1e-6  # of numerai-tools
# Squared pivots of the correlation matrix: below DEPENDENT_PIVOT, a dependent column; above this,
# an independent one; in between the official rule decides.
SAFE_PIVOT = 1e-6
SAFE_SINGLE_PIVOT = 1e-3  # below, a single-precision factor is no reliable preconditioner
SMALL = 512  # features up to which the pivoted factorization is cheap
ACCURACY = 1e-12  # relative, of the residual
MAX_REFINEMENTS = 10
ZERO_RESIDUAL = 1e-10  # relative: less is rounding noise, not a signal

Solve = Callable[[Array], Array]


class FeatureProjection:
    """Least-squares projection of predictions onto one era's features and a constant.

    One factorization serves every prediction column. Where the features are nearly dependent,
    or no fewer than the stocks, the residual is that of the official tool
    (``lstsq(rcond=1e-6)``).

    Parameters
    ----------
    features : StandardizedFeatures
    official : bool
        Whether that rule applies, which ignores features that are small beside others; if not,
        the features are taken at unit norm, whatever their scale.

    Notes
    -----
    Normal equations on the exact correlation matrix R, solved by iterative refinement: with a
    single-precision Cholesky factor of R where it is safe, else with a pivoted double-precision
    one, whose leading columns span those that depend on them. A step d from the gradient g is a
    change of the residual by sqrt(gᵀd), which is what convergence is judged by. Cost:
    n k² + k³/3 flops once, then 4 n k per column and refinement.
    """

    def __init__(self, features: StandardizedFeatures, *, official: bool = True):
        self.features, self.official = features, official
        self._solve: Solve | None = None
        if features.n > features.k + 1:
            self._solve = _single_precision_solve(features) or _pivoted_solve(features)

    def split(self, predictions: Array) -> tuple[Array, Array]:
        """The part of predictions that the features do not explain, and the weights of the rest.

        Parameters
        ----------
        predictions : ndarray of shape (n, m), float64

        Returns
        -------
        residual : ndarray of shape (n, m)
            Zero where less than 1e-10 of the prediction is left.
        weights : ndarray of shape (k, m)
            Of the standardized features.
        """
        scaled, units = in_units(predictions)
        centred = centre(scaled)
        refined = self._refine(centred)
        if refined is None and self._solve is not None:  # single precision did not suffice
            self._solve = _pivoted_solve(self.features)
            refined = self._refine(centred)
        if refined is None:
            split = _official_split if self.official else _orthogonal_split
            refined = split(scaled, self.features)
        residual, weights = refined
        size = np.linalg.norm(scaled, axis=0)
        residual[:, np.linalg.norm(residual, axis=0) < ZERO_RESIDUAL * size] = 0.0
        return residual * units, weights * units

    def _refine(self, centred: Array) -> tuple[Array, Array] | None:
        """Residual and weights by iterative refinement; None if it does not converge."""
        if self._solve is None:
            return None
        residual, weights = centred, np.zeros((self.features.k, centred.shape[1]))
        size = np.linalg.norm(centred, axis=0)
        for _ in range(MAX_REFINEMENTS):
            gradient = self.features.rmatmul(residual)
            step = self._solve(gradient)
            if (np.einsum("ij,ij->j", gradient, step) <= (ACCURACY * size) ** 2).all():
                return residual.copy() if residual is centred else residual, weights
            residual = residual - self.features.matmul(step)
            weights += step
        return None


def _single_precision_solve(features: StandardizedFeatures) -> Solve | None:
    """Approximate solutions of R w = g, or None where R is not safely positive definite."""
    if not features.exact or features.k <= SMALL:
        return None
    try:
        factor = cholesky_factor(features.gram(np.float32).T, overwrite=True)
    except LinAlgError:
        return None
    if np.diag(factor).min() ** 2 < SAFE_SINGLE_PIVOT:
        return None

    def solve(gradient: Array) -> Array:
        size = np.maximum(np.linalg.norm(gradient, axis=0), np.finfo(np.float32).tiny)
        right = (gradient / size).astype(np.float32)
        solution: Array = cholesky_solve(factor, right) * size
        return solution

    return solve


def _pivoted_solve(features: StandardizedFeatures) -> Solve | None:
    """Solutions of R w = g on independent columns, or None where independence is in doubt."""
    factor, independent = pivoted_cholesky(features.gram().T, overwrite=True)
    if len(factor) and np.diag(factor).min() ** 2 < SAFE_PIVOT:
        return None

    def solve(gradient: Array) -> Array:
        weights = np.zeros_like(gradient)
        weights[independent] = cholesky_solve(factor, gradient[independent])
        return weights

    return solve


def _official_split(predictions: Array, features: StandardizedFeatures) -> tuple[Array, Array]:
    """Residual and weights exactly as numerai-tools has them."""
    design = official_design(features)
    weights = least_squares(design, predictions, rcond=OFFICIAL_RCOND)
    norms = features.norms * features.unit
    return predictions - design @ weights, weights[:-1] * norms[:, None]


def _orthogonal_split(predictions: Array, features: StandardizedFeatures) -> tuple[Array, Array]:
    """Residual and weights by an orthonormal basis of the standardized features."""
    basis, triangle, independent = independent_columns(features.dense())
    residual, parts = centre(predictions), np.zeros((basis.shape[1], predictions.shape[1]))
    for _ in range(2):  # once more for what rounding left
        part = basis.T @ residual
        residual, parts = residual - basis @ part, parts + part
    weights = np.zeros((features.k, predictions.shape[1]))
    weights[independent] = solve_upper(triangle, parts)
    return residual, weights


def official_design(features: StandardizedFeatures) -> Array:
    """The features as given and a constant, shape (n, k + 1), float64."""
    scaled = np.ndim(features.unit) == 0
    given = features.features * features.unit if scaled else features.features
    return np.column_stack([given, np.ones(features.n)]).astype(np.float64, copy=False)


def neutral_predictions(predictions: Array, features: Array, proportions: Sequence[float]) -> Array:
    """Neutralize the predictions of one era.

    ``p - proportion · N (NᵀN)⁺ Nᵀ p`` with N = [F, 1], for every prediction and proportion.

    Parameters
    ----------
    predictions : ndarray of shape (n, m), float64
    features : ndarray of shape (n, k)
        In their own dtype; int8 is fastest.
    proportions : sequence of float
        Shares of the projection to remove.

    Returns
    -------
    neutral : ndarray of shape (n, m * len(proportions))
        Column i of the predictions at proportion j is column i * len(proportions) + j.
    """
    residual, _ = FeatureProjection(StandardizedFeatures(features)).split(predictions)
    shares = np.asarray(proportions, dtype=np.float64)
    kept = predictions[:, :, None] * (1.0 - shares) + residual[:, :, None] * shares
    return kept.reshape(len(predictions), -1)
