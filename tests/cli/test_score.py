"""``score`` prints and writes what the metrics give on whole tables."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.datasets._parquet import RowCursor
from sknumerai.metrics import era_table, score_summary

TITLES = {
    "CORR": "numerai_corr",
    "FNC": "fnc",
    "MMC": "mmc",
    "BMC": "bmc",
    "corr. with meta model": "cwmm",
    "max exposure": "max_exposure",
}
STATISTICS = ["mean", "std", "sharpe", "max_drawdown", "hit_rate", "n_eras"]


@pytest.fixture(scope="module")
def meta_model(tournament):
    return pd.read_parquet(tournament.meta_model)["numerai_meta_model"]


@pytest.fixture(scope="module")
def benchmark(tournament):
    return pd.read_parquet(tournament.validation_example_preds)["prediction"]


@pytest.fixture
def all_files(tournament):
    return [
        *("--targets", tournament.validation, "--features", tournament.validation),
        *("--meta-model", tournament.meta_model),
        *("--benchmark", tournament.validation_example_preds),
    ]


def by_metrics(predictions, validation, **tables):
    """The expected table: rows as ``--per-era`` has them."""
    rows = validation.loc[predictions.index]
    tables = {name: table.loc[predictions.index] for name, table in tables.items()}
    table = era_table(rows["target"], predictions, eras=rows["era"], **tables)
    table.columns.names = ["prediction", None]
    return table.stack("prediction", future_stack=True)


def read(path):
    return pd.read_csv(path, dtype={"era": str}).set_index(["era", "prediction"])


def assert_same(written, expected):
    assert sorted(written.columns) == sorted(expected.columns)
    pd.testing.assert_frame_equal(
        written, expected[written.columns], check_index_type=False, rtol=0, atol=1e-12
    )


def printed(out):
    """The numbers of the report, by prediction and title."""
    lines = {}
    for line in out.splitlines()[1:-1]:
        prediction, rest = line.split(maxsplit=1)
        title = next(title for title in TITLES if rest.startswith(title))
        lines[prediction, title] = rest[len(title) :].split()
    return lines


@pytest.fixture
def expected(predictions, validation, features, meta_model, benchmark):
    return by_metrics(
        predictions, validation, features=features, meta_model=meta_model, benchmark=benchmark
    )


@pytest.mark.parametrize(("name", "n_jobs"), [("p.csv", 1), ("p.parquet", 2)])
def test_equals_the_metrics(run, write, tmp_path, all_files, predictions, expected, name, n_jobs):
    path, output = write(predictions, name), tmp_path / "output.csv"
    result = run(
        "score", "--predictions", path, *all_files, "--per-era", output, "--n-jobs", n_jobs
    )
    assert result.code == 0, result.err
    assert "4/4" in result.err  # the progress bar
    written = read(output)
    assert written.columns.tolist() == list(TITLES.values())
    assert_same(written, expected)
    assert {path.name for path in tmp_path.iterdir()} == {name, "output.csv"}


def test_report(run, write, all_files, predictions, expected):
    result = run("score", "--predictions", write(predictions), *all_files)
    header, *_, last = result.out.splitlines()
    assert header.split() == "prediction metric mean std Sharpe drawdown hit rate eras".split()
    assert last.startswith("4 eras, 240 rows, 9 features in ")
    lines = printed(result.out)
    assert list(lines) == [(name, title) for name in predictions for title in TITLES]
    for (name, title), cells in lines.items():
        summary = score_summary(expected.xs(name, level="prediction")[TITLES[title]])
        for cell, statistic in zip(cells, STATISTICS, strict=True):
            if title in ("max exposure", "corr. with meta model") and statistic in STATISTICS[2:5]:
                assert cell == "-"  # neither earns anything
            else:
                assert float(cell) == pytest.approx(summary[statistic], abs=5.1e-5)


def test_only_what_was_given_is_computed_and_read(
    run, write, tmp_path, tournament, predictions, expected, monkeypatch
):
    columns = set()

    class Cursor(RowCursor):
        def __init__(self, parts, names, batch_size):
            columns.update(names)
            super().__init__(parts, names, batch_size)

    monkeypatch.setattr("sknumerai.datasets._era_rows.RowCursor", Cursor)
    output = tmp_path / "output.csv"
    arguments = ("--targets", tournament.validation, "--per-era", output, "--quiet")
    result = run("score", "--predictions", write(predictions), *arguments)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert_same(read(output), expected[["numerai_corr"]])
    assert columns == {"id", "era", "target"}


def test_order_of_rows_and_types_of_ids_and_eras_do_not_matter(
    run, tmp_path, predictions, validation, meta_model, features, expected
):
    """Every file in another order; numeric ids; eras as numbers and scattered in the features."""
    numbers = pd.Series(np.arange(len(validation)) ** 2, index=validation.index)

    def renumbered(frame, seed):
        frame = frame.set_axis(pd.Index(numbers[frame.index], name="id"))
        return frame.sample(frac=1.0, random_state=seed)

    source = renumbered(validation, 1).assign(era=lambda frame: frame["era"].astype(int))
    source.sort_values("era", ascending=False).to_parquet(tmp_path / "targets.parquet")
    renumbered(validation, 2).reset_index().to_parquet(tmp_path / "features.parquet")
    renumbered(meta_model.to_frame(), 3).to_csv(tmp_path / "meta_model.csv")
    renumbered(predictions, 4).to_csv(tmp_path / "predictions.csv")
    result = run(
        *("score", "--predictions", tmp_path / "predictions.csv"),
        *("--targets", tmp_path / "targets.parquet"),
        *("--features", tmp_path / "features.parquet"),
        *("--meta-model", tmp_path / "meta_model.csv"),
        *("--per-era", tmp_path / "output.csv"),
    )
    assert result.code == 0, result.err
    written = read(tmp_path / "output.csv")
    assert written.index.get_level_values("era").unique().tolist() == ["5", "6", "7", "8"]
    assert_same(written.set_axis(expected.index), expected.drop(columns="bmc"))


def test_missing_targets_and_eras(
    run, write, tmp_path, predictions, validation, features, meta_model
):
    """No prediction in one era, no target in the next, some missing, a shorter meta model."""
    eras = validation["era"]
    frame = validation.assign(target=validation["target"].mask(eras == "0006"))
    sparse = frame.index[eras == "0007"][::9]
    frame.loc[sparse, "target"] = np.nan
    source = tmp_path / "validation.parquet"
    frame.to_parquet(source)
    predicted = predictions[eras.loc[predictions.index] != "0005"]
    path, short = write(predicted), write(meta_model[eras == "0008"].to_frame(), "meta.csv")
    output = tmp_path / "output.csv"
    result = run(
        *("score", "--predictions", path, "--targets", source, "--features", source),
        *("--meta-model", short, "--per-era", output, "--plot", tmp_path / "output.png"),
    )
    assert result.code == 0, result.err
    rest = predicted[eras.loc[predicted.index] != "0006"]
    expected = by_metrics(rest, frame, features=features, meta_model=meta_model)
    expected.loc["0007", ["mmc", "cwmm"]] = np.nan
    assert_same(read(output), expected)
    lines = printed(result.out)
    assert [lines["other", title][-1] for title in ("CORR", "FNC", "MMC")] == ["2", "2", "1"]
    assert "2 eras, 120 rows" in result.out
    assert "; left out 1 era without targets -> " in result.out


def test_constant_predictions_are_a_warning(
    run, write, tmp_path, all_files, predictions, validation
):
    frame = predictions.rename(columns={"linear": "_$linear"})
    frame.loc[validation.loc[frame.index, "era"] == "0007", "other"] = 0.5
    arguments = ("--per-era", tmp_path / "output.csv", "--plot", tmp_path / "output.png")
    result = run("score", "--predictions", write(frame), *all_files, *arguments, "--quiet")
    assert result.code == 0
    assert result.err.startswith("warning: In 1 era (0007) a prediction, what it is compared to or")
    assert len(result.err.splitlines()) == 1
    written = read(tmp_path / "output.csv")
    missing = written.isna().all(axis=1)
    assert missing[missing].index.tolist() == [("0007", "other")]
    assert written[~missing].notna().all(axis=None)
    result = run("score", "--predictions", write(frame), *all_files)
    assert printed(result.out)["other", "CORR"] == ["nan"] * 5 + ["4"]


def test_picture_shows_every_prediction_and_metric(run, write, tmp_path, all_files, predictions):
    image = pytest.importorskip("matplotlib.image")
    sizes = []
    for given in (all_files[:2], [*all_files[:2], *all_files[4:6]]):
        arguments = ("--plot", tmp_path / "output.png", "--overwrite", "--quiet")
        assert run("score", "--predictions", write(predictions), *given, *arguments).code == 0
        pixels = (255 * image.imread(tmp_path / "output.png")[..., :3]).round().astype(int)
        sizes.append(len(pixels))
        for colour in ((31, 119, 180), (255, 127, 14)):
            assert (pixels == colour).all(axis=2).any()
    assert sizes[1] == 2 * sizes[0]  # a panel for CORR, and one for MMC


def test_help(run):
    assert "score " in run().out
    assert "--meta-model" in run("score", "--help").out
