"""Neutralization over scales, ranks and shapes, beside a plain QR factorization."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sknumerai.neutralization import neutralize


def _residual(predictions, features):
    """By an orthonormal basis of the independent columns, at unit norm."""
    x = np.column_stack([np.ones(len(features)), features - features.mean(axis=0)])
    sizes = np.linalg.norm(x, axis=0)
    u, singular, _ = np.linalg.svd(x / np.where(sizes == 0.0, 1.0, sizes), full_matrices=False)
    basis = u[:, singular > 1e-8]
    left = predictions - basis @ (basis.T @ predictions)
    return left - basis @ (basis.T @ left)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(3, 80),
    k=st.integers(1, 12),
    m=st.integers(1, 3),
    exponent=st.integers(-200, 200),
    spread=st.sampled_from([0.0, 3.0, 120.0]),
    kind=st.sampled_from(["normal", "integers", "copies", "constant", "zero"]),
    proportion=st.sampled_from([0.0, 0.3, 1.0]),
    n_eras=st.integers(1, 3),
)
def test_equals_a_plain_projection(seed, n, k, m, exponent, spread, kind, proportion, n_eras):
    rng = np.random.default_rng(seed)
    n = max(n, k + 3)
    expected, predictions, features = [], [], []
    for _ in range(n_eras):
        base = rng.normal(size=(n, k))
        if kind == "integers":
            base = rng.integers(0, 5, (n, k)).astype(float)
        elif kind == "copies":
            base[:, k // 2 :] = base[:, :1]
        elif kind == "constant":
            base[:, -1] = 3.0
        elif kind == "zero":
            base[:, 0] = 0.0
        p = rng.normal(size=(n, m))
        expected.append(p - proportion * (p - _residual(p, base)))
        predictions.append(p * 10.0**exponent)
        features.append(base)
    scales = np.ones(k) if kind == "integers" else 10.0 ** rng.uniform(-spread, spread, k)
    neutral = neutralize(
        np.concatenate(predictions),
        np.concatenate(features) * scales,
        proportion=proportion,
        eras=np.repeat(np.arange(n_eras), n),
    )
    np.testing.assert_allclose(neutral / 10.0**exponent, np.concatenate(expected), atol=1e-9)
