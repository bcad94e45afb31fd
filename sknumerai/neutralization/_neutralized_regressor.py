"""The meta-estimator NeutralizedRegressor."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from joblib import Memory
from sklearn import get_config
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.metrics import r2_score
from sklearn.utils import Bunch, Tags, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import (
    check_array,
    check_is_fitted,
    check_memory,
)

from sknumerai._columns import take_columns
from sknumerai._eras import group_eras, require_eras
from sknumerai._routing import accepted_metadata, requests_of
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import _num_samples, check_target, validate_table
from sknumerai._typing import Array, ArrayLike, Eras, FeatureColumns, Regressor, Transformer
from sknumerai.neutralization._riskiest_features import RiskiestFeatures


class NeutralizedRegressor(RegressorMixin, BaseEstimator):
    """A regressor whose predictions are neutralized or clipped, era by era.

    What `TransformedTargetRegressor` is to targets, this is to predictions: ``predict`` hands
    the regressor's predictions, with the features and eras of their rows, to a transformer.

    Parameters
    ----------
    regressor : estimator
        Any regressor; a clone of it is fitted.
    transformer : estimator
        `FeatureNeutralizer` or `ExposureClipper`; a clone of it is fitted. There are no exposures
        of unseen predictions to learn `RiskiestFeatures` from: their method must be another.
    feature_columns : list, str, callable or slice, optional
        The columns of the features (by default all) that the transformer sees: names, a regular
        expression, a callable on the list of names, or positions or a slice for arrays. The
        transformer's own ``feature_columns`` selects among these.
    memory : str or joblib.Memory, optional
        Cache of the fitted regressor, which spares a search over the transformer's parameters
        fitting it anew.

    Attributes
    ----------
    regressor_ : estimator
        The fitted regressor.
    transformer_ : estimator
        The fitted transformer.
    n_features_in_ : int
        Columns of X at `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X had any.
    eras_given_ : bool
        Whether eras were given at `fit`, and therefore are required at `predict`.
    features_given_ : bool
        Whether features were given at `fit` beside X.

    See Also
    --------
    FeatureNeutralizer, ExposureClipper

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sknumerai.neutralization import ExposureClipper, NeutralizedRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.integers(0, 5, (1000, 3), dtype=np.int8)
    >>> y = X @ [0.1, 0.0, -0.2] + rng.normal(size=1000)
    >>> eras = np.repeat(["0001", "0002"], 500)
    >>> model = NeutralizedRegressor(Ridge(), ExposureClipper(0.25)).fit(X, y, eras=eras)
    >>> predictions = model.predict(X[500:], eras="0002")
    >>> [round(float(np.corrcoef(predictions, x)[0, 1]), 3) for x in X[500:].T]
    [0.25, -0.25, -0.25]
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"eras": True, "features": True}
    __metadata_request__predict: ClassVar[dict[str, bool]] = {"eras": True, "features": True}
    __metadata_request__score: ClassVar[dict[str, bool]] = {"eras": True, "features": True}

    def __init__(
        self,
        regressor: Regressor,
        transformer: Transformer,
        *,
        feature_columns: FeatureColumns = None,
        memory: str | Memory | None = None,
    ):
        self.regressor = regressor
        self.transformer = transformer
        self.feature_columns = feature_columns
        self.memory = memory

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
        **fit_params: object,
    ) -> Self:
        """Fit the regressor to (X, y), and the transformer to y as a stand-in for predictions.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row. Given here, they are required at `predict`. The regressor gets
            them, too, where it asks for them. Without, all rows are one era, with a warning; a
            scalar says that they are.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            Features to neutralize against; X by default.
        **fit_params : dict
            Passed to the regressor's ``fit``.

        Returns
        -------
        self : object

        Raises
        ------
        MissingErasError
            If the regressor is a composite, and what needs eras in it cannot get them: they
            travel there by metadata routing only.
        ValueError
            If tables do not fit together, or the transformer would select `RiskiestFeatures` by
            exposures of predictions.
        """
        for name, part in (("regressor", self.regressor), ("transformer", self.transformer)):
            if not hasattr(part, "fit"):
                raise ValueError(f"{name} is {part!r}; pass an estimator.")
        _check_selection(self.transformer)
        check_same_labels(X=X, y=y, eras=eras, features=features, **fit_params)
        X = validate_table(self, X, reset=True, ensure_all_finite=False)
        check_target(self, X, y)
        group_eras(eras, _num_samples(X), max_rows=0)  # warns: training data are never one era
        targets = check_array(y, input_name="y", ensure_2d=False, dtype="numeric")
        routed = self._route("fit", eras, features, X, fit_params)
        fit_cached = check_memory(self.memory).cache(_fit)
        self.regressor_ = fit_cached(clone(self.regressor), X, targets, routed["regressor"]["fit"])
        self.transformer_ = clone(self.transformer).fit(
            targets if targets.ndim == 2 else targets.reshape(-1, 1),
            targets,
            **routed["transformer"]["fit"],
        )
        self.eras_given_ = eras is not None
        self.features_given_ = features is not None
        return self

    def predict(
        self,
        X: ArrayLike,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
        **predict_params: object,
    ) -> Array:
        """Predict, then neutralize or clip the predictions.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row; a scalar for live rows. Required if given at `fit`.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            Features to neutralize against; X by default.
        **predict_params : dict
            Passed to the regressor's ``predict``.

        Returns
        -------
        predictions : ndarray of shape (n_samples,) or (n_samples, n_targets)

        Raises
        ------
        MissingErasError
            If eras were given at `fit` and are not now.
        """
        check_is_fitted(self)
        caller = f"{type(self).__name__}.predict"
        require_eras(eras, given_at_fit=self.eras_given_, caller=caller)
        check_same_labels(X=X, eras=eras, features=features, **predict_params)
        X = validate_table(self, X, reset=False, ensure_all_finite=False)
        routed = self._route("predict", eras, features, X, predict_params)
        predictions = self.regressor_.predict(X, **routed["regressor"]["predict"])
        columns = np.asarray(predictions).reshape(len(predictions), -1)
        changed = np.asarray(
            self.transformer_.transform(columns, **routed["transformer"]["transform"])
        )
        return changed.reshape(np.shape(predictions))

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
    ) -> float:
        """R² of the predictions.

        Neutralizing removes the mean, so that R² speaks of targets with mean zero; era-wise
        scores do not mind.

        Parameters
        ----------
        X, eras, features
            See `predict`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        caller = f"{type(self).__name__}.score"
        require_eras(eras, given_at_fit=self.eras_given_, caller=caller)
        check_same_labels(X=X, y=y, sample_weight=sample_weight, eras=eras, features=features)
        predictions = self.predict(X, eras=eras, features=features)
        return float(r2_score(y, predictions, sample_weight=sample_weight))

    def get_metadata_routing(self) -> MetadataRouter:
        """Metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            To itself, the regressor and the transformer.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                regressor=requests_of(self.regressor),
                method_mapping=MethodMapping()
                .add(caller="fit", callee="fit")
                .add(caller="predict", callee="predict")
                .add(caller="score", callee="predict"),
            )
            .add(
                transformer=self.transformer,
                method_mapping=MethodMapping()
                .add(caller="fit", callee="fit")
                .add(caller="predict", callee="transform")
                .add(caller="score", callee="transform"),
            )
        )

    def _route(
        self,
        method: str,
        eras: Eras | None,
        features: ArrayLike | None,
        X: ArrayLike,
        params: dict[str, Any],
    ) -> Bunch:
        """Arguments for the regressor and the transformer, with metadata routing on or off."""
        chosen = take_columns(X if features is None else features, "features", self.feature_columns)
        given = {"features": chosen} | ({} if eras is None else {"eras": eras})
        step = "fit" if method == "fit" else "transform"
        own = given if features is not None else {"eras": eras}
        for_regressor = accepted_metadata(self.regressor, method, own)
        for_transformer = accepted_metadata(self.transformer, step, given)
        if get_config()["enable_metadata_routing"]:
            return process_routing(self, method, **given, **params)
        return Bunch(
            regressor={method: params | for_regressor}, transformer={step: for_transformer}
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # neutral to X, by design
        tags.target_tags.multi_output = get_tags(self.regressor).target_tags.multi_output
        return tags


def _check_selection(transformer: Any) -> None:
    """Refuse to learn exposures: those of y are returns, those of fitted values are overfitted."""
    parameters = transformer.get_params() if hasattr(transformer, "get_params") else {}
    for choice in parameters.values():
        if isinstance(choice, RiskiestFeatures) and choice.method == "exposure":
            raise ValueError(
                f"The transformer selects {choice!r} by exposures of predictions, and "
                "NeutralizedRegressor fits it to y, before there are predictions of unseen eras; "
                "pass method='return' or method='return_change'."
            )


def _fit(regressor: Any, X: Any, y: Any, params: dict[str, Any]) -> Any:
    return regressor.fit(X, y, **params)
