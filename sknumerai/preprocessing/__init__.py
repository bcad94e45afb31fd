"""Ranks and scales of predictions, era by era."""

from sknumerai.preprocessing._era_rank_transformer import EraRankTransformer
from sknumerai.preprocessing._rank_by_era import rank_by_era

__all__ = ["EraRankTransformer", "rank_by_era"]
