import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknumerai.exceptions import MissingErasError
from sknumerai.model_selection import (
    CombinatorialPurgedEraCV,
    EraTimeSeriesSplit,
    PurgedEraKFold,
    era_cross_val_predict,
)
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor, neutralize


class Weighted(RegressorMixin, BaseEstimator):
    """Predicts a constant it is handed."""

    def fit(self, X, y, level=0.0, rows=None):
        assert rows is None or len(rows) == len(y)
        self.level_ = level
        return self

    def predict(self, X):
        return np.full(len(X), self.level_)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    eras = np.repeat([f"{era:04d}" for era in range(1, 13)], 20)
    rng.shuffle(eras)
    X = rng.integers(0, 5, (240, 3))
    return X, X @ [1.0, 0.0, -1.0] + rng.normal(size=240), eras


def test_equals_a_loop_by_hand(data):
    X, y, eras = data
    cv = PurgedEraKFold(3)
    expected = np.empty(240)
    for train, test in cv.split(X, y, eras):
        expected[test] = Ridge().fit(X[train], y[train]).predict(X[test])
    for n_jobs in (None, 2):
        predictions = era_cross_val_predict(Ridge(), X, y, eras=eras, cv=cv, n_jobs=n_jobs)
        np.testing.assert_allclose(predictions, expected)


@pytest.mark.parametrize("routing", [False, True])
def test_eras_reach_per_era_estimators(data, routing):
    X, y, eras = data
    sklearn.set_config(enable_metadata_routing=routing)
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5))
    cv = PurgedEraKFold(3)
    raw = era_cross_val_predict(Ridge(), X, y, eras=eras, cv=cv)
    predictions = era_cross_val_predict(model, X, y, eras=eras, cv=cv)
    np.testing.assert_allclose(
        predictions, neutralize(raw, X, proportion=0.5, eras=eras), atol=1e-12
    )


def test_pipelines_need_routing(data):
    X, y, eras = data
    model = make_pipeline(StandardScaler(), NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5)))
    cv = PurgedEraKFold(3)
    sklearn.set_config(enable_metadata_routing=True)
    predictions = era_cross_val_predict(model, X, y, eras=eras, cv=cv)
    plain = era_cross_val_predict(make_pipeline(StandardScaler(), Ridge()), X, y, eras=eras, cv=cv)
    np.testing.assert_allclose(
        predictions, neutralize(plain, X, proportion=0.5, eras=eras), atol=1e-9
    )


def test_searches_inside(data):
    X, y, eras = data
    sklearn.set_config(enable_metadata_routing=True)
    search = GridSearchCV(
        NeutralizedRegressor(Ridge(), FeatureNeutralizer()),
        {"transformer__proportion": [0.0, 0.5]},
        cv=PurgedEraKFold(2, purge=0),
    )
    predictions = era_cross_val_predict(search, X, y, eras=eras, cv=PurgedEraKFold(3, purge=0))
    assert np.isfinite(predictions).all()


def test_rows_in_no_test_set_are_nan(data):
    X, y, eras = data
    predictions = era_cross_val_predict(
        Ridge(), X, y, eras=eras, cv=EraTimeSeriesSplit(2, test_eras=2)
    )
    assert (np.isfinite(predictions) == (eras > "0008")).all()


def test_overlapping_test_sets_are_averaged(data):
    X, y, eras = data
    cv = CombinatorialPurgedEraCV(4, 2, purge=0)
    predictions = era_cross_val_predict(Ridge(), X, y, eras=eras, cv=cv)
    total, times = np.zeros(240), np.zeros(240)
    for train, test in cv.split(X, y, eras):
        total[test] += Ridge().fit(X[train], y[train]).predict(X[test])
        times[test] += 1
    assert (times == 3).all()
    np.testing.assert_allclose(predictions, total / 3)


def test_several_targets_and_frames(data, df_module):
    X, y, eras = data
    targets = np.column_stack([y, -y])
    frame = df_module.DataFrame({f"f{j}": X[:, j] for j in range(3)})
    for labels in (pd.Index(eras), pd.Categorical(eras), pl.Series(eras), eras.tolist()):
        predictions = era_cross_val_predict(
            Ridge(), frame, targets, eras=labels, cv=PurgedEraKFold(3)
        )
        assert predictions.shape == (240, 2)
        np.testing.assert_allclose(predictions[:, 0], -predictions[:, 1])


def test_params(data, capsys):
    X, y, eras = data
    predictions = era_cross_val_predict(
        Weighted(),
        X,
        y,
        eras=eras,
        cv=PurgedEraKFold(3),
        params={"level": 2.5, "rows": np.arange(240)},
        verbose=True,
    )
    assert (predictions == 2.5).all()
    assert "3/3" in capsys.readouterr().err


def test_bad_input(data):
    X, y, eras = data
    with pytest.raises(ValueError, match="y has 239 rows and X has 240"):
        era_cross_val_predict(Ridge(), X, y[1:], eras=eras, cv=PurgedEraKFold())
    with pytest.raises(ValueError, match="100 labels for 240 rows"):
        era_cross_val_predict(Ridge(), X, y, eras=eras[:100], cv=PurgedEraKFold())
    with pytest.raises(MissingErasError):
        era_cross_val_predict(Ridge(), X, y, eras=None, cv=PurgedEraKFold())
    with pytest.raises(ValueError, match="makes no splits"):
        era_cross_val_predict(Ridge(), X, y, eras=eras, cv=[])
