"""The meta-estimator EraBoostedRegressor."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from sknumerai._eras import EraGroups, group_eras
from sknumerai._routing import requests_of
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import (
    Interval,
    _check_method_params,
    _fit_context,
    _num_samples,
    _safe_indexing,
    check_target,
    validate_table,
)
from sknumerai._typing import Array, ArrayLike, Eras, Regressor
from sknumerai.boosting._continued_training import continued_training
from sknumerai.boosting._era_score import EraScore


class EraBoostedRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Boosting whose later trees see only the eras that the earlier ones predict worst.

    The first round trains on all eras. Before every further round all training rows are
    predicted, and the round goes on with the eras that score worst [1]_.

    Parameters
    ----------
    regressor : estimator
        One that can go on training: of LightGBM, XGBoost or CatBoost, or scikit-learn's
        `HistGradientBoostingRegressor`, `GradientBoostingRegressor` or a forest. Its number of
        trees is that of one round. Its own early stopping would stop rounds, and is best off.
    n_rounds : int, default=10
        Rounds, the first one included.
    proportion : float, default=0.5
        Share of the eras, in (0, 1], that are trained on after the first round; at least one era.
        With 1 all rounds see all eras, as without era boosting.
    scoring : str or callable, default="numerai_corr"
        By which an era is bad: the name of a metric that needs targets and predictions only, or
        a function of ``y_true`` and ``y_pred``, arrays of one era, that returns a number, of
        which greater is better. An era whose score is NaN is the worst.

    Attributes
    ----------
    regressor_ : estimator
        The fitted regressor, with the trees of all rounds.
    era_scores_ : DataFrame of shape (n_rounds, n_eras)
        Training score of every era after each round.
    eras_trained_ : DataFrame of shape (n_rounds, n_eras), bool
        Whether a round was trained on an era.
    n_features_in_ : int
        Columns of X at `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X had any.

    See Also
    --------
    era_eval_metric : Early stopping by the scores of eras.

    Notes
    -----
    The training scores become more alike, as they must: this is what is trained on. Scores of
    other eras need not follow; the user guide has an experiment in which they do not. Compare
    with `proportion` 1 on eras that were not trained on.

    After the first round, XGBoost, LightGBM and CatBoost get another seed for every round,
    derived from the regressor's.

    References
    ----------
    .. [1] "Era Boosted Models", Numerai forum, 2020,
       https://forum.numer.ai/t/era-boosted-models/189

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from sknumerai.boosting import EraBoostedRegressor
    >>> from sknumerai.datasets import make_tournament
    >>> tournament = make_tournament(n_eras=8, n_stocks=100, n_features=10, random_state=0)
    >>> trees = HistGradientBoostingRegressor(max_iter=5, max_depth=3, early_stopping=False)
    >>> model = EraBoostedRegressor(trees, n_rounds=4)
    >>> model = model.fit(tournament.data, tournament.target, eras=tournament.eras)
    >>> model.regressor_.n_iter_, model.eras_trained_.sum(axis=1).tolist()
    (20, [8, 4, 4, 4])
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"eras": True}
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "proportion": [Interval(Real, 0, 1, closed="right")],
        "scoring": [str, callable],
    }

    def __init__(
        self,
        regressor: Regressor,
        *,
        n_rounds: int = 10,
        proportion: float = 0.5,
        scoring: str | Callable[[Array, Array], float] = "numerai_corr",
    ):
        self.regressor = regressor
        self.n_rounds = n_rounds
        self.proportion = proportion
        self.scoring = scoring

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: ArrayLike, y: ArrayLike, *, eras: Eras | None = None, **fit_params: object
    ) -> Self:
        """Fit the regressor, round by round.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row, in any order. Without, all rows are one era, with a warning, and
            all rounds see all rows.
        **fit_params : dict
            Passed to the regressor's ``fit`` in every round; of what has one entry per row, such
            as ``sample_weight``, the rows of the round.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the regressor cannot go on training, or `scoring` needs more than targets and
            predictions.
        """
        training = continued_training(self.regressor)
        check_same_labels(X=X, y=y, eras=eras, **fit_params)
        X = validate_table(self, X, reset=True, ensure_all_finite=False)
        check_target(self, X, y)
        targets = check_array(y, input_name="y", ensure_2d=False, dtype="numeric")
        targets = column_or_1d(targets, warn=True)
        groups = group_eras(eras, _num_samples(X), max_rows=0)  # warns: never one era
        params = self._route(eras, fit_params)
        score_eras = self._era_scores(groups, targets)
        trained = [np.ones(len(groups), dtype=bool)]
        scores: list[Array] = []
        for _ in range(self.n_rounds):
            if scores:
                trained.append(self._worst(scores[-1]))
            if trained[-1].all():
                regressor = training.fit(X, targets, params)
            else:
                rows = groups.indices(np.flatnonzero(trained[-1]))
                part = _check_method_params(X, params, indices=rows)
                regressor = training.fit(_safe_indexing(X, rows), targets[rows], part)
            scores.append(score_eras(np.asarray(regressor.predict(X)).reshape(-1)))
        self.regressor_ = regressor
        rounds = pd.RangeIndex(1, self.n_rounds + 1, name="round")
        labels = pd.Index(groups.labels, name="era")
        self.era_scores_ = pd.DataFrame(np.array(scores), rounds, labels)
        self.eras_trained_ = pd.DataFrame(np.array(trained), rounds, labels)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Predict by the trees of all rounds.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)

        Returns
        -------
        predictions : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        X = validate_table(self, X, reset=False, ensure_all_finite=False)
        return np.asarray(self.regressor_.predict(X)).reshape(-1)

    def _worst(self, scores: Array) -> Array:
        """Which eras score worst; all that are no better than the last of them, of ties."""
        scores = np.where(np.isnan(scores), -np.inf, scores)
        n_worst = ceil(self.proportion * len(scores))
        worst: Array = scores <= np.sort(scores)[n_worst - 1]
        return worst

    def _era_scores(self, groups: EraGroups, targets: Array) -> Callable[[Array], Array]:
        """Scores of all eras as a function of the predictions, greater ones better."""
        if callable(self.scoring):
            return _ScoredByFunction(self.scoring, groups, targets)
        score = EraScore(self.scoring, "mean", None)
        if score.needed or not score.greater_is_better:
            raise ValueError(
                f"scoring is {self.scoring!r}, which needs {', '.join(score.needed)}; pass one of "
                "targets and predictions only, such as 'numerai_corr'."
            )
        return score.per_era(groups, targets, {})

    def _route(self, eras: Eras | None, fit_params: dict[str, Any]) -> dict[str, Any]:
        """Parameters for the regressor, with metadata routing on or off."""
        if not get_config()["enable_metadata_routing"]:
            return fit_params
        given = {} if eras is None else {"eras": eras}
        routed: dict[str, Any] = process_routing(self, "fit", **given, **fit_params).regressor.fit
        return dict(routed)

    def get_metadata_routing(self) -> MetadataRouter:
        """Metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            To itself and the regressor.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                regressor=requests_of(self.regressor),
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = get_tags(self.regressor).input_tags.allow_nan
        return tags


class _ScoredByFunction:
    """Scores of all eras by a function of one era's targets and predictions."""

    def __init__(self, score: Callable[[Array, Array], float], groups: EraGroups, targets: Array):
        self.score, self.rows, self.targets = score, groups.rows, targets

    def __call__(self, predictions: Array) -> Array:
        return np.array(
            [float(self.score(self.targets[rows], predictions[rows])) for rows in self.rows]
        )
