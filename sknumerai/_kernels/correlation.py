"""Kernels: correlations of predictions with the target or with other predictions of one era."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sknumerai._kernels.projection import FeatureProjection
from sknumerai._kernels.ranks import normal_scale, normalize_columns, rank_products
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._kernels.units import centre, in_units
from sknumerai._typing import Array

MAX_MISSING_TARGETS = 0.2  # share of an era's rows, as in numerai-tools
POWER = 1.5  # stresses the tails, where the portfolio is

CorrelationMethod = Literal["numerai", "pearson", "spearman"]


def signed_power(values: Array, exponent: float = POWER) -> Array:
    """Sign(x) |x|^exponent, elementwise."""
    return np.sign(values) * np.abs(values) ** exponent


def known_targets(targets: Array) -> tuple[Array, Array]:
    """The rows that have a target, and their targets.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
        NaN where there is none.

    Returns
    -------
    known : ndarray of shape (n,), bool
    values : ndarray of shape (n_known,), float64

    Raises
    ------
    ValueError
        If more than a fifth of the targets is missing.
    """
    known = ~np.isnan(targets[:, 0])
    if known.sum() < (1 - MAX_MISSING_TARGETS) * len(known):
        raise ValueError(
            f"{len(known) - known.sum()} of {len(known)} targets are missing, and at most "
            f"{MAX_MISSING_TARGETS:.0%} of an era may be; leave out eras without targets."
        )
    return known, targets[known, 0].astype(np.float64)


def rows_of(block: Array, known: Array) -> Array:
    """The known rows of a block, copied only where some are unknown."""
    return block if known.all() else block[known]


def top_and_bottom(values: Array, top_bottom: int) -> Array:
    """Rows of the lowest and highest values of every column.

    Parameters
    ----------
    values : ndarray of shape (n, m)
    top_bottom : int
        Number of rows at each end. Ties at the cut are decided by the order of the rows.

    Returns
    -------
    rows : ndarray of shape (2 * top_bottom, m), int

    Raises
    ------
    ValueError
        If ``top_bottom`` exceeds half the rows.
    """
    if 2 * top_bottom > len(values):
        raise ValueError(
            f"top_bottom={top_bottom} needs {2 * top_bottom} rows to score and there are "
            f"{len(values)}; pass a smaller number."
        )
    order = np.argsort(values, axis=0, kind="stable")
    return np.concatenate([order[:top_bottom], order[-top_bottom:]])


def pearson(targets: Array, predictions: Array) -> Array:
    """Pearson correlation of every column of predictions with the targets.

    Parameters
    ----------
    targets : ndarray of shape (n,) or (n, m)
        One for all columns, or one for each.
    predictions : ndarray of shape (n, m)

    Returns
    -------
    correlations : ndarray of shape (m,)
        NaN where one of the two is constant.
    """
    left, right = (_centred(values) for values in (targets.reshape(len(targets), -1), predictions))
    sizes = np.sqrt(np.einsum("ij,ij->j", left, left) * np.einsum("ij,ij->j", right, right))
    constant = (np.ptp(left, axis=0) == 0.0) | (np.ptp(right, axis=0) == 0.0)
    products = np.einsum("ij,ij->j", np.broadcast_to(left, right.shape), right)
    correlations: Array = products / np.where(constant, np.nan, sizes)
    return correlations


def _centred(values: Array) -> Array:
    """Columns less their means, in units in which they can be squared."""
    scaled, _ = in_units(values)
    return centre(scaled)


def end_pearson(targets: Array, predictions: Array, top_bottom: int | None) -> Array:
    """Pearson correlation over every column's lowest and highest rows, or all; see `pearson`."""
    if top_bottom is None:
        return pearson(targets, predictions)
    ends = top_and_bottom(predictions, top_bottom)
    return pearson(targets[ends], np.take_along_axis(predictions, ends, axis=0))


def numerai_correlation(
    targets: Array,
    predictions: Array,
    *,
    top_bottom: int | None = None,
    target_power: float = POWER,
) -> Array:
    """Tournament correlation (CORR) of the predictions of one era.

    Rows without a target are left out. The predictions' tie-kept ranks become normal quantiles;
    these, and the centred targets, are raised to the power 1.5 with their sign kept, and their
    Pearson correlation is the score.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
        NaN where there is none.
    predictions : ndarray of shape (n, m)
        Finite.
    top_bottom : int, optional
        Score the lowest and the highest ``top_bottom`` rows of every prediction only, after
        ranking all. Ties at the cut are decided by the order of the rows.
    target_power : float, default=1.5
        Power of the targets.

    Returns
    -------
    scores : ndarray of shape (m,)
        NaN where a prediction or the target is constant.

    Raises
    ------
    ValueError
        If more than a fifth of the targets is missing, or ``top_bottom`` exceeds half the rows.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.numerai_corr``.
    """
    known, values = known_targets(targets)
    values, _ = in_units(values)
    centred = signed_power(values - values.mean(), target_power)
    if top_bottom is None:
        return tail_correlation(centred, rows_of(predictions, known))
    ranked = signed_power(normalize_columns(rows_of(predictions, known), "gaussian"))
    return end_pearson(centred, ranked, top_bottom)


def tail_correlation(targets: Array, predictions: Array) -> Array:
    """Pearson correlation of targets with normal quantiles of ranks, to the power 1.5.

    Parameters
    ----------
    targets : ndarray of shape (n,)
    predictions : ndarray of shape (n, m)
        Finite.

    Returns
    -------
    correlations : ndarray of shape (m,)
        NaN where one of the two is constant.
    """
    n = len(targets)
    centred = _centred(targets[:, None])[:, 0]
    size = np.sqrt(centred @ centred)
    if np.ptp(targets) == 0.0:
        return np.full(predictions.shape[1], np.nan)
    scale = signed_power(normal_scale(n))
    rows = np.ascontiguousarray(predictions.T)
    products, sums, squares = rank_products(rows, scale, centred[None])
    spread = squares - sums**2 / n
    constant = rows.min(axis=1) == rows.max(axis=1)
    correlations: Array = products[:, 0] / np.where(constant, np.nan, np.sqrt(spread) * size)
    return correlations


def neutral_residual(predictions: Array, features: Array) -> Array:
    """What the features do not explain of the gaussianized predictions, shape (n, m).

    Zero where less than 1e-10 of a prediction is left.
    """
    projection = FeatureProjection(StandardizedFeatures(features))
    residual, _ = projection.split(normalize_columns(predictions, "gaussian"))
    return residual


def feature_neutral_correlation(
    targets: Array, predictions: Array, features: Array, *, top_bottom: int | None = None
) -> Array:
    """Feature-neutral correlation (FNC) of the predictions of one era.

    The gaussianized predictions are neutralized on all rows, whether or not they have a target;
    the tournament correlation of the residual is the score. One factorization of the features
    serves all predictions.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
        NaN where there is none.
    predictions : ndarray of shape (n, m)
    features : ndarray of shape (n, k)
    top_bottom : int, optional
        As in `numerai_correlation`.

    Returns
    -------
    scores : ndarray of shape (m,)
        NaN also where the features explain all of a prediction.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.feature_neutral_corr``.
    """
    residual = neutral_residual(predictions, features)
    return numerai_correlation(targets, residual, top_bottom=top_bottom)


def neutral_correlation(
    targets: Array, predictions: Array, features: Array, *, top_bottom: int | None = None
) -> Array:
    """Pearson correlation of the neutralized predictions of one era with the target.

    Neither ranked again nor raised to a power, and neutralized on the rows with a target only.
    Parameters and return value as in `feature_neutral_correlation`.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.neutral_correlation``.
    """
    known, centred = known_targets(targets)
    residual = neutral_residual(rows_of(predictions, known), rows_of(features, known))
    return end_pearson(centred, residual, top_bottom)


def correlation_with(predictions: Array, other: Array, *, method: CorrelationMethod) -> Array:
    """Correlation of the predictions of one era with another prediction.

    Parameters
    ----------
    predictions : ndarray of shape (n, m)
    other : ndarray of shape (n, 1)
    method : {"numerai", "pearson", "spearman"}
        "numerai": Pearson correlation of the predictions' gaussianized ranks, raised to the
        power 1.5, with the other as it is.

    Returns
    -------
    correlations : ndarray of shape (m,)
        NaN where one of the two is constant.
    """
    reference = other[:, 0].astype(np.float64)
    if method == "numerai":
        return tail_correlation(reference, predictions)
    if method == "spearman":
        ranked = normalize_columns(predictions, "rank")
        return pearson(normalize_columns(other, "rank")[:, 0], ranked)
    return pearson(reference, predictions.astype(np.float64))
