"""The synthetic tournament has the facts of the real one, and the planted signal is there."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sknumerai.datasets import make_tournament
from sknumerai.datasets._feature_names import _ADJECTIVES, _NOUNS
from sknumerai.datasets._generator import bin_by_shares, rank_into_fifths

TARGET_VALUES = [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.fixture(scope="module")
def tournament():
    return make_tournament(24, 1000, 120, random_state=0, as_frame=False)


def per_era(values, n_eras):
    return np.split(np.asarray(values), n_eras)


def corr(a, b):
    return np.corrcoef(a, b)[0, 1]


@pytest.mark.parametrize("n_stocks", [1000, 1001, 1004, 7])
def test_features_are_fifths_of_every_era(n_stocks):
    tournament = make_tournament(3, n_stocks, 20, missing_features=0, as_frame=False)
    assert tournament.data.dtype == np.int8
    for era in per_era(tournament.data, 3):
        counts = np.stack([(era == value).sum(axis=0) for value in range(5)])
        assert counts.sum(axis=0).tolist() == [n_stocks] * 20
        assert counts.min() >= n_stocks // 5
        assert counts.max() <= -(-n_stocks // 5)


@given(
    n=st.integers(5, 40),
    levels=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_fifths_and_target_shares_are_exact_with_ties(n, levels, seed):
    values = np.random.default_rng(seed).integers(levels, size=(3, n)).astype(np.float32)
    order = np.argsort(values, axis=1, kind="stable")
    expected = np.empty((3, n), dtype=np.int8)
    np.put_along_axis(expected, order, np.arange(n) * 5 // n, axis=1)
    np.testing.assert_array_equal(rank_into_fifths(values), expected)

    target = bin_by_shares(values[0])
    assert np.all(np.diff(target[order[0]]) >= 0)
    below = np.array([(target < value).sum() for value in TARGET_VALUES[1:]])
    np.testing.assert_array_equal(below, np.rint(n * np.array([0.05, 0.25, 0.75, 0.95])))


def test_target_shares(tournament):
    assert tournament.target.dtype == np.float32
    for era in per_era(tournament.target, 24):
        values, counts = np.unique(era, return_counts=True)
        assert values.tolist() == TARGET_VALUES
        assert counts.tolist() == [50, 200, 500, 200, 50]


def test_auxiliary_target_is_related_and_sometimes_missing(tournament):
    known = ~np.isnan(tournament.target_60)
    assert 0.94 < known.mean() < 0.99
    assert np.unique(tournament.target_60[known]).tolist() == TARGET_VALUES
    assert 0.4 < corr(tournament.target[known], tournament.target_60[known]) < 0.8


def test_features_correlate_within_groups_more_than_across(tournament):
    names, groups = tournament.feature_names, tournament.feature_groups
    assert sorted(name for group in groups.values() for name in group) == sorted(names)
    code = {name: i for i, members in enumerate(groups.values()) for name in members}
    codes = np.array([code[name] for name in names])
    same = codes[:, None] == codes
    matrix = np.abs(np.corrcoef(tournament.data[-1000:].astype(float), rowvar=False))
    within = matrix[same & ~np.eye(120, dtype=bool)].mean()
    across = matrix[~same].mean()
    assert 0.2 < within < 0.6
    assert across < 0.1
    # More than the 0.025 that independent columns of 1,000 rows would show.
    assert across > 0.03
    # The structure is the same in every era.
    first = np.abs(np.corrcoef(tournament.data[-2000:-1000].astype(float), rowvar=False))
    assert corr(matrix[same], first[same]) > 0.9


def test_missing_features_are_all_two_in_early_eras_only():
    tournament = make_tournament(
        12, 100, 40, missing_features=0.25, missing_eras=6, as_frame=False, random_state=3
    )
    missing = np.array([(era == 2).all(axis=0) for era in per_era(tournament.data, 12)])
    assert missing[0].sum() == 10
    assert not missing[6:].any()
    assert (np.diff(missing.astype(int), axis=0) <= 0).all()  # once there, a feature stays
    assert len(np.unique(missing.sum(axis=0))) > 3


def test_all_features_missing_still_gives_a_target():
    tournament = make_tournament(4, 50, 5, missing_features=1.0, missing_eras=2, as_frame=False)
    assert (tournament.data[:50] == 2).all()
    assert np.isfinite(tournament.target).all()


def test_labels_ids_and_names(tournament):
    frame = make_tournament(4, 300, 42, live=True, random_state=0).frame
    assert frame["era"].unique().tolist() == ["0001", "0002", "0003", "0004", "X"]
    assert frame.groupby("data_type", sort=False)["era"].nunique().to_dict() == {
        "train": 3,
        "validation": 1,
        "live": 1,
    }
    assert frame.index.name == "id"
    assert frame.index.is_unique
    assert all(re.fullmatch("n[0-9a-f]{15}", label) for label in frame.index)
    assert frame.loc[frame["era"] == "X", ["target", "target_60"]].isna().all(axis=None)
    assert frame.loc[frame["era"] != "X", "target"].notna().all()
    assert len(set(tournament.feature_names)) == 120
    assert all(re.fullmatch("feature_[a-z]+_[a-z]+_[a-z]+", f) for f in tournament.feature_names)
    assert len(set(_ADJECTIVES)) == len(_ADJECTIVES)
    assert len(set(_NOUNS)) == len(_NOUNS)


def test_ids_do_not_collide():
    ids = make_tournament(200, 1000, 1, as_frame=False, random_state=1).ids
    assert len(np.unique(ids)) == 200_000


def test_predictions_are_ranks_and_exposed(tournament):
    for name in ("example_predictions", "meta_model"):
        values = tournament[name]
        assert values.dtype == np.float64
        assert values.min() > 0
        assert values.max() < 1
    exposures = []
    for features, example in zip(
        per_era(tournament.data, 24)[-10:],
        per_era(tournament.example_predictions, 24)[-10:],
        strict=True,
    ):
        exposures.append(np.abs([corr(f, example) for f in features.T]).max())
    assert 0.2 < np.mean(exposures) < 0.35
    assert 0.5 < corr(tournament.example_predictions, tournament.meta_model) < 0.95


def test_signal_has_a_realistic_size():
    tournament = make_tournament(60, 3000, 60, as_frame=False, random_state=0)
    eras = range(60)
    target = per_era(tournament.target, 60)
    for name in ("example_predictions", "meta_model"):
        prediction = per_era(tournament[name], 60)
        scores = np.array([corr(prediction[i], target[i]) for i in eras])
        assert 0.01 < scores.mean() < 0.05
        assert 0.015 < scores.std() < 0.04


def test_linear_returns_change_sign_and_nonlinear_returns_do_not():
    tournament = make_tournament(
        80, 2000, 40, missing_features=0, nonlinear_corr=0.08, as_frame=False, random_state=0
    )
    target = per_era(tournament.target, 80)
    nonlinear = per_era(tournament.nonlinear_part, 80)
    nonlinear_returns = np.array([corr(nonlinear[i], target[i]) for i in range(80)])
    assert (nonlinear_returns > 0).mean() > 0.97
    assert nonlinear_returns.mean() == pytest.approx(0.08, abs=0.01)

    position = {name: i for i, name in enumerate(tournament.feature_names)}
    for members in tournament.feature_groups.values():
        columns = [position[name] for name in members]
        direction = per_era(tournament.data[:, columns].sum(axis=1), 80)
        returns = np.array([corr(direction[i], target[i]) for i in range(80)])
        assert 0.1 < (returns > 0).mean() < 0.9
        assert returns.std() > nonlinear_returns.std()


def test_parts_are_what_a_linear_model_sees_and_does_not_see(tournament):
    for i in (12, 20):
        rows = slice(1000 * i, 1000 * (i + 1))
        design = np.column_stack([np.ones(1000), tournament.data[rows]])
        for part, low, high in [("linear_part", 0.999999, 1.0), ("nonlinear_part", 0.0, 0.3)]:
            values = tournament[part][rows]
            residual = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
            # 120 features fit 12 % of anything by chance.
            explained = 1 - residual.var() / values.var()
            assert low <= explained <= high + 1e-12


def test_overlapping_weeks_correlate_neighbouring_eras():
    returns = make_tournament(400, 5, 12, random_state=0).factor_returns
    returns = returns - returns.mean(axis=0)
    lagged = [
        np.mean(returns[lag:] * returns[: len(returns) - lag]) / returns.var() for lag in range(6)
    ]
    np.testing.assert_allclose(lagged, [1, 0.75, 0.5, 0.25, 0, 0], atol=0.1)


def test_zero_signal_leaves_noise():
    tournament = make_tournament(
        5, 200, 10, linear_corr=0, linear_risk=0, nonlinear_corr=0, as_frame=False, random_state=0
    )
    assert not tournament.linear_part.any()
    assert not tournament.nonlinear_part.any()


def test_same_seed_same_tournament_and_other_seed_another():
    first, second = (make_tournament(3, 50, 12, random_state=5) for _ in range(2))
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert first.feature_groups == second.feature_groups
    other = make_tournament(3, 50, 12, random_state=6)
    assert first.feature_names != other.feature_names
    assert not first.ids.intersection(other.ids).size
    state = make_tournament(3, 50, 12, random_state=np.random.RandomState(5))
    pd.testing.assert_frame_equal(first.frame, state.frame)


def test_longer_tournament_starts_with_the_shorter_one():
    short, long = (make_tournament(n, 50, 12, missing_eras=2, random_state=0) for n in (4, 9))
    pd.testing.assert_frame_equal(
        long.frame.iloc[:200].drop(columns="data_type"), short.frame.drop(columns="data_type")
    )


def test_frame_and_arrays_agree():
    frame = make_tournament(3, 50, 12, live=True, random_state=0)
    array = make_tournament(3, 50, 12, live=True, as_frame=False, random_state=0)
    assert array.frame is None
    assert frame.data.columns.tolist() == frame.feature_names == array.feature_names
    assert set(frame.data.dtypes) == {np.dtype("int8")}
    for key in ("data", "target", "target_60", "eras", "data_type", "meta_model"):
        np.testing.assert_array_equal(np.asarray(frame[key]), array[key])
    np.testing.assert_array_equal(frame.ids, array.ids)
    assert frame.target.index.equals(frame.ids)
    assert frame.keys() == array.keys()
    assert "3 eras x 50 stocks x 12 features" in frame.DESCR


@pytest.mark.parametrize("n_features", [1, 2, 3, 9])
def test_small_tournaments(n_features):
    tournament = make_tournament(1, 5, n_features, random_state=0)
    assert tournament.data.shape == (5, n_features)
    assert all(tournament.feature_groups.values())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_eras": 0}, "n_eras == 0, must be >= 1"),
        ({"n_stocks": 4}, "n_stocks == 4, must be >= 5"),
        ({"n_features": 0}, "n_features == 0"),
        ({"n_features": 4, "n_groups": 5}, "n_groups == 5, must be <= 4"),
        ({"n_groups": 13}, "n_groups == 13, must be <= 12"),
        ({"n_eras": 3, "n_validation_eras": 4}, "n_validation_eras == 4, must be <= 3"),
        ({"missing_features": 1.5}, "missing_features == 1.5"),
        ({"linear_risk": -1.0}, "linear_risk == -1.0"),
        ({"linear_corr": 0.8, "nonlinear_corr": 0.8}, "explain more than the whole target"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_tournament(**parameters)


def test_parameter_of_wrong_type():
    with pytest.raises(TypeError, match="n_stocks must be an instance of"):
        make_tournament(n_stocks=50.5)
