"""Exposure limits as callers write them, as one limit per feature."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

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
    max_exposure : float, array-like of shape (n_features,) or dict
        A dict maps names of features or groups to limits; features it does not name are
        unlimited, and of several limits the tightest wins.
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
    if not isinstance(max_exposure, Mapping):
        return _array_limits(max_exposure, n_features)
    limits = np.full(n_features, np.inf)
    names = range(n_features) if feature_names is None else feature_names
    position = {name: j for j, name in enumerate(names)}
    groups = feature_groups or {}
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


def _array_limits(limit: Any, n_features: int) -> Array:
    limits = np.asarray(limit, dtype=np.float64)
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
