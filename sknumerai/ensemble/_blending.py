"""Kernels: the weighted blend of the predictions of one era."""

from __future__ import annotations

import numpy as np

from sknumerai._kernels.ranks import normalize_columns
from sknumerai._typing import Array

DECIMALS = 12  # of a weighted sum: sums that differ by rounding errors alone share a rank


def standard_signals(predictions: Array) -> Array:
    """Normal quantiles of the tie-kept ranks of every prediction, over their standard deviation.

    Parameters
    ----------
    predictions : ndarray of shape (n, m)
        Finite.

    Returns
    -------
    signals : ndarray of shape (n, m), float64
        Of standard deviation (ddof=1) one; NaN where a prediction is constant.
    """
    signals = normalize_columns(predictions, "gaussian")
    constant = np.ptp(predictions, axis=0) == 0.0
    spread = signals.std(axis=0, ddof=min(1, len(signals) - 1))
    return signals / np.where(constant, np.nan, spread)


def weighted_blend(signals: Array, weights: Array) -> Array:
    """Normal quantiles of the tie-kept ranks of a weighted sum of signals.

    Parameters
    ----------
    signals : ndarray of shape (n, m)
        See `standard_signals`.
    weights : ndarray of shape (m,)
        Their scale does not matter.

    Returns
    -------
    blended : ndarray of shape (n, 1)
        NaN where a signal that has a weight is, or where the sum is constant.
    """
    total = np.zeros((len(signals), 1))
    for j in np.flatnonzero(weights):  # row by row the same, which a matrix product is not
        total += signals[:, [j]] * (weights[j] / np.abs(weights).sum())
    total = np.round(total, DECIMALS)
    if not np.ptp(total) > 0.0:
        return np.full_like(total, np.nan)
    return normalize_columns(total, "gaussian")


def blend_era(predictions: Array, *, weights: Array) -> Array:
    """`weighted_blend` of the `standard_signals` of predictions."""
    return weighted_blend(standard_signals(predictions), weights)
