"""Calls in parallel, with their results in order and in bounded memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any, Literal

from joblib import cpu_count
from joblib.parallel import get_active_backend
from sklearn.utils.parallel import Parallel, delayed

from sknumerai._sklearn import _get_threadpool_controller

CALLS_PER_JOB = 2  # under way at a time, as joblib has it

Prefer = Literal["threads", "processes"]

_watched: set[tuple[int, int]] = set()


def call_in_order(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    n_jobs: int | None,
    prefer: Prefer = "processes",
) -> Iterator[Any]:
    """Call a function again and again, by the backend of joblib that is configured.

    Arguments are read as fast as results are made. Backends that cannot do so, those of
    multiprocessing and Ray among them, get a few at a time. Threads share the processors with the
    threads of linear algebra, of which each gets its part.

    Parameters
    ----------
    function : callable
        Must be picklable for processes.
    arguments : iterable of tuple
        The arguments of each call.
    n_jobs : int or None
        Number of jobs, as in joblib.
    prefer : {"threads", "processes"}, default="processes"
        What ``joblib.parallel_config`` can override: threads, which ship nothing, for functions
        that spend their time in numpy; processes for those that spend it in Python.

    Yields
    ------
    result
        Of each call, in the order of the arguments.
    """
    if n_jobs is None:  # joblib forgets the number that is configured where it turns to threads
        _, n_jobs = get_active_backend(prefer="processes")
    backend, _ = get_active_backend(prefer=prefer)
    n_active = backend.effective_n_jobs(n_jobs)
    if n_active == 1:
        yield from (function(*each) for each in arguments)
        return
    call = delayed(_call)
    calls = (call(os.getpid(), function, each) for each in arguments)
    in_process = getattr(backend, "supports_sharedmem", False)  # threads
    with _processors_shared(n_active) if in_process else nullcontext():
        if backend.supports_return_generator:
            yield from Parallel(n_jobs=n_jobs, prefer=prefer, return_as="generator")(calls)
            return
        size = CALLS_PER_JOB * n_active
        with Parallel(n_jobs=n_jobs, prefer=prefer) as parallel:  # one pool for all calls
            while some := list(islice(calls, size)):
                yield from parallel(some)


@contextmanager
def _processors_shared(n_threads: int) -> Iterator[None]:
    """Context in which the threads of linear algebra do not outnumber the processors."""
    limit = max(1, cpu_count() // n_threads)
    with _get_threadpool_controller().limit(limits=limit, user_api="blas"):
        yield


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
