"""Splitters over eras that respect overlapping targets, and out-of-fold predictions."""

from sknumerai.model_selection._combinatorial_purged_era_cv import CombinatorialPurgedEraCV
from sknumerai.model_selection._era_cross_val_predict import era_cross_val_predict
from sknumerai.model_selection._era_time_series_split import EraTimeSeriesSplit
from sknumerai.model_selection._purged_era_kfold import PurgedEraKFold

__all__ = [
    "CombinatorialPurgedEraCV",
    "EraTimeSeriesSplit",
    "PurgedEraKFold",
    "era_cross_val_predict",
]
