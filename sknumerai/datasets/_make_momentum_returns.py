"""Synthetic returns with momentum."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from scipy.signal import lfilter
from sklearn.utils import check_random_state

from sknumerai._sklearn import Interval, validate_params
from sknumerai._typing import Array, RandomState

__all__ = ["make_momentum_returns"]


@validate_params(
    {
        "n_series": [Interval(Integral, 1, None, closed="left")],
        "length": [Interval(Integral, 1, None, closed="left")],
        "rho": [Interval(Real, -1, 1, closed="neither")],
        "volatility": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_momentum_returns(
    n_series: int,
    length: int,
    rho: float,
    *,
    volatility: float = 1.0,
    random_state: RandomState = None,
) -> Array:
    r"""Draw independent series of returns, each of which a little repeats the one before.

    The series are first-order autoregressive,

    .. math:: r_t = \rho \, r_{t-1} + \sigma \sqrt{1 - \rho^2} \, \varepsilon_t,
        \qquad \varepsilon_t \sim N(0, 1),

    and start in their stationary distribution: every return is normal with mean zero and
    standard deviation :math:`\sigma`, the `volatility`, and returns `k` steps apart have
    correlation :math:`\rho^k`. With `rho` = 0 they are independent and nobody can earn on them.

    Parameters
    ----------
    n_series : int
        Number of series.
    length : int
        Number of returns per series.
    rho : float
        Correlation of a return with the one before, between -1 and 1: momentum above 0,
        reversal below.
    volatility : float, default=1.0
        Standard deviation of the returns; 0.01 is usual for daily returns of stocks.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output.

    Returns
    -------
    returns : ndarray of shape (length, n_series), float64
        The oldest first.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type or out of range.

    See Also
    --------
    sknumerai.neural_network.sliding_windows : Makes training data of it.

    Notes
    -----
    Who knows the process and may only hold positions from 0 to 1 holds 1 whenever the expected
    return :math:`\rho \, r_{t-1}` is positive, and earns
    :math:`|\rho| \, \sigma / \sqrt{2 \pi}` per step in the mean. That is a yardstick for whatever
    learns from these returns.

    Numerical courses also call this recursion MA(1); it is AR(1). Written as a cumulative sum of
    :math:`\rho^{-t} \varepsilon_t` it overflows in long series, hence a linear filter here.

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.datasets import make_momentum_returns
    >>> returns = make_momentum_returns(1000, 50, 0.2, volatility=0.01, random_state=0)
    >>> returns.shape
    (50, 1000)
    >>> round(float(returns.std()), 3)
    0.01
    >>> round(float(np.corrcoef(returns[:-1].ravel(), returns[1:].ravel())[0, 1]), 2)
    0.2
    """
    shocks = check_random_state(random_state).standard_normal((length, n_series))
    shocks[1:] *= np.sqrt(1.0 - rho**2)  # the first return is a draw of the stationary distribution
    return volatility * np.asarray(lfilter([1.0], [1.0, -rho], shocks, axis=0))
