"""Small tournaments with everything that makes scoring hard, for the tests of all metrics."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

BINS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


def make_table(n_eras=4, n=90, n_features=6, n_columns=3, missing=0.1, seed=0, scale=1.0):
    """Rows of several eras in no order: tied predictions, missing targets, unsorted ids.

    Eras differ in length; every frame has the same index of unique ids.
    """
    rng = np.random.default_rng(seed)
    lengths = n + 7 * np.arange(n_eras)
    total = int(lengths.sum())
    ids = [f"n{i:06d}" for i in rng.permutation(10 * total)[:total]]
    index = pd.Index(ids, name="id")
    eras = np.repeat([f"{i + 1:04d}" for i in range(n_eras)], lengths)
    features = rng.integers(0, 5, (total, n_features), dtype=np.int8)
    target = rng.choice(BINS, total, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    predictions = target[:, None] + 0.2 * features[:, :n_columns] + rng.normal(size=(total, 1))
    predictions = np.round(4 * (predictions + rng.normal(size=(total, n_columns)))) / 4
    meta_model = np.round(6 * (target + rng.normal(size=total))) / 6
    stocks = np.concatenate([rng.permutation(n + 7 * n_eras)[:length] for length in lengths])
    neutralizers = rng.normal(size=(total, 3))
    weights = rng.uniform(0.5, 1.5, total)
    target = scale * target
    target[rng.random(total) < missing] = np.nan
    order = rng.permutation(total)
    frame = pd.DataFrame(predictions, index, [f"model_{j}" for j in range(n_columns)])
    names = [f"feature_{j}" for j in range(n_features)]
    parts = {
        "target": pd.Series(target, index, name="target"),
        "predictions": frame,
        "features": pd.DataFrame(features, index, names),
        "meta_model": pd.Series(meta_model, index, name="meta_model"),
        "example": frame["model_0"] + pd.Series(rng.normal(size=total), index),
        "neutralizers": pd.DataFrame(neutralizers, index),
        "weights": pd.Series(weights, index, name="weight"),
        "eras": pd.Series(eras, index, name="era"),
        "stocks": pd.Series([f"T{i:03d}" for i in stocks], index, name="ticker"),
    }
    return SimpleNamespace(**{name: part.iloc[order] for name, part in parts.items()})


def select(table, rows):
    """Some rows of every part."""
    return SimpleNamespace(**{name: part[rows] for name, part in vars(table).items()})


def reorder(table, order):
    """All rows of every part in another order."""
    return SimpleNamespace(**{name: part.iloc[order] for name, part in vars(table).items()})


def convert(table, function):
    """Every part in another container."""
    return SimpleNamespace(**{name: function(part) for name, part in vars(table).items()})
