"""Callbacks of skorch that cannot score eras, schedules in a warm start, and Ctrl-C."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("skorch")

from skorch.callbacks import BatchScoring, Callback, EpochScoring, LRScheduler

from sknumerai.metrics import get_era_scorer
from sknumerai.neural_network import NeuralTrader
from tests.neural_network._fnc import draw_data, make_regressor


class Interrupt(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def bias(net, X, y):
    return net.module_.module.layers[0].bias.sum().item()


@pytest.mark.parametrize(
    "callback",
    [
        EpochScoring("r2"),
        ("r2", EpochScoring("r2", use_caching=False)),
        EpochScoring(get_era_scorer("fnc"), use_caching=False),
        EpochScoring(bias),
        BatchScoring(bias, use_caching=False),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_rows_cannot_be_scored(callback, method):
    X, y, eras = draw_data()
    model = make_regressor(callbacks=[callback], validation_eras=1)
    with pytest.raises(ValueError, match=r"Scoring\(.* which scores rows, and batches are eras"):
        getattr(model, method)(X, y, eras=eras)
    assert not hasattr(model, "net_")


def test_functions_of_the_net_can_be_scored():
    X, y, eras = draw_data()
    callback = EpochScoring(bias, name="bias", on_train=True, use_caching=False)
    model = make_regressor(callbacks=[callback], max_epochs=2).fit(X, y, eras=eras)
    assert len(model.net_.history[:, "bias"]) == 2


@pytest.mark.parametrize("named", [False, True])
def test_schedules_begin_anew(named):
    X, y, eras = draw_data()
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.1)
    callbacks = [("schedule", scheduler)] if named else [scheduler]
    model = make_regressor(callbacks=callbacks, lr=0.01, max_epochs=2, warm_start=True)
    for _ in range(2):
        model.fit(X, y, eras=eras)
    rates = model.net_.history[:, "event_lr"]
    np.testing.assert_allclose(rates, [0.01, 0.001, 0.01, 0.001])
    model.set_params(lr=0.1).partial_fit(X, y, eras=eras)
    assert model.net_.history[-1, "event_lr"] == pytest.approx(0.1)
    plateau = LRScheduler("ReduceLROnPlateau", monitor="train_loss")
    model.set_params(callbacks=[plateau]).fit(X, y, eras=eras)
    assert not hasattr(scheduler, "last_epoch")


def test_an_interrupted_trader_keeps_what_it_learned(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), rng.normal(size=200)
    whole = NeuralTrader(max_epochs=2, random_state=0).fit(X, y)
    from sknumerai.neural_network import _trader_net

    make, calls = _trader_net.make_trader_net, []

    def interrupted(*args, **kwargs):
        net = make(*args, **kwargs)
        loop = net.fit_loop

        def fit_loop(*args, **kwargs):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return loop(*args, **kwargs)

        net.fit_loop = fit_loop
        return net

    monkeypatch.setattr(_trader_net, "make_trader_net", interrupted)
    trader = NeuralTrader(max_epochs=9, random_state=0).fit(X, y)
    assert list(trader.history_.index) == [1, 2]
    np.testing.assert_array_equal(trader.predict(X), whole.predict(X))
    calls[:] = [1, 1]
    trader = NeuralTrader(max_epochs=9, random_state=0).fit(X, y)
    assert trader.history_.empty
    assert np.isfinite(trader.predict(X)).all()


def test_an_interrupted_net_keeps_what_it_learned():
    X, y, eras = draw_data()
    model = make_regressor(callbacks=[Interrupt()]).fit(X, y, eras=eras)
    assert np.isfinite(model.predict(X)).all()
    assert len(model.history_) <= 1
