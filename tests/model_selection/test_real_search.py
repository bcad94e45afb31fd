"""A whole search, on synthetic and on real data."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import Memory
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from sknumerai.datasets import make_tournament
from sknumerai.metrics import (
    feature_neutral_corr,
    get_era_scorer,
    make_era_scorer,
    max_feature_exposure,
    numerai_corr,
)
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor

SCORING = {
    name: get_era_scorer(name) for name in ("fnc_sharpe", "numerai_corr", "neg_max_exposure")
}


class CountedTrees(HistGradientBoostingRegressor):
    """Writes down every fit, in whatever process it happens."""

    def __init__(self, log=None, max_leaf_nodes=31, max_iter=100):
        super().__init__(max_leaf_nodes=max_leaf_nodes, max_iter=max_iter, random_state=0)
        self.log = log

    def fit(self, X, y):
        with open(self.log, "a") as file:
            file.write("fit\n")
        return super().fit(X, y)


def _by_hand(search, X, y, eras, params, *scorers):
    """Mean scores of one candidate over the splits, one by scorer."""
    scores = []
    for train, test in search.cv.split(X, y, eras):
        model = clone(search.estimator).set_params(**params)
        model.fit(X.iloc[train], y.iloc[train], eras=eras.iloc[train])
        given = (model, X.iloc[test], y.iloc[test])
        scores.append([scorer(*given, eras=eras.iloc[test]) for scorer in scorers])
    return np.mean(scores, axis=0)


def test_synthetic_tournament(tmp_path):
    sklearn.set_config(enable_metadata_routing=True)
    tournament = make_tournament(15, 120, 10, random_state=0)
    X, y, eras = tournament.data, tournament.target, tournament.eras
    log = tmp_path / "fits"
    search = GridSearchCV(
        NeutralizedRegressor(
            CountedTrees(log=log, max_iter=5),
            ExposureClipper(),
            memory=Memory(tmp_path / "cache", verbose=0),
        ),
        [
            {
                "transformer__max_exposure": [0.05, 0.2],
                "regressor__max_leaf_nodes": [4, 8],
            },
            {
                "transformer": [FeatureNeutralizer()],
                "transformer__proportion": [0.25, 0.75],
                "regressor__max_leaf_nodes": [4, 8],
            },
        ],
        cv=PurgedEraKFold(3),
        scoring=SCORING,
        refit="fnc_sharpe",
        n_jobs=2,
        error_score="raise",
    ).fit(X, y, eras=eras)
    results = pd.DataFrame(search.cv_results_)
    assert len(results) == 8
    expected = _by_hand(search, X, y, eras, results.params[0], *SCORING.values())
    for name, score in zip(SCORING, expected, strict=True):
        assert results.loc[0, f"mean_test_{name}"] == pytest.approx(score)
    assert search.best_index_ == results.mean_test_fnc_sharpe.argmax()
    exposure = -results.mean_test_neg_max_exposure
    limit = results.param_transformer__max_exposure
    assert (exposure[limit.notna()] <= limit.dropna().astype(float) + 1e-8).all()
    # three splits and two regressors, and the best one on all eras; the two jobs may both fit a
    # regressor before either has stored it
    n_fits = log.read_text().count("fit")
    assert 7 <= n_fits <= 14
    assert n_fits < 8 * 3 + 1


def test_real_tournament(shared_data):
    sklearn.set_config(enable_metadata_routing=True)
    pytest.importorskip("pyarrow", reason="needs pyarrow to read the real data")
    frame = pd.read_parquet(shared_data / "numerai_2018_08.parquet")
    frame = frame[frame.region.isin([0, 1])]
    X = frame[[f"x{j}" for j in range(1, 51)]]
    limited = [f"x{j}" for j in range(1, 11)]  # eras have fewer rows than the 50 features
    y, eras = frame.bernie, frame.era
    metrics = {
        "fnc_sharpe": make_era_scorer(
            feature_neutral_corr, aggregate="sharpe", feature_columns=limited
        ),
        "numerai_corr": get_era_scorer("numerai_corr"),
        "neg_max_exposure": make_era_scorer(
            max_feature_exposure, greater_is_better=False, feature_columns=limited
        ),
    }
    search = GridSearchCV(
        NeutralizedRegressor(
            Ridge(), FeatureNeutralizer(normalize="gaussian"), feature_columns=limited
        ),
        {"transformer__proportion": [0.0, 0.5, 1.0], "regressor__alpha": [1.0, 100.0]},
        cv=PurgedEraKFold(4),
        scoring=metrics,
        refit="fnc_sharpe",
        n_jobs=2,
        error_score="raise",
    ).fit(X, y, eras=eras)
    results = pd.DataFrame(search.cv_results_)
    assert np.isfinite(results.filter(like="mean_test")).all(axis=None)
    neutral = results.param_transformer__proportion == 1.0
    assert (results.mean_test_neg_max_exposure[neutral] > -1e-9).all()
    assert (results.mean_test_neg_max_exposure[~neutral] < -0.1).all()
    (expected,) = _by_hand(search, X, y, eras, results.params[1], metrics["numerai_corr"])
    assert results.loc[1, "mean_test_numerai_corr"] == pytest.approx(expected)
    predictions = search.best_estimator_.predict(X, eras=eras)
    assert search.score(X, y, eras=eras) == pytest.approx(
        feature_neutral_corr(y, predictions, features=X[limited], eras=eras, aggregate="sharpe")
    )
    assert np.isfinite(numerai_corr(y, predictions, eras=eras))
