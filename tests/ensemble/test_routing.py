"""Eras and other metadata through ensembles: to members, transformer, scorer and splitter."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sknumerai.ensemble import EraEnsemble, blend, select_weights
from sknumerai.exceptions import MissingErasError
from sknumerai.metrics import get_era_scorer, numerai_corr
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor
from sknumerai.preprocessing import EraRankTransformer

CV = PurgedEraKFold(3, purge=0)


class Recorder(RegressorMixin, BaseEstimator):
    """A regressor that wants eras, and remembers what it got."""

    __metadata_request__fit = {"eras": True}

    def fit(self, X, y, eras=None):
        self.eras_ = np.asarray(eras)
        self.ridge_ = Ridge().fit(X, y)
        return self

    def predict(self, X):
        return self.ridge_.predict(X)


class Named(Ridge):
    """Takes eras, and nobody said whether it should get them."""

    def fit(self, X, y, eras=None):
        return super().fit(X, y)


class Foreign:
    """A regressor that knows nothing of metadata routing."""

    def __sklearn_tags__(self):
        return Ridge().__sklearn_tags__()

    def get_params(self, deep=True):
        return {}

    def set_params(self, **params):
        return self

    def fit(self, X, y=None, sample_weight=None):
        self.weight_, self.ridge_ = sample_weight, Ridge().fit(X, y)
        return self

    def predict(self, data):
        return self.ridge_.predict(data)


def neutral():
    return NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    eras = np.repeat([f"{era:04d}" for era in range(1, 7)], 40)
    X = rng.integers(0, 5, (240, 4)).astype(float)
    y = X @ [0.1, 0.0, -0.2, 0.3] + np.repeat(rng.normal(size=6), 40) * X[:, 0]
    return X, y + rng.normal(size=240), eras, rng.random(240)


@pytest.mark.parametrize("routing", [False, True])
class TestWithAndWithoutRouting:
    @pytest.fixture(autouse=True)
    def _routing(self, routing):
        sklearn.set_config(enable_metadata_routing=routing)

    def test_members_get_the_eras_that_they_ask_for(self, data):
        X, y, eras, _ = data
        members = [("a", Recorder()), ("b", Ridge()), ("c", neutral())]
        model = EraEnsemble(members).fit(X, y, eras=eras)
        np.testing.assert_array_equal(model.estimators_[0].eras_, eras)
        by_hand = [clone(m).fit(X, y, eras=eras) for m in (Recorder(), neutral())]
        columns = [
            by_hand[0].predict(X),
            Ridge().fit(X, y).predict(X),
            by_hand[1].predict(X, eras=eras),
        ]
        expected = blend(np.column_stack(columns), eras=eras)
        np.testing.assert_array_equal(model.predict(X, eras=eras), expected)

    def test_out_of_fold_as_well(self, data):
        X, y, eras, _ = data
        members = [("a", Recorder()), ("c", neutral())]
        model = EraEnsemble(members, weights="select", cv=CV).fit(X, y, eras=eras)
        parts = [era_cross_val_predict(m, X, y, eras=eras, cv=CV) for _, m in members]
        expected = select_weights(np.column_stack(parts), y, eras=eras)
        assert model.weights_.tolist() == expected.tolist()

    def test_features_of_members_and_transformer(self, data):
        X, y, eras, _ = data
        some = X[:, :2]
        model = EraEnsemble(
            [("a", neutral()), ("b", Ridge())],
            transformer=FeatureNeutralizer(),
            weights="select",
            scoring="fnc",
            cv=CV,
        )
        model.fit(X, y, eras=eras, features=some)
        assert model.estimators_[0].transformer_.n_features_ == 2
        assert model.transformer_.n_features_ == 2
        parts = [
            era_cross_val_predict(neutral(), X, y, eras=eras, cv=CV, params={"features": some}),
            era_cross_val_predict(Ridge(), X, y, eras=eras, cv=CV),
        ]
        expected = select_weights(
            np.column_stack(parts), y, eras=eras, scoring="fnc", features=some
        )
        assert model.weights_.tolist() == expected.tolist()
        model.fit(X, y, eras=eras)  # X by default
        assert model.transformer_.n_features_ == 4

    def test_metadata_of_the_scorer(self, data):
        X, y, eras, other = data
        for name, key in (("mmc", "meta_model"), ("bmc", "benchmark")):
            model = EraEnsemble(
                [("a", Ridge()), ("b", neutral())], weights="select", scoring=name, cv=CV
            )
            model.fit(X, y, eras=eras, **{key: other})
            parts = [era_cross_val_predict(m, X, y, eras=eras, cv=CV) for _, m in model.estimators]
            expected = select_weights(
                np.column_stack(parts), y, eras=eras, scoring=name, **{key: other}
            )
            assert model.weights_.tolist() == expected.tolist()
            with pytest.raises(ValueError, match=f"needs '{key}'"):
                model.fit(X, y, eras=eras)
            model.set_params(weights=None).fit(X, y, eras=eras, **{key: other})
            score = get_era_scorer(name)(model, X, y, eras=eras, **{key: other})
            assert model.score(X, y, eras=eras, **{key: other}) == score

    def test_metadata_that_nothing_takes_are_an_error(self, data):
        X, y, eras, w = data
        for weights in (None, "select"):
            model = EraEnsemble([("a", Ridge())], weights=weights, cv=CV)
            with pytest.raises(TypeError, match="sample_wieght"):
                model.fit(X, y, eras=eras, sample_wieght=w)
        with pytest.raises(TypeError, match="meta_modle"):
            model.fit(X, y, eras=eras).score(X, y, eras=eras, meta_modle=w)

    def test_sample_weights(self, data, routing):
        X, y, eras, w = data
        ridge = Ridge().set_fit_request(sample_weight=True) if routing else Ridge()
        for weights in (None, "select"):
            members = [("a", ridge), ("b", Foreign())]
            model = EraEnsemble(members, weights=weights, cv=CV)
            model.fit(X, y, eras=eras, sample_weight=w)
            expected = Ridge().fit(X, y, sample_weight=w).coef_
            np.testing.assert_array_equal(model.estimators_[0].coef_, expected)
            assert model.estimators_[1].weight_ is w
        params = {"sample_weight": w}
        parts = [
            era_cross_val_predict(m, X, y, eras=eras, cv=CV, params=params) for _, m in members
        ]
        found = select_weights(np.column_stack(parts), y, eras=eras)
        assert model.weights_.tolist() == found.tolist()

    def test_searches_as_members(self, data):
        X, y, eras, _ = data
        search = GridSearchCV(neutral(), {"regressor__alpha": [1.0]}, cv=PurgedEraKFold(2, purge=0))
        if not sklearn.get_config()["enable_metadata_routing"]:
            with pytest.raises(MissingErasError, match="only by metadata routing, which is off"):
                EraEnsemble([("a", search)]).fit(X, y, eras=eras)
            return
        search.set_params(scoring=get_era_scorer("numerai_corr"))
        model = EraEnsemble([("a", search), ("b", Ridge())], weights="select", cv=CV)
        model.fit(X, y, eras=eras)
        expected = EraEnsemble([("a", neutral()), ("b", Ridge())], weights="select", cv=CV)
        expected.fit(X, y, eras=eras)
        assert model.weights_.tolist() == expected.weights_.tolist()
        np.testing.assert_array_equal(model.predict(X, eras=eras), expected.predict(X, eras=eras))

    def test_pipelines_as_members_and_transformer(self, data):
        X, y, eras, _ = data
        piped = make_pipeline(StandardScaler(), neutral())
        after = make_pipeline(FeatureNeutralizer(), EraRankTransformer())
        for model in (
            EraEnsemble([("a", piped)]),
            EraEnsemble([("a", Ridge())], transformer=after),
        ):
            if not sklearn.get_config()["enable_metadata_routing"]:
                with pytest.raises(MissingErasError, match="only by metadata routing, which is"):
                    model.fit(X, y, eras=eras)
            else:
                found = model.fit(X, y, eras=eras).predict(X, eras=eras)
                assert np.isfinite(found).all()

    def test_what_cannot_pass_eras_on(self, data, routing):
        X, y, eras, _ = data
        model = EraEnsemble([("a", VotingRegressor([("b", neutral())]))])
        message = "has no way to hand eras to" if routing else "hands eras to its steps only by"
        with pytest.raises(MissingErasError, match=message):
            model.fit(X, y, eras=eras)

    def test_inside_of_a_neutralized_regressor(self, data):
        X, y, eras, _ = data
        ensemble = EraEnsemble([("a", Ridge()), ("b", neutral())])
        model = NeutralizedRegressor(ensemble, FeatureNeutralizer()).fit(X, y, eras=eras)
        expected = EraEnsemble(ensemble.estimators, transformer=FeatureNeutralizer())
        expected.fit(X, y, eras=eras)
        np.testing.assert_allclose(
            model.predict(X, eras=eras), expected.predict(X, eras=eras), atol=1e-12
        )


class TestSearches:
    @pytest.fixture(autouse=True)
    def _routing(self):
        sklearn.set_config(enable_metadata_routing=True)

    def test_over_weights_and_members(self, data):
        X, y, eras, _ = data
        grid = {"weights": [None, [1.0, 0.0], "select"], "linear__alpha": [0.1, 100.0]}
        cv = PurgedEraKFold(2, purge=0)
        search = GridSearchCV(
            EraEnsemble([("linear", Ridge()), ("neutral", neutral())], cv=cv),
            grid,
            cv=cv,
            scoring=get_era_scorer("numerai_corr"),
            error_score="raise",
        ).fit(X, y, eras=eras)
        by_hand = []
        for train, test in cv.split(X, y, eras):
            model = clone(search.estimator).set_params(**search.best_params_)
            model.fit(X[train], y[train], eras=eras[train])
            predictions = model.predict(X[test], eras=eras[test])
            by_hand.append(numerai_corr(y[test], predictions, eras=eras[test]))
        assert search.best_score_ == pytest.approx(np.mean(by_hand))
        best = search.best_estimator_
        assert search.score(X, y, eras=eras) == pytest.approx(best.score(X, y, eras=eras))

    @pytest.mark.skipif(
        parse_version(sklearn.__version__) < parse_version("1.8"),
        reason="scikit-learn hands the score of a meta-estimator nothing for what is inside of it",
    )
    def test_by_its_own_score(self, data):
        X, y, eras, other = data
        model = EraEnsemble([("a", Ridge()), ("b", neutral())], scoring="bmc", cv=CV)
        search = GridSearchCV(model, {"weights": [[1, 3], "select"]}, cv=CV, error_score="raise")
        search.fit(X, y, eras=eras, benchmark=other)
        model.set_params(**search.best_params_)
        scored = cross_validate(
            model,
            X,
            y,
            cv=CV,
            scoring=get_era_scorer("bmc"),
            params={"eras": eras, "benchmark": other},
            error_score="raise",
        )
        assert search.best_score_ == pytest.approx(scored["test_score"].mean())

    def test_in_a_pipeline(self, data):
        X, y, eras, _ = data
        ensemble = EraEnsemble([("a", Ridge()), ("b", neutral())], transformer=FeatureNeutralizer())
        pipeline = make_pipeline(StandardScaler(), ensemble).fit(X, y, eras=eras)
        scaled = StandardScaler().fit_transform(X)
        expected = clone(ensemble).fit(scaled, y, eras=eras).predict(scaled, eras=eras)
        np.testing.assert_array_equal(pipeline.predict(X, eras=eras), expected)
        assert pipeline.score(X, y, eras=eras) == numerai_corr(y, expected, eras=eras)
        with pytest.raises(MissingErasError, match="set_config"):
            pipeline.predict(X)

    def test_as_a_step_before_another_model(self, data):
        X, y, eras, _ = data
        ensemble = EraEnsemble([("a", Ridge()), ("b", neutral())])
        stacked = make_pipeline(ensemble, Ridge()).fit(X, y, eras=eras)
        parts = clone(ensemble).fit(X, y, eras=eras).transform(X, eras=eras)
        np.testing.assert_allclose(
            stacked.predict(X, eras=eras), Ridge().fit(parts, y).predict(parts)
        )

    def test_metadata_must_be_asked_for(self, data):
        X, y, eras, w = data
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            EraEnsemble([("a", Ridge())]).fit(X, y, eras=eras, sample_weight=w)
        with pytest.raises(UnsetMetadataPassedError, match="eras"):
            EraEnsemble([("a", Named())]).fit(X, y, eras=eras)

    def test_metadata_under_another_key(self, data):
        X, y, eras, w = data
        ridge = Ridge().set_fit_request(sample_weight="w")
        model = EraEnsemble([("a", ridge), ("b", Ridge())], weights="select", cv=CV)
        model.fit(X, y, eras=eras, w=w)
        expected = Ridge().fit(X, y, sample_weight=w).coef_
        np.testing.assert_array_equal(model.estimators_[0].coef_, expected)
        np.testing.assert_array_equal(model.estimators_[1].coef_, Ridge().fit(X, y).coef_)


def test_metadata_of_tested_rows_only(data):
    """Where some rows are in no test set, those of all tables are left out of the selection."""
    X, y, eras, other = data
    tables = pd.DataFrame(X).add_prefix("feature_"), pd.Series(y), pd.Series(eras)
    splits = [(np.arange(100), np.arange(120, 220))]
    model = EraEnsemble(
        [("a", Ridge()), ("b", Ridge(1e4))], weights="select", scoring="mmc", cv=splits
    )
    model.fit(tables[0], tables[1], eras=tables[2], meta_model=pd.Series(other))
    rows = slice(120, 220)
    parts = [m.fit(X[:100], y[:100]).predict(X[rows]) for m in (Ridge(), Ridge(1e4))]
    expected = select_weights(
        np.column_stack(parts), y[rows], eras=eras[rows], scoring="mmc", meta_model=other[rows]
    )
    assert model.weights_.tolist() == expected.tolist()
