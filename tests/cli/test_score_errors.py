"""Bad input of ``score`` ends with one sentence and exit code 2, before any output is written."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sknumerai
from sknumerai.cli import _score

pytestmark = pytest.mark.usefixtures("no_output")


@pytest.fixture
def score(refused, write, tmp_path, tournament, predictions):
    """Score with the given options in the place of good ones; gives the error message."""

    def call(**options):
        frame = options.pop("frame", predictions)
        arguments = {
            "predictions": write(frame) if "predictions" not in options else None,
            "targets": tournament.validation,
            "per_era": tmp_path / "output.csv",
        } | options
        words = []
        for name, value in arguments.items():
            words += [f"--{name.replace('_', '-')}", value]
        return refused("score", *words)

    return call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_jobs": 0}, "--n-jobs is 0; pass 1 or more"),
        ({"target_column": "tarjet"}, "has no target column 'tarjet' (did you mean 'target'?)"),
        ({"target_column": "data_type"}, "Column 'data_type' of --targets"),
        ({"target_column": "id"}, "has the target column 'id' as its index"),
        ({"era_column": "week"}, "has no era column 'week'"),
        ({"era_column": "week"}, "name another one with --era-column"),
        ({"prediction_column": "linaer"}, "(did you mean 'linear'?)"),
        ({"feature_set": "small"}, "--feature-set is of use with --features only"),
        ({"feature_columns": "^f"}, "--feature-columns is of use with --features only"),
        ({"features_json": "features.json"}, "--features-json is of use with --features only"),
        ({"meta_model_column": "x"}, "--meta-model-column is of use with --meta-model only"),
        ({"benchmark_column": "x"}, "--benchmark-column is of use with --benchmark only"),
    ],
)
def test_options(score, options, message):
    assert message in score(**options)


def test_missing_options(refused, tournament):
    assert "Missing option '--predictions'" in refused("score")
    files = ("--predictions", tournament.validation_example_preds)
    assert "Missing option '--targets'" in refused("score", *files)
    message = refused("score", *files, "--targets", tournament.validation, "--quiet")
    assert "--quiet leaves nothing to see; pass --per-era or --plot, too." in message


@pytest.mark.parametrize(
    "option", ["predictions", "targets", "features", "meta_model", "benchmark"]
)
def test_unreadable_inputs(score, tmp_path, option):
    name = f"--{option.replace('_', '-')}"
    path = tmp_path / "absent.parquet"
    assert score(**{option: path}).startswith(f"error: {name} {path} does not exist")
    path = tmp_path / "corrupt.parquet"
    path.write_bytes(b"PAR1 and then nothing of the kind")
    message = score(**{option: path})
    assert message.startswith(f"error: {name} {path} is not a complete parquet file")
    path = tmp_path / "data.txt"
    assert f"{name} {path} has the extension '.txt'" in score(**{option: path})


def test_ids(score, predictions, validation, tournament, tmp_path):
    frame = predictions.rename(index={predictions.index[3]: "nobody"})
    message = score(frame=frame)
    assert "1 of 240 ids of --predictions" in message
    assert f"are not in --targets {tournament.validation}, first 'nobody'; pass" in message
    message = score(frame=pd.concat([predictions, predictions.iloc[:2]]))
    assert f"has 2 repeated ids among 242 rows, first '{predictions.index[0]}'" in message
    path = tmp_path / "targets.parquet"
    pd.concat([validation, validation.iloc[[7]]]).to_parquet(path)
    assert f"--targets {path} has 1 repeated ids among 241 rows" in score(targets=path)
    validation.reset_index(drop=True).to_parquet(path)
    assert f"--targets {path} has no column 'id' and no index" in score(targets=path)


def test_predictions_must_be_complete_and_finite(score, predictions, validation):
    eras = validation.loc[predictions.index, "era"]
    message = score(frame=predictions.drop(predictions.index[eras == "0006"][:5]))
    assert "predicts 1 of 4 eras in part: it lacks 5 of the 60 rows of era 0006" in message
    frame = predictions.copy()
    frame.iloc[5, 1] = np.nan
    message = score(frame=frame)
    assert "has 1 NaN of 480 predictions, first in column 'other' at id" in message


def test_targets(score, validation, tmp_path):
    path = tmp_path / "targets.parquet"
    eras = validation["era"]
    validation.assign(target=np.nan).to_parquet(path)
    assert "None of the 4 predicted eras has a target in --targets" in score(targets=path)
    rows = validation.index[eras == "0007"][:13]
    frame = validation.copy()
    frame.loc[rows, "target"] = np.nan
    frame.to_parquet(path)
    message = score(targets=path)
    assert f"--targets {path}, era 0007: 13 of 60 targets are missing" in message
    frame.loc[rows[0], "target"] = np.inf
    frame.to_parquet(path)
    assert f"1 infinite of 240 targets in column 'target', first at id '{rows[0]}'" in score(
        targets=path
    )
    validation.assign(era="era " + eras.map({"0005": "a"}).fillna("b")).to_parquet(path)
    assert f"--targets {path}: Eras such as 'era a' have no known order" in score(targets=path)
    validation.reset_index().set_index("era").to_parquet(path)
    assert "has the era column 'era' as its index" in score(targets=path)


def test_meta_model_and_benchmark(score, write, tournament, predictions, validation):
    meta_model = pd.read_parquet(tournament.meta_model)[["numerai_meta_model"]]
    message = score(meta_model=write(pd.concat([meta_model, meta_model[:1]]), "meta.parquet"))
    assert "error: --meta-model" in message
    assert "has 1 repeated ids among 241 rows" in message
    first = validation.index[0]
    path = write(meta_model.mask(meta_model == meta_model.loc[first], np.inf), "meta.csv")
    message = score(meta_model=path)
    assert f"--meta-model {path} has 4 infinite of 240 predictions" in message
    path = write(predictions, "benchmark.parquet")
    message = score(benchmark=path)
    assert f"--benchmark {path} has no column 'prediction' and 2 other numeric ones" in message
    assert "(columns: 'linear', 'other'); name one with --benchmark-column" in message
    assert "--benchmark-column 'x' is not in --benchmark" in score(
        benchmark=path, benchmark_column="x"
    )
    message = score(meta_model=write(meta_model[::2], "meta.parquet"))
    assert "meta.parquet lacks more than 20% of the rows of every one of 4 eras" in message
    message = score(benchmark=tournament.train_example_preds)
    assert "has none of the 240 rows that are scored, such as" in message


@pytest.mark.parametrize(("n_lacking", "n_scored"), [(12, 4), (13, 3)])
def test_a_meta_model_may_lack_a_fifth_of_an_era(
    run, write, tournament, predictions, validation, n_lacking, n_scored
):
    meta_model = pd.read_parquet(tournament.meta_model)[["numerai_meta_model"]]
    meta_model = meta_model.loc[validation.index]
    some = meta_model.copy()
    some.iloc[:5] = np.nan
    path = write(some.drop(some.index[5:n_lacking]), "meta.parquet")
    result = run(
        *("score", "--predictions", write(predictions), "--targets", tournament.validation),
        *("--meta-model", path),
    )
    assert result.code == 0, result
    lines = [line.split() for line in result.out.splitlines()]
    assert {line[-1] for line in lines[1:-1] if line[1] == "CORR"} == {"4"}
    assert {line[-1] for line in lines[1:-1] if line[1] == "MMC"} == {str(n_scored)}
    assert ("; 1 era without meta model" in result.out) == (n_scored == 3)


def test_features(score, tournament, validation, tmp_path):
    message = score(features=tournament.train)
    assert "240 of 240 ids of --predictions" in message
    assert f"are not in --features {tournament.train}" in message
    assert "has no feature column that matches '^x'" in score(
        features=tournament.validation, feature_columns="^x"
    )
    path = tmp_path / "features.parquet"
    validation.drop(columns="era").to_parquet(path)
    message = score(features=path)
    assert message.endswith("name it with --era-column.")
    for eras in (validation["era"].replace("0006", "0005"), validation["era"].sample(frac=1.0)):
        validation.assign(era=eras.to_numpy()).to_parquet(path)
        message = score(features=path)
        assert f"--features {path} and --targets {tournament.validation} disagree" in message


@pytest.mark.parametrize(("option", "suffix"), [("per_era", ".csv"), ("plot", ".png")])
def test_outputs_are_checked_before_the_inputs_are_read(score, write, tmp_path, option, suffix):
    name, absent = f"--{option.replace('_', '-')}", tmp_path / "absent.parquet"

    def refused_output(path, **options):
        return score(predictions=absent, **{option: path}, **options)

    path = tmp_path / "nowhere" / f"output{suffix}"
    assert f"{name} {path}: the folder {path.parent} does not exist" in refused_output(path)
    (tmp_path / "file").touch()
    assert "is not a folder" in refused_output(tmp_path / "file" / f"output{suffix}")
    path = tmp_path / f"folder{suffix}"
    path.mkdir()
    assert f"{name} {path} is a folder" in refused_output(path)
    path = tmp_path / "output.txt"
    assert f"{name} {path} has the extension '.txt'; name a file that ends in {suffix}" in (
        refused_output(path)
    )
    path = tmp_path / f"old{suffix}"
    path.write_text("old")
    assert f"{name} {path} exists already" in refused_output(path)
    assert "is the same file as --targets" in refused_output(path, targets=path)
    assert path.read_text() == "old"
    if os.path.isdir("/proc/self"):
        assert "cannot be written to" in refused_output(f"/proc/self/output{suffix}")


def test_outputs_that_fail_in_the_end(score, tmp_path, monkeypatch):
    """Neither file is left behind, though the other one could be written."""
    plot = tmp_path / "output.png"

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sknumerai.cli._outputs.plot_cumulative", fail)
    message = score(plot=plot)
    assert f"--plot {plot} could not be written (No space left on device); free or" in message
    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", fail)
    assert f"--per-era {tmp_path / 'output.csv'} could not be written" in score()


def test_plot_without_matplotlib(score, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    message = score(plot=tmp_path / "output.png", predictions=tmp_path / "absent.csv")
    assert message.startswith("error: --plot: matplotlib could not be imported")
    assert "pip install 'sknumerai[cli]'" in message


@pytest.fixture
def arguments(tournament, tmp_path):
    return [
        *("score", "--predictions", tournament.validation_example_preds),
        *("--targets", tournament.validation, "--features", tournament.validation),
        *("--per-era", tmp_path / "output.csv", "--plot", tmp_path / "output.png"),
    ]


def test_interrupt_while_eras_are_computed(run, arguments, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    metric = dataclasses.replace(_score.METRICS["fnc"], kernel=interrupted)
    monkeypatch.setitem(_score.METRICS, "fnc", metric)
    result = run(*arguments)
    assert (result.code, result.out) == (130, "")
    assert result.err.splitlines()[-1] == "interrupted: no incomplete file was left behind"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_interrupt_before_the_outputs_have_their_names(arguments, tmp_path):
    code = (
        "import os, signal, sys; from sknumerai.cli import main; "
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGINT); sys.exit(main())"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(Path(sknumerai.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 130, process.stderr
    assert process.stdout == ""
    assert process.stderr.splitlines()[-1] == "interrupted: no incomplete file was left behind"
    assert list(tmp_path.iterdir()) == []
