"""Kernel: True Contribution in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from sknumerai._kernels.units import in_units
from sknumerai._typing import Array
from sknumerai.contribution._inverse_hessian import Solve

Form = Literal["current", "aligned", "scaled", "aligned_normalized"]
FORMS = ("current", "aligned", "scaled", "aligned_normalized")
NORMALIZED = ("current", "aligned_normalized")  # these take the solution of m/‖m‖


def optimizer_input(meta_model: Array, form: Form) -> Array:
    """The signal at whose solution a form takes the Hessian, shape (n,)."""
    return meta_model / _norm(meta_model) if form in NORMALIZED else meta_model


def closed_form_gradient(
    meta_model: Array, returns: Array, solver: Callable[[Array], Solve], form: Form
) -> Array:
    r"""Gradient by the meta model: a user's contribution is its product with p - m.

    Parameters
    ----------
    meta_model, returns : ndarray of shape (n,)
        m and y.
    solver : callable
        Takes the optimizer's input and returns h, the product with the inverse Hessian there.
    form : {"current", "aligned", "scaled", "aligned_normalized"}

    Returns
    -------
    gradient : ndarray of shape (n,)
        With h = H⁻¹ at the solution, and :math:`\Pi` the projection off m:

        - current: :math:`\Pi\, h y / \|m\|`
        - aligned: :math:`h (y - m)`
        - scaled: :math:`h (y - \|y\| m)`
        - aligned_normalized: :math:`\Pi\, h (y - \|y\| m / \|m\|) / \|m\|`
    """
    solve = solver(optimizer_input(meta_model, form))
    if form == "aligned":
        return solve(returns - meta_model)
    if form == "scaled":
        return solve(returns - size(returns) * meta_model)
    norm = _norm(meta_model)
    unit = meta_model / norm
    target = returns
    if form == "aligned_normalized":
        target = returns - size(returns) * unit
    return deproject(solve(target), unit) / norm


def deproject(vector: Array, direction: Array) -> Array:
    """A vector without its part along a direction."""
    direction, _ = in_units(direction)
    rest: Array = vector - direction * ((direction @ vector) / (direction @ direction))
    return rest


def size(values: Array) -> float:
    """Euclidean norm of numbers of any size."""
    scaled, unit = in_units(values)
    return float(np.linalg.norm(scaled) * unit)


def _norm(meta_model: Array) -> float:
    norm = size(meta_model)
    if norm == 0.0:
        raise ValueError("meta_model is zero for all stocks; it cannot be normalized.")
    return norm
