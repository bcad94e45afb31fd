"""Prepared kernels are the kernels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sknumerai._kernels.contribution import correlation_contribution
from sknumerai._kernels.correlation import feature_neutral_correlation, numerai_correlation
from sknumerai.boosting._prepared import prepare


@st.composite
def one_era(draw):
    """Targets of which some may be missing, predictions with ties, a meta model and features."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(30, 120))
    targets = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], (n, 1)) * draw(st.sampled_from([1.0, 8.0]))
    targets[: n // draw(st.sampled_from([6, 1000]))] = np.nan
    decimals = draw(st.sampled_from([0, 1, 12]))
    predictions = np.round(rng.normal(size=n), decimals)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return {
        "y_true": targets,
        "y_pred": predictions.astype(dtype),
        "meta_model": np.round(rng.normal(size=(n, 1)), decimals),
        "features": rng.integers(0, 5, (n, 6)).astype(np.int8),
    }


@settings(max_examples=40)
@given(one_era(), st.sampled_from([None, 10]))
@pytest.mark.parametrize(
    ("kernel", "needed"),
    [
        (numerai_correlation, ()),
        (correlation_contribution, ("meta_model",)),
        (feature_neutral_correlation, ("features",)),
    ],
)
def test_the_scores_are_those_of_the_kernels(kernel, needed, era, top_bottom):
    predictions = era["y_pred"]
    tables = {name: era[name] for name in ("y_true", "y_pred", *needed)}
    score = prepare(kernel, tables | {"y_pred": None}, top_bottom=top_bottom)
    tables["y_pred"] = predictions.reshape(-1, 1)
    expected = kernel(*tables.values(), top_bottom=top_bottom)[0]
    np.testing.assert_allclose(score(predictions), expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(score(3.0 * predictions + 1.0), expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("targets", [np.full(40, 0.5), np.arange(40.0)])
@pytest.mark.parametrize("predictions", [np.zeros(40), np.arange(40.0)])
def test_constants_have_no_score(targets, predictions):
    tables = {"y_true": targets[:, None], "y_pred": None}
    constant = np.ptp(predictions) == 0.0
    value = prepare(numerai_correlation, tables)(predictions)
    assert np.isnan(value) == (constant or np.ptp(targets) == 0.0)
    tables["features"] = np.arange(40)[:, None]  # explains all of the second
    assert np.isnan(prepare(feature_neutral_correlation, tables)(predictions**2)) == (
        constant or np.ptp(targets) == 0.0
    )
    other = np.random.default_rng(0).normal(size=(40, 1))
    contribution = {"y_true": targets[:, None], "y_pred": None, "meta_model": other}
    assert np.isnan(prepare(correlation_contribution, contribution)(predictions)) == constant
    contribution["meta_model"] = np.zeros((40, 1))
    assert np.isnan(prepare(correlation_contribution, contribution)(predictions))
