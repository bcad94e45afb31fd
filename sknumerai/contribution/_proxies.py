"""Kernel: the scores of many users in one era that may tell their contribution."""

from __future__ import annotations

import numpy as np

from sknumerai._kernels.contribution import correlation_contribution
from sknumerai._kernels.correlation import (
    end_pearson,
    known_targets,
    pearson,
    rows_of,
    signed_power,
)
from sknumerai._kernels.exposure import exposures
from sknumerai._kernels.projection import FeatureProjection
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._typing import Array
from sknumerai.contribution._users import UserSignals

BLOCK = 512  # users scored at a time: some ten arrays of the size of their predictions are needed


def proxies_of_era(
    targets: Array,
    predictions: Array,
    examples: Array,
    meta_model: Array,
    features: Array,
    *,
    top_bottom: int,
) -> tuple[Array, bool]:
    """Scores of all users in one era.

    One factorization of the features and one neutralization serve FNC and its top and bottom,
    one product with the features serves dissimilarity and largest exposure.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
        Up to a fifth may be NaN.
    predictions : ndarray of shape (n, n_users)
        A user whose values are all NaN did not take part.
    examples, meta_model : ndarray of shape (n, 1)
    features : ndarray of shape (n, k)
    top_bottom : int
        Number of stocks at each end.

    Returns
    -------
    scores : ndarray of shape (n_users, 7)
        FNC, exposure dissimilarity, their product, MMC, FNC of top and bottom, largest absolute
        exposure, CORR. NaN for a user that did not take part, or whose prediction is constant.
    incomplete : bool
        Whether scores of a user that took part are NaN.

    Raises
    ------
    ValueError
        If some but not all predictions of a user are NaN, or one is infinite.

    Notes
    -----
    Three sorts of n stocks per user are most of the cost unless there are thousands of features.
    """
    present = np.flatnonzero(UserSignals(predictions, gaussianize=False).present)
    projection = FeatureProjection(StandardizedFeatures(features))
    example = exposures(examples, features)[0]
    size = example @ example
    known, values = known_targets(targets)
    stressed = signed_power(values - values.mean())

    scores = np.full((predictions.shape[1], 7), np.nan)
    for start in range(0, len(present), BLOCK):
        users = present[start : start + BLOCK]
        block = predictions[:, users]
        if block.dtype.kind != "f":
            block = block.astype(np.float64)
        gaussian = normalize_columns(block, "gaussian")
        residual, _ = projection.split(gaussian)
        neutral = signed_power(normalize_columns(rows_of(residual, known), "gaussian"))
        fnc = pearson(stressed, neutral)
        fnc_ends = end_pearson(stressed, neutral, top_bottom)
        mmc = correlation_contribution(targets, gaussian, meta_model)
        if not known.all():
            gaussian = normalize_columns(gaussian[known], "gaussian")
        corr = pearson(stressed, signed_power(gaussian))
        own = exposures(block, features)
        dissimilarity = 1.0 - own @ example / (size if size > 0.0 else np.nan)
        scores[users] = np.column_stack(
            [fnc, dissimilarity, fnc * dissimilarity, mmc, fnc_ends, np.abs(own).max(axis=1), corr]
        )
    return scores, bool(np.isnan(scores[present]).any())
