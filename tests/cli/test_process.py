"""Standard streams that are full, closed or not read, and workers that are lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sknumerai

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")

FULL = "The standard output cannot be written to (No space left on device)"


@pytest.fixture
def shell(tournament, tmp_path):
    """Run a line of shell with $COMMAND, and $CLIP that works; gives code, stdout and stderr."""

    def call(line, **variables):
        clip = ["clip", "--overwrite", "--predictions", tournament.validation_example_preds]
        clip += ["--features", tournament.validation, "--output", tmp_path / "output.csv"]
        command = f"{sys.executable} -m sknumerai.cli"
        environment = os.environ | {
            "PYTHONPATH": str(Path(sknumerai.__file__).parents[1]),
            "COMMAND": command,
            "CLIP": " ".join([command, *map(str, clip)]),
        }
        return subprocess.run(
            ["bash", "-c", line],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("line", ["$CLIP --n-jobs 1", "$COMMAND --help"])
def test_full_output(shell, tmp_path, line, unbuffered):
    result = shell(f"{line} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert result.returncode == 2
    assert f"error: {FULL}; files named as output are complete" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr
    assert (tmp_path / "output.csv").exists() == ("CLIP" in line)


def test_output_that_nobody_reads(shell):
    result = shell("$CLIP --single-era | true; exit ${PIPESTATUS[0]}")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: The standard output cannot be")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", "2> /dev/full"])
def test_closed_streams_are_no_reason_to_stop(shell, tmp_path, closed):
    result = shell(f"$CLIP {closed}")
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
    assert "eras, 240 rows" in result.stdout or "2>" not in closed or ">&- 2" in closed
    output = (tmp_path / "output.csv").read_text()
    assert output.startswith("id,prediction\n")
    assert len(output.splitlines()) == 241


def test_errors_are_told_by_the_code_where_they_cannot_be_written(shell):
    assert [shell(f"$COMMAND clip {to}").returncode for to in ("2>&-", "2> /dev/full")] == [2, 2]


def test_a_narrow_encoding_is_no_reason_to_stop(shell, tmp_path):
    result = shell(f"$CLIP --output {tmp_path}/ü.csv", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert result.stdout.endswith(".csv\n")
    assert (tmp_path / "ü.csv").exists()


def test_a_lost_worker_is_one_sentence(good_files, tmp_path):
    code = (
        "import os, sys\n"
        "import sknumerai.streaming._contribution_files as module\n"
        "def lost(*arguments, **options):\n"
        "    os.kill(os.getpid(), 9)\n"
        "module.contribution_era = lost\n"
        "from sknumerai.cli import main\n"
        "sys.exit(main())\n"
    )
    words = ["tc", "--quiet", "--output", tmp_path / "output.csv"]
    for name in ("users", "stakes", "returns"):
        words += [f"--{name}", good_files[name]]
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, words), "--n-jobs", "2"],
        env=os.environ | {"PYTHONPATH": str(Path(sknumerai.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "error: A worker process of --n-jobs ended before its work was done" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_memory_that_does_not_suffice_is_one_sentence(refused, tournament, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr("sknumerai.datasets._parquet.BlockBuilder.finish", fail)
    message = refused(
        *("clip", "--predictions", tournament.validation_example_preds),
        *("--features", tournament.validation, "--output", tmp_path / "output.csv"),
    )
    assert "The memory does not suffice (Unable to allocate 1 TiB); pass fewer" in message
    assert list(tmp_path.iterdir()) == []
