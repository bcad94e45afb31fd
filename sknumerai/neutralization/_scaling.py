"""Kernels: ranking predictions before, and scaling them after, one era's neutralization."""

import numpy as np
from scipy.special import ndtri

from sknumerai._typing import Array, Normalize, Scale


def rank_columns(values: Array) -> Array:
    """Ranks 1 to n of every column, ties sharing their average rank.

    As ``scipy.stats.rankdata(values, axis=0)``, several times faster for many columns: they are
    sorted where they lie contiguously.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Finite.

    Returns
    -------
    ranks : ndarray of shape (n, m), float64
    """
    rows = np.ascontiguousarray(values.T)
    order = np.argsort(rows, axis=1)
    ascending = np.take_along_axis(rows, order, axis=1)
    position = np.broadcast_to(np.arange(1.0, rows.shape[1] + 1), rows.shape)
    starts = np.ones(rows.shape, dtype=bool)
    starts[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    ends = np.roll(starts, -1, axis=1)
    ends[:, -1] = True
    first = np.maximum.accumulate(np.where(starts, position, 0.0), axis=1)
    last = np.where(ends, position, np.inf)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=1)
    return ranks.T


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
    ranks = (rank_columns(predictions) - 0.5) / len(predictions)
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
