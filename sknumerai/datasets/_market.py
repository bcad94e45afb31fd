"""The stocks of a synthetic market: risk model, features and returns, era after era.

Random numbers come from streams of their own for the structure of the market and for every era,
so that the first eras do not depend on how many follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_scalar

from sknumerai._typing import Array
from sknumerai.datasets._feature_names import MAX_FEATURES, draw_feature_names
from sknumerai.datasets._generator import rank_into_fifths, standardize

_FACTOR_VOLS = (0.015, 0.003)  # weekly, of the first and the last factor
_SPECIFIC_VOL = 0.03  # weekly, median
_SPECIFIC_VOL_SPREAD = 0.35  # standard deviation of its logarithm
_VOL_REGIME_SPREAD = 0.15  # the same of a multiple common to all volatilities of an era
_PERSISTENCE = 0.98  # autocorrelation of what drifts in loadings and features, week to week
_SECTOR_SHARE = 0.15  # of the variance of the loadings
_SMALLEST_SECTOR = 0.15  # expected size relative to the largest
_MAX_THEMES = 8


@dataclass(frozen=True)
class MarketEra:
    """Stocks of one era; arrays of two dimensions have the stocks last."""

    label: str
    ids: list[str]
    factor_loadings: Array
    factor_covariance: Array
    factor_returns: Array
    specific_variance: Array
    exposures: Array
    themes: Array
    returns: Array
    alpha: Array
    feature_alpha: Array


class MarketGenerator:
    """Validated parameters of a synthetic market without its users, and its eras in order.

    Parameters are those of :func:`sknumerai.datasets.make_market`.
    """

    def __init__(
        self,
        n_stocks: int,
        n_factors: int,
        *,
        n_eras: int,
        n_features: int,
        n_sectors: int,
        alpha: float,
        feature_corr: float,
        feature_risk: float,
        seed: int,
    ):
        check_scalar(n_stocks, "n_stocks", Integral, min_val=5)
        check_scalar(n_factors, "n_factors", Integral, min_val=1)
        check_scalar(n_eras, "n_eras", Integral, min_val=1, max_val=9999)
        # With a single feature no user could be exposed otherwise than the example is.
        check_scalar(n_features, "n_features", Integral, min_val=2, max_val=MAX_FEATURES)
        check_scalar(n_sectors, "n_sectors", Integral, min_val=1, max_val=n_stocks)
        self.n_stocks, self.n_factors, self.n_eras = n_stocks, n_factors, n_eras
        self.n_features, self.n_sectors = n_features, n_sectors
        self.n_themes = min(_MAX_THEMES, n_features)
        check_scalar(alpha, "alpha", Real, min_val=0, max_val=1)
        check_scalar(feature_corr, "feature_corr", Real, min_val=0, max_val=1)
        check_scalar(feature_risk, "feature_risk", Real, min_val=0, max_val=1)
        self.alpha, self.feature_corr, self.feature_risk = alpha, feature_corr, feature_risk
        self._explained = alpha**2 + feature_corr**2 + self.n_themes * feature_risk**2
        if not self._explained < 1.0:
            raise ValueError(
                f"alpha={alpha}, feature_corr={feature_corr} and feature_risk={feature_risk} "
                f"explain {self._explained:.2f} of the variance of the returns, {self.n_themes} "
                "feature themes taken together; lower them until it is less than 1."
            )
        self.seed = seed
        self._draw_structure(stream(seed, 0))

    def _draw_structure(self, rng: np.random.Generator) -> None:
        """What is the same in all eras: sectors, risk model, and what the features stand for."""
        n, k, p = self.n_stocks, self.n_factors, self.n_features
        self.sector_codes = draw_sector_codes(n, self.n_sectors, rng)
        self._sector_loadings = rng.standard_normal((k, self.n_sectors))
        self._factor_covariance = draw_factor_covariance(k, rng)
        self._specific_vols = _SPECIFIC_VOL * np.exp(_SPECIFIC_VOL_SPREAD * rng.standard_normal(n))
        self.feature_names = draw_feature_names(p, rng)
        self._loading_shares = rng.uniform(0.1, 0.4, p)[:, None]
        self._feature_directions = unit_rows(rng.standard_normal((p, k)))
        # Every feature belongs to one theme, with a sign and size of its own.
        self._theme_weights = np.zeros((self.n_themes, p), dtype=np.float32)
        weights = rng.choice([-1.0, 1.0], p) * rng.uniform(0.5, 1.5, p)
        self._theme_weights[np.arange(p) % self.n_themes, np.arange(p)] = weights
        self.mean_direction = unit_rows(rng.standard_normal(self.n_themes))

    def eras(self) -> Iterator[MarketEra]:
        """All eras in order: loadings and features drift, each week from where they were."""
        drifting = np.zeros((self.n_factors + self.n_features, self.n_stocks), dtype=np.float32)
        for number in range(self.n_eras):
            rng = stream(self.seed, 2, number)
            news = rng.standard_normal(drifting.shape, dtype=np.float32)
            kept = _PERSISTENCE if number else 0.0
            drifting = kept * drifting + (1.0 - kept**2) ** 0.5 * news
            yield self._era(number, drifting, rng)

    def _era(self, number: int, drifting: Array, rng: np.random.Generator) -> MarketEra:
        loadings = np.sqrt(_SECTOR_SHARE) * self._sector_loadings[:, self.sector_codes]
        loadings += np.sqrt(1.0 - _SECTOR_SHARE) * drifting[: self.n_factors]
        loadings = standardize(loadings)
        exposures = self._features(loadings, drifting[self.n_factors :])
        themes = standardize((self._theme_weights @ exposures).astype(np.float64))

        regime = np.exp(_VOL_REGIME_SPREAD * rng.standard_normal())
        covariance = regime**2 * self._factor_covariance
        specific_variance = np.square(regime * self._specific_vols)
        factor_variance = np.sum(covariance * (loadings @ loadings.T)) / self.n_stocks
        # The spread of returns over stocks that is expected: planted correlations refer to it.
        spread = np.sqrt((factor_variance + specific_variance.mean()) / (1.0 - self._explained))

        factor_returns = rng.multivariate_normal(
            np.zeros(self.n_factors), covariance, method="cholesky"
        )
        alpha = spread * self.alpha * standardize(rng.standard_normal(self.n_stocks))
        changing = self.feature_risk * rng.standard_normal(self.n_themes) @ themes
        lasting = self.feature_corr * standardize(self.mean_direction @ themes)
        feature_alpha = spread * (changing + lasting)
        specific = np.sqrt(specific_variance) * rng.standard_normal(self.n_stocks)
        label = f"{number + 1:04d}"
        return MarketEra(
            label=label,
            ids=[f"{label}_{stock:05d}" for stock in range(1, self.n_stocks + 1)],
            factor_loadings=loadings,
            factor_covariance=covariance,
            factor_returns=factor_returns,
            specific_variance=specific_variance,
            exposures=exposures,
            themes=themes,
            returns=factor_returns @ loadings + alpha + feature_alpha + specific,
            alpha=alpha,
            feature_alpha=feature_alpha,
        )

    def _features(self, loadings: Array, own: Array) -> Array:
        """Features -2..2 in equal fifths, shape (n_features, n_stocks), int8."""
        values = np.sqrt(self._loading_shares) * (self._feature_directions @ loadings)
        values += np.sqrt(1.0 - self._loading_shares) * own
        return rank_into_fifths(values) - np.int8(2)


def stream(seed: int, *key: int) -> np.random.Generator:
    """Random numbers that depend on the seed and the key only."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def unit_rows(values: Array) -> Array:
    """Rows, or the one row, scaled to length 1."""
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))


def draw_sector_codes(n_stocks: int, n_sectors: int, rng: np.random.Generator) -> Array:
    """Sector number of every stock; sizes fall geometrically, none is empty."""
    shares = np.geomspace(1.0, _SMALLEST_SECTOR, n_sectors)
    others = rng.choice(n_sectors, size=n_stocks - n_sectors, p=shares / shares.sum())
    return rng.permutation(np.concatenate([np.arange(n_sectors), others]))


def draw_factor_covariance(n_factors: int, rng: np.random.Generator) -> Array:
    """Covariance of weekly factor returns; two hidden causes correlate the factors somewhat."""
    causes = 0.5 * rng.standard_normal((n_factors, 2))
    covariance = causes @ causes.T + np.eye(n_factors)
    scale = np.geomspace(*_FACTOR_VOLS, n_factors) / np.sqrt(np.diag(covariance))
    return np.asarray(covariance * np.outer(scale, scale))
