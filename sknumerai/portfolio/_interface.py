"""What rooms above use of portfolios besides the public names; everything else here is private."""

from __future__ import annotations

from sknumerai.portfolio._engines import make_engine, optimizer_content
from sknumerai.portfolio._risk_data import RISK_NAMES, Risk, RiskData, RiskTables, covariance_root
from sknumerai.portfolio._solution import Engine

__all__ = [
    "RISK_NAMES",
    "Engine",
    "Risk",
    "RiskData",
    "RiskTables",
    "covariance_root",
    "make_engine",
    "optimizer_content",
]
