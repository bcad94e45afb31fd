"""Warnings that name the eras, and point at the line of the caller."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable, Mapping, Sequence
from types import FrameType

import numpy as np

from sknumerai._typing import Array
from sknumerai.exceptions import ConstantPredictionWarning, InfeasibleExposureWarning

# Whose frames lie between the caller's and ours: validation, output containers, parallelism.
LIBRARIES = ("sknumerai", "sklearn", "joblib", "concurrent", "multiprocessing", "threading")
SAID = "__warned_by_sknumerai__"


def callers_level() -> int:
    """Stack level, for `warnings.warn`, of the first caller outside of this package.

    Frames of scikit-learn and joblib, which wrap ours, are skipped, too.
    """
    return _called_from_outside(sys._getframe(1))[1] + 1


def _called_from_outside(frame: FrameType) -> tuple[FrameType, int]:
    """The frame of the function that somebody outside has called, and how far up it is."""
    level = 1
    while frame.f_back is not None and _package(frame.f_back) in LIBRARIES:
        frame, level = frame.f_back, level + 1
    return frame, level


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def warn_of_eras(problem: str, labels: Sequence[Hashable], category: type[Warning]) -> None:
    """One warning that names the eras, the first few of many; one of a kind for each call.

    A search, one call of the user, scores every fold, and resets what Python remembers of
    warnings. What has been said is noted in the frame of the call, which ends with it.
    """
    if not labels:
        return
    frame, level = _called_from_outside(sys._getframe(0))
    if _package(frame) in ("sknumerai", "sklearn"):  # others do not end: they are of workers
        said = frame.f_locals.setdefault(SAID, set())
        if (problem, category) in said:
            return
        said.add((problem, category))
    where = "the table"
    if labels[0] is not None:
        some = ", ".join(map(str, labels[:5])) + ", ..." * (len(labels) > 5)
        where = f"{len(labels)} era{'s' * (len(labels) > 1)} ({some})"
    warnings.warn(f"In {where} {problem}", category, stacklevel=level + 1)


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
