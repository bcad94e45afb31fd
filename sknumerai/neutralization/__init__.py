"""Neutralization of predictions against features, and clipping of feature exposures."""

from sknumerai.neutralization._clip_exposure import clip_exposure
from sknumerai.neutralization._clipping import ClipRecord
from sknumerai.neutralization._exposure_clipper import ExposureClipper
from sknumerai.neutralization._feature_neutralizer import FeatureNeutralizer
from sknumerai.neutralization._neutralize import neutralize
from sknumerai.neutralization._neutralized_regressor import NeutralizedRegressor
from sknumerai.neutralization._riskiest_features import RiskiestFeatures
from sknumerai.neutralization._tune_exposure import tune_exposure

__all__ = [
    "ClipRecord",
    "ExposureClipper",
    "FeatureNeutralizer",
    "NeutralizedRegressor",
    "RiskiestFeatures",
    "clip_exposure",
    "neutralize",
    "tune_exposure",
]
