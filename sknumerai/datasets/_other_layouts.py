"""Layouts of the files of Numerai Crypto and Numerai Signals.

Stocks keep their name from date to date there, features are floats, and dates take the place of
eras.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from sknumerai.datasets._generator import Era, TournamentGenerator, bin_by_shares, standardize
from sknumerai.datasets._layouts import Layout
from sknumerai.datasets._recent import recent_era

FIRST_DAY_OF_CRYPTO = dt.date(2020, 1, 1)
FIRST_FRIDAY_OF_SIGNALS = dt.date(2022, 1, 7)
FIRST_FIGI = dt.date(2022, 9, 2)  # earlier rows have no composite_figi
COUNTRIES = ("US", "JP", "KR", "GB", "DE", "CN")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class DatedLayout(Layout):
    """What both share: the same stocks on every date, and features in quarters from 0 to 1."""

    def __init__(self, generator: TournamentGenerator):
        super().__init__(generator)
        self._symbols = pd.Index(tickers(generator.n_stocks), name="symbol")

    def documents(self) -> dict[str, str]:
        return {}

    def _features(self, era: Era, index: pd.Index) -> pd.DataFrame:
        names = self.generator.feature_names
        return pd.DataFrame(era.features.T / np.float32(4), index=index, columns=names)


class CryptoLayout(DatedLayout):
    """Files of crypto/v2.0: train, which holds all dates, and live, both indexed by symbol."""

    def parts(self) -> dict[str, range]:
        n_eras = self.generator.n_eras
        return {"train": range(n_eras), "live": range(n_eras, n_eras + 1)}

    def files(self, part: str) -> list[str]:
        return [part]

    def tables(self, number: int, part: str) -> dict[str, pd.DataFrame]:
        era = self.generator.era(number)
        date = str(FIRST_DAY_OF_CRYPTO + dt.timedelta(days=number))
        head = pd.DataFrame({"date": date}, index=self._symbols)
        frame = pd.concat([head, self._features(era, self._symbols)], axis=1)
        if part == "train":
            targets, _ = self.generator.auxiliary(number, era)
            for days in (20, 60):
                frame[f"target_binned_return_{days}"] = targets[f"target_ender_{days}"]
        return {part: frame}


class SignalsLayout(DatedLayout):
    """Files of signals/v3.0: rows by date and ticker, and the neutralizer of the scores."""

    def __init__(self, generator: TournamentGenerator):
        super().__init__(generator)
        self._countries = np.resize(np.array(COUNTRIES), generator.n_stocks)
        names = [
            f"{name} {country}"
            for name, country in zip(self._symbols, self._countries, strict=True)
        ]
        self._index = pd.RangeIndex(generator.n_stocks)
        self._tickers = pd.Series(names, dtype=object)
        self._figis = [f"BBG{number:09d}" for number in range(generator.n_stocks)]

    def files(self, part: str) -> list[str]:
        kinds = ("", "_example_preds", "_neutralizer") if part == "validation" else ("",)
        return [f"{part}{kind}" for kind in kinds]

    def tables(self, number: int, part: str) -> dict[str, pd.DataFrame]:
        era = self.generator.era(number)
        recent = recent_era(self.generator, number, era)
        date = FIRST_FRIDAY_OF_SIGNALS + dt.timedelta(weeks=number)
        key = {"date": str(date), "numerai_ticker": self._tickers}
        figi = self._figis if date >= FIRST_FIGI else None
        head = pd.DataFrame(key | {"data_type": recent.data_type}, index=self._index)
        head.insert(1, "composite_figi", pd.Series(figi, index=self._index, dtype="string"))
        head["feature_country"] = self._countries
        frame = pd.concat([head, self._features(era, self._index)], axis=1)
        neutralizer = self._neutralizer(era)
        for days in (20, 60):
            target = recent.targets[f"target_ender_{days}"]
            frame[f"target_jupiter_{days}"] = _neutral_target(target, neutralizer)
        tables = {part: frame}
        if part == "validation":
            signal = {"signal": era.example_predictions}
            columns = {f"neutralizer_{i}": column for i, column in enumerate(neutralizer.T)}
            tables["validation_example_preds"] = pd.DataFrame(key | signal, index=self._index)
            tables["validation_neutralizer"] = pd.DataFrame(key | columns, index=self._index)
        return tables

    def _neutralizer(self, era: Era) -> np.ndarray:
        """Mean feature of every group and one indicator per country but the first."""
        names, groups = self.generator.feature_names, self.generator.feature_groups
        place = {name: i for i, name in enumerate(names)}
        means = [era.features[[place[name] for name in group]].mean(0) for group in groups.values()]
        countries = [self._countries == country for country in COUNTRIES[1:]]
        return np.column_stack([*means, *countries])


def _neutral_target(target: np.ndarray, neutralizer: np.ndarray) -> np.ndarray:
    """What the neutralizer does not explain of a target, in its five values again."""
    neutral = np.full_like(target, np.nan)
    known = ~np.isnan(target)
    if known.any():
        exposures = np.column_stack([np.ones(known.sum()), neutralizer[known]])
        score = standardize(target[known].astype(float))
        score -= exposures @ np.linalg.lstsq(exposures, score, rcond=None)[0]
        neutral[known] = bin_by_shares(score)
    return neutral


def tickers(n_stocks: int) -> list[str]:
    """Different names of letters, all of one length."""
    width = 3
    while len(LETTERS) ** width < n_stocks:
        width += 1
    return [
        "".join(LETTERS[number // len(LETTERS) ** place % len(LETTERS)] for place in range(width))
        for number in range(n_stocks)
    ]
