"""`FNCRegressor` among other estimators, in pickles and in files."""

import pickle
import sys
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib.externals.loky import ProcessPoolExecutor
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sknumerai.metrics import feature_neutral_corr, get_era_scorer
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor, neutralize
from tests._reference import neutralized
from tests.neural_network._fnc import (
    SeenEras,
    callback_of,
    draw_data,
    fit_with_routing,
    make_regressor,
)

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data():
    return draw_data()


def test_pickles_without_its_data(data):
    X, y, eras = data
    model = make_regressor(validation_eras=1).fit(X, y, eras=eras)
    pickled = pickle.dumps(model)
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    pd.testing.assert_frame_equal(again.history_, model.history_)
    assert all(epoch["batches"] == [] for epoch in model.net_.history)
    many = clone(model).fit(np.tile(X, (5, 1)), np.tile(y, 5), eras=np.tile(eras, 5))
    assert len(pickle.dumps(many)) < len(pickled) + 1000


@pytest.mark.parametrize("where", ["here", "in another process"])
def test_pipeline_and_search(data, where):
    X, y, eras = data
    sklearn.set_config(enable_metadata_routing=True)
    pipeline = make_pipeline(MinMaxScaler(), make_regressor(callbacks=[SeenEras()]))
    search = GridSearchCV(
        pipeline,
        {"fncregressor__lr": [1e-2], "fncregressor__hidden_layer_sizes": [(), 5]},
        cv=PurgedEraKFold(2, horizon=5),
        scoring=get_era_scorer("fnc"),
        error_score="raise",
    )
    if where == "here":
        search.fit(X, y, eras=eras)
    else:  # it starts as joblib's workers do, with nothing imported and the default configuration
        with ProcessPoolExecutor(max_workers=1) as executor:
            search = executor.submit(fit_with_routing, search, X, y, eras).result()
    best = search.best_estimator_
    assert len(callback_of(best[-1], SeenEras).batches_[True]) == 2 * 12
    expected = clone(best).fit(X, y, eras=eras)
    np.testing.assert_array_equal(best.predict(X), expected.predict(X))
    by_hand = era_cross_val_predict(best, X, y, eras=eras, cv=PurgedEraKFold(2, horizon=5))
    score = feature_neutral_corr(y, by_hand, features=X, eras=eras)
    assert search.best_score_ == pytest.approx(score)


def test_pipeline_without_routing(data):
    X, y, eras = data
    pipeline = make_pipeline(StandardScaler(), make_regressor())
    pipeline.set_params(fncregressor__lr=0.02).fit(X, y, fncregressor__eras=eras)
    expected = make_regressor(lr=0.02).fit(StandardScaler().fit_transform(X), y, eras=eras)
    np.testing.assert_array_equal(
        pipeline.predict(X), expected.predict(StandardScaler().fit_transform(X))
    )


@pytest.mark.parametrize("routing", [False, True])
def test_inside_of_a_neutralized_regressor(data, routing):
    X, y, eras = data
    sklearn.set_config(enable_metadata_routing=routing)
    model = NeutralizedRegressor(make_regressor(), FeatureNeutralizer()).fit(X, y, eras=eras)
    raw = make_regressor().fit(X, y, eras=eras).predict(X)
    expected = neutralize(raw.astype(float), X, eras=eras)
    np.testing.assert_allclose(model.predict(X, eras=eras), expected, atol=1e-5)
    first = eras == "0001"
    by_hand = neutralized(raw[first].astype(float), X[first])
    np.testing.assert_allclose(expected[first], by_hand, atol=1e-6)


@pytest.fixture
def safetensors(monkeypatch):
    """The package of that name, or what skorch uses of it, kept in another format."""
    if find_spec("safetensors") is not None:
        return
    package, in_torch = ModuleType("safetensors"), ModuleType("safetensors.torch")

    class Opened(dict):
        def __init__(self, path, framework, device="cpu"):
            content = BytesIO(Path(path).read_bytes())
            super().__init__(torch.load(content, weights_only=True, map_location=device))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        get_tensor = dict.__getitem__

    package.safe_open, package.torch = Opened, in_torch
    in_torch.save_file, in_torch.save, in_torch.load = torch.save, None, None
    monkeypatch.setitem(sys.modules, "safetensors", package)
    monkeypatch.setitem(sys.modules, "safetensors.torch", in_torch)


@pytest.mark.usefixtures("safetensors")
def test_weights_in_a_file(data, tmp_path):
    X, y, eras = data
    model = make_regressor().fit(X, y, eras=eras)
    model.save_params(tmp_path / "weights.safetensors")
    loaded = clone(model).load_params(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="X has 5 features"):
        loaded.predict(X[:, 1:])
    further = loaded.partial_fit(X, y, eras=eras)
    assert len(further.history_) == 1
    assert np.corrcoef(further.predict(X), model.predict(X))[0, 1] > 0.5

    chosen = make_regressor(feature_columns=slice(2)).fit(X, y, eras=eras)
    chosen.save_params(tmp_path / "chosen.safetensors")
    loaded = clone(chosen).load_params(str(tmp_path / "chosen.safetensors"))
    np.testing.assert_array_equal(loaded.predict(X), chosen.predict(X))
    loaded.feature_columns = slice(3)
    with pytest.raises(ValueError, match="X has 3 feature columns and the network takes 2"):
        loaded.predict(X)


def test_without_optional_packages(data, monkeypatch, tmp_path):
    X, y, eras = data
    model = make_regressor().fit(X, y, eras=eras)
    for name in ("safetensors", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=r"pip install 'sknumerai\[torch\]'"):
            model.save_params(tmp_path / "weights")
        with pytest.raises(ImportError, match=r"pip install 'sknumerai\[torch\]'"):
            model.load_params(tmp_path / "weights")
    with pytest.raises(ImportError, match=r"torch could .*pip install 'sknumerai\[torch\]'"):
        make_regressor().fit(X, y, eras=eras)
