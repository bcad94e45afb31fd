"""Calls in parallel, with their results in order and in bounded memory."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed

CALLS_PER_JOB = 2  # under way at a time, as joblib has it

_watched: set[tuple[int, int]] = set()


def call_in_order(
    function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], *, n_jobs: int | None
) -> Iterator[Any]:
    """Call a function again and again, by the backend of joblib that is configured.

    Arguments are read as fast as results are made. Backends that cannot do so, those of
    multiprocessing and Ray among them, get a few at a time.

    Parameters
    ----------
    function : callable
        Must be picklable for ``n_jobs`` > 1.
    arguments : iterable of tuple
        The arguments of each call.
    n_jobs : int or None
        Number of jobs, as in joblib.

    Yields
    ------
    result
        Of each call, in the order of the arguments.
    """
    call = delayed(_call)
    calls = (call(os.getpid(), function, each) for each in arguments)
    backend, _ = get_active_backend()
    if backend.supports_return_generator:
        yield from Parallel(n_jobs=n_jobs, return_as="generator")(calls)
        return
    size = CALLS_PER_JOB * effective_n_jobs(n_jobs)
    with Parallel(n_jobs=n_jobs) as parallel:  # one pool for all calls
        while some := list(islice(calls, size)):
            yield from parallel(some)


def _call(parent: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    _end_with(parent, os.getpid())
    return function(*arguments)


def _end_with(parent: int, own: int) -> None:
    """Let a worker process end with its parent, which may be killed and then waits for nothing."""
    if (parent, own) not in _watched and os.getppid() == parent != own:
        _watched.add((parent, own))  # a forked process inherits this, but not the thread
        threading.Thread(target=_await_end, args=(parent,), daemon=True).start()


def _await_end(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
