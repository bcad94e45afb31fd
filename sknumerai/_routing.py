"""Handing eras and other metadata to estimators that want them, and to no others.

What something inside an estimator wants and cannot be given is an error, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter, isclass, signature
from typing import Any

from sklearn import get_config
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import (
    MetadataRequest,
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)

from sknumerai._sklearn import is_search
from sknumerai._typing import ArrayLike, Eras
from sknumerai.exceptions import MissingErasError

_AT_PREDICTION = ("predict", "transform")
_EVER = (*_AT_PREDICTION, "fit", "partial_fit", "score", "split")


def requests_of(estimator: Any) -> MetadataRequest | MetadataRouter:
    """Metadata that an estimator requests.

    One that knows no metadata routing, such as those of CatBoost, cannot be asked what it wants:
    it gets what its methods name.
    """
    if hasattr(estimator, "get_metadata_routing"):
        try:
            return get_routing_for_object(estimator)
        except NotImplementedError:  # composites of scikit-learn that cannot route yet
            return MetadataRequest(owner=estimator)
    request = MetadataRequest(owner=estimator)
    for method, n_tables in (("fit", 2), ("predict", 1)):  # X and y come first
        for name in _named(estimator, method)[n_tables:]:
            getattr(request, method).add_request(param=name, alias=True)
    return request


def accepted_metadata(estimator: Any, method: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """The part of some metadata that a method of an estimator takes.

    With metadata routing on, that is what the estimator or a step inside it requests; with
    routing off, what the method names in its signature.

    Parameters
    ----------
    estimator : estimator
    method : str
        Such as "fit" or "predict".
    metadata : dict
        Entries of None are left out.

    Returns
    -------
    accepted : dict
        Under the names that the method has for them.

    Raises
    ------
    MissingErasError
        If something inside the estimator wants eras, and the estimator cannot pass them on.
    ValueError
        If that is so of other metadata.
    UnsetMetadataPassedError
        If the estimator names some of it and does not say whether it wants it, with routing on.
    """
    given = {key: value for key, value in metadata.items() if value is not None}
    if not get_config()["enable_metadata_routing"]:
        # a Pipeline says it consumes eras even now, but could not hand them to the right step
        named = _named(estimator, method)
        accepted = {key: value for key, value in given.items() if key in named}
        _check_nothing_lost(estimator, method, given, accepted)
        return accepted
    request = requests_of(estimator)
    _check_nothing_lost(estimator, method, given, request.consumes(method, given))
    everything = MetadataRequest(owner=None)
    for key in given:  # requested here, too, so that what the estimator does not want is no error
        getattr(everything, method).add_request(param=key, alias=True)
    router = (
        MetadataRouter(owner="sknumerai")
        .add_self_request(everything)
        .add(estimator=request, method_mapping=_mapping(method, method))
    )
    return dict(process_routing(router, method, **given)["estimator"][method])


def split_metadata(
    estimator: Any, eras: Eras, params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata for ``fit`` and for ``predict``, as scikit-learn's `cross_val_predict` routes it.

    Parameters
    ----------
    estimator : estimator
        Not fitted.
    eras : array-like
        Handed over where they are wanted.
    params : dict
        Metadata that all have to arrive somewhere. With metadata routing off, ``fit`` gets all
        but what only ``predict`` names.

    Raises
    ------
    MissingErasError
        If something inside the estimator wants eras, and the estimator cannot pass them on.
    TypeError
        If something arrives nowhere, with metadata routing on; else ``fit`` raises it.
    UnsetMetadataPassedError
        As `accepted_metadata`.
    """
    params = {key: value for key, value in params.items() if value is not None}
    predictor = estimator
    while is_search(predictor):  # whose best estimator predicts
        predictor = predictor.estimator
    at_fit = accepted_metadata(estimator, "fit", {"eras": eras})
    at_predict = accepted_metadata(predictor, "predict", {"eras": eras})
    if get_config()["enable_metadata_routing"]:
        router = (
            MetadataRouter(owner="era_cross_val_predict")
            .add(estimator=requests_of(estimator), method_mapping=_mapping("fit", "fit"))
            .add(predictor=requests_of(predictor), method_mapping=_mapping("fit", "predict"))
        )
        routed = process_routing(router, "fit", **params)
        return at_fit | routed["estimator"]["fit"], at_predict | routed["predictor"]["predict"]
    named = {method: _named(predictor, method) for method in ("fit", "predict")}
    later = {key for key in params if key in named["predict"] and key not in named["fit"]}
    at_fit |= {key: value for key, value in params.items() if key not in later}
    return at_fit, at_predict | {k: v for k, v in params.items() if k in named["predict"]}


def predict_with_metadata(estimator: Any, X: ArrayLike, **metadata: Any) -> Any:
    """Predict, handing over the metadata that the estimator takes.

    A search takes no metadata in its ``predict``, so that its best estimator predicts.
    """
    estimator = predictor_of(estimator)
    return estimator.predict(X, **accepted_metadata(estimator, "predict", metadata))


def predictor_of(fitted: Any) -> Any:
    """The estimator itself; of a search, whose ``predict`` takes no metadata, its best one."""
    while is_search(fitted):
        fitted = fitted.best_estimator_
    return fitted


def _mapping(caller: str, callee: str) -> MethodMapping:
    return MethodMapping().add(caller=caller, callee=callee)


def _named(estimator: Any, method: str) -> list[str]:
    """Arguments that a method has a name for, ``self`` excluded."""
    parameters = signature(getattr(estimator, method)).parameters.values()
    variable = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind not in variable]


def _check_nothing_lost(
    estimator: Any, method: str, given: dict[str, Any], accepted: Iterable[str]
) -> None:
    """Check that nothing inside an estimator wants what the estimator itself does not take."""
    missed = given.keys() - set(accepted)
    if not missed:
        return
    methods = _AT_PREDICTION if method in _AT_PREDICTION else _EVER
    for part in _parts(estimator):
        if not hasattr(part, "get_metadata_routing") or isclass(part):
            continue
        request = requests_of(part)
        if isinstance(request, MetadataRouter) and "$self_request" not in dict(request):
            continue  # it wants nothing for itself, and what is inside it comes later
        lost = {key for m in methods for key in request.consumes(m, missed)}
        if lost:
            name, names = type(estimator).__name__, " and ".join(sorted(lost))
            error = MissingErasError if "eras" in lost else ValueError
            if get_config()["enable_metadata_routing"]:
                raise error(
                    f"{name} has no way to hand {names} to the {method} of what is inside it, and "
                    f"{type(part).__name__} there needs them; make that the outermost estimator, "
                    "or wrap it only in what passes metadata on, such as a Pipeline."
                )
            raise error(
                f"{name} hands {names} to its steps only by metadata routing, which is off, and "
                f"{type(part).__name__} there needs them; call "
                "sklearn.set_config(enable_metadata_routing=True) first."
            )


def _parts(composite: Any) -> Iterator[Any]:
    """Everything inside the parameters of an estimator, at any depth."""
    if isinstance(composite, FrozenEstimator):  # its fit does nothing, and its predict is direct
        return
    if isinstance(composite, Mapping):
        values: Iterable[Any] = composite.values()
    elif isinstance(composite, list | tuple):
        values = composite
    elif hasattr(composite, "get_params") and not isclass(composite):
        values = composite.get_params(deep=False).values()
    else:
        return
    for value in values:
        yield value
        yield from _parts(value)
