"""TERM and Ctrl-C at any instant: an old or a new output, whole, and nothing else left."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sknumerai
from sknumerai.cli._process import workers

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

CODES = {"SIGTERM": 143, "SIGINT": 130}
# Forks a process per run, so that none has to import the libraries again. Each run is told to end
# after a fraction of the time that the first one took.
DRIVER = """
import json, os, signal, sys, time
import pyarrow.csv, pyarrow.parquet
from sknumerai.cli import _app, _score, main

def start(arguments, log):
    pid = os.fork()
    if pid:
        return pid
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1), os.dup2(descriptor, 2)
        sys.argv = ["sknumerai", *arguments]
        code = main()
    except BaseException as error:
        os.write(2, repr(error).encode())
        code = 99
    # At once: what the end of an interpreter does is for processes of their own.
    os._exit(code)

arguments, log, numbers, count, output = json.load(sys.stdin)
begin = time.monotonic()
assert os.waitpid(start(arguments, log), 0)[1] == 0, open(log).read()
took = time.monotonic() - begin
runs = [open(output).read()]
for number in numbers:
    for i in range(count):
        open(output, "w").write("old")
        pid = start(arguments, log)
        time.sleep(took * (i + 0.5) / count)
        os.kill(pid, number)
        status = os.waitpid(pid, 0)[1]
        left = sorted(os.listdir(os.path.dirname(output)))
        code = os.waitstatus_to_exitcode(status)
        runs.append([code, left, open(output).read(), open(log).read()])
print(json.dumps(runs))
"""


def living(token):
    """Processes that were started with a token in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if token.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Tables of ten eras."""
    rng = np.random.default_rng(0)
    n = 1000
    names = [f"feature_{i}" for i in range(30)]
    ids = pd.Index([f"n{i}" for i in range(n)], name="id")
    features = pd.DataFrame(rng.integers(0, 5, (n, 30)).astype("int8"), ids, names)
    eras = np.repeat([f"{i + 1:04d}" for i in range(10)], n // 10)
    folder = tmp_path_factory.mktemp("files")
    table = features.assign(era=eras, target=rng.integers(0, 5, n) / 4)
    table.to_parquet(folder / "table.parquet")
    pd.DataFrame({"prediction": rng.normal(size=n)}, ids).to_parquet(folder / "p.parquet")
    return ["--predictions", folder / "p.parquet", "--features", folder / "table.parquet"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_worker_that_is_being_started():
    code = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with (
        subprocess.Popen([*code, "popen_loky_posix"], stdin=subprocess.PIPE) as worker,
        subprocess.Popen([*code, "resource_tracker"], stdin=subprocess.PIPE) as other,
    ):
        assert worker.pid in workers()
        assert other.pid not in workers()


@pytest.mark.parametrize(
    ("command", "n_jobs", "names", "n_instants"),
    [
        ("clip", 1, ["SIGTERM", "SIGINT"], 10),
        ("score", 1, ["SIGTERM", "SIGINT"], 10),
        # fewer, since workers take seconds to start
        ("clip", 2, ["SIGTERM"], 4),
        ("score", 2, ["SIGINT"], 4),
    ],
)
def test_any_instant(files, tmp_path, command, n_jobs, names, n_instants):
    folder = tmp_path / "outputs"
    folder.mkdir()
    output = folder / "output.csv"
    options = ["--output", output]
    if command == "score":
        options = ["--targets", files[3], "--per-era", output]
    arguments = [command, *files, *options, "--overwrite", "--n-jobs", n_jobs]
    token = uuid.uuid4().hex
    environment = os.environ | {
        "PYTHONPATH": str(Path(sknumerai.__file__).parents[1]),
        "SKNUMERAI_TEST_TOKEN": token,
    }
    numbers = [int(signal.Signals[name]) for name in names]
    order = [[*map(str, arguments)], str(tmp_path / "log"), numbers, n_instants, str(output)]
    process = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(order),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    whole, *runs = json.loads(process.stdout)
    for name, (code, left, content, log) in zip(np.repeat(names, n_instants), runs, strict=True):
        assert left == ["output.csv"], log
        assert code in (0, CODES[name]), log  # 0 where the run was faster than the first one
        assert content == whole or (content == "old" and code), log
        assert "Traceback" not in log
        if code:
            assert log.splitlines()[-1].endswith("no incomplete file was left behind")
    assert any(code for code, *_ in runs)
    deadline = time.monotonic() + 5.0
    while living(token) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert living(token) == []
