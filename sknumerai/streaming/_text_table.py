"""Tables as plain text, for terminals and logs alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GAP = "  "


def format_table(
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    above: Sequence[tuple[str, int]] = (),
) -> str:
    """Align a table: the first column left, all others right; floats with four decimals.

    Parameters
    ----------
    header : sequence of str
    rows : sequence of sequences
    above : sequence of (str, int)
        Titles that stand above the header, with the number of columns that each spans.

    Returns
    -------
    text : str

    Examples
    --------
    >>> print(format_table(["model", "eras", "score"], [["a", 12, 0.5], ["b", 9, -0.25]]))
    model  eras    score
    a        12   0.5000
    b         9  -0.2500
    """
    cells = [list(header), *([_format(value) for value in row] for row in rows)]
    widths = [max(len(row[j]) for row in cells) for j in range(len(header))]
    first = 0
    for title, span in above:
        # A title longer than its columns widens the first of them.
        missing = len(title) - sum(widths[first : first + span]) - len(GAP) * (span - 1)
        widths[first] += max(missing, 0)
        first += span
    lines = [_line(row, widths) for row in cells]
    if above:
        lines.insert(0, _titles(above, widths))
    return "\n".join(lines)


def _format(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if j else cell.ljust(width)
        for j, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return GAP.join([first, *others]).rstrip()


def _titles(above: Sequence[tuple[str, int]], widths: Sequence[int]) -> str:
    parts, first = [], 0
    for title, span in above:
        width = sum(widths[first : first + span]) + len(GAP) * (span - 1)
        parts.append(title.rjust(width))
        first += span
    return GAP.join(parts).rstrip()


def count_of(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}{'s' * (number != 1)}"
