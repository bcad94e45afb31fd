"""What an engine is, and the solutions it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sknumerai._typing import Array


@dataclass(frozen=True)
class Solution:
    """A verified portfolio.

    Attributes
    ----------
    weights : ndarray of shape (n_stocks,)
    kkt_residual : float
        See ``PortfolioOptimizer.kkt_residual_``; NaN where an engine cannot tell.
    n_iter : int
    n_free : int or None
        Assets neither at a bound nor at a kink; None where an engine cannot tell.
    n_weakly_active : int or None
    n_directions : int or None
        Free assets less the binding limits.
    matvec : callable
        (n_stocks, k) -> (n_stocks, k), the product with the Jacobian.
    state : object
        Something that the same engine can start from.
    """

    weights: Array
    kkt_residual: float
    n_iter: int
    n_free: int | None
    n_weakly_active: int | None
    n_directions: int | None
    matvec: Callable[[Array], Array]
    state: Any = None


class Engine(Protocol):
    """Solves one era's program for any signal."""

    def solve(self, signal: Array, start: Any = None) -> Solution: ...
