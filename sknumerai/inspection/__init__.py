"""Plots of era-wise scores and feature exposures."""

from sknumerai.inspection._era_scores_display import EraScoresDisplay
from sknumerai.inspection._feature_exposure_display import FeatureExposureDisplay

__all__ = ["EraScoresDisplay", "FeatureExposureDisplay"]
