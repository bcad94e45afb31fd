"""The libraries themselves stop where the scores of all their rounds are best."""

from contextlib import nullcontext
from functools import partial
from inspect import signature
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor

from sknumerai.boosting import era_eval_metric
from sknumerai.ensemble import EraEnsemble
from sknumerai.exceptions import UnscoredErasWarning
from sknumerai.metrics import meta_model_contribution, numerai_corr
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor

# LightGBM 4.6 makes up names for the columns of arrays, and misses them in the next ones.
pytestmark = pytest.mark.filterwarnings(
    "ignore:X does not have valid feature names, but LGBM:UserWarning"
)

PATIENCE = 10


def corr(data, predictions):
    return numerai_corr(data.y_valid, predictions, eras=data.eras_valid)


def lightgbm_sets(lightgbm, *pairs):
    """Evaluation sets, under the names that this version has for them."""
    if "eval_X" in signature(lightgbm.LGBMRegressor.fit).parameters:  # since 4.7
        return {"eval_X": tuple(X for X, _ in pairs), "eval_y": tuple(y for _, y in pairs)}
    return {"eval_set": list(pairs)}


class LightGBM:
    """How LightGBM is told, and what it says."""

    def __init__(self):
        self.library = pytest.importorskip("lightgbm")

    def fit(self, data, metric, *pairs):
        trees = self.library.LGBMRegressor(
            n_estimators=100, learning_rate=0.05, n_jobs=1, verbose=-1, metric="None"
        )
        self.all_rounds = clone(trees).fit(data.X, data.y)  # the other one forgets the last ones
        stopping = self.library.early_stopping(PATIENCE, verbose=False)
        self.model = trees.fit(
            data.X,
            data.y,
            eval_metric=metric,
            callbacks=[stopping],
            **lightgbm_sets(self.library, *pairs),
        )
        return self

    def best_round(self):
        return self.model.best_iteration_

    def curve(self, number=0):
        ((_, curve),) = self.model.evals_result_[f"valid_{number}"].items()
        return curve

    def staged(self, X, n_rounds):
        for k in range(1, n_rounds + 1):
            yield self.all_rounds.predict(X, num_iteration=k)


class XGBoost:
    def __init__(self):
        self.library = pytest.importorskip("xgboost")

    def fit(self, data, metric, *pairs):
        model = self.library.XGBRegressor(
            n_estimators=100,
            learning_rate=0.05,
            n_jobs=1,
            eval_metric=metric,
            early_stopping_rounds=PATIENCE,
        )
        self.model = clone(model).fit(data.X, data.y, eval_set=list(pairs), verbose=False)
        return self

    def best_round(self):
        return self.model.best_iteration + 1

    def curve(self, number=0):
        curves = self.model.evals_result()[f"validation_{number}"]
        return -np.array(curves[self.model.eval_metric.__name__])

    def staged(self, X, n_rounds):
        for k in range(1, n_rounds + 1):
            yield self.model.predict(X, iteration_range=(0, k))


class CatBoost:
    def __init__(self):
        self.library = pytest.importorskip("catboost")

    def fit(self, data, metric, *pairs):
        model = self.library.CatBoostRegressor(
            iterations=100,
            learning_rate=0.05,
            thread_count=1,
            eval_metric=metric,
            early_stopping_rounds=PATIENCE,
            use_best_model=False,
            verbose=0,
            allow_writing_files=False,
        )
        self.name = type(metric).__name__
        self.model = clone(model).fit(data.X, data.y, eval_set=list(pairs))
        return self

    def best_round(self):
        return self.model.best_iteration_ + 1

    def curve(self, number=None):
        key = "validation" if number is None else f"validation_{number}"
        return self.model.evals_result_[key][self.name]

    def curve_of_training(self):
        return self.model.evals_result_["learn"][self.name]

    def staged(self, X, n_rounds):
        return (p for p, _ in zip(self.model.staged_predict(X), range(n_rounds), strict=False))


BOOSTING = {"lightgbm": LightGBM, "xgboost": XGBoost, "catboost": CatBoost}


@pytest.fixture(params=BOOSTING)
def boosting(request):
    """One of the libraries, and its name."""
    return BOOSTING[request.param](), request.param


@pytest.mark.parametrize("score", ["numerai_corr", "mmc"])
def test_the_best_round_is_that_of_brute_force(boosting, score, data):
    trees, library = boosting
    if score == "mmc":
        given = {"meta_model": data.meta_model}
        expected = partial(meta_model_contribution, data.y_valid, eras=data.eras_valid, **given)
    else:
        given = {}
        expected = partial(numerai_corr, data.y_valid, eras=data.eras_valid)
    metric = era_eval_metric(score, eras=data.eras_valid, library=library, **given)
    trees.fit(data, metric, (data.X_valid, data.y_valid))
    curve = np.asarray(trees.curve())
    scores = np.array([expected(y_pred=p) for p in trees.staged(data.X_valid, len(curve))])
    # XGBoost writes six decimals, and adds trees up in single precision
    np.testing.assert_allclose(curve, scores, atol=2e-6 if library == "xgboost" else 1e-9)
    best = np.argmax(np.round(scores, 6) if library == "xgboost" else scores) + 1
    assert trees.best_round() == best
    assert best < len(curve) <= best + PATIENCE + (library == "catboost")


@pytest.mark.parametrize("n_first", [500, 1200])
def test_several_evaluation_sets(boosting, n_first, data):
    trees, library = boosting
    rows = (slice(0, n_first), slice(n_first, 2400))
    pairs = [(data.X_valid[part], data.y_valid[part]) for part in rows]
    eras = [data.eras_valid[part] for part in rows]
    targets = {"y_true": [y for _, y in pairs]} if n_first == 1200 else {}
    metric = era_eval_metric("numerai_corr", eras=eras, library=library, **targets)
    trees.fit(data, metric, *pairs)
    for number, ((X, y), labels) in enumerate(zip(pairs, eras, strict=True)):
        last = list(trees.staged(X, len(trees.curve(number))))[-1]
        value = numerai_corr(y, last, eras=labels)
        np.testing.assert_allclose(trees.curve(number)[-1], value, atol=2e-6)


def test_an_evaluation_set_without_eras(boosting, data):
    trees, library = boosting
    metric = era_eval_metric("numerai_corr", eras=data.eras_valid, library=library)
    others = (data.X_valid[:70], data.y_valid[:70])
    errors = (ValueError,)
    if library == "catboost":  # which wraps errors in its own
        errors = (trees.library.CatBoostError,)
    with pytest.raises(errors, match=r"evaluates (70|3600) rows, and eras has labels of 2400 rows"):
        trees.fit(data, metric, (data.X_valid, data.y_valid), others)


def test_the_training_rows_can_be_an_evaluation_set(data):
    for trees, library in ((LightGBM(), "lightgbm"), (XGBoost(), "xgboost")):
        metric = era_eval_metric(
            "numerai_corr",
            eras={"valid": data.eras_valid, "train": data.eras},
            library=library,
        )
        trees.fit(data, metric, (data.X, data.y), (data.X_valid, data.y_valid))
        curves = trees.model.evals_result_ if library == "lightgbm" else trees.model.evals_result()
        assert len(curves) == 2
        last = list(trees.staged(data.X, len(trees.curve(1))))[-1]
        expected = numerai_corr(data.y, last, eras=data.eras)
        ends = [abs(list(curve.values())[-1][-1]) for curve in curves.values()]
        assert min(abs(end - expected) for end in ends) < 2e-6


def test_early_rounds_without_a_score_do_not_stop_the_training(boosting, data):
    trees, library = boosting
    metric = era_eval_metric(late, eras=data.eras_valid, library=library, aggregate=np.min)
    trees.fit(data, metric, (data.X_valid, data.y_valid))
    assert np.abs(trees.curve()[:2]).min() >= 1e30
    assert trees.best_round() > 2


def late(y_true, y_pred):
    """No score until predictions are different enough."""
    return np.nan if np.ptp(y_pred) < 0.05 else -np.ptp(y_pred)


def test_native_training(data):
    lightgbm = pytest.importorskip("lightgbm")
    metric = era_eval_metric("numerai_corr", eras=data.eras_valid)
    training = lightgbm.Dataset(data.X, data.y)
    curves = {}
    booster = lightgbm.train(
        {"metric": "None", "verbose": -1, "num_threads": 1, "learning_rate": 0.05},
        training,
        num_boost_round=20,
        valid_sets=[lightgbm.Dataset(data.X_valid, data.y_valid, reference=training)],
        feval=metric,
        callbacks=[lightgbm.record_evaluation(curves)],
    )
    np.testing.assert_allclose(
        curves["valid_0"]["numerai_corr"][-1], corr(data, booster.predict(data.X_valid)), atol=1e-9
    )
    xgboost = pytest.importorskip("xgboost")
    metric = era_eval_metric("numerai_corr", eras=data.eras_valid, library="xgboost")
    curves = {}
    booster = xgboost.train(
        {"nthread": 1, "learning_rate": 0.05},
        xgboost.DMatrix(data.X, data.y),
        num_boost_round=20,
        evals=[(xgboost.DMatrix(data.X_valid, data.y_valid), "valid")],
        custom_metric=metric,
        evals_result=curves,
        verbose_eval=False,
    )
    predictions = booster.predict(xgboost.DMatrix(data.X_valid))
    np.testing.assert_allclose(
        curves["valid"]["neg_numerai_corr"][-1], -corr(data, predictions), atol=2e-6
    )


@pytest.mark.skipif(
    "X_val" not in signature(HistGradientBoostingRegressor.fit).parameters,
    reason="scikit-learn below 1.7",
)
def test_hist_gradient_boosting(data):
    metric = era_eval_metric("numerai_corr", eras=data.eras_valid, library="scikit-learn")
    trees = HistGradientBoostingRegressor(
        max_iter=100,
        learning_rate=0.05,
        early_stopping=True,
        n_iter_no_change=PATIENCE,
        tol=0.0,
        scoring=metric,
    )
    trees = clone(trees).fit(data.X, data.y, X_val=data.X_valid, y_val=data.y_valid)
    scores = [corr(data, p) for p in trees.staged_predict(data.X_valid)]
    np.testing.assert_allclose(trees.validation_score_[1:], scores, atol=1e-9)
    assert trees.validation_score_[0] == -np.inf  # before the first tree
    assert np.isnan(trees.train_score_).all()
    assert PATIENCE < trees.n_iter_ < 100
    # the last rounds, and no others, brought nothing over the one before them
    history = trees.validation_score_
    stops = [
        k
        for k in range(PATIENCE + 1, len(history) + 1)
        if max(history[k - PATIENCE : k]) <= history[k - PATIENCE - 1]
    ]
    assert stops == [len(history)]
    with pytest.raises(ValueError, match="and eras has labels of 2400 rows"):
        clone(trees).fit(data.X, data.y)  # a part of the training rows, drawn at random


def as_many_rows(data, library):
    """Training rows as many as those of the evaluation, and a metric with and without targets."""
    few = SimpleNamespace(X=data.X[:2400], y=data.y[:2400])
    given = {"eras": data.eras_valid, "library": library}
    return (
        few,
        era_eval_metric("numerai_corr", **given),
        era_eval_metric("numerai_corr", **given, y_true=data.y_valid),
    )


def test_as_many_training_rows_as_evaluation_rows(boosting, data):
    trees, library = boosting
    few, metric, with_targets = as_many_rows(data, library)
    pair = (data.X_valid, data.y_valid)
    if library == "catboost":
        with pytest.raises(trees.library.CatBoostError, match=r"as many as .* pass y_true="):
            trees.fit(few, metric, pair)
        metric = with_targets
    curve = trees.fit(few, metric, pair).curve()
    if library == "catboost":
        assert set(trees.curve_of_training()) == {0.0}
    scores = [corr(data, p) for p in trees.staged(data.X_valid, len(curve))]
    np.testing.assert_allclose(curve, scores, atol=2e-6)


@pytest.mark.skipif(
    "X_val" not in signature(HistGradientBoostingRegressor.fit).parameters,
    reason="scikit-learn below 1.7",
)
def test_as_many_training_rows_in_hist_gradient_boosting(data):
    few, metric, with_targets = as_many_rows(data, "scikit-learn")
    trees = HistGradientBoostingRegressor(max_iter=5, early_stopping=True, scoring=metric)
    valid = {"X_val": data.X_valid, "y_val": data.y_valid}
    with pytest.raises(ValueError, match=r"as many as .* pass y_true=..."):
        clone(trees).fit(few.X, few.y, **valid)
    trees = clone(trees).set_params(scoring=with_targets).fit(few.X, few.y, **valid)
    scores = [corr(data, p) for p in trees.staged_predict(data.X_valid)]
    np.testing.assert_allclose(trees.validation_score_[1:], scores, atol=1e-9)
    assert np.isnan(trees.train_score_).all()


@pytest.mark.parametrize("missing", ["rows", "an era"])
def test_lightgbm_with_targets_that_are_missing(missing, data):
    trees = LightGBM()
    lost = np.arange(2400) % 10 == 0 if missing == "rows" else data.eras_valid == "0025"
    targets = np.where(lost, np.nan, data.y_valid)
    metric = era_eval_metric("numerai_corr", eras=data.eras_valid, y_true=targets)
    warned = pytest.warns(UnscoredErasWarning, match="0025") if missing != "rows" else nullcontext()
    with warned:
        curve = trees.fit(data, metric, (data.X_valid, targets)).curve()
    scores = [
        numerai_corr(targets, p, eras=data.eras_valid)
        if missing == "rows"
        else numerai_corr(targets[~lost], p[~lost], eras=data.eras_valid[~lost])
        for p in trees.staged(data.X_valid, len(curve))
    ]
    np.testing.assert_allclose(curve, scores, atol=1e-9)


def fit_params(trees, library, metric, pair):
    """What is passed to ``fit`` for one evaluation set."""
    if library != "lightgbm":
        return {"eval_set": [pair], "verbose": False}
    stopping = trees.library.early_stopping(PATIENCE, verbose=False)
    return {"eval_metric": metric, "callbacks": [stopping], **lightgbm_sets(trees.library, pair)}


@pytest.mark.parametrize("routing", [False, True])
def test_evaluation_sets_inside_a_neutralized_regressor(boosting, routing, data):
    trees, library = boosting
    metric = era_eval_metric("numerai_corr", eras=data.eras_valid, library=library)
    pair = (data.X_valid, data.y_valid)
    plain = trees.fit(data, metric, pair).model
    params = fit_params(trees, library, metric, pair)
    regressor = clone(plain)
    sklearn.set_config(enable_metadata_routing=routing)
    if routing and library != "catboost":  # which cannot be asked
        regressor.set_fit_request(**dict.fromkeys(params, True))
    model = NeutralizedRegressor(regressor, FeatureNeutralizer(0.5))
    model.fit(data.X, data.y, eras=data.eras, **params)
    np.testing.assert_array_equal(
        model.regressor_.predict(data.X_valid), plain.predict(data.X_valid)
    )


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("weights", [None, "select"])
def test_evaluation_sets_inside_an_ensemble(boosting, weights, routing, data):
    trees, library = boosting
    metric = era_eval_metric("numerai_corr", eras=data.eras_valid, library=library)
    pair = (data.X_valid, data.y_valid)
    plain = trees.fit(data, metric, pair).model
    params = fit_params(trees, library, metric, pair)
    regressor = clone(plain)
    sklearn.set_config(enable_metadata_routing=routing)
    if routing and library != "catboost":
        regressor.set_fit_request(**dict.fromkeys(params, True))
    members = [("deep", regressor), ("flat", clone(regressor).set_params(max_depth=2))]
    model = EraEnsemble(members, weights=weights, cv=PurgedEraKFold(2, purge=0))
    model.fit(data.X, data.y, eras=data.eras, **params)
    deep, flat = model.estimators_
    np.testing.assert_array_equal(deep.predict(data.X_valid), plain.predict(data.X_valid))
    trees.model = flat
    curve = trees.curve()
    assert trees.best_round() == np.argmax(curve) + 1
    assert len(curve) < 100  # it stopped early, too
