"""The command as a process: signals that end it, and its standard streams."""

import contextlib
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from sknumerai._atomic import discard_temporaries
from sknumerai.cli._errors import CommandError

INTERRUPTED = "interrupted: no incomplete file was left behind"
TERMINATED = "terminated: no incomplete file was left behind"


@contextlib.contextmanager
def own_process() -> Iterator[None]:
    """Run in a process that does nothing but this command."""
    # joblib's process that tidies up after this one would tell of it.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    _end_on_signals()
    _open_closed_streams()
    stdout, stderr = sys.stdout, sys.stderr
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = Stream(stdout, required=True), Stream(stderr, required=False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr


def _end_on_signals() -> None:
    """Let Ctrl-C, TERM and the end of the terminal end the process at once, workers included.

    An exception could be lost in a finalizer or an import, and would wait for workers.
    """
    owner = os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        try:
            if os.getpid() == owner:  # a worker process inherits this
                discard_temporaries()
                for worker in workers():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                text = INTERRUPTED if number == signal.SIGINT else TERMINATED
                os.write(2, f"\n{text}\n".encode())  # the streams may be in use just now
        finally:
            os._exit(128 + number)

    for name in ("SIGHUP", "SIGINT", "SIGTERM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def workers() -> set[int]:
    """Worker processes; on Linux also one that is being started, which joblib does not know yet."""
    found = {child.pid for child in multiprocessing.active_children() if child.pid is not None}
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # what ends meanwhile
            for child in path.read_text().split():
                if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(int(child))
    return found


def _open_closed_streams() -> None:
    """Put the null device in the place of closed streams, which the next file would take."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


class Stream:
    """A standard stream that goes nowhere after a write that fails.

    Parameters
    ----------
    stream : file
    required : bool
        Whether that write and all later ones raise an error.
    """

    def __init__(self, stream: Any, *, required: bool):
        self._stream, self._required = stream, required
        self._error: CommandError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text."""
        with self._failing_once():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is in the buffer."""
        with self._failing_once():
            self._stream.flush()

    @contextlib.contextmanager
    def _failing_once(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            if self._required:
                self._error = CommandError(
                    f"The standard output cannot be written to ({error.strerror}); files named as "
                    "output are complete, if there are any."
                )
        if self._error is not None:  # again, since click asks streams, and goes on
            raise self._error
