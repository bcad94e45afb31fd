"""What callers of contribution functions pass, checked: stakes, returns and user predictions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._frames import Table, numeric_table
from sknumerai._typing import Array, ArrayLike


def user_table(user_predictions: ArrayLike, name: str = "user_predictions") -> Table:
    """The predictions of users, one column each, as a table.

    NaN stand for users that did not take part; the kernel, which knows the users of an era, looks
    whether they are all of a user's.

    Raises
    ------
    ValueError
        If there is no column, or one is not numeric.
    """
    table = numeric_table(user_predictions, name, allow_nan=True)
    if not table.n_columns or not table.n_rows:
        raise ValueError(
            f"{name} has shape ({table.n_rows}, {table.n_columns}); pass stocks as rows and users "
            "as columns."
        )
    return table


def read_stakes(
    stakes: ArrayLike, labels: Sequence[Hashable], names: Sequence[Any] | None, n_users: int
) -> Array:
    """Stakes of every era, shape (n_eras, n_users), float64.

    Parameters
    ----------
    stakes : array-like of shape (n_users,), Series, dict, or DataFrame of eras × users
    labels : sequence
        The eras.
    names : sequence or None
        Names of the users, where they have any.
    n_users : int

    Raises
    ------
    ValueError
        If stakes are negative, NaN or infinite, or do not match eras or users.
    """
    if isinstance(stakes, Mapping):
        stakes = pd.Series(stakes)
        if names is not None and set(stakes.index) == set(names):
            stakes = stakes.loc[list(names)]
    if isinstance(stakes, pd.DataFrame):
        missing = [label for label in labels if label not in stakes.index]
        if missing:
            raise ValueError(
                f"stakes have no row for {len(missing)} of {len(labels)} eras (first {missing[0]}"
                "); index them by era, or pass one stake per user for all eras."
            )
        if not stakes.index.is_unique:
            raise ValueError("stakes have several rows for an era; pass one row per era.")
    per_era = isinstance(stakes, pd.DataFrame)
    users = stakes.columns if isinstance(stakes, pd.DataFrame) else getattr(stakes, "index", None)
    if isinstance(users, pd.Index) and names is not None and list(users) != list(names):
        shared = len(set(users) & set(names))
        if shared:
            raise ValueError(
                f"stakes and user_predictions share {shared} of {n_users} user names but not in "
                "the same order; align them, for example stakes"
                f"{'' if per_era else '.loc'}[user_predictions.columns]."
            )
    try:
        rows = stakes.loc[list(labels)] if isinstance(stakes, pd.DataFrame) else stakes
        values = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"stakes must be numbers ({error}); convert them.") from None
    if values.shape != ((len(labels), n_users) if per_era else (n_users,)):
        raise ValueError(
            f"stakes has shape {values.shape} for {n_users} users; pass one stake per user, or a "
            "DataFrame of eras and users."
        )
    bad = ~np.isfinite(values) | (values < 0.0)
    if bad.any():
        raise ValueError(
            f"stakes hold {int(bad.sum())} values that are negative, NaN or infinite, first "
            f"{values[bad][0]} of user {int(np.argwhere(bad)[0][-1])}; a stake is zero or more."
        )
    return np.broadcast_to(values, (len(labels), n_users))
