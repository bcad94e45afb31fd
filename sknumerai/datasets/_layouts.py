"""Layouts of the main tournament's files: which tables an era becomes, by data version."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from sknumerai.datasets._generator import AUXILIARY_TARGETS, Era, TournamentGenerator
from sknumerai.datasets._recent import recent_era

SMALLEST_SET = 12  # features that a model can be tried on


class Layout:
    """Files of data version v5.0, and what all layouts share.

    Parameters
    ----------
    generator : TournamentGenerator
    """

    kinds: tuple[str, ...] = ("", "_example_preds")

    def __init__(self, generator: TournamentGenerator):
        self.generator = generator

    def parts(self) -> dict[str, range]:
        """Era numbers by part, without the empty ones."""
        n_train, n_eras = self.generator.n_train_eras, self.generator.n_eras
        parts = {
            "train": range(n_train),
            "validation": range(n_train, n_eras),
            "live": range(n_eras, n_eras + 1),
        }
        return {part: eras for part, eras in parts.items() if len(eras)}

    def files(self, part: str) -> list[str]:
        """Names of the parquet files that hold a part."""
        return [f"{part}{kind}" for kind in self.kinds] + ["meta_model"] * (part == "validation")

    def tables(self, number: int, part: str) -> dict[str, pd.DataFrame]:
        """Rows of an era by file; a file that has none of them yet is left out."""
        era = self.generator.era(number)
        frame = self._rows(era, era.data_type, {"target": era.target, "target_60": era.target_60})
        tables = {part: frame, f"{part}_example_preds": self._example(era, frame)}
        if part == "validation":
            tables["meta_model"] = self._meta_model(era, frame)
        return tables

    def documents(self) -> dict[str, str]:
        """Content of the JSON files by name."""
        return {"features": json.dumps(self._features_json(), indent=2)}

    def _rows(self, era: Era, data_type: str, targets: dict[str, np.ndarray]) -> pd.DataFrame:
        index = pd.Index(era.ids, name="id")
        names = self.generator.feature_names
        head = pd.DataFrame({"era": era.label, "data_type": data_type}, index=index)
        body = pd.DataFrame(era.features.T, index=index, columns=names, copy=False)
        return pd.concat([head, body, pd.DataFrame(targets, index=index)], axis=1)

    def _example(self, era: Era, frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"prediction": era.example_predictions}, index=frame.index)

    def _meta_model(self, era: Era, frame: pd.DataFrame) -> pd.DataFrame:
        return frame[["era", "data_type"]].assign(numerai_meta_model=era.meta_model)

    def _features_json(self) -> dict[str, Any]:
        """As in the real one, "small" holds the most useful features."""
        names, ranked = self.generator.feature_names, self.generator.feature_ranking
        sizes = {"small": 42 / 2376, "medium": 705 / 2376}
        sets = {
            name: sorted(names[i] for i in ranked[: int(np.ceil(share * len(names)))])
            for name, share in sizes.items()
        }
        return {
            "feature_sets": sets | {"all": names} | self.generator.feature_groups,
            "targets": ["target_60", "target"],
        }


class RecentLayout(Layout):
    """Files of data version v5.3."""

    kinds = (*Layout.kinds, "_benchmark_models")

    def tables(self, number: int, part: str) -> dict[str, pd.DataFrame]:
        era = self.generator.era(number)
        recent = recent_era(self.generator, number, era)
        frame = self._rows(era, recent.data_type, recent.targets)
        models = pd.DataFrame({"era": era.label} | recent.benchmark_models, index=frame.index)
        tables = {
            part: frame,
            f"{part}_example_preds": self._example(era, frame),
            f"{part}_benchmark_models": models,
        }
        if recent.has_meta_model:
            tables["meta_model"] = self._meta_model(era, frame)
        return tables

    def _features_json(self) -> dict[str, Any]:
        """With sets that hold the most useful features of every group."""
        names, groups = self.generator.feature_names, self.generator.feature_groups
        rank = {names[number]: place for place, number in enumerate(self.generator.feature_ranking)}
        ranked = (sorted(group, key=rank.__getitem__) for group in groups.values())
        by_turns = [name for turn in zip_longest(*ranked) for name in turn if name is not None]
        small = max(len(names) * 42 // 2376, min(len(names), SMALLEST_SET))
        medium = max(len(names) * 780 // 2376, min(len(names), 2 * small))
        sets = {"small": sorted(by_turns[:small]), "medium": sorted(by_turns[:medium])}
        return {
            "feature_sets": sets | {"all": names} | groups,
            "targets": ["target", *target_names()],
        }


def target_names() -> list[str]:
    """Targets of version v5.3 beside the alias "target", in the order of the files."""
    return [f"target_{name}_{days}" for name in ("ender", *AUXILIARY_TARGETS) for days in (20, 60)]
