"""From fitted models to the nodes of a live model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sknumerai._columns import select_features
from sknumerai._frames import Table
from sknumerai._routing import accepted_metadata
from sknumerai.boosting import BenchmarkResidualRegressor, EraBoostedRegressor
from sknumerai.ensemble import EraEnsemble
from sknumerai.neural_network import FNCRegressor
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor
from sknumerai.neutralization._limits import exposure_limits
from sknumerai.neutralization._riskiest_features import RiskiestFeatures
from sknumerai.upload._live_nodes import (
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


def export(model: Any) -> Node:
    """The node that computes what a fitted model predicts.

    Parameters
    ----------
    model : object
        Fitted.

    Raises
    ------
    ValueError
        If it has no ``predict``, is not fitted, or cannot run without this package.
    """
    if not callable(getattr(model, "predict", None)):
        raise ValueError(
            f"model is a {type(model).__name__}, which has no predict; pass a fitted model, a list "
            "of them or of pairs (model, weight), or a function of the live features."
        )
    if isinstance(model, type):
        raise ValueError(f"model is the class {model.__name__}; pass a fitted instance.")
    if isinstance(model, BaseEstimator):
        try:
            check_is_fitted(model)
        except NotFittedError as error:
            raise ValueError(
                f"model is a {type(model).__name__} that is not fitted; call fit first."
            ) from error
    if hasattr(model, "best_estimator_"):
        return export(model.best_estimator_)
    if isinstance(model, Pipeline):
        return _export_pipeline(model)
    if isinstance(model, NeutralizedRegressor):
        node = export(model.regressor_)
        return _changed(node, model.transformer_, model, model.feature_columns)
    if isinstance(model, EraEnsemble):
        used = np.flatnonzero(model.weights_.to_numpy())
        nodes = [export(model.estimators_[i]) for i in used]
        node = Blended(nodes, model.weights_.to_numpy()[used])
        if model.transformer_ is None:
            return node
        return _changed(node, model.transformer_, model, None)
    if isinstance(model, EraBoostedRegressor | BenchmarkResidualRegressor):
        return export(model.regressor_)
    if isinstance(model, FNCRegressor):
        return _export_network(model)
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
        columns = list(transformer.selected_features_)
        if transformer.feature_names_ is None:
            if transformer.n_features_ != len(names):
                raise ValueError(
                    f"transformer was fitted with {transformer.n_features_} features without names "
                    f"and the model has {len(names)}; fit it with a frame, or pass it unfitted."
                )
            columns = [names[j] for j in columns]
        kernel = _kernel(transformer, transformer.feature_names_, transformer._selected)
        return Changed(node, kernel, columns, of_live=True)
    transformer._validate_params()
    if isinstance(transformer.feature_columns, RiskiestFeatures):
        raise ValueError(
            f"transformer selects {transformer.feature_columns!r}, which it learns in fit; pass a "
            "fitted one."
        )
    table = Table(pd.DataFrame(columns=names, dtype=np.int8), "features")
    chosen = select_features(table, transformer.feature_columns, all_by_default=True)
    columns = [names[j] for j in chosen]
    kernel = _kernel(transformer, columns, list(range(len(columns))))
    return Changed(node, kernel, columns, of_live=True)


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
        for _, step in model.steps:
            if step is not None and step != "passthrough":
                return feature_names_of(step)
    return None


def _made_up(names: Sequence[Any]) -> bool:
    """Whether a library numbered columns that had no names."""
    found = [str(name) for name in names]
    return any(
        found == [f"{prefix}{i}" for i in range(len(found))] for prefix in ("Column_", "f", "")
    )


def _export_pipeline(model: Pipeline) -> Node:
    *steps, (_, last) = model.steps
    kept = [step for _, step in steps if step is not None and step != "passthrough"]
    transformers = [
        (step, "eras" in accepted_metadata(step, "transform", {"eras": "live"})) for step in kept
    ]
    if not kept:
        return export(last)
    return Steps(transformers, export(last))


def _export_network(model: FNCRegressor) -> Node:
    """The module alone, on the CPU, as `predict` computes with it."""
    columns = select_features(_empty_table(model), model.feature_columns, all_by_default=True)
    module = deepcopy(model.net_.module_).cpu().eval()
    return Network(module.double() if model.module is None else module, columns)


def _empty_table(model: Any) -> Table:
    """A table of the columns that a model was fitted with."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return Table(np.empty((0, model.n_features_in_)), "X")
    return Table(pd.DataFrame(columns=list(names), dtype=np.int8), "X")


def _changed(node: Node, transformer: Any, model: Any, feature_columns: Any) -> Node:
    """The same by the fitted transformer of a model."""
    _check_transformer(transformer)
    columns = list(transformer.selected_features_)
    if transformer.feature_names_ is None:
        if model.features_given_:
            raise ValueError(
                f"model is a {type(model).__name__} that was fitted with features=, an array "
                "without names, which cannot be found in the live rows; fit it with a frame."
            )
        positions = select_features(_empty_table(model), feature_columns, all_by_default=True)
        columns = [positions[j] for j in columns]
    kernel = _kernel(transformer, transformer.feature_names_, transformer._selected)
    return Changed(node, kernel, columns, of_live=model.features_given_)


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
