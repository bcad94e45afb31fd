"""From scores and exposures of settings per era to one row each, and to an honest choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._kernels.aggregate import AGGREGATES
from sknumerai._typing import Array, Splitter

UNCHANGED = "none"
SELECTED = "selected"  # the row of the choice
DECIMALS = 12  # of scores that are compared: rounding errors choose nothing


@dataclass(frozen=True)
class Settings:
    """Proportions of neutralization, of which the first is 0, and limits of clipping."""

    proportions: list[float]
    limits: list[float]

    @classmethod
    def read(cls, proportions: Any, limits: Any) -> Settings:
        """Insist on numbers in [0, 1], each named once."""
        shares = _read_numbers(proportions, "proportions")
        return cls([0.0, *(p for p in shares if p != 0.0)], _read_numbers(limits, "limits"))

    @property
    def names(self) -> list[str]:
        changed = [f"proportion {p}" for p in self.proportions[1:]]
        return [UNCHANGED, *changed, *(f"limit {limit}" for limit in self.limits)]


def _read_numbers(values: Any, name: str) -> list[float]:
    numbers = [float(value) if isinstance(value, Real) else np.nan for value in values]
    if not all(0.0 <= number <= 1.0 for number in numbers):
        raise ValueError(f"{name} must hold numbers in [0, 1]; found {values!r}.")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name}={values!r} names a number twice; name each once.")
    return numbers


@dataclass(frozen=True)
class EraResults:
    """What settings give in each era, each of shape (n_eras, n_settings).

    Attributes
    ----------
    scores : ndarray
    max_exposures : ndarray
        Largest absolute exposures.
    correlations : ndarray
        With the original prediction.
    """

    scores: Array
    max_exposures: Array
    correlations: Array

    def take(self, eras: Array, settings: Array | None = None) -> EraResults:
        """Some eras; with ``settings``, that setting of each as the only column."""
        if settings is None:
            parts = (part[eras] for part in self._parts())
        else:
            parts = (part[eras, settings][:, None] for part in self._parts())
        return EraResults(*parts)

    def _parts(self) -> tuple[Array, Array, Array]:
        return self.scores, self.max_exposures, self.correlations

    def aggregate(self, how: str) -> Array:
        """Aggregated score of every setting; NaN where an era has none."""
        return np.array([AGGREGATES[how](column) for column in self.scores.T])

    def summary(self, settings: Sequence[str]) -> pd.DataFrame:
        """Statistics over eras, one row for each setting."""
        columns = {how: self.aggregate(how) for how in ("mean", "std", "sharpe")}
        columns["mean_exposure"] = self.max_exposures.mean(axis=0)
        columns["worst_exposure"] = self.max_exposures.max(axis=0)
        columns["correlation"] = self.correlations.mean(axis=0)
        return pd.DataFrame(columns, index=pd.Index(settings, name="setting"))


def make_frontier(
    results: EraResults,
    settings: Settings,
    labels: Sequence[Any],
    cv: Splitter | None,
    aggregate: str,
    target_name: Any,
) -> pd.DataFrame:
    """The table of `tune_exposure`; its attribute "scoring" is still to be set.

    The parameters are those of `select_settings`, where there is a ``cv``.
    """
    splits: list[dict[str, Any]] = []
    frontier, n_eras = results.summary(settings.names), len(labels)
    if cv is not None:
        frontier, splits, n_eras = select_settings(
            results, settings.names, labels, cv, aggregate, target_name
        )
    n_proportions = len(settings.proportions)
    for column, numbers, names in (
        ("limit", settings.limits, settings.names[n_proportions:]),
        ("proportion", settings.proportions, settings.names[:n_proportions]),
    ):
        frontier.insert(0, column, pd.Series(numbers, names, dtype=np.float64))
    frontier.attrs = {"n_eras": n_eras, "splits": splits}
    return frontier


def make_splits(cv: Splitter, labels: Sequence[Any], target_name: Any) -> list[Any]:
    """Pairs of training and test eras, by position."""
    groups = pd.Categorical(labels, categories=labels, ordered=True)
    rows, y = np.zeros((len(labels), 1)), pd.Series(np.zeros(len(labels)), name=target_name)
    splits = list(cv.split(rows, y, groups))
    if not splits:
        raise ValueError(f"cv={cv!r} makes no splits; ask for at least one.")
    return splits


def select_settings(
    results: EraResults,
    settings: Sequence[str],
    labels: Sequence[Any],
    cv: Splitter,
    aggregate: str,
    target_name: Any,
) -> tuple[pd.DataFrame, list[dict[str, Any]], int]:
    """Choose a setting on each training part, and score it on the test part.

    Parameters
    ----------
    results : EraResults
        In chronological order.
    settings : sequence of str
        Names of the columns.
    labels : sequence
        Era labels.
    cv : splitter
        Gets one row per era, and the label as its group.
    aggregate : str
        What the choice maximizes.
    target_name : label or None
        By which the splitter may know the horizon.

    Returns
    -------
    table : DataFrame
        A row for each setting over the eras that are tested, and one of what was chosen, where an
        era counts once for each split that tests it.
    splits : list of dict
        One for each split.
    n_eras : int
        Eras that are tested.

    Raises
    ------
    ValueError
        If there is no split, or no setting has a score on a training part.
    """
    splits: list[dict[str, Any]] = []
    tested, chosen = [], []
    for train, test in make_splits(cv, labels, target_name):
        on_train = np.round(results.take(train).aggregate(aggregate), DECIMALS)
        on_test = results.take(test).aggregate(aggregate)
        if np.isnan(on_train).all():
            raise ValueError(
                f"No setting has a {aggregate} score over the {len(train)} training eras from "
                f"{labels[min(train)]} to {labels[max(train)]}; pass a splitter that trains on "
                "more eras, or leave out eras in which the prediction is constant."
            )
        best = int(np.nanargmax(on_train))
        tested.append(test)
        chosen.append(np.full(len(test), best))
        splits.append(
            {
                "n_train_eras": len(train),
                "n_test_eras": len(test),
                "first_test_era": labels[min(test)],
                "last_test_era": labels[max(test)],
                SELECTED: settings[best],
                "train_score": float(on_train[best]),
                "test_score": float(on_test[best]),
                "none_test_score": float(on_test[0]),
            }
        )
    everything = np.concatenate(tested)
    eras_tested = np.unique(everything)
    table = results.take(eras_tested).summary(settings)
    honest = results.take(everything, np.concatenate(chosen)).summary([SELECTED])
    times = pd.Series([split[SELECTED] for split in splits]).value_counts()
    table["n_selected"] = times.reindex(list(settings), fill_value=0).to_numpy()
    honest["n_selected"] = len(splits)
    return pd.concat([table, honest]), splits, len(eras_tested)
