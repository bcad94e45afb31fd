import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.stats import norm, rankdata
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from sknumerai.boosting import BenchmarkResidualRegressor, EraBoostedRegressor
from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError, SingleEraWarning
from sknumerai.metrics import get_era_scorer, meta_model_contribution
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor, neutralize


class Remembering(RegressorMixin, BaseEstimator):
    """Predicts what it was fitted to."""

    def fit(self, X, y, sample_weight=None):
        self.y_, self.weight_ = y, sample_weight
        return self

    def predict(self, X):
        return self.y_


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    eras = rng.permutation(np.repeat(["0001", "0002", "0003"], 120))
    X = rng.integers(0, 5, (360, 4)).astype(np.int8)
    benchmark = rng.random((360, 2))
    y = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], 360)
    return X, y, eras, benchmark


def fitted_to(X, y, **given):
    options = {key: given.pop(key) for key in ("proportion", "normalize") if key in given}
    return BenchmarkResidualRegressor(Remembering(), **options).fit(X, y, **given).predict(X)


def test_residuals_are_orthogonal_to_the_benchmarks_of_their_era(rows):
    X, y, eras, benchmark = rows
    residual = fitted_to(X, y, eras=eras, benchmark=benchmark)
    for era in np.unique(eras):
        part = eras == era
        ranks = (rankdata(benchmark[part], axis=0) - 0.5) / part.sum()
        design = np.column_stack([norm.ppf(ranks), np.ones(part.sum())])
        np.testing.assert_allclose(design.T @ residual[part], 0.0, atol=1e-10)
        expected = y[part] - design @ np.linalg.lstsq(design, y[part], rcond=None)[0]
        np.testing.assert_allclose(residual[part], expected, atol=1e-10)


def test_bmc_is_the_covariance_with_the_residuals(rows):
    X, y, eras, benchmark = rows
    residual = fitted_to(X, y, eras=eras, benchmark=benchmark[:, 0])
    predictions = np.random.default_rng(1).normal(size=360)
    expected = []
    for era in np.unique(eras):
        part = eras == era
        gaussian = norm.ppf((rankdata(predictions[part]) - 0.5) / part.sum())
        expected.append(
            4.0 * np.mean(gaussian * residual[part])
        )  # targets in [0, 1] count fourfold
    bmc = meta_model_contribution(
        y, predictions, meta_model=benchmark[:, 0], eras=eras, aggregate=None
    )
    np.testing.assert_allclose(bmc, expected, atol=1e-12)


def test_options(rows):
    X, y, eras, benchmark = rows
    given = {"eras": eras, "benchmark": benchmark}
    np.testing.assert_allclose(fitted_to(X, y, proportion=0.0, **given), y, atol=1e-12)
    half, whole = (fitted_to(X, y, proportion=share, **given) for share in (0.5, 1.0))
    np.testing.assert_allclose(half, (y + whole) / 2.0, atol=1e-12)
    raw = fitted_to(X, y, normalize=None, **given)
    np.testing.assert_allclose(raw, neutralize(y, benchmark, eras=eras), atol=1e-12)
    ranked = fitted_to(X, y, normalize="rank", **given)
    squared = fitted_to(X, y, normalize="rank", eras=eras, benchmark=benchmark**2)
    np.testing.assert_allclose(ranked, squared, atol=1e-12)


def test_a_constant_benchmark_explains_the_mean_only(rows):
    X, y, eras, benchmark = rows
    with pytest.warns(
        ConstantPredictionWarning, match=r"In 3 eras \(.*a benchmark is constant"
    ) as said:
        constant = fitted_to(X, y, eras=eras, benchmark=np.zeros(360))
    assert len(said) == 1
    assert said[0].filename == __file__
    means = pd.Series(y).groupby(eras).transform("mean")
    np.testing.assert_allclose(constant, y - means, atol=1e-12)
    second = eras == "0002"
    flat = np.where(second, 0.5, benchmark[:, 0])
    with pytest.warns(
        ConstantPredictionWarning, match=r"In 1 era \(0002\) a benchmark is constant"
    ):
        partly = fitted_to(X, y, eras=eras, benchmark=flat)
    np.testing.assert_allclose(partly[second], (y - means)[second], atol=1e-12)
    whole = fitted_to(X, y, eras=eras, benchmark=benchmark[:, 0])
    np.testing.assert_allclose(partly[~second], whole[~second], atol=1e-12)
    both = np.column_stack([benchmark[:, 0], flat])
    with pytest.warns(
        ConstantPredictionWarning, match=r"In 1 era \(0002\) a benchmark is constant"
    ):
        partly = fitted_to(X, y, eras=eras, benchmark=both)
    np.testing.assert_allclose(partly[second], whole[second], atol=1e-12)


def test_containers(rows, df_module):
    X, y, eras, benchmark = rows
    expected = fitted_to(X, y, eras=eras, benchmark=benchmark)
    frame = df_module.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    models = df_module.DataFrame({"v5": benchmark[:, 0], "v6": benchmark[:, 1]})
    labels, targets = df_module.Series(eras.tolist()), df_module.Series(y)
    np.testing.assert_array_equal(
        fitted_to(frame, targets, eras=labels, benchmark=models), expected
    )
    with pytest.raises(ValueError, match="The indexes of X and benchmark share"):
        fitted_to(pd.DataFrame(X), y, eras=eras, benchmark=pd.DataFrame(benchmark).sample(frac=1.0))


def test_metadata_travel(rows):
    X, y, eras, benchmark = rows
    weights = np.linspace(0.0, 1.0, 360)
    model = BenchmarkResidualRegressor(Remembering())
    fitted = clone(model).fit(X, y, eras=eras, benchmark=benchmark, sample_weight=weights)
    assert fitted.regressor_.weight_ is weights
    neutral = NeutralizedRegressor(Ridge(), FeatureNeutralizer())  # asks for eras, twice
    neutral = BenchmarkResidualRegressor(neutral).fit(X, y, eras=eras, benchmark=benchmark)
    assert np.isfinite(neutral.predict(X, eras=eras)).all()
    with pytest.raises(MissingErasError):
        neutral.predict(X)
    sklearn.set_config(enable_metadata_routing=True)
    routed = BenchmarkResidualRegressor(Remembering().set_fit_request(sample_weight=True))
    routed.fit(X, y, eras=eras, benchmark=benchmark, sample_weight=weights)
    assert routed.regressor_.weight_ is weights
    again = clone(neutral).fit(X, y, eras=eras, benchmark=benchmark)
    np.testing.assert_array_equal(again.predict(X, eras=eras), neutral.predict(X, eras=eras))
    search = GridSearchCV(
        BenchmarkResidualRegressor(Ridge()),
        {"proportion": [0.0, 1.0]},
        cv=PurgedEraKFold(3, purge=0),
        scoring=get_era_scorer("bmc"),
        error_score="raise",
    ).fit(X, y, eras=eras, benchmark=benchmark[:, 0])
    assert len(search.cv_results_["params"]) == 2


def test_with_era_boosting(rows):
    from sklearn.ensemble import HistGradientBoostingRegressor

    X, y, eras, benchmark = rows
    boosted = EraBoostedRegressor(HistGradientBoostingRegressor(max_iter=3), n_rounds=2)
    model = BenchmarkResidualRegressor(boosted).fit(X, y, eras=eras, benchmark=benchmark)
    assert model.regressor_.era_scores_.shape == (2, 3)


def test_errors(rows):
    X, y, eras, benchmark = rows
    with pytest.raises(ValueError, match="benchmark is None; pass the benchmark models'"):
        fitted_to(X, y, eras=eras)
    with pytest.raises(ValueError, match="benchmark contains 1 NaN of"):
        fitted_to(X, y, eras=eras, benchmark=np.where(np.arange(360) == 5, np.nan, y))
    with pytest.raises(ValueError, match="benchmark has 359 rows and y has 360"):
        fitted_to(X, y, eras=eras, benchmark=benchmark[1:])
    with pytest.raises(ValueError, match="The 'proportion' parameter of BenchmarkResidual"):
        fitted_to(X, y, eras=eras, benchmark=benchmark, proportion=2.0)
    with pytest.warns(SingleEraWarning, match="all 360 rows are treated as one era"):
        fitted_to(X, y, benchmark=benchmark)
