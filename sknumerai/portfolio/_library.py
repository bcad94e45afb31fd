"""The portfolio program as a library solves it: in cvxpy, with the signal as its parameter."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sknumerai._optional import import_optional
from sknumerai._typing import Array
from sknumerai.exceptions import SolverError
from sknumerai.portfolio._program import Multipliers, Program
from sknumerai.portfolio._units import in_units, natural_units


def cvxpy_problem(program: Program) -> tuple[Any, Any, Any, dict[str, Any]]:
    """The program as a DPP problem.

    Parameters
    ----------
    program : Program

    Returns
    -------
    problem : cvxpy.Problem
    signal : cvxpy.Parameter of shape (n,)
    weights : cvxpy.Variable of shape (n,)
    limits : dict
        The constraints whose dual values are wanted: "equations", "maxima", "minima", and the
        limits of the norm terms under their names, where they exist.

    Notes
    -----
    Factor exposures are a variable of their own, so that the quadratic form stays sparse.
    """
    cp = import_optional("cvxpy", extra="cvxpy")
    signal = cp.Parameter(program.n, name="signal")
    weights = cp.Variable(program.n, name="weights")
    objective = 0.5 * cp.sum_squares(cp.multiply(np.sqrt(program.curvature), weights))
    objective -= signal @ weights
    constraints = []
    if program.loadings.shape[1]:
        factors = cp.Variable(program.loadings.shape[1], name="factors")
        constraints.append(factors == program.loadings.T @ weights)
        objective += 0.5 * cp.sum_squares(factors)
    limits = {}
    equations = program.equations
    above = np.isfinite(program.row_max) & ~equations
    below = np.isfinite(program.row_min) & ~equations
    values = program.rows.T @ weights
    if equations.any():
        limits["equations"] = values[equations] == program.row_max[equations]
    if above.any():
        limits["maxima"] = values[above] <= program.row_max[above]
    if below.any():
        limits["minima"] = values[below] >= program.row_min[below]
    for term in program.terms:
        norm = cp.norm1(weights - term.centre)
        if term.cost > 0.0:
            objective += term.cost * norm
        if np.isfinite(term.limit):
            limits[term.name] = norm <= term.limit
    constraints += limits.values()
    bounded = np.isfinite(program.lower)
    if bounded.any():
        constraints.append(weights[bounded] >= program.lower[bounded])
    bounded = np.isfinite(program.upper)
    if bounded.any():
        constraints.append(weights[bounded] <= program.upper[bounded])
    return cp.Problem(cp.Minimize(objective), constraints), signal, weights, limits


def solve_by_library(program: Program, signal: Array) -> tuple[Array, Multipliers]:
    """Solve with Clarabel, an interior-point method.

    Returns
    -------
    weights : ndarray of shape (n,)
    multipliers : Multipliers

    Raises
    ------
    SolverError
        If it fails, or finds none: a library's word is no proof.
    """
    cp = import_optional("cvxpy", extra="cvxpy")
    units = natural_units(program, signal)
    problem, parameter, weights, limits = cvxpy_problem(in_units(program, units))
    parameter.value = signal / units.price
    try:
        with warnings.catch_warnings():  # how accurate it is, the certificate will tell
            warnings.simplefilter("ignore")
            problem.solve(solver=cp.CLARABEL)
        outcome = f"ended {problem.status!r}, of which there is no proof"
    except cp.error.SolverError:
        outcome = "failed"
    if weights.value is None:
        raise SolverError(
            f"Newton's method did not converge and Clarabel, the solver to fall back on, {outcome};"
            " check the scales of the signal, of the risk data and of the limits."
        )
    rows = np.zeros(len(program.row_min))
    equations = program.equations
    for name, chosen, sign in (
        ("equations", equations, 1.0),
        ("maxima", np.isfinite(program.row_max) & ~equations, 1.0),
        ("minima", np.isfinite(program.row_min) & ~equations, -1.0),
    ):
        if name in limits:
            rows[chosen] += sign * np.ravel(limits[name].dual_value)
    norms = np.zeros(len(program.terms))
    for t, term in enumerate(program.terms):
        if term.name in limits:
            norms[t] = np.ravel(limits[term.name].dual_value)[0]
    return units.weight * weights.value, Multipliers(units.price * rows, units.price * norms)
