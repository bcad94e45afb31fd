"""Kernels on the eras of files: in this process, or by any executor, wherever its workers are."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from tqdm.auto import tqdm

from sknumerai._era_loop import naming_era, stream_eras
from sknumerai._kernels.linalg import one_thread
from sknumerai._optional import import_optional
from sknumerai._parallel import Prefer, call_in_order
from sknumerai._typing import EraLabel
from sknumerai.exceptions import LostWorkersError
from sknumerai.streaming._row_source import Reading

ROWS_PER_TASK = 20_000  # of a few eras
LARGEST_ROW_GROUP = 4 * ROWS_PER_TASK  # that several jobs here read one after the other
TASKS_PER_ROW_GROUP = (
    8  # at most, since each but the first decodes rows of others to get to its own
)
TASKS_UNDER_WAY = 256
TRIES = 3
CANCELLED = (concurrent.futures.CancelledError, asyncio.CancelledError)

Kernel = Callable[..., Any]
Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class EraTask:
    """A kernel's arguments for some eras: what is known of them, and what is read of files.

    It holds all that a worker needs, which opens the files itself.

    Attributes
    ----------
    labels : sequence
        Of the eras.
    arguments : callable
        Takes a position in ``labels``, and returns the first arguments of the kernel.
    readings : sequence of Reading
        One further argument each.
    """

    labels: Sequence[EraLabel]
    arguments: Callable[[int], Arguments]
    readings: Sequence[Reading]

    def calls(self) -> Iterator[tuple[EraLabel, Arguments]]:
        """Label and arguments, era after era."""
        tables = (
            zip(*self.readings, strict=True) if self.readings else iter([()] * len(self.labels))
        )
        for i, (label, read) in enumerate(zip(self.labels, tables, strict=True)):
            with naming_era(label):
                arguments = self.arguments(i)
            yield label, (*arguments, *read)

    def take(self, positions: Sequence[int]) -> EraTask:
        """The same of some of the eras."""
        arguments = [self.arguments(i) for i in positions]
        return EraTask(
            [self.labels[i] for i in positions],
            arguments.__getitem__,
            [reading.take(positions) for reading in self.readings],
        )


def compute(
    kernel: Kernel,
    task: EraTask,
    *,
    executor: int | Executor | None,
    prefer: Prefer = "threads",
    verbose: bool | int = False,
) -> Generator[Any, None, None]:
    """Call a kernel on every era of a task.

    Parameters
    ----------
    kernel : callable
        Pure function of one era's arrays.
    task : EraTask
    executor : int, Executor or None
        Number of jobs here, as in joblib, or whatever runs tasks elsewhere.
    prefer : {"threads", "processes"}
        What jobs here are, see `stream_eras`.
    verbose : bool
        Whether to show a progress bar.

    Yields
    ------
    result
        What the kernel returned, in the order of the labels.

    Raises
    ------
    LostWorkersError
        If the executor lost its workers again and again.
    """
    import_optional("pyarrow", extra="data").default_memory_pool().release_unused()
    is_number = isinstance(executor, int | np.integer)
    usable = executor != 0 if is_number else callable(getattr(executor, "submit", None))
    if executor is not None and not usable:
        found = repr(executor) if is_number else f"a {type(executor).__name__}"
        raise ValueError(
            f"executor is {found}; pass None, a number of jobs, or an object with the method "
            "submit() of concurrent.futures.Executor."
        )
    total = len(task.labels)
    if executor is None or (not is_number and not task.readings):
        calls = tqdm(task.calls(), total=total, unit="era", disable=not verbose)
        for label, arguments in calls:
            with naming_era(label):
                result = kernel(*arguments)
            yield result
        return
    if not is_number:
        outcomes = _submitted(kernel, task, executor)
    elif executor == 1 or not task.readings or _row_groups_are_large(task.readings):
        options: Any = {"total": total, "n_jobs": executor, "prefer": prefer, "verbose": verbose}
        yield from stream_eras(kernel, task.calls(), **options)
        return
    else:
        outcomes = _by_joblib(kernel, task, cast(int, executor), prefer)
    early: dict[int, Any] = {}
    turn = 0
    with closing(outcomes), tqdm(total=total, unit="era", disable=not verbose) as progress:
        for positions, results in outcomes:
            early.update(zip(positions, results, strict=True))
            progress.update(len(positions))
            while turn in early:
                yield early.pop(turn)
                turn += 1


def _row_groups_are_large(readings: Sequence[Reading]) -> bool:
    """Whether most of what a task would decode is of others, so that one reader serves all."""
    sizes = np.diff(readings[0].parts.starts)
    return bool(sizes.max() > LARGEST_ROW_GROUP)


Outcomes = Generator[tuple[list[int], list[Any]], None, None]


def _by_joblib(kernel: Kernel, task: EraTask, n_jobs: int, prefer: Prefer) -> Outcomes:
    """Positions and results of one task after the other, by jobs here."""
    tasks = split(task.readings, len(task.labels))
    calls = ((kernel, task.take(positions)) for positions in tasks)
    results = call_in_order(compute_task, calls, n_jobs=n_jobs, prefer=prefer)
    yield from zip(tasks, results, strict=True)


def split(readings: Sequence[Reading], n_eras: int) -> list[list[int]]:
    """Positions of a few eras each, that stand together in the first file.

    Tasks begin where row groups do, as far as these are not too large.
    """
    if not readings:
        return [[i] for i in range(n_eras)]
    rows = readings[0].rows
    starts = readings[0].parts.starts
    first = [part.start if isinstance(part, slice) else int(part.min()) for part in rows]
    sizes = [part.stop - part.start if isinstance(part, slice) else len(part) for part in rows]
    group = np.searchsorted(starts, first, side="right") - 1
    tasks: list[list[int]] = []
    held = 0
    for i in sorted(range(n_eras), key=first.__getitem__):
        if tasks:
            last = tasks[-1][-1]
            large = (starts[group[last] + 1] - starts[group[last]]) / TASKS_PER_ROW_GROUP
            enough = max(ROWS_PER_TASK, large)
            if held >= 2 * enough or (held >= enough and group[i] != group[last]):
                tasks.append([])
                held = 0
        else:
            tasks.append([])
        tasks[-1].append(i)
        held += sizes[i]
    return tasks


def _submitted(kernel: Kernel, task: EraTask, executor: Any) -> Outcomes:
    """Positions and results of one task after the other, by an executor."""
    waiting = deque(split(task.readings, len(task.labels)))
    under_way: deque[tuple[list[int], Any, int]] = deque()

    def submit(positions: list[int], tries: int) -> None:
        try:
            future = executor.submit(run, kernel, task.take(positions))
        except Exception as error:
            raise _lost(executor, error) from error
        under_way.append((positions, future, tries))

    try:
        while waiting or under_way:
            while waiting and len(under_way) < TASKS_UNDER_WAY:
                submit(waiting.popleft(), 1)
            positions, future, tries = under_way.popleft()
            try:
                outcome = future.result()
            except CANCELLED as error:  # all of them, as by a client whose scheduler is gone
                raise _lost(executor, error) from error
            except Exception as error:  # not of the kernel, whose errors are outcomes
                if tries == TRIES:
                    raise _lost(executor, error) from error
                submit(positions, tries + 1)
                under_way.rotate(1)  # it stays the next
                continue
            if isinstance(outcome, Exception):
                raise outcome
            yield positions, outcome
    finally:
        for _, future, _ in under_way:
            future.cancel()


def run(kernel: Kernel, task: EraTask) -> list[Any] | Exception:
    """What a worker does: `compute_task`.

    Errors are returned, so that they can be told from those of the executor.
    """
    try:
        return compute_task(kernel, task)
    except Exception as error:
        return error


def compute_task(kernel: Kernel, task: EraTask) -> list[Any]:
    """What a kernel returns for every era of a task."""
    results = []
    with one_thread():  # a worker is one of many on its machine
        for label, arguments in task.calls():
            with naming_era(label):
                results.append(kernel(*arguments))
    return results


def _lost(executor: Any, error: BaseException) -> LostWorkersError:
    text = " ".join(str(error).split())[:200]
    reason = f"{type(error).__name__}{f': {text}' if text else ''}"
    return LostWorkersError(
        f"The executor ({type(executor).__name__}) lost a task {TRIES} times, or its scheduler "
        f"({reason}); see the logs of its workers, whose memory may not suffice, and run it again."
    )
