"""Kernels: scores of a weighted sum of signals in one era that have a gradient by the weights.

The tournament scores the ranks of a blend, whose derivative by the weights is zero or does not
exist. Here the last ranking is left out: the sum s = Z w of the standard signals Z takes the place
of its normal quantiles, centred and, where the score depends on its scale, divided by its standard
deviation (ddof=0). Sums of gaussianized signals are nearly Gaussian, so that little changes; all
else is that of the score.
"""

from __future__ import annotations

import numpy as np

from sknumerai._kernels.contribution import BUCKETS
from sknumerai._kernels.correlation import POWER, known_targets, rows_of, signed_power
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._kernels.units import centre, in_units
from sknumerai._typing import Array
from sknumerai.ensemble._blending import DECIMALS

NOTHING = 10.0**-DECIMALS  # sums below are rounding errors


def smooth_correlation(signals: Array, targets: Array, weights: Array) -> tuple[float, Array]:
    """Pearson correlation of sign(s) |s|^1.5 with the target as CORR takes it, and its gradient.

    Parameters
    ----------
    signals : ndarray of shape (n, m)
        Z.
    targets : ndarray of shape (n, 1)
        NaN where there is none; those rows are left out. Not constant.
    weights : ndarray of shape (m,)

    Returns
    -------
    score : float
        NaN where the sum is constant.
    gradient : ndarray of shape (m,)

    Notes
    -----
    With q = sign(s) |s|^1.5 - mean, t the target's powers of mean zero and unit norm and
    f = tᵀq / ‖q‖, the gradient is Zᵀ(1.5 |s|^0.5 ∘ (t - f q / ‖q‖)) / ‖q‖, Z centred.
    """
    known, values = known_targets(targets)
    reference = centre(signed_power(centre(in_units(values)[0])))
    reference /= np.linalg.norm(reference)
    columns = centre(rows_of(signals, known))
    total = columns @ weights
    if np.abs(total).max() < NOTHING:
        return np.nan, np.zeros(len(weights))
    powers = centre(signed_power(total))
    size = float(np.linalg.norm(powers))
    score = float(reference @ powers) / size
    # the mean of the powers does not matter: what it is multiplied by has mean zero
    slopes = (reference - score * powers / size) * POWER * np.abs(total) ** (POWER - 1.0)
    return score, columns.T @ slopes / size


def smooth_contribution(
    signals: Array, targets: Array, meta_model: Array, weights: Array
) -> tuple[float, Array]:
    """Covariance of the target with what is left of s beside the meta model, and its gradient.

    Parameters
    ----------
    signals, targets, weights
        As in `smooth_correlation`.
    meta_model : ndarray of shape (n, 1)
        NaN where there is none; those rows are left out. Not constant.

    Returns
    -------
    score : float
        NaN where the sum is constant.
    gradient : ndarray of shape (m,)

    Notes
    -----
    With g the meta model's normal quantiles, t the centred target as MMC takes it and
    c = t - g (gᵀt) / (gᵀg), the score is f = cᵀs / (√n ‖s‖), s centred, and the gradient
    Zᵀ(c - (cᵀs) s / ‖s‖²) / (√n ‖s‖), Z centred.
    """
    given = ~np.isnan(meta_model[:, 0])
    signals, targets, meta_model = (rows_of(x, given) for x in (signals, targets, meta_model))
    known, values = known_targets(targets)
    buckets = BUCKETS if ((values >= 0.0) & (values <= 1.0)).all() else 1.0
    target = centre(values * buckets)
    reference = normalize_columns(rows_of(meta_model, known), "gaussian")[:, 0]
    reference /= np.linalg.norm(reference)
    left = target - reference * (reference @ target)
    columns = centre(rows_of(signals, known))
    total = columns @ weights
    if np.abs(total).max() < NOTHING:
        return np.nan, np.zeros(len(weights))
    size = float(np.linalg.norm(total))
    scale = size * len(total) ** 0.5
    inner = float(left @ total)
    return inner / scale, columns.T @ (left - inner / size**2 * total) / scale
