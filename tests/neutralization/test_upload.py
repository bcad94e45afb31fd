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

RUN = """
import pickle, sys
sys.modules["sknumerai"] = None  # as where the package is not installed
with open(sys.argv[1], "rb") as file:
    predict = pickle.load(file)
live = pickle.load(open(sys.argv[2], "rb"))
pickle.dump(predict(live), open(sys.argv[3], "wb"))
for name in ("torch", "cvxpy", "matplotlib", "pyarrow.parquet"):
    assert name not in sys.modules, name
"""


@pytest.mark.parametrize("transformer", [ExposureClipper(0.05), FeatureNeutralizer(0.5)])
def test_predict_runs_without_the_package(transformer, tmp_path):
    cloudpickle = pytest.importorskip("cloudpickle")
    target, features = make_era(np.random.default_rng(0), 300, 8)
    live = pd.DataFrame(features).add_prefix("feature_")
    model = NeutralizedRegressor(Ridge(), transformer)
    model.fit(live, target + (features[:, 0] - 2) ** 2, eras="0001")

    def predict(live_features):
        predictions = model.predict(live_features, eras="X")
        return pd.DataFrame({"prediction": predictions}, index=live_features.index)

    cloudpickle.register_pickle_by_value(sknumerai)
    try:
        (tmp_path / "predict.pkl").write_bytes(cloudpickle.dumps(predict))
    finally:
        cloudpickle.unregister_pickle_by_value(sknumerai)
    (tmp_path / "live.pkl").write_bytes(pickle.dumps(live))
    paths = [str(tmp_path / name) for name in ("predict.pkl", "live.pkl", "out.pkl")]
    subprocess.run([sys.executable, "-c", RUN, *paths], check=True, cwd=tmp_path)
    result = pickle.loads((tmp_path / "out.pkl").read_bytes())
    pd.testing.assert_frame_equal(result, predict(live))
