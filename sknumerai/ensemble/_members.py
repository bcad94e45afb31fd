"""Members of an ensemble as callers name them, and the targets that they are trained on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, column_or_1d

from sknumerai._frames import Table
from sknumerai._typing import Array

DROP = "drop"


@dataclass(frozen=True)
class Member:
    """A member of an ensemble.

    Attributes
    ----------
    name : str
    estimator : estimator or "drop"
    target : label or None
        Column of y that it is trained on; the first one by default.
    """

    name: str
    estimator: Any
    target: Any = None


def read_members(estimators: Any, reserved: Collection[str]) -> list[Member]:
    """All members, those to drop included.

    Parameters
    ----------
    estimators : list of (name, estimator) or (name, estimator, target)
    reserved : collection of str
        Names of parameters, which no member may have.

    Raises
    ------
    ValueError
    """
    if not isinstance(estimators, Sequence) or isinstance(estimators, str) or not estimators:
        raise ValueError(
            f"estimators is {estimators!r}; pass a list of (name, estimator), or of (name, "
            "estimator, target)."
        )
    members = []
    for entry in estimators:
        if not isinstance(entry, tuple | list) or len(entry) not in (2, 3):
            raise ValueError(
                f"estimators holds {entry!r}; pass (name, estimator), or (name, estimator, target)."
            )
        members.append(Member(*entry))
    names = [member.name for member in members]
    for name in names:
        if not isinstance(name, str) or "__" in name or name in reserved:
            raise ValueError(
                f"estimators names a member {name!r}; pass text without '__' that is not a "
                "parameter of the ensemble."
            )
        if names.count(name) > 1:
            raise ValueError(f"estimators names {name!r} twice; give each member its own name.")
    for member in members:
        able = hasattr(member.estimator, "fit") and hasattr(member.estimator, "predict")
        if member.estimator != DROP and not able:
            raise ValueError(
                f"The member {member.name!r} is {member.estimator!r}; pass a regressor, or 'drop'."
            )
    if all(member.estimator == DROP for member in members):
        raise ValueError("All members are dropped; keep at least one.")
    return members


def read_targets(y: Any, members: Sequence[Member]) -> tuple[Array, list[int]]:
    """Targets, and for every member the column that it is trained on.

    Parameters
    ----------
    y : array-like of shape (n_samples,), or (n_samples, n_targets) if a member names a target
    members : sequence of Member

    Returns
    -------
    targets : ndarray of shape (n_samples, n_targets)
        The first column is that of members that name none, and the one that scores speak of.
        NaN only where there are several.
    columns : list of int

    Raises
    ------
    ValueError
        If values are not finite, there is no such column, or one has no values.
    """
    if all(member.target is None for member in members):
        values = check_array(column_or_1d(y, warn=True), ensure_2d=False, input_name="y")
        return values.reshape(-1, 1), [0] * len(members)
    table = Table(y, "y", allow_nan=True)
    table.check_numeric()
    labels = list(table.labels)
    columns = []
    for member in members:
        if member.target is not None and member.target not in labels:
            raise ValueError(
                f"The member {member.name!r} is to train on the target {member.target!r}, and the "
                f"columns of y are {labels}; name one of them."
            )
        columns.append(0 if member.target is None else labels.index(member.target))
    targets = table.whole().astype(np.float64)
    for column in sorted({0, *columns}):
        if np.isnan(targets[:, column]).all():
            raise ValueError(f"The target {labels[column]!r} has no values; leave it out of y.")
    return targets, columns


def main_target(y: Any) -> Array:
    """The target that scores speak of, the first column of a table; shape (n_samples,)."""
    table = Table(y, "y", allow_nan=True).subset([0])
    target: Array = table.whole()[:, 0]
    return target
