import pickle
import sys
import tracemalloc
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknumerai.datasets import make_tournament
from sknumerai.exceptions import MissingErasError
from sknumerai.metrics import feature_neutral_corr, get_era_scorer
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neural_network import FNCRegressor
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor, neutralize
from tests._reference import neutralized

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from skorch.callbacks import Callback, Checkpoint, LRScheduler  # noqa: E402

from sknumerai.neural_network import (  # noqa: E402
    EraNeutralizer,
    _fnc_batches,
    _fnc_net,
    _fnc_training,
    soft_rank,
)
from sknumerai.neural_network._dropout import Dropout  # noqa: E402

PARTS = ["corr", "fnc", "tb", "exposure", "tb_exposure"]
WEIGHTS = {
    "corr_weight": 0.5,
    "fnc_weight": 2.0,
    "tb_weight": 1.5,
    "exposure_weight": 0.1,
    "tb_exposure_weight": 0.2,
}


class SeenEras(Callback):
    """Remembers the batches it was shown."""

    def initialize(self):
        self.batches_ = {True: [], False: []}
        return self

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        features, target = batch
        self.batches_[training].append((features.clone(), target))  # its memory is used again

    def labels(self, training):
        return [target.era for _, target in self.batches_[training]]


class WideNet(torch.nn.Module):
    """A module of a user's own, made for a number of features; remembers its input."""

    def __init__(self, n_features):
        super().__init__()
        self.linear = torch.nn.Linear(n_features, 1)

    def forward(self, x):
        self.seen = x
        return self.linear(x)[:, 0]


def make_regressor(**params):
    """Small and quick."""
    defaults = {"hidden_layer_sizes": (8,), "dropout": 0.2, "max_epochs": 2, "top_bottom": 10}
    return FNCRegressor(**{**defaults, "lr": 0.01, "random_state": 0, **params})


def callback_of(regressor, kind):
    return next(c for _, c in regressor.net_.callbacks_ if isinstance(c, kind))


@pytest.fixture(scope="module")
def data():
    tournament = make_tournament(12, 50, 6, nonlinear_corr=0.3, random_state=0, as_frame=False)
    return tournament.data, tournament.target, tournament.eras


@parametrize_with_checks([FNCRegressor()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# --- what it computes -----------------------------------------------------------------------------


def parts_by_hand(p, y, x, top_bottom, gaussianize=False):
    """The parts of the loss of one era, from the formulas; predictions are a tensor."""

    def ranks(values):
        uniform = (soft_rank(values) - 0.5) / len(values)
        return torch.distributions.Normal(0.0, 1.0).icdf(uniform) if gaussianize else uniform

    def corr(left, right):
        return torch.corrcoef(torch.stack([left, right]))[0, 1]

    def exposure(u, features):
        u = u - u.mean()
        return sum((u @ f / u.norm()) ** 2 for f in features.T)

    design = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    neutral = p - (design @ torch.linalg.pinv(design) @ p.double()).float()
    order = torch.argsort(neutral)
    ends = torch.cat([order[:top_bottom], order[-top_bottom:]])
    return {
        "corr": corr(ranks(p), y),
        "fnc": corr(ranks(neutral), y),
        "tb": corr(ranks(neutral)[ends], y[ends]),
        "exposure": exposure(ranks(p), x),
        "tb_exposure": exposure(ranks(neutral)[ends], x[ends]),
    }


def loss_by_hand(parts, weights):
    signs = {"corr": -1, "fnc": -1, "tb": -1, "exposure": 1, "tb_exposure": 1}
    return sum(signs[name] * weights[f"{name}_weight"] * parts[name] for name in PARTS)


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


# --- tables ---------------------------------------------------------------------------------------


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


# --- modules --------------------------------------------------------------------------------------


def test_a_module_must_not_change_its_features(data):
    X, y, eras = data
    module = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(6, 1))
    with pytest.raises(ValueError, match="module changed its features in place"):
        make_regressor(module=module).fit(X, y, eras=eras)


def test_module_of_ones_own(data):
    X, y, eras = data
    model = make_regressor(module=WideNet).fit(X, y, eras=eras)
    assert isinstance(model.net_.module_.module, WideNet)
    other_seed = make_regressor(module=WideNet, random_state=1).fit(X, y, eras=eras)
    assert not np.array_equal(model.predict(X), other_seed.predict(X))

    instance = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    before = {name: value.clone() for name, value in instance.state_dict().items()}
    model = make_regressor(module=instance)
    first, second = (model.fit(X, y, eras=eras).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    for name, value in instance.state_dict().items():
        assert torch.equal(value, before[name])
    start = make_regressor(module=instance, lr=1e-12).fit(X, y, eras=eras).predict(X)
    expected = instance(torch.tensor(X / 4 - 0.5, dtype=torch.float32))[:, 0].detach()
    np.testing.assert_allclose(start, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda k: torch.nn.Linear(k, 2), r"module returned shape \(50, 2\) for .* \(50, 6\)"),
        (lambda k: "net", "module must be a torch.nn.Module, .* found str"),
    ],
)
def test_module_of_the_wrong_kind(data, module, message):
    X, y, eras = data
    with pytest.raises(ValueError, match=message):
        make_regressor(module=module).fit(X, y, eras=eras)


def test_diverged_network(data):
    class Diverged(WideNet):
        def forward(self, x):
            return super().forward(x) * float("nan")

    X, y, eras = data
    with pytest.raises(ValueError, match=r"In era 00\d\d: 50 of 50 values are NaN .* has diverged"):
        make_regressor(module=Diverged).fit(X, y, eras=eras)


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
    with pytest.raises(MissingErasError, match=r"validation_eras=0.2 needs eras: pass fit\(X, y"):
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


# --- an estimator among others --------------------------------------------------------------------


def test_pickles_without_its_data(data):
    X, y, eras = data
    model = make_regressor(validation_eras=1).fit(X, y, eras=eras)
    pickled = pickle.dumps(model)
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    pd.testing.assert_frame_equal(again.history_, model.history_)
    assert all(epoch["batches"] == [] for epoch in model.net_.history)
    many = clone(model).fit(np.tile(X, (20, 1)), np.tile(y, 20), eras=np.tile(eras, 20))
    assert len(pickle.dumps(many)) < len(pickled) + 1000


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_pipeline_and_search(data, n_jobs):
    X, y, eras = data
    sklearn.set_config(enable_metadata_routing=True)
    pipeline = make_pipeline(MinMaxScaler(), make_regressor(callbacks=[SeenEras()]))
    search = GridSearchCV(
        pipeline,
        {"fncregressor__lr": [1e-2], "fncregressor__hidden_layer_sizes": [(), 5]},
        cv=PurgedEraKFold(2, horizon=5),
        scoring=get_era_scorer("fnc"),
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, y, eras=eras)
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


def test_bad_data(data):
    X, y, eras = data
    holes = np.where((np.arange(len(y)) % 100) == 70, np.nan, y)
    one_row = np.where(np.arange(len(y)) == 7, "0099", eras)
    with_nan = X.astype(float)
    with_nan[55, 2] = np.nan
    frame = pd.DataFrame(with_nan).add_prefix("feature_")
    for arguments, message in (
        ((X, holes, eras), "y contains 6 NaN of 600 values .* first at row 70, era 0002"),
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
