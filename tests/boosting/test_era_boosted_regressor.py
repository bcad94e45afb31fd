import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknumerai.boosting import EraBoostedRegressor
from sknumerai.exceptions import SingleEraWarning
from sknumerai.metrics import get_era_scorer, numerai_corr
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor

# LightGBM 4.6 makes up names for the columns of arrays, and misses them in the next ones.
pytestmark = pytest.mark.filterwarnings(
    "ignore:X does not have valid feature names, but LGBM:UserWarning"
)

N_TREES = 6


def hist(**parameters):
    return HistGradientBoostingRegressor(
        max_iter=N_TREES, max_depth=3, early_stopping=False, **parameters
    )


def lightgbm(**parameters):
    library = pytest.importorskip("lightgbm")
    return library.LGBMRegressor(
        n_estimators=N_TREES, max_depth=3, verbose=-1, n_jobs=1
    ).set_params(**parameters)


def xgboost(**parameters):
    library = pytest.importorskip("xgboost")
    return library.XGBRegressor(n_estimators=N_TREES, max_depth=3, n_jobs=1, **parameters)


def catboost(**parameters):
    library = pytest.importorskip("catboost")
    return library.CatBoostRegressor(
        iterations=N_TREES,
        depth=3,
        learning_rate=0.3,
        thread_count=1,
        verbose=0,
        allow_writing_files=False,
        random_strength=0,
        bootstrap_type="No",
        **parameters,
    )


REGRESSORS = {
    "hist": (hist, "max_iter"),
    "gradient boosting": (
        lambda: GradientBoostingRegressor(n_estimators=N_TREES, subsample=0.5, random_state=0),
        "n_estimators",
    ),
    "random forest": (
        lambda: RandomForestRegressor(N_TREES, max_depth=3, random_state=0),
        "n_estimators",
    ),
    "extra trees": (
        lambda: ExtraTreesRegressor(N_TREES, max_depth=3, random_state=0),
        "n_estimators",
    ),
    "lightgbm": (lightgbm, "n_estimators"),
    "xgboost": (xgboost, "n_estimators"),
    "catboost": (catboost, "iterations"),
}


@parametrize_with_checks([EraBoostedRegressor(hist(), n_rounds=2)])
@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.SingleEraWarning")
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", REGRESSORS)
def test_with_all_eras_it_is_the_regressor_itself(name, data):
    make, size = REGRESSORS[name]
    model = EraBoostedRegressor(make(), n_rounds=3, proportion=1.0)
    model.fit(data.X, data.y, eras=data.eras)
    whole = make().set_params(**{size: 3 * N_TREES}).fit(data.X, data.y)
    np.testing.assert_allclose(model.predict(data.X_valid), whole.predict(data.X_valid), atol=2e-6)
    once = EraBoostedRegressor(make(), n_rounds=1).fit(data.X, data.y, eras=data.eras)
    np.testing.assert_array_equal(
        once.predict(data.X_valid), make().fit(data.X, data.y).predict(data.X_valid)
    )


@pytest.mark.parametrize("name", REGRESSORS)
def test_later_rounds_see_the_worst_eras(name, data):
    make, _ = REGRESSORS[name]
    regressor = make()
    before = str(regressor.get_params())
    model = EraBoostedRegressor(regressor, n_rounds=4, proportion=0.3)
    model.fit(data.X, data.y, eras=data.eras)
    assert str(regressor.get_params()) == before
    scores, trained = model.era_scores_, model.eras_trained_
    assert scores.shape == trained.shape == (4, 18)
    assert scores.index.tolist() == [1, 2, 3, 4]
    assert trained.loc[1].all()
    for number in (2, 3, 4):
        assert trained.loc[number].sum() == 6  # of 18, rounded up
        last = scores.loc[number - 1]
        assert last[trained.loc[number]].max() < last[~trained.loc[number]].min()
    first = numerai_corr(
        data.y, make().fit(data.X, data.y).predict(data.X), eras=data.eras, aggregate=None
    )
    pd.testing.assert_series_equal(scores.loc[1], first, check_names=False, atol=1e-9)
    last = numerai_corr(data.y, model.predict(data.X), eras=data.eras, aggregate=None)
    pd.testing.assert_series_equal(scores.loc[4], last, check_names=False, atol=1e-9)
    again = clone(model).fit(data.X, data.y, eras=data.eras)
    np.testing.assert_array_equal(again.predict(data.X), model.predict(data.X))


def test_the_loop_written_out(data):
    trees = lightgbm()
    model = EraBoostedRegressor(trees, n_rounds=4, proportion=0.5)
    model.fit(data.X, data.y, eras=data.eras)
    booster = clone(trees).fit(data.X, data.y)
    for _ in range(3):
        scores = numerai_corr(data.y, booster.predict(data.X), eras=data.eras, aggregate=None)
        rows = np.isin(data.eras, scores.nsmallest(9).index)
        booster = clone(trees).fit(data.X[rows], data.y[rows], init_model=booster)
    np.testing.assert_array_equal(model.predict(data.X_valid), booster.predict(data.X_valid))
    assert model.regressor_.booster_.num_trees() == 4 * N_TREES


@pytest.mark.parametrize("make", [hist, lightgbm, xgboost])
def test_labels_and_the_order_of_rows_change_nothing(make, data):
    model = EraBoostedRegressor(make(), n_rounds=3)
    expected = clone(model).fit(data.X, data.y, eras=data.eras)
    names = np.array([f"week {era[::-1]}" for era in data.eras])  # in no order
    renamed = clone(model).fit(data.X, data.y, eras=names)
    np.testing.assert_array_equal(renamed.predict(data.X), expected.predict(data.X))
    order = np.random.default_rng(0).permutation(len(data.y))
    mixed = clone(model).fit(data.X[order], data.y[order], eras=data.eras[order])
    pd.testing.assert_frame_equal(
        mixed.eras_trained_[expected.eras_trained_.columns], expected.eras_trained_
    )
    np.testing.assert_allclose(mixed.predict(data.X), expected.predict(data.X), atol=1e-5)


def test_eras_of_one_score_are_trained_together(data):
    def nothing(y_true, y_pred):
        assert y_true.shape == y_pred.shape == (200,)
        return 0.0

    model = EraBoostedRegressor(hist(), n_rounds=2, proportion=0.1, scoring=nothing)
    assert model.fit(data.X, data.y, eras=data.eras).eras_trained_.to_numpy().all()


def test_an_era_without_a_score_is_the_worst(data):
    bad = data.eras == "0007"
    y = np.where(bad, 0.5, data.y)  # constant targets have no correlation
    model = EraBoostedRegressor(hist(), n_rounds=2, proportion=0.01).fit(data.X, y, eras=data.eras)
    trained = model.eras_trained_.loc[2]
    assert trained.index[trained].tolist() == ["0007"]
    assert model.era_scores_["0007"].isna().all()


@pytest.mark.parametrize("random_state", [None, 0, np.random.RandomState(0)])
@pytest.mark.parametrize("make", [lightgbm, xgboost])
def test_rounds_draw_other_features(make, random_state, data):
    share = {"colsample_bytree": 0.1, "random_state": random_state}  # one of twelve features
    model = EraBoostedRegressor(make(**share), n_rounds=10)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    model.fit(data.X, data.y, eras=data.eras)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    importances = model.regressor_.feature_importances_
    if make is lightgbm:
        assert (importances > 0).sum() > N_TREES  # what one round could draw


def test_weights_are_those_of_the_rows(data):
    weights = np.where(data.eras > "0009", 1.0, 0.0)
    model = EraBoostedRegressor(hist(), n_rounds=3, proportion=1.0)
    half = data.eras > "0009"
    weighted = clone(model).fit(data.X, data.y, eras=data.eras, sample_weight=weights)
    alone = clone(model).fit(data.X[half], data.y[half], eras=data.eras[half])
    assert np.corrcoef(weighted.predict(data.X), alone.predict(data.X))[0, 1] > 0.8
    plain = clone(model).fit(data.X, data.y, eras=data.eras)
    assert not np.allclose(weighted.predict(data.X), plain.predict(data.X))
    boosted = EraBoostedRegressor(hist(), n_rounds=3)
    expected = boosted.fit(data.X, data.y, eras=data.eras, sample_weight=weights).predict(data.X)
    sklearn.set_config(enable_metadata_routing=True)
    routed = EraBoostedRegressor(hist().set_fit_request(sample_weight=True), n_rounds=3)
    routed.fit(data.X, data.y, eras=data.eras, sample_weight=weights)
    np.testing.assert_array_equal(routed.predict(data.X), expected)
    with pytest.raises(TypeError, match="sample_wieght"):
        routed.fit(data.X, data.y, eras=data.eras, sample_wieght=weights)


def test_frames(data, df_module):
    names = [f"feature_{j}" for j in range(12)]
    frame = df_module.DataFrame(dict(zip(names, data.X.T, strict=True)))
    model = EraBoostedRegressor(hist(), n_rounds=3)
    model.fit(frame, df_module.Series(data.y), eras=df_module.Series(data.eras.tolist()))
    expected = EraBoostedRegressor(hist(), n_rounds=3).fit(data.X, data.y, eras=data.eras)
    np.testing.assert_array_equal(model.predict(frame), expected.predict(data.X))
    assert model.feature_names_in_.tolist() == names


def test_inside_other_estimators(data):
    model = EraBoostedRegressor(hist(), n_rounds=2)
    expected = clone(model).fit(data.X, data.y, eras=data.eras).predict(data.X_valid)
    neutral = NeutralizedRegressor(clone(model), FeatureNeutralizer(0.0))
    neutral.fit(data.X, data.y, eras=data.eras)
    np.testing.assert_allclose(
        neutral.predict(data.X_valid, eras=data.eras_valid), expected, atol=1e-12
    )
    sklearn.set_config(enable_metadata_routing=True)
    piped = make_pipeline(StandardScaler(), clone(model)).fit(data.X, data.y, eras=data.eras)
    np.testing.assert_allclose(piped.predict(data.X_valid), expected, atol=1e-5)
    search = GridSearchCV(
        model,
        {"proportion": [0.5, 1.0], "regressor__max_depth": [2]},
        cv=PurgedEraKFold(2, purge=1),
        scoring=get_era_scorer("numerai_corr"),
        error_score="raise",
    ).fit(data.X, data.y, eras=data.eras)
    assert search.best_estimator_.eras_trained_.shape == (2, 18)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"regressor": Ridge()}, r"regressor is Ridge\(\), which cannot go on training"),
        ({"regressor": None}, "regressor is None, which cannot go on training"),
        ({"n_rounds": 0}, "The 'n_rounds' parameter of EraBoostedRegressor must be an int"),
        ({"proportion": 0.0}, "The 'proportion' parameter of EraBoostedRegressor"),
        ({"scoring": "mmc"}, "scoring is 'mmc', which needs meta_model; pass one of targets and"),
        ({"scoring": "max_exposure"}, "scoring is 'max_exposure', which needs features"),
        ({"scoring": "corr"}, "score is 'corr', which is no metric of one era's predictions"),
    ],
)
def test_errors(parameters, message, data):
    model = EraBoostedRegressor(hist()).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(data.X, data.y, eras=data.eras)


def test_without_eras(data):
    with pytest.warns(SingleEraWarning, match="all 3600 rows are treated as one era"):
        model = EraBoostedRegressor(hist(), n_rounds=2).fit(data.X, data.y)
    assert model.era_scores_.shape == (2, 1)
    whole = hist().set_params(max_iter=2 * N_TREES).fit(data.X, data.y)
    np.testing.assert_array_equal(model.predict(data.X), whole.predict(data.X))
    model.fit(data.X, data.y, eras="all")
    shifted = pd.Series(data.y, index=np.roll(np.arange(3600), 1))
    with pytest.raises(ValueError, match="The indexes of X and y share 3600"):
        model.fit(pd.DataFrame(data.X), shifted, eras=data.eras)
