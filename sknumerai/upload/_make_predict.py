"""The function make_predict()."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd

from sknumerai._typing import Transformer
from sknumerai.upload._export import change, export, feature_names_of
from sknumerai.upload._live_model import LiveModel
from sknumerai.upload._live_nodes import Blended, Chosen, Node, UsersFunction, columns_of

NORMALIZE = ("rank", "minmax", None)


def make_predict(
    model: Any,
    *,
    feature_names: Sequence[str] | None = None,
    transformer: Transformer | None = None,
    benchmark: str | Sequence[str] | None = None,
    normalize: Literal["rank", "minmax"] | None = "rank",
) -> Callable[..., pd.DataFrame]:
    """Make the function that the tournament runs from a fitted model.

    It takes the live features and the live benchmark models, selects the model's columns by
    name, predicts, and returns what the tournament accepts: a frame of one column "prediction"
    in [0, 1], indexed by id. What it returns does not depend on the order of the rows.

    Parameters
    ----------
    model : object
        One of these:

        - a fitted estimator of any library, a Pipeline or a search, or a booster of LightGBM or
          XGBoost;
        - a fitted `NeutralizedRegressor`, `EraEnsemble`, `EraBoostedRegressor`,
          `BenchmarkResidualRegressor` or `FNCRegressor`, which neither need this package where
          they run, nor eras: live rows are one era;
        - a list of these, which are blended as `blend` does; with weights, a list of pairs
          (model, weight);
        - a function of the live features, or of these and the benchmark models, that returns
          predictions. Modules of its own that are not installed are put into the file.
    feature_names : sequence of str, optional
        Columns that the model was trained on, in their order. By default those that it knows.
        Not for functions.
    transformer : FeatureNeutralizer or ExposureClipper, optional
        Changes the predictions by the features, such as ``ExposureClipper(0.1)``. It may be
        fitted or not. Its ``feature_columns`` choose among ``feature_names``.
    benchmark : str or sequence of str, optional
        Those of ``feature_names`` that are columns of the benchmark models, which are found by
        id, whatever their order.
    normalize : {"rank", "minmax", None}, default="rank"
        How predictions of an era are brought into [0, 1]: by their ranks, ties sharing theirs;
        linearly; or not at all, where they must lie there.

    Returns
    -------
    predict : callable
        ``predict(live_features, live_benchmark_models=None)``, for `save_upload`.

    Raises
    ------
    ValueError
        If the model is not fitted, does not know its features, or cannot be exported; and where
        ``predict`` is called with rows that do not fit: columns that are missing, repeated ids,
        features that a transformer cannot use; or if the model predicts NaN, or one value for
        all rows.

    See Also
    --------
    save_upload : Writes it to a file.
    check_upload : Runs that file as the tournament does.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.neutralization import FeatureNeutralizer
    >>> from sknumerai.upload import make_predict
    >>> tournament = make_tournament(9, 100, 10, live=True, random_state=0)
    >>> rows = tournament.frame["data_type"] != "live"
    >>> model = Ridge().fit(tournament.data[rows], tournament.target[rows])
    >>> predict = make_predict(model, transformer=FeatureNeutralizer(0.5))
    >>> predict(tournament.frame[~rows]).describe().loc[["min", "mean", "max"]]
          prediction
    min        0.005
    mean       0.500
    max        0.995
    """
    if normalize not in NORMALIZE:
        raise ValueError(f"normalize={normalize!r}; pass 'rank', 'minmax' or None.")
    benchmarks = [benchmark] if isinstance(benchmark, str) else list(benchmark or ())
    names = None if feature_names is None else _names(feature_names)
    node: Node
    if isinstance(model, list | tuple):
        node, known = _blend(model, names)
    elif _is_function(model):
        if names is not None or benchmarks:
            given = "feature_names" if names is not None else "benchmark"
            raise ValueError(f"model is a function, which needs no {given}; leave it out.")
        node, known = UsersFunction(model, _n_parameters(model)), None
    else:
        node, known = _member(model, names)
    absent = [name for name in benchmarks if known is not None and name not in known]
    if absent:
        raise ValueError(
            f"benchmark={absent[0]!r} is none of the {len(known or ())} columns that the model was "
            "trained on; leave it out, or pass feature_names with it."
        )
    if transformer is not None:
        if known is None and not hasattr(transformer, "selected_features_"):
            raise ValueError(
                "transformer does not know the features of a function; pass a fitted one, or "
                "neutralize within the function."
            )
        own = [name for name in known or () if name not in benchmarks]
        node = change(node, transformer, own)
    return LiveModel(
        node,
        feature_names=[name for name in columns_of(node) if name not in benchmarks],
        benchmark=benchmarks,
        normalize=normalize,
    )


def _is_function(model: Any) -> bool:
    return callable(model) and not hasattr(model, "predict")


def _n_parameters(function: Callable[..., Any]) -> int:
    """1 or 2: whether it takes the benchmark models."""
    n_parameters = len(inspect.signature(function).parameters)
    if n_parameters not in (1, 2):
        raise ValueError(
            f"model is a function of {n_parameters} parameters; the tournament passes the live "
            "features, and the benchmark models as the second one."
        )
    return n_parameters


def _blend(models: Sequence[Any], names: list[str] | None) -> tuple[Node, list[str]]:
    """A blend of models, and all columns that they need."""
    if not models:
        raise ValueError("model is an empty list; pass at least one fitted model.")
    pairs = [each if isinstance(each, tuple) and len(each) == 2 else (each, 1.0) for each in models]
    weights = np.array([weight for _, weight in pairs], dtype=np.float64)
    if not np.isfinite(weights).all() or not weights.any():
        raise ValueError(
            f"The weights of the models are {weights.tolist()}; pass finite ones, not all 0."
        )
    members = [_member(member, names) for member, _ in pairs]
    columns = chain.from_iterable(own for _, own in members)
    return Blended([node for node, _ in members], weights), list(dict.fromkeys(columns))


def _member(model: Any, names: list[str] | None) -> tuple[Node, list[str]]:
    """A fitted model with its columns, in the kind of table that it was trained on."""
    node, known = export(model), feature_names_of(model)
    own = _check_names(model, names, known)
    return Chosen(own, node, as_array=known is None), own


def _check_names(model: Any, names: list[str] | None, known: list[str] | None) -> list[str]:
    """The names that are given, which must fit the model, or those that it knows."""
    if names is None:
        if known is None:
            raise ValueError(
                f"model is a {type(model).__name__} that does not know the names of its features; "
                "pass feature_names, in the order of the training."
            )
        return known
    n_features = getattr(model, "n_features_in_", len(names))
    if len(names) != n_features:
        raise ValueError(
            f"feature_names has {len(names)} names and the model was trained on {n_features} "
            "columns; name those, in their order."
        )
    if known is not None and known != names:
        raise ValueError(
            f"feature_names and the names that the model was trained with differ, such as "
            f"{next(a for a, b in zip(names, known, strict=True) if a != b)!r}; leave them out."
        )
    return names


def _names(feature_names: Sequence[str]) -> list[str]:
    if isinstance(feature_names, str):
        raise ValueError(f"feature_names={feature_names!r} is a str; pass a list of names.")
    names = [str(name) for name in feature_names]
    if not names or len(set(names)) < len(names):
        raise ValueError("feature_names is empty or names a column twice; name each once.")
    return names
