"""Blends of predictions, and ensembles of regressors, era by era."""

from sknumerai.ensemble._blend import blend
from sknumerai.ensemble._era_ensemble import EraEnsemble
from sknumerai.ensemble._select_weights import select_weights

__all__ = ["EraEnsemble", "blend", "select_weights"]
