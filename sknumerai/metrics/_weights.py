"""Kernels: portfolio weights from the predictions of one era, and their scores."""

from __future__ import annotations

import numpy as np

from sknumerai._kernels.correlation import known_targets, rows_of, signed_power
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._typing import Array

CONTRIBUTION_SCALE = 50.0  # numerai-tools divides the gradient by it, to the scale of alpha


def neutral_weights(
    predictions: Array, neutralizers: Array, sample_weights: Array, *, normalize: bool = False
) -> Array:
    """Neutral portfolio weights of the predictions of one era.

    With s the gaussianized ranks raised to the power 1.5, v the sample weights and N the
    neutralizers: ``v * (s - N Nᵀ (v * s))``. N is taken as it is: it must be such that this
    projects (Numerai's neutralizers matrix is).

    Parameters
    ----------
    predictions : ndarray of shape (n, m)
    neutralizers : ndarray of shape (n, k)
    sample_weights : ndarray of shape (n, 1)
    normalize : bool
        Whether to centre the weights and scale them to a sum of absolute values of 1.

    Returns
    -------
    weights : ndarray of shape (n, m)
        NaN where a prediction is constant.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.generate_neutralized_weights``.
    """
    signal = signed_power(normalize_columns(predictions, "gaussian"))
    signal[:, np.ptp(signal, axis=0) == 0.0] = np.nan
    sizes = sample_weights.astype(np.float64)
    loadings = neutralizers.astype(np.float64)
    weights = (signal - loadings @ (loadings.T @ (sizes * signal))) * sizes
    if normalize:
        weights -= weights.mean(axis=0)
        weights /= np.abs(weights).sum(axis=0)
    return weights


def alpha_scores(
    targets: Array, predictions: Array, neutralizers: Array, sample_weights: Array
) -> Array:
    """Mean product of neutral weights and centred targets, shape (m,).

    Rows without a target are left out of everything. Parameters as in `neutral_weights`.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.alpha``.
    """
    known, values = known_targets(targets)
    blocks = (rows_of(block, known) for block in (predictions, neutralizers, sample_weights))
    scores: Array = (values - values.mean()) @ neutral_weights(*blocks) / len(values)
    return scores


def portfolio_gradient(
    targets: Array,
    predictions: Array,
    neutralizers: Array,
    sample_weights: Array,
    *,
    stakes: Array,
) -> Array:
    """Gradient of the stake-weighted portfolio's score with respect to the stakes.

    With W the centred neutral weights, s the stakes of sum 1, u = Ws and t the centred targets:
    ``Wᵀ (I - u uᵀ / uᵀu) t / ‖u‖ / 50``.

    Parameters
    ----------
    targets, predictions, neutralizers, sample_weights
        As in `alpha_scores`.
    stakes : ndarray of shape (m,)
        Of sum 1.

    Returns
    -------
    scores : ndarray of shape (m,)
        NaN for a constant prediction, which takes no part in the portfolio.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.meta_portfolio_contribution``.
    """
    known, values = known_targets(targets)
    centred = values - values.mean()
    blocks = (rows_of(block, known) for block in (predictions, neutralizers, sample_weights))
    weights = neutral_weights(*blocks)
    weights -= weights.mean(axis=0)
    constant = np.isnan(weights[0])
    portfolio = np.where(constant, 0.0, weights) @ stakes
    portfolio -= portfolio.mean()
    size = np.linalg.norm(portfolio)
    if size == 0.0:
        return np.full(len(stakes), np.nan)
    direction = portfolio / size
    gradient = centred @ weights - (centred @ direction) * (direction @ weights)
    scores: Array = gradient / size / CONTRIBUTION_SCALE
    return scores
