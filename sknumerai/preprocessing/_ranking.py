"""Kernels: ranks and scales of the columns of one era, with ties kept or broken by id."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import ndtri

from sknumerai._kernels.ranks import normalize_columns, scale_columns
from sknumerai._typing import Array

Method = Literal["rank", "gaussian", "minmax", "std"]


def tie_broken_ranks(values: Array, ids: Array) -> Array:
    """Ranks 1 to n of every column, equal values in the order of their ids.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Finite.
    ids : ndarray of shape (n, 1)
        One number for each row, in the order of the ids.

    Returns
    -------
    ranks : ndarray of shape (n, m), float64
        All different, and the same in whatever order the rows come.

    Raises
    ------
    ValueError
        If an id occurs twice.

    References
    ----------
    numerai-tools, ``numerai_tools.scoring.tie_broken_rank``.
    """
    surplus = len(ids) - len(np.unique(ids))
    if surplus:
        raise ValueError(
            f"{surplus} of {len(ids)} ids occur more than once in one era and cannot break ties; "
            "pass one row per id and era."
        )
    by_id = np.argsort(ids[:, 0])
    order = by_id[np.argsort(values[by_id], axis=0, kind="stable")]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, len(values) + 1.0)[:, None], axis=0)
    return ranks


def rank_era(values: Array, ids: Array | None = None, *, method: Method) -> Array:
    """Rank or scale the columns of one era.

    Parameters
    ----------
    values : ndarray of shape (n, m)
        Finite.
    ids : ndarray of shape (n, 1), optional
        What breaks ties; see `tie_broken_ranks`. Without, ties share their average rank.
    method : {"rank", "gaussian", "minmax", "std"}
        "rank": (rank - 1/2) / n; "gaussian": the normal quantile of that; "minmax": the values
        themselves onto [0, 1]; "std": the values over their standard deviation (ddof=0).

    Returns
    -------
    ranked : ndarray of shape (n, m), float64
        NaN where a column is constant.
    """
    if method == "minmax" or method == "std":
        return scale_columns(normalize_columns(values, None), method)
    if ids is None:
        ranked = normalize_columns(values, method)
    else:
        ranked = (tie_broken_ranks(values, ids) - 0.5) / len(values)
        ranked = ranked if method == "rank" else ndtri(ranked)
    ranked[:, np.ptp(values, axis=0) == 0.0] = np.nan
    return ranked
