"""True Contribution: the gradient of a portfolio's return with respect to stakes."""

from sknumerai.contribution._closed_form_scorer import ClosedFormTC
from sknumerai.contribution._closed_form_tc import adversarial_prediction, closed_form_tc
from sknumerai.contribution._tc_scorer import TCScorer
from sknumerai.contribution._true_contribution import ContributionInfo, true_contribution

__all__ = [
    "ClosedFormTC",
    "ContributionInfo",
    "TCScorer",
    "adversarial_prediction",
    "closed_form_tc",
    "true_contribution",
]
