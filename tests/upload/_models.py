"""Fitted models of many kinds, and live rows for them."""

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from sknumerai.datasets import make_tournament
from sknumerai.ensemble import EraEnsemble
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor
from tests.upload._local_helper import smooth


def make_data(n_stocks=120, n_features=12, n_eras=9):
    """Training table, target, eras, and the live rows in the layout of the tournament's file."""
    tournament = make_tournament(
        n_eras=n_eras, n_stocks=n_stocks, n_features=n_features, live=True, random_state=0
    )
    frame = tournament.frame
    rows = frame["data_type"] != "live"
    live = frame.loc[~rows, ["era", *tournament.feature_names]]
    return tournament.data[rows], frame.loc[rows, "target"], frame.loc[rows, "era"], live


def make_benchmarks(live, seed=1):
    """Benchmark models in another order than the live rows."""
    rng = np.random.default_rng(seed)
    values = rng.random((len(live), 2))
    frame = pd.DataFrame(values, live.index, ["v53_lgbm_ender20", "v53_lgbm_ender60"])
    frame.insert(0, "era", "X")
    return frame.sample(frac=1.0, random_state=seed)


def make_booster(**options):
    import lightgbm

    settings = {"n_estimators": 10, "n_jobs": 1, "verbose": -1, "random_state": 0}
    return lightgbm.LGBMRegressor(**settings | options)


def make_tree(max_depth=6):
    return DecisionTreeRegressor(max_depth=max_depth, random_state=0)


def make_models(X, y, eras, tree=make_tree):
    """Models of many kinds by name."""
    members = [("a", tree()), ("b", Ridge()), ("c", tree(max_depth=2))]
    fitted, other = tree().fit(X, y), Ridge().fit(X, y)
    names = list(X.columns)

    def users(live_features):
        return smooth(other.predict(live_features[names]))

    return {
        "bare": tree().fit(X, y),
        "neutralized": NeutralizedRegressor(tree(), FeatureNeutralizer()).fit(X, y, eras=eras),
        "half, some features": NeutralizedRegressor(
            tree(), FeatureNeutralizer(0.5, normalize="gaussian", feature_columns=slice(0, 5))
        ).fit(X, y, eras=eras),
        "clipped": NeutralizedRegressor(tree(), ExposureClipper(0.1)).fit(X, y, eras=eras),
        "ensemble": EraEnsemble(members, transformer=FeatureNeutralizer(0.5)).fit(X, y, eras=eras),
        "pipeline": make_pipeline(StandardScaler(), Ridge()).fit(X, y),
        "list": [(fitted, 2.0), (other, 1.0)],
        "function": users,
    }
