import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknumerai.exceptions import MissingErasError, SingleEraWarning
from sknumerai.metrics import get_era_scorer, numerai_corr
from sknumerai.neutralization import (
    ExposureClipper,
    FeatureNeutralizer,
    NeutralizedRegressor,
    clip_exposure,
    neutralize,
)
from tests._reference import make_era


class EraRegressor(RegressorMixin, BaseEstimator):
    """A regressor that wants eras, and remembers what it got."""

    __metadata_request__fit = {"eras": True}

    def fit(self, X, y, eras=None):
        self.eras_ = eras
        self.coef_ = Ridge().fit(X, y).coef_
        return self

    def predict(self, X):
        return np.asarray(X) @ self.coef_


class CountingRidge(Ridge):
    """Counts fits in all copies."""

    n_fits = 0

    def fit(self, X, y, sample_weight=None):
        type(self).n_fits += 1
        return super().fit(X, y, sample_weight)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    target, X = make_era(rng, 400, 6)
    eras = np.repeat(["0001", "0002", "0003", "0004"], 100)
    return X, target, eras


def test_predictions_are_transformed(data):
    X, y, eras = data
    raw = Ridge().fit(X, y).predict(X)
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.7)).fit(X, y, eras=eras)
    np.testing.assert_allclose(
        model.predict(X, eras=eras), neutralize(raw, X, proportion=0.7, eras=eras), atol=1e-12
    )
    live = model.predict(X[:100], eras="X")
    np.testing.assert_allclose(live, neutralize(raw[:100], X[:100], proportion=0.7), atol=1e-12)


def test_features_of_its_own(data, df_module):
    X, y, eras = data
    names = [f"feature_{j}" for j in range(6)]
    frame = df_module.DataFrame(dict(zip(names, X.T, strict=True)))
    raw = Ridge().fit(X, y).predict(X)
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(), feature_columns=["feature_2"])
    model.fit(frame, y, eras=eras)
    np.testing.assert_allclose(
        model.predict(frame, eras=eras), neutralize(raw, X[:, [2]], eras=eras), atol=1e-12
    )
    assert model.transformer_.feature_names_ == ["feature_2"]
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(feature_columns="_[23]$"))
    model.fit(X, y, eras=eras, features=frame)
    np.testing.assert_allclose(
        model.predict(X, eras=eras, features=frame),
        neutralize(raw, X[:, [2, 3]], eras=eras),
        atol=1e-12,
    )
    by_position = NeutralizedRegressor(
        Ridge(), FeatureNeutralizer(), feature_columns=slice(2, 4)
    ).fit(X, y, eras="0001")
    np.testing.assert_allclose(
        by_position.predict(X, eras="X"), neutralize(raw, X[:, [2, 3]]), atol=1e-12
    )


def test_several_targets(data):
    X, y, eras = data
    targets = np.column_stack([y, y[::-1]])
    model = NeutralizedRegressor(LinearRegression(), FeatureNeutralizer(0.5))
    model.fit(X, targets, eras=eras)
    raw = LinearRegression().fit(X, targets).predict(X)
    np.testing.assert_allclose(
        model.predict(X, eras=eras), neutralize(raw, X, proportion=0.5, eras=eras), atol=1e-12
    )


def test_eras_given_at_fit_are_required(data):
    X, y, eras = data
    model = NeutralizedRegressor(Ridge(), ExposureClipper()).fit(X, y, eras=eras)
    with pytest.raises(MissingErasError, match=r"NeutralizedRegressor.predict .* predict\(X, eras"):
        model.predict(X)
    with pytest.raises(MissingErasError):
        model.score(X, y)
    model.score(X, y, eras=eras)


def test_regressor_gets_eras(data):
    X, y, eras = data
    model = NeutralizedRegressor(EraRegressor(), FeatureNeutralizer(0.5))
    assert clone(model).fit(X, y, eras=eras).regressor_.eras_ is eras
    piped = NeutralizedRegressor(
        make_pipeline(StandardScaler(), EraRegressor()), FeatureNeutralizer(0.5)
    )
    with pytest.raises(MissingErasError, match="Pipeline hands eras to its steps only by"):
        piped.fit(X, y, eras=eras)
    with pytest.warns(SingleEraWarning):
        piped.fit(X, y)  # nothing to lose without eras
    sklearn.set_config(enable_metadata_routing=True)
    assert clone(model).fit(X, y, eras=eras).regressor_.eras_ is eras
    assert clone(piped).fit(X, y, eras=eras).regressor_[-1].eras_ is eras


def test_fit_params_reach_the_regressor(data):
    X, y, eras = data
    weights = np.random.default_rng(0).random(len(y))
    expected = Ridge().fit(X, y, sample_weight=weights).coef_
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer())
    model.fit(X, y, eras=eras, sample_weight=weights)
    np.testing.assert_allclose(model.regressor_.coef_, expected)
    sklearn.set_config(enable_metadata_routing=True)
    routed = NeutralizedRegressor(
        Ridge().set_fit_request(sample_weight=True), FeatureNeutralizer()
    ).fit(X, y, eras=eras, sample_weight=weights)
    np.testing.assert_allclose(routed.regressor_.coef_, expected)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_search_over_both(data, n_jobs):
    X, y, eras = data
    frame = pd.DataFrame(X).add_prefix("feature_")
    sklearn.set_config(enable_metadata_routing=True)
    pipeline = make_pipeline(
        StandardScaler().set_output(transform="pandas"),
        NeutralizedRegressor(
            HistGradientBoostingRegressor(max_iter=5),
            ExposureClipper(normalize=None, scale=None),
        ),
    )
    search = GridSearchCV(
        pipeline,
        {
            "neutralizedregressor__transformer__max_exposure": [0.05, 0.2],
            "neutralizedregressor__regressor__max_depth": [2, 3],
        },
        cv=GroupKFold(2).set_split_request(groups="eras"),
        scoring=get_era_scorer("numerai_corr"),
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(frame, y, eras=eras)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    predictions = best.predict(frame, eras=eras)
    raw = best[-1].regressor_.predict(best[0].transform(frame))
    limit = best[-1].transformer_.max_exposure
    np.testing.assert_allclose(predictions, clip_exposure(raw, frame, limit, eras=eras), atol=1e-6)
    assert search.score(frame, y, eras=eras) == pytest.approx(
        numerai_corr(y, predictions, eras=eras)
    )


def test_cross_validate_equals_hand_made_folds(data):
    X, y, eras = data
    sklearn.set_config(enable_metadata_routing=True)
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5))
    cv = GroupKFold(4).set_split_request(groups="eras")
    scores = cross_validate(model, X, y, cv=cv, params={"eras": eras}, error_score="raise")
    by_hand = []
    for train, test in GroupKFold(4).split(X, y, eras):
        fitted = clone(model).fit(X[train], y[train], eras=eras[train])
        by_hand.append(fitted.score(X[test], y[test], eras=eras[test]))
    np.testing.assert_allclose(scores["test_score"], by_hand)


def test_memory_spares_fits(data, tmp_path):
    X, y, eras = data
    CountingRidge.n_fits = 0
    model = NeutralizedRegressor(CountingRidge(), FeatureNeutralizer(), memory=str(tmp_path))
    results = [
        clone(model)
        .set_params(transformer__proportion=p)
        .fit(X, y, eras=eras)
        .predict(X, eras=eras)
        for p in (0.0, 0.5, 1.0)
    ]
    assert CountingRidge.n_fits == 1
    np.testing.assert_allclose(results[1], (results[0] + results[2]) / 2, atol=1e-12)
    clone(model).set_params(regressor__alpha=2.0).fit(X, y, eras=eras)
    assert CountingRidge.n_fits == 2


def test_pickles(data):
    X, y, eras = data
    model = NeutralizedRegressor(Ridge(), ExposureClipper()).fit(X, y, eras=eras)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X, eras=eras), model.predict(X, eras=eras))


def test_bad_input(data):
    X, y, eras = data
    frame = pd.DataFrame(X).add_prefix("feature_")
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer())
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(frame, y[:-1])
    with pytest.raises(ValueError, match="y contains NaN"):
        model.fit(frame, np.where(np.arange(400) == 3, np.nan, y), eras=eras)
    with pytest.raises(ValueError, match="selects no column"):
        clone(model).set_params(feature_columns="nobody").fit(frame, y, eras=eras)
    with pytest.raises(ValueError, match="eras has 399 labels for 400 rows"):
        clone(model).fit(frame, y, eras=eras[1:])
    model.fit(frame, y, eras=eras)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"feature_0": "other"}), eras=eras)
