"""Era-wise scores of predictions."""

from sknumerai.metrics._alpha import alpha, meta_portfolio_contribution, neutralized_weights
from sknumerai.metrics._churn import churn, neutral_churn, neutral_churn_penalty
from sknumerai.metrics._corr_with import corr_with
from sknumerai.metrics._era_table import era_table
from sknumerai.metrics._exposure_dissimilarity import exposure_dissimilarity
from sknumerai.metrics._feature_exposure import feature_exposure, max_feature_exposure
from sknumerai.metrics._feature_neutral_corr import feature_neutral_corr, neutral_corr
from sknumerai.metrics._meta_model_contribution import (
    meta_model_contribution,
    neutral_contribution,
)
from sknumerai.metrics._numerai_corr import numerai_corr
from sknumerai.metrics._payout_score import payout_score
from sknumerai.metrics._score_summary import score_summary
from sknumerai.metrics._scorer import EraScorer, make_era_scorer
from sknumerai.metrics._scorer_names import get_era_scorer, get_era_scorer_names
from sknumerai.metrics._turnover import turnover

__all__ = [
    "EraScorer",
    "alpha",
    "churn",
    "corr_with",
    "era_table",
    "exposure_dissimilarity",
    "feature_exposure",
    "feature_neutral_corr",
    "get_era_scorer",
    "get_era_scorer_names",
    "make_era_scorer",
    "max_feature_exposure",
    "meta_model_contribution",
    "meta_portfolio_contribution",
    "neutral_churn",
    "neutral_churn_penalty",
    "neutral_contribution",
    "neutral_corr",
    "neutralized_weights",
    "numerai_corr",
    "payout_score",
    "score_summary",
    "turnover",
]
