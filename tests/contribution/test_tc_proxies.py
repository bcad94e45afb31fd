import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

import sknumerai.contribution._proxies as kernels
from sknumerai.contribution import fit_tc_proxies, tc_proxies, true_contribution
from sknumerai.contribution._fit_tc_proxies import draw_bags
from sknumerai.datasets import make_market
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics import (
    exposure_dissimilarity,
    feature_neutral_corr,
    max_feature_exposure,
    meta_model_contribution,
    numerai_corr,
)
from sknumerai.portfolio import PortfolioOptimizer

COLUMNS = ["fnc", "exposure_dissimilarity", "fnc_x_dissimilarity", "mmc", "fnc_tb30"]
COLUMNS += ["max_exposure", "corr", "tc"]
ROUNDS = {"n_rounds": 4, "random_state": 0}


@pytest.fixture(scope="module")
def market():
    """A market whose rows are in no order, with a target that has gaps."""
    market = make_market(n_stocks=120, n_users=11, n_eras=3, n_features=7, random_state=0)
    rng = np.random.default_rng(0)
    rows = rng.permutation(360)
    names = "eras exposures returns user_predictions example_predictions meta_model".split()
    for name in names:
        market[name] = market[name].iloc[rows]
    market.targets = pd.Series(
        market.returns.rank().to_numpy() * 5 // 361 / 4.0, index=market.returns.index
    )
    market.targets[rng.random(360) < 0.05] = np.nan
    return market


def call(market, **changes):
    arguments = {
        "user_predictions": market.user_predictions,
        "stakes": market.stakes,
        "returns": market.returns,
        "features": market.exposures,
        "example_predictions": market.example_predictions,
        "meta_model": market.meta_model,
        "eras": market.eras,
        "targets": market.targets,
        "top_bottom": 30,
        **changes,
    }
    if "contributions" not in arguments:
        arguments = {"exposures": market.exposures, **ROUNDS, **arguments}
    return tc_proxies(**arguments)


def contributions_of(market, predictions=None):
    return true_contribution(
        market.user_predictions if predictions is None else predictions,
        market.stakes,
        market.returns,
        optimizer=PortfolioOptimizer(),
        eras=market.eras,
        exposures=market.exposures,
        **ROUNDS,
    )


def with_absent_users(market):
    """Predictions of which one user has none in one era, and three in another."""
    predictions = market.user_predictions.copy()
    predictions.loc[market.eras == "0002", "user_0003"] = np.nan
    predictions.loc[market.eras == "0003", ["user_0001", "user_0006", "user_0011"]] = np.nan
    return predictions


@pytest.mark.parametrize("gaps", [True, False])
def test_scores_are_those_of_the_public_functions(market, monkeypatch, gaps):
    monkeypatch.setattr(kernels, "BLOCK", 4)  # several blocks, the last one not full
    predictions = with_absent_users(market)
    targets = market.targets if gaps else None
    table = call(market, user_predictions=predictions, targets=targets)
    goal = market.targets if gaps else market.returns
    assert table.columns.tolist() == COLUMNS
    assert table.index.names == ["era", "user"]
    assert table.index.tolist() == [
        (era, user) for era in ("0001", "0002", "0003") for user in market.user_predictions
    ]
    features, example = {"features": market.exposures}, market.example_predictions
    # the public functions know no absent users: noise in their place, to be left out below
    noise = pd.DataFrame(np.random.default_rng(1).random(predictions.shape)).set_axis(
        predictions.index
    )
    filled = predictions.fillna(noise.set_axis(predictions.columns, axis=1))
    options = {"eras": market.eras, "aggregate": None}
    fnc = feature_neutral_corr(goal, filled, **features, **options)
    dissimilarity = exposure_dissimilarity(
        filled, example_predictions=example, **features, **options
    )
    expected = {
        "fnc": fnc,
        "exposure_dissimilarity": dissimilarity,
        "fnc_x_dissimilarity": fnc * dissimilarity,
        "mmc": meta_model_contribution(goal, filled, meta_model=market.meta_model, **options),
        "fnc_tb30": feature_neutral_corr(goal, filled, top_bottom=30, **features, **options),
        "max_exposure": max_feature_exposure(filled, **features, **options),
        "corr": numerai_corr(goal, filled, **options),
        "tc": contributions_of(market, predictions),
    }
    present = table["tc"].notna().unstack().to_numpy()
    assert (~present).sum(axis=1).tolist() == [0, 1, 3]
    for name in COLUMNS:
        found = table[name].unstack().to_numpy()
        wanted = np.where(present, expected[name].to_numpy(), np.nan)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12, err_msg=name)


def test_features_are_factorized_once_an_era(market, monkeypatch):
    made, factorize = [], kernels.FeatureProjection
    monkeypatch.setattr(kernels, "FeatureProjection", lambda X: made.append(X) or factorize(X))
    monkeypatch.setattr(kernels, "BLOCK", 2)
    call(market, contributions=contributions_of(market))
    assert len(made) == 3


def test_table_depends_on_nothing_but_the_era(market):
    expected = call(market)
    pd.testing.assert_frame_equal(call(market, n_jobs=2), expected)
    alone = market.eras == "0002"
    one = {
        name: market[name][alone]
        for name in "user_predictions returns example_predictions meta_model targets".split()
    }
    one |= dict.fromkeys(["features", "exposures"], market.exposures[alone])
    found = call(market, **one, eras="0002")
    pd.testing.assert_frame_equal(found, expected.loc[["0002"]], atol=1e-14)
    np.testing.assert_array_equal(call(market, **one, eras=None), found)
    order = np.argsort(market.user_predictions.index)
    features = dict.fromkeys(["features", "exposures"], market.exposures.iloc[order])
    sorted_rows = {name: market[name].iloc[order] for name in one if name in market} | features
    found = call(market, **sorted_rows, eras=market.eras.iloc[order])
    pd.testing.assert_frame_equal(found, expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_arrays_have_positions_for_names(market, dtype):
    values = (market.user_predictions * 1000).round().astype(dtype)
    table = call(
        market,
        user_predictions=values.to_numpy(),
        stakes=market.stakes.to_numpy(),
        optimizer=PortfolioOptimizer(),
    )
    assert table.index.get_level_values("user").unique().tolist() == list(range(11))
    expected = call(market, user_predictions=values.astype(float))
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-12)


def test_frames_of_any_kind(market, df_module):
    names = "user_predictions returns example_predictions meta_model exposures targets".split()
    frames = {
        name: df_module.DataFrame(
            {str(c): v.to_numpy() for c, v in pd.DataFrame(market[name]).items()}
        )
        for name in names
    }
    frames["features"] = frames["exposures"]
    found = call(market, **frames, eras=df_module.Series(market.eras.to_numpy(), "era"))
    np.testing.assert_allclose(found, call(market), rtol=0, atol=1e-12)
    assert found.index.tolist() == call(market).index.tolist()


def test_contributions_of_before(market):
    contributions = contributions_of(market)
    expected = call(market)
    found = call(market, stakes=None, contributions=contributions)
    pd.testing.assert_frame_equal(found, expected)
    shuffled = contributions.iloc[::-1, ::-1]
    pd.testing.assert_frame_equal(call(market, contributions=shuffled), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.drop(index="0002"), r"lack 1 of 3 eras \(first '0002'\)"),
        (lambda c: c.iloc[:, 2:], r"lack 2 of 11 users \(first 'user_0001'\)"),
        (lambda c: pd.concat([c, c]), r"name 3 eras twice"),
    ],
)
def test_contributions_that_do_not_fit(market, change, message):
    with pytest.raises(ValueError, match=message):
        call(market, contributions=change(contributions_of(market)))


def test_constant_predictions_have_no_scores(market):
    predictions = market.user_predictions.copy()
    predictions.loc[market.eras == "0002", "user_0005"] = 0.5
    with pytest.warns(ConstantPredictionWarning) as warned:
        table = call(market, user_predictions=predictions)
    assert any(
        "1 era (0002) a prediction, what neutralization leaves" in str(w.message) for w in warned
    )
    assert table.index[table.isna().any(axis=1)].tolist() == [("0002", "user_0005")]
    assert table.loc[("0002", "user_0005")].isna().all()


@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.ConstantPredictionWarning")
def test_example_without_exposure(market):
    table = call(market, example_predictions=np.ones(360))
    missing = ["exposure_dissimilarity", "fnc_x_dissimilarity"]
    assert table.columns[table.isna().any()].tolist() == missing


def with_value(data, value, column=0):
    data = data.astype(float)
    data.iloc[4, column] = value
    return data


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_predictions(market, value):
    predictions = with_value(market.user_predictions, value, column=3)
    era = market.eras.iloc[4]
    with pytest.raises(
        ValueError,
        match=rf"In era {era}: user_predictions contains 1 (values .* column 3|infinite)",
    ):
        call(market, user_predictions=predictions, contributions=contributions_of(market))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["features", "meta_model", "example_predictions"])
def test_bad_tables(market, name, value):
    key = "exposures" if name == "features" else name
    data = with_value(pd.DataFrame(market[key]), value)
    with pytest.raises(ValueError, match=rf"{name} contains 1 (NaN|inf)"):
        call(market, **{name: data}, contributions=contributions_of(market))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"stakes": None}, ValueError, r"stakes is None; pass stakes, or contributions"),
        ({"top_bottom": 61}, ValueError, r"In era 000\d: top_bottom=61 needs 1\d\d rows"),
        ({"top_bottom": 0}, ValueError, r"'top_bottom' parameter"),
        ({"n_rounds": 0}, ValueError, r"'n_rounds' parameter"),
        ({"betas": 1.0}, TypeError, r"betas is no risk data"),
        ({"targets": np.full(360, np.nan)}, ValueError, r"120 of 120 targets are missing"),
        ({"meta_model": np.ones(3)}, ValueError, r"meta_model has 3 rows"),
        ({"features": np.ones((360, 0))}, ValueError, r"features has no columns"),
        ({"contributions": np.ones((3, 11))}, ValueError, r"'contributions' parameter"),
    ],
)
def test_errors(market, changes, error, message):
    with pytest.raises(error, match=message):
        call(market, **changes)


def test_contributions_and_how_to_compute_them_exclude_each_other(market):
    changes = {"optimizer": PortfolioOptimizer(), "n_rounds": 3}
    with pytest.raises(ValueError, match=r"given, and optimizer, n_rounds to compute"):
        call(market, contributions=contributions_of(market), **changes)


# --- the fit --------------------------------------------------------------------------------------


@pytest.fixture
def interpret():
    return pytest.importorskip("interpret.glassbox", reason="needs the extra interpret")


@pytest.fixture(scope="module")
def additive():
    """Contributions that are a sum of known functions of two of three scores."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [[f"{era:04d}" for era in range(1, 13)], range(80)], names=["era", "user"]
    )
    table = pd.DataFrame(rng.uniform(-1, 1, (960, 3)), index=index, columns=["fnc", "mmc", "corr"])
    table["tc"] = table["fnc"] + (table["mmc"] > 0) + 0.1 * rng.normal(size=960)
    table["tc"] -= 0.5
    return table


FAST = {"outer_bags": 3, "max_rounds": 500, "random_state": 0}


def scaled(table):
    """Contributions over their root mean square in the era."""
    return table["tc"].groupby("era").transform(lambda tc: tc / np.sqrt(np.mean(tc**2)))


def test_known_functions_are_found(additive, interpret):
    fit = fit_tc_proxies(additive, random_state=0, outer_bags=3)
    assert fit.importances.index.tolist() == ["fnc", "mmc", "corr"]
    assert fit.importances["corr"] < 0.1 * fit.importances["mmc"]
    assert fit.r2_test > 0.9
    unit = np.sqrt((additive["tc"] ** 2).mean())
    grid = np.linspace(-0.8, 0.8, 9)
    effect = {
        name: np.array([shape.query("x <= @at")["score"].iloc[-1] for at in grid])
        for name, shape in fit.shapes.items()
    }
    np.testing.assert_allclose(effect["fnc"] * unit, grid, atol=0.15)
    np.testing.assert_allclose(effect["mmc"][[0, -1]] * unit, [-0.5, 0.5], atol=0.1)
    np.testing.assert_allclose(effect["corr"] * unit, 0.0, atol=0.1)


def test_shapes_add_up_to_the_predictions(additive, interpret):
    fit = fit_tc_proxies(additive, **FAST)
    total = np.full(len(additive), float(fit.model_.intercept_))
    for name, shape in fit.shapes.items():
        assert shape.columns.tolist() == ["x", "score", "lower", "upper", "share"]
        assert (np.diff(shape["x"]) > 0).all()
        assert ((shape["lower"] <= shape["score"]) & (shape["score"] <= shape["upper"])).all()
        np.testing.assert_allclose(shape["share"].sum(), 1.0)
        step = np.searchsorted(shape["x"], additive[name], side="right") - 1
        total += shape["score"].to_numpy()[np.clip(step, 0, len(shape) - 1)]
    predicted = fit.model_.predict(additive[list(fit.shapes)])
    np.testing.assert_allclose(predicted, total, atol=1e-12)
    trained = additive[~additive.index.get_level_values("era").isin(fit.test_eras)]
    for name, shape in fit.shapes.items():
        assert shape["x"].iloc[[0, -1]].tolist() == [trained[name].min(), trained[name].max()]
        importance = (shape["score"].abs() * shape["share"]).sum()
        np.testing.assert_allclose(fit.importances[name], importance, rtol=1e-9)


def test_the_last_eras_are_held_out(additive, interpret):
    fit = fit_tc_proxies(additive, **FAST)
    assert fit.test_eras == ["0010", "0011", "0012"]
    test = additive.index.get_level_values("era").isin(fit.test_eras)
    predicted, target = fit.model_.predict(additive[["fnc", "mmc", "corr"]]), scaled(additive)
    np.testing.assert_allclose(fit.r2_test, r2_score(target[test], predicted[test]))
    np.testing.assert_allclose(fit.r2_train, r2_score(target[~test], predicted[~test]))
    other = additive.copy()
    other.loc[test, "tc"] = other.loc[test, "tc"].to_numpy()[::-1]
    changed = fit_tc_proxies(other, **FAST)
    np.testing.assert_array_equal(changed.model_.predict(additive.iloc[:, :3]), predicted)
    assert changed.r2_test < fit.r2_test
    assert len(fit_tc_proxies(additive, test_size=0.01, **FAST).test_eras) == 1


def test_the_unit_of_contribution_may_change_with_the_era(additive, interpret):
    factors = additive.index.get_level_values("era").astype(int) ** 2 * 1e-6
    other = additive.assign(tc=additive["tc"] * factors)
    expected, found = fit_tc_proxies(additive, **FAST), fit_tc_proxies(other, **FAST)
    pd.testing.assert_series_equal(found.importances, expected.importances)
    np.testing.assert_allclose(found.r2_test, expected.r2_test)


def test_bags_split_between_eras():
    eras = np.repeat([f"{era}" for era in range(20)], 5)
    bags = draw_bags(eras, 0.15, 6, np.random.default_rng(0))
    by_era = bags.reshape(20, 5, 6)
    assert (by_era == by_era[:, :1]).all()
    assert ((by_era[:, 0] == -1).sum(axis=0) == 3).all()
    assert len(np.unique(bags, axis=1).T) > 1
    two = draw_bags(np.array([0, 0, 1]), 0.9, 4, np.random.default_rng(0))
    assert ((two == 1).any(axis=0) & (two == -1).any(axis=0)).all()


def test_bags_stop_by_their_eras(additive, interpret):
    few, many = (fit_tc_proxies(additive, validation_size=size, **FAST) for size in (0.15, 0.6))
    assert (few.importances != many.importances).any()
    assert few.model_.outer_bags == 3


def test_a_seed_determines_the_fit(additive, interpret):
    first = fit_tc_proxies(additive, **FAST)
    again = fit_tc_proxies(additive, **FAST, n_jobs=2)
    other = fit_tc_proxies(additive, **{**FAST, "random_state": 1})
    pd.testing.assert_series_equal(first.importances, again.importances)
    for name, shape in first.shapes.items():
        pd.testing.assert_frame_equal(shape, again.shapes[name])
    assert (first.importances != other.importances).any()
    assert first.model_.max_rounds == 500
    assert again.model_.n_jobs == 2


def test_rows_with_nan_are_left_out(additive, interpret):
    gaps = additive.copy()
    gaps.iloc[::9, 1] = np.nan
    gaps.iloc[::7, 3] = np.nan
    found, expected = fit_tc_proxies(gaps, **FAST), fit_tc_proxies(gaps.dropna(), **FAST)
    pd.testing.assert_series_equal(found.importances, expected.importances)
    assert found.r2_test == expected.r2_test


def test_pairs_have_importances_but_no_shape(additive, interpret):
    table = additive.assign(tc=additive["fnc"] * additive["mmc"])
    fit = fit_tc_proxies(table, interactions=1, **FAST)
    assert fit.importances.index[0] == "fnc & mmc"
    assert list(fit.shapes) == ["fnc", "mmc", "corr"]


def test_few_distinct_values_are_still_numbers(additive, interpret):
    table = additive.assign(corr=0.5, mmc=additive["mmc"] > 0)
    fit = fit_tc_proxies(table, **FAST)
    assert set(fit.model_.feature_types_in_) == {"continuous"}
    assert fit.importances["corr"] == 0.0
    assert fit.shapes["corr"]["score"].eq(0.0).all()
    assert fit.shapes["mmc"]["x"].iloc[[0, -1]].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.reset_index(drop=True), r"levels \[None\]; one must be named 'era'"),
        (lambda t: t.drop(columns="tc"), r"needs 'tc' and one score"),
        (lambda t: t[["tc"]], r"needs 'tc' and one score"),
        (lambda t: t.loc[["0001", "0002"]], r"has 2 eras .* holds out 1;"),
        (lambda t: t.assign(tc=np.nan), r"has 0 eras with known values"),
        (lambda t: t.assign(fnc=np.inf), r"960 infinite of 3840 values"),
        (lambda t: t.assign(tc=t["tc"].where(t.index.codes[0] != 3, 0.0)), r"in era 0004"),
    ],
)
def test_tables_that_cannot_be_fitted(additive, change, message):
    with pytest.raises(ValueError, match=message):
        fit_tc_proxies(change(additive))


@pytest.mark.parametrize(
    ("name", "value"),
    [("test_size", 1.0), ("validation_size", 0), ("outer_bags", 0), ("random_state", "a")],
)
def test_parameters_of_the_fit(additive, name, value):
    with pytest.raises(ValueError, match=rf"'{name}' parameter of fit_tc_proxies"):
        fit_tc_proxies(additive, **{name: value})


def test_what_to_install(additive, monkeypatch):
    monkeypatch.setitem(sys.modules, "interpret", None)
    monkeypatch.setitem(sys.modules, "interpret.glassbox", None)
    with pytest.raises(ImportError, match=r"pip install 'sknumerai\[interpret\]'"):
        fit_tc_proxies(additive)
