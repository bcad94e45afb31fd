"""Which eras share days of their targets, and which remain for training."""

from __future__ import annotations

import numpy as np

from sknumerai._typing import Array

DAYS_PER_ERA = 5  # eras are weekly, horizons are trading days


def overlapping_eras(horizon: int) -> int:
    """Eras on each side whose targets share days with an era's: 3 for 20 days, 11 for 60."""
    return -(-horizon // DAYS_PER_ERA) - 1


def unknown_eras(horizon: int) -> int:
    """Eras before an era whose targets are not known by then: 4 for 20 days, 12 for 60."""
    return horizon // DAYS_PER_ERA


def train_eras(n_eras: int, blocks: list[Array], purge: int, embargo: int) -> Array:
    """Era numbers that remain for training around blocks of consecutive test eras.

    Parameters
    ----------
    n_eras : int
    blocks : list of ndarray
        Consecutive era numbers each.
    purge : int
        Eras left out on both sides of a block.
    embargo : int
        Further eras left out after a block.
    """
    kept = np.ones(n_eras, dtype=bool)
    for block in blocks:
        kept[max(0, block[0] - purge) : block[-1] + 1 + purge + embargo] = False
    return np.flatnonzero(kept)
