"""Synthetic tournaments, and the real one's files."""

from sknumerai.datasets._era_reader import EraReader
from sknumerai.datasets._feature_sets import read_feature_sets
from sknumerai.datasets._fetch import fetch_tournament
from sknumerai.datasets._make_market import make_market
from sknumerai.datasets._make_momentum_returns import make_momentum_returns
from sknumerai.datasets._make_tournament import make_tournament
from sknumerai.datasets._read_tournament import iter_eras, read_tournament
from sknumerai.datasets._write_tournament import write_tournament

__all__ = [
    "EraReader",
    "fetch_tournament",
    "iter_eras",
    "make_market",
    "make_momentum_returns",
    "make_tournament",
    "read_feature_sets",
    "read_tournament",
    "write_tournament",
]
