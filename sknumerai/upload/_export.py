"""From fitted models to the nodes of a live model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from sknumerai._columns import select_features
from sknumerai._frames import Table
from sknumerai._routing import accepted_metadata
from sknumerai.boosting import BenchmarkResidualRegressor, EraBoostedRegressor
from sknumerai.ensemble import EraEnsemble
from sknumerai.neural_network import FNCRegressor
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor
from sknumerai.neutralization._limits import exposure_limits
from sknumerai.neutralization._riskiest_features import RiskiestFeatures
from sknumerai.upload._live_model import (
    Blended,
    Changed,
    Fitted,
    Network,
    Node,
    Steps,
    XGBoostBooster,
    clipped,
    neutralized,
)

Names = list[str] | None  # of the columns of a table, where they have any


def export(model: Any, names: Names) -> Node:
    """The node that computes what a fitted model predicts.

    Parameters
    ----------
    model : object
        Fitted.
    names : list of str or None
        Columns of the table that it gets; None for an array.

    Raises
    ------
    ValueError
        If it has no ``predict``, is not fitted, or cannot run without this package.
    """
    if hasattr(model, "best_estimator_"):
        return export(model.best_estimator_, names)
    if isinstance(model, Pipeline):
        return _export_pipeline(model, names)
    if isinstance(model, NeutralizedRegressor):
        _check_fitted(model, "regressor_")
        node = export(model.regressor_, names)
        return _changed(node, model.transformer_, _positions(model, model.feature_columns))
    if isinstance(model, EraEnsemble):
        _check_fitted(model, "estimators_")
        used = np.flatnonzero(model.weights_.to_numpy())
        nodes = [export(model.estimators_[i], names) for i in used]
        node = Blended(nodes, model.weights_.to_numpy()[used])
        if model.transformer_ is None:
            return node
        return _changed(node, model.transformer_, _positions(model, None))
    if isinstance(model, EraBoostedRegressor | BenchmarkResidualRegressor):
        _check_fitted(model, "regressor_")
        return export(model.regressor_, names)
    if isinstance(model, FNCRegressor):
        _check_fitted(model, "net_")
        return _export_network(model, names)
    if not callable(getattr(model, "predict", None)):
        raise ValueError(
            f"model is a {type(model).__name__}, which has no predict; pass a fitted model, a "
            "list of them, or a function of the live features."
        )
    if type(model).__module__ == "xgboost.core":
        return XGBoostBooster(model)
    return Fitted(model)


def change(node: Node, transformer: Any, names: list[str]) -> Node:
    """A node whose predictions are neutralized or clipped as a transformer says.

    Parameters
    ----------
    node : Node
    transformer : FeatureNeutralizer or ExposureClipper
        Fitted, or with no values to learn.
    names : list of str
        Features that one that is not fitted chooses from.
    """
    _check_transformer(transformer)
    if hasattr(transformer, "selected_features_"):
        return _changed(node, transformer, None)
    if isinstance(transformer.feature_columns, RiskiestFeatures):
        raise ValueError(
            f"transformer selects {transformer.feature_columns!r}, which it learns in fit; pass a "
            "fitted one."
        )
    table = Table(pd.DataFrame(columns=names, dtype=np.int8), "features")
    chosen = select_features(table, transformer.feature_columns, all_by_default=True)
    columns = [names[j] for j in chosen]
    return Changed(node, _kernel(transformer, columns, list(range(len(columns)))), columns)


def feature_names_of(model: Any) -> Names:
    """Names that a fitted model knows its features by."""
    for attribute in ("feature_names_in_", "feature_names_", "feature_name", "feature_names"):
        names = getattr(model, attribute, None)
        names = names() if callable(names) else names
        if names is not None and len(names) and not _made_up(names):
            return [str(name) for name in names]
    for attribute in ("best_estimator_", "regressor_"):
        if hasattr(model, attribute):
            return feature_names_of(getattr(model, attribute))
    if isinstance(model, Pipeline):
        return feature_names_of(model.steps[0][1])
    return None


def _made_up(names: Sequence[Any]) -> bool:
    """Whether a library numbered columns that had no names."""
    numbered = [f"{prefix}{i}" for i in (0,) for prefix in ("Column_", "f", "")]
    return str(names[0]) in numbered


def _export_pipeline(model: Pipeline, names: Names) -> Node:
    *steps, (_, last) = model.steps
    kept = [step for _, step in steps if step is not None and step != "passthrough"]
    transformers = [
        (step, "eras" in accepted_metadata(step, "transform", {"eras": "live"})) for step in kept
    ]
    if not kept:
        return export(last, names)
    return Steps(transformers, export(last, None))


def _export_network(model: FNCRegressor, names: Names) -> Node:
    """The module alone, on the CPU, as `predict` computes with it."""
    from copy import deepcopy

    n_columns = model.n_features_in_
    table = pd.DataFrame(columns=names, dtype=np.int8) if names else np.empty((0, n_columns))
    columns = select_features(Table(table, "X"), model.feature_columns, all_by_default=True)
    module = deepcopy(model.net_.module_).cpu().eval()
    return Network(module.double() if model.module is None else module, columns)


def _positions(model: Any, feature_columns: Any) -> list[int]:
    """Columns of an array that a transformer inside of a model gets."""
    table = Table(np.empty((0, model.n_features_in_)), "X")
    if isinstance(feature_columns, str) or callable(feature_columns):
        return list(range(model.n_features_in_))  # these need names, which the transformer has
    try:
        return select_features(table, feature_columns, all_by_default=True)
    except ValueError:  # a list of names
        return list(range(model.n_features_in_))


def _changed(node: Node, transformer: Any, positions: list[int] | None) -> Node:
    """The same by a fitted transformer."""
    _check_transformer(transformer)
    columns = list(transformer.selected_features_)
    if transformer.feature_names_ is None and positions is not None:
        columns = [positions[j] for j in columns]
    kernel = _kernel(transformer, transformer.feature_names_, transformer._selected)
    return Changed(node, kernel, columns)


def _kernel(transformer: Any, names: Names, selected: list[int]) -> Any:
    options = {name: getattr(transformer, name) for name in ("normalize", "scale")}
    if isinstance(transformer, FeatureNeutralizer):
        return partial(neutralized, proportion=transformer.proportion, **options)
    n_features = getattr(transformer, "n_features_", len(selected))
    limits = exposure_limits(
        transformer.max_exposure, names, n_features, transformer.feature_groups
    )
    return partial(
        clipped,
        limits=limits[selected],
        bounds=transformer.bounds,
        tol=transformer.tol,
        widen=transformer.on_infeasible == "warn",
        **options,
    )


def _check_transformer(transformer: Any) -> None:
    if not isinstance(transformer, FeatureNeutralizer | ExposureClipper):
        raise ValueError(
            f"transformer is a {type(transformer).__name__}; pass a FeatureNeutralizer or an "
            "ExposureClipper, or a function of your own as the model."
        )


def _check_fitted(model: Any, attribute: str) -> None:
    if not hasattr(model, attribute):
        raise ValueError(f"model is a {type(model).__name__} that is not fitted; call fit first.")
