"""`select_weights` finds the weights that are best where those are known."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn

from sknumerai.contribution import ClosedFormTC
from sknumerai.ensemble import blend, select_weights
from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError, UnscoredErasWarning
from sknumerai.metrics import (
    feature_neutral_corr,
    get_era_scorer,
    max_feature_exposure,
    numerai_corr,
)
from tests.ensemble._case import draw_predictions


@pytest.fixture
def data():
    return draw_predictions()


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
