"""The meta-estimator EraEnsemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import Bunch

from sknumerai._eras import group_eras, group_tables
from sknumerai._frames import Table
from sknumerai._routing import accepted_metadata
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import (
    StrOptions,
    _num_samples,
    check_target,
    validate_table,
)
from sknumerai._typing import Array, ArrayLike, Eras, Splitter, Transformer
from sknumerai.ensemble._blend import (
    ONE_ERA,
    Weights,
    blend_table,
    check_transformer,
    read_weights,
    take_rows,
    transform_known,
)
from sknumerai.ensemble._blend_score import BlendScore, read_scorer, score_values
from sknumerai.ensemble._composition import Composition
from sknumerai.ensemble._members import DROP, main_target, read_targets
from sknumerai.ensemble._select_weights import select_greedily
from sknumerai.ensemble._training import (
    fit_members,
    make_splits,
    plan_training,
    predict_out_of_fold,
)
from sknumerai.exceptions import MissingErasError

SELECT = "select"


class EraEnsemble(Composition):
    """Regressors whose predictions are blended, era by era.

    What `VotingRegressor` is with plain means, this is with `blend`: in each era the members'
    predictions are gaussianized by rank, standardized, summed with weights, gaussianized again
    and, with a transformer, neutralized.

    Parameters
    ----------
    estimators : list of (str, estimator) or (str, estimator, target)
        Names and regressors; clones of these are fitted. The third part is the column of y that
        a member is trained on, by name (by number for arrays); the first column by default.
        ``set_params(name="drop")`` leaves a member out.
    weights : "select", array-like, Series or dict, default=None
        One weight for each of ``estimators``, of which only ratios matter; a Series or dict goes
        by their names. None: equal weights. "select": chosen at `fit` on out-of-fold
        predictions, as `select_weights` does with ``method="greedy"``, before any transformer.
    transformer : estimator, optional
        `FeatureNeutralizer` or `ExposureClipper`, which changes the blend; a clone of it is
        fitted.
    scoring : str or callable, default="numerai_corr"
        What weights are selected by, and what `score` returns: name of an era scorer (see
        `get_era_scorer_names`), an era scorer, or a score function for `make_era_scorer`.
    cv : splitter, int or iterable of (train, test), optional
        Makes the folds for ``weights="select"``; gets the eras as groups. None, or a number of
        folds, means `PurgedEraKFold`.
    n_jobs : int, optional
        Members, or folds, fitted in parallel, as in joblib.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members.
    named_estimators_ : :class:`~sklearn.utils.Bunch`
        The same by name.
    weights_ : Series of shape (n_members,)
        Their weights, by name.
    transformer_ : estimator or None
        The fitted transformer.
    members_ : DataFrame of shape (n_members, 4)
        With ``weights="select"``, what out-of-fold predictions say of each member:

        - score: of the member alone.
        - weight: as in ``weights_``.
        - correlation: with the blend of the others, Pearson's of the gaussianized, mean of eras.
        - cost: how much less the ensemble scores without the member.

        NaN where there is no score, or there are no others.
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
    blend : The same of predictions.
    select_weights : Weights of predictions.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.ensemble import EraEnsemble
    >>> from sknumerai.model_selection import PurgedEraKFold
    >>> tournament = make_tournament(20, 100, 5, nonlinear_corr=0.3, random_state=0)
    >>> model = EraEnsemble(
    ...     [("linear", Ridge()), ("tree", DecisionTreeRegressor(max_depth=4, random_state=0))],
    ...     weights="select",
    ...     cv=PurgedEraKFold(2),
    ... )
    >>> model = model.fit(tournament.data, tournament.target, eras=tournament.eras)
    >>> model.weights_.idxmax()
    'tree'
    >>> model.predict(tournament.data[:100], eras="X").shape
    (100,)
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "weights": [StrOptions({SELECT}), "array-like", dict, None],
        "scoring": [str, callable],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
    }

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"eras": True, "features": True}
    __metadata_request__predict: ClassVar[dict[str, bool]] = {"eras": True, "features": True}
    __metadata_request__transform: ClassVar[dict[str, bool]] = {"eras": True, "features": True}
    __metadata_request__score: ClassVar[dict[str, bool]] = {"eras": True, "features": True}

    members_: pd.DataFrame

    def __init__(
        self,
        estimators: Sequence[tuple[Any, ...]],
        *,
        weights: Weights | str = None,
        transformer: Transformer | None = None,
        scoring: str | Callable[..., Any] = "numerai_corr",
        cv: Splitter | int | Iterable[tuple[Array, Array]] | None = None,
        n_jobs: int | None = None,
    ):
        self.estimators = estimators
        self.weights = weights
        self.transformer = transformer
        self.scoring = scoring
        self.cv = cv
        self.n_jobs = n_jobs

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Fit the members, and select their weights if asked to.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            A table of targets if a member names one. Its first column is the target of the
            members that name none, and of the scores. Rows where a column is NaN are left out of
            the training of the members that it is the target of.
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row. Given here, they are required at `predict`. Members get them where
            they ask for them. Without, all rows are one era, with a warning; a scalar says that
            they are.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            Features for the transformer and the scorer, which get X by default, and for members
            that ask for them.
        **fit_params : dict
            What the scorer asks for, such as ``meta_model``, which is used where weights are
            selected; and metadata of the members: with metadata routing on for those that request
            them, with routing off for all.

        Returns
        -------
        self : object

        Raises
        ------
        MissingErasError
            If weights are to be selected and there are no eras, or what needs eras inside of a
            member cannot get them.
        ValueError
            If members, targets, weights and tables do not fit together.
        """
        self._validate_params()
        check_transformer(self.transformer)
        if hasattr(self, "members_"):  # of a fit that selected weights
            del self.members_
        members = self._read_members()
        kept = [member for member in members if member.estimator != DROP]
        names = [member.name for member in kept]
        selecting = isinstance(self.weights, str)
        if selecting and eras is None:
            raise MissingErasError(
                "weights='select' scores era by era and there are no eras; pass eras=..., or "
                "weights of your own."
            )
        check_same_labels(X=X, y=y, eras=eras, features=features, **fit_params)
        X = validate_table(self, X, reset=True, ensure_all_finite=False)
        check_target(self, X, y)
        group_eras(eras, _num_samples(X), max_rows=0)  # warns: training data are never one era
        targets, columns = read_targets(y, kept)
        own = {"eras": eras, "features": features}
        params, for_scorer = self._route(own, fit_params)
        trainings = [
            plan_training(member, targets[:, column], own, params)
            for member, column in zip(kept, columns, strict=True)
        ]
        own["features"] = X if features is None else features
        if selecting:
            splits = make_splits(self.cv, X, y, eras)
            tested, predictions = predict_out_of_fold(trainings, X, eras, splits, self.n_jobs)
            given = {**own, **for_scorer}
            if len(tested) < len(targets):
                given = take_rows(X, given, tested)
            score = self._score_of_weights(predictions, targets[tested, 0], **given)
            weights = select_greedily(score)
            self.members_ = score.table(weights, names)
        else:
            weights = read_weights(self.weights, [member.name for member in members])
            weights = weights[[member.estimator != DROP for member in members]]
            weights = read_weights(None if self.weights is None else weights, names)
        self.weights_ = pd.Series(weights, pd.Index(names, name="member"), name="weight")
        self.estimators_ = fit_members(trainings, X, self.n_jobs)
        self.named_estimators_ = Bunch(**dict(zip(names, self.estimators_, strict=True)))
        self.transformer_ = None
        if self.transformer is not None:  # which learns no values, so that the target may stand in
            at_fit = accepted_metadata(self.transformer, "fit", own)
            self.transformer_ = clone(self.transformer).fit(np.nan_to_num(targets[:, :1]), **at_fit)
        self.eras_given_ = eras is not None
        self.features_given_ = features is not None
        return self

    def predict(
        self, X: ArrayLike, *, eras: Eras | None = None, features: ArrayLike | None = None
    ) -> Array:
        """Predict with every member, and blend.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row; a scalar for live rows. Required if given at `fit`.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            Features for the transformer, which gets X by default, and for members that ask for
            them.

        Returns
        -------
        predictions : ndarray of shape (n_samples,)
            Normal quantiles of ranks, unless a transformer changed them. NaN, with one warning,
            in eras where a member that has a weight predicts a constant.

        Raises
        ------
        MissingErasError
            If eras were given at `fit` and are not now.
        """
        X = self._read("predict", X, eras, features)
        table = Table(self._predict_members(X, eras, features), "predictions")
        blended = blend_table(table, group_tables(eras, table), self.weights_.to_numpy())
        if self.transformer_ is not None:
            given = {"eras": eras, "features": X if features is None else features}
            given = accepted_metadata(self.transformer_, "transform", given)
            blended = transform_known(self.transformer_.transform, blended, given)
        return blended[:, 0]

    def score(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: None = None,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
        **metadata: Any,
    ) -> float:
        """Score of the predictions by ``scoring``.

        Parameters
        ----------
        X, eras, features
            See `predict`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Of a table of targets, the first column counts.
        sample_weight : None
            Pipelines pass it; an era's score knows no weights.
        **metadata : dict
            What the scorer needs besides, such as ``meta_model``.

        Returns
        -------
        score : float
            Greater is better. NaN where a prediction is.
        """
        if sample_weight is not None:
            raise ValueError("sample_weight was given and scores of eras have none; leave it out.")
        check_same_labels(X=X, y=y, eras=eras, features=features, **metadata)
        predictions = self.predict(X, eras=eras, features=features)
        given = {**metadata, "features": X if features is None else features}
        whole = ONE_ERA if eras is None else eras
        return score_values(read_scorer(self.scoring), predictions, main_target(y), whole, given)

    def score_members(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
        **metadata: Any,
    ) -> pd.DataFrame:
        """Table of the members by rows that they were not trained on.

        Parameters
        ----------
        X, y, eras, features, **metadata
            See `score`.

        Returns
        -------
        members : DataFrame of shape (n_members, 4)
            As ``members_``, of the weights that the ensemble has. Blends are scored without the
            transformer.
        """
        check_same_labels(X=X, y=y, eras=eras, features=features, **metadata)
        X = self._read("score_members", X, eras, features)
        predictions = self._predict_members(X, eras, features)
        given = {**metadata, "features": X if features is None else features}
        whole = ONE_ERA if eras is None else eras
        score = self._score_of_weights(predictions, main_target(y), eras=whole, **given)
        return score.table(self.weights_.to_numpy(), self.weights_.index)

    def _score_of_weights(
        self, predictions: Array, y: Array, *, eras: Any, **metadata: Any
    ) -> BlendScore:
        table, scorer = Table(predictions, "predictions"), read_scorer(self.scoring)
        return BlendScore(table, scorer=scorer, y=y, eras=eras, metadata=metadata)
