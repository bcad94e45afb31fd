"""The work of the organiser's notebooks without a loop, its numbers those of numerai-tools.

Each test does what one notebook does, on synthetic files of the same layout; the loops over eras
are those of the reference.
"""

import numpy as np
import pandas as pd
import pytest

from sknumerai.datasets import read_feature_sets, read_tournament, write_tournament
from sknumerai.ensemble import blend
from sknumerai.exceptions import UnscoredErasWarning
from sknumerai.metrics import (
    era_table,
    feature_exposure,
    neutral_contribution,
    neutral_corr,
    numerai_corr,
    score_summary,
)
from sknumerai.neutralization import neutralize
from sknumerai.preprocessing import rank_by_era
from sknumerai.upload import make_predict

pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
lightgbm = pytest.importorskip("lightgbm", reason="needs lightgbm")
numerai_tools = pytest.importorskip("numerai_tools.scoring", reason="needs numerai-tools")

SIZE = {"n_eras": 100, "n_stocks": 120, "n_features": 40, "random_state": 0}


def make_model(seed=0):
    return lightgbm.LGBMRegressor(
        n_estimators=30,
        learning_rate=0.1,
        max_depth=5,
        num_leaves=15,
        colsample_bytree=0.3,
        random_state=seed,
        n_jobs=1,
        verbose=-1,
    )


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("v5.3")
    return write_tournament(folder, **SIZE, n_validation_eras=60, version="v5.3")


@pytest.fixture(scope="module")
def features(paths):
    return read_feature_sets(paths.features)["small"]


@pytest.fixture(scope="module")
def train(paths, features):
    targets = ["target", "target_ender_20", "target_victor_20", "target_xerxes_20"]
    return read_tournament(paths.train, columns=[*targets, *features], every=4)


@pytest.fixture(scope="module")
def validation(paths, features):
    """Resolved validation eras that do not overlap with training, and their meta model."""
    columns = ["target", "target_ender_20", *features]
    rows = read_tournament(paths.validation, columns=columns, data_type="validation", embargo=12)
    meta_model = pd.read_parquet(paths.meta_model)["numerai_meta_model"]
    return rows.assign(meta_model=meta_model.reindex(rows.index))


@pytest.fixture(scope="module")
def model(train, features):
    return make_model().fit(train[features], train["target"])


@pytest.fixture(scope="module")
def predictions(model, validation, features):
    return pd.Series(model.predict(validation[features]), validation.index, name="prediction")


def by_era(frame, score, era="era"):
    """A score of numerai-tools, era by era; it wants sorted rows, and counts with their type."""
    narrow = frame.select_dtypes("float32").columns
    exact = frame.astype(dict.fromkeys(narrow, float))
    return pd.Series({label: score(part.sort_index()) for label, part in exact.groupby(era)})


def corr_by_era(frame, prediction, target="target", era="era"):
    return by_era(
        frame,
        lambda part: numerai_tools.numerai_corr(part[[prediction]], part[target])[prediction],
        era,
    )


def in_eras(frame, change, columns):
    """What numerai-tools makes of columns of every era, in the order of the frame."""
    parts = [change(part.sort_index()[columns]) for _, part in frame.groupby("era")]
    return pd.concat(parts).loc[frame.index]


def assert_same(ours, theirs):
    assert ours.index.tolist() == theirs.index.tolist()
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), rtol=0, atol=1e-9)


def test_hello(paths, validation, predictions, model, features):
    with pytest.warns(UnscoredErasWarning, match="have no meta_model"):
        table = era_table(
            validation["target"],
            predictions,
            eras=validation["era"],
            metrics=["numerai_corr", "mmc"],
            meta_model=validation["meta_model"],
        )
    summary = score_summary(table)
    live = read_tournament(paths.live, columns=features)
    submission = rank_by_era(pd.DataFrame(model.predict(live[features]), live.index), eras="X")

    frame = validation.assign(prediction=predictions)
    corr = corr_by_era(frame, "prediction")
    mmc = by_era(
        frame.dropna(),
        lambda part: numerai_tools.correlation_contribution(
            part[["prediction"]], part["meta_model"], part["target"]
        ).iloc[0],
    )
    assert_same(table["numerai_corr"], corr)
    assert_same(table["mmc"].dropna(), mmc)
    assert 10 < len(mmc) < len(corr)
    assert summary.loc["numerai_corr", "mean"] == pytest.approx(corr.mean(), abs=1e-9)
    assert summary.loc["numerai_corr", "sharpe"] == pytest.approx(corr.mean() / corr.std(ddof=0))
    drawdown = (corr.cumsum().cummax().clip(lower=0) - corr.cumsum()).max()
    assert summary.loc["numerai_corr", "max_drawdown"] == pytest.approx(drawdown, abs=1e-9)
    assert submission.index.equals(live.index)
    assert submission.gt(0).all(axis=None)
    assert submission.lt(1).all(axis=None)


def test_feature_neutralization(validation, predictions, features):
    group = features[:6]
    eras, rows = validation["era"], validation[group]
    exposures = feature_exposure(predictions, features=rows, eras=eras)
    neutral = neutralize(predictions, rows, proportion=[0.25, 0.5, 1.0], eras=eras)
    table = era_table(validation["target"], neutral, eras=eras, metrics=["numerai_corr"])

    frame = validation.assign(prediction=predictions)
    theirs = by_era(frame, lambda part: part[group].corrwith(part["prediction"]))
    theirs = pd.DataFrame(dict(theirs)).T
    np.testing.assert_allclose(exposures, theirs[exposures.columns], rtol=0, atol=1e-9)
    for proportion in (0.25, 0.5, 1.0):
        name = f"prediction_{proportion}"
        frame[name] = in_eras(
            frame,
            lambda part, p=proportion: numerai_tools.neutralize(
                part[["prediction"]], part[group], p
            ),
            ["prediction", *group],
        )
        scale = frame[name].std()
        np.testing.assert_allclose(neutral[name], frame[name], rtol=0, atol=1e-9 * max(scale, 1))
        corr = corr_by_era(frame, name)
        assert_same(table[name, "numerai_corr"], corr)


def gaussianize(part):
    return numerai_tools.gaussian(numerai_tools.tie_kept_rank(part))


def test_target_ensemble(train, validation, features):
    targets = ["target_ender_20", "target_victor_20", "target_xerxes_20"]
    members = pd.DataFrame(
        {
            target: make_model().fit(train[features], train[target]).predict(validation[features])
            for target in targets
        },
        validation.index,
    )
    everything = members.assign(ensemble=blend(members, eras=validation["era"]))
    table = era_table(
        validation["target"], everything, eras=validation["era"], metrics=["numerai_corr"]
    )

    frame = validation[["era", "target"]].join(members)
    normal = in_eras(frame, lambda part: gaussianize(part) / gaussianize(part).std(), targets)
    # as `blend` does: sums that differ by rounding errors share a rank
    mean = frame[["era"]].assign(ensemble=normal.mean(axis=1).round(12))
    frame["ensemble"] = in_eras(mean, gaussianize, ["ensemble"])
    np.testing.assert_allclose(everything["ensemble"], frame["ensemble"], rtol=0, atol=1e-9)
    for name in (*targets, "ensemble"):
        corr = corr_by_era(frame, name)
        assert_same(table[name, "numerai_corr"], corr)
    # the notebook takes the mean of ranks, which is nearly the same
    ranks = frame.groupby("era")[targets].rank(pct=True)
    assert everything["ensemble"].corr(ranks.mean(axis=1), method="spearman") > 0.99


def test_example_model(paths, model, features):
    """The function to upload, and predictions of all validation rows for the diagnostics."""
    predict = make_predict(model)
    live = read_tournament(paths.live)
    submission = predict(live, pd.read_parquet(paths.live_benchmark_models))
    rows = read_tournament(paths.validation, columns=features)
    raw = pd.DataFrame({"prediction": model.predict(rows[features])}, rows.index)
    ranked = rank_by_era(raw, eras=rows["era"])

    frame = raw.assign(era=rows["era"])
    theirs = in_eras(frame, numerai_tools.tie_kept_rank, ["prediction"])
    pd.testing.assert_frame_equal(ranked, theirs, rtol=0, atol=1e-12)
    theirs = pd.DataFrame({"prediction": model.predict(live[features])}, live.index)
    theirs = numerai_tools.tie_kept_rank(theirs.sort_index()).loc[live.index]
    pd.testing.assert_frame_equal(submission, theirs, rtol=0, atol=1e-12)


def test_crypto(tmp_path):
    paths = write_tournament(tmp_path, **SIZE, version="crypto/v2.0")
    data = read_tournament(paths.train, era_column="date")
    dates, features = data["date"].unique(), [name for name in data if name.startswith("feature")]
    train, val = data[data["date"] < dates[70]], data[data["date"] >= dates[70]].reset_index()
    target = "target_binned_return_20"
    model = make_model().fit(train[features], train[target])
    val["prediction"] = model.predict(val[features])
    corr = numerai_corr(val[target], val["prediction"], eras=val["date"], aggregate=None)
    live = read_tournament(paths.live, era_column="date")
    raw = pd.DataFrame({"prediction": model.predict(live[features])}, live.index)
    submission = rank_by_era(raw, eras=live["date"])

    theirs = corr_by_era(val, "prediction", target, "date")
    assert_same(corr, theirs)
    theirs = numerai_tools.tie_kept_rank(raw.sort_index()).loc[raw.index]
    pd.testing.assert_frame_equal(submission, theirs, rtol=0, atol=1e-12)
    assert submission.index.name == "symbol"


def test_signals(tmp_path):
    paths = write_tournament(tmp_path, **SIZE, n_validation_eras=60, version="signals/v3.0")
    train = read_tournament(paths.train, era_column="date")
    features = train.filter(like="feature_").columns.drop("feature_country").tolist()
    target = "target_jupiter_60"
    model = make_model().fit(train[features], train[target])
    validation = read_tournament(paths.validation, era_column="date").dropna(subset=[target])
    rows = validation.index
    neutralizer = read_tournament(paths.validation_neutralizer, era_column="date").loc[rows]
    neutralizer = neutralizer.filter(like="neutralizer_")
    example = read_tournament(paths.validation_example_preds, era_column="date").loc[rows]
    prediction = pd.Series(model.predict(validation[features]), rows, name="prediction")
    common = {"features": neutralizer, "eras": validation["date"], "aggregate": None}
    corr = neutral_corr(validation[target], prediction, **common)
    contribution = neutral_contribution(
        validation[target], prediction, meta_model=example["signal"], **common
    )

    frame = validation[["date", target]].assign(prediction=prediction, signal=example["signal"])
    theirs = by_era(
        frame,
        lambda part: numerai_tools.neutral_correlation(
            part[["prediction"]], neutralizer.loc[part.index], part[target]
        )["prediction"],
        "date",
    )
    assert_same(corr, theirs)
    theirs = by_era(
        frame,
        lambda part: numerai_tools.neutral_contribution(
            part[["prediction"]], part["signal"], neutralizer.loc[part.index], part[target]
        )["prediction"],
        "date",
    )
    assert_same(contribution, theirs)
