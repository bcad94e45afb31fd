"""True Contribution: the gradient of a portfolio's return with respect to stakes."""

from sknumerai.contribution._closed_form_tc import adversarial_prediction, closed_form_tc
from sknumerai.contribution._closed_form_tc_scorer import ClosedFormTC
from sknumerai.contribution._fit_tc_proxies import TCProxyFit, fit_tc_proxies
from sknumerai.contribution._tc_proxies import tc_proxies
from sknumerai.contribution._tc_scorer import TCScorer
from sknumerai.contribution._true_contribution import ContributionInfo, true_contribution

__all__ = [
    "ClosedFormTC",
    "ContributionInfo",
    "TCProxyFit",
    "TCScorer",
    "adversarial_prediction",
    "closed_form_tc",
    "fit_tc_proxies",
    "tc_proxies",
    "true_contribution",
]
