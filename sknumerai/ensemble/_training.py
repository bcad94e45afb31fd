"""Members at work: fitted, asked for predictions, and for those out of fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone

from sknumerai._parallel import call_in_order
from sknumerai._routing import accepted_metadata, predictor_of, requests_of
from sknumerai._sklearn import _num_samples, _safe_indexing, is_search
from sknumerai._typing import Array, Splitter
from sknumerai.ensemble._blend import take_rows
from sknumerai.ensemble._members import Member
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict

Splits = list[tuple[Array, Array]]


@dataclass(frozen=True)
class Training:
    """What a member is trained on.

    Attributes
    ----------
    member : Member
    target : ndarray of shape (n_samples,)
        NaN in rows that are left out.
    at_fit : dict
        Metadata of its ``fit``, eras included.
    params : dict
        The same without the eras, under the callers' names.
    """

    member: Member
    target: Array
    at_fit: dict[str, Any]
    params: dict[str, Any]


def plan_training(
    member: Member, target: Array, own: Mapping[str, Any], params: Mapping[str, Any]
) -> Training:
    """What a member is trained on, with the metadata that it takes.

    Parameters
    ----------
    member : Member
    target : ndarray of shape (n_samples,)
    own : mapping
        Eras and features; None is left out. With metadata routing off, a member gets them if its
        ``fit`` names them.
    params : mapping
        Other metadata. With metadata routing off, every member gets all of them.
    """
    own = {key: value for key, value in own.items() if value is not None}
    predictor = member.estimator
    while is_search(predictor):  # whose best estimator predicts
        predictor = predictor.estimator
    accepted_metadata(predictor, "predict", own)  # an error, before all work, if some would be lost
    at_fit = accepted_metadata(member.estimator, "fit", own)
    if get_config()["enable_metadata_routing"]:
        given = {**own, **params}
        wanted = requests_of(member.estimator).consumes("fit", given)
        concerning = {key: given[key] for key in wanted}
        at_fit = accepted_metadata(member.estimator, "fit", concerning)
    else:
        concerning = at_fit = {**params, **at_fit}
    concerning = {key: value for key, value in concerning.items() if key != "eras"}
    return Training(member, target, at_fit, concerning)


def fit_members(trainings: Sequence[Training], X: Any, n_jobs: int | None) -> list[Any]:
    """Fitted clones of the members."""
    calls = (
        (clone(training.member.estimator), X, training.target, training.at_fit)
        for training in trainings
    )
    return list(call_in_order(_fit_known, calls, n_jobs=n_jobs))


def predict_members(
    names: Iterable[str], fitted: Iterable[Any], X: Any, own: Mapping[str, Any]
) -> Array:
    """One column of predictions for each member, shape (n_samples, n_members)."""
    columns = []
    for name, estimator in zip(names, fitted, strict=True):
        predictor = predictor_of(estimator)
        metadata = accepted_metadata(predictor, "predict", dict(own))
        columns.append(_one_column(predictor.predict(X, **metadata), name))
    return np.column_stack(columns)


def make_splits(cv: Any, X: Any, y: Any, eras: Any) -> Splits:
    """Rows of training and test sets.

    Parameters
    ----------
    cv : splitter, iterable of (train, test), int or None
        A number of folds, or None, is that of `PurgedEraKFold`.
    """
    if cv is None or isinstance(cv, int | np.integer):
        cv = PurgedEraKFold() if cv is None else PurgedEraKFold(int(cv))
    if hasattr(cv, "split"):
        splitter: Splitter = cv
        return list(splitter.split(X, y, groups=eras))
    return [(np.asarray(train), np.asarray(test)) for train, test in cv]


def predict_out_of_fold(
    trainings: Sequence[Training], X: Any, eras: Any, splits: Splits, n_jobs: int | None
) -> tuple[Array, Array]:
    """Out-of-fold predictions of all members.

    Returns
    -------
    tested : ndarray of int
        The rows that are in some test set.
    predictions : ndarray of shape (n_tested, n_members)
    """
    if not splits:
        raise ValueError("cv makes no splits; ask for at least one.")
    tested = np.unique(np.concatenate([test for _, test in splits]))
    columns = []
    for training in trainings:
        known = ~np.isnan(training.target)
        predictions = era_cross_val_predict(
            training.member.estimator,
            X,
            training.target,
            eras=eras,
            cv=[(train[known[train]], test) for train, test in splits],
            params=training.params,
            n_jobs=n_jobs,
        )
        columns.append(_one_column(predictions, training.member.name)[tested])
    return tested, np.column_stack(columns)


def _fit_known(estimator: Any, X: Any, target: Array, params: dict[str, Any]) -> Any:
    """Fit to the rows that have a target."""
    known = np.flatnonzero(~np.isnan(target))
    if len(known) == _num_samples(X):
        return estimator.fit(X, target, **params)
    return estimator.fit(_safe_indexing(X, known), target[known], **take_rows(X, params, known))


def _one_column(predictions: Any, name: str) -> Array:
    values = np.asarray(predictions)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            f"The member {name!r} predicts shape {values.shape}; pass regressors of one target."
        )
    return values
