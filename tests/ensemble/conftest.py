"""What several tests of ensembles need."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def data():
    """Features, a target that is partly linear in them, and eras in no order."""
    rng = np.random.default_rng(0)
    index = pd.Index([f"n{i:04d}" for i in rng.permutation(480)], name="id")
    X = pd.DataFrame(rng.integers(0, 5, (480, 4)), index).add_prefix("feature_")
    linear = 0.5 * X["feature_0"] + 0.5 * X["feature_3"]
    y = linear + (X["feature_1"] > 2) * X["feature_2"] + 2.0 * rng.normal(size=480)
    eras = pd.Series(np.repeat([f"{i:04d}" for i in range(1, 7)], 80), index)
    order = rng.permutation(480)
    return X.iloc[order], y.rename("target").iloc[order], eras.iloc[order]


@pytest.fixture
def targets(data):
    """The target and another one, which has gaps."""
    X, y, _ = data
    other = (X["feature_3"] + 0.1 * y).where(np.arange(len(y)) % 7 > 0)
    return pd.DataFrame({"target": y, "target_other": other})
