"""``tune`` prints and writes what `tune_exposure` gives on whole tables."""

import pandas as pd
import pytest

from sknumerai.datasets import write_tournament
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import tune_exposure

SETTINGS = ["--proportion", 0.5, "--limit", 0.2, "--limit", 0.1]


@pytest.fixture
def inputs(tournament, predictions, write):
    return [
        *("--predictions", write(predictions), "--prediction-column", "linear"),
        *("--targets", tournament.validation, "--features", tournament.validation),
        "--quiet",
    ]


def expected(predictions, validation, features, **options):
    own = predictions["linear"].loc[validation.index]
    return tune_exposure(
        own,
        validation["target"],
        features=features,
        eras=validation["era"],
        proportions=[0.5],
        limits=[0.2, 0.1],
        normalize="gaussian",
        **options,
    )


def read(path):
    return pd.read_csv(path, index_col="setting")


def test_table_and_picture(run, inputs, predictions, validation, features, tmp_path):
    outputs = [tmp_path / "table.csv", tmp_path / "frontier.png"]
    files = ["--output", outputs[0], "--plot", outputs[1]]
    result = run("tune", *inputs, *SETTINGS, *files)
    assert (result.code, result.out) == (0, "")
    table = expected(predictions, validation, features)
    pd.testing.assert_frame_equal(read(outputs[0]), table, rtol=0, atol=1e-12)
    assert outputs[1].read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def long_tournament(tmp_path_factory):
    """Files with 20 validation eras."""
    folder = tmp_path_factory.mktemp("long")
    return write_tournament(
        folder, n_eras=24, n_stocks=60, n_features=9, n_validation_eras=20, random_state=0
    )


@pytest.fixture
def long_inputs(long_tournament):
    validation = long_tournament.validation
    return [
        *("--predictions", long_tournament.validation_example_preds),
        *("--targets", validation, "--features", validation),
    ]


def test_choice_on_other_eras(run, long_tournament, long_inputs, tmp_path):
    """The row of the setting that was best on the training eras of each fold."""
    paths = long_tournament
    rows = pd.read_parquet(paths.validation)
    features = rows.filter(like="feature")
    predictions = pd.read_parquet(paths.validation_example_preds)
    predictions = predictions.rename(columns={"prediction": "linear"})
    table = expected(predictions, rows, features, cv=PurgedEraKFold(3))
    assert table.index[-1] == "selected"
    assert len({split["selected"] for split in table.attrs["splits"]}) > 1
    path = tmp_path / "table.csv"
    result = run("tune", *long_inputs, *SETTINGS, "--n-splits", 3, "--output", path)
    assert result.code == 0, result
    pd.testing.assert_frame_equal(read(path), table, rtol=0, atol=1e-12)
    lines = result.out.splitlines()
    assert lines[0].split()[-1] == "selected"
    assert lines[-2].startswith("selected ")


def test_the_name_of_the_target_says_how_many_eras_overlap(refused, long_inputs):
    """Targets of 60 days leave no era of 20 to choose on."""
    target = ("--target-column", "target_60")
    message = refused("tune", *long_inputs, *SETTINGS, *target, "--n-splits", 3)
    assert "--n-splits 3, purge=None) leaves no era" in message
    assert "there are only 20 eras" in message


def test_report(run, inputs):
    result = run("tune", *inputs[:-1], *SETTINGS, "--scoring", "fnc")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].split() == [
        *("setting", "mean", "std", "Sharpe"),
        *("mean", "exposure", "worst", "exposure", "correlation"),
    ]
    names = [line[:14].strip() for line in lines[1:-1]]
    assert names == ["none", "proportion 0.5", "limit 0.2", "limit 0.1"]
    assert lines[-1].startswith("fnc of 4 eras in ")


def test_what_is_refused(refused, inputs, tmp_path):
    path = tmp_path / "table.csv"
    message = refused("tune", *inputs, *SETTINGS, "--output", path, "--limit", 0.1)
    assert "--limit" in message
    assert "twice" in message
    assert "--proportion is 2.0" in refused("tune", *inputs, "--proportion", 2)
    assert "--quiet leaves nothing" in refused("tune", *inputs)
    assert "--meta-model" in refused("tune", *inputs, "--output", path, "--scoring", "mmc")
    assert "--n-splits is 1" in refused("tune", *inputs, "--output", path, "--n-splits", 1)
    assert "one, --prediction-column" in refused(
        "tune", *inputs, "--output", path, "--prediction-column", "other"
    )
    path.write_text("")
    assert "--overwrite" in refused("tune", *inputs, "--output", path)
