"""What `FNCRegressor` computes: its loss, its batches, its predictions."""

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknumerai.datasets import make_tournament
from sknumerai.exceptions import SingleEraWarning
from sknumerai.metrics import feature_neutral_corr
from sknumerai.neural_network import FNCRegressor
from tests.neural_network._fnc import (
    PARTS,
    WEIGHTS,
    SeenEras,
    callback_of,
    draw_data,
    loss_by_hand,
    make_regressor,
    parts_by_hand,
)

torch = pytest.importorskip("torch")


from sknumerai.neural_network import EraNeutralizer, _fnc_training  # noqa: E402
from sknumerai.neural_network._dropout import Dropout  # noqa: E402


@pytest.fixture(scope="module")
def data():
    return draw_data()


# the checks of scikit-learn know no eras
@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.SingleEraWarning")
@parametrize_with_checks([FNCRegressor()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("gaussianize", [False, True])
def test_plain_training_loop(data, gaussianize):
    X, y, eras = data
    X = (X + np.random.default_rng(0).random(X.shape)) / 5  # no two rows that tie at the cut
    held_out = eras >= "0011"
    model = make_regressor(
        hidden_layer_sizes=(8, 4), gaussianize=gaussianize, validation_eras=2, horizon=5, **WEIGHTS
    ).fit(X, y, eras=eras)

    x, target = torch.tensor(X - 0.5, dtype=torch.float32), torch.tensor(y)
    by_era = {era: torch.tensor(np.flatnonzero(eras == era)) for era in np.unique(eras)}
    training = [era for era in by_era if era < "0011"]
    history = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_random_state(0).randint(2**31 - 1))
        net = torch.nn.Sequential(
            *(torch.nn.Linear(6, 8), torch.nn.Mish(), Dropout(0.2)),
            *(torch.nn.Linear(8, 4), torch.nn.Mish(), Dropout(0.2)),
            *(torch.nn.Linear(4, 1), torch.nn.BatchNorm1d(1)),
        )
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(2):
            records = {"train": [], "validation": []}
            net.train()
            for number in torch.randperm(len(training)).tolist():
                rows = by_era[training[number]]
                parts = parts_by_hand(net(x[rows])[:, 0], target[rows], x[rows], 10, gaussianize)
                loss = loss_by_hand(parts, WEIGHTS)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                records["train"].append({"loss": loss, **parts})
            net.eval()
            for era in ("0011", "0012"):
                rows = by_era[era]
                parts = parts_by_hand(net(x[rows])[:, 0], target[rows], x[rows], 10, gaussianize)
                records["validation"].append({"loss": loss_by_hand(parts, WEIGHTS), **parts})
            history.append(
                {
                    f"{name}_{part}": np.mean([record[part].item() for record in found])
                    for name, found in records.items()
                    for part in ("loss", *PARTS)
                }
            )
    expected = pd.DataFrame(history, index=pd.RangeIndex(1, 3, name="epoch"))
    assert set(model.history_.columns) == set(expected.columns)
    pd.testing.assert_frame_equal(model.history_[expected.columns], expected, atol=2e-5, rtol=1e-4)
    layers = model.net_.module_.module.layers
    assert [type(layer) for layer in layers] == [type(layer) for layer in net]
    # The loss does not depend on the scale and the mean of the predictions. Hence the parameters
    # that decide on these have a gradient of rounding noise, which Adam makes steps of.
    left, right = model.predict(X[held_out]), net(x[held_out])[:, 0].detach().numpy()
    standardized = [(p - p.mean()) / p.std() for p in (left, right)]
    np.testing.assert_allclose(*standardized, atol=2e-3)


def test_batches_are_eras(data):
    X, y, eras = data
    mixed = np.random.default_rng(0).permutation(len(y))
    X, y, eras = X[mixed], y[mixed], eras[mixed]
    seen = SeenEras()
    model = make_regressor(callbacks=[("seen", seen)], max_epochs=3).fit(X, y, eras=eras)
    seen = callback_of(model, SeenEras)
    assert len(seen.batches_[True]) == 3 * 12
    for features, target in seen.batches_[True]:
        rows = eras == target.era
        assert features.dtype == torch.float32
        np.testing.assert_array_equal(features.numpy(), X[rows] / 4 - 0.5)
        np.testing.assert_array_equal(target.values.numpy(), y[rows])
    labels = seen.labels(training=True)
    assert sorted(labels[:12]) == sorted(labels[12:24]) == list(np.unique(eras))
    assert labels[:12] != labels[12:24]


def test_without_eras_all_is_one_batch(data):
    X, y, _ = data
    with pytest.warns(SingleEraWarning, match="all 600 rows are treated as one era"):
        model = make_regressor(callbacks=[SeenEras()]).fit(X, y)
    batches = callback_of(model, SeenEras).batches_[True]
    assert [len(features) for features, _ in batches] == [len(X)] * 2
    same = make_regressor().fit(X, y, eras="0001")
    np.testing.assert_array_equal(model.predict(X), same.predict(X))


@pytest.mark.parametrize("name", PARTS)
def test_one_part_alone(data, name, monkeypatch):
    X, y, eras = data
    weights = {weight: float(weight == f"{name}_weight") for weight in WEIGHTS}
    if name in ("corr", "exposure"):  # no need to neutralize
        monkeypatch.delattr(EraNeutralizer, "for_era")
    history = make_regressor(**weights).fit(X, y, eras=eras).history_
    assert set(history.columns) == {"train_loss", f"train_{name}"}
    sign = 1.0 if "exposure" in name else -1.0
    np.testing.assert_allclose(history["train_loss"], sign * history[f"train_{name}"])


def test_cache_of_factors_changes_nothing(data, monkeypatch):
    X, y, eras = data
    model = make_regressor().fit(X, y, eras=eras)
    made = []

    def without_memory():
        made.append(EraNeutralizer(max_bytes=0))
        return made[-1]

    monkeypatch.setattr(_fnc_training, "EraNeutralizer", without_memory)
    again = make_regressor().fit(X, y, eras=eras)
    assert [len(neutralizer) for neutralizer in made] == [0]
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    pd.testing.assert_frame_equal(again.history_, model.history_)


def test_neutral_signal_is_learned():
    tournament = make_tournament(
        36, 200, 5, linear_risk=0.1, nonlinear_corr=0.3, random_state=0, as_frame=False
    )
    X, y, eras = tournament.data, tournament.target, tournament.eras
    train, test = eras <= "0026", eras > "0029"
    model = make_regressor(
        hidden_layer_sizes=(20,), dropout=0.0, corr_weight=0.0, tb_weight=0.0, max_epochs=10
    ).fit(X[train], y[train], eras=eras[train])
    predictions = model.predict(X[test])
    fnc = feature_neutral_corr(y[test], predictions, features=X[test], eras=eras[test])
    assert fnc > 4 / np.sqrt(test.sum())


# --- predictions ----------------------------------------------------------------------------------


def test_rows_do_not_interact(data, monkeypatch):
    X, y, eras = data
    model = make_regressor().fit(X, y, eras=eras)
    predictions = model.predict(X)
    assert predictions.dtype == np.float32
    assert predictions.shape == (len(X),)
    mixed = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(model.predict(X[mixed]), predictions[mixed])
    np.testing.assert_array_equal([model.predict(row[None])[0] for row in X[:20]], predictions[:20])
    monkeypatch.setattr("sknumerai.neural_network._fnc_net.PREDICTED_ROWS", 37)
    np.testing.assert_array_equal(model.predict(X), predictions)
    assert len(np.unique(predictions)) > 0.9 * len(np.unique(X, axis=0))


def test_predict_needs_neither_torchsort_nor_cvxpy(data, monkeypatch):
    X, y, eras = data
    model = make_regressor().fit(X, y, eras=eras)
    pickled = pickle.dumps(model)
    for name in ("torchsort", "cvxpy", "cvxpylayers"):
        monkeypatch.setitem(sys.modules, name, None)
    np.testing.assert_array_equal(pickle.loads(pickled).predict(X), model.predict(X))
