"""Kernels on the eras of files: in this process, or by any executor, wherever its workers are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

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
) -> Iterator[Any]:
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
    total = len(task.labels)
    n_jobs = 1 if executor is None else executor
    if isinstance(n_jobs, int | np.integer):
        if n_jobs == 1 or not task.readings or _row_groups_are_large(task.readings):
            yield from stream_eras(
                kernel, task.calls(), total=total, n_jobs=n_jobs, prefer=prefer, verbose=verbose
            )
            return
        outcomes = _by_joblib(kernel, task, n_jobs, prefer)
    elif callable(getattr(executor, "submit", None)):
        outcomes = _submitted(kernel, task, executor)
    else:
        raise ValueError(
            f"executor is a {type(executor).__name__}; pass None, a number of jobs, or an object "
            "with the method submit() of concurrent.futures.Executor."
        )
    early: dict[int, Any] = {}
    turn = 0
    with tqdm(total=total, unit="era", disable=not verbose) as progress:
        for positions, outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
            early.update(zip(positions, outcome, strict=True))
            progress.update(len(positions))
            while turn in early:
                yield early.pop(turn)
                turn += 1


def _row_groups_are_large(readings: Sequence[Reading]) -> bool:
    """Whether most of what a task would decode is of others, so that one reader serves all."""
    sizes = np.diff(readings[0].parts.starts)
    return bool(sizes.max() > LARGEST_ROW_GROUP)


def _by_joblib(
    kernel: Kernel, task: EraTask, n_jobs: int, prefer: Prefer
) -> Iterator[tuple[list[int], Any]]:
    """Positions and outcome of one task after the other, by jobs here."""
    tasks = split(task.readings, len(task.labels))
    calls = ((kernel, task.take(positions)) for positions in tasks)
    yield from zip(tasks, call_in_order(run, calls, n_jobs=n_jobs, prefer=prefer), strict=True)


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


def _submitted(kernel: Kernel, task: EraTask, executor: Any) -> Iterator[tuple[list[int], Any]]:
    """Positions and outcome of one task after the other, by an executor."""
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
            except Exception as error:  # not of the kernel, whose errors are outcomes
                if tries == TRIES:
                    raise _lost(executor, error) from error
                submit(positions, tries + 1)
                under_way.rotate(1)  # it stays the next
                continue
            yield positions, outcome
    finally:
        for _, future, _ in under_way:
            future.cancel()


def run(kernel: Kernel, task: EraTask) -> list[Any] | Exception:
    """What a worker does: read the eras of a task and call the kernel on each.

    Errors are returned, so that they can be told from those of the executor.
    """
    try:
        with one_thread():  # a worker is one of many on its machine
            results = []
            for label, arguments in task.calls():
                with naming_era(label):
                    results.append(kernel(*arguments))
            return results
    except Exception as error:
        return error


def _lost(executor: Any, error: Exception) -> LostWorkersError:
    text = " ".join(str(error).split())[:200]
    reason = f"{type(error).__name__}{f': {text}' if text else ''}"
    return LostWorkersError(
        f"The executor ({type(executor).__name__}) lost a task {TRIES} times, or its scheduler "
        f"({reason}); see the logs of its workers, whose memory may not suffice, and run it again."
    )
