"""Warnings that name the eras, and point at the line of the caller."""

import sys
import warnings
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from sknumerai._typing import Array
from sknumerai.exceptions import ConstantPredictionWarning, InfeasibleExposureWarning


def callers_level() -> int:
    """Stack level, for `warnings.warn`, of the first caller outside of this package.

    Frames of scikit-learn are skipped, too: its validation and its output containers wrap ours.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("sknumerai.", "sklearn.")
    ):
        frame, level = frame.f_back, level + 1
    return level


def warn_of_eras(problem: str, labels: Sequence[Hashable], category: type[Warning]) -> None:
    """One warning that names the eras, the first few of many."""
    if not labels:
        return
    where = "the table"
    if labels[0] is not None:
        some = ", ".join(map(str, labels[:5])) + ", ..." * (len(labels) > 5)
        where = f"{len(labels)} era{'s' * (len(labels) > 1)} ({some})"
    warnings.warn(f"In {where} {problem}", category, stacklevel=callers_level())


def warn_of_nan(labels: Sequence[Hashable], blocks: Sequence[Array]) -> None:
    """Warn of eras where a prediction became NaN.

    Parameters
    ----------
    labels : sequence of labels
    blocks : sequence of ndarray of shape (n_era or 1, n_predictions)
        A first row is enough, since predictions are NaN in whole eras.
    """
    warn_of_eras(
        "the result is NaN: a prediction is constant, or nothing of it can be kept.",
        [label for label, block in zip(labels, blocks, strict=True) if np.isnan(block[0]).any()],
        ConstantPredictionWarning,
    )


def warn_of_widened(multiples: Mapping[Hashable, float]) -> None:
    """Warn of eras whose exposure limits were multiplied by more than one.

    Parameters
    ----------
    multiples : dict of label to float
    """
    widened = {label: multiple for label, multiple in multiples.items() if multiple > 1.0}
    if widened:
        warn_of_eras(
            "the exposure limits cannot be met and were widened, at most to "
            f"{max(widened.values()):.4g} times.",
            list(widened),
            InfeasibleExposureWarning,
        )
