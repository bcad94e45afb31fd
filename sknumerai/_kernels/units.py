"""Kernel: units in which numbers of any size can be squared."""

from __future__ import annotations

import numpy as np

from sknumerai._typing import Array

PLAIN = 2.0**100  # sizes up to which, and down to whose inverse, numbers are used as they are


def in_units(values: Array) -> tuple[Array, Array]:
    """Columns over a power of two of the size of their largest absolute values.

    The division is exact, but for numbers that are negligible beside the largest.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n, m)
        Finite.

    Returns
    -------
    scaled : ndarray of the same shape
        ``values`` itself where all can be squared as they are.
    units : ndarray of shape () or (m,), float64
        1 for columns whose numbers can be squared as they are, and for columns of zeros.
    """
    largest = np.maximum(values.max(axis=0, initial=0.0), -values.min(axis=0, initial=0.0))
    plain = ((largest <= PLAIN) & (largest >= 1.0 / PLAIN)) | (largest == 0.0)
    if plain.all():
        return values, np.ones(np.shape(largest))
    _, exponents = np.frexp(largest.astype(np.float64))
    units = np.where(plain, 1.0, np.ldexp(1.0, exponents - 1))
    return values / units, units


def centre(values: Array) -> Array:
    """Columns less their means, in float64.

    Twice: the mean of large numbers that hardly vary is off by more than a rounding error of what
    they vary by.
    """
    centred: Array = values - values.mean(axis=0, dtype=np.float64)
    centred -= centred.mean(axis=0)
    return centred
