"""Plots of era-wise scores, feature exposures, their frontier, and of what tells TC."""

from sknumerai.inspection._era_scores_display import EraScoresDisplay
from sknumerai.inspection._exposure_frontier_display import ExposureFrontierDisplay
from sknumerai.inspection._feature_exposure_display import FeatureExposureDisplay
from sknumerai.inspection._tc_proxy_display import TCProxyDisplay

__all__ = [
    "EraScoresDisplay",
    "ExposureFrontierDisplay",
    "FeatureExposureDisplay",
    "TCProxyDisplay",
]
