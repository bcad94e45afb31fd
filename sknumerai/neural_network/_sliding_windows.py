"""The function sliding_windows()."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils.validation import check_array

from sknumerai._sklearn import Interval, Options, validate_params
from sknumerai._typing import Array, ArrayLike


@validate_params(
    {
        "window": [Interval(Integral, 1, None, closed="left")],
        "series_axis": [Options(Integral, {0, 1})],
    },
    prefer_skip_nested_validation=True,
)
def sliding_windows(series: ArrayLike, window: int, *, series_axis: int = 1) -> tuple[Array, Array]:
    """Cut time series (columns of a table of time by series) into overlapping windows.

    Each window comes with the value that follows it; a series of length T has T - ``window``.

    Parameters
    ----------
    series : array-like, Series or DataFrame of shape (length,) or (length, n_series)
        Finite values at equal steps of time, the oldest first; a column per series.
    window : int
        Number of values in a window, 1 or more.
    series_axis : {0, 1}, default=1
        Which axis of a table counts series: 1 if its columns are series (time by series), 0 if its
        rows are, as in tensors of many short series.

    Returns
    -------
    X : ndarray of shape (n_samples, window)
        The windows, the oldest value in the first column. n_samples is (length - ``window``) *
        n_series. The rows are in order of time, and at one time in the order of the columns.
        Hence a split by rows is a split in time, and
        ``predictions.reshape(-1, n_series)`` is a table of time by series again.
        float32 stays float32, anything else becomes float64.
    y : ndarray of shape (n_samples,)
        The value after each window, of the same dtype.

    Raises
    ------
    ValueError
        If the series are too short, have more than two dimensions, or hold NaN or infinity.

    Notes
    -----
    For a single series X is a read-only view that takes no memory, and y is a view as well.
    Several series are copied.

    Examples
    --------
    >>> from sknumerai.neural_network import sliding_windows
    >>> X, y = sliding_windows([1, 2, 3, 4, 5], 3)
    >>> X
    array([[1., 2., 3.],
           [2., 3., 4.]])
    >>> y
    array([4., 5.])
    """
    given = np.asarray(series)
    if series is None or (
        given.dtype.kind in "USO" and any(isinstance(value, str) for value in given.flat)
    ):
        raise ValueError("series must hold numbers; convert it, or drop columns of text.")
    values = check_array(
        series,
        dtype=[np.float64, np.float32],
        ensure_2d=False,
        allow_nd=True,
        ensure_all_finite=False,
        ensure_min_samples=0,
        ensure_min_features=0,
        input_name="series",
    )
    if values.ndim > 2:
        raise ValueError(
            f"series has shape {values.shape}; pass one series, or a table of time by series."
        )
    if values.ndim == 2 and series_axis == 0:
        values = values.T
    if len(values) <= window:
        raise ValueError(
            f"series has {len(values)} values in time; windows of {window} and the value after "
            f"them need at least {window + 1}."
        )
    finite = np.isfinite(values)
    if not finite.all():
        row, *column = (int(i) for i in np.argwhere(~finite)[0])
        place = f"row {row}" + "".join(f", column {j}" for j in column)
        raise ValueError(
            f"{values.size - finite.sum()} of {values.size} values of series are NaN or infinite, "
            f"first at {place}; drop or fill them first."
        )
    windows = sliding_window_view(values[:-1], window, axis=0)
    return windows.reshape(-1, window), values[window:].reshape(-1)
