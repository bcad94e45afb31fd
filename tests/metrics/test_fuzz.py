"""Metrics over scales, ties, missing targets and shapes, beside plain one-era formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from sknumerai.metrics import (
    corr_with,
    feature_neutral_corr,
    max_feature_exposure,
    meta_model_contribution,
    numerai_corr,
)


def _gaussian(values):
    return norm.ppf((rankdata(values) - 0.5) / len(values))


def _power(values):
    return np.sign(values) * np.abs(values) ** 1.5


def _corr(target, prediction):
    known = ~np.isnan(target)
    centred = target[known] - target[known].mean()
    return np.corrcoef(_power(centred), _power(_gaussian(prediction[known])))[0, 1]


def _mmc(target, prediction, meta_model):
    known = ~np.isnan(target)
    p, m, y = _gaussian(prediction[known]), _gaussian(meta_model[known]), target[known]
    y = 4 * y if ((y >= 0) & (y <= 1)).all() else y
    return (y - y.mean()) @ (p - m * (m @ p) / (m @ m)) / len(y)


def _neutral(prediction, features):
    x = np.column_stack([np.ones(len(features)), features])
    p = _gaussian(prediction)
    return p - x @ np.linalg.lstsq(x, p, rcond=None)[0]


PARAMETERS = {
    "seed": st.integers(0, 10**6),
    "n": st.integers(12, 60),
    "n_eras": st.integers(1, 3),
    "ties": st.booleans(),
    "missing": st.sampled_from([0.0, 0.15]),
    "exponent": st.integers(-200, 200),
}


def _eras(seed, n, n_eras, ties, missing):
    rng = np.random.default_rng(seed)
    eras = rng.permutation(np.repeat(np.arange(n_eras), n))
    target = rng.integers(0, 5, len(eras)) / 4
    prediction, meta_model = rng.normal(size=(2, len(eras)))
    if ties:
        prediction = prediction.round(1)
    for era in range(n_eras):
        rows = np.flatnonzero(eras == era)
        target[rows[: int(missing * n)]] = np.nan
    features = rng.integers(0, 5, (len(eras), 3)).astype(float)
    return eras, target, prediction, meta_model, features


def _by_era(eras, formula, *tables):
    return [formula(*(table[eras == era] for table in tables)) for era in np.unique(eras)]


@given(**PARAMETERS)
def test_scores_of_eras(seed, n, n_eras, ties, missing, exponent):
    eras, y, p, m, F = _eras(seed, n, n_eras, ties, missing)
    scale = 10.0**exponent
    options = {"eras": eras, "aggregate": None}
    expected = _by_era(eras, _corr, y, p)
    assert numerai_corr(y, p * scale, **options).to_numpy() == pytest.approx(expected, abs=1e-10)
    found = numerai_corr(y * scale, p, **options).to_numpy()
    assert found == pytest.approx(expected, abs=1e-10)
    expected = _by_era(eras, _mmc, y, p, m)
    found = meta_model_contribution(y, p * scale, meta_model=m * scale, **options).to_numpy()
    assert found == pytest.approx(expected, abs=1e-10)
    expected = _by_era(eras, lambda y, p, F: _corr(y, _neutral(p, F)), y, p, F)
    found = feature_neutral_corr(y, p, features=F * scale, **options).to_numpy()
    assert found == pytest.approx(expected, abs=1e-6)  # ranks of a residual may swap at its ties
    expected = _by_era(eras, lambda p, F: max(abs(np.corrcoef(p, f)[0, 1]) for f in F.T), p, F)
    found = max_feature_exposure(p * scale, features=F * scale, **options).to_numpy()
    assert found == pytest.approx(expected, abs=1e-10)
    expected = _by_era(eras, lambda p, m: np.corrcoef(p, m)[0, 1], p, m)
    found = corr_with(p * scale, m * scale, method="pearson", **options).to_numpy()
    assert found == pytest.approx(expected, abs=1e-10)
