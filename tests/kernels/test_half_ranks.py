"""Ranks by one sort of values and positions: those of scipy, whatever the last bits say."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import rankdata

from sknumerai._kernels.ranks import (
    ascending_half_ranks,
    half_ranks,
    normal_scale,
    normalize_columns,
    rank_products,
)

EPS = np.finfo(float).eps


def rows_of_kinds(n, rng):
    """Rows that are easy, tied, or differ in their last bits."""
    return np.array(
        [
            rng.normal(size=n),
            rng.integers(0, 5, n).astype(float),
            1.0 + EPS * rng.integers(0, 40, n),  # the position takes the place of these bits
            -1.0 - EPS * rng.permutation(n),
            np.where(rng.random(n) < 0.5, 0.0, -0.0),
            rng.choice([-5e-324, 0.0, -0.0, 5e-324, 1e-310], n),
            rng.choice([-1e300, 1e300, 0.0, 1.0], n) * rng.random(n),
            np.full(n, -2.5),
            np.sort(rng.normal(size=n)),
            np.sort(rng.integers(-3, 3, n).astype(float))[::-1],
        ]
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 1000])
def test_half_ranks(n, dtype):
    with np.errstate(over="ignore"):
        rows = rows_of_kinds(n, np.random.default_rng(n)).astype(dtype)
    rows = np.nan_to_num(rows, posinf=1e30, neginf=-1e30)
    rows = np.tile(rows, (5, 1))  # more than a block
    before = rows.copy()
    expected = 2 * (rankdata(rows, axis=1) - 1)
    np.testing.assert_array_equal(half_ranks(rows), expected)
    np.testing.assert_array_equal(rows, before)
    order, ascending, tied = ascending_half_ranks(rows)
    for i, row in enumerate(rows):
        assert sorted(order[i]) == list(range(n))
        np.testing.assert_array_equal(tied.get(i, ascending), expected[i][order[i]])
        assert (np.diff(row[order[i]]) >= 0).all()


def test_many_values():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 40_000))  # whose half ranks need 32 bits
    rows[1] = np.round(rows[1], 3)
    np.testing.assert_array_equal(half_ranks(rows), 2 * (rankdata(rows, axis=1) - 1))


def test_scale_and_columns():
    values = rows_of_kinds(50, np.random.default_rng(1)).T
    ranks = (rankdata(values, axis=0) - 0.5) / 50
    np.testing.assert_allclose(normalize_columns(values, "rank"), ranks, rtol=0, atol=1e-15)
    np.testing.assert_allclose(normalize_columns(values, "gaussian"), ndtri(ranks), atol=1e-14)
    assert normal_scale(1).tolist() == [0.0]


def test_products():
    rng = np.random.default_rng(2)
    rows, weights = rows_of_kinds(80, rng), rng.normal(size=(2, 80))
    scale = normal_scale(80) ** 3
    products, sums, squares = rank_products(np.tile(rows, (4, 1)), scale, weights)
    values = scale[half_ranks(np.tile(rows, (4, 1)))]
    np.testing.assert_allclose(products, values @ weights.T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(sums, values.sum(axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(squares, np.square(values).sum(axis=1), rtol=0, atol=1e-12)
