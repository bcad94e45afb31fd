"""A pickled predict function must run where sknumerai is not installed."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import sknumerai
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor
from tests._reference import make_era

TRANSFORMERS = [ExposureClipper(0.05), FeatureNeutralizer(0.5)]
RUN = """
import pickle, sys
sys.modules["sknumerai"] = None  # as where the package is not installed
functions, live, predictions = sys.argv[1:]
live = pickle.load(open(live, "rb"))
pickled = pickle.load(open(functions, "rb"))
pickle.dump([pickle.loads(function)(live) for function in pickled], open(predictions, "wb"))
for name in ("torch", "cvxpy", "matplotlib", "pyarrow.parquet"):
    assert name not in sys.modules, name
"""


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    """Predictions of both models here and in one interpreter without the package."""
    cloudpickle = pytest.importorskip("cloudpickle")
    target, features = make_era(np.random.default_rng(0), 300, 8)
    target = target + (features[:, 0] - 2) ** 2
    live = pd.DataFrame(features).add_prefix("feature_")

    def make_predict(transformer):
        model = NeutralizedRegressor(Ridge(), transformer).fit(live, target, eras="0001")

        def predict(live_features):
            predictions = model.predict(live_features, eras="X")
            return pd.DataFrame({"prediction": predictions}, index=live_features.index)

        return predict

    functions = [make_predict(transformer) for transformer in TRANSFORMERS]
    folder = tmp_path_factory.mktemp("upload")
    cloudpickle.register_pickle_by_value(sknumerai)
    try:
        pickled = [cloudpickle.dumps(function) for function in functions]
    finally:
        cloudpickle.unregister_pickle_by_value(sknumerai)
    (folder / "functions.pkl").write_bytes(pickle.dumps(pickled))
    (folder / "live.pkl").write_bytes(pickle.dumps(live))
    paths = [str(folder / name) for name in ("functions.pkl", "live.pkl", "predictions.pkl")]
    subprocess.run([sys.executable, "-c", RUN, *paths], check=True, cwd=folder)
    there = pickle.loads((folder / "predictions.pkl").read_bytes())
    return list(zip([function(live) for function in functions], there, strict=True))


@pytest.mark.parametrize("transformer", TRANSFORMERS)
def test_predict_runs_without_the_package(transformer, predictions):
    here, there = predictions[TRANSFORMERS.index(transformer)]
    pd.testing.assert_frame_equal(there, here)
