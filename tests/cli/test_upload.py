"""From a saved model to a checked upload and live predictions, by the command."""

import platform

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

pytest.importorskip("cloudpickle", reason="needs the extra 'upload'")

from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor
from tests.upload._models import make_tree

HERE = ".".join(platform.python_version_tuple()[:2])


@pytest.fixture
def model(tmp_path, validation, features):
    """A fitted model, and the path it was saved to."""
    fitted = NeutralizedRegressor(make_tree(), FeatureNeutralizer(0.5)).fit(
        features, validation["target"], eras=validation["era"]
    )
    path = tmp_path / "model.joblib"
    joblib.dump(fitted, path)
    return fitted, path


@pytest.fixture
def upload(run, model, tmp_path):
    path = tmp_path / "predict.pkl"
    result = run("export", model[1], "--output", path)
    assert result.code == 0, result
    assert result.out.startswith("NeutralizedRegressor, 0.")
    return path


def test_predict(run, refused, upload, model, tournament, features, tmp_path):
    output = tmp_path / "live.csv"
    arguments = ["predict", upload, "--live", tournament.live, "--output", output]
    result = run(*arguments)
    assert (result.code, result.out) == (0, f"60 predictions -> {output}\n")
    written = pd.read_csv(output, index_col="id")["prediction"]
    live = pd.read_parquet(tournament.live)
    own = model[0].predict(live[features.columns], eras="X")
    expected = pd.Series(own).rank().sub(0.5).div(60)
    assert written.index.tolist() == live.index.tolist()
    np.testing.assert_allclose(written, expected, atol=1e-9)
    assert "exists; pass --overwrite" in refused(*arguments)
    assert run(*arguments, "--overwrite").code == 0
    assert "does not end in .csv" in refused(*arguments[:-1], tmp_path / "live.txt")


def test_check(run, upload, tournament, tmp_path):
    result = run("check-upload", upload, "--live", tournament.live, "--runtime", HERE)
    assert result.code == 0, result
    assert result.out.rstrip().endswith("passed")
    other = "3.13" if HERE != "3.13" else "3.12"
    result = run("check-upload", upload, "--live", tournament.live, "--runtime", other)
    assert result.code == 2
    assert f"is to run on {other}" in result.out
    assert result.out.rstrip().endswith("refused")


def test_export_of_arrays(run, refused, tmp_path, tournament, validation, features):
    path, output = tmp_path / "model.joblib", tmp_path / "predict.pkl"
    fitted = Ridge().fit(features.to_numpy(), validation["target"])
    joblib.dump(fitted, path)
    arguments = ["export", path, "--output", output]
    assert "does not know the names of its features" in refused(*arguments)
    names = ["--feature-set", "all", "--features-json", tournament.features]
    assert run(*arguments, *names).code == 0
    assert "exists; pass --overwrite" in refused(*arguments, *names)
    assert "there are" in refused(
        *arguments[:3], output.with_name("o.pkl"), *names[:1], "x", *names[2:]
    )


def test_what_is_refused(refused, tmp_path, tournament):
    output = tmp_path / "predict.pkl"
    assert "There is no file" in refused("export", tmp_path / "no.joblib", "--output", output)
    (tmp_path / "bad.joblib").write_bytes(b"nothing")
    assert "cannot be read" in refused("export", tmp_path / "bad.joblib", "--output", output)
    assert "There is no file" in refused("check-upload", output)
    fitted = tmp_path / "model.joblib"
    joblib.dump(Ridge().fit(pd.DataFrame({"a": [1.0, 2.0]}), [0.0, 1.0]), fitted)
    assert "There is no folder" in refused("export", fitted, "--output", tmp_path / "no" / "p.pkl")
    assert "--output p.txt does not end in .pkl" in refused("export", fitted, "--output", "p.txt")
    options = ["--live", tournament.live, "--output", tmp_path / "o.csv"]
    assert "There is no file" in refused("predict", output, *options)
    assert "There is no file" in refused("submit", output, "--model", "mine")


def test_submit(run, monkeypatch, tmp_path):
    numerapi = pytest.importorskip("numerapi", reason="needs the extra 'data'")

    class Client:
        def __init__(self, **options):
            assert set(options) == {"verbosity"}  # keys come from the environment

        def get_models(self):
            return {"mine": "id-1"}

        def upload_predictions(self, file_path, *, model_id):
            return f"sent {model_id}"

    monkeypatch.setattr(numerapi, "NumerAPI", Client)
    path = tmp_path / "live.csv"
    path.write_text("id,prediction\n")
    result = run("submit", path, "--model", "mine")
    assert (result.code, result.out) == (0, f"{path} -> mine: sent id-1\n")
