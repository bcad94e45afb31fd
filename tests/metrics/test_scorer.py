import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError
from sknumerai.metrics import (
    feature_neutral_corr,
    get_era_scorer,
    get_era_scorer_names,
    make_era_scorer,
    max_feature_exposure,
    meta_model_contribution,
    numerai_corr,
)
from sknumerai.metrics._aggregate import aggregate_scores
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor


@pytest.fixture
def data():
    """Twelve eras in mixed order: features, target, eras, meta model, benchmark."""
    rng = np.random.default_rng(0)
    n = 12 * 40
    eras = np.repeat([f"{era:04d}" for era in range(1, 13)], 40)
    rng.shuffle(eras)
    X = rng.integers(0, 5, (n, 4)).astype(np.int8)
    y = (X @ [1.0, 0.5, 0.0, -1.0] + 3 * rng.normal(size=n)).round()
    return X, y, eras, y + 4 * rng.normal(size=n), y + 4 * rng.normal(size=n)


CV = PurgedEraKFold(3, purge=0)
TREE = DecisionTreeRegressor(max_depth=5, random_state=0)  # its predictions are not in span(X)


def _route():
    sklearn.set_config(enable_metadata_routing=True)


class TestCalls:
    @pytest.mark.parametrize("aggregate", ["mean", "sharpe", "std", "max_drawdown", np.min])
    def test_is_the_aggregate_of_the_metric(self, data, aggregate):
        X, y, eras, *_ = data
        model = Ridge().fit(X, y)
        better = aggregate not in ("std", "max_drawdown")
        scorer = make_era_scorer(numerai_corr, aggregate=aggregate, greater_is_better=better)
        expected = numerai_corr(y, model.predict(X), eras=eras, aggregate=aggregate)
        assert scorer(model, X, y, eras=eras) == pytest.approx(expected if better else -expected)

    def test_features_come_from_x(self, data):
        X, y, eras, *_ = data
        model = Ridge().fit(X, y)
        frame = pd.DataFrame(X).add_prefix("feature_")
        expected = feature_neutral_corr(y, model.predict(X), features=X[:, :2], eras=eras)
        scorer = make_era_scorer(feature_neutral_corr, feature_columns=["feature_0", "feature_1"])
        named = Ridge().fit(frame, y)
        assert scorer(named, frame, y, eras=eras) == pytest.approx(expected)
        by_position = make_era_scorer(feature_neutral_corr, feature_columns=slice(0, 2))
        assert by_position(model, X, y, eras=eras) == pytest.approx(expected)
        given = make_era_scorer(feature_neutral_corr)
        assert given(model, X, y, eras=eras, features=X[:, :2]) == pytest.approx(expected)

    def test_metadata(self, data):
        X, y, eras, meta_model, _ = data
        model = Ridge().fit(X, y)
        expected = meta_model_contribution(y, model.predict(X), meta_model=meta_model, eras=eras)
        assert get_era_scorer("mmc")(
            model, X, y, eras=eras, meta_model=meta_model
        ) == pytest.approx(expected)
        for key in ("benchmark", "meta_model"):
            score = get_era_scorer("bmc")(model, X, y, eras=eras, **{key: meta_model})
            assert score == pytest.approx(expected)
        with pytest.raises(ValueError, match="needs 'benchmark': pass it next to the eras"):
            get_era_scorer("bmc")(model, X, y, eras=eras)
        with pytest.raises(TypeError, match="got 'metamodel' and takes only eras, features, meta"):
            get_era_scorer("mmc")(model, X, y, eras=eras, metamodel=meta_model)

    def test_plain_functions_are_called_era_by_era(self, data):
        X, y, eras, meta_model, _ = data
        model = Ridge().fit(X, y)

        def plain(y_true, y_pred, features, meta_model, power=1):
            assert features.shape == (len(y_true), 4)
            assert meta_model.shape == y_true.shape == y_pred.shape
            return np.corrcoef(y_true, y_pred)[0, 1] ** power

        scorer = make_era_scorer(plain, aggregate="sharpe", power=2)
        score = scorer(model, X, y, eras=eras, meta_model=meta_model)
        by_hand = [
            np.corrcoef(y[eras == era], model.predict(X)[eras == era])[0, 1] ** 2
            for era in np.unique(eras)
        ]
        assert score == pytest.approx(np.mean(by_hand) / np.std(by_hand))

    def test_per_era_estimators_get_eras_and_features(self, data):
        X, y, eras, *_ = data
        model = NeutralizedRegressor(TREE, ExposureClipper(0.1)).fit(X, y, eras=eras)
        scorer = make_era_scorer(max_feature_exposure, greater_is_better=False)
        assert scorer(model, X, y, eras=eras) == pytest.approx(-0.1, abs=1e-8)
        assert scorer(model, X, y, eras=eras, features=-X) == pytest.approx(-0.1, abs=1e-8)
        with pytest.raises(ValueError, match="was fitted with 4 features"):
            scorer(model, X, y, eras=eras, features=X[:, :1])

    def test_eras_are_in_their_order(self, data):
        X, y, eras, *_ = data
        seen = []
        make_era_scorer(numerai_corr, aggregate=lambda scores: seen.append(scores) or 0.0)(
            Ridge().fit(X, y), X, y, eras=eras
        )
        assert seen[0].index.tolist() == sorted(set(eras))

    def test_one_column_is_fine_and_two_are_not(self, data):
        X, y, eras, *_ = data
        scorer = get_era_scorer("numerai_corr")
        column = Ridge().fit(X, y[:, None])
        assert column.predict(X).shape[-1] == 1 or column.predict(X).ndim == 1
        assert scorer(column, X, y, eras=eras) == scorer(Ridge().fit(X, y), X, y, eras=eras)
        with pytest.raises(ValueError, match=r"predict returned shape \(480, 2\)"):
            scorer(Ridge().fit(X, np.column_stack([y, y])), X, y, eras=eras)

    def test_no_eras_no_score(self, data):
        X, y, _, *_ = data
        model = Ridge().fit(X, y)
        for routing in (False, True):
            sklearn.set_config(enable_metadata_routing=routing)
            with pytest.raises(MissingErasError, match=r"scorer\(estimator, X, y, eras=eras\)"):
                get_era_scorer("numerai_corr")(model, X, y)

    def test_a_nan_era_makes_the_score_nan(self, data):
        X, y, eras, *_ = data
        model = Ridge().fit(X, y)
        constant = np.where((eras == "0003")[:, None], 1, X)
        with pytest.warns(ConstantPredictionWarning, match="0003"):
            assert np.isnan(get_era_scorer("numerai_corr")(model, constant, y, eras=eras))


class TestObjects:
    @pytest.mark.parametrize("name", get_era_scorer_names())
    def test_pickle_clone_repr(self, name):
        scorer = get_era_scorer(name)
        assert repr(scorer).startswith("EraScorer(")
        assert repr(pickle.loads(pickle.dumps(scorer))) == repr(scorer)
        assert repr(clone(scorer, safe=False)) == repr(scorer)
        assert get_era_scorer(name) is not scorer

    def test_every_simple_name_scores(self, data):
        X, y, eras, meta_model, benchmark = data
        y = y / 1000  # MMC has the scale of the target, and payouts are clipped
        model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5)).fit(X, y, eras=eras)
        metadata = {
            "meta_model": meta_model,
            "benchmark": benchmark,
            "example_predictions": meta_model,
        }
        for name in get_era_scorer_names():
            if "tb200" in name or "alpha" in name or "churn" in name:
                continue
            scorer = get_era_scorer(name)
            wanted = {key: metadata[key] for key in scorer._aliases().values() if key in metadata}
            assert np.isfinite(scorer(model, X, y, eras=eras, **wanted)), name

    def test_reprs(self):
        assert repr(get_era_scorer("neg_max_exposure")) == (
            "EraScorer(max_feature_exposure, aggregate='mean', greater_is_better=False)"
        )
        assert repr(get_era_scorer("fnc_tb200_sharpe")) == (
            "EraScorer(feature_neutral_corr, aggregate='sharpe', top_bottom=200)"
        )

    def test_unknown_names(self):
        with pytest.raises(ValueError, match="did you mean 'fnc_sharpe'"):
            get_era_scorer("fnc_sharp")
        with pytest.raises(ValueError, match="lists all"):
            get_era_scorer("zzzzzz")

    @pytest.mark.parametrize("aggregate", ["std", "max_drawdown"])
    def test_risk_is_not_to_be_maximized(self, aggregate):
        with pytest.raises(ValueError, match="pass greater_is_better=False"):
            make_era_scorer(numerai_corr, aggregate=aggregate)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="'aggregate' parameter"):
            make_era_scorer(numerai_corr, aggregate="median")
        with pytest.raises(TypeError, match="takes no 'weights'"):
            make_era_scorer(numerai_corr).set_score_request(weights=True)

    def test_aggregates_of_numbers_known(self):
        scores = pd.DataFrame({"a": [0.1, -0.3, 0.1, 0.2]})
        values = {
            name: aggregate_scores(scores, name).iloc[0]
            for name in ("mean", "std", "sharpe", "max_drawdown")
        }
        assert values == pytest.approx(
            {
                "mean": 0.025,
                "std": np.std([0.1, -0.3, 0.1, 0.2]),
                "sharpe": 0.025 / np.std([0.1, -0.3, 0.1, 0.2]),
                "max_drawdown": 0.3,
            }
        )
        falling = pd.DataFrame({"a": [-0.1, -0.2]})
        assert aggregate_scores(falling, "max_drawdown").iloc[0] == pytest.approx(0.3)


class TestModelSelection:
    """The silent traps of metadata routing, one by one."""

    def _by_hand(self, model, scorer, data, key="meta_model"):
        X, y, eras, meta_model, benchmark = data
        metadata = {"meta_model": meta_model, "benchmark": benchmark}
        scores = []
        for train, test in CV.split(X, y, eras):
            fitted = clone(model).fit(X[train], y[train], eras=eras[train])
            extra = {key: metadata[key][test]} if key in scorer._aliases().values() else {}
            scores.append(scorer(fitted, X[test], y[test], eras=eras[test], **extra))
        return scores

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_cross_validate_with_scorers_side_by_side(self, data, n_jobs):
        X, y, eras, meta_model, benchmark = data
        _route()
        model = NeutralizedRegressor(TREE, FeatureNeutralizer(0.5))
        scoring = {name: get_era_scorer(name) for name in ("mmc", "bmc", "fnc", "numerai_corr")}
        result = cross_validate(
            model,
            X,
            y,
            cv=CV,
            scoring=scoring,
            params={"eras": eras, "meta_model": meta_model, "benchmark": benchmark},
            n_jobs=n_jobs,
            error_score="raise",
        )
        for name, scorer in scoring.items():
            key = "benchmark" if name == "bmc" else "meta_model"
            np.testing.assert_allclose(
                result[f"test_{name}"], self._by_hand(model, scorer, data, key)
            )
        assert (result["test_mmc"] != result["test_bmc"]).all()

    @pytest.mark.parametrize("search", ["grid", "random", "halving"])
    def test_searches(self, data, search):
        X, y, eras, *_ = data
        _route()
        model = make_pipeline(StandardScaler(), NeutralizedRegressor(TREE, FeatureNeutralizer()))
        grid = {"neutralizedregressor__transformer__proportion": [0.0, 0.5, 0.9]}
        options = {
            "cv": CV,
            "scoring": get_era_scorer("numerai_corr_sharpe"),
            "error_score": "raise",
        }
        made = {
            "grid": lambda: GridSearchCV(model, grid, n_jobs=2, **options),
            "random": lambda: RandomizedSearchCV(model, grid, n_iter=2, random_state=0, **options),
            "halving": lambda: HalvingGridSearchCV(
                model, grid, factor=3, min_resources=240, random_state=0, **options
            ),
        }[search]()
        made.fit(X, y, eras=eras)
        scores = made.cv_results_["mean_test_score"]
        assert np.isfinite(scores).all()
        assert len(set(scores)) > 1  # every candidate is scored for itself

    def test_search_score_and_predict(self, data):
        X, y, eras, *_ = data
        _route()
        search = GridSearchCV(
            NeutralizedRegressor(TREE, FeatureNeutralizer()),
            {"transformer__proportion": [0.0, 0.5]},
            cv=CV,
            scoring=get_era_scorer("numerai_corr"),
        ).fit(X, y, eras=eras)
        expected = get_era_scorer("numerai_corr")(search.best_estimator_, X, y, eras=eras)
        assert search.score(X, y, eras=eras) == pytest.approx(expected)
        # a search inside: its predict takes no metadata, so its best estimator predicts
        assert get_era_scorer("numerai_corr")(search, X, y, eras=eras) == pytest.approx(expected)

    def test_several_scores_and_refit(self, data):
        X, y, eras, *_ = data
        _route()
        search = GridSearchCV(
            NeutralizedRegressor(TREE, FeatureNeutralizer()),
            {"transformer__proportion": [0.1, 0.5]},
            cv=CV,
            scoring={n: get_era_scorer(n) for n in ("fnc_sharpe", "neg_max_exposure")},
            refit="neg_max_exposure",
            error_score="raise",
        ).fit(X, y, eras=eras)
        assert search.best_params_ == {"transformer__proportion": 0.5}

    def test_learning_curve(self, data):
        X, y, eras, *_ = data
        _route()
        sizes, _, scores = learning_curve(
            Ridge(), X, y, params={"eras": eras}, cv=CV, train_sizes=[0.5, 1.0],
            scoring=get_era_scorer("numerai_corr"), error_score="raise",
        )  # fmt: skip
        assert scores.shape == (len(sizes), 3)
        assert np.isfinite(scores).all()

    def test_permutation_importance(self, data):
        X, y, eras, *_ = data
        model = Ridge().fit(X, y)
        result = permutation_importance(
            model, X, y, scoring=partial(get_era_scorer("numerai_corr"), eras=eras), random_state=0
        )
        assert result.importances_mean.argmin() == 2  # the feature without a signal

    def test_plain_estimators_get_no_eras(self, data):
        """With routing on, a Pipeline(Ridge) would raise on metadata that nobody requests."""
        X, y, eras, *_ = data
        for routing in (False, True):
            sklearn.set_config(enable_metadata_routing=routing)
            model = make_pipeline(StandardScaler(), Ridge()).fit(X, y)
            assert np.isfinite(get_era_scorer("fnc")(model, X, y, eras=eras))

    def test_lost_eras_are_no_silent_score(self, data):
        X, y, _, *_ = data
        _route()
        with pytest.raises(MissingErasError):
            cross_validate(
                Ridge(), X, y, cv=2, scoring=get_era_scorer("numerai_corr"), error_score="raise"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = cross_validate(Ridge(), X, y, cv=2, scoring=get_era_scorer("numerai_corr"))
        assert np.isnan(scores["test_score"]).all()

    def test_routing_off(self, data):
        """No metadata reaches a scorer then, and none scores without."""
        X, y, eras, *_ = data
        for scoring in (
            get_era_scorer("numerai_corr"),
            {"a": get_era_scorer("numerai_corr"), "b": get_era_scorer("fnc")},
        ):
            with pytest.raises(MissingErasError, match="set_config"):
                cross_validate(
                    Ridge(), X, y, groups=eras, cv=CV, scoring=scoring, error_score="raise"
                )
