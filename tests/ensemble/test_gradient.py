"""Weights by gradient: what is differentiated, the gradient, and the ascent on the simplex."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from sknumerai._kernels.correlation import known_targets
from sknumerai._kernels.ranks import normalize_columns
from sknumerai.ensemble import blend, select_weights
from sknumerai.ensemble._blending import standard_signals
from sknumerai.ensemble._simplex import ascend_simplex, project_to_simplex
from sknumerai.ensemble._surrogates import smooth_contribution, smooth_correlation
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics import (
    meta_model_contribution,
    numerai_corr,
)
from tests.ensemble._case import draw_predictions


@pytest.fixture
def data():
    return draw_predictions()


@pytest.fixture
def era():
    """Signals, targets with gaps and a meta model of one era."""
    rng = np.random.default_rng(0)
    signals = standard_signals(rng.normal(size=(300, 4)).round(1))
    targets = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], (300, 1))
    targets[rng.random(300) < 0.1] = np.nan
    return signals, targets, rng.normal(size=(300, 1))


class TestGradient:
    def test_by_finite_differences(self, era):
        signals, targets, meta_model = era
        for score in (
            partial(smooth_correlation, signals, targets),
            partial(smooth_contribution, signals, targets, meta_model),
        ):
            for weights in np.random.default_rng(0).normal(size=(5, 4)):
                _, gradient = score(weights=weights)
                steps = 1e-6 * np.eye(4)
                differences = [
                    (score(weights=weights + step)[0] - score(weights=weights - step)[0]) / 2e-6
                    for step in steps
                ]
                np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-9)
                assert abs(gradient @ weights) < 1e-12  # the scale of the weights does not matter

    def test_what_is_differentiated_is_the_score_without_the_last_ranking(self, era):
        signals, targets, meta_model = era
        weights = np.array([0.4, 0.3, 0.2, 0.1])
        known, values = known_targets(targets)
        total = signals[known] @ weights
        total -= total.mean()
        centred = values - values.mean()

        def power(values):
            return np.sign(values) * np.abs(values) ** 1.5

        corr = np.corrcoef(power(total), power(centred))[0, 1]
        assert smooth_correlation(signals, targets, weights)[0] == pytest.approx(corr, rel=1e-12)
        meta = normalize_columns(meta_model[known], "gaussian")
        left = total / total.std()
        left = left - LinearRegression(fit_intercept=False).fit(meta, left).predict(meta)
        mmc = np.mean(4.0 * centred * left)
        found, _ = smooth_contribution(signals, targets, meta_model, weights)
        assert found == pytest.approx(mmc, rel=1e-12)

    def test_is_close_to_the_score(self, data):
        frame, y, eras = data
        for weights in ([1, 1, 1], [2, 1, 0]):
            mine = blend(frame, weights=weights, eras=eras)
            official = numerai_corr(y, mine, eras=eras, aggregate=None)
            for label, score in official.items():
                rows = (eras == label).to_numpy()
                signals = standard_signals(frame.to_numpy()[rows])
                targets = y.to_numpy()[rows, None]
                smooth, _ = smooth_correlation(signals, targets, np.array(weights, dtype=float))
                assert smooth == pytest.approx(score, abs=0.03)

    @pytest.mark.parametrize("n_eras", [1, 6])
    def test_known_best_weights_of_mmc(self, n_eras):
        """In one era w ∝ (ZᵀZ)⁻¹ Zᵀc, where that is positive; over several a stationary point."""
        frame, y, eras = draw_predictions(n_eras, 400)
        y += frame["c"]
        meta_model = pd.Series(np.random.default_rng(1).normal(size=len(y)), y.index)
        found = select_weights(
            frame, y, eras=eras, scoring="mmc", method="gradient", meta_model=meta_model
        )
        assert found.sum() == pytest.approx(1.0)
        gradients = []
        for label in eras.unique():
            rows = (eras == label).to_numpy()
            signals = standard_signals(frame.to_numpy()[rows])
            signals = signals - signals.mean(axis=0)
            meta = normalize_columns(meta_model.to_numpy()[rows, None], "gaussian")
            target = y.to_numpy()[rows] - y.to_numpy()[rows].mean()
            left = target - LinearRegression(fit_intercept=False).fit(meta, target).predict(meta)
            best = np.linalg.lstsq(signals, left, rcond=None)[0]
            _, gradient = smooth_contribution(
                signals, y.to_numpy()[rows, None], meta_model.to_numpy()[rows, None], found
            )
            gradients.append(gradient)
        np.testing.assert_allclose(np.mean(gradients, axis=0), 0.0, atol=1e-6)
        if n_eras == 1:
            np.testing.assert_allclose(found, best / best.sum(), atol=1e-6)

    def test_known_best_weights_of_corr(self):
        """Independent signals count as in the target, and no signal counts less than nothing."""
        rng = np.random.default_rng(0)
        signals = rng.normal(size=(40_000, 4))
        y = signals @ [4.0, 2.0, 1.0, -1.0]
        found = select_weights(signals, y, eras=np.repeat(range(4), 10_000), method="gradient")
        np.testing.assert_allclose(found, [4 / 7, 2 / 7, 1 / 7, 0.0], atol=0.01)
        assert found[3] == 0.0

    def test_scores_no_less_than_equal_weights(self, data):
        frame, y, eras = data
        found = select_weights(frame, y, eras=eras, method="gradient")
        best = numerai_corr(y, blend(frame, weights=found, eras=eras), eras=eras)
        assert best > numerai_corr(y, blend(frame, eras=eras), eras=eras)
        greedy = select_weights(frame, y, eras=eras, n_steps=8)
        assert best == pytest.approx(
            numerai_corr(y, blend(frame, weights=greedy, eras=eras), eras=eras), abs=0.01
        )
        again = select_weights(frame, y, eras=eras, method="gradient")
        pd.testing.assert_series_equal(again, found)
        bmc = {"scoring": "bmc", "benchmark": frame["a"]}
        found = select_weights(frame, y, eras=eras, method="gradient", **bmc)
        official = meta_model_contribution(
            y, blend(frame, weights=found, eras=eras), meta_model=frame["a"], eras=eras
        )
        assert official > meta_model_contribution(y, frame["b"], meta_model=frame["a"], eras=eras)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"scoring": "fnc"}, ValueError, "knows the gradients of 'numerai_corr', 'mmc', 'bmc'"),
            ({"scoring": numerai_corr}, ValueError, "pass one of these, or method='greedy'"),
            ({"scoring": "mmc"}, ValueError, "scoring='mmc' needs 'meta_model'; pass meta_model="),
            ({"scoring": "bmc", "meta_model": [1.0]}, TypeError, "takes no 'meta_model'"),
        ],
    )
    def test_errors(self, data, arguments, error, message):
        frame, y, eras = data
        with pytest.raises(error, match=message):
            select_weights(frame, y, eras=eras, method="gradient", **arguments)

    def test_what_has_no_gradient(self, data):
        frame, y, eras = data
        both = pd.DataFrame({"p": frame["a"], "q": -frame["a"]})
        with pytest.raises(ValueError, match="where the ascent starts, is constant in some era"):
            select_weights(both, y, eras=eras, method="gradient")
        y[eras == "0002"] = 0.5
        with (
            pytest.warns(ConstantPredictionWarning, match="0002"),
            pytest.raises(ValueError, match="y is constant in 1 of 6 eras, so that nothing"),
        ):
            select_weights(frame, y, eras=eras, method="gradient")


class TestSimplex:
    def test_projection_is_the_nearest_point(self):
        """w = max(v - s, 0) with Σ w = 1 and one s for all: the optimality conditions."""
        rng = np.random.default_rng(0)
        for point in rng.normal(size=(50, 5)) * rng.choice([0.1, 1.0, 1e6], (50, 1)):
            weights = project_to_simplex(point)
            assert weights.min() >= 0.0
            assert weights.sum() == pytest.approx(1.0)
            shift = (point - weights)[weights > 0]
            assert np.ptp(shift) <= 1e-9 * np.abs(point).max()
            assert (point[weights == 0] <= shift.min() + 1e-9 * np.abs(point).max()).all()

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
    def test_ascent_of_a_quadratic(self, scale):
        """An ill-conditioned one, with the maximum inside of the simplex and on its border."""
        metric = np.diag([1.0, 10.0, 100.0])
        for best in ([0.2, 0.3, 0.5], [0.9, 0.4, -0.3]):

            def objective(weights, best=best):
                change = np.array(best) - weights
                return -0.5 * scale * change @ metric @ change, scale * metric @ change

            found = ascend_simplex(objective, np.full(3, 1 / 3), 200)
            gradient = objective(found)[1] / scale
            used = found > 0
            np.testing.assert_allclose(gradient[used], gradient[used].mean(), atol=1e-6)
            assert (gradient[~used] <= gradient[used].mean() + 1e-6).all()
