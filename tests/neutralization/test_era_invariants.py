"""Invariants of transformers that work era by era."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.utils import estimator_html_repr

from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer

TRANSFORMERS = [
    FeatureNeutralizer(),
    FeatureNeutralizer(0.5, normalize="gaussian", scale="minmax"),
    FeatureNeutralizer(0.7, normalize="rank", scale="std"),
    ExposureClipper(0.05),
    ExposureClipper(0.05, bounds="shrink", normalize=None, scale=None),
]


def _transform(transformer, predictions, features, eras):
    return clone(transformer).fit_transform(predictions, features=features, eras=eras)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)
class TestEraInvariants:
    """What must hold for every transformer that works era by era."""

    def test_row_order(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        order = np.random.default_rng(1).permutation(len(eras))
        shuffled = _transform(transformer, predictions[order], features[order], eras[order])
        np.testing.assert_allclose(shuffled, expected[order], atol=1e-7)

    @pytest.mark.parametrize(
        "relabel",
        [
            lambda eras: eras.astype(int),
            lambda eras: pd.Series(eras).astype("category"),
            lambda eras: pd.to_datetime("2020-01-03") + pd.to_timedelta(eras.astype(int), "W"),
            lambda eras: pl.Series("era", eras),
            lambda eras: [("week", era) for era in eras],
            lambda eras: pd.Series(eras, index=np.arange(len(eras))[::-1]),
        ],
    )
    def test_labels(self, transformer, tournament, relabel):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        np.testing.assert_array_equal(
            _transform(transformer, predictions, features, relabel(eras)), expected
        )

    def test_other_eras_are_irrelevant(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        for era in np.unique(eras):
            rows = eras == era
            alone = _transform(transformer, predictions[rows], features[rows], eras[rows])
            np.testing.assert_allclose(alone, expected[rows], atol=1e-12)

    def test_one_era_is_no_era_is_a_scalar(self, transformer, tournament):
        predictions, features, eras = tournament
        rows = eras == "0002"
        results = [
            _transform(transformer, predictions[rows], features[rows], era)
            for era in (None, "X", 7, np.repeat("a", rows.sum()))
        ]
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])

    def test_n_jobs_is_irrelevant(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        parallel = clone(transformer).set_params(n_jobs=2)
        np.testing.assert_allclose(
            _transform(parallel, predictions, features, eras), expected, atol=1e-12
        )

    def test_float32_is_kept(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        single = _transform(transformer, predictions.astype(np.float32), features, eras)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, expected, atol=1e-4)

    def test_columns_do_not_interact(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        alone = _transform(transformer, predictions[:, [1]], features, eras)
        np.testing.assert_allclose(alone[:, 0], expected[:, 1], atol=1e-9)

    def test_containers(self, transformer, tournament, df_module):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        names = [f"feature_{j}" for j in range(8)]
        predicted = df_module.DataFrame({"p": predictions[:, 0], "q": predictions[:, 1]})
        table = df_module.DataFrame(dict(zip(names, features.T, strict=True)))
        result = _transform(transformer, predicted, table, eras)
        assert isinstance(result, np.ndarray)
        np.testing.assert_allclose(result, expected, atol=1e-12)

        mixed = df_module.DataFrame(
            {"p": predictions[:, 0]}
            | dict(zip(names, features.T, strict=True))
            | {"q": predictions[:, 1]}
        )
        as_frame = clone(transformer).set_output(transform=df_module.name)
        result = as_frame.fit_transform(mixed, eras=eras)
        assert isinstance(result, df_module.module.DataFrame)
        assert list(result.columns) == ["p", "q"]
        np.testing.assert_allclose(result.to_numpy(), expected, atol=1e-12)
        assert as_frame.get_feature_names_out().tolist() == ["p", "q"]
        assert as_frame.feature_names_ == names

    def test_pickle_clone_and_repr(self, transformer, tournament):
        predictions, features, eras = tournament
        fitted = clone(transformer).fit(predictions, features=features, eras=eras)
        expected = fitted.transform(predictions, features=features, eras=eras)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(
            again.transform(predictions, features=features, eras=eras), expected
        )
        assert type(transformer).__name__ in estimator_html_repr(fitted)

    def test_eras_given_at_fit_are_required(self, transformer, tournament):
        predictions, features, eras = tournament
        fitted = clone(transformer).fit(predictions, features=features, eras=eras)
        with pytest.raises(MissingErasError, match=r"transform\(X, eras=eras\)"):
            fitted.transform(predictions, features=features)
        live = clone(transformer).fit(predictions, features=features)
        live.transform(predictions, features=features, eras=eras)  # eras at transform alone

    def test_constant_prediction_is_nan_with_one_warning(self, transformer, tournament):
        predictions, features, eras = tournament
        predictions[eras == "0002", 1] = 0.1
        with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0002\)") as caught:
            result = _transform(transformer, predictions, features, eras)
        assert len(caught) == 1
        assert (np.isnan(result) == (np.c_[eras, eras] == ["", "0002"])).all()

    def test_memory_layout_is_irrelevant(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        other = _transform(
            transformer, np.asfortranarray(predictions), np.asfortranarray(features), eras
        )
        np.testing.assert_allclose(other, expected, atol=1e-9)

    def test_feature_dtype_is_irrelevant(self, transformer, tournament):
        predictions, features, eras = tournament
        expected = _transform(transformer, predictions, features, eras)
        for dtype in (np.float64, np.float32, np.int64):
            result = _transform(transformer, predictions, features.astype(dtype) / 1, eras)
            np.testing.assert_allclose(result, expected, atol=1e-8)
