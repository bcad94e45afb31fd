"""What a file holds: code by value, and only what is needed of it."""

import pickle
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

pytest.importorskip("cloudpickle", reason="needs the extra 'upload'")

from sknumerai.upload import make_predict, run_upload, save_upload
from tests.upload._local_helper import smooth
from tests.upload._models import make_data, make_models

X, y, eras, live = make_data()
NAMES = list(X.columns)
MODELS = make_models(X, y, eras)
# Imports of the package are refused.
RUN = """
import pickle, sys
sys.modules["sknumerai"] = sys.modules["tests"] = None
path, live, predictions = sys.argv[1:]
import pandas
live = pandas.read_pickle(live)
pandas.read_pickle(path)(live).to_pickle(predictions)
"""
NOT_NEEDED = (b"tqdm", b"narwhals", b"matplotlib", b"polars", b"pyarrow", b"skorch", b"cvxpy")


def run(path, tmp_path):
    """Predictions without the package, of a file that names no library that is not needed."""
    content = path.read_bytes()
    assert [name for name in NOT_NEEDED if name in content] == []
    live.to_pickle(tmp_path / "live.pkl")
    arguments = [str(path), str(tmp_path / "live.pkl"), str(tmp_path / "predictions.pkl")]
    subprocess.run([sys.executable, "-c", RUN, *arguments], check=True, cwd=tmp_path)
    return pd.read_pickle(tmp_path / "predictions.pkl")


@pytest.mark.parametrize("name", MODELS)
def test_it_runs_without_the_package(tmp_path, name):
    predict = make_predict(MODELS[name])
    path = save_upload(predict, tmp_path / "predict.pkl")
    there = run(path, tmp_path)
    pd.testing.assert_frame_equal(there, predict(live), rtol=0, atol=1e-12)
    assert path.stat().st_size < 1e6


def test_networks_go_without_skorch(tmp_path):
    pytest.importorskip("skorch", reason="needs the extra 'torch'")
    from torch import nn

    from sknumerai.neural_network import FNCRegressor

    options = {"max_epochs": 1, "random_state": 0}
    inner = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    for model, table in (
        (FNCRegressor((4,), **options), X),
        (FNCRegressor(module=inner, feature_columns=NAMES[2:6], **options), X),
        (FNCRegressor((4,), **options), X.astype(float)),
    ):
        model.fit(table, y, eras=eras)
        predict = make_predict(model)
        path = save_upload(predict, tmp_path / "predict.pkl")
        there = run(path, tmp_path)
        pd.testing.assert_frame_equal(there, predict(live), rtol=0, atol=1e-7)
        own = pd.Series(model.predict(live[NAMES].astype(table.dtypes.iloc[0])), live.index)
        expected = own.rank().sub(0.5) / len(own)
        np.testing.assert_allclose(there["prediction"], expected, atol=1e-7)
    scaled = make_pipeline(
        __import__("sklearn.preprocessing").preprocessing.StandardScaler(), model
    )
    scaled[-1].set_params(module=None, feature_columns=None)
    with pytest.warns(UserWarning, match="eras"):
        scaled.fit(X, y)
    predict = make_predict(scaled)
    there = run(save_upload(predict, tmp_path / "predict.pkl"), tmp_path)
    np.testing.assert_allclose(there, predict(live), atol=1e-7)
    with pytest.raises(ValueError, match="holds a net of skorch"):
        save_upload(lambda live: model.predict(live), tmp_path / "predict.pkl")


def test_local_modules_go_along(tmp_path):
    def predict(live_features):
        values = smooth(live_features[NAMES[0]].to_numpy())
        return pd.DataFrame({"prediction": values}, live_features.index)

    path = save_upload(predict, tmp_path / "predict.pkl")
    there = run(path, tmp_path)
    pd.testing.assert_frame_equal(there, predict(live))
    import cloudpickle

    assert not cloudpickle.list_registry_pickle_by_value()


def test_a_module_under_two_names(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "alias", sys.modules["tests.upload._local_helper"])
    path = save_upload(lambda live: smooth(live), tmp_path / "predict.pkl")
    assert callable(pickle.loads(path.read_bytes()))


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "predict.pkl"
    save_upload(make_predict(Ridge().fit(X, y)), path)
    before, lock = path.read_bytes(), threading.Lock()  # which cannot be pickled
    with pytest.raises(TypeError):
        save_upload(make_predict(lambda live: lock), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["predict.pkl"]
    assert callable(pickle.loads(before))


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"does not end in \.pkl"):
        save_upload(make_predict(Ridge().fit(X, y)), tmp_path / "predict.joblib")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        save_upload(make_predict(Ridge().fit(X, y)), tmp_path / "no" / "predict.pkl")
    with pytest.raises(ValueError, match="predict is a Ridge; pass a function"):
        save_upload(Ridge().fit(X, y), tmp_path / "predict.pkl")
    with pytest.raises(ValueError, match="predict has 3 parameters"):
        save_upload(lambda a, b, c: a, tmp_path / "predict.pkl")


def test_run_here(tmp_path):
    predict = make_predict(MODELS["clipped"])
    path = save_upload(predict, tmp_path / "predict.pkl")
    pd.testing.assert_frame_equal(run_upload(path, live), predict(live))
    with pytest.raises(FileNotFoundError):
        run_upload(tmp_path / "other.pkl", live)
    for bad, message in (
        (lambda live: live[[NAMES[0]]], "no frame of the one column 'prediction'"),
        (lambda live: pd.DataFrame({"prediction": 2.0}, live.index), "outside of"),
        (lambda live: pd.DataFrame({"prediction": 0.5}, live.index[1:]), "119 rows for 120"),
    ):
        save_upload(bad, path)
        with pytest.raises(ValueError, match=message):
            run_upload(path, live)
    with pytest.raises(ValueError, match="twice; pass each row once"):
        run_upload(path, pd.concat([live, live.iloc[:2]]))
    save_upload(lambda live: predict(live).astype("string"), path)
    with pytest.raises(ValueError, match="which are no numbers"):
        run_upload(path, live)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        run_upload(path, live)
