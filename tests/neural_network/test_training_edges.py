"""Eras of very different sizes, tables of any layout, and numbers at the ends of their range."""

import gc
import weakref

import numpy as np
import pandas as pd
import pytest

from sknumerai.datasets import make_tournament
from sknumerai.neural_network import FNCRegressor
from tests._reference import neutralized

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from skorch.callbacks import Callback  # noqa: E402

from sknumerai._kernels import standardized_features  # noqa: E402
from sknumerai._kernels.standardized_features import StandardizedFeatures  # noqa: E402
from sknumerai.neural_network import EraNeutralizer, _era_factor, _fnc_training  # noqa: E402
from sknumerai.neural_network._dropout import Dropout  # noqa: E402
from sknumerai.neural_network._era_factor import factorize_features  # noqa: E402

SIZES = [5, 50, 2, 30, 2, 7, 40, 3, 20, 50]  # of eras; the last one is for validation


class Batches(Callback):
    def initialize(self):
        self.seen_ = []
        return self

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        features, target = batch
        self.seen_.append((training, features.data_ptr(), target.era, features.clone()))


@pytest.fixture(scope="module")
def data():
    tournament = make_tournament(len(SIZES), 50, 6, random_state=0, as_frame=False)
    X, y, eras = tournament.data, tournament.target, tournament.eras
    every = [np.flatnonzero(eras == era) for era in np.unique(eras)]
    rows = np.concatenate([found[:size] for found, size in zip(every, SIZES, strict=True)])
    return X[rows], y[rows], eras[rows]


def fitted(X, y, eras, **params):
    options = {"max_epochs": 3, "top_bottom": 10, "lr": 0.01, "random_state": 0}
    options |= {"hidden_layer_sizes": (8,), "validation_eras": 1, "horizon": 5, **params}
    return FNCRegressor(**options).fit(X, y, eras=eras)


def neutral(features, predictions):
    """Of float32 or float64 predictions, in float64."""
    neutralizer = EraNeutralizer().for_era("0001", torch.from_numpy(features))
    return neutralizer(torch.from_numpy(predictions)).double().numpy()


def relative_error(features, predictions):
    """Of the neutral part, relative to the predictions; against a projection in float64."""
    given = predictions.astype(np.float64)
    size = np.abs(given).max()
    error = neutral(features, predictions) / size - neutralized(given / size, features)
    return np.linalg.norm(error) / np.linalg.norm(given / size)


# --- training -------------------------------------------------------------------------------------


def test_eras_of_all_sizes_share_one_memory(data):
    X, y, eras = data
    model = fitted(X, y, eras, callbacks=[("batches", Batches())])
    seen = dict(model.net_.callbacks_)["batches"].seen_
    for _, _, era, features in seen:
        np.testing.assert_array_equal(features.numpy(), X[eras == era] / 4 - 0.5)
    places = [place for training, place, _, _ in seen if training]
    assert len(set(places[len(SIZES) - 1 :])) == 1  # in the first epoch it may have to grow


LAYOUTS = {
    "by column": np.asfortranarray,
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "every other": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "float16": lambda X: X.astype(np.float16),
    "quarters": lambda X: (X / 4).astype(np.float32),
    "big-endian": lambda X: X.astype(">f4"),
    "mixed": lambda X: pd.DataFrame(X).astype({0: "float32", 1: "int64", 2: "uint8", 3: "Int8"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("writeable", [True, False])
def test_tables_of_any_layout_are_left_as_they_were(data, layout, writeable):
    X, y, eras = data
    table = LAYOUTS[layout](X.copy())
    if isinstance(table, np.ndarray):
        table.flags.writeable = writeable
    else:
        table.columns = [f"feature_{j}" for j in range(6)]
    before = table.copy()
    options = {"max_epochs": 1, "module": lambda k: torch.nn.Linear(k, 1)}
    model, expected = fitted(table, y, eras, **options), fitted(X, y, eras, **options)
    np.testing.assert_array_equal(model.predict(table), expected.predict(X))
    pd.testing.assert_frame_equal(model.history_, expected.history_)
    np.testing.assert_array_equal(np.asarray(table), np.asarray(before))


def test_nothing_of_the_data_is_kept(data, monkeypatch):
    datasets = []

    class Watched(_fnc_training.EraDataset):
        def __init__(self, *args):
            super().__init__(*args)
            datasets.append(weakref.ref(self))

    monkeypatch.setattr(_fnc_training, "EraDataset", Watched)
    model = fitted(*data)  # is alive
    gc.collect()
    assert model.net_.initialized_
    assert len(datasets) == 2
    assert [dataset() for dataset in datasets] == [None, None]


def test_dropout_at_its_last_level():
    torch.manual_seed(0)
    kept = Dropout(1 - 2**-16)(torch.ones(2**20))
    assert 1 <= (kept > 0).sum() < 50  # 16 are expected
    assert kept.max() == 2**16


# --- neutralization -------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(600, 40))
INTEGERS = RNG.integers(0, 5, (600, 40), dtype=np.int8)
PREDICTION = RNG.normal(size=600) + NORMAL[:, 0] + INTEGERS[:, 0] / 4


def test_quarters_are_looked_for_in_every_block(monkeypatch):
    monkeypatch.setattr(standardized_features, "BLOCK_SIZE", 1000)
    features = INTEGERS / 4
    assert StandardizedFeatures(features).unit == 0.25
    features[-1, -1] = 0.3
    assert StandardizedFeatures(features).features is features


@pytest.mark.parametrize("single", [True, False])
def test_step_by_blocks(single, monkeypatch):
    if not single:
        monkeypatch.setattr(_era_factor, "SINGLE_LEFTOVER", 0.0)
    monkeypatch.setattr(_era_factor, "BLOCK_SIZE", 40 * 70)  # the last of nine blocks is shorter
    assert factorize_features(torch.from_numpy(INTEGERS)).single is single
    assert relative_error(INTEGERS, PREDICTION) < 1e-10
    assert relative_error(INTEGERS, PREDICTION.astype(np.float32)) < 1e-5


def test_large_means_of_floats_cost_no_digits():
    features = NORMAL + 1e9
    expected = neutralized(PREDICTION, features - 1e9)  # of which nothing is rounded
    np.testing.assert_allclose(neutral(features, PREDICTION), expected, atol=1e-11)


def test_tiny_predictions_keep_their_relative_accuracy():
    assert relative_error(INTEGERS, 1e-60 * PREDICTION) < 1e-10


def test_what_counts_as_nothing_in_single_precision():
    features = NORMAL + 8.0  # of which single precision makes about 2e-6
    explained = (NORMAL.sum(axis=1) / np.sqrt(40)).astype(np.float32)
    assert not neutral(features, explained).any()
    little = explained + 3e-4 * neutralized(RNG.normal(size=600), NORMAL)
    left = np.linalg.norm(neutral(features, little.astype(np.float32)))
    assert left == pytest.approx(3e-4 * np.sqrt(600 - 41), rel=0.1)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30, 1e38, 1e100])
def test_features_at_the_ends_of_the_range(scale):
    features = NORMAL * scale
    if scale < 1e30:
        features = features.astype(np.float32)
    expected = neutralized(PREDICTION, features.astype(np.float64) / scale)
    np.testing.assert_allclose(neutral(features, PREDICTION), expected, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("size", [1e-35, 1e-25, 1e-15, 1e10, 1e18, 1e35])
def test_single_predictions_at_the_ends_of_the_range(scale, size):
    features, predictions = NORMAL * scale, (PREDICTION * size).astype(np.float32)
    expected = neutralized(predictions / np.float64(size), NORMAL)
    np.testing.assert_allclose(neutral(features, predictions) / size, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_predictions_of_other_dtypes_are_refused(dtype):
    neutralizer = EraNeutralizer().for_era("0001", torch.from_numpy(INTEGERS))
    with pytest.raises(TypeError, match=f"float32 or float64; found {dtype}"):
        neutralizer(torch.from_numpy(PREDICTION).to(dtype))


@pytest.mark.parametrize("share", [3.0, 10.0])
def test_predictions_along_what_the_features_have_in_common(share):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(1500, 500)) + share * rng.normal(size=(1500, 1))
    predictions = features.mean(axis=1) + 0.1 * rng.normal(size=1500)
    predictions = (predictions / predictions.std()).astype(np.float32)
    assert relative_error(features.astype(np.float32), predictions) < 2e-5
