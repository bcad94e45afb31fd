"""Names and texts of files, in messages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

LONGEST_QUOTE = 120


def shorten(text: str) -> str:
    """Text of a file for a message: one of 100,000 characters would hide what to do."""
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]} ..."


def list_some(names: Iterable[object], count: int = 5) -> str:
    """The first names of many."""
    some = [shorten(repr(name)) for name in islice(names, count + 1)]
    return ", ".join(some[:count]) + ", ..." * (len(some) > count)
