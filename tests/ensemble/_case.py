"""Small tournaments for the tests of ensembles, and blends computed slowly and plainly."""

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from sknumerai.model_selection import PurgedEraKFold

CV = PurgedEraKFold(3, purge=0)
MEMBERS = [("linear", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3, random_state=0))]


def draw_predictions(n_eras=6, n=80, seed=0):
    """Tied predictions of three models and targets of several eras, rows in no order.

    The target is mostly "a", a little "b", and not "c".
    """
    rng = np.random.default_rng(seed)
    total = n_eras * n
    index = pd.Index([f"n{i:05d}" for i in rng.permutation(total)], name="id")
    frame = pd.DataFrame(rng.normal(size=(total, 3)), index, ["a", "b", "c"])
    target = 2.0 * frame["a"] + frame["b"] + rng.normal(size=total)
    frame["c"] = frame["c"].round(1)
    eras = pd.Series(np.repeat([f"{i + 1:04d}" for i in range(n_eras)], n), index, name="era")
    order = rng.permutation(total)
    return frame.iloc[order], target.rename("target").iloc[order], eras.iloc[order]


def gaussianized(values):
    """Normal quantiles of the tie-kept percentile ranks of a Series."""
    return pd.Series(norm.ppf((values.rank() - 0.5) / values.count()), values.index)


def blended(frame, weights, eras):
    """The recipe of Numerai's documentation, with pandas: its std has ddof=1."""
    parts = []
    for era in eras.unique():
        part = frame[eras == era]
        total = sum(
            weight * gaussianized(part[name]) / gaussianized(part[name]).std()
            for name, weight in zip(part, weights, strict=True)
        )
        parts.append(gaussianized(total))
    return pd.concat(parts).loc[frame.index]
