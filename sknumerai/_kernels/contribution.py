"""Kernels: what predictions of one era add to the meta model."""

from __future__ import annotations

import numpy as np

from sknumerai._kernels.correlation import (
    known_targets,
    neutral_residual,
    rows_of,
    top_and_bottom,
)
from sknumerai._kernels.projection import ZERO_RESIDUAL
from sknumerai._kernels.ranks import normal_scale, normalize_columns, rank_products
from sknumerai._kernels.units import in_units
from sknumerai._typing import Array

NEARLY_NOTHING = 1e-12  # share of a sum of squares below which its difference has few digits
BUCKETS = 4.0  # targets in [0, 1] are scored as the buckets 0 to 4, as in numerai-tools


def correlation_contribution(
    targets: Array, predictions: Array, meta_model: Array, *, top_bottom: int | None = None
) -> Array:
    """Contribution of the predictions of one era to the correlation of the meta model (MMC).

    Predictions and meta model become normal quantiles; the covariance of the target with what
    is left of a prediction after projecting out the meta model is the score. Targets that all
    lie in [0, 1] are multiplied by 4.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
        NaN where there is none; those rows are left out of everything.
    predictions : ndarray of shape (n, m)
    meta_model : ndarray of shape (n, 1)
    top_bottom : int, optional
        Score the lowest and the highest ``top_bottom`` rows of every residual only.

    Returns
    -------
    scores : ndarray of shape (m,)
        NaN where a prediction, or the meta model, is constant, or nothing of a prediction is
        left.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.correlation_contribution``.
    """
    known, values = known_targets(targets)
    known_predictions = rows_of(predictions, known)
    reference = normalize_columns(rows_of(meta_model, known), "gaussian")[:, 0]
    constant = np.ptp(known_predictions, axis=0) == 0.0
    if top_bottom is None:
        scores = _covariances_of_ranks(_as_buckets(values), known_predictions, reference)
    else:
        gaussian = normalize_columns(known_predictions, "gaussian")
        scores = _covariances(_as_buckets(values), gaussian, reference, top_bottom)
    scores[constant] = np.nan
    return scores


def neutral_contribution(
    targets: Array,
    predictions: Array,
    meta_model: Array,
    features: Array,
    *,
    top_bottom: int | None = None,
) -> Array:
    """`correlation_contribution` of predictions and meta model neutralized to the features.

    Parameters
    ----------
    targets, predictions, meta_model, top_bottom
        As in `correlation_contribution`.
    features : ndarray of shape (n, k)

    Returns
    -------
    scores : ndarray of shape (m,)
        Zero where the features explain all of a prediction; NaN where they explain all of the
        meta model, or where one of the two is constant.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.neutral_contribution``.
    """
    known, values = known_targets(targets)
    both = np.column_stack([rows_of(meta_model, known), rows_of(predictions, known)])
    residual = neutral_residual(both, rows_of(features, known))
    scores = _covariances(_as_buckets(values), residual[:, 1:], residual[:, 0], top_bottom)
    scores[np.ptp(both[:, 1:], axis=0) == 0.0] = np.nan
    return scores


def _as_buckets(targets: Array) -> Array:
    """Centred targets; those in [0, 1] on the scale 0 to 4 first."""
    if ((targets >= 0.0) & (targets <= 1.0)).all():
        targets = targets * BUCKETS
    scaled, unit = in_units(targets)
    centred: Array = (scaled - scaled.mean()) * unit
    return centred


def _covariances_of_ranks(targets: Array, predictions: Array, reference: Array) -> Array:
    """`_covariances` of the normal quantiles of predictions, of which few are written."""
    size = reference @ reference
    if size == 0.0:
        return np.full(predictions.shape[1], np.nan)
    rows = np.ascontiguousarray(predictions.T)
    weights = np.stack([targets, reference])
    products, _, squares = rank_products(rows, normal_scale(len(targets)), weights)
    shares = products[:, 1] / size
    covariances: Array = (products[:, 0] - (targets @ reference) * shares) / len(targets)
    copies = np.flatnonzero(squares - shares**2 * size < NEARLY_NOTHING * squares)
    if len(copies):
        gaussian = normalize_columns(predictions[:, copies], "gaussian")
        covariances[copies] = _covariances(targets, gaussian, reference, None)
    return covariances


def _covariances(
    targets: Array, predictions: Array, reference: Array, top_bottom: int | None
) -> Array:
    """Covariance of the centred targets with the predictions orthogonal to the reference."""
    size = reference @ reference
    if size == 0.0:
        return np.full(predictions.shape[1], np.nan)
    shares = (reference @ predictions) / size
    squares = np.einsum("ij,ij->j", predictions, predictions)
    copies = np.flatnonzero(squares - shares**2 * size < NEARLY_NOTHING * squares)
    left = predictions[:, copies] - np.outer(reference, shares[copies])
    nothing = np.linalg.norm(left, axis=0) < ZERO_RESIDUAL * np.sqrt(squares[copies])
    shares[copies[nothing]] = np.nan  # what is left of a copy of the reference is rounding noise
    if top_bottom is None:  # the residual itself need not be formed
        covariances: Array = (targets @ predictions - (targets @ reference) * shares) / len(targets)
        return covariances
    residual = predictions - np.outer(reference, shares)
    ends = top_and_bottom(residual, top_bottom)
    kept = np.take_along_axis(residual, ends, axis=0)
    covariances = np.einsum("ij,ij->j", targets[ends], kept) / len(ends)
    return covariances
