"""Kernels: from the scores of all eras to one number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sknumerai._kernels.units import in_units
from sknumerai._typing import Array


def mean(scores: Array) -> float:
    """Mean over eras."""
    return float(np.mean(scores))


def std(scores: Array) -> float:
    """Standard deviation over eras (ddof=0)."""
    scaled, unit = in_units(scores)
    return float(np.std(scaled) * unit)


def sharpe(scores: Array) -> float:
    """Mean over standard deviation (ddof=0); NaN where all scores are the same."""
    scaled, _ = in_units(scores)
    if np.ptp(scaled) == 0.0:
        return float("nan")
    return float(np.mean(scaled) / np.std(scaled))


def max_drawdown(scores: Array) -> float:
    """Deepest fall of the cumulative sum below its peak so far, which starts at 0; >= 0."""
    wealth = np.concatenate([[0.0], np.cumsum(scores)])
    return float(np.max(np.maximum.accumulate(wealth) - wealth))


AGGREGATES: dict[str, Callable[[Array], float]] = {
    "mean": mean,
    "std": std,
    "sharpe": sharpe,
    "max_drawdown": max_drawdown,
}
