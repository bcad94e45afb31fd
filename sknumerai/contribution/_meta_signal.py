"""Kernel: the signal that the optimizer gets from a weighted sum of users, and its adjoint."""

import numpy as np

from sknumerai._typing import Array


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
    signal = np.sign(total) * np.abs(total) ** power
    if signal_scale is None:
        return signal
    size = _root_mean_square(signal)
    if size == 0.0:
        raise ValueError(
            "The stake-weighted signal is zero for all stocks (constant predictions, or users that "
            "cancel); it has no scale."
        )
    return signal * (signal_scale / size)


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
    if signal_scale is not None:
        signal = np.sign(total) * np.abs(total) ** power
        unit = signal / _root_mean_square(signal)
        factor = signal_scale / _root_mean_square(signal)
        gradient = factor * (gradient - unit * (unit @ gradient) / len(unit))
    return power * np.abs(total) ** (power - 1.0) * gradient


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
