"""The function that the tournament runs: live features in, predictions out. Pickled by value."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from sknumerai._kernels.ranks import normalize_columns, scale_columns
from sknumerai._typing import Array
from sknumerai.upload._live_nodes import LiveEra, Node, check_predictions

ERA_COLUMN = "era"
PREDICTION = "prediction"


class LiveModel:
    """The function that the tournament calls: live features in, predictions out.

    Parameters
    ----------
    node : Node
        Gets no table: what needs one is `Chosen`.
    feature_names : list of str
        Columns of the live features that it needs, as far as they are known.
    benchmark : list of str
        Columns of the benchmark models that it needs.
    normalize : {"rank", "minmax", None}
    """

    def __init__(
        self, node: Node, *, feature_names: list[str], benchmark: list[str], normalize: str | None
    ):
        self.node = node
        self.feature_names = feature_names
        self.benchmark = benchmark
        self.normalize = normalize

    def __call__(
        self, live_features: pd.DataFrame, live_benchmark_models: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Predict.

        Parameters
        ----------
        live_features : DataFrame of shape (n_samples, n_columns)
            Indexed by id. Rows of several eras are predicted era by era where there is a column
            "era".
        live_benchmark_models : DataFrame, optional
            Indexed by id.

        Returns
        -------
        predictions : DataFrame of shape (n_samples, 1)
            Column "prediction", in [0, 1], with the index of ``live_features``.
        """
        if not isinstance(live_features, pd.DataFrame) or not len(live_features):
            raise ValueError("live_features must be a pandas DataFrame of at least one row.")
        check_ids(live_features.index, "live_features")
        values = np.empty(len(live_features))
        for name, rows in eras_of(live_features):
            part = live_features if len(rows) == len(values) else live_features.iloc[rows]
            era = LiveEra(part, benchmarks_of(part, live_benchmark_models, self.benchmark))
            raw = np.asarray(self.node(None, era), dtype=np.float64)
            check_predictions(raw, name)
            values[rows] = normalized(raw, self.normalize)
        return pd.DataFrame({PREDICTION: values}, index=live_features.index)


def check_ids(ids: pd.Index, name: str) -> None:
    """Insist on ids that name each row once."""
    repeated = ids.duplicated()
    if repeated.any():
        raise ValueError(
            f"{name} has {int(repeated.sum())} repeated ids, such as {ids[repeated][0]!r}; pass "
            "each row once."
        )


def eras_of(features: pd.DataFrame) -> Iterator[tuple[str, Array]]:
    """Names of the eras for messages, and the positions of their rows."""
    if ERA_COLUMN not in features.columns:
        yield "", np.arange(len(features))
        return
    codes, labels = pd.factorize(features[ERA_COLUMN])
    if (codes < 0).any():
        raise ValueError(
            f"The column {ERA_COLUMN!r} of live_features is missing in {int((codes < 0).sum())} "
            "rows; pass the era of every row, or leave out the column."
        )
    for code, label in enumerate(labels):
        name = f" in era {label}" if len(labels) > 1 else ""
        yield name, np.flatnonzero(codes == code)


def benchmarks_of(
    features: pd.DataFrame, benchmarks: pd.DataFrame | None, needed: list[str]
) -> pd.DataFrame | None:
    """Benchmark models in the order of the features, by id."""
    if benchmarks is None:
        if needed:
            raise ValueError(
                f"live_benchmark_models is missing, and the model needs {needed[0]!r} of it."
            )
        return None
    check_ids(benchmarks.index, "live_benchmark_models")
    absent = ~features.index.isin(benchmarks.index)
    if absent.any():
        if not needed:
            return None
        raise ValueError(
            f"live_benchmark_models lacks {int(absent.sum())} of {len(features)} ids, such as "
            f"{features.index[absent][0]!r}; pass those of the same rows."
        )
    return benchmarks.loc[features.index]


def normalized(predictions: Array, how: str | None) -> Array:
    """Predictions of one era within [0, 1]."""
    if len(predictions) == 1:
        return np.full(1, 0.5)
    columns = predictions[:, None]
    if how == "rank":
        return normalize_columns(columns, "rank")[:, 0]
    if how == "minmax":
        return scale_columns(columns, "minmax")[:, 0]
    if predictions.min() < 0.0 or predictions.max() > 1.0:
        raise ValueError(
            f"Predictions lie in [{predictions.min():.3g}, {predictions.max():.3g}] and the "
            "tournament takes those in [0, 1]; make the function with normalize='rank'."
        )
    return predictions
