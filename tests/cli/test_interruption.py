"""Whatever ends the command, there is a complete output or none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sknumerai

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

START = "import sys; from sknumerai.cli import main; "
# Ends the process by a signal to itself, at a place that a timer would seldom hit.
SIGNAL = "import os, signal; os.kill(os.getpid(), signal.{name})"
WHERE = {
    "while eras are computed": (
        "import sknumerai.streaming._clip_files as module\n"
        "kernel = module.clipped_predictions\n"
        "calls = []\n"
        "def clipped(*arguments, **options):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 3:\n"
        "        {signal}\n"
        "    return kernel(*arguments, **options)\n"
        "module.clipped_predictions = clipped\n"
    ),
    "before the output has its name": (
        "import os\n"
        "replace = os.replace\n"
        "def signalled(*arguments):\n"
        "    {signal}\n"
        "    replace(*arguments)\n"
        "os.replace = signalled\n"
    ),
}


def start(*words):
    """Start Python with these arguments."""
    environment = os.environ | {"PYTHONPATH": str(Path(sknumerai.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def arguments(tournament, tmp_path):
    return [
        *("clip", "--predictions", tournament.validation_example_preds),
        *("--features", tournament.validation, "--output", tmp_path / "output.parquet"),
    ]


@pytest.mark.parametrize("where", WHERE)
def test_interrupt_leaves_nothing(arguments, tmp_path, where):
    code = WHERE[where].format(signal=SIGNAL.format(name="SIGINT"))
    process = start("-c", f"{code}\n{START} sys.exit(main())", *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == "interrupted: no incomplete file was left behind"
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", WHERE)
def test_kill_leaves_nothing_that_looks_complete(arguments, tmp_path, where):
    code = WHERE[where].format(signal=SIGNAL.format(name="SIGKILL"))
    process = start("-c", f"{code}\n{START} sys.exit(main())", *arguments)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "output.parquet").exists()
    for left in tmp_path.iterdir():
        assert left.name.startswith(".output.parquet.")
        assert left.suffix == ".tmp"


def test_interrupt_with_several_jobs(arguments, tmp_path):
    slow = (
        "import time\n"
        "import sknumerai.datasets._parquet as module\n"
        "block = module.BlockBuilder.finish\n"
        "def slow(*arguments):\n"
        "    print('reading', file=sys.stderr, flush=True)\n"
        "    time.sleep(30)\n"
        "    return block(*arguments)\n"
        "module.BlockBuilder.finish = slow\n"
    )
    code = f"import sys\n{slow}\n{START} sys.exit(main())"
    process = start("-c", code, *arguments, "--n-jobs", 2)
    for line in process.stderr:
        if "reading" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted: no incomplete file was left behind"
    assert list(tmp_path.iterdir()) == []


def test_exit_codes_of_the_program(arguments, tmp_path):
    (tmp_path / "exists.parquet").touch()
    outputs = (tmp_path / "output.parquet", tmp_path / "exists.parquet")
    command = ("-m", "sknumerai.cli", *arguments[:-1])
    processes = [start(*command, output) for output in outputs]  # side by side
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 2]
