import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sknumerai._kernels import projection
from sknumerai._kernels.projection import FeatureProjection, neutral_predictions
from sknumerai._kernels.standardized_features import StandardizedFeatures
from sknumerai.neutralization import neutralize
from tests._reference import exposures, make_era, neutralized


def _official(prediction, features, proportion):
    scoring = pytest.importorskip("numerai_tools.scoring")
    return (
        scoring.neutralize(
            pd.DataFrame({"p": prediction}), pd.DataFrame(features.astype(float)), proportion
        )
        .to_numpy()
        .ravel()
    )


SHAPES = {
    "full rank": (400, 20),
    "fewer rows than features": (30, 50),
    "as many rows as features": (40, 40),
    "two rows": (2, 3),
}


@pytest.mark.parametrize("proportion", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.int8, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("degenerate", [False, True])
def test_parity_with_numerai_tools(proportion, dtype, shape, degenerate):
    n, k = SHAPES[shape]
    prediction, features = make_era(np.random.default_rng(3), n, k)
    if degenerate:
        features[:, 1] = 2
        features[:, 2] = 4 - features[:, 0]
        features[:, -1] = features[:, 0]
    features = features.astype(dtype)
    ours = neutralize(prediction, features, proportion=proportion)
    np.testing.assert_allclose(ours, _official(prediction, features, proportion), atol=1e-8)


def test_nearly_dependent_features_follow_the_official_rule():
    prediction, features = make_era(np.random.default_rng(4), 200, 10)
    features = features.astype(float)
    for noise in (1e-3, 1e-5, 1e-7, 1e-9, 1e-13):
        features[:, 1] = features[:, 0] + noise * np.random.default_rng(5).normal(size=200)
        ours = neutralize(prediction, features)
        np.testing.assert_allclose(ours, _official(prediction, features, 1.0), atol=1e-8)


@pytest.mark.parametrize("dependent", [False, True])
def test_single_precision_factor_gives_double_precision_results(dependent, monkeypatch):
    monkeypatch.setattr(projection, "SMALL", 10)
    prediction, features = make_era(np.random.default_rng(6), 900, 60)
    if dependent:  # the single-precision factor must refuse, and the pivoted one take over
        features[:, 30] = features[:, 31]
    solve = projection._single_precision_solve(StandardizedFeatures(features))
    assert (solve is None) is dependent
    np.testing.assert_allclose(
        neutral_predictions(prediction[:, None], features, [1.0])[:, 0],
        neutralized(prediction, features),
        atol=1e-11,
    )


def test_a_bad_preconditioner_is_noticed(monkeypatch):
    """Refinement that does not converge falls back to the double-precision factor."""
    prediction, features = make_era(np.random.default_rng(7), 300, 12)
    monkeypatch.setattr(
        projection, "_single_precision_solve", lambda features: lambda gradient: 5.0 * gradient
    )
    np.testing.assert_allclose(
        neutral_predictions(prediction[:, None], features, [1.0])[:, 0],
        neutralized(prediction, features),
        atol=1e-11,
    )


@given(
    st.integers(0, 10**6),
    st.integers(2, 60),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([1, 0.25]),
)
def test_split_is_an_orthogonal_projection(seed, n, k, share_of_copies, unit):
    rng = np.random.default_rng(seed)
    _, features = make_era(rng, n, k)
    copies = rng.random(k) < share_of_copies / 2
    features[:, copies] = features[:, :1]
    features = features * unit
    predictions = rng.normal(size=(n, 2))
    x = StandardizedFeatures(features)
    residual, weights = FeatureProjection(x).split(predictions)
    centred = predictions - predictions.mean(axis=0)
    np.testing.assert_allclose(x.dense().T @ residual, 0, atol=1e-9)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(residual + x.dense() @ weights, centred, atol=1e-8)
    again, _ = FeatureProjection(x).split(residual)
    np.testing.assert_allclose(again, residual, atol=1e-9)


def test_the_official_rule_sees_the_features_as_given():
    """How small a singular value is depends on the scale of the features next to the constant."""
    features = make_era(np.random.default_rng(7), 30, 50)[1] / 4
    x = StandardizedFeatures(features)
    assert x.unit == 0.25
    np.testing.assert_array_equal(
        projection.official_design(x), np.column_stack([features, np.ones(30)])
    )


def test_nothing_left_is_exactly_zero():
    prediction, features = make_era(np.random.default_rng(8), 20, 40)
    assert not neutralize(prediction, features).any()
    explained = features @ np.arange(40.0)
    assert not neutralize(explained[:10], features[:10]).any()


def test_several_columns_and_proportions_share_the_factorization():
    rng = np.random.default_rng(9)
    prediction, features = make_era(rng)
    frame = pd.DataFrame({"a": prediction, "b": rng.normal(size=len(prediction))})
    out = neutralize(frame, features, proportion=[0.0, 0.5, 1.0])
    assert list(out) == ["a_0.0", "a_0.5", "a_1.0", "b_0.0", "b_0.5", "b_1.0"]
    for name in frame:
        for share in (0.0, 0.5, 1.0):
            alone = neutralize(frame[name], features, proportion=share)
            np.testing.assert_allclose(out[f"{name}_{share}"], alone, atol=1e-13)
    assert np.abs(exposures(out["a_1.0"].to_numpy(), features)).max() < 1e-12


@pytest.mark.parametrize(
    ("noise", "scale"), [((1e-4, 1e-5), 100.0), ((1e-6, 1e-6), 1.0), ((1e-5, 1e-7), 10.0)]
)
def test_the_smallest_pivot_decides_whether_the_official_rule_does(noise, scale):
    """Nearly dependent features: the numbers are those of lstsq(rcond=1e-6), whatever it drops."""
    rng = np.random.default_rng(8)
    features = rng.normal(size=(200, 12)) * scale
    features[:, 8:10] = features[:, :2] + noise[0] * rng.normal(size=(200, 2))
    features[:, 10:] = features[:, 2:4] + noise[1] * rng.normal(size=(200, 2))
    prediction = rng.normal(size=200)
    design = np.column_stack([features, np.ones(200)])
    explained = design @ np.linalg.lstsq(design, prediction, rcond=1e-6)[0]
    np.testing.assert_allclose(
        neutral_predictions(prediction[:, None], features, [1.0])[:, 0],
        prediction - explained,
        atol=1e-8,
    )
