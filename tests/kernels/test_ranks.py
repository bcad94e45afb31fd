"""Ranks equal those of scipy, whatever the dtype, the ties and the number of rows."""

import numpy as np
import pytest
from scipy.stats import rankdata

from sknumerai._kernels.ranks import half_ranks, rank_columns


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
def test_rank_columns(dtype):
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 300):
        values = rng.integers(0, n + 1, (n, 4)).astype(dtype)
        values[:, 1] = 3
        np.testing.assert_array_equal(rank_columns(values), rankdata(values, axis=0))
        np.testing.assert_array_equal(
            rank_columns(np.asfortranarray(values)), rankdata(values, axis=0)
        )


@pytest.mark.parametrize("n", [2**15 - 1, 2**15, 2**15 + 1, 70_000])
@pytest.mark.parametrize("kind", ["distinct", "ties", "constant", "zeros of both signs"])
def test_ranks_of_many_rows(n, kind):
    """Twice a rank outgrows 16 bits above 2**15 rows."""
    rng = np.random.default_rng(n)
    values = {
        "distinct": lambda: rng.permutation(n) / n,
        "ties": lambda: rng.integers(0, 7, n).astype(np.float32),
        "constant": lambda: np.ones(n, dtype=np.int8),
        "zeros of both signs": lambda: rng.choice([-1.0, -0.0, 0.0, 1.0], n),
    }[kind]()
    ranks = half_ranks(values[None])
    assert ranks.dtype.kind == "u"
    assert ranks.dtype.itemsize == (2 if n <= 2**15 else 4)
    np.testing.assert_array_equal(ranks[0] / 2.0 + 1.0, rankdata(values))
    np.testing.assert_array_equal(rank_columns(values[:, None])[:, 0], rankdata(values))


def test_half_ranks_of_tied_and_distinct_rows_together():
    """Rows without ties take a shorter path, next to rows with them."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 50))
    rows[1] = rng.integers(0, 4, 50)
    rows[3, [0, 49]] = rows[3].max() + 1.0  # ties at the end
    rows[4, [7, 8]] = rows[4].min() - 1.0  # and at the start
    ranks = half_ranks(rows)
    np.testing.assert_array_equal(ranks / 2.0 + 1.0, rankdata(rows, axis=1))
    np.testing.assert_array_equal(np.sort(ranks[0]), 2 * np.arange(50))
