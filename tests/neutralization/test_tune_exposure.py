"""Settings of neutralization and clipping, beside a loop over them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai.exceptions import (
    ConstantPredictionWarning,
    InfeasibleExposureError,
    InfeasibleExposureWarning,
    MissingErasError,
    UnscoredErasWarning,
)
from sknumerai.metrics import (
    corr_with,
    feature_neutral_corr,
    max_feature_exposure,
    meta_model_contribution,
    numerai_corr,
)
from sknumerai.model_selection import CombinatorialPurgedEraCV, EraTimeSeriesSplit, PurgedEraKFold
from sknumerai.neutralization import clip_exposure, neutralize, tune_exposure
from sknumerai.neutralization._clipping import clipped_predictions
from sknumerai.neutralization._square_root_lasso import square_root_lasso
from tests._reference import make_era

N_ERAS, K = 12, 8
PROPORTIONS, LIMITS = [0.5, 1.0], [0.05, 0.2, 0.1]
SETTINGS = ["none", "proportion 0.5", "proportion 1.0", "limit 0.05", "limit 0.2", "limit 0.1"]
STATISTICS = ["mean", "std", "sharpe", "mean_exposure", "worst_exposure", "correlation"]


def make_data(seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(80, 120, N_ERAS)
    parts = [make_era(rng, n, K, signal=0.1) for n in sizes]
    data = {
        "predictions": np.concatenate([part[0] for part in parts]),
        "features": np.concatenate([part[1] for part in parts]),
        "eras": np.repeat([f"{era:04d}" for era in range(1, N_ERAS + 1)], sizes),
    }
    noise = rng.normal(size=(2, len(data["eras"])))
    data["y"] = data["predictions"] + 4.0 * noise[0]
    data["meta_model"] = data["predictions"] + noise[1]
    order = rng.permutation(len(data["eras"]))
    return {name: values[order] for name, values in data.items()}


@pytest.fixture
def data():
    return make_data()


def tune(data, **options):
    given = {name: data[name] for name in ("predictions", "y", "features", "eras")}
    return tune_exposure(**(given | {"proportions": PROPORTIONS, "limits": LIMITS} | options))


def changed_one_by_one(data, normalize=None, bounds="symmetric"):
    """The prediction under every setting, each from the start."""
    given = data["predictions"], data["features"]
    options = {"eras": data["eras"], "normalize": normalize}
    return [
        *(neutralize(*given, proportion=p, **options) for p in (0.0, *PROPORTIONS)),
        *(clip_exposure(*given, limit, bounds=bounds, **options) for limit in LIMITS),
    ]


def measures(data, changed, score):
    """Scores, largest exposures and correlations of every setting, per era."""
    options = {"eras": data["eras"], "aggregate": None}
    found = {
        "score": [score(data["y"], values, **options) for values in changed],
        "exposure": [
            max_feature_exposure(values, features=data["features"], **options) for values in changed
        ],
        "correlation": [
            corr_with(values, changed[0], method="pearson", **options) for values in changed
        ],
    }
    return {name: pd.concat(values, axis=1, keys=SETTINGS) for name, values in found.items()}


def statistics(score, exposure, correlation):
    return [
        score.mean(),
        score.std(ddof=0),
        score.mean() / score.std(ddof=0),
        exposure.mean(),
        exposure.max(),
        correlation.mean(),
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("normalize", [None, "gaussian"])
@pytest.mark.parametrize("bounds", ["symmetric", "shrink"])
def test_parity_with_one_by_one(seed, normalize, bounds):
    data = make_data(seed)
    table = tune(data, normalize=normalize, bounds=bounds)
    assert table.index.tolist() == SETTINGS
    assert table.columns.tolist() == ["proportion", "limit", *STATISTICS]
    found = measures(data, changed_one_by_one(data, normalize, bounds), numerai_corr)
    for setting in SETTINGS:
        expected = statistics(*(table[setting] for table in found.values()))
        np.testing.assert_allclose(table.loc[setting, STATISTICS], expected, atol=1e-12)


def fnc(y_true, y_pred, *, features, eras):
    return feature_neutral_corr(y_true, y_pred, features=features, eras=eras, aggregate=None)


def share_of_hits(y_true, y_pred, *, eras):
    hits = np.sign(np.asarray(y_pred)) == np.sign(y_true)[:, None]
    return pd.DataFrame(hits).groupby(eras).mean()


@pytest.mark.parametrize(
    ("scoring", "score", "metadata"),
    [
        ("fnc", feature_neutral_corr, ["features"]),
        ("mmc", meta_model_contribution, ["meta_model"]),
        (fnc, feature_neutral_corr, ["features"]),
        (partial(numerai_corr, top_bottom=20), partial(numerai_corr, top_bottom=20), []),
        (
            share_of_hits,
            lambda y, p, eras, aggregate: share_of_hits(y, p[:, None], eras=eras)[0],
            [],
        ),
    ],
)
def test_scoring(data, scoring, score, metadata):
    given = {name: data[name] for name in metadata}
    table = tune(data, scoring=scoring, **{k: v for k, v in given.items() if k != "features"})
    changed = changed_one_by_one(data)
    keep = slice(None)
    if scoring in ("fnc", fnc):  # of a fully neutralized prediction nothing is left but noise
        keep = [setting for setting in SETTINGS if setting != "proportion 1.0"]
    found = measures(data, changed, partial(score, **given))["score"]
    expected = pd.DataFrame({"mean": found.mean(), "std": found.std(ddof=0)})
    np.testing.assert_allclose(
        table[["mean", "std"]].loc[keep], expected.loc[keep], rtol=1e-9, atol=1e-12
    )
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    assert table.attrs == {"scoring": name, "n_eras": N_ERAS, "splits": []}


def test_settings_in_numbers(data):
    table = tune(data, proportions=(0.25, 0, 1), limits=[0.1, 0.02])
    np.testing.assert_array_equal(table["proportion"], [0.0, 0.25, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(table["limit"], [np.nan, np.nan, np.nan, 0.1, 0.02])
    alone = tune(data, proportions=[], limits=())
    assert alone.index.tolist() == ["none"]
    pd.testing.assert_frame_equal(alone[STATISTICS], table[STATISTICS].loc[["none"]])


def test_rows_labels_and_jobs_are_irrelevant(data):
    expected = tune(data)
    order = np.random.default_rng(1).permutation(len(data["y"]))
    shuffled = {name: values[order] for name, values in data.items()}
    pd.testing.assert_frame_equal(tune(shuffled, n_jobs=2), expected, rtol=1e-9)
    numbers = data | {"eras": data["eras"].astype(int)}
    pd.testing.assert_frame_equal(tune(numbers), expected)


def test_containers(data, df_module):
    expected = tune(data)
    columns = {f"feature_{j}": column for j, column in enumerate(data["features"].T)}
    framed = data | {
        "features": df_module.DataFrame(columns),
        "predictions": df_module.Series(data["predictions"], name="prediction"),
        "y": df_module.Series(data["y"], name="target"),
        "eras": df_module.Series(data["eras"]),
    }
    pd.testing.assert_frame_equal(tune(framed), expected)
    framed["predictions"] = df_module.DataFrame({"prediction": data["predictions"]})
    pd.testing.assert_frame_equal(tune(framed), expected)
    lists = data | {"predictions": data["predictions"].tolist(), "eras": data["eras"].tolist()}
    pd.testing.assert_frame_equal(tune(lists), expected)


def test_single_precision(data):
    single = data | {"predictions": data["predictions"].astype(np.float32)}
    table = tune(single)
    found = measures(single, changed_one_by_one(single), numerai_corr)
    np.testing.assert_allclose(table["mean"], found["score"].mean(), atol=1e-9)
    np.testing.assert_allclose(table["mean_exposure"], found["exposure"].mean(), atol=1e-6)


class TestSplits:
    """What would have been chosen without the eras that it is scored on."""

    @pytest.mark.parametrize("aggregate", ["mean", "sharpe"])
    @pytest.mark.parametrize(
        "cv",
        [
            PurgedEraKFold(3, purge=1),
            EraTimeSeriesSplit(2, gap=1, test_eras=3),
            CombinatorialPurgedEraCV(4, 2, purge=0),
            GroupKFold(3),
            LeaveOneGroupOut(),
        ],
        ids=lambda cv: type(cv).__name__,
    )
    def test_choices_by_hand(self, data, cv, aggregate):
        table = tune(data, cv=cv, aggregate=aggregate)
        found = measures(data, changed_one_by_one(data), numerai_corr)
        labels = found["score"].index
        splits = list(cv.split(np.zeros(N_ERAS), None, labels.to_numpy()))
        pieces, chosen = [], []
        for (train, test), split in zip(splits, table.attrs["splits"], strict=True):
            on_train = found["score"].iloc[train]
            better = on_train.mean() / (on_train.std(ddof=0) if aggregate == "sharpe" else 1.0)
            best = better.idxmax()
            chosen.append(best)
            pieces.append([table[best].iloc[test] for table in found.values()])
            on_test = found["score"].iloc[test]
            if len(test) == 1 and aggregate == "sharpe":
                assert np.isnan(split["test_score"])
            else:
                on_test = on_test.mean() / (on_test.std(ddof=0) if aggregate == "sharpe" else 1.0)
                assert split["test_score"] == pytest.approx(on_test[best])
                assert split["none_test_score"] == pytest.approx(on_test["none"])
            assert split["train_score"] == pytest.approx(better[best])
            assert split["selected"] == best
            assert (split["n_train_eras"], split["n_test_eras"]) == (len(train), len(test))
            assert split["first_test_era"] == labels[min(test)]
            assert split["last_test_era"] == labels[max(test)]
        selected = statistics(*(pd.concat(parts) for parts in zip(*pieces, strict=True)))
        np.testing.assert_allclose(table.loc["selected", STATISTICS], selected, atol=1e-12)
        tested = np.unique(np.concatenate([test for _, test in splits]))
        for setting in SETTINGS:
            expected = statistics(*(table[setting].iloc[tested] for table in found.values()))
            np.testing.assert_allclose(table.loc[setting, STATISTICS], expected, atol=1e-12)
        assert table.attrs["n_eras"] == len(tested)
        assert table["n_selected"].to_dict() == {
            **{setting: chosen.count(setting) for setting in SETTINGS},
            "selected": len(splits),
        }
        assert table.loc["selected", ["proportion", "limit"]].isna().all()

    def test_the_name_of_the_target_tells_the_horizon(self, data):
        long = pd.Series(data["y"], name="target_ender_60")
        with pytest.raises(ValueError, match=r"leaves no era to train on .* from 0001 to 0006"):
            tune(data, y=long, cv=PurgedEraKFold(2))
        tune(data, cv=PurgedEraKFold(2))

    def test_ordered_categories(self, data):
        names = {f"{era:04d}": f"week {N_ERAS - era}" for era in range(1, N_ERAS + 1)}
        eras = pd.Categorical([names[era] for era in data["eras"]], names.values(), ordered=True)
        cv = PurgedEraKFold(2, purge=0)
        table, expected = tune(data, eras=eras, cv=cv), tune(data, cv=cv)
        pd.testing.assert_frame_equal(table, expected)
        assert table.attrs["splits"][0]["first_test_era"] == "week 11"

    def test_ties_change_least(self, data):
        constant = tune(data, scoring=lambda y_true, y_pred, eras: share_of_hits(
            y_true, np.ones((len(y_true), np.shape(y_pred)[-1])), eras=eras
        ), cv=PurgedEraKFold(2, purge=0), aggregate="mean")  # fmt: skip
        assert constant.loc["none", "n_selected"] == 2


def test_eras_without_targets_are_left_out(data):
    known = data["eras"] != "0012"
    y = np.where(known, data["y"], np.nan)
    with pytest.warns(UnscoredErasWarning, match=r"1 era \(0012\)") as caught:
        table = tune(data, y=y, cv=PurgedEraKFold(2, purge=0))
    assert [warning.filename for warning in caught] == [__file__]
    expected = tune({k: v[known] for k, v in data.items()}, cv=PurgedEraKFold(2, purge=0))
    pd.testing.assert_frame_equal(table, expected)
    assert table.attrs == expected.attrs


def test_constant_predictions_are_nan_with_one_warning(data):
    predictions = np.where(data["eras"] == "0003", 0.5, data["predictions"])
    with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0003\)") as caught:
        table = tune(data, predictions=predictions)
    assert [warning.filename for warning in caught] == [__file__]
    assert table[STATISTICS].isna().all(axis=None)
    with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0003\) a setting leaves nothing"):
        table = tune(data, predictions=predictions, scoring=share_of_hits)
    assert table[["mean_exposure", "correlation"]].isna().all(axis=None)
    assert table["mean"].notna().all()
    with (
        pytest.warns(ConstantPredictionWarning),
        pytest.raises(ValueError, match=r"No setting has a mean score over the \d+ training eras"),
    ):
        tune(data, predictions=predictions, cv=PurgedEraKFold(3, purge=0), aggregate="mean")


def test_limits_that_cannot_be_met(data):
    few = data["eras"] < "0003"
    data = {name: values[few] for name, values in data.items()}
    wide = np.random.default_rng(0).integers(0, 5, (len(data["y"]), 130))
    with pytest.raises(InfeasibleExposureError, match=r"^In era 0001: the exposure limits leave"):
        tune(data, features=wide, limits=[0.01])
    with (
        pytest.warns(ConstantPredictionWarning, match=r"2 eras .* a setting leaves nothing"),
        pytest.warns(InfeasibleExposureWarning, match=r"2 eras .* were widened"),
    ):
        table = tune(data, features=wide, limits=[0.01, 0.0], on_infeasible="warn")
    assert table.loc["limit 0.01", "mean_exposure"] > 0.01
    assert np.isfinite(table.loc["limit 0.01", "mean"])
    assert table.loc[["proportion 1.0", "limit 0.0"], STATISTICS].isna().all(axis=None)


def test_verbose_shows_progress(data, capsys):
    tune(data, verbose=True)
    assert "12/12" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proportions": [0.5, 1.5]}, r"^proportions must hold numbers in \[0, 1\]; found"),
        ({"proportions": 0.5}, r"'proportions' parameter"),
        ({"limits": [-0.1]}, r"^limits must hold numbers in \[0, 1\]; found \[-0\.1\]\.$"),
        ({"limits": ["a"]}, r"^limits must hold numbers"),
        ({"limits": [0.1, 0.1]}, r"names a number twice"),
        ({"scoring": "nothing"}, r"metrics names 'nothing'; known are"),
        ({"scoring": "mmc"}, r"'mmc' needs meta_model; pass meta_model="),
        ({"scoring": "max_exposure"}, r"is the risk, which the table has anyway"),
        ({"scoring": lambda y_true, y_pred: 0.0}, r"has no argument eras"),
        (
            {"scoring": lambda eras: pd.DataFrame({"a": [1.0]})},
            r"gives 1 rows and 1 columns for 12 eras",
        ),
        ({"cv": 5}, r"^cv=5 is no splitter; pass one such as PurgedEraKFold\(5\)\.$"),
        ({"aggregate": "max"}, r"'aggregate' parameter"),
        ({"y": None}, r"y is None"),
        ({"y": np.zeros(3)}, r"y has 3 rows and predictions has"),
        ({"predictions": np.zeros((5, 2))}, r"predictions must hold one column; found 2"),
    ],
)
def test_errors(data, options, message):
    with pytest.raises(ValueError, match=message):
        tune(data, **options)


def test_eras_are_required(data):
    with pytest.raises(MissingErasError, match=r"^eras is None; pass one era per row"):
        tune(data, eras=None)


@pytest.mark.parametrize("table", ["predictions", "y", "features", "eras", "meta_model"])
def test_rows_agree(data, table):
    index = pd.Index([f"n{i}" for i in range(len(data["y"]))])
    tables = {name: pd.Series(values, index) for name, values in data.items() if values.ndim == 1}
    tables["features"] = pd.DataFrame(data["features"], index)
    meta_model = {"scoring": "mmc", "meta_model": tables["meta_model"]}
    pd.testing.assert_frame_equal(
        tune(tables, **meta_model), tune(data, scoring="mmc", meta_model=data["meta_model"])
    )
    tables[table] = tables[table][::-1]
    with pytest.raises(ValueError, match=r"share \d+ of \d+ labels but are not equal"):
        tune(tables, scoring="mmc", meta_model=tables["meta_model"])


class TestWarmStarts:
    """A start from the solution at other limits changes the way, not the end."""

    @pytest.mark.parametrize(
        ("shape", "bounds"),
        [
            ((300, 20), "symmetric"),
            ((300, 20), "shrink"),
            ((120, 115), "symmetric"),
            ((120, 115), "shrink"),
            ((100, 200), "symmetric"),
        ],
    )
    def test_the_same_solution(self, shape, bounds):
        prediction, features = make_era(np.random.default_rng(0), *shape)
        options = {
            "bounds": bounds, "normalize": None, "scale": None, "tol": 1e-9, "widen": True,
        }  # fmt: skip
        records = None
        for limit in (0.3, 0.2, 0.25, 0.1):  # up and down
            given = prediction[:, None], features
            limits = np.full(shape[1], limit)
            warm, records = clipped_predictions(*given, limits=limits, warm=records, **options)
            cold, (record,) = clipped_predictions(*given, limits=limits, **options)
            assert records[0].multiple == pytest.approx(record.multiple, nan_ok=True)
            if np.isnan(record.multiple):  # no multiple can be met
                continue
            assert max(records[0].violation, records[0].gap) <= 1e-9
            assert records[0].correlation == pytest.approx(record.correlation, abs=1e-9)
            if limit > 0.1:
                np.testing.assert_allclose(warm, cold, atol=1e-6)

    def test_a_misleading_start(self):
        prediction, features = make_era(np.random.default_rng(1), 200, 30)
        standardized = StandardizedFeatures(features)
        response = (prediction - prediction.mean()) / np.linalg.norm(prediction - prediction.mean())
        limits = np.full(30, 0.05)
        expected = square_root_lasso(standardized, response, -limits, limits)
        for state in (-np.sign(expected.weights), np.ones(30), np.where(np.arange(30) < 3, -1, 0)):
            found = square_root_lasso(standardized, response, -limits, limits, state=state)
            np.testing.assert_allclose(found.residual, expected.residual, atol=1e-12)
            assert max(found.violation, found.gap) <= 1e-9
