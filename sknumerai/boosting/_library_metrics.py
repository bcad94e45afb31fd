"""The faces that an era metric has for each library."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from sknumerai._typing import Array
from sknumerai.boosting._era_score import EraScore
from sknumerai.boosting._evaluation_sets import EvaluationSets

# Of names of custom metrics, by which XGBoost decides to maximize.
MAXIMIZED_BY_XGBOOST = ("auc", "pre", "map", "ndcg")
WORST_FINITE = 1e30  # for CatBoost, which cannot write down an infinite score


class EraEvalMetric:
    """A metric of boosting, bound to the eras of its evaluation sets.

    A copy, which LightGBM and `clone` make, shares the tables, and has seen no targets yet.

    Parameters
    ----------
    score : EraScore
    sets : EvaluationSets
    name : str
        What curves call it.
    """

    def __init__(self, score: EraScore, sets: EvaluationSets, name: str):
        self.score, self.sets, self.name = score, sets, name
        self.__name__ = name  # XGBoost and LightGBM ask functions for it

    def __repr__(self) -> str:
        rows = ", ".join(str(one.n_rows) for one in self.sets.sets)
        return f"{type(self).__name__}({self.name!r}, rows=[{rows}])"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"sets": self.sets.unseen()}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(self.__getstate__())
        return copied

    def _value(self, y_true: Any, y_pred: Any, *, worst: float = math.inf) -> float | None:
        """The score as it is, the worst possible one for NaN; None for rows of the training."""
        value = self.sets.evaluate(y_true, y_pred)
        if value is not None and math.isnan(value):
            return -worst if self.score.greater_is_better else worst
        return value


class LightGBMEraMetric(EraEvalMetric):
    """``eval_metric`` of `LGBMModel.fit`, and ``feval`` of `lightgbm.train`."""

    def __call__(self, y_true: Any, y_pred: Any) -> tuple[str, float, bool]:
        if hasattr(y_pred, "get_label"):  # lightgbm.train: predictions first, then the Dataset
            y_true, y_pred = y_pred.get_label(), y_true
        value = self._value(y_true, y_pred)
        assert value is not None
        return self.name, value, self.score.greater_is_better


class XGBoostEraMetric(EraEvalMetric):
    """``eval_metric`` of `XGBModel`, and ``custom_metric`` of `xgboost.train`: less is better."""

    def __call__(self, y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> Any:
        native = hasattr(y_pred, "get_label")
        if native:  # xgboost.train: predictions first, then the DMatrix
            y_true, y_pred = y_pred.get_label(), y_true
        value = self._value(y_true, y_pred)
        assert value is not None
        value = -value if self.score.greater_is_better else value
        return (self.name, value) if native else value


class CatBoostEraMetric(EraEvalMetric):
    """``eval_metric`` of CatBoost; rows of the training, which it evaluates, too, score zero.

    Attributes
    ----------
    no_jit : bool
        Tells CatBoost not to try to compile it.
    """

    no_jit = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # CatBoost copies its parameters, and `clone` insists that they stay the same

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_catboost, (self.name,), self.__getstate__()

    def is_max_optimal(self) -> bool:
        """Whether greater is better."""
        return self.score.greater_is_better

    def evaluate(self, approxes: Any, target: Any, weight: Any) -> tuple[float, float]:
        """The score, and the weight one."""
        if len(approxes) != 1:
            raise ValueError(
                f"CatBoost predicts {len(approxes)} columns; an era metric scores one prediction."
            )
        # copies: what CatBoost hands over is gone after the call, and an error's traceback is not
        value = self._value(np.array(target), np.array(approxes[0]), worst=WORST_FINITE)
        return (0.0 if value is None else value), 1.0

    def get_final_error(self, error: float, weight: float) -> float:
        """The score itself."""
        return error


class ScikitLearnEraMetric(EraEvalMetric):
    """``scoring`` of `HistGradientBoostingRegressor` that is fitted with ``X_val``."""

    def __call__(
        self, estimator: Any, X: Any, y: Array, *, sample_weight: Array | None = None
    ) -> float:
        value = self._value(y, np.asarray(estimator.predict(X)))
        if value is None:
            return float("nan")
        return value if self.score.greater_is_better else -value


def _rebuild_catboost(name: str) -> CatBoostEraMetric:
    metric: CatBoostEraMetric = object.__new__(_catboost_class(name))
    return metric


def _catboost_class(name: str) -> type[CatBoostEraMetric]:
    """A class of that name, which is what CatBoost calls a metric by."""
    return type(name, (CatBoostEraMetric,), {"__doc__": CatBoostEraMetric.__doc__})


def make_metric(library: str, score: EraScore, sets: EvaluationSets) -> EraEvalMetric:
    """The face of a score for a library."""
    if library == "lightgbm":
        return LightGBMEraMetric(score, sets, score.name)
    if library == "scikit-learn":
        return ScikitLearnEraMetric(score, sets, score.name)
    if library == "catboost":
        return _catboost_class(score.name)(score, sets, score.name)
    if score.greater_is_better:
        return XGBoostEraMetric(score, sets, f"neg_{score.name}")
    prefix = "era_" if score.name.startswith(MAXIMIZED_BY_XGBOOST) else ""
    return XGBoostEraMetric(score, sets, prefix + score.name)
