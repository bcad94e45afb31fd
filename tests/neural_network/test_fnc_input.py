"""Tables of features that `FNCRegressor` takes, and bad data and parameters that it refuses."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sknumerai.datasets import make_tournament
from tests.neural_network._fnc import WEIGHTS, WideNet, draw_data, make_regressor

torch = pytest.importorskip("torch")


from sknumerai.neural_network import _fnc_batches, _fnc_net  # noqa: E402


@pytest.fixture(scope="module")
def data():
    return draw_data()


def test_frames(data, df_module):
    X, y, eras = data
    plain = make_regressor().fit(X, y, eras=eras)
    names = [f"feature_{j}" for j in range(6)]
    frame = df_module.DataFrame(dict(zip(names, X.T, strict=True)))
    model = make_regressor().fit(frame, df_module.Series(y), eras=df_module.Series(eras))
    np.testing.assert_array_equal(model.predict(frame), plain.predict(X))
    pd.testing.assert_frame_equal(model.history_, plain.history_)
    assert list(model.feature_names_in_) == names
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[names[::-1]])


@pytest.mark.parametrize(
    "feature_columns", ["^feature", ["feature_1", "feature_4"], lambda names: names[2:4]]
)
def test_selected_columns(data, df_module, feature_columns):
    X, y, eras = data
    columns = {"id": [f"n{i}" for i in range(len(X))], "feature_1": X[:, 1], "feature_4": X[:, 4]}
    if not isinstance(feature_columns, str):
        columns = {"feature_4": X[:, 4], "other": y, "feature_1": X[:, 1], "id": columns["id"]}
    frame = df_module.DataFrame(columns)
    if callable(feature_columns):
        frame = frame[["other", "id", "feature_1", "feature_4"]]
    chosen = [1, 4]
    model = make_regressor(feature_columns=feature_columns).fit(frame, y, eras=eras)
    plain = make_regressor().fit(X[:, chosen], y, eras=eras)
    np.testing.assert_array_equal(model.predict(frame), plain.predict(X[:, chosen]))
    assert model.n_features_in_ == len(frame.columns)
    by_position = make_regressor(feature_columns=chosen).fit(X, y, eras=eras)
    np.testing.assert_array_equal(by_position.predict(X), plain.predict(X[:, chosen]))


@pytest.mark.parametrize("container", ["numpy", "pandas", "polars"])
def test_features_are_never_copied_whole(container, monkeypatch):
    tournament = make_tournament(20, 2000, 100, random_state=0)
    X, y, eras = tournament.data, tournament.target, tournament.eras
    float_copy = 4 * X.to_numpy().nbytes
    if container == "numpy":
        X = X.to_numpy()
    elif container == "polars":
        polars = pytest.importorskip("polars")
        X = polars.DataFrame({name: X[name].to_numpy() for name in X.columns})
    blocks = []
    as_features = _fnc_batches.as_features

    def spy(block):
        blocks.append(block)
        return as_features(block)

    monkeypatch.setattr(_fnc_batches, "as_features", spy)
    monkeypatch.setattr(_fnc_net, "as_features", spy)
    monkeypatch.setattr(_fnc_net, "PREDICTED_ROWS", 2000)
    model = make_regressor(max_epochs=1).fit(X[:2000], y[:2000], eras=eras[:2000])  # imports, too
    blocks.clear()
    tracemalloc.start()
    model.fit(X, y, eras=eras).predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < float_copy / 2
    assert {block.dtype for block in blocks} == {np.dtype(np.int8)}
    assert max(len(block) for block in blocks) == 2000


def test_how_features_enter(data):
    X, y, eras = data
    integers = X.astype(float)
    for features, expected in (
        (X, X / 4 - 0.5),
        (integers, X / 4 - 0.5),
        (integers / 4, X / 4 - 0.5),
        (integers / 4 * (1 + 2e-16), X / 4 - 0.5),  # as of a MinMaxScaler
        (integers - 2, X - 2),
        (100 * integers, 100 * integers),
    ):
        model = make_regressor(module=WideNet, validation_eras=[eras[-1]], horizon=5, max_epochs=1)
        model.fit(features, y, eras=eras)
        seen = model.net_.module_.module.seen
        assert seen.dtype == torch.float32
        np.testing.assert_allclose(seen.numpy(), expected[eras == eras[-1]], rtol=1e-6)
    # decided by the first training data
    model = make_regressor().partial_fit(X, y, eras=eras)
    again = clone(model).partial_fit(X, y, eras=eras)
    low = np.minimum(X, 1)
    np.testing.assert_array_equal(model.predict(low), again.predict(np.vstack([X, low]))[len(X) :])
    assert model.partial_fit(low, y, eras=eras).net_.module_.scale[0] == 0.25


def test_prepared_and_raw_features_predict_the_same(data):
    X, y, eras = data
    model = make_regressor().fit(X, y, eras=eras)
    expected = model.predict(X)
    with torch.no_grad():
        module = model.net_.module_.eval()
        np.testing.assert_allclose(module(torch.from_numpy(X))[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(model.net_.predict(X), expected, atol=1e-6)
    scaled = module.scaled(torch.from_numpy(X))
    np.testing.assert_allclose(model.net_.infer(scaled).detach(), expected, atol=1e-6)
    with torch.inference_mode():
        np.testing.assert_allclose(
            model.net_.infer(module.scaled(torch.from_numpy(X))), expected, atol=1e-6
        )


# --- strange and bad input ------------------------------------------------------------------------


def test_degenerate_eras(data):
    X, y, eras = data
    constant_target = np.where(eras == "0002", 0.5, y)
    constant_feature = X.copy()
    constant_feature[eras == "0003", 1] = 2
    duplicated = np.column_stack([X, X[:, 0], 4 - X[:, 1]])
    few_rows = np.where(eras == "0004", np.repeat(np.arange(12 * 50 // 5), 5).astype(str), eras)
    for features, target, labels in (
        (X, constant_target, eras),
        (constant_feature, y, eras),
        (duplicated, y, eras),
        (X, y, few_rows),
        (np.full_like(X, 3), y, eras),
        (X, np.zeros_like(y), eras),
    ):
        model = make_regressor(**WEIGHTS).fit(features, target, eras=labels)
        assert np.isfinite(model.predict(features)).all()
        assert np.isfinite(model.history_).all(axis=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_layer_sizes": (5, 0)}, r"positive integers, one for each layer; found \[5, 0\]"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"module": 3}, "'module' parameter"),
        ({"fnc_weight": -1.0}, "'fnc_weight' parameter"),
        (dict.fromkeys(WEIGHTS, 0), "All weights of the loss are 0"),
        ({"top_bottom": 0}, "'top_bottom' parameter"),
        ({"regularization_strength": 0.0}, "'regularization_strength' parameter"),
        ({"soft_rank": "fast"}, "'soft_rank' parameter"),
        ({"max_epochs": 0}, "'max_epochs' parameter"),
        ({"optimizer": "adam"}, "optimizer='adam' is not an optimizer of torch.optim"),
        ({"patience": 0}, "'patience' parameter"),
        (
            {"device": "abacus"},
            "device='abacus' is not a device that torch knows; pass 'cpu', 'cuda' or 'auto'",
        ),
        ({"horizon": 0}, "'horizon' parameter"),
        ({"callbacks": "lr"}, "'callbacks' parameter"),
        ({"feature_columns": [9]}, "feature_columns names 9, which X with its 6 columns"),
    ],
)
def test_bad_parameters(data, change, message):
    X, y, eras = data
    with pytest.raises(ValueError, match=message):
        make_regressor(**change).fit(X, y, eras=eras)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_device_that_is_not_there(data):
    X, y, eras = data
    with pytest.raises(ValueError, match=r"device='cuda:0' needs a GPU .* pass 'cpu', or 'auto'"):
        make_regressor(device="cuda:0").fit(X, y, eras=eras)
    model = make_regressor(device="auto").fit(X, y, eras=eras)
    assert model.net_.device == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(data):
    X, y, eras = data
    model, again = (make_regressor(device="auto").fit(X, y, eras=eras) for _ in range(2))
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    on_cpu = make_regressor(dropout=0.0).fit(X, y, eras=eras)  # dropout draws other numbers there
    on_gpu = make_regressor(dropout=0.0, device="cuda").fit(X, y, eras=eras)
    np.testing.assert_allclose(on_gpu.predict(X), on_cpu.predict(X), atol=1e-2)


@pytest.mark.parametrize("unit", [2.0**-200, 2.0**300])
def test_units_of_targets_do_not_matter(data, unit):
    X, y, eras = data
    expected, found = (
        make_regressor(max_epochs=1, random_state=0).fit(X, target, eras=eras).predict(X)
        for target in (y, y.astype(np.float64) * unit)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_bad_data(data):
    X, y, eras = data
    holes = np.where((np.arange(len(y)) % 100) == 70, np.nan, y)
    one_row = np.where(np.arange(len(y)) == 7, "0099", eras)
    with_nan = X.astype(float)
    with_nan[55, 2] = np.nan
    frame = pd.DataFrame(with_nan).add_prefix("feature_")
    for arguments, message in (
        ((X, holes, eras), "y contains 6 NaN of 600 values, first at row 70, era 0002"),
        ((X, np.column_stack([y, y]), eras), "y should be a 1d array"),
        ((X, y, one_row), "There is 1 sample in era 0099"),
        ((X, y, eras[1:]), "eras has 599 labels for 600 rows"),
        ((X, y[1:], eras), "inconsistent numbers of samples"),
        ((with_nan, y, eras), "Input X contains NaN"),
        ((frame, y, eras), "In era 0002: X contains 1 NaN of 300 values, first at row 55 of col"),
        ((frame.assign(feature_2="a"), y, eras), "Column 'feature_2' of X is not numeric"),
        (
            (1e300 * X.astype(float), y, eras),
            "X holds values of up to 4e.300, too large",
        ),
        ((frame.iloc[:0], y[:0], eras[:0]), r"0 sample\(s\)"),
        ((pd.DataFrame(X).add_prefix("f"), None, eras), "requires y to be passed"),
    ):
        features, target, labels = arguments
        with pytest.raises(ValueError, match=message):
            make_regressor().fit(features, target, eras=labels)
