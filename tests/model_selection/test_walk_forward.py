"""The walk-forward of the benchmark models, horizons by the target's name, eras without targets."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from sknumerai.exceptions import MissingErasError
from sknumerai.model_selection import (
    CombinatorialPurgedEraCV,
    EraTimeSeriesSplit,
    PurgedEraKFold,
)

ERAS = [f"{era:04d}" for era in range(1, 781)]
SPLITTERS = [PurgedEraKFold(3), CombinatorialPurgedEraCV(4, 1), EraTimeSeriesSplit(2)]


def windows(splitter, n_eras=780):
    """First and last era of training and test sets."""
    eras = np.arange(1, n_eras + 1)
    return [
        (eras[train][0], eras[train][-1], eras[test][0], eras[test][-1])
        for train, test in splitter.split(np.zeros((n_eras, 1)), groups=ERAS[:n_eras])
    ]


@pytest.mark.parametrize("gap", [8, 16])
def test_windows_of_the_benchmark_models(gap):
    splitter = EraTimeSeriesSplit(test_eras=156, gap=gap, anchor="start")
    assert windows(splitter) == [
        (1, 156 - gap, 157, 312),
        (1, 312 - gap, 313, 468),
        (1, 468 - gap, 469, 624),
        (1, 624 - gap, 625, 780),
    ]
    assert windows(splitter, 700)[-1] == (1, 624 - gap, 625, 700)
    assert windows(splitter, 625)[-1] == (1, 624 - gap, 625, 625)
    assert splitter.get_n_splits(groups=ERAS) == splitter.get_n_splits(groups=ERAS[:625]) == 4
    assert len(windows(splitter, 624)) == 3


def test_the_number_of_splits_needs_eras():
    splitter = EraTimeSeriesSplit(test_eras=10, anchor="start")
    with pytest.raises(MissingErasError, match="pass it X, y and groups=eras"):
        splitter.get_n_splits()
    with pytest.raises(ValueError, match=r"needs at least 11 eras \(a block of 10 to train on and"):
        windows(splitter, 10)
    with pytest.raises(ValueError, match="leaves no era to train on"):
        windows(EraTimeSeriesSplit(test_eras=10, gap=10, anchor="start"), 30)
    with pytest.raises(ValueError, match="anchor must be 'end' or 'start'; found 'first'"):
        EraTimeSeriesSplit(anchor="first")


def test_in_a_search():
    rng = np.random.default_rng(0)
    X, y, eras = rng.normal(size=(80, 2)), rng.normal(size=80), np.repeat(np.arange(40), 2)
    splitter = EraTimeSeriesSplit(test_eras=10, gap=2, anchor="start")
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=splitter).fit(X, y, eras=eras)
    assert search.n_splits_ == 3


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize(
    ("name", "horizon"),
    [
        *(("target_ender_60", 60), ("target_ender_20", 20), ("target_nomi_v4_60", 60)),
        *(("target", 20), (None, 20), ("feature_60", 20), ("target_x_3", 20), ("y_60", 20)),
    ],
)
def test_the_name_of_the_target_tells_its_horizon(splitter, name, horizon):
    n_eras = 60
    X, eras = np.zeros((n_eras, 1)), ERAS[:n_eras]
    y = pd.Series(np.zeros(n_eras), name=name)
    expected = type(splitter)(**{**vars(splitter), "horizon": horizon}).split(X, groups=eras)
    for found, (train, test) in zip(splitter.split(X, y, eras), expected, strict=True):
        np.testing.assert_array_equal(found[0], train)
        np.testing.assert_array_equal(found[1], test)
    (of_frame, _), (of_series, _) = (next(splitter.split(X, y, eras)) for y in (y.to_frame(), y))
    np.testing.assert_array_equal(of_frame, of_series)


def test_a_horizon_that_is_given_counts():
    y = pd.Series(np.zeros(60), name="target_ender_60")
    X, eras = np.zeros((60, 1)), ERAS[:60]
    (given, _), (auto, _) = (
        next(PurgedEraKFold(3, horizon=horizon).split(X, y, eras)) for horizon in (20, "auto")
    )
    assert len(given) == 37
    assert len(auto) == 29
    for horizon in ("60", 0, 1.5):
        with pytest.raises(ValueError, match="horizon must be a"):
            PurgedEraKFold(3, horizon=horizon)


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_eras_without_targets_are_in_no_fold(splitter):
    eras = np.repeat(ERAS[:40], 3)
    y = np.arange(120.0)
    y[105:] = np.nan  # the last five eras
    y[0] = np.nan  # one stock of the first era
    X = np.zeros((120, 1))
    known = slice(0, 105)
    expected = splitter.split(X[known], groups=eras[known])
    for found, (train, test) in zip(splitter.split(X, y, eras), expected, strict=True):
        np.testing.assert_array_equal(found[0], train)
        np.testing.assert_array_equal(found[1], test)
