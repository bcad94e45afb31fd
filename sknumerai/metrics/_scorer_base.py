"""What scorers that score era by era share: routing of metadata, eras, predictions, aggregates."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.metadata_routing import MetadataRequest

from sknumerai._routing import predict_with_metadata
from sknumerai._typing import Array, ArrayLike
from sknumerai.exceptions import MissingErasError
from sknumerai.metrics._aggregate import Aggregate, aggregate_scores

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

    def _require_eras(self, eras: ArrayLike | None) -> None:
        if eras is None:
            raise MissingErasError(
                f"{self!r} scores era by era and got no eras. Pass them: scorer(estimator, X, y, "
                "eras=eras); in cross_validate or a search, call "
                "sklearn.set_config(enable_metadata_routing=True) first and pass "
                "params={'eras': eras} or fit(X, y, eras=eras)."
            )

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

    def _total(self, scores: pd.Series) -> float:
        """The eras' scores as one number, of which greater is better."""
        sign = 1.0 if self.greater_is_better else -1.0
        aggregated: Any = aggregate_scores(scores.to_frame(), self.aggregate).iloc[0]
        return sign * float(aggregated)
