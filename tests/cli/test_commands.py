"""The files that ``clip`` and ``neutralize`` write are what the functions return."""

import re

import numpy as np
import pandas as pd
import pytest

import sknumerai
from sknumerai.datasets import read_feature_sets
from sknumerai.metrics import max_feature_exposure
from sknumerai.neutralization import clip_exposure, neutralize


def read(path):
    if path.suffix == ".csv":
        return pd.read_csv(path, index_col="id")
    return pd.read_parquet(path)


def assert_same(result, expected):
    pd.testing.assert_frame_equal(
        result, expected, check_index_type=False, check_column_type=False, rtol=0, atol=1e-12
    )


def clipped(predictions, features, validation, limit=0.1, **options):
    options = {"normalize": "gaussian", "scale": "minmax"} | options
    features = features.loc[predictions.index]
    eras = validation.loc[predictions.index, "era"]
    return clip_exposure(predictions, features, limit, eras=eras, **options)


@pytest.mark.parametrize("output", ["output.csv", "output.parquet"])
@pytest.mark.parametrize("name", ["predictions.csv", "predictions.parquet"])
@pytest.mark.parametrize("id_as", ["index", "column"])
def test_clip(
    run, write, tmp_path, tournament, predictions, features, validation, name, id_as, output
):
    path = write(predictions, name, id_as)
    result = run(
        *("clip", "--predictions", path, "--features", tournament.validation),
        *("--output", tmp_path / output),
    )
    assert result.code == 0, result.err
    written = read(tmp_path / output)
    assert_same(written, clipped(predictions, features, validation))
    assert {path.name for path in tmp_path.iterdir()} == {name, output}


def test_clip_with_all_options(run, write, tmp_path, tournament, predictions, features, validation):
    small = read_feature_sets(tournament.features)["small"]
    limit, output = 0.05, tmp_path / "output.parquet"
    result = run(
        *("clip", "--predictions", write(predictions), "--features", tournament.validation),
        *("--output", output, "--max-exposure", limit, "--bounds", "shrink", "--normalize", "rank"),
        *("--scale", "std", "--feature-set", "small", "--features-json", tournament.features),
        *("--prediction-column", "other", "--on-infeasible", "warn", "--quiet"),
    )
    assert (result.code, result.out, result.err) == (0, "", "")
    expected = clipped(
        predictions[["other"]],
        features[small],
        validation,
        limit,
        bounds="shrink",
        normalize="rank",
        scale="std",
    )
    assert_same(read(output), expected)


@pytest.mark.parametrize("proportion", [0.0, 0.5, 1.0])
def test_neutralize(
    run, write, tmp_path, tournament, predictions, features, validation, proportion
):
    output = tmp_path / "output.parquet"
    result = run(
        *("neutralize", "--predictions", write(predictions), "--features", tournament.validation),
        *("--output", output, "--proportion", proportion, "--feature-columns", "^feature_[a-m]"),
    )
    assert result.code == 0, result.err
    chosen = features.loc[predictions.index, features.columns.str.contains("^feature_[a-m]")]
    expected = neutralize(
        predictions,
        chosen,
        proportion=proportion,
        eras=validation.loc[predictions.index, "era"],
        normalize="gaussian",
        scale="minmax",
    )
    assert 0 < chosen.shape[1] < features.shape[1]
    assert_same(read(output), expected)


@pytest.mark.parametrize("command", ["clip", "neutralize"])
def test_jobs_do_not_matter(run, write, tmp_path, tournament, predictions, command):
    path = write(predictions)
    for n_jobs in (1, 2):
        result = run(
            *(command, "--predictions", path, "--features", tournament.validation),
            *("--output", tmp_path / f"output{n_jobs}.parquet", "--n-jobs", n_jobs),
        )
        assert result.code == 0, result.err
    one, two = (read(tmp_path / f"output{n_jobs}.parquet") for n_jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_eras_without_predictions_are_skipped(
    run, write, tmp_path, tournament, predictions, features, validation
):
    eras = validation.loc[predictions.index, "era"]
    some = predictions[eras.isin(["0006", "0008"])]
    output = tmp_path / "output.csv"
    result = run(
        *("clip", "--predictions", write(some), "--features", tournament.validation),
        *("--output", output),
    )
    assert result.code == 0
    assert "2 eras, 120 rows, 9 features" in result.out
    assert_same(read(output), clipped(some, features, validation))


def test_features_with_scattered_eras_and_an_id_column(
    run, write, tmp_path, predictions, features, validation
):
    scattered = validation.sample(frac=1.0, random_state=3).rename(columns={"era": "week"})
    scattered["week"] = scattered["week"].astype(int)
    source = tmp_path / "scattered.parquet"
    scattered.reset_index().to_parquet(source)
    output = tmp_path / "output.parquet"
    result = run(
        *("clip", "--predictions", write(predictions), "--features", source),
        *("--output", output, "--era-column", "week"),
    )
    assert result.code == 0, result.err
    assert_same(read(output), clipped(predictions, features, validation))


def test_the_column_prediction_is_the_default(run, write, tmp_path, tournament, predictions):
    frame = predictions.rename(columns={"other": "prediction"})
    output = tmp_path / "output.parquet"
    arguments = ("--features", tournament.validation, "--output", output)
    assert run("clip", "--predictions", write(frame), *arguments).code == 0
    assert read(output).columns.tolist() == ["prediction"]


def test_other_columns_are_no_predictions(
    run, write, tmp_path, tournament, predictions, validation
):
    frame = predictions.join(validation[["era", "data_type"]]).assign(good=True)
    frame["era"] = frame["era"].astype(int)
    output = tmp_path / "output.parquet"
    arguments = ("--features", tournament.validation, "--output", output)
    assert run("clip", "--predictions", write(frame), *arguments).code == 0
    assert read(output).columns.tolist() == ["linear", "other"]


def test_ids_that_are_numbers_keep_their_type(run, tmp_path, tournament, predictions, validation):
    numbers = pd.Series(np.arange(len(validation)) ** 2, index=validation.index)
    source = tmp_path / "features.parquet"
    validation.set_index(pd.Index(numbers, name="id")).to_parquet(source)
    frame = predictions.set_index(pd.Index(numbers[predictions.index], name="id"))
    frame.to_parquet(tmp_path / "predictions.parquet")
    frame.to_csv(tmp_path / "predictions.csv")
    for name in ("predictions.parquet", "predictions.csv"):
        output = tmp_path / f"output_{name}"
        arguments = ("--predictions", tmp_path / name, "--features", source, "--output", output)
        assert run("clip", *arguments).code == 0
        assert read(output).index.tolist() == frame.index.tolist()


def test_float32_stays_float32(run, write, tmp_path, tournament, predictions):
    output = tmp_path / "output.parquet"
    result = run(
        *("clip", "--predictions", write(predictions.astype("float32"))),
        *("--features", tournament.validation, "--output", output),
    )
    assert result.code == 0
    assert (read(output).dtypes == "float32").all()


def test_single_era(run, write, tmp_path, tournament, predictions):
    live = pd.read_parquet(tournament.live)
    source = tmp_path / "live.parquet"
    live.drop(columns="era").to_parquet(source)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"prediction": rng.normal(size=len(live))}, index=live.index)
    output = tmp_path / "output.csv"
    arguments = ("--predictions", write(frame), "--features", source, "--output", output)
    result = run("clip", *arguments, "--single-era")
    assert result.code == 0, result.err
    assert "1 era, 60 rows" in result.out
    chosen = live[[name for name in live if name.startswith("feature")]]
    expected = clip_exposure(frame, chosen, 0.1, normalize="gaussian", scale="minmax")
    assert_same(read(output), expected)


def test_a_live_file_with_its_era_needs_no_option(run, tmp_path, tournament):
    output = tmp_path / "output.parquet"
    result = run(
        *("neutralize", "--predictions", tournament.live_example_preds),
        *("--features", tournament.live, "--output", output, "--proportion", 0.5),
    )
    assert result.code == 0
    assert read(output).shape == (60, 1)


def test_report(run, write, tmp_path, tournament, predictions, features, validation):
    output = tmp_path / "output.parquet"
    result = run(
        *("clip", "--predictions", write(predictions), "--features", tournament.validation),
        *("--output", output),
    )
    assert "4/4" in result.err  # the progress bar
    titles, header, *rows, last = result.out.splitlines()
    assert re.search("max exposure before +max exposure after +corr. with original", titles)
    assert header.split() == "prediction eras rows mean worst mean worst mean min".split()
    eras = validation.loc[predictions.index, "era"]
    table = features.loc[predictions.index]
    before = max_feature_exposure(
        clipped(predictions, features, validation, 1.0), features=table, eras=eras, aggregate=None
    )
    for row, name in zip(rows, predictions, strict=True):
        words = row.split()
        assert words[:3] == [name, "4", "240"]
        numbers = [float(word) for word in words[3:]]
        assert numbers[0] == pytest.approx(before[name].mean(), abs=1e-4)
        assert numbers[1] == pytest.approx(before[name].max(), abs=1e-4)
        assert numbers[2:4] == [0.1, 0.1]
        assert 0.5 < numbers[5] <= numbers[4] < 1.0
    assert re.search(r"4 eras, 240 rows, 9 features in \d+\.\d s -> .*output\.parquet", last)


def test_reports_of_both_commands_agree_on_the_correlation(
    run, write, tmp_path, tournament, predictions
):
    path, lines = write(predictions), []
    for command in (["clip", "--max-exposure", "0"], ["neutralize"]):
        result = run(
            *(*command, "--predictions", path, "--features", tournament.validation),
            *("--output", tmp_path / f"{command[0]}.parquet"),
        )
        lines.append([line.replace("-0.0000", "0.0000") for line in result.out.splitlines()[2:4]])
    assert lines[0] == lines[1]


def test_constant_predictions_are_a_warning(
    run, write, tmp_path, tournament, predictions, validation
):
    eras = validation.loc[predictions.index, "era"]
    frame = predictions.copy()
    frame.loc[eras == "0007", "other"] = 0.5
    output = tmp_path / "output.parquet"
    for command in ("clip", "neutralize"):
        result = run(
            *(command, "--predictions", write(frame), "--features", tournament.validation),
            *("--output", output, "--overwrite", "--quiet"),
        )
        assert result.code == 0
        assert result.err.startswith(
            "warning: In 1 era (0007) the result is NaN: a prediction is constant"
        )
        assert len(result.err.splitlines()) == 1
        written = read(output)
        assert written["other"].isna().sum() == 60
        assert written["linear"].notna().all()


def test_infeasible_limits_widen_with_a_warning(run, tmp_path, validation):
    some = validation.groupby("era").head(8)
    source, path = tmp_path / "features.parquet", tmp_path / "predictions.csv"
    some.to_parquet(source)
    rng = np.random.default_rng(0)
    pd.DataFrame({"prediction": rng.normal(size=len(some))}, index=some.index).to_csv(path)
    arguments = ("clip", "--predictions", path, "--features", source, "--max-exposure", 0.001)
    output = tmp_path / "output.csv"
    result = run(*arguments, "--output", output, "--on-infeasible", "warn", "--quiet")
    assert result.code == 0, result.err
    assert re.match(r"warning: In 4 eras \(.*\) the exposure limits cannot be met", result.err)
    assert len(result.err.splitlines()) == 1
    output.unlink()
    result = run(*arguments, "--output", output, "--quiet")
    assert result.code == 2
    assert re.match(r"error: In era 0005: .* pass --on-infeasible warn\.\n$", result.err)
    assert not output.exists()


def test_overwrite(run, write, tmp_path, tournament, predictions):
    output = tmp_path / "output.csv"
    output.write_text("old")
    arguments = ("--predictions", write(predictions), "--features", tournament.validation)
    assert run("clip", *arguments, "--output", output).code == 2
    assert output.read_text() == "old"
    assert run("clip", *arguments, "--output", output, "--overwrite").code == 0
    assert len(read(output)) == len(predictions)


def test_version_and_help(run):
    assert run("--version").out == f"sknumerai {sknumerai.__version__}\n"
    assert "clip" in run().out
    for command in ("clip", "neutralize", "demo"):
        result = run(command, "--help")
        assert result.code == 0
        assert "--n-jobs" in result.out
