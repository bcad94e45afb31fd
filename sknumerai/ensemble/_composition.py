"""What an ensemble is made of: members and their parameters, and the metadata that each gets."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from sknumerai._eras import require_eras
from sknumerai._routing import requests_of
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import _check_feature_names_in, validate_table
from sknumerai._typing import Array, ArrayLike, Eras, Frame
from sknumerai.ensemble._blend_score import read_scorer
from sknumerai.ensemble._members import DROP, Member, read_members
from sknumerai.ensemble._training import predict_members


class Composition(RegressorMixin, TransformerMixin, BaseEstimator):
    """Base of an ensemble: its members as parameters and as transformers, and routing to them."""

    estimators: Any
    weights: Any
    transformer: Any
    scoring: Any
    weights_: pd.Series
    estimators_: list[Any]
    eras_given_: bool

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the ensemble.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add the members by their names, and their parameters, as in
            ``"name__alpha"``.

        Returns
        -------
        params : dict
        """
        params: dict[str, Any] = super().get_params(deep=deep)
        for name, member in self._named_members() if deep else ():
            params[name] = member
            if hasattr(member, "get_params") and not isinstance(member, type):
                params |= {f"{name}__{key}": value for key, value in member.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change parameters.

        Parameters
        ----------
        **params : dict
            Of the ensemble, or of a member, as in ``name__alpha=1.0``; ``name=other`` replaces a
            member, whose target stays, and ``name="drop"`` leaves it out.

        Returns
        -------
        self : object
        """
        if "estimators" in params:
            self.estimators = params.pop("estimators")
        new = {name: params.pop(name) for name, _ in self._named_members() if name in params}
        if new:
            self.estimators = [
                (entry[0], new.get(entry[0], entry[1]), *entry[2:]) for entry in self.estimators
            ]
        super().set_params(**params)
        return self

    def _named_members(self) -> list[tuple[str, Any]]:
        """Names and members, of whatever is there before it is checked."""
        entries = self.estimators if isinstance(self.estimators, list | tuple) else ()
        return [
            (entry[0], entry[1])
            for entry in entries
            if isinstance(entry, list | tuple) and len(entry) in (2, 3)
            if isinstance(entry[0], str)
        ]

    def transform(
        self, X: ArrayLike, *, eras: Eras | None = None, features: ArrayLike | None = None
    ) -> Array | Frame:
        """Predict with every member.

        Parameters
        ----------
        X, eras, features
            See `predict`.

        Returns
        -------
        predictions : ndarray or DataFrame of shape (n_samples, n_members)
            As the members make them, neither ranked nor blended.
        """
        return self._predict_members(self._read("transform", X, eras, features), eras, features)

    def fit_transform(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Array | Frame:
        """Fit, then predict with every member.

        Parameters
        ----------
        X, y, eras, features, **fit_params
            See `fit`.

        Returns
        -------
        predictions : ndarray or DataFrame of shape (n_samples, n_members)
        """
        fitted = self.fit(X, y, eras=eras, features=features, **fit_params)
        predictions: Array | Frame = fitted.transform(X, eras=eras, features=features)
        return predictions

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Array:
        """Names of the members' predictions, as those of `VotingRegressor`.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        prefix = type(self).__name__.lower()
        return np.asarray([f"{prefix}_{name}" for name in self.weights_.index], dtype=object)

    def get_metadata_routing(self) -> MetadataRouter:
        """Metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            To itself, the members, the transformer and the scorer.
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        at_work = MethodMapping().add(caller="fit", callee="fit")
        for caller in ("predict", "transform", "score"):
            at_work.add(caller=caller, callee="predict")
        for member in self._read_members():
            if member.estimator != DROP:
                request = requests_of(member.estimator)
                router.add(**{member.name: request}, method_mapping=at_work)
        if self.transformer is not None:
            mapping = MethodMapping().add(caller="fit", callee="fit")
            for caller in ("predict", "score"):
                mapping.add(caller=caller, callee="transform")
            router.add(transformer=self.transformer, method_mapping=mapping)
        # of fit, too, where weights are not selected: a search may come to others that are
        scored = MethodMapping().add(caller="score", callee="score")
        scored.add(caller="fit", callee="score")
        return router.add(scoring=read_scorer(self.scoring), method_mapping=scored)

    def _read_members(self) -> list[Member]:
        return read_members(self.estimators, reserved=self.get_params(deep=False).keys())

    def _route(
        self, own: dict[str, Any], params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Metadata of ``fit`` for the members, and those for the scorer."""
        requests = read_scorer(self.scoring).get_metadata_routing().score.requests
        if get_config()["enable_metadata_routing"]:
            given = {key: value for key, value in own.items() if value is not None}
            for_scorer = process_routing(self, "fit", **given, **params)["scoring"]["score"]
            return params, {key: for_scorer[key] for key in for_scorer.keys() - own.keys()}
        asked = requests.keys() | {alias for alias in requests.values() if isinstance(alias, str)}
        for_scorer = {key: params[key] for key in params.keys() & asked}
        return {key: params[key] for key in params.keys() - asked}, for_scorer

    def _read(self, method: str, X: Any, eras: Eras | None, features: ArrayLike | None) -> Any:
        """X as members get it, checked to go with the eras and features."""
        check_is_fitted(self)
        caller = f"{type(self).__name__}.{method}"
        require_eras(eras, given_at_fit=self.eras_given_, caller=caller)
        check_same_labels(X=X, eras=eras, features=features)
        return validate_table(self, X, reset=False, ensure_all_finite=False)

    def _predict_members(self, X: Any, eras: Eras | None, features: ArrayLike | None) -> Array:
        """One column of predictions for each member."""
        own = {"eras": eras, "features": features}
        return predict_members(self.weights_.index, self.estimators_, X, own)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        regressors = [member for _, member in self._named_members() if hasattr(member, "fit")]
        tags.input_tags.allow_nan = all(get_tags(each).input_tags.allow_nan for each in regressors)
        tags.transformer_tags.preserves_dtype = []
        return tags
