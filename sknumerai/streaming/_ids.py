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
MORE_KEYS = 4


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
        values = pa.chunked_array(chunks)
        if pa.types.is_nested(values.type):
            raise ValueError(
                f"{source} has ids such as {values[0].as_py()!r}; write one text or number per row."
            )
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if str(values.type) == "string_view":  # of which Arrow takes no rows
            values = values.cast(pa.string())
        self.values = values
        self._check_missing()
        self._check_repeated()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int | np.integer) -> Any:
        return self.values[int(row)].as_py()

    def some(self, rows: Array, count: int = 3) -> str:
        """The first of some rows' ids, for messages."""
        return list_some([self[row] for row in rows[: count + 1]], count)

    def take(self, rows: Array) -> Ids:
        """The ids of some rows, in another order."""
        part = object.__new__(Ids)
        part.source, part.values = self.source, self.values.take(rows)
        return part

    def pieces(self) -> Iterator[tuple[slice, Any]]:
        """Rows and their ids, some at a time."""
        for start in range(0, len(self), AT_A_TIME):
            piece = self.values.slice(start, AT_A_TIME)
            yield slice(start, start + len(piece)), piece

    def hashes(self, key: str) -> Array:
        """64 bits for each id, which depend on the key of 16 characters."""
        found = np.empty(len(self), dtype=np.uint64)
        for rows, piece in self.pieces():
            found[rows] = pd.util.hash_array(_texts(piece), hash_key=key, categorize=False)
        return found

    def locate(self, others: Ids) -> Array:
        """The rows of other ids among these, or -1; shape (len(others),), integers.

        By hashes. That equal ones belong to equal ids is verified; where they do not, which none of
        ten million tables will see, another key is tried.
        """
        if self.values.equals(others.values):
            return np.arange(len(self), dtype=_row_type(len(self)))
        whole = _as_one(self.values)
        self.values = import_optional("pyarrow", extra="data").chunked_array([whole])
        for key in (KEY, *(secrets.token_hex(8) for _ in range(MORE_KEYS))):
            found = _locate(self.hashes(key), others, key)
            if found is not None and _agree(whole, others, found):
                return found
        raise ValueError(
            f"{self.source} or {others.source} has ids that differ and are the same as text; write "
            "them as text."
        )

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
        in_order = self.hashes(KEY)
        in_order.sort()
        again = in_order[1:][in_order[1:] == in_order[:-1]]
        if not len(again):
            return
        suspects = np.flatnonzero(np.isin(self.hashes(KEY), again))
        texts: Any = [str(self[row]) for row in suspects]
        repeated = pd.Index(texts).duplicated()
        if repeated.any():
            raise ValueError(
                f"{self.source} has {int(repeated.sum())} repeated ids among {len(self)} rows, "
                f"first {self[suspects[repeated][0]]!r}; keep one row per id."
            )


def _locate(own: Array, others: Ids, key: str) -> Array | None:
    """Positions of hashes, or -1, for other ids; None where the former are not unique."""
    kind = _row_type(len(own))
    if not len(own):
        return np.full(len(others), -1, dtype=kind)
    order = np.argsort(own).astype(kind)
    own.sort()
    if (own[1:] == own[:-1]).any():
        return None
    found = np.empty(len(others), dtype=kind)
    for rows, piece in others.pieces():
        hashes = pd.util.hash_array(_texts(piece), hash_key=key, categorize=False)
        wanted = np.argsort(hashes)  # in order, they are looked up in order, which caches like
        hashes = hashes[wanted]
        place = np.searchsorted(own, hashes)
        place[place == len(own)] = 0
        found[rows.start + wanted] = np.where(own[place] == hashes, order[place], -1)
    return found


def _agree(own: Any, others: Ids, found: Array) -> bool:
    """Whether all rows found have the ids that were looked for."""
    for rows, piece in others.pieces():
        there = np.flatnonzero(found[rows] >= 0)
        ids = own.take(found[rows][there])
        wanted = _as_one(piece if len(there) == len(piece) else piece.take(there))
        if ids.type == wanted.type:
            same = ids.equals(wanted)
        else:
            same = np.array_equal(_texts(ids), _texts(wanted))
        if not same:
            return False
    return True


def _row_type(n_rows: int) -> type[np.signedinteger]:
    return np.int32 if n_rows < 2**31 else np.int64


def _as_one(values: Any) -> Any:
    """Chunks as one array."""
    pa = import_optional("pyarrow", extra="data")
    if not isinstance(values, pa.ChunkedArray):
        return values
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _texts(piece: Any) -> Array:
    """Ids as text, since a CSV does not say whether its ids are numbers."""
    pa = import_optional("pyarrow", extra="data")
    kind = piece.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        piece = piece.cast(pa.string())
    elif str(kind) not in ("string", "large_string"):
        return np.array([_as_text(each) for each in piece.to_pandas()], dtype=object)
    texts: Array = _as_one(piece).to_numpy(zero_copy_only=False)
    return texts


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
