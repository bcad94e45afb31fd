"""`select_weights` finds the weights that are best where those are known."""

from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.linear_model import LinearRegression

from sknumerai._kernels.correlation import known_targets
from sknumerai._kernels.ranks import normalize_columns
from sknumerai.contribution import ClosedFormTC
from sknumerai.ensemble import blend, select_weights
from sknumerai.ensemble._blending import standard_signals
from sknumerai.ensemble._simplex import ascend_simplex, project_to_simplex
from sknumerai.ensemble._surrogates import smooth_contribution, smooth_correlation
from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError, UnscoredErasWarning
from sknumerai.metrics import (
    feature_neutral_corr,
    get_era_scorer,
    max_feature_exposure,
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


class TestGreedy:
    def test_known_best_weights(self, data):
        """The target is a blend itself: of "a" and "b" in equal parts, and not of "c"."""
        frame, _, eras = data
        y = blend(frame, weights=[1, 1, 0], eras=eras)
        found = select_weights(frame, y, eras=eras, n_steps=6)
        assert found.to_dict() == {"a": 0.5, "b": 0.5, "c": 0.0}
        y = blend(frame, weights=[3, 1, 0], eras=eras)
        found = select_weights(frame, y, eras=eras, n_steps=6)
        assert found.to_dict() == {"a": 0.75, "b": 0.25, "c": 0.0}

    @pytest.mark.parametrize("n_steps", [1, 2, 5])
    def test_is_the_best_blend_on_the_way(self, data, n_steps):
        """As a plain search does it."""
        frame, y, eras = data

        def score(picks):
            weights = [picks.count(name) for name in frame]
            return numerai_corr(y, blend(frame, weights=weights, eras=eras), eras=eras)

        picks, path = [], []
        for _ in range(n_steps):
            picks = max(([*picks, name] for name in frame), key=score)
            path.append(picks)
        best = max(path, key=score)
        found = select_weights(frame, y, eras=eras, n_steps=n_steps)
        assert found.to_dict() == {name: best.count(name) / len(best) for name in frame}

    def test_never_scores_less_than_the_best_prediction(self):
        for seed in range(5):
            frame, y, eras = draw_predictions(3, 30, seed)
            y = y.sample(frac=1.0, random_state=seed).set_axis(y.index)  # noise
            weights = select_weights(frame, y, eras=eras, n_steps=5)
            found = numerai_corr(y, blend(frame, weights=weights, eras=eras), eras=eras)
            assert found >= numerai_corr(y, frame, eras=eras).max() - 1e-12

    @pytest.mark.parametrize(
        "scoring",
        [
            "numerai_corr",
            get_era_scorer("numerai_corr"),
            numerai_corr,
            lambda y_true, y_pred: np.corrcoef(y_true, y_pred)[0, 1],
        ],
    )
    def test_scores_of_any_kind(self, data, scoring):
        frame, y, eras = data
        found = select_weights(frame, y, eras=eras, scoring=scoring, n_steps=6)
        assert found["a"] > found["b"] > found["c"]

    def test_scores_with_metadata(self, data):
        frame, y, eras = data
        features = pd.DataFrame({"f": frame["a"]})
        found = select_weights(frame, y, eras=eras, scoring="fnc", features=features, n_steps=4)
        mine = blend(frame, weights=found, eras=eras)
        neutral = feature_neutral_corr(y, mine, features=features, eras=eras)
        assert neutral >= feature_neutral_corr(y, frame, features=features, eras=eras).max()
        for scoring, key in (("mmc", "meta_model"), ("bmc", "benchmark")):
            other = frame["a"] + frame["c"]
            found = select_weights(frame, y, eras=eras, scoring=scoring, n_steps=4, **{key: other})
            assert found["b"] > found["c"]
        found = select_weights(
            frame, y, eras=eras, scoring="neg_max_exposure", features=features, n_steps=4
        )
        exposure = max_feature_exposure(
            blend(frame, weights=found, eras=eras), features=features, eras=eras
        )
        assert exposure <= max_feature_exposure(frame, features=features, eras=eras).min()
        found = select_weights(
            frame,
            y,
            eras=eras,
            scoring=ClosedFormTC("aligned"),
            meta_model=frame["c"],
            factor_loadings=features,
            specific_variance=features["f"] ** 2 + 1.0,
            n_steps=2,
        )
        assert found.sum() == 1.0

    @pytest.mark.parametrize("routing", [False, True])
    def test_metadata_that_the_score_needs_or_does_not_take(self, data, routing):
        sklearn.set_config(enable_metadata_routing=routing)
        frame, y, eras = data
        with pytest.raises(ValueError, match="needs 'meta_model'"):
            select_weights(frame, y, eras=eras, scoring="mmc")
        with pytest.raises(ValueError, match="features has no columns; pass at least one"):
            select_weights(frame, y, eras=eras, scoring="fnc")
        with pytest.raises(TypeError, match="got 'meta_modle'"):
            select_weights(frame, y, eras=eras, meta_modle=frame["a"])


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


class TestBothMethods:
    @pytest.fixture(params=[("greedy", 4), ("gradient", None)], ids=lambda param: param[0])
    def select(self, request):
        method, n_steps = request.param

        def select(*tables, **arguments):
            return select_weights(*tables, **({"method": method, "n_steps": n_steps} | arguments))

        return select

    def test_names_and_containers(self, data, select):
        frame, y, eras = data
        expected = select(frame, y, eras=eras)
        assert expected.name == "weight"
        assert expected.index.tolist() == ["a", "b", "c"]
        assert expected.index.name == "prediction"
        result = select(frame.to_numpy(), y.tolist(), eras=eras.to_numpy())
        assert result.index.tolist() == [0, 1, 2]
        np.testing.assert_allclose(result, expected, atol=1e-9)
        result = select(
            pl.from_pandas(frame), pl.Series(y.to_numpy()), eras=pl.Series(eras.to_numpy())
        )
        np.testing.assert_allclose(result, expected, atol=1e-9)
        assert result.index.tolist() == ["a", "b", "c"]

    def test_row_order_does_not_matter(self, data, select):
        frame, y, eras = data
        order = np.random.default_rng(1).permutation(len(y))
        shuffled = select(frame.iloc[order], y.iloc[order], eras=eras.iloc[order])
        np.testing.assert_allclose(shuffled, select(frame, y, eras=eras), atol=1e-6)

    def test_some_targets_may_be_missing(self, data, select):
        frame, y, eras = data
        weights = select(frame, y.where(np.arange(len(y)) % 9 > 0), eras=eras)
        assert weights["a"] > weights["b"] > weights["c"]
        with pytest.raises(ValueError, match=r"In era \d+: \d+ of 80 targets are missing"):
            select(frame, y.where(np.arange(len(y)) % 3 > 0), eras=eras)

    def test_eras_without_targets_are_left_out(self, data, select):
        frame, y, eras = data
        known = eras < "0005"
        expected = select(frame[known], y[known], eras=eras[known])
        with pytest.warns(UnscoredErasWarning, match=r"2 eras \(000[56], 000[56]\)") as caught:
            found = select(frame, y.where(known), eras=eras)
        assert len(caught) == 1
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_eras_without_a_meta_model_are_left_out(self, data, select):
        frame, y, eras = data
        meta_model = (frame["a"] + frame["c"]).where(np.arange(len(y)) % 9 > 0)
        known = eras > "0002"
        expected = select(
            frame[known], y[known], eras=eras[known], scoring="mmc", meta_model=meta_model[known]
        )
        with pytest.warns(UnscoredErasWarning, match="2 eras"):
            found = select(frame, y, eras=eras, scoring="mmc", meta_model=meta_model.where(known))
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_a_constant_prediction_gets_no_weight(self, data, select):
        frame, y, eras = data
        expected = select(frame[["a", "b"]], y, eras=eras)
        frame.loc[eras == "0002", "c"] = 1.0
        with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0002\)") as caught:
            weights = select(frame, y, eras=eras)
        assert len(caught) == 1
        assert weights["c"] == 0.0
        np.testing.assert_allclose(weights[["a", "b"]], expected)

    def test_nothing_to_select_from(self, data, select):
        frame, y, eras = data
        with (
            pytest.warns(ConstantPredictionWarning),
            pytest.raises(ValueError, match=r"constant in some era; leave out those eras"),
        ):
            select(frame * 0.0, y, eras=eras)

    @pytest.mark.parametrize("shuffled", ["predictions", "y", "eras", "meta_model"])
    def test_shuffled_tables_are_errors(self, data, select, shuffled):
        frame, y, eras = data
        meta_model = frame["a"] + frame["c"]
        tables = {"predictions": frame, "y": y, "eras": eras, "meta_model": meta_model}
        select(**tables, scoring="mmc")
        tables[shuffled] = tables[shuffled].iloc[::-1]
        with pytest.raises(ValueError, match=r"indexes of .* share \d+ of \d+ labels but are not"):
            select(**tables, scoring="mmc")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"scoring": "numerai_cor"}, r"scorer 'numerai_cor'|scoring is 'numerai_cor'"),
            ({"n_steps": 0}, "'n_steps' parameter of select_weights"),
            ({"y": [1.0, 2.0]}, "y has 2 rows and predictions has 480|predictions has 480"),
            ({"y": np.ones((480, 2))}, "y must hold one column; found 2"),
            ({"predictions": np.full((480, 2), np.nan)}, "predictions contains 960 NaN"),
            ({"predictions": np.empty((480, 0))}, "predictions has no columns"),
        ],
    )
    def test_bad_input(self, data, select, arguments, message):
        frame, y, eras = data
        call = {"predictions": frame, "y": y, "eras": eras.to_numpy()} | arguments
        with pytest.raises(ValueError, match=message):
            select(**call)

    def test_eras_are_needed(self, data, select):
        frame, y, _ = data
        with pytest.raises(MissingErasError, match="eras is None; pass one era per row"):
            select(frame, y, eras=None)


def test_where_nothing_has_a_score(data):
    frame, y, eras = data
    y[eras == "0002"] = 0.5
    with (
        pytest.warns(ConstantPredictionWarning, match="0002"),
        pytest.raises(ValueError, match="None of the 3 predictions has a score"),
    ):
        select_weights(frame, y, eras=eras)


def test_unknown_method(data):
    frame, y, eras = data
    with pytest.raises(ValueError, match="'method' parameter of select_weights"):
        select_weights(frame, y, eras=eras, method="best")
