"""Kernels: ranking predictions before, and scaling them after, one era's neutralization."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from sknumerai._kernels.units import in_units
from sknumerai._typing import Array, Normalize, Scale

BLOCK = 32  # rows that are sorted at a time, and stay in the cache
ALL_BUT_SIGN = np.int64(2**63 - 1)


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
    ranks = np.empty(rows.shape, dtype=np.uint16 if n <= 2**15 else np.uint32)
    for start in range(0, len(rows), BLOCK):
        order, ascending, tied = ascending_half_ranks(rows[start : start + BLOCK])
        block = ranks[start : start + BLOCK]
        for i in range(len(block)):
            block[i, order[i]] = tied.get(i, ascending)
    return ranks


def ascending_half_ranks(rows: Array) -> tuple[Array, Array, dict[int, Array]]:
    """The order of every row, and its half ranks in that order.

    A value and its position become one integer of 64 bits, so that one sort gives both. The
    position takes the place of the last bits of a double: where values agree in the others, they
    are looked at one by one.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        Finite.

    Returns
    -------
    order : ndarray of shape (m, n), int64
    ascending : ndarray of shape (n,), int64
        Half ranks of a row without ties: 0, 2, 4, ...
    tied : dict of int to ndarray of shape (n,)
        Those of rows with ties.
    """
    n = rows.shape[1]
    ascending = np.arange(0, 2 * n, 2, dtype=np.int64)
    n_bits = (n - 1).bit_length()
    mask = np.int64((1 << n_bits) - 1)
    if rows.dtype == np.float32:
        short = (rows + np.float32(0.0)).view(np.int32)  # -0 becomes 0
        short ^= (short >> 31) & np.int32(2**31 - 1)
        keys = short.astype(np.int64) << n_bits
    else:
        keys = (rows.astype(np.float64) + 0.0).view(np.int64)
        keys ^= (keys >> 63) & ALL_BUT_SIGN
        keys &= ~mask
    keys |= np.arange(n, dtype=np.int64)
    keys.sort(axis=1)
    order = keys & mask
    keys >>= n_bits
    tied = {}
    for i in np.flatnonzero((keys[:, 1:] == keys[:, :-1]).any(axis=1)).tolist():
        values = rows[i][order[i]]
        if (values[1:] < values[:-1]).any():  # they differ in the last bits alone
            order[i] = np.argsort(rows[i])
            values = rows[i][order[i]]
        starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
        if len(starts) < n:
            ends = np.r_[starts[1:], n] - 1
            tied[i] = np.repeat(starts + ends, ends - starts + 1)
    return order, ascending, tied


def rank_products(rows: Array, scale: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Sums over every row of a function of the ranks, alone and times weights.

    What correlations of ranked predictions need, without a rank of any value being written.

    Parameters
    ----------
    rows : ndarray of shape (m, n)
        Finite, row-major.
    scale : ndarray of shape (2n - 1,)
        The function, by half rank.
    weights : ndarray of shape (q, n)

    Returns
    -------
    products : ndarray of shape (m, q)
        Σ scale[half rank] · weight.
    sums, squares : ndarray of shape (m,)
        Σ scale[half rank], and of its square.
    """
    m = len(rows)
    products = np.empty((m, len(weights)))
    untied = scale[::2]
    sums, squares = np.full(m, untied.sum()), np.full(m, untied @ untied)
    for start in range(0, m, BLOCK):
        order, _, tied = ascending_half_ranks(rows[start : start + BLOCK])
        for k, weight in enumerate(weights):
            products[start : start + BLOCK, k] = weight.take(order, mode="clip") @ untied
        for i, shared in tied.items():
            values = scale[shared]
            products[start + i] = weights[:, order[i]] @ values
            sums[start + i], squares[start + i] = values.sum(), values @ values
    return products, sums, squares


def rank_scale(n: int) -> Array:
    """The ranks of n values, less one half and over n, by half rank: shape (2n - 1,)."""
    shares: Array = (np.arange(2 * n - 1) + 1.0) / (2.0 * n)
    return shares


def normal_scale(n: int) -> Array:
    """Normal quantiles of `rank_scale`."""
    quantiles: Array = ndtri(rank_scale(n))
    return quantiles


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
    n = len(predictions)
    halves = half_ranks(np.ascontiguousarray(predictions.T))
    scale = normal_scale(n) if normalize == "gaussian" else rank_scale(n)
    return scale.take(halves, mode="clip").T


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
