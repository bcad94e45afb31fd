"""True Contribution: the gradient of a portfolio's return with respect to stakes."""

from sknumerai.contribution._tc_scorer import TCScorer
from sknumerai.contribution._true_contribution import ContributionInfo, true_contribution

__all__ = ["ContributionInfo", "TCScorer", "true_contribution"]
