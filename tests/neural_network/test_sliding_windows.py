import numpy as np
import pandas as pd
import pytest

from sknumerai.neural_network import sliding_windows


def naive_windows(table, window):
    """Row by row, in the order that the docstring promises."""
    X, y = [], []
    for t in range(window, len(table)):
        for j in range(table.shape[1]):
            X.append([table[t - window + k, j] for k in range(window)])
            y.append(table[t, j])
    return np.array(X), np.array(y)


@pytest.mark.parametrize("window", [1, 2, 7, 11])
@pytest.mark.parametrize("n_series", [1, 3])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_naive_loop(window, n_series, order, dtype):
    table = np.random.default_rng(0).normal(size=(12, n_series)).astype(dtype, order=order)
    X, y = sliding_windows(table, window)
    X_naive, y_naive = naive_windows(table, window)
    np.testing.assert_array_equal(X, X_naive)
    np.testing.assert_array_equal(y, y_naive)
    assert X.shape == ((12 - window) * n_series, window)
    assert X.dtype == y.dtype == dtype


def test_one_series_is_not_copied():
    series = np.arange(10.0)
    X, y = sliding_windows(series, 4)
    assert np.shares_memory(X, series)
    assert np.shares_memory(y, series)
    assert not X.flags.writeable
    np.testing.assert_array_equal(X, naive_windows(series[:, np.newaxis], 4)[0])


def test_rows_are_a_table_of_time_by_series():
    table = np.random.default_rng(0).normal(size=(9, 4))
    X, y = sliding_windows(table, 3)
    np.testing.assert_array_equal(y.reshape(-1, 4), table[3:])
    np.testing.assert_array_equal(X[:, -1].reshape(-1, 4), table[2:-1])


def test_containers(df_module):
    table = np.random.default_rng(0).normal(size=(9, 2))
    expected = sliding_windows(table, 3)
    frame = df_module.DataFrame({"a": table[:, 0], "b": table[:, 1]})
    for got, want in zip(sliding_windows(frame, 3), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    series = df_module.Series(table[:, 0], name="a")
    for got, want in zip(sliding_windows(series, 3), sliding_windows(table[:, 0], 3), strict=True):
        np.testing.assert_array_equal(got, want)


def test_integers_become_float64():
    X, y = sliding_windows(np.arange(5, dtype=np.int8), np.int64(2))
    assert X.dtype == y.dtype == np.float64


@pytest.mark.parametrize(("length", "window"), [(0, 1), (1, 1), (4, 4), (4, 9)])
def test_too_short(length, window):
    message = f"series has {length} values in time; .* at least {window + 1}"
    with pytest.raises(ValueError, match=message):
        sliding_windows(np.zeros(length), window)
    with pytest.raises(ValueError, match=message):
        sliding_windows(np.zeros((length, 3)), window)


def test_not_finite():
    table = np.zeros((6, 3))
    table[4, 1] = np.inf
    table[2, 2] = np.nan
    with pytest.raises(ValueError, match=r"2 of 18 values of series .* first at row 2, column 2"):
        sliding_windows(table, 2)
    with pytest.raises(ValueError, match=r"1 of 6 values of series .* first at row 4;"):
        sliding_windows(table[:, 1], 2)


def test_other_bad_input():
    with pytest.raises(ValueError, match=r"series has shape \(5, 2, 2\)"):
        sliding_windows(np.zeros((5, 2, 2)), 2)
    for text in (pd.Series(["a", "b", "c"]), ["1", "2", "3"], pd.Series(["1", "2", "3"]), None):
        with pytest.raises(ValueError, match="series must hold numbers"):
            sliding_windows(text, 2)
    windows, _ = sliding_windows(pd.DataFrame({"a": [1, 2, 3], "b": [2, 3, 4]}, dtype="Int64"), 2)
    assert windows.tolist() == [[1.0, 2.0], [2.0, 3.0]]
    for window in (0, -1, 2.0, None):
        with pytest.raises(ValueError, match="'window' parameter"):
            sliding_windows(np.zeros(5), window)


def test_series_in_rows():
    table = np.random.default_rng(0).normal(size=(20, 30))  # 20 series of 30 values
    X, y = sliding_windows(table, 5, series_axis=0)
    expected, following = sliding_windows(table.T, 5)
    np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(y, following)
    assert sliding_windows(table, 5)[0].shape == (15 * 30, 5)
    with pytest.raises(ValueError, match="'series_axis' parameter"):
        sliding_windows(table, 5, series_axis=2)
