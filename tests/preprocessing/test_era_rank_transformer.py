"""`EraRankTransformer` is `rank_by_era` with the manners of a scikit-learn transformer."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError
from sknumerai.metrics import get_era_scorer
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor
from sknumerai.preprocessing import EraRankTransformer, rank_by_era

TRANSFORMERS = [EraRankTransformer(method) for method in ("rank", "gaussian", "minmax", "std")]


def _expected_failures(estimator):
    return {
        "check_methods_subset_invariance": "the rows of one era interact: a part is another era"
    }


@parametrize_with_checks(TRANSFORMERS[1:3], expected_failed_checks=_expected_failures)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    eras = np.repeat(["0001", "0002", "0003", "0004"], 30)[rng.permutation(120)]
    return rng.normal(size=(120, 3)).round(1), eras


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)
class TestTransformer:
    def test_equals_the_function(self, transformer, data):
        X, eras = data
        expected = rank_by_era(X, eras=eras, method=transformer.method)
        fitted = clone(transformer).fit(X, eras=eras)
        np.testing.assert_array_equal(fitted.transform(X, eras=eras), expected)
        np.testing.assert_array_equal(clone(transformer).fit_transform(X, eras=eras), expected)
        live = fitted.transform(X[:20], eras="X")
        np.testing.assert_array_equal(
            live, rank_by_era(X[:20], eras="X", method=transformer.method)
        )

    def test_set_output_and_names(self, transformer, data, df_module):
        X, eras = data
        frame = df_module.DataFrame(dict(zip("abc", X.T, strict=True)))
        expected = rank_by_era(X, eras=eras, method=transformer.method)
        fitted = clone(transformer).fit(frame, eras=eras)
        assert isinstance(fitted.transform(frame, eras=eras), np.ndarray)
        assert fitted.get_feature_names_out().tolist() == ["a", "b", "c"]
        result = fitted.set_output(transform=df_module.name).transform(frame, eras=eras)
        assert isinstance(result, df_module.module.DataFrame)
        assert list(result.columns) == ["a", "b", "c"]
        np.testing.assert_array_equal(result.to_numpy(), expected)

    def test_eras_given_at_fit_are_required(self, transformer, data):
        X, eras = data
        fitted = clone(transformer).fit(X, eras=eras)
        with pytest.raises(MissingErasError, match=r"transform\(X, eras=eras\)"):
            fitted.transform(X)
        clone(transformer).fit(X).transform(X, eras=eras)  # eras at transform alone

    def test_pickle_clone_and_repr(self, transformer, data):
        X, eras = data
        fitted = clone(transformer).fit(X, eras=eras)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.transform(X, eras=eras), fitted.transform(X, eras=eras))
        assert "EraRankTransformer" in estimator_html_repr(fitted)

    def test_constant_is_nan_with_one_warning(self, transformer, data):
        X, eras = data
        X[eras == "0002", 1] = 0.1
        with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0002\)") as caught:
            result = clone(transformer).fit_transform(X, eras=eras)
        assert len(caught) == 1
        assert (np.isnan(result).any(axis=1) == (eras == "0002")).all()


class TestTies:
    def test_by_the_index(self, data):
        X, eras = data
        ids = np.random.default_rng(1).permutation(120)
        frame = pd.DataFrame(X, ids)
        result = EraRankTransformer(ties="id").fit_transform(frame, eras=eras)
        expected = rank_by_era(frame, eras=eras, ties="id").to_numpy()
        np.testing.assert_array_equal(result, expected)
        assert len(np.unique(result[eras == "0001", 0])) == (eras == "0001").sum()

    @pytest.mark.parametrize("container", [np.asarray, lambda X: pl.DataFrame(X, orient="row")])
    def test_by_ids(self, data, container):
        X, eras = data
        ids = np.random.default_rng(1).permutation(120)
        expected = rank_by_era(X, eras=eras, ties="id", ids=ids)
        transformer = EraRankTransformer(ties="id")
        with pytest.raises(ValueError, match="ties='id' needs ids"):
            transformer.fit_transform(container(X), eras=eras)
        result = transformer.fit_transform(container(X), eras=eras, ids=ids)
        np.testing.assert_array_equal(result, expected)

    def test_are_no_matter_of_scales(self, data):
        with pytest.raises(ValueError, match="method='minmax' ranks nothing"):
            EraRankTransformer("minmax", ties="id").fit(data[0])


class TestRouting:
    """Eras and ids travel without any request call."""

    def test_through_a_pipeline(self, data):
        X, eras = data
        sklearn.set_config(enable_metadata_routing=True)
        ids = np.random.default_rng(1).permutation(120)
        pipeline = make_pipeline(EraRankTransformer(ties="id"), EraRankTransformer("minmax"))
        result = pipeline.fit_transform(X, eras=eras, ids=ids)
        ranked = rank_by_era(X, eras=eras, ties="id", ids=ids)
        expected = rank_by_era(ranked, eras=eras, method="minmax")
        np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(pipeline.transform(X, eras=eras, ids=ids), expected)
        with pytest.raises(MissingErasError, match="set_config"):
            pipeline.transform(X, ids=ids)

    def test_before_a_regressor(self, data):
        X, eras = data
        y = X @ [0.3, -0.2, 0.1]
        pipeline = make_pipeline(EraRankTransformer(), Ridge())
        with pytest.raises(MissingErasError, match="only by metadata routing, which is off"):
            era_cross_val_predict(pipeline, X, y, eras=eras, cv=PurgedEraKFold(2, purge=0))
        sklearn.set_config(enable_metadata_routing=True)
        search = GridSearchCV(
            pipeline,
            {"eraranktransformer__method": ["rank", "gaussian"]},
            cv=PurgedEraKFold(2, purge=0),
            scoring=get_era_scorer("numerai_corr"),
            error_score="raise",
        ).fit(X, y, eras=eras)
        assert search.best_score_ > 0.9

    @pytest.mark.parametrize("routing", [False, True])
    def test_as_the_transformer_of_a_regressor(self, data, routing):
        X, eras = data
        y = X @ [0.3, -0.2, 0.1]
        sklearn.set_config(enable_metadata_routing=routing)
        model = NeutralizedRegressor(Ridge(), EraRankTransformer()).fit(X, y, eras=eras)
        expected = rank_by_era(Ridge().fit(X, y).predict(X), eras=eras)
        np.testing.assert_allclose(model.predict(X, eras=eras), expected)

    def test_after_a_neutralizer(self, data):
        X, eras = data
        sklearn.set_config(enable_metadata_routing=True)
        pipeline = make_pipeline(FeatureNeutralizer(), EraRankTransformer())
        result = pipeline.fit_transform(X[:, :1], features=X[:, 1:], eras=eras)
        neutral = FeatureNeutralizer().fit_transform(X[:, :1], features=X[:, 1:], eras=eras)
        np.testing.assert_array_equal(result, rank_by_era(neutral, eras=eras))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X, eras: EraRankTransformer("ranks").fit(X), "'method' parameter of EraRankTran"),
        (lambda X, eras: EraRankTransformer(ties="first").fit(X), "'ties' parameter"),
        (lambda X, eras: EraRankTransformer().fit(pd.Series(X[:, 0])), "X is a Series; pass a ta"),
        (
            lambda X, eras: EraRankTransformer().fit(pd.DataFrame({"a": ["x"] * 120})),
            "Column 'a' of X is not numeric",
        ),
        (lambda X, eras: EraRankTransformer().fit(X, eras=eras[1:]), "eras has 119 labels for 120"),
        (
            lambda X, eras: EraRankTransformer().fit(X).transform(np.where(X > 2, np.nan, X)),
            "X contains .* NaN of 360 values",
        ),
        (
            lambda X, eras: (
                EraRankTransformer()
                .fit(pd.DataFrame(X).add_prefix("a"))
                .transform(pd.DataFrame(X).add_prefix("b"))
            ),
            "feature names should match",
        ),
    ],
)
def test_bad_input(data, make, message):
    with pytest.raises(ValueError, match=message):
        make(*data)


@pytest.mark.parametrize("shuffled", ["X", "eras", "ids"])
def test_shuffled_tables_are_errors(data, shuffled):
    X, eras = data
    tables = {"X": pd.DataFrame(X), "eras": pd.Series(eras), "ids": pd.Series(np.arange(120))}
    transformer = EraRankTransformer(ties="id")
    transformer.fit_transform(**tables)
    tables[shuffled] = tables[shuffled].iloc[::-1]
    for call in (transformer.fit_transform, transformer.transform):
        with pytest.raises(ValueError, match="share 120 of 120 labels but are not"):
            call(**tables)
