import numpy as np
import pytest

from sknumerai.datasets import make_momentum_returns


@pytest.mark.parametrize("rho", [-0.7, 0.0, 0.2, 0.95])
def test_filter_equals_recursion(rho):
    returns = make_momentum_returns(3, 500, rho, volatility=0.02, random_state=0)
    shocks = np.random.RandomState(0).standard_normal((500, 3))
    expected = np.empty_like(shocks)
    expected[0] = 0.02 * shocks[0]
    for t in range(1, 500):
        expected[t] = rho * expected[t - 1] + 0.02 * np.sqrt(1 - rho**2) * shocks[t]
    np.testing.assert_allclose(returns, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.2, 0.9])
def test_stationary_from_the_start(rho):
    n_series, sigma = 20_000, 0.01
    returns = make_momentum_returns(n_series, 30, rho, volatility=sigma, random_state=1)
    four_errors = 4 / np.sqrt(n_series)  # of a mean, in units of sigma; less for the other two
    np.testing.assert_allclose(returns.mean(axis=1) / sigma, 0, atol=four_errors)
    np.testing.assert_allclose(returns.std(axis=1) / sigma, 1, atol=four_errors)
    for lag in (1, 2, 5):
        for start in (0, 20):
            correlation = np.corrcoef(returns[start], returns[start + lag])[0, 1]
            assert correlation == pytest.approx(rho**lag, abs=four_errors)


@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.3])
def test_oracle_of_the_docstring(rho):
    returns = make_momentum_returns(2000, 201, rho, volatility=0.02, random_state=2)
    earned = (rho * returns[:-1] > 0) * returns[1:]
    oracle = abs(rho) * 0.02 / np.sqrt(2 * np.pi)
    assert earned.mean() == pytest.approx(oracle, abs=4 * earned.std() / np.sqrt(earned.size))


def test_no_memory_at_zero():
    returns = make_momentum_returns(4, 100, 0.0, random_state=3)
    expected = np.random.RandomState(3).standard_normal((100, 4))
    np.testing.assert_array_equal(returns, expected)


def test_long_series_stay_finite():
    # the cumulative-sum form divides by rho**length
    assert np.isfinite(make_momentum_returns(1, 100_000, 0.2, random_state=0)).all()


def test_shape_and_seed():
    returns = make_momentum_returns(1, 1, 0.5, random_state=0)
    assert returns.shape == (1, 1)
    assert returns.dtype == np.float64
    again = make_momentum_returns(5, 7, 0.5, random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(again, make_momentum_returns(5, 7, 0.5, random_state=0))
    assert again.shape == (7, 5)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"n_series": 0}, "n_series"),
        ({"length": 2.5}, "length"),
        ({"rho": 1.0}, "rho"),
        ({"rho": -1.0}, "rho"),
        ({"rho": np.nan}, "rho"),
        ({"volatility": 0.0}, "volatility"),
        ({"random_state": "seed"}, "random_state"),
    ],
)
def test_bad_parameters(change, name):
    with pytest.raises((TypeError, ValueError), match=f"'{name}' parameter"):
        make_momentum_returns(**({"n_series": 2, "length": 5, "rho": 0.2} | change))
