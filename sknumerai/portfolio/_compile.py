"""From the parameters of a PortfolioOptimizer and risk data to a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sknumerai._typing import Array, ArrayLike
from sknumerai.portfolio._program import EXTREME, NormTerm, Program
from sknumerai.portfolio._risk_data import RiskData

if TYPE_CHECKING:
    from sknumerai.portfolio._portfolio_optimizer import PortfolioOptimizer


def compile_program(optimizer: PortfolioOptimizer, risk: RiskData) -> Program:
    """The program of one era.

    Parameters
    ----------
    optimizer : PortfolioOptimizer
        Its parameters, validated.
    risk : RiskData

    Returns
    -------
    program : Program

    Raises
    ------
    ValueError
        If parameters do not fit together or to the risk data.
    """
    n = risk.n
    variance = np.ones(n) if risk.specific_variance is None else risk.specific_variance
    root = np.zeros((n, 0)) if risk.factor_root is None else risk.factor_root
    lower = _weight_bound(optimizer.min_weights, "min_weights", n, -np.inf)
    upper = _weight_bound(optimizer.max_weights, "max_weights", n, np.inf)
    _check_reachable(lower, upper, "min_weights", "max_weights", "stocks")
    if (lower > upper).any():
        raise ValueError(
            f"min_weights is above max_weights for {int((lower > upper).sum())} of {n} stocks; "
            "swap them."
        )
    blocks, row_min, row_max, row_names = zip(*_row_blocks(optimizer, risk), strict=True)
    rows = np.hstack(blocks)
    units = _row_units(rows)
    return Program(
        curvature=optimizer.risk_aversion * variance + optimizer.l2_coef,
        loadings=np.sqrt(optimizer.risk_aversion) * root,
        rows=rows if (units == 1.0).all() else rows / units,
        row_min=np.concatenate(row_min, dtype=np.float64) / units,
        row_max=np.concatenate(row_max, dtype=np.float64) / units,
        row_names=[name for names in row_names for name in names],
        lower=lower,
        upper=upper,
        terms=_norm_terms(optimizer, risk),
    )


def _row_units(rows: Array) -> Array:
    """Powers of two that make rows of about one out of rows too large or small to be squared."""
    sizes = np.abs(rows).max(axis=0, initial=0.0)
    extreme = (sizes > EXTREME) | (sizes < 1.0 / EXTREME) & (sizes > 0.0)
    return np.ldexp(1.0, np.where(extreme, np.frexp(sizes)[1] - 1, 0))


def _norm_terms(optimizer: PortfolioOptimizer, risk: RiskData) -> tuple[NormTerm, ...]:
    """The norm terms that cost or limit anything: the others would only take time."""
    zero = np.zeros(risk.n)
    previous = zero if risk.previous_weights is None else risk.previous_weights
    terms = (
        (zero, optimizer.l1_coef, optimizer.max_leverage, "max_leverage"),
        (previous, optimizer.transaction_costs, optimizer.max_turnover, "max_turnover"),
    )
    return tuple(
        NormTerm(centre, cost, np.inf if limit is None else limit, name)
        for centre, cost, limit, name in terms
        if cost > 0.0 or limit is not None
    )


def _row_blocks(
    optimizer: PortfolioOptimizer, risk: RiskData
) -> Iterator[tuple[Array, ArrayLike, ArrayLike, list[str]]]:
    """The linear limits, kind by kind: columns, minima, maxima and names."""
    yield np.zeros((risk.n, 0)), [], [], []
    if optimizer.budget is not None:
        yield np.ones((risk.n, 1)), [optimizer.budget], [optimizer.budget], ["budget"]
    if optimizer.sector_neutral:
        if risk.sectors is None or risk.sector_names is None:
            raise ValueError("sector_neutral=True needs sectors; pass one label per stock.")
        zeros = np.zeros(risk.sectors.shape[1])
        yield risk.sectors, zeros, zeros, [f"neutrality of sector {s!r}" for s in risk.sector_names]
    if risk.exposures is not None:
        labels = risk.exposure_names
        if labels is None:
            labels = list(range(risk.exposures.shape[1]))
        minimum, maximum = _exposure_bounds(optimizer, labels)
        yield risk.exposures, minimum, maximum, [f"exposure {label!r}" for label in labels]
    elif optimizer.max_exposure is not None or optimizer.min_exposure is not None:
        raise ValueError("max_exposure and min_exposure limit exposures; pass exposures=...")


def _exposure_bounds(optimizer: PortfolioOptimizer, labels: list[Any]) -> tuple[Array, Array]:
    """Minima and maxima of the exposures, in the order of their labels."""
    maximum = limits_by_name(optimizer.max_exposure, "max_exposure", labels, unnamed=np.inf)
    minimum = -maximum
    if optimizer.min_exposure is not None:
        minimum = limits_by_name(optimizer.min_exposure, "min_exposure", labels, unnamed=-np.inf)
    _check_reachable(minimum, maximum, "min_exposure", "max_exposure", "exposures")
    if (minimum > maximum).any():
        j = int(np.flatnonzero(minimum > maximum)[0])
        raise ValueError(
            f"The limits of exposure {labels[j]!r} are {minimum[j]:g} to {maximum[j]:g}; "
            "min_exposure must not be above max_exposure (which must not be negative "
            "where min_exposure is not given)."
        )
    return minimum, maximum


def limits_by_name(limit: Any, parameter: str, names: list[Any], *, unnamed: float) -> Array:
    """One limit per exposure, shape (n_exposures,): zero for None.

    Parameters
    ----------
    limit : float, array-like of shape (n_exposures,), dict or None
    parameter : str
        What messages call it.
    names : list of length n_exposures
    unnamed : float
        The limit of exposures that a dict leaves out.
    """
    if isinstance(limit, pd.Series):
        missing = [name for name in names if name not in limit.index]
        if missing or not limit.index.is_unique:
            raise ValueError(
                f"{parameter} is a Series whose labels are not those of the exposures, each once "
                f"({len(missing)} of {len(names)} missing); name all, or pass a dict."
            )
        limit = limit.to_dict()
    if isinstance(limit, Mapping):
        unknown = [name for name in limit if name not in names]
        if unknown:
            raise ValueError(
                f"{parameter} names {unknown[0]!r}, which is none of the {len(names)} exposures."
            )
        limit = [limit.get(name, unnamed) for name in names]
    return _one_each(
        0.0 if limit is None else limit,
        parameter,
        len(names),
        "exposures; pass one number, one per exposure, or a dict by name.",
    )


def _check_reachable(minimum: Array, maximum: Array, low: str, high: str, whose: str) -> None:
    """Refuse a minimum of infinity, which no number reaches, and a maximum of minus infinity."""
    for limit, parameter, never, none in (
        (minimum, low, np.inf, "-"),
        (maximum, high, -np.inf, ""),
    ):
        n_never = int((limit == never).sum())
        if n_never:
            raise ValueError(
                f"{parameter} is {never:g} for {n_never} of {len(limit)} {whose}, which nothing "
                f"meets; pass {none}inf for no limit."
            )


def _weight_bound(bound: Any, parameter: str, n: int, default: float) -> Array:
    """One bound per stock, shape (n,)."""
    bound = default if bound is None else bound
    return _one_each(bound, parameter, n, "stocks; pass one number, or one per stock.")


def _one_each(value: Any, parameter: str, n: int, whose: str) -> Array:
    """A number or n numbers as an array of shape (n,) of its own."""
    try:
        values = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{parameter} must hold real numbers ({error}); convert it.") from error
    if values.ndim and values.shape != (n,):
        raise ValueError(f"{parameter} has shape {values.shape} for {n} {whose}")
    if np.isnan(values).any():
        raise ValueError(f"{parameter} contains {int(np.isnan(values).sum())} NaN; fill them.")
    return np.array(np.broadcast_to(values, n))
