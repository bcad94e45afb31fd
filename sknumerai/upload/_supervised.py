"""A child process under limits of time and resident memory, and what it said."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUNNER = Path(__file__).with_name("_runner.py")
PAUSE = 0.01  # seconds between two looks at the memory
TO_START = 120.0  # seconds to import the libraries
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
    written : list of str
        Files left in its working folder.
    """

    told: list[dict[str, Any]] = field(default_factory=list)
    ended: str = "itself"
    code: int = 0
    output: str = ""
    peak: int = 0
    written: list[str] = field(default_factory=list)

    def stage(self, name: str) -> dict[str, Any]:
        """What was told of a stage; empty if it was not reached."""
        found = [line for line in self.told if line["stage"] == name]
        return found[-1] if found else {}


def run_supervised(
    order: dict[str, Any], *, folder: Path, python: str, memory: int, seconds: float
) -> Outcome:
    """Run an order in a child, and kill it where it goes beyond a limit.

    Parameters
    ----------
    order : dict
        For the runner.
    folder : Path
        For files of this run; the runner removes it where this process ends before.
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
    with tempfile.TemporaryFile() as output, os.fdopen(reading) as told:
        home, temporary = (folder / name for name in ("home", "temporary"))
        for place in (home, temporary):
            place.mkdir()
        environment |= dict.fromkeys(ONE_THREAD, "1")
        environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
        text = json.dumps(order | {"descriptor": writing, "folder": str(folder)})
        try:
            child = subprocess.Popen(
                [python, "-I", "-B", str(RUNNER), text],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=environment,
                pass_fds=[writing],
                start_new_session=True,  # so that what it starts can be ended with it
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
            outcome.code = _end(child)
            listener.join()
            outcome.written = sorted(path.name for path in home.rglob("*"))
        output.seek(0)
        outcome.output = output.read().decode(errors="replace")[-2000:]
    return outcome


def _listen(told: Any, outcome: Outcome) -> None:
    for line in told:
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and "stage" in said:
                outcome.told.append(said)


def _watch(child: subprocess.Popen[bytes], outcome: Outcome, memory: int, seconds: float) -> None:
    """Wait for the end of a child, and make it where a limit is passed."""
    begun, deadline = 0, time.monotonic() + TO_START
    while child.poll() is None:
        outcome.peak = max(outcome.peak, resident(child.pid))
        if outcome.peak > memory:
            outcome.ended = "memory"
            return
        starts = [
            line["stage"] in ("ready", "ran", "repeated", "shuffled") for line in outcome.told
        ]
        if sum(starts) > begun:  # reading and predicting together, then every other run
            begun, deadline = sum(starts), time.monotonic() + seconds
        if time.monotonic() > deadline:
            outcome.ended = "time"
            return
        time.sleep(PAUSE)


def _end(child: subprocess.Popen[bytes]) -> int:
    """End a child and all that it started; returns its exit code."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def resident(pid: int) -> int:
    """Resident memory of a process and those that it started; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_own_memory(int(each)) for each in children)


def _own_memory(pid: int) -> int:
    """Memory of a process that is not shared with others, and of those that it started."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    private = [line.split()[1] for line in text.splitlines() if line.startswith("Private_")]
    return 1024 * sum(map(int, private)) + sum(_own_memory(int(each)) for each in children)
