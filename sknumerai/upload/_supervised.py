"""A child process under limits of time and resident memory, and what it said."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUNNER = Path(__file__).with_name("_runner.py")
PAUSE = 0.01  # seconds between two looks at the memory
KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS")


@dataclass
class Outcome:
    """What a child told, and how it ended.

    Attributes
    ----------
    told : list of dict
        One for each stage.
    ended : {"itself", "memory", "time"}
        What ended it.
    code : int
        Exit code, negative for signals.
    output : str
        The end of what it printed.
    peak : int
        Largest resident memory that was seen, in bytes.
    """

    told: list[dict[str, Any]] = field(default_factory=list)
    ended: str = "itself"
    code: int = 0
    output: str = ""
    peak: int = 0

    def stage(self, name: str) -> dict[str, Any]:
        """What was told of a stage; empty if it was not reached."""
        found = [line for line in self.told if line["stage"] == name]
        return found[-1] if found else {}


def run_supervised(order: dict[str, Any], *, python: str, memory: int, seconds: float) -> Outcome:
    """Run an order in a child, and kill it where it goes beyond a limit.

    Parameters
    ----------
    order : dict
        For the runner.
    python : str
        Interpreter.
    memory : int
        Limit on resident memory, in bytes.
    seconds : float
        From the time that the libraries are imported.
    """
    outcome = Outcome()
    reading, writing = os.pipe()
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile() as output,
        os.fdopen(reading) as told,
    ):
        home, temporary = (Path(folder) / name for name in ("home", "temporary"))
        for place in (home, temporary):
            place.mkdir()
        environment |= dict.fromkeys(ONE_THREAD, "1")
        environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
        text = json.dumps(order | {"descriptor": writing})
        try:
            child = subprocess.Popen(
                [python, "-I", "-B", str(RUNNER), text],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=environment,
                pass_fds=[writing],
            )
        except OSError as error:
            raise ValueError(f"python={python!r} cannot be run ({error}).") from error
        finally:
            os.close(writing)
        listener = threading.Thread(target=_listen, args=(told, outcome), daemon=True)
        listener.start()
        try:
            _watch(child, outcome, memory, seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            outcome.code = child.wait()
            listener.join()
        output.seek(0)
        outcome.output = output.read().decode(errors="replace")[-2000:]
    return outcome


def _listen(told: Any, outcome: Outcome) -> None:
    for line in told:
        with contextlib.suppress(ValueError):
            outcome.told.append(json.loads(line))


def _watch(child: subprocess.Popen[bytes], outcome: Outcome, memory: int, seconds: float) -> None:
    """Wait for the end of a child, and make it where a limit is passed."""
    deadline = None
    while child.poll() is None:
        outcome.peak = max(outcome.peak, resident(child.pid))
        if outcome.peak > memory:
            outcome.ended = "memory"
            return
        if deadline is None and outcome.told:
            deadline = time.monotonic() + seconds
        if deadline is not None and time.monotonic() > deadline and not outcome.stage("ran"):
            outcome.ended = "time"
            return
        time.sleep(PAUSE)


def resident(pid: int) -> int:
    """Resident memory of a process, in bytes; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
