"""The demo, in miniature."""

import shlex
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from sknumerai.metrics import max_feature_exposure, numerai_corr

matplotlib = pytest.importorskip("matplotlib")

SIZES = ("--n-eras", 8, "--n-stocks", 80, "--n-features", 6)
VARIANTS = ["prediction", "clipped_0.1", "neutralized_0.5", "neutralized_1.0"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "the demo"


@pytest.fixture
def result(run, folder):
    return run("demo", "--output-dir", folder, *SIZES)


def test_files_and_table(result, folder):
    assert (result.code, result.err) == (0, "")
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert predictions.columns.tolist() == [*VARIANTS, "era"]
    assert predictions["era"].unique().tolist() == ["0005", "0006", "0007", "0008"]
    validation = pd.read_parquet(folder / "validation.parquet").loc[predictions.index]
    features = validation[[name for name in validation if name.startswith("feature")]]
    eras, variants = predictions["era"], predictions[VARIANTS]
    corr = {
        aggregate: numerai_corr(validation["target"], variants, eras=eras, aggregate=aggregate)
        for aggregate in ("mean", "std", "sharpe", "max_drawdown")
    }
    exposures = max_feature_exposure(variants, features=features, eras=eras)
    assert exposures["clipped_0.1"] <= 0.1 + 1e-9
    assert exposures["neutralized_1.0"] < 1e-9
    lines = {line.split()[0]: line.split()[1:] for line in result.out.splitlines() if line}
    for name in VARIANTS:
        expected = [*(column[name] for column in corr.values()), exposures[name]]
        numbers = [float(word) for word in lines[name]]
        np.testing.assert_allclose(numbers[:-1], expected, atol=5.1e-5)
        assert (numbers[-1] == 1.0) == (name == "prediction")
    assert str(folder) in result.out


def test_picture_shows_something(result, folder):
    pixels = matplotlib.image.imread(folder / "cumulative_corr.png")[..., :3]
    assert min(pixels.shape[:2]) >= 400
    colours = {tuple(colour) for colour in (255 * pixels).astype(int).reshape(-1, 3)[::7]}
    for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40)):
        assert colour in colours


def test_the_command_it_names_works(result, run, folder):
    line = result.out.strip().splitlines()[-1].strip()
    program, *arguments = shlex.split(line)
    # a name only where that finds the command, else how this one was called
    assert program == ("sknumerai" if shutil.which("sknumerai") else sys.argv[0])
    assert run(*arguments).code == 0
    clipped = pd.read_parquet(folder / "clipped.parquet")
    assert clipped.columns.tolist() == ["prediction"]


def test_again_replaces_its_own_files_and_says_the_same(result, run, folder):
    again = run("demo", "--output-dir", folder, *SIZES)
    assert again.code == 0

    def table(text):
        return [line for line in text.splitlines() if line.startswith(tuple(VARIANTS))]

    assert len(table(again.out)) == 4
    assert table(again.out) == table(result.out)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_other_peoples_files_are_safe(refused, folder):
    folder.mkdir()
    (folder / "train.parquet").write_text("precious")
    message = refused("demo", "--output-dir", folder, *SIZES)
    assert f"--output-dir {folder} holds files that no demo wrote" in message
    assert [path.read_text() for path in folder.iterdir()] == ["precious"]


def test_errors(refused, folder):
    folder.touch()
    assert "is not a folder; name another one" in refused("demo", "--output-dir", folder)
    assert "cannot be written to" in refused("demo", "--output-dir", folder / "inside")
    for option in ("--n-eras", "--n-stocks", "--n-features"):
        assert f"{option} is 1; pass" in refused("demo", option, 1)
    assert "--n-jobs is 0" in refused("demo", "--n-jobs", 0)
