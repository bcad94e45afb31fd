"""Exposure limits as callers write them, as one limit per feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._typing import Array, ExposureLimit, FeatureGroups


def exposure_limits(
    max_exposure: ExposureLimit,
    feature_names: Sequence[Any] | None,
    n_features: int,
    feature_groups: FeatureGroups | None,
) -> Array:
    """One limit per feature.

    Parameters
    ----------
    max_exposure : float, array-like of shape (n_features,), Series or dict
        A Series names every feature in its index. A dict maps names of features or groups to
        limits; features it does not name are unlimited, and of several limits the tightest wins.
    feature_names : sequence or None
        Names of the features, where they have any.
    n_features : int
    feature_groups : dict of group name to feature names, or None

    Returns
    -------
    limits : ndarray of shape (n_features,), float64
        Infinite for unlimited features.

    Raises
    ------
    ValueError
        If a limit is negative or NaN, of another shape, or names an unknown feature.
    """
    if isinstance(max_exposure, pd.Series):
        max_exposure = _labelled_limits(max_exposure, feature_names, n_features)
    if not isinstance(max_exposure, Mapping):
        return _array_limits(max_exposure, n_features)
    limits = np.full(n_features, np.inf)
    names = range(n_features) if feature_names is None else feature_names
    position = {name: j for j, name in enumerate(names)}
    groups = feature_groups or {}
    text = [name for name, members in groups.items() if isinstance(members, str)]
    if text:
        raise ValueError(f"feature_groups[{text[0]!r}] is a str; pass a list of names.")
    both = [name for name in groups if name in position]
    if both:
        raise ValueError(
            f"feature_groups has a group {both[0]!r}, which is also the name of a feature; call "
            "the group something else."
        )
    for name, limit in max_exposure.items():
        if not isinstance(limit, Real):
            raise ValueError(f"max_exposure[{name!r}] must be a number; found {limit!r}.")
        if name not in position and name not in groups:
            raise ValueError(
                f"max_exposure names {name!r}, which is neither one of the {n_features} features "
                f"nor a key of feature_groups ({', '.join(map(repr, groups)) or 'none given'})."
            )
        members = groups.get(name, [name])
        unknown = [member for member in members if member not in position]
        if unknown:
            raise ValueError(
                f"feature_groups[{name!r}] names {unknown[0]!r} and {len(unknown) - 1} others that "
                f"are not among the {n_features} features; name features that are."
            )
        columns = [position[member] for member in members]
        limits[columns] = np.minimum(limits[columns], _array_limits(limit, len(columns)))
    return limits


def _labelled_limits(
    limits: pd.Series, feature_names: Sequence[Any] | None, n_features: int
) -> Mapping[Any, Any] | Array:
    """Limits by the labels of a Series, which must name every feature once."""
    if feature_names is None:
        feature_names = range(n_features)
    unknown = [label for label in limits.index if label not in set(feature_names)]
    missing = [name for name in feature_names if name not in limits.index]
    if unknown or missing or not limits.index.is_unique:
        found = [f"{len(unknown)} unknown, first {unknown[0]!r}"] if unknown else []
        if missing:
            found.append(f"{len(missing)} of {n_features} missing, first {missing[0]!r}")
        if not limits.index.is_unique:
            found.append("some twice")
        raise ValueError(
            f"The labels of max_exposure are not those of the features ({'; '.join(found)}); label "
            "every feature once, or pass a dict to leave features unlimited."
        )
    return limits.loc[list(feature_names)].to_numpy()


def _array_limits(limit: Any, n_features: int) -> Array:
    try:
        limits = np.asarray(limit, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"max_exposure must hold numbers; found {limit!r}.") from None
    if limits.ndim == 0:
        limits = np.full(n_features, float(limits))
    if limits.shape != (n_features,):
        raise ValueError(
            f"max_exposure has shape {limits.shape} for {n_features} features; pass one number, "
            f"one limit per feature, or a dict."
        )
    bad = np.isnan(limits) | (limits < 0)
    if bad.any():
        raise ValueError(
            f"max_exposure holds {limits[bad][0]}; limits are absolute correlations, 0 or more."
        )
    return limits
