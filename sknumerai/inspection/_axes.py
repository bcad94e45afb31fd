"""What the displays share: axes, tick labels, names."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import ceil
from typing import Any

import narwhals as nw
import pandas as pd

from sknumerai._optional import import_optional
from sknumerai._typing import ArrayLike

CHARACTERS_PER_INCH = 11  # of era labels side by side, at the default font size


def new_axes(ax: Any, figsize: tuple[float, float]) -> Any:
    """The caller's axes, or new ones of their own figure."""
    pyplot = import_optional("matplotlib.pyplot", extra="plot")
    if ax is None:
        _, ax = pyplot.subplots(figsize=figsize, layout="constrained")
    return ax


def label_eras(ax: Any, positions: Sequence[float], labels: Sequence[Hashable]) -> None:
    """Label as many eras on the x axis as can be read, evenly spaced."""
    texts = [era_text(label) for label in labels]
    width = max(len(text) for text in texts) + 2
    room = ax.get_position().width * ax.figure.get_figwidth() * CHARACTERS_PER_INCH
    step = max(1, ceil(len(texts) * width / room))
    ax.set_xticks(list(positions)[::step], texts[::step])
    ax.set_xlabel("era")


def era_text(label: Hashable) -> str:
    """A label as text; dates without a time of day."""
    if isinstance(label, pd.Timestamp) and label == label.normalize():
        return str(label.date())
    return str(label)


def name_of(y_pred: ArrayLike) -> str | None:
    """Name of a one-dimensional prediction, if it has one."""
    native = nw.from_native(y_pred, series_only=True, pass_through=True)
    name = native.name if isinstance(native, nw.Series) else None
    return None if name in (None, "") else str(name)


def finish(ax: Any) -> None:
    """The look that all displays share."""
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
