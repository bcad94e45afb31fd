"""The one loop over eras: a kernel called on the rows of each, in parallel, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm.auto import tqdm

from sknumerai._eras import EraGroups, Rows
from sknumerai._parallel import Prefer, call_in_order
from sknumerai._rows import HasRows, check_same_rows


class EraData(Protocol):
    """Anything that hands out what belongs to one era: a `Table`, risk data, stakes by era."""

    @property
    def row_tables(self) -> Sequence[HasRows]:
        """Those parts of it that have one entry per row."""

    def era(self, label: Hashable, rows: Rows) -> Any:
        """What belongs to an era."""


@contextmanager
def naming_era(label: Hashable) -> Iterator[None]:
    """Put the era's name before the message of a ValueError or OSError raised inside."""
    try:
        yield
    except (ValueError, OSError) as error:
        if label is not None and error.args and isinstance(error.args[0], str):
            error.args = (f"In era {label}: {error.args[0]}", *error.args[1:])
        raise


def _call(kernel: Callable[..., Any], label: Hashable, blocks: tuple[Any, ...]) -> Any:
    with naming_era(label):
        return kernel(*blocks)


def stream_eras(
    kernel: Callable[..., Any],
    tasks: Iterable[tuple[Hashable, tuple[Any, ...]]],
    *,
    total: int | None = None,
    n_jobs: int | None = None,
    prefer: Prefer = "threads",
    verbose: bool | int = False,
) -> Iterator[Any]:
    """Call a kernel on every era of a stream, in parallel, with a progress bar.

    The stream is read as fast as results are made, so that memory stays bounded by a few eras
    for each job.

    Parameters
    ----------
    kernel : callable
        Pure function of one era's arrays; must be picklable for processes.
    tasks : iterable of (label, arrays)
        An era's label (for messages) and the arguments of the kernel.
    total : int, optional
        Number of eras, for the progress bar.
    n_jobs : int, optional
        Number of jobs, as in joblib.
    prefer : {"threads", "processes"}
        See `call_in_order`.
    verbose : bool
        Whether to show a progress bar.

    Yields
    ------
    result
        What the kernel returned, in the order of the tasks.
    """
    calls = ((kernel, label, blocks) for label, blocks in tasks)
    results = call_in_order(_call, calls, n_jobs=n_jobs, prefer=prefer)
    yield from tqdm(results, total=total, unit="era", disable=not verbose)


def map_eras(
    kernel: Callable[..., Any],
    groups: EraGroups,
    *data: EraData,
    n_jobs: int | None = None,
    prefer: Prefer = "threads",
    verbose: bool | int = False,
) -> list[Any]:
    """Call a kernel on the rows of every era.

    All tables are checked to hold the same rows as one another and as the eras.

    Parameters
    ----------
    kernel : callable
        ``kernel(*parts)`` with one part per argument in ``data``.
    groups : EraGroups
        ``groups.sorted()`` for results in the order of the eras.
    *data : Table, RiskTables or EraValues
        Of ``groups.n_samples`` rows.
    n_jobs, prefer, verbose
        See `stream_eras`.

    Returns
    -------
    results : list of length n_eras
        In the order of ``groups.labels``; ``groups.assemble`` puts rows back in order.

    Raises
    ------
    ValueError
        If tables do not hold the same rows, or as the kernel raises, naming the era.
    """
    check_same_rows(*(table for item in data for table in item.row_tables), groups)

    def tasks() -> Iterator[tuple[Hashable, tuple[Any, ...]]]:
        for label, rows in zip(groups.labels, groups.rows, strict=True):
            with naming_era(label):
                parts = tuple(item.era(label, rows) for item in data)
            yield label, parts

    options: Any = {"total": len(groups), "n_jobs": n_jobs, "prefer": prefer, "verbose": verbose}
    return list(stream_eras(kernel, tasks(), **options))


class EraValues:
    """One value per era, such as its stakes, handed out with its rows.

    Parameters
    ----------
    values : mapping of label to value
    """

    row_tables: Sequence[HasRows] = ()

    def __init__(self, values: Mapping[Hashable, Any]):
        self.values = values

    def era(self, label: Hashable, rows: Rows) -> Any:
        """The value of an era."""
        return self.values[label]
