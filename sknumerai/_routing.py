"""Handing eras and other metadata to estimators that want them, and to no others."""

from inspect import signature
from typing import Any

from sklearn import get_config
from sklearn.utils.metadata_routing import get_routing_for_object

from sknumerai._sklearn import is_search
from sknumerai._typing import ArrayLike


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
    """
    given = {key: value for key, value in metadata.items() if value is not None}
    if get_config()["enable_metadata_routing"]:
        keep = get_routing_for_object(estimator).consumes(method, given)
    else:
        # a Pipeline says it consumes eras even now, but could not hand them to the right step
        keep = given.keys() & signature(getattr(estimator, method)).parameters.keys()
    return {key: given[key] for key in given if key in keep}


def predict_with_metadata(estimator: Any, X: ArrayLike, **metadata: Any) -> Any:
    """Predict, handing over the metadata that the estimator takes.

    A search takes no metadata in its ``predict``, so that its best estimator predicts.
    """
    while is_search(estimator):
        estimator = estimator.best_estimator_
    return estimator.predict(X, **accepted_metadata(estimator, "predict", metadata))
