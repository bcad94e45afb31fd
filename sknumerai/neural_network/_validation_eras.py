"""Kernel: eras to validate on, and those that are left to train on."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from sknumerai._eras import EraGroups
from sknumerai._kernels.purging import overlapping_eras, train_eras
from sknumerai._typing import Array
from sknumerai.exceptions import MissingErasError


def split_eras(groups: EraGroups, validation_eras: Any, horizon: int) -> tuple[Array, Array]:
    """Positions of training and of validation eras.

    Parameters
    ----------
    groups : EraGroups
    validation_eras : int, float, array-like of labels or None
        Number or share of the last eras, or the eras themselves.
    horizon : int
        Horizon of the target in trading days. Training leaves out the eras whose targets overlap
        with those of validation eras, on both sides.

    Returns
    -------
    train, validation : ndarray of int
        Positions in ``groups.labels``; training eras in order of their first appearance.

    Raises
    ------
    MissingErasError
        If there are no eras to choose from.
    ValueError
        If a label is unknown, or no era is left to train on.
    """
    n_eras = len(groups)
    if validation_eras is None:
        return np.arange(n_eras), np.arange(0)
    if not groups.given:
        raise MissingErasError(
            f"validation_eras={validation_eras!r} needs eras: pass fit(X, y, eras=eras); inside a "
            "Pipeline or a search, call sklearn.set_config(enable_metadata_routing=True) first."
        )
    order = np.array(groups.order)
    if isinstance(validation_eras, Integral):
        chosen = np.arange(max(0, n_eras - int(validation_eras)), n_eras)
    elif isinstance(validation_eras, Real):
        chosen = np.arange(n_eras - max(1, round(float(validation_eras) * n_eras)), n_eras)
    else:
        wanted = set(validation_eras)
        unknown = wanted - set(groups.labels)
        if unknown or not wanted:
            raise ValueError(
                f"validation_eras names {len(wanted)} eras, of which {len(unknown)} are not among "
                f"the {n_eras} eras{f', such as {next(iter(unknown))!r}' if unknown else ''}; "
                "name eras of the training data."
            )
        chosen = np.flatnonzero([groups.labels[position] in wanted for position in order])
    blocks = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)
    purge = overlapping_eras(horizon)
    kept = train_eras(n_eras, blocks, purge, 0)
    if len(kept) == 0:
        raise ValueError(
            f"validation_eras={validation_eras!r} leaves no era to train on: of {n_eras} eras "
            f"{len(chosen)} are for validation and up to {purge} on each side overlap with them. "
            "Pass more eras, or validate on fewer."
        )
    return np.sort(order[kept]), order[chosen]
