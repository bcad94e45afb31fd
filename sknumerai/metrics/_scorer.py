"""Scorers that keep the eras: EraScorer, make_era_scorer(), get_era_scorer()."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._columns import take_columns
from sknumerai._frames import Table, one_column
from sknumerai._kernels.aggregate import AGGREGATES
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai._typing import Aggregate, Array, FeatureColumns, ScoreFunction
from sknumerai.metrics._catalogue import SMALLER_IS_BETTER
from sknumerai.metrics._per_era import read_and_group, score_eras
from sknumerai.metrics._scorer_base import ALWAYS_ROUTED, BaseEraScorer

OFTEN_ROUTED = ("meta_model", "example_predictions")


class EraScorer(BaseEraScorer):
    """A scorer for model selection that scores era by era; made by `make_era_scorer`.

    Call it as ``scorer(estimator, X, y, eras=eras)``, or hand it to `cross_validate`,
    `GridSearchCV` and their like with metadata routing on and ``eras`` among their metadata.
    It hands the eras (and ``features``, where given) to the estimator's ``predict``, which
    scikit-learn's own scorers never do.

    Parameters
    ----------
    score_func : callable
    aggregate, greater_is_better, feature_columns
        See `make_era_scorer`.
    **kwargs : dict
        Passed to ``score_func``.
    """

    def __init__(
        self,
        score_func: ScoreFunction,
        *,
        aggregate: Aggregate = "mean",
        greater_is_better: bool = True,
        feature_columns: FeatureColumns = None,
        **kwargs: object,
    ):
        self.score_func: Callable[..., Any] = score_func
        self.aggregate = aggregate
        self.greater_is_better = greater_is_better
        self.feature_columns = feature_columns
        self.kwargs = kwargs
        parameters = signature(score_func).parameters
        self._names = set(parameters)
        required = {
            name
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and name not in ("y_true", "y_pred", *ALWAYS_ROUTED, *kwargs)
        }
        wanted = (self._names & set(OFTEN_ROUTED)) - set(kwargs)
        self._request(sorted(wanted - required), sorted(required))

    def __repr__(self) -> str:
        function = getattr(self.score_func, "__name__", repr(self.score_func))
        aggregate = getattr(self.aggregate, "__name__", None) or repr(self.aggregate)
        parts = [function, f"aggregate={aggregate}"]
        if not self.greater_is_better:
            parts.append("greater_is_better=False")
        if self.feature_columns is not None:
            parts.append(f"feature_columns={self.feature_columns!r}")
        parts += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        parts += [
            f"{param} from {alias!r}" for param, alias in self._aliases().items() if param != alias
        ]
        return f"EraScorer({', '.join(parts)})"

    def _per_era(
        self, predictions: Array, X: Any, y: Any, eras: Any, features: Any, others: dict[str, Any]
    ) -> pd.Series:
        """Score of every era, in their order."""
        arguments: dict[str, Any] = {**self.kwargs, **others}
        if "features" in self._names:
            features = X if features is None else features
            arguments["features"] = take_columns(features, "features", self.feature_columns)
        if "eras" not in self._names:
            return self._one_by_one(predictions, y, eras, arguments, set(others))
        if "y_true" in self._names:
            arguments["y_true"] = y
        if "aggregate" in self._names:
            arguments["aggregate"] = None
        if "missing" in self._names:
            arguments.setdefault("missing", "skip")
        scores: pd.Series = self.score_func(y_pred=predictions, eras=eras, **arguments)
        return scores

    def _one_by_one(
        self,
        predictions: Array,
        y: Any,
        eras: Any,
        arguments: dict[str, Any],
        others: set[str],
    ) -> pd.Series:
        """Scores of a function that knows no eras."""
        values, groups = read_and_group(predictions, eras=eras, name="predictions")
        tables: dict[str, Any] = {"y_pred": values}
        if "y_true" in self._names:
            tables["y_true"] = one_column(y, "y", allow_nan=True)
        for key in ({"features"} & self._names) | others:
            tables[key] = Table(arguments.pop(key), key)
        kernel = _ByEra(self.score_func, tuple(tables), arguments)
        return score_eras(kernel, groups.sorted(), *tables.values()).iloc[:, 0]


class _ByEra:
    """A plain score function as a kernel on one era's blocks."""

    def __init__(self, score_func: Callable[..., Any], names: tuple[str, ...], fixed: Any):
        self.score_func, self.names, self.fixed = score_func, names, fixed

    def __call__(self, *blocks: Array) -> Array:
        arguments = {
            name: block if name == "features" else block[:, 0]
            for name, block in zip(self.names, blocks, strict=True)
        }
        return np.array([float(self.score_func(**arguments, **self.fixed))])


@validate_params(
    {
        "score_func": [callable],
        "aggregate": [StrOptions(set(AGGREGATES)), callable],
        "greater_is_better": ["boolean"],
        "feature_columns": ["array-like", str, callable, slice, None],
    },
    prefer_skip_nested_validation=True,
)
def make_era_scorer(
    score_func: ScoreFunction,
    *,
    aggregate: Aggregate = "mean",
    greater_is_better: bool = True,
    feature_columns: FeatureColumns = None,
    **kwargs: object,
) -> EraScorer:
    """Make a scorer that scores era by era and aggregates.

    Parameters
    ----------
    score_func : callable
        Gets those of ``y_true``, ``y_pred``, ``eras``, ``features``, ``meta_model`` and
        ``example_predictions`` that its signature names, and ``aggregate=None`` if it names
        that; it returns a Series over eras, as the metrics of this package do. Other arguments
        without a default become metadata, too. A function without ``eras`` is called once for
        each era, on arrays, and returns a number.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"} or callable, default="mean"
        How the scores of the eras become one; see `numerai_corr`. A callable gets the Series.
    greater_is_better : bool, default=True
        Whether a greater aggregate is better; if not, the scorer changes its sign.
    feature_columns : list, str, callable or slice, optional
        Which columns of X (or of ``features``, where that is given) are the features of the
        score; all by default.
    **kwargs : dict
        Passed to ``score_func``.

    Returns
    -------
    scorer : EraScorer

    Raises
    ------
    ValueError
        If greater would be better of a standard deviation or drawdown.

    Examples
    --------
    >>> from sknumerai.metrics import make_era_scorer, numerai_corr
    >>> make_era_scorer(numerai_corr, aggregate="sharpe")
    EraScorer(numerai_corr, aggregate='sharpe')
    """
    if aggregate in SMALLER_IS_BETTER and greater_is_better:
        raise ValueError(
            f"greater_is_better=True with aggregate={aggregate!r} would select the model of the "
            "largest risk; pass greater_is_better=False."
        )
    return EraScorer(
        score_func,
        aggregate=aggregate,
        greater_is_better=greater_is_better,
        feature_columns=feature_columns,
        **kwargs,
    )
