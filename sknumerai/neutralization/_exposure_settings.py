"""Kernel: the prediction of one era at several proportions and limits, and what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sknumerai._kernels.correlation import pearson
from sknumerai._kernels.exposure import max_exposures
from sknumerai._kernels.projection import neutral_predictions
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._typing import Array, Normalize
from sknumerai.neutralization._clipping import clipped_predictions


class ChangedPredictions(NamedTuple):
    """One prediction in one era, changed in several ways.

    Attributes
    ----------
    values : ndarray of shape (n, n_settings)
        Zero where nothing of the prediction is left.
    max_exposures : ndarray of shape (n_settings,)
        Largest absolute correlation with a feature; NaN where nothing is left.
    correlations : ndarray of shape (n_settings,)
        With the normalized prediction; NaN where nothing is left.
    multiple : float
        The most that any limit was multiplied by: 1.0 unless one could not be met.
    """

    values: Array
    max_exposures: Array
    correlations: Array
    multiple: float


def change_predictions(
    predictions: Array,
    features: Array,
    *,
    proportions: Sequence[float],
    limits: Sequence[float],
    bounds: str,
    normalize: Normalize,
    tol: float,
    widen: bool,
) -> ChangedPredictions:
    """Neutralize the prediction of one era by several proportions, and clip it at several limits.

    One factorization of the features serves all proportions; the solution at each limit is the
    warm start of that at the next smaller one.

    Parameters
    ----------
    predictions : ndarray of shape (n, 1)
    features : ndarray of shape (n, k)
        In their own dtype; int8 is fastest.
    proportions : sequence of float
        Shares of the linear part to remove, in [0, 1].
    limits : sequence of float
        Largest absolute exposures, >= 0.
    bounds, normalize, tol, widen
        As in `clipped_predictions`.

    Returns
    -------
    changed : ChangedPredictions
        Of the proportions, then the limits.

    Raises
    ------
    InfeasibleExposureError, SolverError
    """
    original = normalize_columns(predictions, normalize)
    neutral = neutral_predictions(original, features, proportions)
    standardized = StandardizedFeatures(features)
    records, clipped, multiple = None, {}, 1.0
    for limit in sorted(limits, reverse=True):
        clipped[limit], records = clipped_predictions(
            predictions,
            standardized,
            limits=np.full(standardized.k, limit),
            bounds=bounds,
            normalize=normalize,
            scale=None,
            tol=tol,
            widen=widen,
            warm=records,
        )
        multiple = np.fmax(multiple, records[0].multiple)
    values = np.column_stack([neutral, *(clipped[limit] for limit in limits)])
    values = values.astype(predictions.dtype, copy=False)
    nothing_left = ~(np.ptp(values, axis=0) > 0.0)  # NaN included
    values[:, nothing_left] = 0.0
    largest = max_exposures(values, features)
    return ChangedPredictions(values, largest, pearson(original[:, 0], values), float(multiple))
