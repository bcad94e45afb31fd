"""Kernel: units in which a program is well scaled, and how stiff it may be made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, log2

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._program import EXTREME, Program

SHARE = 0.1  # of the tolerance that more curvature may use up


@dataclass(frozen=True)
class Units:
    """Units of weights and prices, and a factor of the risk; powers of two cost no digits.

    Attributes
    ----------
    weight, price : float
        Factors that turn weights and multipliers of the program in these units into the caller's.
    stiffness : float
        By which the covariance matrix is multiplied.
    """

    weight: float = 1.0
    price: float = 1.0
    stiffness: float = 1.0


def in_units(program: Program, units: Units) -> Program:
    """The program in other units, and stiffer."""
    weight, price = units.weight, units.price
    ratio = weight / price * units.stiffness
    return replace(
        program,
        curvature=program.curvature * ratio,
        loadings=program.loadings * np.sqrt(ratio),
        row_min=program.row_min / weight,
        row_max=program.row_max / weight,
        lower=program.lower / weight,
        upper=program.upper / weight,
        terms=tuple(
            replace(
                term,
                centre=term.centre / weight,
                cost=term.cost / price,
                limit=term.limit / weight,
            )
            for term in program.terms
        ),
    )


def natural_units(program: Program, signal: Array, stiffness: float = 1.0) -> Units:
    """Units with signals and curvatures of about one."""
    curvature = stiffness * float(np.median(program.curvature))
    # the prices of the signal, or those of weights that the limits ask for
    price = max(program.price_size(signal), curvature * program.needed_size) or 1.0
    price = _even_power(price)
    return Units(price / _even_power(curvature), price, stiffness)


def choose_units(program: Program, signal: Array, tol: float) -> Units:
    """The caller's units, unless they are extreme or the limits leave next to nothing.

    Where the limits hold weights at a tiny part of those without limits, the weights that the
    signal asks for have rounding errors larger than what the limits leave of them. But then the
    risk hardly matters: it may be multiplied until the tolerance could tell.
    """
    unseen, stiffness = SHARE * tol * program.price_size(signal), 1.0
    weights = program.largest_weights
    size = float(np.abs(signal).max())
    if size < program.price_size(signal):  # which moves nothing: weights are those asked for
        centres = [np.abs(term.centre).max() for term in program.terms]
        weights = np.minimum(weights, max(program.needed_size, *centres))
    risk = program.curvature * weights
    if unseen > risk.max():
        factors = program.absolute_loadings
        risk = risk + factors @ (np.where(factors.any(axis=1), weights, 0.0) @ factors)
        if 0.0 < risk.max() < unseen:
            stiffness = _even_power(unseen / float(risk.max()))
    sizes = np.array([size, program.largest_cost, *program.size_range])
    if stiffness == 1.0 and ((sizes == 0.0) | (sizes < EXTREME) & (sizes > 1 / EXTREME)).all():
        return Units()
    return natural_units(program, signal, stiffness)


def _even_power(size: float) -> float:
    """The power of four next below, whose root is exact."""
    return 4.0 ** floor(0.5 * log2(size))
