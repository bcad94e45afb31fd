from math import comb

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from sknumerai.exceptions import MissingErasError
from sknumerai.model_selection import (
    CombinatorialPurgedEraCV,
    EraTimeSeriesSplit,
    PurgedEraKFold,
)


def _eras(n_eras, seed=0, most_rows=3):
    """Era numbers of shuffled rows, and the labels of these."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(n_eras), rng.integers(1, most_rows + 1, n_eras))
    rng.shuffle(numbers)
    return numbers, np.array([f"{number + 7:04d}" for number in numbers])


def _splits(splitter, numbers, labels):
    """Era numbers of the training and test rows of every split."""
    folds = []
    for train, test in splitter.split(np.zeros((len(labels), 1)), groups=labels):
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()
        folds.append((set(numbers[train].tolist()), set(numbers[test].tolist())))
        for rows, eras in zip((train, test), folds[-1], strict=True):
            assert set(rows) == set(np.flatnonzero(np.isin(numbers, list(eras))))  # whole eras
    return folds


def _expected_train(n_eras, test, purge, embargo):
    """By definition: not within `purge` of a test era, nor up to `embargo` further after one."""
    return {
        era
        for era in range(n_eras)
        if not any(-purge <= era - other <= purge + embargo for other in test)
    }


@given(
    st.integers(6, 60),
    st.integers(2, 6),
    st.sampled_from([20, 60]),
    st.sampled_from([None, 0, 1, 5]),
    st.integers(0, 4),
)
def test_purged_kfold(n_eras, n_splits, horizon, purge, embargo):
    width = (horizon // 5 - 1) if purge is None else purge
    assume(n_eras // n_splits + 1 + 2 * width + embargo < n_eras)
    numbers, labels = _eras(n_eras)
    splitter = PurgedEraKFold(n_splits, horizon=horizon, purge=purge, embargo=embargo)
    folds = _splits(splitter, numbers, labels)
    assert len(folds) == splitter.get_n_splits() == n_splits
    tested = [era for _, test in folds for era in test]
    assert sorted(tested) == list(range(n_eras))  # every era once
    for train, test in folds:
        assert sorted(test) == list(range(min(test), max(test) + 1))  # blocks
        assert train == _expected_train(n_eras, test, width, embargo)


@given(
    st.integers(8, 60),
    st.integers(1, 5),
    st.sampled_from([20, 60]),
    st.sampled_from([None, 0, 2]),
    st.sampled_from([None, 3]),
    st.sampled_from([None, 1, 2]),
)
def test_time_series(n_eras, n_splits, horizon, gap, most, test_eras):
    width = horizon // 5 if gap is None else gap
    size = max(n_eras // (n_splits + 1) if test_eras is None else test_eras, 1)
    assume(n_splits * size + width < n_eras)
    numbers, labels = _eras(n_eras)
    splitter = EraTimeSeriesSplit(
        n_splits, horizon=horizon, gap=gap, max_train_eras=most, test_eras=test_eras
    )
    folds = _splits(splitter, numbers, labels)
    assert len(folds) == splitter.get_n_splits() == n_splits
    assert sorted(era for _, test in folds for era in test) == list(
        range(n_eras - n_splits * size, n_eras)
    )
    for train, test in folds:
        known = range(min(test) - width)
        assert train == set(known[-most:] if most else known)


@given(
    st.integers(8, 40), st.integers(3, 6), st.integers(1, 4), st.integers(0, 1), st.integers(0, 1)
)
def test_combinatorial(n_eras, n_folds, n_test_folds, purge, embargo):
    assume(n_test_folds < n_folds <= n_eras)
    assume(n_eras // n_folds > 2 * purge + embargo)
    numbers, labels = _eras(n_eras, most_rows=1)
    splitter = CombinatorialPurgedEraCV(n_folds, n_test_folds, purge=purge, embargo=embargo)
    folds = _splits(splitter, numbers, labels)
    assert len(folds) == splitter.get_n_splits() == comb(n_folds, n_test_folds)
    times = np.bincount([era for _, test in folds for era in test])
    assert (times == splitter.n_paths).all()
    paths = splitter.get_path_ids()
    assert paths.shape == (len(folds), n_test_folds)
    assert (np.bincount(paths.ravel()) == n_folds).all()  # every path is a full history
    for train, test in folds:
        assert train == _expected_train(n_eras, test, purge, embargo)


def test_defaults_follow_the_horizon():
    numbers, labels = _eras(60)
    for horizon, purge, gap in ((20, 3, 4), (60, 11, 12)):
        for train, test in _splits(PurgedEraKFold(4, horizon=horizon), numbers, labels):
            assert min(abs(a - b) for a in train for b in test) == purge + 1
        for train, test in _splits(
            EraTimeSeriesSplit(2, horizon=horizon, test_eras=5), numbers, labels
        ):
            assert min(test) - max(train) == gap + 1


def test_embargo_counts_after_the_test_block_only():
    numbers, labels = _eras(30)
    (_, (train, test), _) = _splits(PurgedEraKFold(3, purge=2, embargo=4), numbers, labels)
    assert test == set(range(10, 20))
    assert train == set(range(8)) | set(range(26, 30))


@pytest.mark.parametrize(
    "relabel",
    [
        lambda n: n,
        lambda n: [f"era{i}" for i in n],
        lambda n: pd.Timestamp("2020-01-03") + pd.to_timedelta(n * 7, "D"),
        lambda n: pd.Series(n).astype("category"),
        lambda n: np.where(n == 19, "eraX", [f"era{i}" for i in n]),
    ],
)
def test_labels_are_ordered_and_otherwise_irrelevant(relabel):
    numbers, labels = _eras(20)
    splitter = PurgedEraKFold(4)
    assert _splits(splitter, numbers, relabel(numbers)) == _splits(splitter, numbers, labels)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: PurgedEraKFold(1), "n_splits must be a whole number of 2 or more; found 1"),
        (lambda: PurgedEraKFold(2.0), r"found 2\.0"),
        (lambda: PurgedEraKFold(purge=-1), "purge must be"),
        (lambda: PurgedEraKFold(horizon=0), "horizon must be"),
        (lambda: EraTimeSeriesSplit(0), "n_splits must be"),
        (lambda: EraTimeSeriesSplit(test_eras=0), "test_eras must be"),
        (lambda: CombinatorialPurgedEraCV(3, 3), "leaves none of n_folds=3 to train on"),
        (lambda: CombinatorialPurgedEraCV(3, 0), "n_test_folds must be"),
    ],
)
def test_bad_arguments(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    ("splitter", "match"),
    [
        (PurgedEraKFold(9), "needs at least 9 eras .* found 8"),
        (PurgedEraKFold(2, horizon=60), "leaves no era to train on .* from 0007 to 0010"),
        (EraTimeSeriesSplit(2), r"2 tests of 2, a gap of 4 and one to train on.* found 8"),
        (CombinatorialPurgedEraCV(9), "one for each fold.* found 8"),
    ],
)
def test_too_few_eras(splitter, match):
    _, labels = _eras(8)
    with pytest.raises(ValueError, match=match):
        list(splitter.split(np.zeros(len(labels)), groups=labels))


def test_missing_eras():
    with pytest.raises(MissingErasError, match="takes them as groups=eras"):
        next(PurgedEraKFold().split(np.zeros(3)))
    with pytest.raises(ValueError, match="2 labels for 3 rows"):
        next(PurgedEraKFold().split(np.zeros(3), groups=[1, 2]))


def test_unordered_labels():
    with pytest.raises(ValueError, match="no known order"):
        next(PurgedEraKFold(2).split(np.zeros(2), groups=["spring", "fall"]))


def test_one_key_serves_with_and_without_routing():
    _, labels = _eras(20)
    X = np.random.default_rng(0).normal(size=(len(labels), 3))
    y = X[:, 0]
    without = cross_val_score(Ridge(), X, y, groups=labels, cv=PurgedEraKFold(4))
    sklearn.set_config(enable_metadata_routing=True)
    routed = cross_val_score(Ridge(), X, y, params={"eras": labels}, cv=PurgedEraKFold(4))
    np.testing.assert_array_equal(routed, without)
    search = GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=PurgedEraKFold(4)).fit(X, y, eras=labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_repr():
    assert repr(PurgedEraKFold(3, embargo=1)) == (
        "PurgedEraKFold(embargo=1, horizon='auto', n_splits=3, purge=None)"
    )


def test_two_folds_of_which_one_is_tested():
    splitter = CombinatorialPurgedEraCV(2, 1, purge=0)
    X, eras = np.zeros((8, 1)), np.repeat([1, 2, 3, 4], 2)
    splits = [(train.tolist(), test.tolist()) for train, test in splitter.split(X, groups=eras)]
    assert splits == [([4, 5, 6, 7], [0, 1, 2, 3]), ([0, 1, 2, 3], [4, 5, 6, 7])]
