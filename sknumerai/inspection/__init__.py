"""Plots of era-wise scores, feature exposures and what tells True Contribution."""

from sknumerai.inspection._era_scores_display import EraScoresDisplay
from sknumerai.inspection._feature_exposure_display import FeatureExposureDisplay
from sknumerai.inspection._tc_proxy_display import TCProxyDisplay

__all__ = ["EraScoresDisplay", "FeatureExposureDisplay", "TCProxyDisplay"]
