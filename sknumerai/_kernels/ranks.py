"""Kernels: ranking predictions before, and scaling them after, one era's neutralization."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from sknumerai._kernels.units import in_units
from sknumerai._typing import Array, Normalize, Scale


def half_ranks(rows: Array) -> Array:
    """Twice the rank of every value in its row, counted from zero, ties sharing their average.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        Finite, row-major: sorting is several times faster where values lie contiguously.

    Returns
    -------
    ranks : ndarray of shape (m, n), an unsigned integer type
        0 to 2(n - 1): an integer, as an average rank of ties is a multiple of one half.
    """
    n = rows.shape[1]
    position = np.arange(0, 2 * n, 2, dtype=np.uint16 if n <= 2**15 else np.uint32)
    order = np.argsort(rows, axis=1)
    ascending = np.take_along_axis(rows, order, axis=1)
    shared = np.broadcast_to(position, rows.shape)
    tied = np.flatnonzero((ascending[:, 1:] == ascending[:, :-1]).any(axis=1))
    if len(tied):
        starts = np.ones((len(tied), n), dtype=bool)
        starts[:, 1:] = ascending[tied, 1:] != ascending[tied, :-1]
        ends = np.roll(starts, -1, axis=1)
        ends[:, -1] = True
        first = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
        last = np.where(ends, position, position[-1])
        last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
        shared = shared.copy()
        shared[tied] = first // 2 + last // 2  # both are even
    ranks = np.empty(rows.shape, dtype=position.dtype)
    np.put_along_axis(ranks, order, shared, axis=1)
    return ranks


def rank_columns(values: Array) -> Array:
    """Ranks 1 to n of every column, ties sharing their average rank.

    As ``scipy.stats.rankdata(values, axis=0)``, several times faster for many columns.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Finite.

    Returns
    -------
    ranks : ndarray of shape (n, m), float64
    """
    ranks = half_ranks(np.ascontiguousarray(values.T)) / 2.0
    ranks += 1.0
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
    predictions, _ = in_units(predictions)
    low = predictions.min(axis=0)
    spread = np.ptp(predictions, axis=0)
    spread[spread == 0.0] = np.nan
    if scale == "minmax":
        scaled: Array = (predictions - low) / spread
        return scaled
    scaled = predictions / np.where(np.isnan(spread), np.nan, predictions.std(axis=0))
    return scaled
