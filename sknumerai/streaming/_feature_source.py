"""Files of features: which columns, and which of their rows belong to which predictions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from sknumerai._columns import FEATURE_PREFIX
from sknumerai._eras import Rows, name_era
from sknumerai._typing import Array, EraLabel, Source
from sknumerai.datasets._feature_sets import get_feature_set
from sknumerai.streaming._ids import Ids
from sknumerai.streaming._paths import reading
from sknumerai.streaming._quoting import list_some
from sknumerai.streaming._row_source import Reading, RowSource


@dataclass(frozen=True)
class FeatureChoice:
    """How callers name the feature columns.

    Attributes
    ----------
    feature_set : str or None
        Set or group of features.json.
    features_json : path or None
        None means the one beside the features.
    feature_columns : str, sequence of str or None
        A regular expression or names; None means names that start with "feature".
    """

    feature_set: str | None = None
    features_json: str | PathLike[str] | None = None
    feature_columns: str | Sequence[str] | None = None

    def names(self, source: RowSource) -> list[str]:
        """The feature columns of a source.

        Raises
        ------
        ValueError
            If there are none, one is not there, or does not hold numbers.
        """
        available, label = source.columns, source.label
        if self.feature_set is not None and self.feature_columns is not None:
            raise ValueError("feature_set= and feature_columns= exclude each other; pass one.")
        if self.features_json is not None and self.feature_set is None:
            raise ValueError("features_json= is of use with feature_set= only; pass that, too.")
        if self.feature_set is not None:
            folder = source.rows.parts.paths[0].parent
            features_json = Path(self.features_json or folder / "features.json")
            with reading(f"feature_set={self.feature_set!r}"):
                names = get_feature_set(features_json, self.feature_set)
            lost = sorted(set(names) - set(available))
            if lost:
                raise ValueError(
                    f"feature_set={self.feature_set!r}: {len(lost)} of its {len(names)} features "
                    f"are not in {label}, first {lost[0]!r}; name another set, or another "
                    "features_json=."
                )
        elif self.feature_columns is None or isinstance(self.feature_columns, str):
            names = _matching(available, self.feature_columns)
            if not names:
                pattern = self.feature_columns
                that = "" if pattern is None else f" that matches {pattern!r}"
                raise ValueError(
                    f"{label} has no feature column{that} (columns: {list_some(available)}); name "
                    "them with feature_columns=, a regular expression."
                )
        else:
            names = _listed(available, self.feature_columns, label)
        source.check_numeric(names, "choose others with feature_columns= or feature_set=")
        return names


def _matching(names: list[str], pattern: str | None) -> list[str]:
    if pattern is None:
        return [name for name in names if name.startswith(FEATURE_PREFIX)]
    try:
        return [name for name in names if re.search(pattern, name)]
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(
            f"feature_columns={pattern!r} is no regular expression ({error}); write one such as "
            "'^feature_'."
        ) from error


def _listed(available: list[str], wanted: Iterable[str], label: str) -> list[str]:
    names = list(wanted)
    lost = sorted(set(map(str, names)) - set(available))
    if lost or len(set(names)) < len(names) or not names:
        problem = f"{lost[0]!r}, which {label} does not hold" if lost else "a column twice"
        raise ValueError(
            f"feature_columns= names {problem if names else 'no column'}; name columns that are "
            "there, once each."
        )
    return names


class FeatureSource(RowSource):
    """Features of parquet files, read era by era.

    Parameters
    ----------
    source : str, path-like or sequence of these
    choice : FeatureChoice
    era_column : str or None
        None takes all rows as one era.
    eras : str
        See `RowSource`.

    Attributes
    ----------
    names : list of str
        Feature columns.
    """

    def __init__(
        self,
        source: Source,
        choice: FeatureChoice,
        era_column: str | None,
        *,
        eras: str = "required",
    ):
        super().__init__(source, "features", era_column, eras=eras)
        self.names = choice.names(self)

    def match(self, ids: Ids, source: str) -> Matched:
        """Find the rows of predictions among those of the features.

        Parameters
        ----------
        ids : Ids
            Of the predictions.
        source : str
            What messages call them.

        Raises
        ------
        ValueError
            If ids are repeated or not in the file, or an era is predicted in part.
        """
        own, groups = self.ids, self.groups
        found = ids.locate(own)  # among the predictions, or -1
        there = np.zeros(len(ids), dtype=bool)
        there[found[found >= 0]] = True
        if not there.all():
            lost = np.flatnonzero(~there)
            raise ValueError(
                f"{len(lost)} of {len(ids)} ids of {source} are not in {self.label}, first "
                f"{ids.some(lost)}; pass the features of these rows."
            )
        predicted = [(found[rows] >= 0) for rows in groups.rows]
        chosen = [i for i, rows in enumerate(predicted) if rows.any()]
        partial = [i for i in chosen if not predicted[i].all()]
        if partial:
            lacking = ~predicted[partial[0]]
            numbers = np.arange(len(own))[groups.rows[partial[0]]]
            raise ValueError(
                f"{len(partial)} of {len(chosen)} eras are predicted in part: {source} lacks "
                f"{int(lacking.sum())} of the {len(lacking)} rows of "
                f"{name_era(groups.labels[partial[0]])}, first {own[numbers[lacking][0]]!r}; "
                "predict all rows of an era or none."
            )
        del self.ids
        groups = groups.take(chosen)
        return Matched(groups.labels, groups.rows, [found[rows] for rows in groups.rows])

    def features(self, matched: Matched) -> Reading:
        """What reads the features of the eras that are predicted."""
        return self.reading(self.names, matched.rows, matched.labels)


@dataclass(frozen=True)
class Matched:
    """The eras that are predicted, in the order of the features.

    Attributes
    ----------
    labels : list of length n_eras
    rows : list of slice or ndarray
        The rows of each era among the features.
    predictions : list of ndarray
        For each of these rows, its row among the predictions.
    """

    labels: Sequence[EraLabel]
    rows: Sequence[Rows]
    predictions: Sequence[Array]
