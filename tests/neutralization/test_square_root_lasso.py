import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai.exceptions import InfeasibleExposureError, SolverError
from sknumerai.neutralization import _square_root_lasso as module
from sknumerai.neutralization import clip_exposure, neutralize
from sknumerai.neutralization._least_distance import least_distance_lasso, vanishing_multiple
from sknumerai.neutralization._pivoting import GramProblem, PivotingError
from sknumerai.neutralization._square_root_lasso import square_root_lasso
from tests._reference import best_correlation, exposures, make_era, standardized

TOL = 1e-9


def _problem(seed, n, k, limits, copies=0.0):
    """Features, unit response and limits of one of several kinds."""
    rng = np.random.default_rng(seed)
    prediction, features = make_era(rng, n, k)
    if copies:
        chosen = rng.random(k) < copies
        features[:, chosen] = np.where(rng.random(chosen.sum()) < 0.5, 1, -1) * features[:, :1]
    y = prediction - prediction.mean()
    y /= np.linalg.norm(y)
    size = rng.choice([0.3, 0.1, 0.03])
    lower, upper = -np.full(k, size), np.full(k, size)
    start = standardized(features).T @ y
    if limits == "one-sided":
        lower[rng.random(k) < 0.5] = -np.inf
    elif limits == "zero":
        lower[:], upper[:] = 0.0, 0.0
    elif limits == "mixed":
        lower *= rng.choice([0.0, 1.0, 2.0, np.inf], k, p=[0.2, 0.4, 0.2, 0.2])
        upper *= rng.choice([0.0, 1.0, 2.0], k, p=[0.2, 0.5, 0.3])
    elif limits == "shrink":
        kept = np.clip(start, lower, upper)
        lower, upper = np.minimum(kept, 0), np.maximum(kept, 0)
    return features, y, lower, upper


def _check_certificate(features, y, lower, upper, solution):
    """The conditions of optimality, from the features and the weights alone."""
    x = standardized(features)
    q = y - x @ solution.weights
    np.testing.assert_allclose(q, solution.residual, atol=1e-9)
    e = x.T @ q / np.linalg.norm(q)
    np.testing.assert_allclose(e, solution.exposures, atol=1e-9)
    varying = np.ptp(features, axis=0) > 0
    assert (e <= upper + 2 * TOL)[varying].all()
    assert (e >= lower - 2 * TOL)[varying].all()
    w = solution.weights
    with np.errstate(invalid="ignore"):  # an infinite limit times a weight of zero
        penalty = np.where(w > 0, upper * w, np.where(w < 0, lower * w, 0.0)).sum()
    primal = np.linalg.norm(q) + penalty
    dual = y @ q / np.linalg.norm(q)
    assert abs(primal - dual) <= 2 * TOL


LIMITS = ["symmetric", "one-sided", "zero", "mixed", "shrink"]


@given(
    st.integers(0, 10**6),
    st.integers(5, 90),
    st.integers(1, 40),
    st.sampled_from(LIMITS),
    st.sampled_from([0.0, 0.0, 0.4]),
)
def test_optimality_conditions(seed, n, k, limits, copies):
    features, y, lower, upper = _problem(seed, n, k, limits, copies)
    try:
        solution = square_root_lasso(StandardizedFeatures(features), y, lower, upper)
    except InfeasibleExposureError as raised:
        error = raised
    else:
        _check_certificate(features, y, lower, upper, solution)
        return
    assert n <= k + 1 or limits == "zero"  # otherwise y is not in the span of the features
    assert error.multiple > 1.0
    if np.isfinite(error.multiple):
        widened = square_root_lasso(
            StandardizedFeatures(features),
            y,
            1.01 * error.multiple * lower,
            1.01 * error.multiple * upper,
        )
        assert widened.violation <= TOL
        with pytest.raises(InfeasibleExposureError):
            square_root_lasso(
                StandardizedFeatures(features),
                y,
                0.99 * error.multiple * lower,
                0.99 * error.multiple * upper,
            )


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("copies", [0.0, 0.4])
@pytest.mark.parametrize(("n", "k"), [(80, 6), (60, 25), (25, 30)])
def test_agrees_with_a_cone_program(limits, copies, n, k):
    pytest.importorskip("cvxpy")
    for seed in range(3):
        features, y, lower, upper = _problem(seed, n, k, limits, copies)
        best, u = best_correlation(y, features, lower, upper)
        try:
            solution = square_root_lasso(StandardizedFeatures(features), y, lower, upper)
        except InfeasibleExposureError:
            assert np.linalg.norm(u) < 1 - 1e-6  # the ball is inactive: only zero is left
            continue
        q = solution.residual / np.linalg.norm(solution.residual)
        assert abs(y @ q - best) < 1e-7
        assert np.linalg.norm(q - u) < 1e-3


def test_methods_agree(monkeypatch):
    """Pivoting, its proximal variant and least-distance programming: three ways, one answer."""
    features, y, lower, upper = _problem(0, 120, 30, "symmetric")
    x = StandardizedFeatures(features)
    pivoted = square_root_lasso(x, y, lower, upper)
    weights = least_distance_lasso(x.dense(), y, lower, upper)
    assert vanishing_multiple(x.dense(), y, lower, upper) == 1.0
    np.testing.assert_allclose(weights, pivoted.weights, atol=1e-9)
    problem = GramProblem(x.gram(), x.dense().T @ y, lower, upper)
    np.testing.assert_allclose(
        problem._solve_norm(1.0, 1e-11, problem._proximal), pivoted.weights, atol=1e-8
    )

    def fail(*args):
        raise PivotingError

    monkeypatch.setattr(GramProblem, "solve", fail)
    without = square_root_lasso(x, y, lower, upper)
    np.testing.assert_allclose(without.weights, pivoted.weights, atol=1e-9)


def test_murty_steps_reach_the_same_solution(monkeypatch):
    from sknumerai.neutralization import _pivoting

    features, y, lower, upper = _problem(1, 150, 20, "symmetric")
    x = StandardizedFeatures(features)
    expected = square_root_lasso(x, y, lower, upper).weights
    monkeypatch.setattr(_pivoting, "FULL_STEPS", -1)  # the backup rule alone
    np.testing.assert_allclose(square_root_lasso(x, y, lower, upper).weights, expected, atol=1e-10)


def test_never_returns_what_it_has_not_verified(monkeypatch):
    features, y, lower, upper = _problem(2, 100, 10, "symmetric")
    monkeypatch.setattr(GramProblem, "solve", lambda self, *args: np.zeros(len(self.state)))
    monkeypatch.setattr(module, "least_distance_lasso", lambda x, *a: np.zeros(x.shape[1]))
    with pytest.raises(SolverError, match=r"not to tol=1\.0e-09"):
        square_root_lasso(StandardizedFeatures(features), y, lower / 5, upper / 5)


def test_wrong_pivoting_is_repaired_by_the_last_resort(monkeypatch):
    features, y, lower, upper = _problem(2, 100, 10, "symmetric")
    x = StandardizedFeatures(features)
    expected = square_root_lasso(x, y, lower / 5, upper / 5)
    monkeypatch.setattr(GramProblem, "solve", lambda self, *args: np.zeros(len(self.state)))
    repaired = square_root_lasso(x, y, lower / 5, upper / 5)
    np.testing.assert_allclose(repaired.weights, expected.weights, atol=1e-9)


def test_limits_of_zero_neutralize():
    for seed in range(5):
        prediction, features = make_era(np.random.default_rng(seed), 150, 12)
        clipped = clip_exposure(prediction, features, 0.0)
        np.testing.assert_allclose(
            clipped - clipped.mean(), neutralize(prediction, features), atol=1e-10
        )
        assert clipped.mean() == pytest.approx(prediction.mean(), abs=1e-12)


def test_small_limits_approach_neutralization():
    prediction, features = make_era(np.random.default_rng(0), 150, 12)
    neutral = neutralize(prediction, features)
    distances = [
        np.linalg.norm(clip_exposure(prediction, features, c) - prediction.mean() - neutral)
        for c in (1e-2, 1e-4, 1e-6)
    ]
    assert distances[0] > 50 * distances[1] > 50**2 * distances[2]


@given(st.integers(0, 10**6))
def test_kept_correlation_grows_with_the_limit(seed):
    prediction, features = make_era(np.random.default_rng(seed), 100, 10)
    kept = []
    for limit in (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0):
        clipped = clip_exposure(prediction, features, limit)
        assert np.abs(exposures(clipped, features)).max() <= limit + 1e-8
        kept.append(np.corrcoef(clipped, prediction)[0, 1])
    assert (np.diff(kept) > -1e-9).all()
    assert kept[-1] == pytest.approx(1.0)


def test_wide_limits_change_nothing():
    prediction, features = make_era(np.random.default_rng(0))
    clipped, (record,) = clip_exposure(prediction, features, 1.0, return_info=True)
    np.testing.assert_allclose(clipped, prediction, atol=1e-14)
    assert (record.n_active, record.n_iter, record.correlation) == (0, 1, pytest.approx(1.0))


def test_shrink_lets_no_exposure_grow_or_change_sign():
    prediction, features = make_era(np.random.default_rng(0), 300, 30)
    before = exposures(prediction, features)
    shrunk, (record,) = clip_exposure(prediction, features, 0.05, bounds="shrink", return_info=True)
    after = exposures(shrunk, features)
    np.testing.assert_allclose(record.exposures_after, after, atol=1e-9)
    assert (np.abs(after) <= np.minimum(np.abs(before), 0.05) + 1e-8).all()
    assert (after * before >= -1e-9).all()
    free, (symmetric,) = clip_exposure(prediction, features, 0.05, return_info=True)
    assert (np.abs(exposures(free, features)) > np.abs(before) + 1e-3).any()
    assert symmetric.correlation > record.correlation


def test_larger_problem_with_many_active_features():
    prediction, features = make_era(np.random.default_rng(0), 700, 400)
    for limit in (0.1, 0.01):
        for bounds in ("symmetric", "shrink"):
            _, (record,) = clip_exposure(
                prediction, features, limit, bounds=bounds, return_info=True
            )
            assert record.violation <= TOL
            assert record.gap <= TOL
