"""Exported models run on the versions that the tournament's runtime has, without this package.

``make test-upload`` makes an environment of these, and names its interpreter.
"""

import os
import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknumerai.datasets import make_tournament
from sknumerai.ensemble import EraEnsemble
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor
from sknumerai.upload import check_upload, make_predict, save_upload
from tests.upload._local_helper import smooth
from tests.upload._models import make_benchmarks, make_booster

PYTHON = os.environ.get("SKNUMERAI_UPLOAD_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="run by make test-upload")
README = Path(__file__).parents[2] / "README.md"
HERE = ".".join(platform.python_version_tuple()[:2])


@pytest.fixture(scope="module")
def data():
    """Two eras to train on and a live one, of the true size."""
    tournament = make_tournament(2, 7000, 2376, n_validation_eras=0, live=True, random_state=0)
    rows = (tournament.data_type == "train").to_numpy()
    frame = tournament.frame
    live = frame.loc[~rows, ["era", *tournament.feature_names]]
    return tournament.data[rows], frame.loc[rows, "target"], frame.loc[rows, "era"], live


def neutralized(transformer):
    return lambda X, y, eras: NeutralizedRegressor(make_booster(), transformer).fit(X, y, eras=eras)


def ensemble(X, y, eras):
    members = [("a", make_booster()), ("b", Ridge()), ("c", make_booster(max_depth=3))]
    return EraEnsemble(members, transformer=FeatureNeutralizer(0.5)).fit(X, y, eras=eras)


def network(X, y, eras):
    pytest.importorskip("skorch", reason="needs the extra 'torch'")
    from sknumerai.neural_network import FNCRegressor

    model = FNCRegressor((16,), max_epochs=1, random_state=0, top_bottom=200)
    return model.fit(X.iloc[:, :300], y, eras=eras)


def function(X, y, eras):
    model, names = make_booster().fit(X, y), list(X.columns)

    def predict(live_features, live_benchmark_models):
        values = smooth(model.predict(live_features[names]))
        return values + 0.01 * live_benchmark_models["v53_lgbm_ender60"]

    return predict


def function_with_a_clipper(X, y, eras):
    model, names, clipper = make_booster().fit(X, y), list(X.columns), ExposureClipper(0.1)

    def predict(live_features):
        features = live_features[names]
        raw = pd.DataFrame({"prediction": model.predict(features)}, features.index)
        return clipper.fit_transform(raw, features=features)[:, 0]

    return predict


MAKERS = {
    "bare": lambda X, y, eras: make_booster().fit(X, y),
    "neutralized": neutralized(FeatureNeutralizer()),
    "clipped at 0.1": neutralized(ExposureClipper(0.1)),
    "clipped at 0.02": neutralized(ExposureClipper(0.02)),
    "ensemble": ensemble,
    "pipeline": lambda X, y, eras: make_pipeline(StandardScaler(), Ridge()).fit(X, y),
    "network": network,
    "function": function,
    "function with a clipper": function_with_a_clipper,
}


def test_the_package_is_not_there():
    code = [PYTHON, "-I", "-c", "import sknumerai"]
    assert subprocess.run(code, capture_output=True, check=False).returncode


@pytest.mark.parametrize("name", MAKERS)
def test_it_runs_there(data, tmp_path, name):
    X, y, eras, live = data
    predict = make_predict(MAKERS[name](X, y, eras))
    path = save_upload(predict, tmp_path / "predict.pkl")
    benchmarks = make_benchmarks(live)
    report = check_upload(path, live, benchmarks, runtime=HERE, python=PYTHON)
    print(report)
    assert report.passed, report
    assert report.n_rows == 7000
    assert report.peak_memory < 4e9
    expected = predict(live, benchmarks)["prediction"]
    assert report.predictions.index.tolist() == live.index.tolist()
    np.testing.assert_allclose(report.predictions, expected, rtol=0, atol=1e-6)


def test_the_model_of_the_readme_runs_there(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {}
    for block in blocks:
        exec(block, session)
        if "save_upload" in block:
            break
    report = check_upload("predict.pkl", runtime=HERE, python=PYTHON)
    assert report.passed, report
