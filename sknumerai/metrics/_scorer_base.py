"""What scorers that score era by era share: routing of metadata, eras, predictions, aggregates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.metadata_routing import MetadataRequest

from sknumerai._routing import predict_with_metadata
from sknumerai._rows import check_same_labels
from sknumerai._typing import Aggregate, Array, ArrayLike, ArraysByEra, Eras, Predictor
from sknumerai.exceptions import MissingErasError
from sknumerai.metrics._aggregate import aggregate_scores

ALWAYS_ROUTED = ("eras", "features")  # they go on to predict, whatever the score needs


class BaseEraScorer:
    """A scorer for model selection that scores era by era.

    Parameters
    ----------
    aggregate : {"mean", "std", "sharpe", "max_drawdown"} or callable
    optional, required : iterable of str
        Metadata of the score besides eras and features.
    """

    aggregate: Aggregate
    greater_is_better = True

    def _request(self, optional: Iterable[str], required: Iterable[str] = ()) -> None:
        """Ask for metadata, under its own name."""
        self._required = set(required)
        self._metadata_request = MetadataRequest(owner=self)
        for key in (*ALWAYS_ROUTED, *optional, *required):
            self._metadata_request.score.add_request(param=key, alias=True)

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

    def __call__(
        self,
        estimator: Predictor,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
        **metadata: ArrayLike | ArraysByEra | None,
    ) -> float:
        """Score an estimator's predictions.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_columns)
        y : array-like of shape (n_samples,)
            Targets; up to a fifth of an era's may be NaN. Scorers of contributions take them for
            the returns where there are none among the metadata.
        eras : array-like of shape (n_samples,) or scalar
            Era of every row. Required.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            Features for the estimator's ``predict`` and for scores that need them; of X by
            default.
        **metadata : array-like, DataFrame, Series or dict
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
        ValueError
            If the tables do not hold the same rows, or as the score raises.
        """
        if eras is None:
            raise MissingErasError(
                f"{self!r} scores era by era and got no eras. Pass them: scorer(estimator, X, y, "
                "eras=eras); in cross_validate or a search, call "
                "sklearn.set_config(enable_metadata_routing=True) first and pass "
                "params={'eras': eras} or fit(X, y, eras=eras)."
            )
        others = self._by_argument(metadata)
        check_same_labels(X=X, y=y, eras=eras, features=features, **others)
        predictions = self._predict(estimator, X, eras, features)
        scores = self._per_era(predictions, X, y, eras, features, others)
        sign = 1.0 if self.greater_is_better else -1.0
        aggregated: Any = aggregate_scores(scores.to_frame(), self.aggregate).iloc[0]
        return sign * float(aggregated)

    @abstractmethod
    def _per_era(
        self, predictions: Array, X: Any, y: Any, eras: Any, features: Any, others: dict[str, Any]
    ) -> pd.Series:
        """Score of every era, in their order."""

    def _accept_sample_weight(self) -> bool:
        """Whether it takes sample weights, which scikit-learn asks scorers in a dict."""
        return False

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

    def _predict(self, estimator: Any, X: ArrayLike, eras: Any, features: Any) -> Array:
        """One prediction per row."""
        values = np.asarray(predict_with_metadata(estimator, X, eras=eras, features=features))
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise ValueError(
                f"An era scorer scores one prediction and predict returned shape {values.shape}; "
                "score the targets one at a time."
            )
        return values
