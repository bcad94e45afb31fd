"""Gradients of eras, kept for the next candidate that is scored on the same era."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import joblib

from sknumerai._typing import Array

MAX_BYTES = 256 * 2**20  # 6,000 eras of 5,000 stocks


@dataclass(frozen=True)
class CandidateGradient:
    """What scoring a candidate in an era takes: its contribution is p · gradient - offset."""

    gradient: Array
    offset: float
    few_free: bool = False

    @property
    def nbytes(self) -> int:
        return int(self.gradient.nbytes)


class ContentCache:
    """Arrays by the content of what they were computed from; the least recently used go first.

    Parameters
    ----------
    max_bytes : int
    """

    def __init__(self, max_bytes: int = MAX_BYTES):
        self.max_bytes = max_bytes
        self._entries: OrderedDict[str, Any] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, content: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        """What `compute` returns, computed once for the same content.

        Parameters
        ----------
        content : tuple
            Arrays and anything else that can be pickled.
        compute : callable
            Without arguments; returns an object with an attribute ``nbytes``.
        """
        key = joblib.hash(content)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        value = compute()
        with self._lock:
            if key not in self._entries:
                self._entries[key] = value
                self._bytes += value.nbytes
            while self._bytes > self.max_bytes and len(self._entries) > 1:
                self._bytes -= self._entries.popitem(last=False)[1].nbytes
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0


GRADIENTS = ContentCache()
