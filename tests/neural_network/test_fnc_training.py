"""How `FNCRegressor` trains: validation, going on with a training, callbacks."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sknumerai.exceptions import MissingErasError, SingleEraWarning
from tests.neural_network._fnc import (
    WEIGHTS,
    SeenEras,
    callback_of,
    draw_data,
    loss_by_hand,
    make_regressor,
    parts_by_hand,
)

torch = pytest.importorskip("torch")

from skorch.callbacks import Checkpoint, LRScheduler  # noqa: E402


@pytest.fixture(scope="module")
def data():
    return draw_data()


# --- validation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("validation_eras", "horizon", "validation", "train"),
    [
        (2, 20, [11, 12], range(1, 8)),
        (0.25, 20, [10, 11, 12], range(1, 7)),
        (0.01, 5, [12], range(1, 12)),
        (["0003", "0004", "0009"], 10, [3, 4, 9], [1, 6, 7, 11, 12]),
        (np.array(["0001"]), 20, [1], range(5, 13)),
        (1, 55, [12], [1]),
    ],
)
def test_purged_validation_eras(data, validation_eras, horizon, validation, train):
    X, y, eras = data
    model = make_regressor(
        validation_eras=validation_eras, horizon=horizon, callbacks=[SeenEras()], max_epochs=1
    )
    mixed = np.random.default_rng(0).permutation(len(y))
    model.fit(X[mixed], y[mixed], eras=eras[mixed])
    seen = callback_of(model, SeenEras)
    assert seen.labels(training=False) == [f"{era:04d}" for era in validation]
    assert sorted(seen.labels(training=True)) == [f"{era:04d}" for era in train]


@pytest.mark.parametrize(("name", "train"), [("target_x_55", [1]), ("target", range(1, 9))])
def test_the_name_of_the_target_tells_its_horizon(data, name, train):
    X, y, eras = data
    model = make_regressor(validation_eras=1, callbacks=[SeenEras()], max_epochs=1)
    model.fit(X, pd.Series(y, name=name), eras=eras)
    labels = sorted(callback_of(model, SeenEras).labels(training=True))
    assert labels == [f"{era:04d}" for era in train]


def test_early_stopping_keeps_the_best_epoch(data):
    X, y, eras = data
    X = (X + np.random.default_rng(0).random(X.shape)) / 5  # no two rows that tie at the cut
    held_out = eras == "0012"
    weights = {**WEIGHTS, "exposure_weight": 0.0, "tb_exposure_weight": 1e-3}
    model = make_regressor(hidden_layer_sizes=(20,), dropout=0.0, lr=0.05, max_epochs=50)
    model.set_params(validation_eras=1, patience=3, **weights).fit(X, y, eras=eras)
    losses = model.history_["validation_loss"]
    best = losses.idxmin()
    assert losses.min() < 0  # where a threshold relative to the loss would be wrong
    assert len(losses) == best + 3 < 50
    x = torch.tensor(X[held_out] - 0.5, dtype=torch.float32)
    p, target = torch.tensor(model.predict(X[held_out])), torch.tensor(y[held_out])
    loss = loss_by_hand(parts_by_hand(p, target, x, 10), weights)
    assert float(loss) == pytest.approx(losses.min(), abs=1e-4)
    assert float(loss) != pytest.approx(losses.iloc[-1], abs=1e-3)


def test_bad_validation(data):
    X, y, eras = data
    model = make_regressor(validation_eras=0.2)
    with (
        pytest.raises(MissingErasError, match=r"validation_eras=0.2 needs eras: pass fit\(X, y"),
        pytest.warns(SingleEraWarning),
    ):
        model.fit(X, y)
    for change, message in (
        ({"validation_eras": ["0012", "13"]}, "names 2 eras, of which 1 are not .* such as '13'"),
        ({"validation_eras": []}, "names 0 eras"),
        ({"validation_eras": 12}, "leaves no era to train on: of 12 eras 12 are for validation"),
        ({"validation_eras": 9}, "up to 3 on each side overlap"),
        ({"validation_eras": 1.5}, "'validation_eras' parameter"),
        ({"validation_eras": None, "patience": 2}, "patience=2 needs validation eras"),
    ):
        with pytest.raises(ValueError, match=message):
            make_regressor().set_params(**{"validation_eras": 2, **change}).fit(X, y, eras=eras)
    with pytest.raises(ValueError, match="have no known order"):
        make_regressor(validation_eras=2).fit(X, y, eras=np.char.add("week ", eras))


# --- going on -------------------------------------------------------------------------------------


def test_training_goes_on_where_it_stopped(data):
    X, y, eras = data
    whole = make_regressor(max_epochs=3).fit(X, y, eras=eras)
    steps = make_regressor(max_epochs=7)
    for epoch in range(3):
        steps = pickle.loads(pickle.dumps(steps)).partial_fit(X, y, eras=eras)
        assert len(steps.history_) == epoch + 1
    warm = make_regressor(max_epochs=1, warm_start=True)
    warm.fit(X, y, eras=eras).set_params(max_epochs=2).fit(X, y, eras=eras)
    cold = make_regressor(max_epochs=3).fit(X[:100], y[:100], eras=eras[:100]).fit(X, y, eras=eras)
    for model in (steps, warm, cold):
        pd.testing.assert_frame_equal(model.history_, whole.history_)
        np.testing.assert_array_equal(model.predict(X), whole.predict(X))


def test_partial_fit_trains_on_all_eras(data):
    X, y, eras = data
    model = make_regressor(validation_eras=2, patience=1, callbacks=[SeenEras()])
    seen = callback_of(model.partial_fit(X, y, eras=eras), SeenEras)
    assert sorted(seen.labels(training=True)) == list(np.unique(eras))
    assert seen.labels(training=False) == []
    first = eras == "0001"  # other eras, one of them with other rows than before
    model.partial_fit(X[first][:30], y[first][:30], eras=eras[first][:30])
    assert len(model.history_) == 2


def test_what_a_warm_start_takes_over(data):
    X, y, eras = data
    model = make_regressor(warm_start=True).fit(X, y, eras=eras)
    before = model.predict(X)
    model.set_params(lr=1e-12, dropout=0.0, tb_weight=0.0, exposure_weight=0.0).fit(X, y, eras=eras)
    # the running mean and variance of the batch normalization go on, the weights do not
    assert np.corrcoef(before, model.predict(X))[0, 1] > 1 - 1e-6
    assert len(model.history_) == 4
    assert model.history_["train_tb"].isna().tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match="X has 5 features, but FNCRegressor is expecting 6"):
        model.fit(X[:, 1:], y, eras=eras)


def test_seeded_without_side_effects(data):
    X, y, eras = data
    state = torch.random.get_rng_state()
    first = make_regressor().fit(X, y, eras=eras)
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        second = make_regressor().fit(X, y, eras=eras)
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    pd.testing.assert_frame_equal(first.history_, second.history_)
    third = make_regressor(random_state=1).fit(X, y, eras=eras)
    assert not np.array_equal(first.predict(X), third.predict(X))


# --- callbacks ------------------------------------------------------------------------------------


def test_learning_rate_and_checkpoint(data, tmp_path):
    X, y, eras = data
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.1)
    checkpoint = Checkpoint(dirname=tmp_path, f_pickle=None, load_best=True)
    model = make_regressor(
        callbacks=[scheduler, ("checkpoint", checkpoint)], validation_eras=1, max_epochs=4, lr=0.1
    )
    model.fit(X, y, eras=eras)
    rates = model.net_.history[:, "event_lr"]
    np.testing.assert_allclose(rates, [0.1, 0.01, 0.001, 0.0001])
    assert (tmp_path / "params.pt").is_file()
    best = model.net_.history[:, "valid_loss_best"]
    losses = model.history_["validation_loss"]
    assert best == [bool(loss < losses[: i - 1].min() or i == 1) for i, loss in losses.items()]
    assert not hasattr(scheduler, "lr_scheduler_")
    np.testing.assert_array_equal(clone(model).fit(X, y, eras=eras).predict(X), model.predict(X))
    assert {"event_lr", "valid_loss_best"}.isdisjoint(model.history_.columns)
    weights = torch.load(tmp_path / "params.pt", weights_only=True)
    for name, value in model.net_.module_.state_dict().items():
        assert torch.equal(value, weights[name])


def test_progress_bar(data, capsys):
    X, y, eras = data
    model = make_regressor(verbose=1, validation_eras=1).fit(X, y, eras=eras)
    assert "2/2" in (shown := capsys.readouterr().err)
    assert "train_loss=" in shown
    assert "valid_loss=" in shown
    pickle.dumps(model)
    make_regressor().fit(X, y, eras=eras)
    assert capsys.readouterr() == ("", "")
