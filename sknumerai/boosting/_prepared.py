"""Kernels: scores of one era's predictions, with all that does not change prepared.

Boosting scores the same rows after every round: targets, features and meta model are ranked,
factorized and projected once, and what is left to do for a round is to sort its predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtri

from sknumerai._kernels.contribution import BUCKETS, correlation_contribution
from sknumerai._kernels.correlation import (
    feature_neutral_correlation,
    known_targets,
    numerai_correlation,
    signed_power,
)
from sknumerai._kernels.projection import FeatureProjection
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai._kernels.units import centre, in_units
from sknumerai._typing import Array

Prepared = Callable[[Array], float]
Rows = slice | Array


def prepare(kernel: Callable[..., Array], tables: Mapping[str, Array], **options: Any) -> Prepared:
    """A kernel with everything bound but the predictions.

    Parameters
    ----------
    kernel : callable
        Of a metric, on the arrays of one era; returns shape (n_predictions,).
    tables : dict of str to ndarray of shape (n, k)
        Its arguments, in their order, but for the predictions, "y_pred", which are None.
    **options : dict
        Its options.

    Returns
    -------
    score : callable
        Takes predictions of shape (n,), returns a float.
    """
    prepared = _PREPARED.get(kernel)
    if prepared is not None and options.get("top_bottom") is None:
        arrays = [table for name, table in tables.items() if name != "y_pred"]
        score: Prepared = prepared(*arrays)
        return score
    return partial(_score, partial(kernel, **options), dict(tables))


def _score(kernel: Callable[..., Array], tables: dict[str, Array], predictions: Array) -> float:
    """The kernel itself, where nothing of it is prepared."""
    column = predictions.reshape(-1, 1)
    arrays = (column if name == "y_pred" else table for name, table in tables.items())
    return float(kernel(*arrays)[0])


class PreparedCorrelation:
    """Tournament correlation (CORR) with the targets of one era.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
        NaN where there is none.

    Notes
    -----
    A call costs one sort, n log n. See `numerai_correlation`, with which it agrees to rounding
    errors.
    """

    def __init__(self, targets: Array):
        self.known, values = _known(targets)
        values, _ = in_units(values)
        centred = centre(signed_power(values - values.mean()))
        self.targets = centred / (np.linalg.norm(centred) if np.ptp(values) > 0.0 else np.nan)
        self.ranks = _Ranks(signed_power(_quantiles(len(values))))
        self.size = float(np.linalg.norm(centre(self.ranks.untied)))

    def __call__(self, predictions: Array) -> float:
        """Correlation of predictions of shape (n,); NaN where they or the targets are constant."""
        order, ranked = self.ranks.sort(predictions[self.known])
        size: float = self.size
        if ranked is not self.ranks.untied:
            varies = ranked[0] < ranked[-1]
            size = float(np.linalg.norm(ranked - ranked.mean())) if varies else np.nan
        return float(self.targets[order] @ ranked / size)


class PreparedNeutralCorrelation:
    """Feature-neutral correlation (FNC) with the targets of one era.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
    features : ndarray of shape (n, k)
        Factorized once.

    Notes
    -----
    A call costs a few products with the features, of n k, and two sorts. See
    `feature_neutral_correlation`.
    """

    def __init__(self, targets: Array, features: Array):
        self.correlation = PreparedCorrelation(targets)
        self.projection = FeatureProjection(StandardizedFeatures(features))
        self.ranks = _Ranks(_quantiles(len(targets)))

    def __call__(self, predictions: Array) -> float:
        """Correlation; NaN also where the features explain all of the predictions."""
        order, ranked = self.ranks.sort(predictions)
        gaussian = np.empty((len(predictions), 1))
        gaussian[order, 0] = ranked
        residual, _ = self.projection.split(gaussian)
        return self.correlation(residual[:, 0])


class PreparedContribution:
    """Contribution to the meta model of one era (MMC), or to a benchmark (BMC).

    The covariance of the targets with what the meta model leaves of a prediction is that of the
    prediction with what the meta model leaves of the targets, which is known beforehand.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
    meta_model : ndarray of shape (n, 1)

    Notes
    -----
    A call costs one sort. See `correlation_contribution`, which gives NaN for a copy of the meta
    model where this gives zero up to rounding errors.
    """

    def __init__(self, targets: Array, meta_model: Array):
        self.known, values = _known(targets)
        if ((values >= 0.0) & (values <= 1.0)).all():
            values = values * BUCKETS
        left = centre(values)
        reference = normalize_columns(meta_model[self.known], "gaussian")[:, 0]
        size = reference @ reference
        share = reference @ left / size if size > 0.0 else np.nan
        self.weights = (left - share * reference) / len(left)
        self.ranks = _Ranks(_quantiles(len(left)))

    def __call__(self, predictions: Array) -> float:
        """Contribution; NaN where predictions or the meta model are constant."""
        order, ranked = self.ranks.sort(predictions[self.known])
        return float(self.weights[order] @ ranked) if ranked[0] < ranked[-1] else float("nan")


_PREPARED: dict[Callable[..., Array], Callable[..., Prepared]] = {
    numerai_correlation: PreparedCorrelation,
    feature_neutral_correlation: PreparedNeutralCorrelation,
    correlation_contribution: PreparedContribution,
}


def _quantiles(n: int) -> Array:
    """Normal quantiles of the ranks 1, 3/2, 2, ... n of n values, shape (2 n - 1,)."""
    return ndtri((np.arange(2 * n - 1) + 1.0) / (2 * n))


class _Ranks:
    """Quantiles of the ranks of predictions.

    Parameters
    ----------
    quantiles : ndarray of shape (2 n - 1,)
        See `_quantiles`; those of ranks that are no integer are of ties, which share the average.

    Attributes
    ----------
    untied : ndarray of shape (n,)
        The quantiles of predictions that all differ, ascending.
    """

    def __init__(self, quantiles: Array):
        self.quantiles, self.untied = quantiles, quantiles[::2].copy()

    def sort(self, predictions: Array) -> tuple[Array, Array]:
        """The order of n finite predictions, and the quantiles of their ranks in that order."""
        order = np.argsort(predictions)
        ascending = predictions[order]
        larger = ascending[1:] > ascending[:-1]
        if larger.all():
            return order, self.untied
        stops = np.append(np.flatnonzero(larger) + 1, len(order))
        starts = np.concatenate([[0], stops[:-1]])
        return order, np.repeat(self.quantiles[starts + stops - 1], stops - starts)


def _known(targets: Array) -> tuple[Rows, Array]:
    """The rows that have a target, and their targets; see `known_targets`."""
    known, values = known_targets(targets)
    return slice(None) if known.all() else np.flatnonzero(known), values
