"""Kernel: correlations of predictions with the features of one era."""

from __future__ import annotations

import numpy as np

from sknumerai._kernels.correlation import top_and_bottom
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._kernels.units import centre, in_units
from sknumerai._typing import Array


def exposures(predictions: Array, features: Array, *, top_bottom: int | None = None) -> Array:
    """Pearson correlations of predictions with features.

    Parameters
    ----------
    predictions : ndarray of shape (n, m)
    features : ndarray of shape (n, k)
        In their own dtype; int8 is fastest.
    top_bottom : int, optional
        Use the lowest and highest ``top_bottom`` rows of every prediction only.

    Returns
    -------
    correlations : ndarray of shape (m, k)
        Zero for a constant feature, NaN for a constant prediction.
    """
    if top_bottom is not None:
        ends = np.sort(top_and_bottom(predictions, top_bottom), axis=0)
        parts = [
            exposures(predictions[rows, j : j + 1], features[rows]) for j, rows in enumerate(ends.T)
        ]
        return np.concatenate(parts)
    scaled, _ = in_units(predictions)
    centred = centre(scaled)
    constant = np.ptp(predictions, axis=0) == 0.0
    sizes = np.where(constant, 1.0, np.linalg.norm(centred, axis=0))
    correlations = StandardizedFeatures(features).rmatmul(centred / sizes).T
    correlations[constant] = np.nan
    return correlations


def max_exposures(predictions: Array, features: Array, *, top_bottom: int | None = None) -> Array:
    """Largest absolute exposure of every prediction, shape (m,); see `exposures`."""
    largest: Array = np.abs(exposures(predictions, features, top_bottom=top_bottom)).max(axis=1)
    return largest


def dissimilarities(predictions: Array, examples: Array, features: Array) -> Array:
    """How unlike the exposures U of predictions are to those E of the example: 1 - U·E / E·E.

    Parameters
    ----------
    predictions : ndarray of shape (n, m)
    examples : ndarray of shape (n, 1)
    features : ndarray of shape (n, k)

    Returns
    -------
    dissimilarities : ndarray of shape (m,)
        NaN where a prediction is constant, or the example prediction has no exposure.
    """
    found = exposures(np.column_stack([examples, predictions]), features)
    example, others = found[0], found[1:]
    size = example @ example
    distances: Array = 1.0 - others @ example / (size if size > 0.0 else np.nan)
    return distances
