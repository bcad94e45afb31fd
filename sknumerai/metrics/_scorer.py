"""Scorers that keep the eras: EraScorer, make_era_scorer(), get_era_scorer()."""

from collections.abc import Callable
from inspect import signature
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import StrOptions, validate_params
from sklearn.utils.metadata_routing import MetadataRequest

from sknumerai._eras import EraGroups, group_eras
from sknumerai._frames import Table, read_predictions, take_columns
from sknumerai._routing import predict_with_metadata
from sknumerai._typing import Array, ArrayLike, FeatureColumns
from sknumerai.exceptions import MissingErasError
from sknumerai.metrics._aggregate import AGGREGATES, Aggregate, aggregate_scores
from sknumerai.metrics._per_era import Targets, score_eras

ALWAYS_ROUTED = ("eras", "features")  # they go on to predict, whatever the score needs
ROUTED = (*ALWAYS_ROUTED, "meta_model", "example_predictions")
SMALLER_IS_BETTER = ("std", "max_drawdown")


class EraScorer:
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
        score_func: Callable[..., Any],
        *,
        aggregate: Aggregate = "mean",
        greater_is_better: bool = True,
        feature_columns: FeatureColumns = None,
        **kwargs: Any,
    ):
        self.score_func = score_func
        self.aggregate = aggregate
        self.greater_is_better = greater_is_better
        self.feature_columns = feature_columns
        self.kwargs = kwargs
        parameters = signature(score_func).parameters
        self._names = set(parameters)
        self._required = {
            name
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and name not in ("y_true", "y_pred", *ALWAYS_ROUTED, *kwargs)
        }
        self._metadata_request = MetadataRequest(owner=self)
        for key in (*ROUTED, *sorted(self._required - set(ROUTED))):
            if key in ALWAYS_ROUTED or (key in self._names and key not in kwargs):
                self._metadata_request.score.add_request(param=key, alias=True)

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

    def get_metadata_routing(self) -> MetadataRequest:
        """Metadata that the scorer requests.

        Returns
        -------
        routing : MetadataRequest
        """
        return self._metadata_request

    def set_score_request(self, **requests: bool | str | None) -> Self:
        """Change what metadata is requested, or under which key.

        Parameters
        ----------
        **requests : bool, str or None
            For each argument: True or False, or the key to take it from, as in
            ``set_score_request(meta_model="benchmark")``.

        Returns
        -------
        self : object
        """
        for param, alias in requests.items():
            if param not in self._aliases(every=True):
                raise TypeError(
                    f"{self!r} takes no {param!r}; it takes {', '.join(self._aliases(every=True))}."
                )
            self._metadata_request.score.add_request(param=param, alias=alias)
        return self

    def _aliases(self, *, every: bool = False) -> dict[str, Any]:
        """Arguments and the keys they come from."""
        requests = self._metadata_request.score.requests
        aliases = {param: param if alias is True else alias for param, alias in requests.items()}
        return aliases if every else {p: a for p, a in aliases.items() if isinstance(a, str)}

    def _accept_sample_weight(self) -> bool:
        """Whether it takes sample weights, which scikit-learn asks scorers in a dict."""
        return False

    def __call__(
        self,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        eras: ArrayLike | None = None,
        features: ArrayLike | None = None,
        **metadata: ArrayLike,
    ) -> float:
        """Score an estimator's predictions.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_columns)
        y : array-like of shape (n_samples,)
            Targets; up to a fifth of an era's may be NaN.
        eras : array-like of shape (n_samples,) or scalar
            Era of every row. Required.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            Features for the estimator's ``predict`` and for scores that need them; of X by
            default.
        **metadata : array-like
            What else the score needs, such as ``meta_model``, by that name or by the key that
            it is requested from.

        Returns
        -------
        score : float
            Greater is better.

        Raises
        ------
        MissingErasError
            If there are no eras.
        """
        if eras is None:
            raise MissingErasError(
                f"{self!r} scores era by era and got no eras. Pass them: scorer(estimator, X, y, "
                "eras=eras); in cross_validate or a search, call "
                "sklearn.set_config(enable_metadata_routing=True) first and pass "
                "params={'eras': eras} or fit(X, y, eras=eras)."
            )
        others = self._by_argument(metadata)
        predictions = predict_with_metadata(estimator, X, eras=eras, features=features)
        scores = self._per_era(
            y, _one_column(predictions), eras, X if features is None else features, others
        )
        sign = 1.0 if self.greater_is_better else -1.0
        aggregated: Any = aggregate_scores(scores.to_frame(), self.aggregate).iloc[0]
        return sign * float(aggregated)

    def _by_argument(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """Metadata under the names of the score function's arguments."""
        keys = {param: key for param, key in self._aliases().items() if param not in ALWAYS_ROUTED}
        params = {key: param for param, key in keys.items()} | {param: param for param in keys}
        unknown = metadata.keys() - params.keys()
        if unknown:
            raise TypeError(
                f"{self!r} got {', '.join(map(repr, sorted(unknown)))} and takes only "
                f"{', '.join([*ALWAYS_ROUTED, *keys.values()])}."
            )
        found = {params[key]: value for key, value in metadata.items() if value is not None}
        for param in sorted(self._required - found.keys()):
            raise ValueError(
                f"{self!r} needs {keys.get(param, param)!r}: pass it next to the eras, one value "
                "per row."
            )
        return found

    def _per_era(
        self, y: Any, predictions: Array, eras: Any, features: Any, others: dict[str, Any]
    ) -> pd.Series:
        """Score of every era, in their order."""
        arguments: dict[str, Any] = {**self.kwargs, **others}
        if "features" in self._names:
            arguments["features"] = take_columns(features, "features", self.feature_columns)
        if "eras" in self._names:
            if "y_true" in self._names:
                arguments["y_true"] = y
            if "aggregate" in self._names:
                arguments["aggregate"] = None
            return self.score_func(y_pred=predictions, eras=eras, **arguments)
        groups = group_eras(eras, len(predictions))
        return self._one_by_one(y, predictions, groups, arguments, set(others))

    def _one_by_one(
        self,
        y: Any,
        predictions: Array,
        groups: EraGroups,
        arguments: dict[str, Any],
        others: set[str],
    ) -> pd.Series:
        """Scores of a function that knows no eras."""
        table = Table(predictions, "predictions")
        values = read_predictions(table, groups)
        tables: dict[str, Any] = {"y_pred": Table(values, "predictions")}
        if "y_true" in self._names:
            tables["y_true"] = Targets(Table(y, "y"))
        for key in ({"features"} & self._names) | others:
            tables[key] = Table(arguments.pop(key), key)
        kernel = _ByEra(self.score_func, tuple(tables), arguments)
        return score_eras(kernel, groups, table, *tables.values()).iloc[:, 0]


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


def _one_column(predictions: Any) -> Array:
    values = np.asarray(predictions)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            f"An era scorer scores one prediction and predict returned shape {values.shape}; "
            "score the targets one at a time."
        )
    return values


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
    score_func: Callable[..., Any],
    *,
    aggregate: Aggregate = "mean",
    greater_is_better: bool = True,
    feature_columns: FeatureColumns = None,
    **kwargs: Any,
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
