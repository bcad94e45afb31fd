"""The parts of a live model: each is a callable of the rows of one era. Pickled by value.

They must run where this package is not installed: kernels of numpy and scipy, and the library that
the model is of. A node gets the table that a model gets, and the era, by whose other columns
predictions may be changed; it returns shape (n_rows,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sknumerai._typing import Array
from sknumerai.ensemble._blending import blend_era
from sknumerai.neutralization._clipping import clipped_predictions
from sknumerai.neutralization._neutralize import neutralize_era

ROWS_OF_A_NETWORK = 5_000  # at a time: bounds the memory of the hidden layers


class LiveEra(NamedTuple):
    """The rows of one era, and the benchmark models of the same rows."""

    features: pd.DataFrame
    benchmarks: pd.DataFrame | None


Node = Callable[[Any, LiveEra], Array]


class Chosen:
    """A node that gets columns by name, as a frame or as an array."""

    def __init__(self, feature_names: list[str], node: Node, *, as_array: bool):
        self.feature_names, self.node, self.as_array = feature_names, node, as_array

    def __call__(self, X: Any, era: LiveEra) -> Array:
        table = choose(era, self.feature_names)
        return self.node(table.to_numpy() if self.as_array else table, era)


class Fitted:
    """A fitted model of any library."""

    def __init__(self, model: Any):
        self.model = model

    def __call__(self, X: Any, era: LiveEra) -> Array:
        predictions = np.asarray(self.model.predict(X))
        if predictions.size != len(X):
            raise ValueError(
                f"{type(self.model).__name__}.predict returned shape {predictions.shape} for "
                f"{len(X)} rows; an upload needs one prediction for each row."
            )
        return predictions.reshape(-1)


class XGBoostBooster(Fitted):
    """A booster of XGBoost, which predicts its own kind of table only."""

    def __call__(self, X: Any, era: LiveEra) -> Array:
        import xgboost

        return np.asarray(self.model.predict(xgboost.DMatrix(X))).reshape(-1)


class UsersFunction:
    """A function of the live features, or of these and the benchmark models."""

    def __init__(self, function: Callable[..., Any], n_parameters: int):
        self.function, self.n_parameters = function, n_parameters

    def __call__(self, X: Any, era: LiveEra) -> Array:
        if self.n_parameters == 2 and era.benchmarks is None:
            raise ValueError(
                "live_benchmark_models is missing or lacks some ids of live_features, and the "
                "function takes it; pass benchmark models of the same rows."
            )
        returned = self.function(*era[: self.n_parameters])
        ids = era.features.index
        if isinstance(returned, pd.DataFrame | pd.Series) and not returned.index.equals(ids):
            if len(returned) != len(ids) or not returned.index.isin(ids).all():
                raise ValueError(
                    f"The function returned {len(returned)} rows that are not the {len(ids)} of "
                    "live_features; return predictions with the index of live_features."
                )
            returned = returned.reindex(ids)
        if isinstance(returned, pd.DataFrame):
            returned = returned.iloc[:, 0]
        predictions = np.asarray(returned, dtype=np.float64)
        if predictions.size != len(ids):
            raise ValueError(
                f"The function returned shape {predictions.shape} for {len(ids)} rows; return one "
                "prediction for each row."
            )
        return predictions.reshape(-1)


class Steps:
    """Fitted transformers, each with whether it takes eras, before a node."""

    def __init__(self, transformers: Sequence[tuple[Any, bool]], node: Node):
        self.transformers, self.node = transformers, node

    def __call__(self, X: Any, era: LiveEra) -> Array:
        for transformer, takes_eras in self.transformers:
            X = transformer.transform(X, eras="live") if takes_eras else transformer.transform(X)
        return self.node(X, era)


class Changed:
    """Predictions of a node, neutralized or clipped to features.

    Parameters
    ----------
    node : Node
    kernel : callable
        Of predictions (n, 1) and features (n, k).
    columns : list
        Names or positions of the features.
    of_live : bool
        Whether they are columns of the live rows, or of the table that the node gets.
    """

    def __init__(
        self,
        node: Node,
        kernel: Callable[[Array, Array], Array],
        columns: list[Any],
        *,
        of_live: bool,
    ):
        self.node, self.kernel, self.columns, self.of_live = node, kernel, columns, of_live

    def __call__(self, X: Any, era: LiveEra) -> Array:
        predictions = self.node(X, era)
        check_predictions(predictions)
        features = as_numbers(self._features(X, era))
        if features.dtype.kind not in "iub" and not np.isfinite(features).all():
            raise ValueError(
                f"{int((~np.isfinite(features)).sum())} feature values are NaN or infinite, and "
                "predictions cannot be neutralized to them; fill them in before."
            )
        changed = self.kernel(predictions[:, None], features)[:, 0]
        if len(changed) > 1 and not np.ptp(changed) > 0.0:  # NaN included
            raise ValueError(
                f"{len(self.columns)} features leave nothing of the predictions of "
                f"{len(changed)} rows; neutralize to fewer features, or by a proportion."
            )
        return changed.astype(predictions.dtype) if predictions.dtype.kind == "f" else changed

    def _features(self, X: Any, era: LiveEra) -> Any:
        if self.of_live:
            return choose(era, self.columns)
        if not isinstance(X, pd.DataFrame):
            return X[:, self.columns]
        by_name = isinstance(self.columns[0], str)
        return X[self.columns] if by_name else X.iloc[:, self.columns]


def as_numbers(table: Any) -> Array:
    """A table as an array; nullable integers as floats where some are missing."""
    values = np.asarray(table)
    if values.dtype.kind != "O":
        return values
    numbers: Array = table.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def neutralized(predictions: Array, features: Array, *, proportion: float, **options: Any) -> Array:
    """What `FeatureNeutralizer` does to one era."""
    return neutralize_era(predictions, features, proportions=[proportion], **options)


def clipped(predictions: Array, features: Array, **options: Any) -> Array:
    """What `ExposureClipper` does to one era."""
    return clipped_predictions(predictions, features, **options)[0]


class Blended:
    """A weighted blend of nodes."""

    def __init__(self, nodes: Sequence[Node], weights: Array):
        self.nodes, self.weights = nodes, weights

    def __call__(self, X: Any, era: LiveEra) -> Array:
        columns = [node(X, era) for node in self.nodes]
        for column in columns:
            check_predictions(column)
        return blend_era(np.column_stack(columns), weights=self.weights)[:, 0]


class Network:
    """A trained torch module.

    Parameters
    ----------
    module : torch.nn.Module
        Of all of the features of a row.
    columns : list of int
        Positions of these in the table.
    """

    def __init__(self, module: Any, columns: list[int]):
        self.module, self.columns = module, columns

    def __call__(self, X: Any, era: LiveEra) -> Array:
        import torch

        table = X.iloc[:, self.columns] if isinstance(X, pd.DataFrame) else X[:, self.columns]
        predictions = np.empty(len(table), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(table), ROWS_OF_A_NETWORK):
                rows = table[start : start + ROWS_OF_A_NETWORK]
                block = np.ascontiguousarray(rows)
                if block.dtype.kind == "f":
                    block = block.astype(np.float32)
                values = self.module(torch.from_numpy(block)).reshape(-1)
                predictions[start : start + len(block)] = values.numpy()
        return predictions


def columns_of(node: Any) -> list[str]:
    """Names of all columns that a node and those within it choose."""
    names = [*getattr(node, "feature_names", []), *getattr(node, "columns", [])]
    for inner in [*getattr(node, "nodes", []), getattr(node, "node", None)]:
        if inner is not None:
            names += columns_of(inner)
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def choose(era: LiveEra, names: list[str]) -> pd.DataFrame:
    """Columns by name, from the live features or else from the benchmark models."""
    tables = [era.features] + ([] if era.benchmarks is None else [era.benchmarks])
    missing = [name for name in names if not any(name in table.columns for table in tables)]
    if missing:
        raise ValueError(
            f"live_features lacks {len(missing)} of {len(names)} columns that the model was "
            f"trained on, such as {missing[0]!r}; pass the data version of the training."
        )
    own = [name for name in names if name in era.features.columns]
    chosen = era.features[own]
    if len(own) < len(names):
        others = [name for name in names if name not in era.features.columns]
        chosen = chosen.join(tables[-1][others])[names]
    return chosen


def check_predictions(predictions: Array, era: str = "") -> None:
    """Insist on finite predictions that differ."""
    bad = ~np.isfinite(predictions)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(bad)} predictions{era} are NaN or infinite; the tournament "
            "refuses them, so look at the model, or at its features."
        )
    if len(predictions) > 1 and np.ptp(predictions) == 0.0:
        raise ValueError(
            f"The model predicts {predictions[0]:g} for all {len(predictions)} rows{era}, which "
            "cannot be ranked; pass a model that has learned something."
        )
