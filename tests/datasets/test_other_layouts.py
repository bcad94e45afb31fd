"""Files of Numerai Crypto and Numerai Signals, and the shape of v5.3 in memory."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.datasets import make_tournament, read_tournament, write_tournament
from sknumerai.metrics import neutral_corr, numerai_corr

pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")

SIZE = {"n_eras": 40, "n_stocks": 60, "n_features": 20, "random_state": 0}


@pytest.fixture(scope="module")
def crypto(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crypto")
    return write_tournament(folder, **SIZE, version="crypto/v2.0")


@pytest.fixture(scope="module")
def signals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")
    return write_tournament(folder, **SIZE, n_validation_eras=30, version="signals/v3.0")


def test_crypto(crypto):
    assert sorted(crypto) == ["live", "train"]
    train, live = pd.read_parquet(crypto.train), pd.read_parquet(crypto.live)
    assert train.index.name == live.index.name == "symbol"
    features = [name for name in train if name.startswith("feature")]
    targets = ["target_binned_return_20", "target_binned_return_60"]
    assert list(train) == ["date", *features, *targets]
    assert list(live) == ["date", *features]
    assert train["date"].unique()[[0, 1, 39]].tolist() == ["2020-01-01", "2020-01-02", "2020-02-09"]
    assert live["date"].unique().tolist() == ["2020-02-10"]
    symbols = train.groupby("date").apply(lambda part: tuple(part.index))
    assert symbols.nunique() == 1
    assert symbols.iloc[0] == tuple(live.index)
    assert live.index.is_unique
    assert set(np.unique(train[features])) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert (train.dtypes[[*features, *targets]] == np.float32).all()
    assert train.notna().all(axis=None)


def test_crypto_is_the_same_tournament(crypto):
    tournament = make_tournament(**SIZE)
    train = read_tournament(crypto.train, era_column="date")
    np.testing.assert_array_equal(train[tournament.feature_names] * 4, tournament.data)
    np.testing.assert_array_equal(train["target_binned_return_20"], tournament.target)


def test_signals(signals):
    names = ["live", "train", "validation", "validation_example_preds", "validation_neutralizer"]
    assert sorted(signals) == names
    tables = {name: pd.read_parquet(path) for name, path in signals.items()}
    validation, live = tables["validation"], tables["live"]
    features = [name for name in validation if name.startswith("feature_")]
    assert features[0] == "feature_country"
    head = ["date", "composite_figi", "numerai_ticker", "data_type"]
    targets = ["target_jupiter_20", "target_jupiter_60"]
    for name in ("train", "validation", "live"):
        assert list(tables[name]) == [*head, *features, *targets]
        assert pd.to_datetime(tables[name]["date"]).dt.day_name().eq("Friday").all()
    assert live["numerai_ticker"].is_unique
    assert live[targets].isna().all(axis=None)
    country = validation["numerai_ticker"].str.split().str[1]
    assert country.tolist() == validation["feature_country"].tolist()
    assert tables["train"]["composite_figi"].isna().all()
    assert validation["composite_figi"].isna().groupby(validation["date"]).nunique().eq(1).all()
    for target, last in zip(targets, (4, 12), strict=True):
        unknown = validation[target].isna().groupby(validation["date"]).all()
        assert unknown.sum() == last
        assert unknown.iloc[-last:].all()
    keys = ["date", "numerai_ticker"]
    for name in ("validation_example_preds", "validation_neutralizer"):
        pd.testing.assert_frame_equal(tables[name][keys], validation[keys])


def test_targets_of_signals_are_neutral(signals):
    validation = read_tournament(
        signals.validation, columns=["target_jupiter_20"], era_column="date"
    ).dropna()
    neutralizer = read_tournament(signals.validation_neutralizer, era_column="date")
    neutralizer = neutralizer.filter(like="neutralizer_").loc[validation.index]
    target, dates = validation["target_jupiter_20"], validation["date"]
    own = numerai_corr(target, neutralizer, eras=dates, aggregate=None)
    assert own.abs().mean().max() < 0.12
    neutral = neutral_corr(target, target, features=neutralizer, eras=dates)
    assert neutral > 0.9


def test_the_shape_of_today_in_memory(tmp_path):
    tournament = make_tournament(**SIZE, n_validation_eras=30, live=True, version="v5.3")
    paths = write_tournament(tmp_path, **SIZE, n_validation_eras=30, version="v5.3")
    parts = ("train", "validation", "live")
    written = pd.concat([pd.read_parquet(paths[part]) for part in parts])
    models = ["example_predictions", "meta_model"]
    pd.testing.assert_frame_equal(tournament.frame.drop(columns=models), written)
    pd.testing.assert_frame_equal(tournament.targets, written.filter(like="target"))
    pd.testing.assert_series_equal(tournament.target, written["target"])
    assert "target_60" not in tournament
    benchmarks = pd.concat([pd.read_parquet(paths[f"{part}_benchmark_models"]) for part in parts])
    pd.testing.assert_frame_equal(tournament.benchmark_models, benchmarks.drop(columns="era"))
    meta_model = pd.read_parquet(paths.meta_model)["numerai_meta_model"]
    pd.testing.assert_series_equal(tournament.meta_model.dropna(), meta_model, check_names=False)
    arrays = make_tournament(
        **SIZE, n_validation_eras=30, live=True, version="v5.3", as_frame=False
    )
    for name, column in arrays.targets.items():
        np.testing.assert_array_equal(column, tournament.targets[name])
    with pytest.raises(ValueError, match=r"version must be one of v5.0, v5.3; found 'v4'"):
        make_tournament(version="v4")
