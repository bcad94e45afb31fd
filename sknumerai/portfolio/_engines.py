"""From a PortfolioOptimizer to the engine of one era's program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sknumerai.portfolio._compile import compile_program
from sknumerai.portfolio._cvxpy_engine import CvxpyEngine, CvxpyProgram
from sknumerai.portfolio._library import cvxpy_problem
from sknumerai.portfolio._newton_engine import NewtonEngine
from sknumerai.portfolio._risk_data import RiskData
from sknumerai.portfolio._solution import Engine

if TYPE_CHECKING:
    from sknumerai.portfolio._portfolio_optimizer import PortfolioOptimizer


def make_engine(optimizer: PortfolioOptimizer, risk: RiskData) -> Engine:
    """The engine that solves one era's program for any signal.

    Parameters
    ----------
    optimizer : PortfolioOptimizer
    risk : RiskData

    Returns
    -------
    engine : Engine

    Raises
    ------
    ValueError
        If parameters are invalid, or do not fit together or to the risk data.
    """
    optimizer._validate_params()
    if isinstance(optimizer.engine, CvxpyProgram):
        if not risk.empty:
            raise ValueError(
                "Risk data were given, but a program of one's own holds its risk data itself; "
                "leave them out."
            )
        return CvxpyEngine(optimizer.engine)
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            program = compile_program(optimizer, risk)
            if optimizer.engine == "cvxpylayers":
                problem, signal, weights, _ = cvxpy_problem(program)
                return CvxpyEngine(CvxpyProgram(problem, signal, weights))
            return NewtonEngine(program, tol=optimizer.tol, max_iter=optimizer.max_iter)
    except FloatingPointError as error:
        raise ValueError(
            f"The sizes of parameters and risk data are too far apart for float64 ({error}); scale "
            "them."
        ) from error


def optimizer_content(optimizer: PortfolioOptimizer) -> tuple[Any, ...]:
    """What an optimizer's solutions depend on besides data, to be compared by content."""
    parameters = dict(optimizer.get_params())
    if isinstance(optimizer.engine, CvxpyProgram):
        parameters["engine"] = optimizer.engine.content()
    return (parameters, getattr(optimizer, "weights_", None))
