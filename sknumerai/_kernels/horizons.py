"""How far targets look ahead, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable

DEFAULT_HORIZON = 20  # trading days
LEAST = 5  # a smaller number at the end of a name is no horizon


def horizon_of(names: Iterable[object]) -> int:
    """Horizon of targets in trading days: the longest that a name ends in, 20 where none does.

    Parameters
    ----------
    names : iterable
        Such as "target_ender_60".
    """
    ends = (re.fullmatch(r"target.*_(\d{1,3})", str(name)) for name in names)
    found = [int(end[1]) for end in ends if end is not None]
    return max((days for days in found if days >= LEAST), default=DEFAULT_HORIZON)
