"""The users of a synthetic market: predictions of known skill, exposure and overlap."""

from __future__ import annotations

from itertools import product
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_scalar

from sknumerai._typing import Array
from sknumerai.datasets._generator import standardize, uniform_ranks
from sknumerai.datasets._market import MarketEra, stream, unit_rows

EXAMPLE_SKILL = 0.4  # correlation of the example predictions with alpha
EXAMPLE_EXPOSURE = 0.5  # and with the example's own combination of the features
UNSTAKED_SHARE = 0.1
_STAKE_TAIL = 1.16  # Pareto index: a fifth of the staked users holds about four fifths
_BLOCK = 256  # users generated at a time


class UserGenerator:
    """Validated parameters of a market's users, and their predictions of one era.

    A user's score is the sum of four parts: standardized alpha, the example's score, a feature
    bet (a linear combination of the features, uncorrelated with the example's) and noise. The
    weights are such that the planted correlations come out.

    Parameters
    ----------
    n_users, user_skill, user_exposure, user_overlap
        See :func:`sknumerai.datasets.make_market`.
    mean_direction : ndarray of shape (n_themes,)
        The combination of themes that pays on average.
    seed : int
    """

    def __init__(
        self,
        n_users: int,
        *,
        user_skill: tuple[float, float],
        user_exposure: tuple[float, float],
        user_overlap: tuple[float, float],
        mean_direction: Array,
        seed: int,
    ):
        check_scalar(n_users, "n_users", Integral, min_val=1)
        ranges = {
            "user_skill": check_range(user_skill, "user_skill"),
            "user_exposure": check_range(user_exposure, "user_exposure"),
            "user_overlap": check_range(user_overlap, "user_overlap"),
        }
        # A convex function of the three: the largest value is at a corner.
        explained = max(float(explained_share(*corner)) for corner in product(*ranges.values()))
        if explained > 1.0 + 1e-9:
            given = ", ".join(f"{name}={value}" for name, value in ranges.items())
            raise ValueError(
                f"No prediction has all the correlations that {given} allow: together they "
                f"explain up to {explained:.2f} of its variance; bring the limits nearer to 0 "
                "until it is 1 or less."
            )
        self.n_users, self.seed = n_users, seed
        rng = stream(seed, 1)
        # The example and the users bet on what pays on average, each with a view of its own. The
        # example comes first: it must not depend on the number of users.
        self._example_bet = mean_direction + unit_rows(rng.standard_normal(len(mean_direction)))
        self.skill, self.exposure, self.overlap = (
            rng.uniform(*limits, n_users) for limits in ranges.values()
        )
        self.stakes = 1.0 + rng.pareto(_STAKE_TAIL, n_users)
        self.stakes[rng.permutation(n_users)[: round(UNSTAKED_SHARE * n_users)]] = 0.0
        own_views = unit_rows(rng.standard_normal((n_users, len(mean_direction))))
        self._bets = mean_direction + own_views
        self._alpha_weight, self._example_weight = solve_weights(self.skill, self.overlap)
        explained_shares = explained_share(self.skill, self.exposure, self.overlap)
        self._noise_weight = np.sqrt(np.maximum(1.0 - explained_shares, 0.0))

    def predict(self, number: int, era: MarketEra, out: Array) -> tuple[Array, Array]:
        """Write the users' predictions of one era.

        Parameters
        ----------
        number : int
            Number of the era.
        era : MarketEra
        out : ndarray of shape (n_users, n_stocks), float32
            Receives (rank - 1/2) / n_stocks.

        Returns
        -------
        example_predictions, meta_model : ndarray of shape (n_stocks,), float64
            In (0, 1).
        """
        rng = stream(self.seed, 3, number)
        n_stocks = len(era.returns)
        alpha = standardize(era.alpha)
        example = EXAMPLE_SKILL * alpha
        example += EXAMPLE_EXPOSURE * standardize(self._example_bet @ era.themes)
        example_noise = np.sqrt(1.0 - EXAMPLE_SKILL**2 - EXAMPLE_EXPOSURE**2)
        example += example_noise * rng.standard_normal(n_stocks)

        parts = np.vstack([alpha, example, era.themes]).astype(np.float32)
        bets = self.exposure[:, None] * self._orthogonal_bets(era.themes)
        weights = np.column_stack([self._alpha_weight, self._example_weight, bets])
        weights = weights.astype(np.float32)
        noise_weight = self._noise_weight.astype(np.float32)[:, None]
        blended = np.zeros(n_stocks)
        quantiles = ((np.arange(n_stocks) + 0.5) / n_stocks).astype(np.float32)
        for start in range(0, self.n_users, _BLOCK):
            users = slice(start, min(start + _BLOCK, self.n_users))
            scores = rng.standard_normal((users.stop - start, n_stocks), dtype=np.float32)
            scores *= noise_weight[users]
            scores += weights[users] @ parts
            order = np.argsort(scores, axis=1, kind="stable")
            np.put_along_axis(out[users], order, quantiles[None], axis=1)
            blended += self.stakes[users] @ out[users]
        return uniform_ranks(example), uniform_ranks(blended)

    def _orthogonal_bets(self, themes: Array) -> Array:
        """Weights (n_users, n_themes) of bets of unit variance, uncorrelated with the example's."""
        gram = themes @ themes.T / themes.shape[1]
        example = self._example_bet
        bets = self._bets - np.outer(
            self._bets @ gram @ example / (example @ gram @ example), example
        )
        deviation = np.sqrt(np.maximum(np.sum(bets @ gram * bets, axis=1), 0.0))
        # A handful of stocks may leave no second direction; such a bet is left out.
        deviation[deviation < 1e-6] = np.inf
        return np.asarray(bets / deviation[:, None])


def solve_weights(skill: Array, overlap: Array) -> tuple[Array, Array]:
    """Weights of alpha and of the example that give a user's correlations with the two."""
    rest = 1.0 - EXAMPLE_SKILL**2
    return (skill - EXAMPLE_SKILL * overlap) / rest, (overlap - EXAMPLE_SKILL * skill) / rest


def explained_share(skill: Any, exposure: Any, overlap: Any) -> Array:
    """Share of a prediction's variance that is not the user's own noise."""
    alpha_weight, example_weight = solve_weights(skill, overlap)
    return np.asarray(alpha_weight * skill + example_weight * overlap + np.square(exposure))


def check_range(limits: Any, name: str) -> tuple[float, float]:
    """Return a pair (low, high) of correlations, or raise."""
    numbers = list(limits) if isinstance(limits, tuple | list) else []
    if len(numbers) != 2 or not all(isinstance(limit, Real) for limit in numbers):
        raise TypeError(
            f"{name} must be a pair of numbers (low, high); found {limits!r}. "
            "Pass the same number twice to give it to all users."
        )
    low, high = (float(limit) for limit in numbers)
    if not -1.0 <= low <= high <= 1.0:
        raise ValueError(f"{name} must satisfy -1 <= low <= high <= 1; found {limits!r}.")
    return low, high
