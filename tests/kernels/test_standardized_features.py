import numpy as np
import pytest

from sknumerai._kernels import standardized_features
from sknumerai._kernels.standardized_features import StandardizedFeatures
from tests._reference import standardized


def _features(kind, rng):
    features = rng.integers(0, 5, (300, 40))
    features[:, 7] = 2  # constant
    if kind == "int8 by row":
        return features.astype(np.int8)
    if kind == "int8 by column":
        return np.asfortranarray(features.astype(np.int8))
    if kind == "strided":
        return np.repeat(features.astype(np.int8), 2, axis=1)[:, ::2]
    if kind == "bool":
        return features > 2
    if kind == "uint8":
        return features.astype(np.uint8)
    if kind == "large integers":
        return features * 10**7 + 10**9
    if kind == "float32":
        return (features / 4).astype(np.float32)
    return features + 0.3 * rng.normal(size=features.shape) * (features.std(axis=0) > 0) + 1e5


KINDS = [
    "int8 by row",
    "int8 by column",
    "strided",
    "bool",
    "uint8",
    "large integers",
    "float32",
    "float64 of large mean",
]


@pytest.mark.parametrize("kind", KINDS)
def test_products_equal_those_of_the_dense_matrix(kind, monkeypatch):
    monkeypatch.setattr(
        standardized_features, "BLOCK_SIZE", 1000
    )  # several blocks, the last one shorter
    rng = np.random.default_rng(0)
    features = _features(kind, rng)
    x = StandardizedFeatures(features)
    dense = standardized(features)
    vectors = rng.normal(size=(300, 3))
    vectors -= vectors.mean(axis=0)
    weights = rng.normal(size=(40, 2))

    np.testing.assert_allclose(x.dense(), dense, atol=1e-12)
    np.testing.assert_allclose(x.rmatmul(vectors), dense.T @ vectors, atol=1e-12)
    np.testing.assert_allclose(x.matmul(weights), dense @ weights, atol=1e-12)
    gram = dense.T @ dense
    np.fill_diagonal(gram, 1.0)
    np.testing.assert_allclose(x.gram(), gram, atol=1e-12)
    np.testing.assert_allclose(x.gram(np.float32), gram, atol=1e-6)
    assert x.constant.tolist() == [j == 7 for j in range(40)]

    some = np.array([30, 7, 2])
    part = x.take(some)
    np.testing.assert_allclose(part.gram(), gram[np.ix_(some, some)], atol=1e-12)
    np.testing.assert_allclose(part.rmatmul(vectors), dense[:, some].T @ vectors, atol=1e-12)


def test_integer_gram_is_exact():
    """n·FᵀF - ssᵀ is an exact integer, so the correlations are right to the last bits."""
    rng = np.random.default_rng(1)
    features = rng.integers(0, 5, (6000, 30), dtype=np.int8)
    x = StandardizedFeatures(features)
    assert x.exact
    whole = features.astype(object)
    sums = whole.sum(axis=0)
    scatter = 6000 * (whole.T @ whole) - np.outer(sums, sums)
    diagonal = np.sqrt(np.diag(scatter).astype(float))
    np.testing.assert_allclose(
        x.gram(), scatter.astype(float) / diagonal / diagonal[:, None], rtol=1e-14, atol=1e-16
    )


@pytest.mark.parametrize(("largest", "exact"), [(4, True), (52, True), (53, False)])
def test_exactness_guard(largest, exact):
    # 6000 · 52² < 2²⁴ <= 6000 · 53²
    features = np.zeros((6000, 2), dtype=np.int8)
    features[::2] = largest
    assert StandardizedFeatures(features).exact is exact


def test_nearly_constant_float_feature_is_constant():
    features = np.full((100, 1), 0.1)
    assert StandardizedFeatures(features).constant[0]
    assert StandardizedFeatures(features.astype(np.float32)).constant[0]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_quarters_are_integers(order, dtype):
    rng = np.random.default_rng(2)
    integers = rng.integers(0, 5, (300, 40), dtype=np.int8)
    features = np.array(integers / 4 - 0.5, dtype=dtype, order=order)
    x, same = StandardizedFeatures(features), StandardizedFeatures(integers)
    assert x.exact
    assert (x.features.dtype, x.unit) == (np.int8, 0.25)
    assert (same.unit, StandardizedFeatures(features / 3).unit) == (1.0, 1.0)
    np.testing.assert_array_equal(x.features, integers - 2)
    np.testing.assert_allclose(x.gram(), same.gram(), atol=1e-15)
    np.testing.assert_array_equal(x.take(np.array([3, 1])).unit, 0.25)


@pytest.mark.parametrize("value", [0.3, np.nan, np.inf, -np.inf, 32.0, -32.25, 1e308])
def test_one_other_value_is_enough_to_stay_with_floats(value):
    features = np.random.default_rng(3).integers(0, 5, (300, 40)) / 4
    features[299, 39] = value
    with np.errstate(invalid="ignore", over="ignore"):  # callers refuse what is not finite
        x = StandardizedFeatures(features)
    assert x.features is features
    assert not x.exact
    assert (np.asarray(x.unit)[..., 0] if np.ndim(x.unit) else x.unit) == 1.0
    features[299, 39] = 31.75
    assert StandardizedFeatures(features).features[299, 39] == 127
