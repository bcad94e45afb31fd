"""Metadata arrive where they are wanted, or there is an error; none are lost in silence."""

from inspect import signature

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sknumerai.exceptions import MissingErasError
from sknumerai.inspection import EraScoresDisplay, FeatureExposureDisplay
from sknumerai.metrics import get_era_scorer, max_feature_exposure
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor

CV = PurgedEraKFold(3, purge=0)
FIRST_IS_PREDICTION = FeatureNeutralizer(feature_columns=slice(1, None))


def neutral():
    return NeutralizedRegressor(DecisionTreeRegressor(max_depth=4), FeatureNeutralizer())


COMPOSITES = {
    "pipeline": lambda: make_pipeline(StandardScaler(), neutral()),
    "nested pipeline": lambda: make_pipeline(make_pipeline(StandardScaler(), neutral())),
    "voting": lambda: VotingRegressor([("a", neutral()), ("b", Ridge())]),
    "stacking": lambda: StackingRegressor([("a", neutral())], final_estimator=Ridge()),
    "final": lambda: StackingRegressor([("a", Ridge())], final_estimator=neutral()),
    "target": lambda: TransformedTargetRegressor(neutral(), transformer=StandardScaler()),
    "bagging": lambda: BaggingRegressor(neutral(), n_estimators=2, random_state=0),
    "boosting": lambda: AdaBoostRegressor(neutral(), n_estimators=2, random_state=0),
    "search": lambda: GridSearchCV(neutral(), {"transformer__proportion": [1.0]}, cv=KFold(2)),
    "search in pipeline": lambda: make_pipeline(
        GridSearchCV(neutral(), {"transformer__proportion": [1.0]}, cv=KFold(2))
    ),
    "splitter": lambda: GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=CV),
    "voting inside": lambda: NeutralizedRegressor(
        VotingRegressor([("a", neutral())]), FeatureNeutralizer()
    ),
    "transformers": lambda: NeutralizedRegressor(Ridge(), make_pipeline(FeatureNeutralizer())),
    "columns": lambda: make_pipeline(
        ColumnTransformer([("n", FIRST_IS_PREDICTION, [0, 1])]), Ridge()
    ),
    "union": lambda: make_pipeline(make_union(FIRST_IS_PREDICTION, StandardScaler()), Ridge()),
}
WITH_ROUTING = set(
    "pipeline,nested pipeline,target,search,splitter,transformers,columns,union".split(",")
)
if "params" in signature(BaggingRegressor.predict).parameters:  # scikit-learn 1.7
    WITH_ROUTING.add("bagging")


class Untold(RegressorMixin, BaseEstimator):
    """Takes eras, and nobody said whether it should get them."""

    def fit(self, X, y, eras=None):
        return self

    def predict(self, X, eras=None):
        return np.zeros(len(X))


class Foreign:
    """A regressor that knows nothing of scikit-learn's metadata routing, as CatBoost's."""

    def __sklearn_tags__(self):
        return Ridge().__sklearn_tags__()

    def get_params(self, deep=True):
        return {}

    def set_params(self, **params):
        return self

    def fit(self, X, y=None, sample_weight=None, eval_set=None):
        self.weight_, self.eval_set_ = sample_weight, eval_set
        return self

    def predict(self, data, ntree_end=0):
        return np.asarray(data)[:, 0] + np.arange(len(data)) % 7 + ntree_end


def predict_with(model, data):
    X, y, eras, _ = data
    return era_cross_val_predict(model, X, y, eras=eras, cv=CV)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    eras = np.repeat([f"{era:04d}" for era in range(1, 13)], 30)
    X = rng.integers(0, 5, (360, 4)).astype(float)
    y = X @ [0.1, 0.0, -0.2, 0.3] + np.repeat(rng.normal(size=12), 30) * X[:, 0]
    return X, y + rng.normal(size=360), eras, rng.random(360)


@pytest.mark.parametrize("name", COMPOSITES)
def test_eras_are_not_lost_in_composites_with_routing_off(data, name):
    with pytest.raises(MissingErasError, match="only by metadata routing, which is off"):
        predict_with(COMPOSITES[name](), data)


@pytest.mark.parametrize("name", COMPOSITES)
def test_eras_reach_what_is_inside_composites_with_routing_on(data, name):
    X, _, eras, _ = data
    sklearn.set_config(enable_metadata_routing=True)
    if name not in WITH_ROUTING:
        with pytest.raises(MissingErasError, match="has no way to hand eras to"):
            predict_with(COMPOSITES[name](), data)
        return
    predictions = predict_with(COMPOSITES[name](), data)
    if name not in ("splitter", "transformers", "columns", "union"):  # which are not neutral
        assert max_feature_exposure(predictions, features=X, eras=eras) < 1e-9


def test_composites_that_want_no_eras_get_none(data):
    X, y, eras, _ = data
    for routing in (False, True):
        sklearn.set_config(enable_metadata_routing=routing)
        era_cross_val_predict(VotingRegressor([("a", Ridge())]), X, y, eras=eras, cv=CV)
        targets = np.column_stack([y, y])
        era_cross_val_predict(MultiOutputRegressor(Ridge()), X, targets, eras=eras, cv=CV)
        era_cross_val_predict(AdaBoostRegressor(Ridge()), X, y, eras=eras, cv=CV)
        era_cross_val_predict(RFE(Ridge()), X, y, eras=eras, cv=CV)


def test_what_is_frozen_is_not_fitted(data):
    X, y, eras, _ = data
    frozen = NeutralizedRegressor(
        FrozenEstimator(make_pipeline(neutral().fit(X, y, eras="all"))), FeatureNeutralizer()
    )
    with pytest.raises(MissingErasError, match="was called without eras"):
        frozen.fit(X, y, eras=eras).predict(X, eras=eras)


@pytest.mark.parametrize("routing", [False, True])
def test_scorers_and_displays_lose_no_eras(data, routing):
    pytest.importorskip("matplotlib")
    X, y, eras, _ = data
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(StandardScaler(), neutral()).fit(X, y, eras=eras)
        ensemble = VotingRegressor([("a", neutral())]).fit(X, y, eras=eras)
    sklearn.set_config(enable_metadata_routing=routing)
    for estimator in (ensemble,) if routing else (model, ensemble):
        message = "has no way to hand eras" if routing else "hands eras to its steps only by"
        with pytest.raises(MissingErasError, match=message):
            get_era_scorer("numerai_corr")(estimator, X, y, eras=eras)
        with pytest.raises(MissingErasError, match=message):
            EraScoresDisplay.from_estimator(estimator, X, y, eras=eras)
        with pytest.raises(MissingErasError, match=message):
            FeatureExposureDisplay.from_estimator(estimator, X, eras=eras)


def test_features_are_not_lost_either(data):
    X, y, eras, _ = data
    outer = NeutralizedRegressor(neutral(), FeatureNeutralizer())
    outer.fit(X, y, eras=eras, features=X[:, :2])
    assert outer.regressor_.transformer_.n_features_ == 2
    sklearn.set_config(enable_metadata_routing=True)
    ensemble = VotingRegressor([("a", neutral())]).fit(X, y, eras=eras)
    sklearn.set_config(enable_metadata_routing=False)
    with pytest.raises(MissingErasError, match="hands eras and features to"):
        get_era_scorer("fnc")(ensemble, X, y, eras=eras, features=X)


def test_sample_weights_arrive_with_routing_off(data):
    X, y, eras, w = data

    def predict(model, **params):
        return era_cross_val_predict(model, X, y, eras=eras, cv=CV, params=params)

    for model in (Ridge(), NeutralizedRegressor(DecisionTreeRegressor(), FeatureNeutralizer())):
        assert not np.allclose(predict(model), predict(model, sample_weight=w))
    piped = make_pipeline(StandardScaler(), Ridge())
    assert not np.allclose(predict(piped), predict(piped, ridge__sample_weight=w))
    with pytest.raises((TypeError, ValueError), match="sample_weight"):
        predict(piped, sample_weight=w)


def test_metadata_that_nothing_takes_are_an_error(data):
    X, y, eras, w = data
    for routing in (False, True):
        sklearn.set_config(enable_metadata_routing=routing)
        for model in (Ridge(), neutral()):
            with pytest.raises(TypeError, match="sample_wieght"):
                era_cross_val_predict(model, X, y, eras=eras, cv=CV, params={"sample_wieght": w})
    with pytest.raises(ValueError, match="holds 'eras', an argument of its own"):
        era_cross_val_predict(Ridge(), X, y, eras=eras, cv=CV, params={"eras": eras})


def test_sample_weights_are_routed(data):
    X, y, eras, w = data
    sklearn.set_config(enable_metadata_routing=True)

    def predict(ridge, **params):
        models = (ridge, NeutralizedRegressor(ridge, FeatureNeutralizer(0.5)), make_pipeline(ridge))
        return [
            era_cross_val_predict(model, X, y, eras=eras, cv=CV, params=params) for model in models
        ]

    plain = predict(Ridge())
    sklearn.set_config(enable_metadata_routing=False)
    expected = era_cross_val_predict(Ridge(), X, y, eras=eras, cv=CV, params={"sample_weight": w})
    sklearn.set_config(enable_metadata_routing=True)
    for key in ("sample_weight", "w"):
        weighted = predict(
            Ridge().set_fit_request(sample_weight=True if key == "sample_weight" else key),
            **{key: w},
        )
        np.testing.assert_allclose(weighted[0], expected)
        for before, after in zip(plain, weighted, strict=True):
            assert not np.allclose(before, after)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        predict(Ridge(), sample_weight=w)


def test_eras_that_were_not_requested(data):
    X, y, eras, _ = data
    era_cross_val_predict(Untold(), X, y, eras=eras, cv=CV)
    sklearn.set_config(enable_metadata_routing=True)
    for model in (Untold(), make_pipeline(Untold()), NeutralizedRegressor(Untold(), neutral())):
        with pytest.raises(UnsetMetadataPassedError, match="eras"):
            era_cross_val_predict(model, X, y, eras=eras, cv=CV)
    with pytest.raises(UnsetMetadataPassedError, match="eras"):
        get_era_scorer("numerai_corr")(Untold(), X, y, eras=eras)


@pytest.mark.parametrize("routing", [False, True])
def test_regressors_without_routing_get_what_they_name(data, routing):
    X, y, eras, w = data
    sklearn.set_config(enable_metadata_routing=routing)
    model = NeutralizedRegressor(Foreign(), FeatureNeutralizer())
    fitted = model.fit(X, y, eras=eras, sample_weight=w, eval_set=[(X, y)]).regressor_
    assert fitted.weight_ is w
    assert len(fitted.eval_set_) == 1
    once = model.predict(X, eras=eras, ntree_end=np.arange(360) % 5)
    assert not np.allclose(once, model.predict(X, eras=eras))
    with pytest.raises(TypeError, match="sample_wieght"):
        model.fit(X, y, eras=eras, sample_wieght=w)
    for estimator in (Foreign(), model):
        era_cross_val_predict(estimator, X, y, eras=eras, cv=CV, params={"sample_weight": w})
    if routing:
        search = GridSearchCV(
            model, {"transformer__proportion": [0.5]}, cv=CV, scoring=get_era_scorer("numerai_corr")
        )
        search.fit(X, y, eras=eras, sample_weight=w)
        assert search.best_estimator_.regressor_.weight_ is w


def test_predict_of_a_search_names_its_best_estimator(data):
    X, y, eras, _ = data
    sklearn.set_config(enable_metadata_routing=True)
    search = COMPOSITES["search"]().fit(X, y, eras=eras)
    with pytest.raises(MissingErasError, match=r"search\.best_estimator_\.predict\(X, eras=eras\)"):
        search.predict(X)
    search.best_estimator_.predict(X, eras=eras)
