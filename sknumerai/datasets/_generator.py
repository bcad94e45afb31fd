"""The synthetic tournament itself: one era at a time, from a seed.

An era depends on the seed and on its own number only, so the first eras are the same whatever
the number of eras, and a file of any length can be written in the memory of one era.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_scalar

from sknumerai.datasets._feature_names import (
    GROUP_SIZES,
    MAX_FEATURES,
    draw_feature_names,
    draw_group_codes,
)

TARGET_SHARES = (0.05, 0.20, 0.50, 0.20, 0.05)
LIVE_ERA = "X"
AUXILIARY_TARGETS = ("victor", "xerxes", "teager2b")
BENCHMARK_MODELS = ("v53_lgbm_ender20", "v53_lgbm_ender60", "v53_lgbm_victor60")
_FACTORS_PER_GROUP = 3
_COMMON_FACTORS = 2
_WEEKS_PER_TARGET = 4  # a 20-day target and weekly eras: neighbours share three of four weeks
_EXAMPLE_EXPOSURE = 0.26  # largest exposure of the example predictions before sampling noise
_MISSING_60 = 0.03  # share of rows without a 60-day target
_ID_BITS = 60

# Correlation of a normal score with its five bins; planted correlations are divided by it.
_BIN_VALUES = np.linspace(0.0, 1.0, 5)
_EDGES = np.asarray(norm.ppf(np.r_[0.0, np.cumsum(TARGET_SHARES)[:-1], 1.0]))
_BIN_CORRELATION = float(
    _BIN_VALUES
    @ (norm.pdf(_EDGES[:-1]) - norm.pdf(_EDGES[1:]))
    / np.sqrt(np.square(_BIN_VALUES - 0.5) @ np.array(TARGET_SHARES))
)


@dataclass(frozen=True)
class Era:
    """Rows of one era; features are (n_features, n_stocks), the memory order of a frame."""

    label: str
    data_type: str
    ids: list[str]
    features: np.ndarray
    target: np.ndarray
    target_60: np.ndarray
    example_predictions: np.ndarray
    meta_model: np.ndarray
    linear_part: np.ndarray
    nonlinear_part: np.ndarray


class TournamentGenerator:
    """Validated parameters of a synthetic tournament, and its eras by number.

    Parameters are those of :func:`sknumerai.datasets.make_tournament`.
    """

    def __init__(
        self,
        n_eras: int,
        n_stocks: int,
        n_features: int,
        *,
        n_groups: int | None = None,
        n_validation_eras: int | None = None,
        linear_corr: float = 0.02,
        linear_risk: float = 0.03,
        nonlinear_corr: float = 0.03,
        missing_features: float = 0.05,
        missing_eras: int | None = None,
        live: bool = False,
        random_state: Any = None,
    ):
        check_scalar(n_eras, "n_eras", Integral, min_val=1, max_val=9999)
        check_scalar(n_stocks, "n_stocks", Integral, min_val=5)
        check_scalar(n_features, "n_features", Integral, min_val=1, max_val=MAX_FEATURES)
        self.n_eras, self.n_stocks, self.n_features = n_eras, n_stocks, n_features
        self.n_groups = min(8, n_features) if n_groups is None else n_groups
        n_groups_max = min(len(GROUP_SIZES), n_features)
        check_scalar(self.n_groups, "n_groups", Integral, min_val=1, max_val=n_groups_max)
        self.n_validation_eras = n_eras // 3 if n_validation_eras is None else n_validation_eras
        check_scalar(
            self.n_validation_eras, "n_validation_eras", Integral, min_val=0, max_val=n_eras
        )
        check_scalar(linear_corr, "linear_corr", Real, min_val=0, max_val=1)
        check_scalar(linear_risk, "linear_risk", Real, min_val=0)
        check_scalar(nonlinear_corr, "nonlinear_corr", Real, min_val=0, max_val=1)
        if linear_corr**2 + nonlinear_corr**2 > _BIN_CORRELATION**2:
            raise ValueError(
                f"linear_corr={linear_corr} and nonlinear_corr={nonlinear_corr} explain more than "
                f"the whole target; their squares may sum to {_BIN_CORRELATION**2:.2f} at most."
            )
        self.linear_corr, self.linear_risk = linear_corr, linear_risk
        self.nonlinear_corr = nonlinear_corr
        check_scalar(missing_features, "missing_features", Real, min_val=0, max_val=1)
        self.missing_features = missing_features
        self.missing_eras = n_eras // 4 if missing_eras is None else missing_eras
        check_scalar(self.missing_eras, "missing_eras", Integral, min_val=0)
        self.live = live

        self.seed = int(check_random_state(random_state).randint(2**31 - 1))
        rng = self._rng(0)
        self.feature_names = draw_feature_names(n_features, rng)
        self._group_codes = draw_group_codes(n_features, self.n_groups, rng)
        names = np.array(self.feature_names, dtype=object)
        self.feature_groups: dict[str, list[str]] = {
            group: names[self._group_codes == code].tolist()
            for code, group in enumerate(list(GROUP_SIZES)[: self.n_groups])
        }
        self._draw_loadings(rng)
        self._draw_first_eras(rng)
        self._draw_nonlinear_terms(rng)
        self._draw_factor_returns()
        self._id_keys = self._rng(3).integers(2**_ID_BITS, size=3, dtype=np.uint64)

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def _draw_loadings(self, rng: np.random.Generator) -> None:
        """Loadings of every feature on common and group factors, the same in all eras."""
        p = self.n_features
        common_share = rng.uniform(0.02, 0.12, p)
        group_share = rng.uniform(0.35, 0.75, p)
        common = rng.standard_normal((p, _COMMON_FACTORS))
        common *= np.sqrt(common_share / np.square(common).sum(axis=1))[:, None]
        own = 0.6 * rng.standard_normal((p, _FACTORS_PER_GROUP))
        own[:, 0] = 1.0 + 0.3 * np.abs(own[:, 0])  # all members load on the group's first factor
        own *= np.sqrt(group_share / np.square(own).sum(axis=1))[:, None]
        loadings = np.zeros((p, _COMMON_FACTORS + _FACTORS_PER_GROUP * self.n_groups))
        loadings[:, :_COMMON_FACTORS] = common
        columns = _COMMON_FACTORS + _FACTORS_PER_GROUP * self._group_codes[:, None]
        np.put_along_axis(loadings, columns + np.arange(_FACTORS_PER_GROUP), own, axis=1)
        self._loadings = loadings.astype(np.float32)
        self._idiosyncratic = np.sqrt(1.0 - common_share - group_share).astype(np.float32)
        # One linear direction per group: its members, weighted by their main loading.
        members = self._group_codes == np.arange(self.n_groups)[:, None]
        self._directions = np.where(members, own[:, 0], 0.0).astype(np.float32)

    def _draw_first_eras(self, rng: np.random.Generator) -> None:
        """First era of every feature; before it the feature is missing, that is all 2."""
        n_late = round(self.missing_features * self.n_features) if self.missing_eras else 0
        late = rng.choice(self.n_features, size=n_late, replace=False)
        self._first_eras = np.zeros(self.n_features, dtype=int)
        self._first_eras[late] = rng.integers(1, max(self.missing_eras, 1) + 1, size=n_late)

    def _draw_nonlinear_terms(self, rng: np.random.Generator) -> None:
        """Features that act through a square, and pairs that act through their product.

        Squares and products of centred, symmetric features are uncorrelated with every feature,
        so no linear model and no neutralization sees this part.
        """
        candidates = rng.permutation(np.flatnonzero(self._first_eras == 0))
        if not len(candidates):
            candidates = rng.permutation(self.n_features)
        n_squares = int(np.clip(len(candidates) // 5, 1, 4))
        n_pairs = int(np.clip((len(candidates) - n_squares) // 2, 0, 6))
        self._squares = candidates[:n_squares]
        pairs = candidates[n_squares : n_squares + 2 * n_pairs]
        self._pairs = pairs.reshape(2, n_pairs)
        self._term_signs = rng.choice([-1.0, 1.0], size=n_squares + n_pairs)

    def _draw_factor_returns(self) -> None:
        """Return of every direction in every era: a small mean and a large, overlapping risk."""
        rng = self._rng(1)
        mean = rng.standard_normal(self.n_groups)
        norm_mean = np.linalg.norm(mean)
        self._mean_direction = mean / norm_mean
        weeks = rng.standard_normal((self.n_eras + _WEEKS_PER_TARGET, self.n_groups))
        cumulated = np.vstack([np.zeros(self.n_groups), np.cumsum(weeks, axis=0)])
        overlapping = cumulated[_WEEKS_PER_TARGET:] - cumulated[:-_WEEKS_PER_TARGET]
        overlapping /= np.sqrt(_WEEKS_PER_TARGET)
        self.factor_returns = self.linear_corr * self._mean_direction + (
            self.linear_risk * overlapping
        )

    @cached_property
    def _example_weight(self) -> float:
        """Weight of the linear part that gives the example predictions their exposure."""
        linear = self._mean_direction @ self._standardized_directions
        covariance = self._loadings @ (self._loadings.T @ linear)
        covariance += np.square(self._idiosyncratic) * linear
        exposure = np.abs(covariance).max() / np.sqrt(linear @ covariance)
        return float(min(_EXAMPLE_EXPOSURE / exposure, 0.9))

    @cached_property
    def _standardized_directions(self) -> np.ndarray:
        common = self._directions @ self._loadings
        variance = np.square(common).sum(axis=1)
        variance += np.square(self._directions) @ np.square(self._idiosyncratic)
        return np.asarray(self._directions / np.sqrt(variance)[:, None])

    @cached_property
    def feature_ranking(self) -> np.ndarray:
        """Feature numbers by use: first those of the non-linear part, then by main loading."""
        loading = self._directions.sum(axis=0)
        loading[np.r_[self._squares, self._pairs.ravel()]] += 10.0
        return np.argsort(-loading, kind="stable")

    @property
    def n_train_eras(self) -> int:
        return self.n_eras - self.n_validation_eras

    @property
    def n_tables(self) -> int:
        """Number of eras with the live one."""
        return self.n_eras + bool(self.live)

    def era(self, number: int) -> Era:
        """Era by number from 0; number ``n_eras`` is the live one."""
        is_live = number == self.n_eras
        rng = self._rng(2, number)
        features = self._draw_features(number, rng)
        linear_terms, nonlinear = self._planted_parts(features)
        linear = self.factor_returns[number] @ linear_terms
        signal = (linear + self.nonlinear_corr * nonlinear) / _BIN_CORRELATION
        noise = np.sqrt(max(0.0, 1.0 - np.var(signal)))
        own, other = rng.standard_normal((2, self.n_stocks))
        target = bin_by_shares(signal + noise * own)
        target_60 = bin_by_shares(signal + noise * (0.6 * own + 0.8 * other))
        target_60[rng.random(self.n_stocks) < _MISSING_60] = np.nan
        if is_live:
            target[:] = target_60[:] = np.nan
        example, meta_model = self._draw_models(linear_terms, nonlinear, rng)
        data_type = "train" if number < self.n_train_eras else "validation"
        return Era(
            label=LIVE_ERA if is_live else f"{number + 1:04d}",
            data_type="live" if is_live else data_type,
            ids=self._ids(number),
            features=features,
            target=target,
            target_60=target_60,
            example_predictions=example,
            meta_model=meta_model,
            linear_part=linear,
            nonlinear_part=self.nonlinear_corr * nonlinear,
        )

    def auxiliary(
        self, number: int, era: Era
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Further targets of an era, and benchmark models, by name."""
        rng = self._rng(4, number)
        # The main target is known for all rows, as in the real files.
        target_60 = np.where(np.isnan(era.target_60), era.target, era.target_60)
        targets = {"target_ender_20": era.target, "target_ender_60": target_60}
        for name in AUXILIARY_TARGETS:
            for days, main in ((20, era.target), (60, era.target_60)):
                noise = rng.standard_normal(self.n_stocks)
                known = ~np.isnan(main)
                target = np.full(self.n_stocks, np.nan, dtype=np.float32)
                if known.any():
                    blend = 0.6 * standardize(main[known].astype(float)) + 0.8 * noise[known]
                    target[known] = bin_by_shares(blend)
                targets[f"target_{name}_{days}"] = target
        models = {}
        for name in BENCHMARK_MODELS:
            noise = rng.standard_normal(self.n_stocks)
            models[name] = uniform_ranks(0.6 * standardize(era.example_predictions) + 0.8 * noise)
        return targets, models

    def _draw_features(self, number: int, rng: np.random.Generator) -> np.ndarray:
        n_factors = self._loadings.shape[1]
        factors = rng.standard_normal((n_factors, self.n_stocks), dtype=np.float32)
        values = rng.standard_normal((self.n_features, self.n_stocks), dtype=np.float32)
        values *= self._idiosyncratic[:, None]
        values += self._loadings @ factors
        fifths = rank_into_fifths(values)
        fifths[self._first_eras > number] = 2
        return fifths

    def _planted_parts(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit-variance linear directions (n_groups, n) and non-linear part (n,)."""
        linear = self._directions @ (features - np.float32(2.0))
        squares = np.square(features[self._squares] - 2.0)
        products = (features[self._pairs[0]] - 2.0) * (features[self._pairs[1]] - 2.0)
        terms = standardize(np.vstack([squares, products]))
        return standardize(linear.astype(float)), standardize(self._term_signs @ terms)

    def _draw_models(
        self, linear_terms: np.ndarray, nonlinear: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Example predictions and meta model, as ranks in (0, 1)."""
        linear = self._mean_direction @ linear_terms
        noise, other_noise = rng.standard_normal((2, self.n_stocks))
        weight = self._example_weight
        example = weight * linear + np.sqrt(1 - weight**2) * (0.6 * nonlinear + 0.8 * noise)
        others = 0.2 * linear + 0.7 * nonlinear + 0.68 * other_noise
        meta_model = 0.4 * standardize(example) + 0.6 * standardize(others)
        return uniform_ranks(example), uniform_ranks(meta_model)

    def _ids(self, number: int) -> list[str]:
        """Ids that cannot collide: a bijection of 60-bit integers applied to the row number."""
        mask = np.uint64(2**_ID_BITS - 1)
        first = np.uint64(number * self.n_stocks)
        codes = np.arange(self.n_stocks, dtype=np.uint64) + first
        for key in self._id_keys:
            codes = (codes * np.uint64(0x9E3779B97F4A7C15) + key) & mask  # odd: invertible
            codes ^= codes >> np.uint64(29)
        return [f"n{code:015x}" for code in codes.tolist()]


def rank_into_fifths(values: np.ndarray) -> np.ndarray:
    """Bin every row of a (n_features, n_stocks) array into 0..4, n/5 stocks each.

    Thresholds from one sort per row; ties across a threshold, rare in float32 but sure to come
    in 400 million values, are broken by position.
    """
    n = values.shape[1]
    starts = [-(-k * n // 5) for k in range(1, 5)]
    ordered = np.sort(values, axis=1)
    fifths = np.zeros(values.shape, dtype=np.int8)
    tied = np.zeros(len(values), dtype=bool)
    for start in starts:
        fifths += values >= ordered[:, start, None]
        tied |= ordered[:, start] == ordered[:, start - 1]
    for row in np.flatnonzero(tied):
        order = np.argsort(values[row], kind="stable")
        fifths[row, order] = np.searchsorted(starts, np.arange(n), side="right")
    return fifths


def bin_by_shares(score: np.ndarray) -> np.ndarray:
    """Target values 0, .25, .5, .75, 1 (float32) with shares 5/20/50/20/5 % by rank."""
    n = len(score)
    starts = np.rint(np.cumsum(TARGET_SHARES)[:-1] * n).astype(int)
    target = np.empty(n, dtype=np.float32)
    target[np.argsort(score, kind="stable")] = (
        np.searchsorted(starts, np.arange(n), side="right") / 4
    )
    return target


def uniform_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks mapped to (0, 1): (rank - 0.5) / n."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = (np.arange(len(values)) + 0.5) / len(values)
    return ranks


def standardize(values: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance along the last axis; constant rows become zero."""
    centred = values - values.mean(axis=-1, keepdims=True)
    scale = centred.std(axis=-1, keepdims=True)
    return np.asarray(centred / np.where(scale > 0.0, scale, 1.0))
