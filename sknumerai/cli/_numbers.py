"""Numbers that can be computed with, and what is said of others."""

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from sknumerai._typing import Array
from sknumerai.cli._errors import CommandError

LARGEST = 1e100


def unusable(values: Array) -> Array:
    """Where values are NaN, infinite, or so large that squares of them would be."""
    largest = float(np.finfo(values.dtype).max) if values.dtype.kind == "f" else np.inf
    return ~(np.abs(values) <= min(largest, LARGEST))


def describe_unusable(values: Array) -> str:
    """How many values cannot be used and why, for messages."""
    kind = "NaN or infinite" if not np.isfinite(values).all() else f"larger than {LARGEST:g}"
    return f"{int(unusable(values).sum())} {kind}"


def check_numeric(column: pd.Series, source: str, column_option: str) -> None:
    """Insist on a column of numbers."""
    if is_numeric_dtype(column) and not is_bool_dtype(column):
        return
    example = ""
    bad = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
    if len(bad):
        example = f", {len(bad)} of {len(column)}, first {bad.iloc[0]!r} at id {bad.index[0]!r}"
    raise CommandError(
        f"Column {column.name!r} of {source} does not hold numbers (dtype "
        f"{column.dtype}{example}); convert it, or name others with {column_option}."
    )


def check_finite(values: Array, ids: pd.Index, names: list[str], source: str) -> None:
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
    raise CommandError(
        f"{source} has {found} of {values.size} predictions, first in column "
        f"{names[column]!r} at id {ids[row]!r}; every row needs a finite prediction."
    )
