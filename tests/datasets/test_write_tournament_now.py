"""The layout of today's files: targets, null targets, benchmark models, feature sets."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.datasets import read_feature_sets, read_tournament, write_tournament

pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")

SIZE = {"n_eras": 40, "n_stocks": 30, "n_features": 50, "random_state": 0}
TARGETS = [
    f"target_{name}_{days}"
    for name in ("ender", "victor", "xerxes", "teager2b")
    for days in (20, 60)
]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tournament")
    return write_tournament(folder, **SIZE, n_validation_eras=30, version="v5.3")


@pytest.fixture(scope="module")
def validation(paths):
    return pd.read_parquet(paths.validation)


def test_targets_of_two_horizons_are_null_until_they_are_known(paths, validation):
    for frame in (validation, pd.read_parquet(paths.train), pd.read_parquet(paths.live)):
        assert [name for name in frame if name.startswith("target")] == ["target", *TARGETS]
        pd.testing.assert_series_equal(frame["target"], frame["target_ender_60"], check_names=False)
    for name in ("target", *TARGETS):
        missing = validation.groupby("era")[name].apply(lambda values: values.isna().all())
        last = 4 if name.endswith("20") else 12
        assert missing[missing].index.tolist() == [f"{era:04d}" for era in range(41 - last, 41)]
    types = validation.groupby("era")["data_type"].unique().map(tuple)
    assert (types[:18] == ("validation",)).all()
    assert (types[18:] == ("test",)).all()
    train = pd.read_parquet(paths.train)
    assert train[["target_ender_20", "target_victor_20"]].notna().all(axis=None)
    related = train[TARGETS].corr()
    assert related.loc["target_ender_20", "target_victor_20"] > 0.3
    assert related.loc["target_ender_60", "target_victor_60"] > 0.3


def test_the_meta_model_starts_later(paths, validation):
    meta_model = pd.read_parquet(paths.meta_model)
    assert meta_model["era"].unique().tolist() == [f"{era:04d}" for era in range(26, 41)]
    assert meta_model["numerai_meta_model"].between(0, 1).all()


@pytest.mark.parametrize("part", ["train", "validation", "live"])
def test_benchmark_models(paths, part):
    models = pd.read_parquet(paths[f"{part}_benchmark_models"])
    names = ["v53_lgbm_ender20", "v53_lgbm_ender60", "v53_lgbm_victor60"]
    assert models.columns.tolist() == ["era", *names]
    assert models.index.equals(pd.read_parquet(paths[part]).index)
    assert models[names].gt(0).all(axis=None)
    assert models[names].lt(1).all(axis=None)
    assert models[names].corr().lt(0.9).sum(axis=None) == 6


def test_feature_sets_are_large_enough_and_meet(paths):
    sets = read_feature_sets(paths.features)
    small, medium = set(sets["small"]), set(sets["medium"])
    assert len(small) == 12
    assert small < medium < set(sets["all"])
    groups = set(sets) - {"small", "medium", "all"}
    assert all(small & set(sets[group]) for group in groups)


def test_the_last_layout_is_as_it_was(tmp_path, paths):
    old = write_tournament(tmp_path, **SIZE, n_validation_eras=30)
    features = pd.read_parquet(old.train).filter(regex="^feature_")
    pd.testing.assert_frame_equal(pd.read_parquet(paths.train)[features.columns], features)
    assert "train_benchmark_models" not in old
    with pytest.raises(ValueError, match=r"version must be one of v5.0, v5.3, .*; found 'v6'"):
        write_tournament(tmp_path, version="v6")


def test_read_by_data_type_with_an_embargo(paths, validation):
    frame = read_tournament(paths.validation, data_type="validation", embargo=4)
    assert frame["era"].unique().tolist() == [f"{era:04d}" for era in range(15, 29)]
    pd.testing.assert_frame_equal(frame, validation.loc[frame.index])
    test = read_tournament(paths.validation, columns=["target"], data_type="test")
    assert test["target"].isna().all()
    assert test["era"].nunique() == 12
    few = ["0013", "0011", "0012", "0029"]
    frame = read_tournament(paths.validation, eras=few, embargo=1, every=2)
    assert frame["era"].unique().tolist() == ["0012", "0029"]
    frame = read_tournament([paths.train, paths.validation], data_type="train")
    assert frame["era"].nunique() == 10


def test_what_cannot_be_read(paths, tmp_path, validation):
    with pytest.raises(ValueError, match=r"data_type='live' is of no row of .* 'test', 'valida"):
        read_tournament(paths.validation, data_type="live")
    with pytest.raises(ValueError, match="embargo=30 leaves none of 30 eras"):
        read_tournament(paths.validation, embargo=30)
    with pytest.raises(ValueError, match="embargo == -1"):
        read_tournament(paths.validation, embargo=-1)
    mixed = validation.copy()
    mixed.iloc[0, mixed.columns.get_loc("data_type")] = "test"
    mixed.to_parquet(tmp_path / "mixed.parquet")
    with pytest.raises(ValueError, match="era 0011 has rows of 2 data types"):
        read_tournament(tmp_path / "mixed.parquet", data_type="validation")
    assert np.isnan(validation["target"]).any()
