"""Kernel: the signal that the optimizer gets from a weighted sum of users, and its adjoint."""

from __future__ import annotations

import numpy as np

from sknumerai._typing import Array

ZERO_SIGNAL = (
    "The stake-weighted signal is zero for all stocks (constant predictions, or users that "
    "cancel); it has no scale."
)


def meta_signal(total: Array, *, power: float, signal_scale: float | None) -> Array:
    """sign(m) |m|^power, scaled to a root mean square.

    Parameters
    ----------
    total : ndarray of shape (n,)
        m, the stake-weighted sum of the users' signals.
    power : float
    signal_scale : float or None
        Root mean square of the result; None leaves it as it is.

    Returns
    -------
    signal : ndarray of shape (n,)

    Raises
    ------
    ValueError
        If m is zero and is to be scaled.
    """
    if signal_scale is None:
        return _powers(total, power)
    largest = np.abs(total).max()
    if largest == 0.0:
        raise ValueError(ZERO_SIGNAL)
    signal = _powers(total / largest, power)
    return signal * (signal_scale / _root_mean_square(signal))


def meta_signal_adjoint(
    total: Array, gradient: Array, *, power: float, signal_scale: float | None
) -> Array:
    """Gradient by m of a function whose gradient by the `meta_signal` of m is given.

    Parameters
    ----------
    total, power, signal_scale
        As in `meta_signal`.
    gradient : ndarray of shape (n,)

    Returns
    -------
    gradient : ndarray of shape (n,)
    """
    if signal_scale is None:
        return power * np.abs(total) ** (power - 1.0) * gradient
    # the signal does not depend on the size of m, which may be such that its powers overflow
    largest = np.abs(total).max()
    signal = _powers(total / largest, power)
    size = _root_mean_square(signal)
    unit = signal / size
    gradient = (signal_scale / size) * (gradient - unit * (unit @ gradient) / len(unit))
    adjoint: Array = power * np.abs(total / largest) ** (power - 1.0) * gradient / largest
    return adjoint


def _powers(values: Array, power: float) -> Array:
    return np.sign(values) * np.abs(values) ** power


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
