"""Scores of blends by their weights, and what they say of every member."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._era_loop import map_eras
from sknumerai._eras import group_tables
from sknumerai._frames import Table, read_predictions
from sknumerai._kernels.correlation import correlation_with
from sknumerai._typing import Array, ArrayLike, Eras
from sknumerai._warnings import warn_of_nan
from sknumerai.ensemble._blending import standard_signals, weighted_blend
from sknumerai.metrics import get_era_scorer, make_era_scorer

Scorer = Callable[..., float]


def read_scorer(scoring: str | Callable[..., Any]) -> Any:
    """An era scorer: by name, as it is, or of a score function."""
    if isinstance(scoring, str):
        return get_era_scorer(scoring)
    if hasattr(scoring, "get_metadata_routing"):
        return scoring
    return make_era_scorer(scoring)


def score_values(
    scorer: Scorer, values: Array, y: ArrayLike, eras: Eras, metadata: Mapping[str, Any]
) -> float:
    """Score of predictions that are there already; NaN where one is NaN.

    Parameters
    ----------
    scorer : era scorer
    values : ndarray of shape (n_samples,)
    y, eras
        Of the same rows.
    metadata : mapping
        Of the scorer. There is no X that it could take the features from.
    """
    if np.isnan(values).any():
        return np.nan
    nothing = np.empty((len(values), 0))
    return float(scorer(_Predicted(values), nothing, y, eras=eras, **metadata))


class BlendScore:
    """Score of a blend as a function of its weights.

    Parameters
    ----------
    predictions : Table
        One column for each member.
    scorer, y, eras, metadata
        See `score_values`.

    Attributes
    ----------
    groups : EraGroups
        The eras of the rows.
    signals : Table
        The standard signals of the members, NaN in eras where one is constant.
    usable : ndarray of int
        The members that are nowhere constant.
    """

    def __init__(
        self,
        predictions: Table,
        *,
        scorer: Scorer,
        y: ArrayLike,
        eras: Eras,
        metadata: Mapping[str, Any],
    ):
        self.groups = groups = group_tables(eras, predictions)
        self.scorer, self.y, self.eras, self.metadata = scorer, y, eras, metadata
        values = read_predictions(predictions, groups)
        blocks = map_eras(standard_signals, groups, values)
        warn_of_nan(groups.labels, blocks)
        signals = groups.assemble(blocks)
        self.signals = Table(signals, "predictions", allow_nan=True)
        self.usable = np.flatnonzero(~np.isnan(signals).any(axis=0))

    @property
    def n_members(self) -> int:
        return self.signals.n_columns

    def blend(self, weights: Array) -> Array:
        """The blend of some weights, shape (n_samples,)."""
        kernel = partial(weighted_blend, weights=weights)
        blended: Array = self.groups.assemble(map_eras(kernel, self.groups, self.signals))[:, 0]
        return blended

    def __call__(self, weights: Array) -> float:
        return score_values(self.scorer, self.blend(weights), self.y, self.eras, self.metadata)

    def table(self, weights: Array, names: Iterable[Any]) -> pd.DataFrame:
        """What every member scores, weighs, shares with the rest and adds to the blend.

        Parameters
        ----------
        weights : ndarray of shape (n_members,)
        names : iterable of length n_members

        Returns
        -------
        members : DataFrame of shape (n_members, 4)
            Columns score, weight, correlation and cost; see `EraEnsemble.members_`.
        """
        whole = self(weights)
        rows = []
        for j, weight in enumerate(weights):
            alone, rest = np.zeros(self.n_members), weights.copy()
            alone[j], rest[j] = 1.0, 0.0
            member, others = self.blend(alone), self.blend(rest)
            cost = whole - self._score(others) if weight else 0.0
            rows.append((self._score(member), weight, self._correlation(member, others), cost))
        index = pd.Index(list(names), name="member")
        return pd.DataFrame(rows, index, ["score", "weight", "correlation", "cost"], dtype=float)

    def _score(self, blended: Array) -> float:
        return score_values(self.scorer, blended, self.y, self.eras, self.metadata)

    def _correlation(self, member: Array, others: Array) -> float:
        """Mean over eras of the Pearson correlation of two blends; NaN where one is."""
        if np.isnan(member).any() or np.isnan(others).any():
            return np.nan
        kernel = partial(correlation_with, method="pearson")
        tables = Table(member, "member"), Table(others, "others")
        return float(np.mean(map_eras(kernel, self.groups, *tables)))


class _Predicted:
    """Predictions in the place of the estimator that a scorer wants."""

    def __init__(self, values: Array):
        self.values = values

    def fit(self, X: Any, y: Any) -> _Predicted:
        return self

    def predict(self, X: Any) -> Array:
        return self.values
