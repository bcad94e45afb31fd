"""Portfolios: from a signal to weights, and the derivative of that."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sknumerai._optional import import_optional
from sknumerai.portfolio._portfolio_optimizer import PortfolioOptimizer

if TYPE_CHECKING:
    from sknumerai.portfolio._portfolio_layer import PortfolioLayer
    from sknumerai.portfolio._stake_weighted_portfolio import StakeWeightedPortfolio

__all__ = ["PortfolioLayer", "PortfolioOptimizer", "StakeWeightedPortfolio"]

# Modules that cannot be imported without torch: imported on first use, so that the optimizer
# works without.
_NEED_TORCH = {
    "PortfolioLayer": "_portfolio_layer",
    "StakeWeightedPortfolio": "_stake_weighted_portfolio",
}


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_optional("torch", extra="torch")
    return getattr(import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
