"""Numbers that can be computed with, and what is said of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sknumerai._typing import Array
from sknumerai.streaming._ids import Ids

LARGEST = 1e100


def unusable(values: Array) -> Array:
    """Where values are NaN, infinite, or so large that squares of them would be."""
    largest = float(np.finfo(values.dtype).max) if values.dtype.kind == "f" else np.inf
    return ~(np.abs(values) <= min(largest, LARGEST))


def describe_unusable(values: Array) -> str:
    """How many values cannot be used and why, for messages."""
    kind = "NaN or infinite" if not np.isfinite(values).all() else f"larger than {LARGEST:g}"
    return f"{int(unusable(values).sum())} {kind}"


def describe_text(column: Any, ids: Ids) -> str:
    """How many values of an Arrow column are no numbers, and the first of them."""
    series = column.to_pandas()
    bad = np.flatnonzero(pd.to_numeric(series, errors="coerce").isna() & series.notna())
    if not len(bad):
        return ""
    return f", {len(bad)} of {len(series)}, first {series.iloc[bad[0]]!r} at id {ids[bad[0]]!r}"


def check_finite(values: Array, ids: Ids, names: list[str], source: str) -> None:
    """Insist on predictions that can be computed with."""
    bad = unusable(values)
    if not bad.any():
        return
    row, column = (int(v) for v in np.argwhere(bad)[0])
    counts = {
        "NaN": int(np.isnan(values).sum()),
        "infinite": int(np.isinf(values).sum()),
        f"larger than {LARGEST:g}": int((bad & np.isfinite(values)).sum()),
    }
    found = " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    raise ValueError(
        f"{source} has {found} of {values.size} predictions, first in column "
        f"{names[column]!r} at id {ids[row]!r}; every row needs a finite prediction."
    )
