import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknumerai.datasets import make_momentum_returns
from sknumerai.neural_network import NeuralTrader, sliding_windows

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

SEEDS = range(5)


def draw_data(n_series, rho, random_state, window=4, volatility=1.0):
    returns = make_momentum_returns(
        n_series, 20, rho, volatility=volatility, random_state=random_state
    )
    return sliding_windows(returns, window)


@pytest.fixture(scope="module")
def data():
    return draw_data(40, 0.5, 0)


@parametrize_with_checks([NeuralTrader()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# --- what it earns --------------------------------------------------------------------------------


def test_nothing_to_earn_on_noise():
    # Positions do not depend on the next return: their product has mean zero, and a standard error
    # of the root mean square of the positions over the root of the number of rows.
    z_scores = {"train": [], "validation": []}
    for seed in SEEDS:
        train = draw_data(20, 0.0, seed, window=8)
        trader = NeuralTrader((20,), max_epochs=150, random_state=seed).fit(*train)
        validation = draw_data(1000, 0.0, 1000 + seed, window=8)
        for name, (X, y) in (("train", train), ("validation", validation)):
            error = np.sqrt(np.mean(trader.predict(X) ** 2) / len(y))
            z_scores[name].append(trader.score(X, y) / error)
    assert np.abs(z_scores["validation"]).max() < 3.5
    assert abs(np.mean(z_scores["validation"])) < 3 / np.sqrt(len(SEEDS))
    assert np.mean(z_scores["train"]) > 3  # all that it earned there was over-fitted


def test_momentum_is_found():
    oracle = 0.2 / np.sqrt(2 * np.pi)
    scores, always_long = [], []
    for seed in SEEDS:
        trader = NeuralTrader(max_epochs=40, random_state=seed).fit(*draw_data(500, 0.2, seed))
        X, y = draw_data(1000, 0.2, 1000 + seed)
        scores.append(trader.score(X, y))
        always_long.append(y.mean())
        coin_flip = np.random.default_rng(seed).integers(0, 2, len(y))
        error = np.sqrt(np.mean(trader.predict(X) ** 2) / len(y))
        assert scores[-1] > max(np.mean(coin_flip * y), always_long[-1]) + 4 * error
    assert 0.85 * oracle < np.mean(scores) < 1.05 * oracle


def test_reversal_and_drift_are_found():
    X, y = draw_data(200, -0.5, 0)
    trader = NeuralTrader(random_state=0).fit(X, y)
    assert trader.predict([[0.0, 0.0, 0.0, -2.0]]) > 0.9
    assert trader.predict([[0.0, 0.0, 0.0, 2.0]]) < 0.1
    X, y = draw_data(200, 0.0, 0)
    assert NeuralTrader(random_state=0).fit(X + 0.5, y + 0.5).predict(X + 0.5).mean() > 0.9


def test_dropout_narrows_the_gap():
    gaps = {0.0: [], 0.5: []}
    for seed in SEEDS:
        X, y = draw_data(20, 0.2, seed, window=8)
        X_val, y_val = draw_data(1000, 0.2, 1000 + seed, window=8)
        for dropout, found in gaps.items():
            trader = NeuralTrader((20,), dropout=dropout, max_epochs=150, random_state=seed)
            trader.fit(X, y)
            found.append(trader.score(X, y) - trader.score(X_val, y_val))
    assert min(gaps[0.0]) > 0
    assert np.mean(gaps[0.5]) < 0.85 * np.mean(gaps[0.0])


# --- what it computes -----------------------------------------------------------------------------


def test_forward_pass_in_numpy(data):
    X, y = data
    trader = NeuralTrader((5, 3), dropout=0.5, max_epochs=2, random_state=0).fit(X, y)
    weights = [p.detach().numpy().astype(float) for p in trader.net_.module_.parameters()]
    values = X / np.sqrt(np.mean(X**2))
    for coef, intercept in zip(weights[::2], weights[1::2], strict=True):
        values = 1 / (1 + np.exp(-(values @ coef.T + intercept)))
    np.testing.assert_allclose(trader.predict(X), values[:, 0], rtol=1e-5)


def test_first_step_goes_up_the_gradient(data):
    # One full-batch step of plain gradient descent, from the same initial weights, without hidden
    # layers: the gradient of mean(s * y) is known in closed form.
    X, y = data
    start, end = (
        NeuralTrader(
            (), optimizer="SGD", lr=lr, max_epochs=1, batch_size=len(y), random_state=0
        ).fit(X, y)
        for lr in (1e-12, 0.5)
    )
    before, after = (
        np.concatenate([p.detach().numpy().ravel() for p in t.net_.module_.parameters()])
        for t in (start, end)
    )
    x, r = X / np.sqrt(np.mean(X**2)), y / np.sqrt(np.mean(y**2))
    s = start.predict(X).astype(float)
    slope = s * (1 - s) * r / len(y)
    gradient = np.append(x.T @ slope, slope.sum())
    np.testing.assert_allclose(after - before, 0.5 * gradient, rtol=1e-3, atol=1e-6)


def test_volatility_does_not_matter(data):
    X, y = data
    large = NeuralTrader(max_epochs=5, random_state=0).fit(X, y)
    small = NeuralTrader(max_epochs=5, random_state=0).fit(X / 1024, y / 1024)
    np.testing.assert_array_equal(small.predict(X / 1024), large.predict(X))
    np.testing.assert_allclose(
        1024 * small.history_["train_return"], large.history_["train_return"]
    )


def test_history_and_score(data):
    X, y = data
    X_val, y_val = draw_data(30, 0.5, 1)
    trader = NeuralTrader(dropout=0.5, max_epochs=7, random_state=0)
    trader.fit(X, y, X_val=X_val, y_val=y_val)
    history = trader.history_
    assert list(history.index) == list(range(1, 8))
    assert history.index.name == "epoch"
    for name, windows, returns in (("train", X, y), ("validation", X_val, y_val)):
        positions = trader.predict(windows)
        last = history.iloc[-1]
        assert last[f"{name}_position"] == pytest.approx(positions.mean(dtype=float))
        assert last[f"{name}_return"] == pytest.approx(np.mean(positions * returns))
        assert last[f"{name}_return"] == pytest.approx(trader.score(windows, returns))
    assert positions.dtype == np.float32
    assert positions.min() >= 0
    assert positions.max() <= 1
    counts = np.arange(len(y)) % 3
    repeated = trader.score(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert trader.score(X, y, sample_weight=counts) == pytest.approx(repeated)
    without = clone(trader).fit(X, y)
    pd.testing.assert_frame_equal(without.history_, history[["train_return", "train_position"]])


def test_every_row_is_seen_once_per_epoch_in_a_new_order(data):
    net = NeuralTrader(max_epochs=1, batch_size=4, random_state=0).fit(*data).net_
    dataset = torch.utils.data.TensorDataset(torch.arange(10))
    batches = net.get_iterator(dataset, training=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = ([rows for (rows,) in batches] for _ in range(2))
    assert [len(rows) for rows in first] == [4, 4, 2]
    first, second = torch.cat(first).tolist(), torch.cat(second).tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    in_order = net.get_iterator(dataset, training=False)
    assert [rows.tolist() for (rows,) in in_order] == [list(range(10))]


# --- an estimator among others --------------------------------------------------------------------


@pytest.mark.parametrize(("optimizer", "lr"), [("Adam", 0.05), ("SGD", 10.0)])
def test_other_optimizers(data, optimizer, lr):
    X, y = data
    trader = NeuralTrader(optimizer=optimizer, lr=lr, batch_size=200, random_state=0).fit(X, y)
    best = np.mean((X[:, -1] > 0) * y)
    assert trader.score(X, y) > 0.8 * best


def test_seeded_without_side_effects(data):
    X, y = data
    trader = NeuralTrader(dropout=0.3, batch_size=100, max_epochs=3, random_state=0)
    state = torch.random.get_rng_state()
    positions = clone(trader).fit(X, y).predict(X)
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        again = clone(trader).fit(X, y).predict(X)
    np.testing.assert_array_equal(positions, again)
    other = clone(trader).set_params(random_state=1).fit(X, y).predict(X)
    assert not np.array_equal(positions, other)


def test_pickles_without_its_data(data):
    X, y = data
    trader = NeuralTrader(max_epochs=2, random_state=0)
    trader.fit(X, y, X_val=X, y_val=y)
    pickled = pickle.dumps(trader)
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict(X), trader.predict(X))
    pd.testing.assert_frame_equal(again.history_, trader.history_)
    many_rows = clone(trader).fit(np.tile(X, (5, 1)), np.tile(y, 5))
    assert len(pickle.dumps(many_rows)) < len(pickled) + 1000


@pytest.mark.parametrize("routing", [False, True])
def test_in_pipeline_and_search(data, routing):
    X, y = data
    sklearn.set_config(enable_metadata_routing=routing)
    pipeline = make_pipeline(FunctionTransformer(), NeuralTrader(max_epochs=3, random_state=0))
    search = GridSearchCV(
        pipeline,
        {"neuraltrader__hidden_layer_sizes": [(), 5, (5, 3)], "neuraltrader__dropout": [0.0, 0.5]},
        cv=TimeSeriesSplit(2),
        error_score="raise",
    ).fit(X, y)
    positions = search.predict(X)
    assert search.score(X, y) == pytest.approx(np.mean(positions * y))


def test_frames_keep_their_names(df_module, data):
    X, y = data
    frame = df_module.DataFrame({f"lag_{4 - j}": X[:, j] for j in range(4)})
    trader = NeuralTrader(max_epochs=1, random_state=0).fit(frame, df_module.Series(y))
    plain = NeuralTrader(max_epochs=1, random_state=0).fit(X, y)
    assert list(trader.feature_names_in_) == ["lag_4", "lag_3", "lag_2", "lag_1"]
    np.testing.assert_array_equal(trader.predict(frame), plain.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        trader.fit(frame, y, X_val=frame[["lag_1", "lag_2", "lag_3", "lag_4"]], y_val=y)


def test_progress_bar(data, capsys):
    NeuralTrader(max_epochs=2, verbose=1, random_state=0).fit(*data)
    assert "train_return=" in capsys.readouterr().err


@pytest.mark.parametrize("value", [0.0, 1e-200, 3.0, 1e200])
def test_constant_and_extreme_returns(value):
    X, y = np.full((20, 3), value), np.full(20, value)
    trader = NeuralTrader(random_state=0).fit(X, y)
    assert np.isfinite(trader.predict(X)).all()
    assert np.isfinite(trader.history_).all(axis=None)
    if value:
        assert trader.score(X, y) > 0.5 * value


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_layer_sizes": (5, 0)}, r"positive integers, one for each layer; found \[5, 0\]"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes must be positive integers"),
        ({"hidden_layer_sizes": "five"}, "'hidden_layer_sizes' parameter"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"max_epochs": 0}, "'max_epochs' parameter"),
        ({"lr": 0.0}, "'lr' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"optimizer": "rmsprop"}, "optimizer='rmsprop' is not an optimizer of torch.optim"),
        ({"optimizer": "Optimizer"}, "optimizer='Optimizer' is not an optimizer of torch.optim"),
    ],
)
def test_bad_parameters(data, change, message):
    with pytest.raises(ValueError, match=message):
        NeuralTrader(**change).fit(*data)


def test_bad_validation_data(data):
    X, y = data
    with_nan = np.where(np.arange(len(y)) == 3, np.nan, y)
    trader = NeuralTrader(max_epochs=1)
    for validation, message in (
        ({"X_val": X}, "X_val is given and y_val is not"),
        ({"y_val": y}, "y_val is given and X_val is not"),
        ({"X_val": X[:, 1:], "y_val": y}, "X_val has 3 columns and X has 4"),
        ({"X_val": X, "y_val": y[1:]}, "X_val has 640 rows and y_val has 639"),
        ({"X_val": X, "y_val": with_nan}, "Input y_val contains NaN"),
        ({"X_val": np.full_like(X, np.inf), "y_val": y}, "Input X_val contains infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            trader.fit(X, y, **validation)


def test_bad_data(data):
    X, y = data
    trader = NeuralTrader(max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        trader.score(X, np.full(len(y), np.nan))
    with pytest.raises(ValueError, match="X has 3 features, but NeuralTrader is expecting 4"):
        trader.predict(X[:, 1:])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        trader.score(X, y[1:])


def test_without_torch(data, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'sknumerai\[torch\]'"):
        NeuralTrader().fit(*data)
