"""Evaluation sets, and which of them a library means: it hands over targets, and no names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from sknumerai._eras import group_eras
from sknumerai._frames import one_column
from sknumerai._rows import check_same_labels
from sknumerai._typing import Array
from sknumerai.boosting._era_score import EraScore, Evaluation
from sknumerai.exceptions import MissingErasError

WHOLE = "the evaluation set"


class EvaluationSet:
    """The rows of one evaluation set.

    The libraries hand over targets in single precision, LightGBM with 0 in place of NaN, and
    CatBoost a view of memory that is gone after the call. A set without targets keeps a copy
    of the first that it is given.

    Parameters
    ----------
    where : str
        What messages call it.
    score : EraScore
    eras : array-like of shape (n_samples,)
    targets : array-like of shape (n_samples,) or None
    tables : dict
        Further tables of the score.
    """

    def __init__(self, where: str, score: EraScore, eras: Any, targets: Any, tables: Any):
        self.where, self.score, self.eras = where, score, eras
        n_rows = _n_labels(eras, where)
        self.groups = group_eras(eras, n_rows)
        self.n_rows = self.groups.n_rows
        self.tables = score.read(tables, where)
        named = {"eras": eras, "y_true": targets, **tables}
        given = {name: table for name, table in named.items() if table is not None}
        for name, table in given.items():
            if len(table) != n_rows:
                raise ValueError(
                    f"{name} has {len(table)} rows and eras has {n_rows}, of {where}; pass the "
                    "same rows."
                )
        check_same_labels(**given)
        self.given = targets is not None
        self._targets: Array | None = None
        if targets is not None:
            self._targets = one_column(targets, "y_true", allow_nan=True).whole()[:, 0]
        self._handed: Array | None = None  # targets as the libraries hand them over
        self._evaluation: Evaluation | None = None

    def unseen(self) -> EvaluationSet:
        """The same set, which has seen no targets yet but those that were given."""
        fresh = copy(self)
        fresh._targets = self._targets if self.given else None
        fresh._handed = fresh._evaluation = None
        return fresh

    @property
    def has_targets(self) -> bool:
        """Whether its targets are known, be it from the library."""
        return self._targets is not None

    def remember(self, targets: Array) -> None:
        """Take targets that a library hands over for its own."""
        self._targets = targets.astype(np.float64)  # a copy

    def holds(self, targets: Array) -> bool:
        """Whether these are its targets, as far as a library tells NaN from 0."""
        if self._targets is None or len(targets) != self.n_rows:
            return False
        if self._handed is None:
            self._handed = _as_handed(self._targets)
        return np.array_equal(self._handed, _as_handed(targets))

    def has_targets_of(self, other: EvaluationSet) -> bool:
        """Whether a library hands over the same targets for the two sets."""
        assert other._targets is not None
        return self.holds(other._targets)

    def check_no_era_is_zero(self, targets: Array) -> None:
        """Check that there is no era that may have had no target before NaN became 0."""
        groups = self.groups
        labels = [
            label
            for label, rows in zip(groups.labels, groups.rows, strict=True)
            if not targets[rows].any()
        ]
        if labels:
            raise ValueError(
                f"All targets are 0 in {len(labels)} of {len(groups)} eras of {self.where}, first "
                f"in era {labels[0]}, as LightGBM makes of NaN; pass y_true=..., with NaN where "
                "there is no target, or leave these eras out."
            )

    def evaluate(self, predictions: Array) -> float:
        """The score of predictions of its rows."""
        if predictions.shape != (self.n_rows,):
            raise ValueError(
                f"y_pred has shape {predictions.shape} for the {self.n_rows} rows of "
                f"{self.where}; an era metric scores one prediction per row."
            )
        finite = np.isfinite(predictions)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(
                f"{self.n_rows - int(finite.sum())} of {self.n_rows} predictions of {self.where} "
                f"are not finite after a round, first at row {row}; lower the learning rate."
            )
        if self._evaluation is None:
            assert self._targets is not None
            self._evaluation = self.score.bind(self.groups, self.eras, self._targets, self.tables)
        return self._evaluation(predictions)


class EvaluationSets:
    """All evaluation sets of a training.

    Parameters
    ----------
    sets : sequence of EvaluationSet
    training_rows : bool
        Whether the library also hands over rows of the training, before all others, which have no
        eras here. No two calls follow one another with such rows, or an evaluation set was not
        recognized.
    nan_becomes_zero : bool
        Whether the library hands over 0 for targets that are NaN.
    """

    def __init__(
        self, sets: Sequence[EvaluationSet], *, training_rows: bool, nan_becomes_zero: bool
    ):
        self.sets, self.training_rows = list(sets), training_rows
        self.nan_becomes_zero = nan_becomes_zero
        self._last_unknown = False
        self._training_seen = False

    def unseen(self) -> EvaluationSets:
        """The same sets, which have seen no targets yet but those that were given."""
        return EvaluationSets(
            [one.unseen() for one in self.sets],
            training_rows=self.training_rows,
            nan_becomes_zero=self.nan_becomes_zero,
        )

    def evaluate(self, targets: Any, predictions: Any) -> float | None:
        """Score of the set with these targets; None for rows of the training."""
        targets = np.asarray(targets)
        one = self._find(targets)
        if one is not None:
            self._last_unknown = False
            return one.evaluate(np.asarray(predictions))
        self._last_unknown = self._training_seen = True
        return None

    def _find(self, targets: Array) -> EvaluationSet | None:
        """The set with these targets; None for rows of the training."""
        for one in self.sets:
            if one.holds(targets):
                return one
        same_length = [one for one in self.sets if one.n_rows == len(targets)]
        for one in same_length:
            if not one.has_targets:
                self._learn(one, targets)
                return one
        all_given = all(one.given for one in same_length)
        if self.training_rows and not self._last_unknown and all_given:
            return None
        self._last_unknown = False
        if not same_length:
            rows = " and ".join(str(one.n_rows) for one in self.sets)
            raise ValueError(
                f"The library evaluates {len(targets)} rows, and eras has labels of {rows} rows; "
                "pass the eras of every evaluation set, as a list or dict of labels."
            )
        if not all_given:
            raise ValueError(
                f"The library evaluates other targets than before for the {len(targets)} rows of "
                f"{same_length[0].where}; pass y_true=... so that sets of one length can be told "
                "apart, and make a metric anew for a training on other targets."
            )
        raise ValueError(
            f"The library evaluates targets that are not the y_true of {same_length[0].where}, "
            f"which has {len(targets)} rows, too; pass eras and y_true of every evaluation set."
        )

    def _learn(self, one: EvaluationSet, targets: Array) -> None:
        """Take the first targets of as many rows as a set for those of the set, if they can be."""
        if self.training_rows and not self._training_seen:
            raise ValueError(
                "The library evaluates the training rows first, and the first targets are "
                f"{len(targets)}, as many as the rows of {one.where}; pass y_true=..., the targets "
                "of the eras' rows, to tell them apart."
            )
        if self.nan_becomes_zero:
            one.check_no_era_is_zero(targets)
        one.remember(targets)


def read_sets(
    score: EraScore, eras: Any, y_true: Any, metadata: dict[str, Any], **library: bool
) -> EvaluationSets:
    """The evaluation sets of a call.

    Parameters
    ----------
    score : EraScore
    eras, y_true : array-like, or list or dict of such
    metadata : dict of array-like, or of list or dict of such
    **library : bool
        What `EvaluationSets` must know of the library.

    Raises
    ------
    MissingErasError, ValueError
        If there are no eras, tables do not fit together, or two sets cannot be told apart.
    """
    if eras is None:
        raise MissingErasError(
            "eras is None; pass the era of every row of the evaluation set, such as "
            "eras=eras_valid."
        )
    tables = {"y_true": y_true, **metadata}
    if isinstance(eras, Mapping):
        keys: Sequence[Any] = list(eras)
    elif isinstance(eras, list | tuple) and eras and all(map(_is_table, eras)):
        keys = range(len(eras))
    else:
        one = EvaluationSet(WHOLE, score, eras, y_true, metadata)
        return EvaluationSets([one], **library)
    if not keys:
        raise ValueError("eras is empty; pass the labels of at least one evaluation set.")
    parts = {name: _parts(table, name, keys, eras) for name, table in tables.items()}
    sets = [
        EvaluationSet(
            f"evaluation set {key!r}",
            score,
            eras[key],
            parts["y_true"][place],
            {name: parts[name][place] for name in metadata},
        )
        for place, key in enumerate(keys)
    ]
    for i, one in enumerate(sets):
        for other in sets[:i]:
            _check_distinct(other, one)
    return EvaluationSets(sets, **library)


def _parts(table: Any, name: str, keys: Sequence[Any], eras: Any) -> list[Any]:
    """One table for each evaluation set."""
    if table is None:
        return [None] * len(keys)
    kind = "dict" if isinstance(eras, Mapping) else "list"
    if isinstance(eras, Mapping):
        fits = isinstance(table, Mapping) and table.keys() == eras.keys()
    else:
        fits = isinstance(table, list | tuple) and len(table) == len(keys)
    if not fits:
        raise ValueError(
            f"eras is a {kind} of {len(keys)} evaluation sets and {name} is not; pass {name} as a "
            f"{kind} of the same sets."
        )
    return [table[key] for key in keys]


def _check_distinct(first: EvaluationSet, second: EvaluationSet) -> None:
    """Check that targets tell two sets apart."""
    if first.n_rows != second.n_rows:
        return
    both = f"{first.where[0].upper()}{first.where[1:]} and {second.where}"
    if not (first.given and second.given):
        raise ValueError(
            f"{both} have {first.n_rows} rows each, and the library names no set; pass y_true, "
            "the targets of each, to tell them apart."
        )
    if first.has_targets_of(second):
        raise ValueError(
            f"{both} have the same targets, and the library names no set; evaluate one of them "
            "by each metric."
        )


def _as_handed(targets: Array) -> Array:
    """Targets in single precision, 0 in place of NaN."""
    single = targets.astype(np.float32, copy=False)
    missing = np.isnan(single)
    return np.where(missing, np.float32(0.0), single) if missing.any() else single


def _n_labels(eras: Any, where: str) -> int:
    if not (_is_table(eras) or isinstance(eras, tuple)):
        found = f"of shape {np.shape(eras)}" if np.ndim(eras) else repr(eras)
        raise ValueError(
            f"eras of {where} is {found}; pass an array, list or Series of one label per row."
        )
    return len(eras)


def _is_table(data: Any) -> bool:
    """Whether data can be the labels of an evaluation set; a tuple may be one label."""
    if isinstance(data, np.ndarray):
        return data.ndim == 1
    if isinstance(data, list | pd.Series | pd.Index | pd.Categorical):
        return True
    return isinstance(nw.from_native(data, series_only=True, pass_through=True), nw.Series)
