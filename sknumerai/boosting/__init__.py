"""Boosting by eras: metrics for LightGBM, XGBoost and CatBoost, and regressors."""

from sknumerai.boosting._benchmark_residual_regressor import BenchmarkResidualRegressor
from sknumerai.boosting._era_boosted_regressor import EraBoostedRegressor
from sknumerai.boosting._era_eval_metric import era_eval_metric

__all__ = ["BenchmarkResidualRegressor", "EraBoostedRegressor", "era_eval_metric"]
