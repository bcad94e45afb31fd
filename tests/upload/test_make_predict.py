"""Functions for the tournament predict what the models predict, as ranks."""

import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sknumerai.boosting import BenchmarkResidualRegressor, EraBoostedRegressor
from sknumerai.ensemble import blend
from sknumerai.neutralization import (
    ExposureClipper,
    FeatureNeutralizer,
    NeutralizedRegressor,
    RiskiestFeatures,
    clip_exposure,
    neutralize,
)
from sknumerai.preprocessing import rank_by_era
from sknumerai.upload import make_predict
from tests.upload._models import make_benchmarks, make_data, make_models, make_tree

X, y, eras, live = make_data()
MODELS = make_models(X, y, eras)
NAMES = list(X.columns)


def ranked(values, eras="X"):
    return rank_by_era(pd.DataFrame({"prediction": values}, live.index), eras=eras)


def expected(name):
    model = MODELS[name]
    if name == "list":
        columns = {i: each.predict(live[NAMES]) for i, (each, _) in enumerate(model)}
        return ranked(blend(pd.DataFrame(columns, live.index), weights=[2, 1]))
    if name == "function":
        return ranked(model(live))
    given = {} if name in ("bare", "pipeline") else {"eras": "X"}
    return ranked(model.predict(live[NAMES], **given))


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_ranks_of_the_models(name):
    result = make_predict(MODELS[name])(live)
    assert type(result) is pd.DataFrame
    pd.testing.assert_frame_equal(result, expected(name), rtol=0, atol=1e-12)


def test_columns_are_found_by_name_and_kept_as_they_are():
    class Watching(Ridge):
        def predict(self, X):
            assert list(X.columns) == NAMES
            assert (X.dtypes == np.int8).all()
            return super().predict(X)

    predict = make_predict(Watching().fit(X, y))
    shuffled = live[[*reversed(NAMES), "era"]].assign(target=np.nan, other="text")
    pd.testing.assert_frame_equal(predict(shuffled), predict(live))


@pytest.mark.parametrize(
    "transformer",
    [
        FeatureNeutralizer(0.5),
        ExposureClipper(0.05, normalize=None, scale=None),
        ExposureClipper(
            {"a": 0.02, NAMES[5]: 0.01}, feature_groups={"a": NAMES[:4]}, bounds="shrink"
        ),
        FeatureNeutralizer(feature_columns=NAMES[3:7], normalize="rank", scale="std"),
    ],
)
@pytest.mark.parametrize("fitted", [False, True])
def test_a_transformer_changes_the_predictions(transformer, fitted):
    model = make_tree().fit(X, y)
    raw = pd.DataFrame({"prediction": model.predict(live[NAMES])}, live.index)
    own = transformer.fit(raw, features=live[NAMES])
    changed = own.transform(raw, features=live[NAMES])[:, 0]
    given = own if fitted else transformer.__class__(**transformer.get_params())
    result = make_predict(model, transformer=given)(live)
    pd.testing.assert_frame_equal(result, ranked(changed), rtol=0, atol=1e-12)


def test_a_nested_choice_of_features():
    inner = FeatureNeutralizer(feature_columns=NAMES[2:4])
    model = NeutralizedRegressor(Ridge(), inner, feature_columns=NAMES[:6]).fit(X, y, eras=eras)
    result = make_predict(model)(live)
    pd.testing.assert_frame_equal(result, ranked(model.predict(live[NAMES], eras="X")))
    arrays = NeutralizedRegressor(
        Ridge(), FeatureNeutralizer(feature_columns=[0, 2]), feature_columns=slice(4, 8)
    ).fit(X.to_numpy(), y, eras=eras)
    result = make_predict(arrays, feature_names=NAMES)(live)
    own = arrays.predict(live[NAMES].to_numpy(), eras="X")
    pd.testing.assert_frame_equal(result, ranked(own))
    chosen = live[[NAMES[4], NAMES[6]]]
    plain = arrays.regressor_.predict(live[NAMES].to_numpy())
    np.testing.assert_allclose(own, neutralize(plain, chosen), atol=1e-12)


def test_learned_features():
    riskiest = RiskiestFeatures(3, method="return")
    transformer = FeatureNeutralizer(feature_columns=riskiest)
    model = NeutralizedRegressor(Ridge(), transformer).fit(X, y, eras=eras)
    own = ranked(model.predict(live[NAMES], eras="X"))
    pd.testing.assert_frame_equal(make_predict(model)(live), own)
    with pytest.raises(ValueError, match="learns in fit; pass a fitted one"):
        make_predict(Ridge().fit(X, y), transformer=transformer)


def test_wrappers_are_looked_through():
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 10.0]}, cv=2).fit(X, y)
    own = ranked(search.predict(live[NAMES]))
    pd.testing.assert_frame_equal(make_predict(search)(live), own)
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(max_iter=3, early_stopping=False)
    boosted = EraBoostedRegressor(trees, n_rounds=2).fit(X, y, eras=eras)
    own = ranked(boosted.predict(live[NAMES]))
    pd.testing.assert_frame_equal(make_predict(boosted)(live), own)
    benchmark = pd.Series(np.random.default_rng(0).random(len(X)), X.index)
    residual = BenchmarkResidualRegressor(Ridge()).fit(X, y, eras=eras, benchmark=benchmark)
    own = ranked(residual.predict(live[NAMES]))
    pd.testing.assert_frame_equal(make_predict(residual)(live), own)


def test_benchmarks_are_joined_by_id():
    name = "v53_lgbm_ender60"
    rng = np.random.default_rng(0)
    table = X.assign(**{name: rng.random(len(X))})
    target = y + 2 * table[name]
    benchmarks = make_benchmarks(live)
    model = Ridge().fit(table, target)
    predict = make_predict(model, benchmark=name)
    own = model.predict(live[NAMES].assign(**{name: benchmarks[name].loc[live.index]}))
    pd.testing.assert_frame_equal(predict(live, benchmarks), ranked(own))
    with pytest.raises(ValueError, match="live_benchmark_models is missing, and the model needs"):
        predict(live)
    with pytest.raises(ValueError, match="live_benchmark_models lacks 1 of 120 ids"):
        predict(live, benchmarks.iloc[1:])
    with pytest.raises(ValueError, match="'other' is none of the 12 columns"):
        make_predict(Ridge().fit(X, y), benchmark="other")

    def users(live_features, live_benchmark_models):
        assert live_benchmark_models.index.equals(live_features.index)
        return live_benchmark_models[[name]]

    own = ranked(benchmarks[name].loc[live.index])
    pd.testing.assert_frame_equal(make_predict(users)(live, benchmarks), own)


def test_several_eras_one_by_one():
    model = NeutralizedRegressor(make_tree(), ExposureClipper(0.05)).fit(X, y, eras=eras)
    rows = X.assign(era=eras).sample(frac=1.0, random_state=0)
    result = make_predict(model)(rows)
    raw = pd.Series(model.predict(rows[NAMES], eras=rows["era"]), rows.index)
    own = rank_by_era(raw.to_frame("prediction"), eras=rows["era"])
    pd.testing.assert_frame_equal(result, own, rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", ["minmax", None])
def test_other_scales(how):
    model = Ridge().fit(X, y)
    raw = model.predict(live[NAMES])
    result = make_predict(model, normalize=how)(live)["prediction"]
    own = raw if how is None else (raw - raw.min()) / np.ptp(raw)
    np.testing.assert_allclose(result, own, atol=1e-12)
    with pytest.raises(ValueError, match=r"lie in .* \[0, 1\]; make the function with normalize="):
        make_predict(Ridge().fit(X, 10 * y), normalize=None)(live)


def test_clipped_predictions_keep_their_limit():
    model = make_tree().fit(X, y)
    result = make_predict(model, transformer=ExposureClipper(0.05), normalize="minmax")(live)
    raw = pd.Series(model.predict(live[NAMES]), live.index)
    own = clip_exposure(raw, live[NAMES], 0.05, normalize="gaussian", scale="minmax")
    np.testing.assert_allclose(result["prediction"], own, atol=1e-9)


def test_one_row_is_in_the_middle():
    result = make_predict(Ridge().fit(X, y))(live.iloc[:1])
    assert result["prediction"].tolist() == [0.5]


def test_rows_that_do_not_fit():
    predict = make_predict(Ridge().fit(X, y))
    with pytest.raises(ValueError, match=r"lacks 2 of 12 columns .* 'feature_"):
        predict(live.drop(columns=NAMES[:2]))
    with pytest.raises(ValueError, match="live_features has 1 repeated ids, such as"):
        predict(pd.concat([live, live.iloc[:1]]))
    with pytest.raises(ValueError, match="missing in 1 rows"):
        predict(live.assign(era=[None, *live["era"].iloc[1:]]))
    with pytest.raises(ValueError, match="must be a pandas DataFrame of at least one row"):
        predict(live.to_numpy())
    with pytest.raises(ValueError, match="must be a pandas DataFrame of at least one row"):
        predict(live.iloc[:0])
    missing = live.astype({NAMES[0]: float})
    missing.iloc[3, 1] = np.nan
    neutral = make_predict(lambda live: np.arange(len(live)) * 1.0)
    assert len(neutral(missing)) == len(live)
    changed = make_predict(MODELS["neutralized"])
    with pytest.raises(ValueError, match="NaN"):
        changed(missing)


def test_predictions_that_are_none():
    with pytest.raises(ValueError, match="predicts 1 for all 120 rows, which cannot be ranked"):
        make_predict(lambda live: np.ones(len(live)))(live)
    with pytest.raises(ValueError, match="120 of 120 predictions are NaN or infinite"):
        make_predict(lambda live: np.full(len(live), np.nan))(live)
    with pytest.raises(ValueError, match=r"returned shape \(3,\) for 120 rows"):
        make_predict(lambda live: np.ones(3))(live)
    with pytest.raises(ValueError, match="119 rows that are not the 120 of live_features"):
        make_predict(lambda live: live[NAMES[0]].iloc[1:])(live)


def test_a_function_may_return_any_order():
    def users(live_features):
        return live_features[[NAMES[0]]].sort_values(NAMES[0])

    result = make_predict(users)(live)
    pd.testing.assert_frame_equal(result, ranked(live[NAMES[0]]))


def test_what_cannot_be_exported():
    with pytest.raises(ValueError, match="does not know the names of its features"):
        make_predict(Ridge().fit(X.to_numpy(), y))
    with pytest.raises(ValueError, match="NeutralizedRegressor that is not fitted"):
        make_predict(NeutralizedRegressor(Ridge(), FeatureNeutralizer()), feature_names=NAMES)
    with pytest.raises(ValueError, match="which has no predict"):
        make_predict(FeatureNeutralizer(), feature_names=NAMES)
    with pytest.raises(ValueError, match="normalize='gauss'"):
        make_predict(Ridge().fit(X, y), normalize="gauss")
    with pytest.raises(ValueError, match="function of 3 parameters"):
        make_predict(lambda a, b, c: a)
    with pytest.raises(ValueError, match="empty list"):
        make_predict([])
    with pytest.raises(ValueError, match="finite ones, not all 0"):
        make_predict([(Ridge().fit(X, y), 0.0)])
    with pytest.raises(ValueError, match="has 3 names and the model was trained on 12"):
        make_predict(Ridge().fit(X, y), feature_names=NAMES[:3])
    with pytest.raises(ValueError, match="names that the model was trained with differ"):
        make_predict(Ridge().fit(X, y), feature_names=NAMES[::-1])
    with pytest.raises(ValueError, match="needs no feature_names"):
        make_predict(lambda live: live, feature_names=NAMES)
    with pytest.raises(ValueError, match="transformer is a Ridge"):
        make_predict(Ridge().fit(X, y), transformer=Ridge())


@pytest.mark.parametrize("frames", [False, True])
def test_a_transformer_gets_the_table_of_its_step(frames):
    steps = [
        KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
        PCA(6),
        NeutralizedRegressor(make_tree(), FeatureNeutralizer()),
    ]
    if frames:
        for step in steps[:2]:
            step.set_output(transform="pandas")
    with pytest.warns(UserWarning, match="era"):
        model = make_pipeline(*steps).fit(X, y)
    with sklearn_warnings():
        own = model.predict(live[NAMES])
    pd.testing.assert_frame_equal(make_predict(model)(live), ranked(own))


@contextmanager
def sklearn_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_features_given_beside_the_table_of_a_step():
    """Then they are those of the live rows, whatever their names in the table."""
    scaled = StandardScaler().set_output(transform="pandas")
    inner = NeutralizedRegressor(make_tree(), FeatureNeutralizer())
    with sklearn.config_context(enable_metadata_routing=True):
        binned = KBinsDiscretizer(2, encode="ordinal", strategy="uniform")
        model = make_pipeline(scaled, binned.set_output(transform="pandas"), inner)
        model.fit(X, y, eras=eras, features=X)
        own = model.predict(live[NAMES], eras="X", features=live[NAMES])
    pd.testing.assert_frame_equal(make_predict(model)(live), ranked(own))
    arrays = NeutralizedRegressor(make_tree(), FeatureNeutralizer())
    arrays.fit(X, y, eras=eras, features=X.to_numpy())
    with pytest.raises(ValueError, match="an array without names, which cannot be found"):
        make_predict(arrays)


def test_whole_numbers_are_not_truncated():
    classifier = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, (4 * y).astype(int))
    raw = pd.Series(classifier.predict(live[NAMES]).astype(float), live.index)
    own = neutralize(raw, live[NAMES], proportion=0.5)
    result = make_predict(classifier, transformer=FeatureNeutralizer(0.5))(live)
    pd.testing.assert_frame_equal(result, ranked(own))


def test_parameters_are_validated():
    model = make_tree().fit(X, y)
    for transformer in (FeatureNeutralizer(7), ExposureClipper(bounds="zz")):
        with pytest.raises(ValueError, match="parameter of"):
            make_predict(model, transformer=transformer)
    for unfitted in (Ridge(), Ridge):
        with pytest.raises(ValueError, match=r"pass a fitted instance|not fitted; call fit"):
            make_predict(unfitted, feature_names=NAMES)
    for odd in (None, 5, {"a": model}):
        with pytest.raises(ValueError, match="which has no predict"):
            make_predict(odd)


def test_transformers_fitted_on_arrays():
    column, features = y.to_numpy()[:, None], X.to_numpy()
    fitted = FeatureNeutralizer(0.5).fit(column, features=features)
    model = make_tree().fit(X, y)
    own = make_predict(model, transformer=FeatureNeutralizer(0.5))(live)
    pd.testing.assert_frame_equal(make_predict(model, transformer=fitted)(live), own)
    fewer = FeatureNeutralizer(0.5).fit(column, features=features[:, :3])
    with pytest.raises(ValueError, match="fitted with 3 features without names"):
        make_predict(model, transformer=fewer)


def test_nullable_features():
    predict = make_predict(MODELS["neutralized"])
    nullable = live.astype(dict.fromkeys(NAMES, "Int8"))
    pd.testing.assert_frame_equal(predict(nullable), predict(live))


def test_nothing_is_left():
    with pytest.raises(
        ValueError, match=r"12 features leave nothing of the predictions of 10 rows"
    ):
        make_predict(MODELS["neutralized"])(live.iloc[:10])


def test_names_that_look_numbered():
    table = X.set_axis(["f0", *NAMES[1:]], axis=1)
    predict = make_predict(Pipeline([("none", "passthrough"), ("tree", make_tree())]).fit(table, y))
    assert len(predict(live.rename(columns={NAMES[0]: "f0"}))) == len(live)
