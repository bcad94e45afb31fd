"""Portfolios: from a signal to weights, and the derivative of that."""

from sknumerai.portfolio._portfolio_optimizer import PortfolioOptimizer

__all__ = ["PortfolioOptimizer"]
