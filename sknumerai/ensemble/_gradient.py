"""Weights of a blend by the gradient of its mean score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sknumerai._era_loop import map_eras
from sknumerai._frames import Table, one_column
from sknumerai._typing import Array
from sknumerai.ensemble._blend_score import BlendScore
from sknumerai.ensemble._simplex import ascend_simplex
from sknumerai.ensemble._surrogates import smooth_contribution, smooth_correlation
from sknumerai.metrics import meta_model_contribution, numerai_corr


@dataclass(frozen=True)
class SmoothScore:
    """A score that has a gradient without its last ranking.

    Attributes
    ----------
    official : callable
        The score with the last ranking.
    kernel : callable
        Value and gradient of that without it, in one era.
    key : str or None
        The metadata that both need as ``meta_model``.
    """

    official: Callable[..., Any]
    kernel: Callable[..., tuple[float, Array]]
    key: str | None = None


SMOOTH = {
    "numerai_corr": SmoothScore(numerai_corr, smooth_correlation),
    "mmc": SmoothScore(meta_model_contribution, smooth_contribution, "meta_model"),
    "bmc": SmoothScore(meta_model_contribution, smooth_contribution, "benchmark"),
}


def read_smooth_score(scoring: Any, metadata: Mapping[str, Any]) -> SmoothScore:
    """The score of a name, whose metadata must be there.

    Raises
    ------
    ValueError, TypeError
    """
    if not isinstance(scoring, str) or scoring not in SMOOTH:
        raise ValueError(
            f"method='gradient' knows the gradients of {', '.join(map(repr, SMOOTH))}, and scoring "
            f"is {scoring!r}; pass one of these, or method='greedy'."
        )
    smooth = SMOOTH[scoring]
    for name in sorted(metadata.keys() - {smooth.key}):
        raise TypeError(f"scoring={scoring!r} takes no {name!r} with method='gradient'.")
    if smooth.key is not None and metadata.get(smooth.key) is None:
        raise ValueError(f"scoring={scoring!r} needs {smooth.key!r}; pass {smooth.key}=...")
    return smooth


def climb(score: BlendScore, smooth: SmoothScore, n_steps: int) -> Array:
    """A local maximum of the mean of a smooth score over eras, from equal weights.

    Parameters
    ----------
    score : BlendScore
    smooth : SmoothScore
    n_steps : int
        Most steps.

    Returns
    -------
    weights : ndarray of shape (n_members,)
        On the simplex; zero for members that are constant in an era.
    """
    if not len(score.usable):
        raise ValueError("Every prediction is constant in some era; leave out those eras.")
    weights = np.zeros(score.n_members)
    weights[score.usable] = 1.0 / len(score.usable)
    others = {} if smooth.key is None else {"meta_model": score.metadata[smooth.key]}
    start = score.blend(weights)
    if np.isnan(start).any():
        raise ValueError(
            "The sum of all predictions, where the ascent starts, is constant in some era; pass "
            "method='greedy'."
        )
    by_era = smooth.official(
        score.y, start, eras=score.eras, aggregate=None, missing="skip", **others
    )
    if by_era.isna().any():
        compared = "y" if smooth.key is None else f"y or {smooth.key}"
        raise ValueError(
            f"{compared} is constant in {int(by_era.isna().sum())} of {len(by_era)} eras, so that "
            "nothing can be scored there; leave them out."
        )
    scored = set(by_era.index)  # without eras that lack targets, of which there is a warning
    labels = score.groups.labels
    groups = score.groups.take(i for i, label in enumerate(labels) if label in scored)
    tables = [
        score.signals.subset(score.usable.tolist()),
        Table(score.y, "y", allow_nan=True),
        *(one_column(table, name, allow_nan=True) for name, table in others.items()),
    ]

    def objective(weights: Array) -> tuple[float, Array]:
        by_era = map_eras(partial(smooth.kernel, weights=weights), groups, *tables)
        values, gradients = zip(*by_era, strict=True)
        return float(np.mean(values)), np.mean(gradients, axis=0)

    weights[score.usable] = ascend_simplex(objective, weights[score.usable], n_steps)
    return weights
