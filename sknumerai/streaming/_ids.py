"""Ids of rows: as Arrow text of some twenty bytes each, matched by hashes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._optional import import_optional
from sknumerai._typing import Array
from sknumerai.streaming._quoting import list_some

ID = "id"
AT_A_TIME = 2**17  # ids that are Python objects at a time
KEY = "sknumerai-hashes"


class Ids:
    """Ids of the rows of a table, each another one.

    Parameters
    ----------
    chunks : sequence of pyarrow.Array
        The ids as the file has them, in pieces of one type.
    source : str
        What messages call the table.

    Raises
    ------
    ValueError
        If an id is missing or repeated.
    """

    def __init__(self, chunks: Sequence[Any], source: str):
        pa = import_optional("pyarrow", extra="data")
        self.source = source
        values = pa.chunked_array(chunks).unify_dictionaries().combine_chunks()
        if pa.types.is_nested(values.type):
            raise ValueError(
                f"{source} has ids such as {values[0].as_py()!r}; write one text or number per row."
            )
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        self.values = values
        self._hashed: tuple[str, Array] | None = None
        self._check_missing()
        self._check_repeated()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int | np.integer) -> Any:
        return self.values[int(row)].as_py()

    def some(self, rows: Array, count: int = 3) -> str:
        """The first of some rows' ids, for messages."""
        return list_some([self[row] for row in rows[: count + 1]], count)

    def _texts(self) -> Iterator[Array]:
        """Pieces of all ids, as text, since a CSV does not say whether its ids are numbers."""
        pa = import_optional("pyarrow", extra="data")
        exact = pa.types.is_integer(self.values.type) or pa.types.is_boolean(self.values.type)
        for start in range(0, len(self), AT_A_TIME):
            piece = self.values.slice(start, AT_A_TIME)
            if exact:
                piece = piece.cast(pa.string())
            if not (exact or _is_text(self.values.type)):  # as pandas writes it
                piece = pa.array(piece.to_pandas().astype(str), pa.string())
            yield piece.to_numpy(zero_copy_only=False)

    def hashes(self, key: str) -> Array:
        """64 bits for each id, which depend on the key of 16 characters."""
        if self._hashed is None or self._hashed[0] != key:
            pieces = [
                pd.util.hash_array(texts, hash_key=key, categorize=False) for texts in self._texts()
            ]
            self._hashed = key, np.concatenate(pieces)
        return self._hashed[1]

    def _check_missing(self) -> None:
        pc = import_optional("pyarrow.compute", extra="data")
        missing = pc.is_null(self.values, nan_is_null=True)
        count = pc.sum(missing).as_py() or 0
        if count:
            raise ValueError(
                f"{self.source} has {count} of {len(self)} rows without an id, first row "
                f"{missing.index(True).as_py()}; give every row one."
            )

    def _check_repeated(self) -> None:
        hashes = self.hashes(KEY)
        in_order = np.sort(hashes)
        again = in_order[1:][in_order[1:] == in_order[:-1]]
        if not len(again):
            return
        suspects = np.flatnonzero(np.isin(hashes, again))
        texts: Any = [str(self[row]) for row in suspects]
        repeated = pd.Index(texts).duplicated()
        if repeated.any():
            raise ValueError(
                f"{self.source} has {int(repeated.sum())} repeated ids among {len(self)} rows, "
                f"first {self[suspects[repeated][0]]!r}; keep one row per id."
            )

    def locate(self, others: Ids) -> Array:
        """The rows of other ids among these, or -1; shape (len(others),), int64.

        By hashes. That equal ones belong to equal ids is verified; where they do not, which none of
        ten million tables will see, another key is tried.
        """
        if self.values.equals(others.values):
            return np.arange(len(self))
        key = KEY
        while True:
            found = _locate(self.hashes(key), others.hashes(key))
            if found is not None and self._agree(others, found):
                return found
            key = secrets.token_hex(8)

    def _agree(self, others: Ids, found: Array) -> bool:
        """Whether all rows found have the ids that were looked for."""
        there = np.flatnonzero(found >= 0)
        own, other = self.take(found[there]), others.take(there)
        if own.values.type == other.values.type:
            return bool(own.values.equals(other.values))
        pairs = zip(own._texts(), other._texts(), strict=True)
        return all(np.array_equal(texts, as_well) for texts, as_well in pairs)

    def take(self, rows: Array) -> Ids:
        """The ids of some rows, in another order."""
        part = object.__new__(Ids)
        part.source, part.values, part._hashed = self.source, self.values.take(rows), None
        return part


def _locate(own: Array, others: Array) -> Array | None:
    """Positions of hashes among others, or -1; None where the former are not unique."""
    order, wanted = np.argsort(own), np.argsort(others)
    own, others = own[order], others[wanted]
    if (own[1:] == own[:-1]).any():
        return None
    place = np.searchsorted(own, others)  # both in order, which caches like
    place[place == len(own)] = 0
    found = np.empty(len(others), dtype=np.int64)
    found[wanted] = np.where(own[place] == others, order[place], -1)
    return found


def _is_text(kind: Any) -> bool:
    return str(kind) in ("string", "large_string", "string_view")
