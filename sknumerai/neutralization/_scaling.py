"""Kernels: ranking predictions before, and scaling them after, one era's neutralization."""

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from sknumerai._typing import Array, Normalize, Scale


def normalize_columns(predictions: Array, normalize: Normalize) -> Array:
    """Rank the predictions of one era.

    Parameters
    ----------
    predictions : ndarray of shape (n, m)
    normalize : {None, "rank", "gaussian"}
        "rank": (rank - 1/2) / n, in (0, 1), ties sharing their average rank; "gaussian": the
        normal quantile of that; None: unchanged.

    Returns
    -------
    normalized : ndarray of shape (n, m), float64
    """
    if normalize is None:
        return predictions.astype(np.float64)
    ranks = (rankdata(predictions, axis=0) - 0.5) / len(predictions)
    return ranks if normalize == "rank" else ndtri(ranks)


def scale_columns(predictions: Array, scale: Scale) -> Array:
    """Scale the predictions of one era.

    Parameters
    ----------
    predictions : ndarray of shape (n, m), float64
    scale : {None, "minmax", "std"}
        "minmax": onto [0, 1]; "std": to a standard deviation (ddof=0) of one; None: unchanged.

    Returns
    -------
    scaled : ndarray of shape (n, m)
        NaN where a column is constant and has no scale.
    """
    if scale is None:
        return predictions
    low = predictions.min(axis=0)
    spread = np.ptp(predictions, axis=0)
    spread[spread == 0.0] = np.nan
    if scale == "minmax":
        return (predictions - low) / spread
    return predictions / np.where(np.isnan(spread), np.nan, predictions.std(axis=0))
