"""Kernels: the simplex of weights, and the ascent of a smooth function on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sknumerai._typing import Array

STILL = 1e-9  # change of every weight below which an ascent has ended
SUFFICIENT = 1e-4  # share of the increase that the gradient promises, for a step to be taken

Objective = Callable[[Array], tuple[float, Array]]


def project_to_simplex(point: Array) -> Array:
    """The nearest point with w >= 0 and Σ w = 1.

    Parameters
    ----------
    point : ndarray of shape (m,)

    Returns
    -------
    weights : ndarray of shape (m,)

    References
    ----------
    .. [1] J. Duchi, S. Shalev-Shwartz, Y. Singer and T. Chandra, "Efficient projections onto the
       l1-ball for learning in high dimensions", ICML (2008).
    """
    descending = np.sort(point)[::-1]
    surplus = (np.cumsum(descending) - 1.0) / np.arange(1, len(point) + 1)
    shift = surplus[np.flatnonzero(descending > surplus)[-1]]
    return _of_sum_one(np.maximum(point - shift, 0.0))


def ascend_simplex(objective: Objective, start: Array, n_steps: int) -> Array:
    """A local maximum of a smooth function on the simplex, by projected gradient ascent.

    Steps have the spectral length of Barzilai and Borwein [1]_, halved until the function grows
    by a share of what its gradient promises. Deterministic.

    Parameters
    ----------
    objective : callable
        Returns value and gradient, of shape (m,), at weights. A value of NaN is never stepped to.
    start : ndarray of shape (m,)
        On the simplex.
    n_steps : int
        Most steps.

    Returns
    -------
    weights : ndarray of shape (m,)

    References
    ----------
    .. [1] E. G. Birgin, J. M. Martínez and M. Raydan, "Nonmonotone spectral projected gradient
       methods on convex sets", SIAM Journal on Optimization 10 (2000).
    """
    weights = start
    value, gradient = objective(weights)
    step = 1.0 / (np.linalg.norm(gradient) or 1.0)
    for _ in range(n_steps):
        direction = project_to_simplex(weights + step * gradient) - weights
        share = 1.0
        while np.abs(share * direction).max() > STILL:
            moved = weights + share * direction
            new_value, new_gradient = objective(moved)
            if new_value >= value + SUFFICIENT * share * float(gradient @ direction):
                break
            share /= 2.0
        else:
            break
        change, bend = moved - weights, gradient - new_gradient
        curvature = float(change @ bend)
        step = float(change @ change) / curvature if curvature > 0.0 else 2.0 * step
        weights, value, gradient = moved, new_value, new_gradient
    return _of_sum_one(np.where(weights > STILL, weights, 0.0))


def _of_sum_one(weights: Array) -> Array:
    scaled: Array = weights / weights.sum()
    return scaled
