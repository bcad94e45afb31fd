"""Clipping over scales, ranks and shapes: the numbers returned, beside a cone program."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sknumerai.exceptions import InfeasibleExposureError
from sknumerai.neutralization import clip_exposure
from tests._reference import best_correlation, exposures, standardized

pytest.importorskip("cvxpy")


def _features(rng, n, k, kind):
    features = rng.normal(size=(n, k))
    if kind == "integers":
        return rng.integers(0, 5, (n, k)).astype(float)
    if kind == "copies":
        features[:, k // 2 :] = -features[:, :1]
    elif kind == "constant":
        features[:, -1] = 3.0
    elif kind == "nearly":
        features[:, -1] = features[:, 0] + 1e-4 * features[:, -1]
    return features


@settings(max_examples=200)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(3, 60),
    k=st.integers(1, 20),
    exponent=st.integers(-200, 200),
    spread=st.sampled_from([0.0, 3.0, 120.0]),
    kind=st.sampled_from(["normal", "integers", "copies", "constant", "nearly"]),
    limit=st.sampled_from([0.0, 0.01, 0.1, 0.3, "each"]),
    bounds=st.sampled_from(["symmetric", "shrink"]),
)
def test_equals_a_cone_program(seed, n, k, exponent, spread, kind, limit, bounds):
    rng = np.random.default_rng(seed)
    base = _features(rng, n, k, kind)
    prediction = rng.normal(size=n) + base @ rng.normal(size=k) / np.sqrt(k)
    limits = rng.uniform(0.0, 0.4, k) if limit == "each" else np.full(k, limit)
    before = exposures(prediction, base)
    lower, upper = -limits, limits
    if bounds == "shrink":
        lower, upper = (
            np.maximum(lower, np.minimum(before, 0.0)),
            np.minimum(upper, np.maximum(before, 0.0)),
        )
    best, direction = best_correlation(prediction, base, lower, upper)
    size = np.linalg.norm(direction)
    assume(size > 1 - 1e-7 or size < 1 - 1e-4)  # else the reference cannot tell
    scales = 10.0 ** rng.uniform(-spread, spread, k)
    arguments = (prediction * 10.0**exponent, base * scales, limits)
    if size < 1 - 1e-4:
        with pytest.raises(InfeasibleExposureError):
            clip_exposure(*arguments, bounds=bounds)
        return
    clipped = clip_exposure(*arguments, bounds=bounds) / 10.0**exponent
    after = exposures(clipped, base)
    varying = standardized(base).any(axis=0)
    assert (after - upper)[varying].max(initial=0.0) < 2e-9
    assert (lower - after)[varying].max(initial=0.0) < 2e-9
    assert np.corrcoef(clipped, prediction)[0, 1] == pytest.approx(best, abs=1e-6)
