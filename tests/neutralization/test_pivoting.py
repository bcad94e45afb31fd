"""Pivoting solves its problem itself: what repairs it elsewhere would hide that it does not."""

import numpy as np
import pytest

from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai.neutralization._pivoting import GramProblem


def make_problem(seed, n=150, k=25, *, copies=0, kind="symmetric"):
    """Standardized features, a response with exposures, limits."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 3))
    F = factors @ rng.normal(size=(3, k)) + rng.normal(size=(n, k))
    F[:, k - copies :] = F[:, :copies]
    x = StandardizedFeatures(F).dense()
    y = F @ rng.normal(size=k) + 3 * rng.normal(size=n)
    y -= y.mean()
    y /= np.linalg.norm(y)
    lower, upper = -0.02 * np.ones(k), 0.02 * np.ones(k)
    if kind == "one-sided":
        lower, upper = -rng.uniform(0.0, 0.1, k), rng.uniform(0.0, 0.1, k)
        lower[::3], upper[1::3] = 0.0, 0.0
    elif kind == "below":  # only lower limits bind
        x *= np.where(x.T @ y > 0, -1.0, 1.0)
    return x, y, lower, upper


def assert_optimal(x, y, lower, upper, weights, tol):
    """The KKT conditions of the square-root lasso, from the weights."""
    q = y - x @ weights
    exposures = x.T @ q / np.linalg.norm(q)
    assert np.maximum(exposures - upper, lower - exposures).max() < tol
    assert np.abs(exposures - upper)[weights > 1e-8].max(initial=0.0) < tol
    assert np.abs(exposures - lower)[weights < -1e-8].max(initial=0.0) < tol
    assert np.count_nonzero(weights) > 3


def solve(x, y, lower, upper):
    return GramProblem(x.T @ x, x.T @ y, lower, upper).solve()


@pytest.mark.parametrize("kind", ["symmetric", "one-sided", "below"])
@pytest.mark.parametrize("seed", range(6))
def test_random_columns(seed, kind):
    problem = make_problem(seed, kind=kind)
    assert_optimal(*problem, solve(*problem), 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_duplicated_columns_take_proximal_steps(seed, monkeypatch):
    problem = make_problem(seed, copies=8)
    assert_optimal(*problem, solve(*problem), 1e-6)
    monkeypatch.setattr(GramProblem, "_proximal", None)
    with pytest.raises(TypeError):
        solve(*problem)


@pytest.mark.parametrize("seed", [101, 133, 160])
def test_murtys_rule_ends_what_block_steps_do_not(seed):
    """Programs on which block steps alone cycle."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 40))
    k = int(rng.integers(3, n))
    factors = rng.normal(size=(n, 2))
    x = factors @ rng.normal(size=(2, k)) * rng.uniform(0, 8) + rng.normal(size=(n, k))
    x -= x.mean(axis=0)
    x /= np.linalg.norm(x, axis=0)
    y = rng.normal(size=n)
    y -= y.mean()
    y /= np.linalg.norm(y)
    limit = 10.0 ** rng.uniform(-3, -0.5)
    lower, upper = -limit * rng.uniform(0, 1, k), limit * rng.uniform(0, 1, k)
    assert_optimal(x, y, lower, upper, solve(x, y, lower, upper), 1e-7)
