"""Training on parquet files without loading them gives the numbers of training in memory."""

import pickle
import re
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from tests.neural_network._fnc import SeenEras, callback_of, draw_data, make_regressor

pytest.importorskip("torch")
pytest.importorskip("pyarrow", reason="needs the extra 'data'")

from skorch.callbacks import Callback

from sknumerai.datasets import EraReader
from sknumerai.datasets._era_blocks import EraBlocks
from sknumerai.neural_network import FNCRegressor

FEATURES = [f"feature_{letter}" for letter in "abcdef"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def frame():
    X, y, eras = draw_data()
    frame = pd.DataFrame({"era": eras, "data_type": "train"})
    frame[FEATURES] = X.astype(np.int8)
    frame["target"] = y.astype(np.float32)
    frame["target_60"] = np.random.default_rng(0).permutation(y)
    return frame


def write(folder, frame, row_group_size=200, name="train.parquet"):
    path = folder / name
    frame.to_parquet(path, row_group_size=row_group_size)
    return path


def fit_in_memory(frame, target="target", features=FEATURES, **params):
    return make_regressor(**params).fit(frame[features], frame[target], eras=frame["era"])


def assert_same(model, expected, frame, features=FEATURES):
    """To the last bit."""
    pd.testing.assert_frame_equal(model.history_, expected.history_, check_exact=True)
    np.testing.assert_array_equal(model.predict(frame[features]), expected.predict(frame[features]))


def assert_source_is_table(source, frame, target="target", **params):
    model = make_regressor(**params).fit(source, target=target)
    assert_same(model, fit_in_memory(frame, target, **params), frame)
    return model


@pytest.mark.parametrize("row_group_size", [30, 50, 200, 600])
@pytest.mark.parametrize("target", ["target", "target_60"])
def test_a_file(tmp_path, frame, row_group_size, target):
    path = write(tmp_path, frame, row_group_size)
    model = assert_source_is_table(path, frame, target, dropout=0.5, validation_eras=2, horizon=20)
    assert list(model.feature_names_in_) == FEATURES
    assert model.n_features_in_ == len(FEATURES)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame)
    assert_source_is_table(str(path), frame, target, corr_weight=0.0)


@pytest.mark.parametrize("order", ["scattered", "eras in another order", "unequal eras"])
def test_rows_in_any_order(tmp_path, frame, order):
    rng = np.random.default_rng(0)
    if order == "scattered":
        frame = frame.sample(frac=1, random_state=0)
    elif order == "unequal eras":
        frame = frame[rng.random(len(frame)) < 0.5]
    else:
        frame = pd.concat([rows for _, rows in list(frame.groupby("era"))[::-1]])
    path = write(tmp_path, frame.reset_index(drop=True))
    assert_source_is_table(path, frame, validation_eras=["0003", "0009"], horizon=5)
    assert_source_is_table(EraReader(path, batch_size=600), frame)


@pytest.mark.parametrize("source", ["folder", "glob", "list"])
def test_several_parts(tmp_path, frame, source):
    paths = [
        write(tmp_path, rows, name=f"part{number}.parquet")
        for number, rows in enumerate((frame[:220], frame[220:225], frame[225:]))
    ]
    of = {"folder": tmp_path, "glob": str(tmp_path / "part*.parquet"), "list": EraReader(paths)}
    assert_source_is_table(of[source], frame)


@pytest.mark.parametrize("options", [{"every": 2}, {"eras": ["0007", "0002", "0005", "0011"]}])
def test_some_eras(tmp_path, frame, options):
    missing = frame.copy()
    missing.loc[frame["era"] == "0004", ["target", "feature_a"]] = np.nan
    reader = EraReader(write(tmp_path, missing), **options)
    assert "0004" not in reader.eras
    assert_source_is_table(reader, reader.read(), validation_eras=1, horizon=5)


@pytest.mark.parametrize(
    "features",
    [
        lambda frame: frame[FEATURES].astype(np.float32) / 4,
        lambda frame: frame[FEATURES] * np.float64(100),
        lambda frame: frame[FEATURES].astype({"feature_b": np.float64, "feature_c": np.int32}),
        lambda frame: frame[FEATURES] - 2,
    ],
)
def test_features_of_any_type(tmp_path, frame, features):
    frame = frame.assign(**features(frame))
    frame["target"] *= 1e12
    assert_source_is_table(write(tmp_path, frame), frame)


@pytest.mark.parametrize(
    "feature_columns",
    [["feature_d", "feature_b"], "_[bd]$", lambda names: [name for name in names if "_b" in name]],
)
def test_selected_columns(tmp_path, frame, feature_columns):
    params = {"feature_columns": feature_columns}
    model = make_regressor(**params).fit(write(tmp_path, frame), target="target")
    features = list(model.feature_names_in_)
    assert features in (["feature_d", "feature_b"], ["feature_b", "feature_d"], ["feature_b"])
    assert_same(model, fit_in_memory(frame, features=features, **params), frame, features)


def test_feature_sets(tmp_path, frame):
    path = write(tmp_path, frame)
    chosen = FEATURES[1:4]
    (tmp_path / "features.json").write_text(
        '{"feature_sets": {"small": ["feature_b", "feature_c", "feature_d"]}, "targets": []}'
    )
    model = make_regressor().fit(EraReader(path, feature_set="small"), target="target")
    assert_same(model, fit_in_memory(frame, features=chosen), frame, chosen)


def test_training_goes_on(tmp_path, frame):
    path = write(tmp_path, frame)
    reader, half = EraReader(path), EraReader(path, every=2)
    model, expected = make_regressor(warm_start=True), make_regressor(warm_start=True)
    table, in_memory = half.read(), (frame[FEATURES], frame["target"])
    model.partial_fit(reader, target="target").partial_fit(half, target="target")
    expected.partial_fit(*in_memory, eras=frame["era"])
    expected.partial_fit(table[FEATURES], table["target"], eras=table["era"])
    assert_same(model, expected, frame)
    assert_same(
        model.fit(path, target="target"), expected.fit(*in_memory, eras=frame["era"]), frame
    )
    # from files to memory and back
    model.fit(*in_memory, eras=frame["era"]).partial_fit(path, target="target")
    expected.fit(path, target="target").partial_fit(*in_memory, eras=frame["era"])
    assert_same(model, expected, frame)
    assert len(model.history_) == 7
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(EraReader(path, columns=["target", *FEATURES[:4]]), target="target")


def test_nothing_of_the_file_is_kept(tmp_path, frame):
    path = write(tmp_path, frame)
    model = make_regressor().fit(EraReader(path), target="target")
    pickled = pickle.dumps(model)
    assert b"train.parquet" not in pickled
    path.unlink()
    expected = model.predict(frame[FEATURES])
    np.testing.assert_array_equal(pickle.loads(pickled).predict(frame[FEATURES]), expected)
    path = write(tmp_path, frame)
    again = clone(model).fit(path, target="target")
    np.testing.assert_array_equal(again.predict(frame[FEATURES]), expected)


def test_only_eras_are_metadata():
    routing = FNCRegressor().get_metadata_routing()
    assert routing.fit.requests == routing.partial_fit.requests == {"eras": True}


def test_eras_are_read_ahead_by_one_thread(tmp_path, frame, monkeypatch):
    reads, read = [], EraBlocks.__getitem__

    def spy(self, number):
        reads.append((self.groups.labels[number], threading.current_thread()))
        return read(self, number)

    class ReadSoFar(Callback):
        def on_batch_begin(self, net, **kwargs):
            ahead.append(len(reads))

    ahead = []
    monkeypatch.setattr(EraBlocks, "__getitem__", spy)
    model = make_regressor(callbacks=[SeenEras(), ReadSoFar()], max_epochs=1)
    model.fit(write(tmp_path, frame), target="target")
    labels, threads = zip(*reads, strict=True)
    assert list(labels) == callback_of(model, SeenEras).labels(training=True)
    assert len(set(threads) - {threading.main_thread()}) == len(set(threads)) == 1
    assert all(number + 1 <= n_read <= number + 2 for number, n_read in enumerate(ahead))


class AtTheEnd(Callback):
    """Does something after the first epoch."""

    def __init__(self, action):
        self.action = action

    def on_epoch_end(self, net, **kwargs):
        self.action()

    def __deepcopy__(self, memo):
        return self


class Interrupt(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_an_interrupted_training_keeps_what_it_learned(tmp_path, frame):
    model = make_regressor(callbacks=[Interrupt()]).fit(write(tmp_path, frame), target="target")
    assert np.isfinite(model.predict(frame[FEATURES])).all()
    assert model.history_.empty


def test_a_file_that_goes_away(tmp_path, frame):
    path = write(tmp_path, frame)
    model = make_regressor(callbacks=[AtTheEnd(path.unlink)])
    with pytest.raises(FileNotFoundError, match=r"^In era 00\d\d: path='.*does not exist"):
        model.fit(path, target="target")


def test_a_file_that_gets_damaged(tmp_path, frame):
    path = write(tmp_path, frame)
    whole = path.read_bytes()

    def damage():
        path.write_bytes(whole[:4] + b"\xff" * 2000 + whole[2004:])

    model = make_regressor(callbacks=[AtTheEnd(damage)], max_epochs=5)
    with pytest.raises(ValueError, match=r"^In era 00\d\d: path='.*is damaged in row group \d"):
        model.fit(path, target="target")


@pytest.mark.parametrize("layout", ["one row group", "scattered"])
def test_costly_row_groups(tmp_path, frame, layout):
    path = tmp_path / "train.parquet"
    eras = np.arange(30)
    one, size = layout == "one row group", 600 if layout == "one row group" else 100
    frame = frame.assign(era=np.repeat(eras, 20) if one else np.tile(eras, 20))
    frame.to_parquet(path, row_group_size=size)
    expected = (
        rf"^path='{re.escape(str(path))}' has up to {size} "
        r"rows in a row group and 20 in an era, so that each step decodes \d\d times .*; write it"
    )
    model = make_regressor(max_epochs=1)
    for method in (model.fit, model.partial_fit):
        with pytest.warns(UserWarning, match=expected) as caught:
            method(EraReader(path, batch_size=20), target="target")
        assert len(caught) == 1
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(path, target="target")  # it is decoded at once
        if one:  # the first eras take the beginning of the row group
            model.fit(EraReader(path, batch_size=20, eras=range(3)), target="target")


def test_arguments_that_exclude_each_other(tmp_path, frame):
    path = write(tmp_path, frame)
    reader, X, y, eras = EraReader(path), frame[FEATURES], frame["target"], frame["era"]
    for call, message in (
        (lambda fit: fit(path), r"^X is the path '.*', and target is None; name the column"),
        (lambda fit: fit(reader), r"^X is an EraReader, and target is None; name the column"),
        (lambda fit: fit(path, y, target="target"), r"^X is the path .* y cannot be passed"),
        (lambda fit: fit(reader, eras=eras, target="target"), "eras cannot be passed beside it"),
        (lambda fit: fit(reader, y, eras="1"), "y and eras cannot be passed beside it"),
        (lambda fit: fit(X, y, target="target"), r"^target='target' names a column .* DataFrame"),
        (lambda fit: fit(X, eras=eras), "requires y to be passed, but the target y is None"),
    ):
        for method in ("fit", "partial_fit"):
            with pytest.raises(ValueError, match=message):
                call(getattr(make_regressor(), method))


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ({}, {"target": "target_20"}, r"^target='target_20' is not among .*'target', 'target_60'"),
        ({}, {"target": "data_type"}, "Column 'data_type' of path=.* is not numeric"),
        ({}, {"target": "feature_a"}, "target='feature_a' is among the features"),
        ({"feature_columns": "."}, {}, "target='target' is among the features"),
        ({"feature_columns": "data|_a"}, {}, "Column 'data_type' of path=.* is not numeric"),
        ({"feature_columns": "^x"}, {}, r"selects no column of EraReader\("),
        ({"feature_columns": ["feature_x"]}, {}, r"names 'feature_x', which EraReader\("),
        ({"feature_columns": slice(2, 5)}, {}, "selects by position among all columns"),
        ({"feature_columns": [2, 3]}, {}, "selects by position among all columns"),
        ({"feature_columns": lambda names: names[3:5]}, {}, "selects by position among all"),
        ({"patience": 1}, {}, "patience=1 needs validation eras"),
        ({"validation_eras": ["0099"]}, {}, "validation_eras names 1 eras"),
    ],
)
def test_choices_that_are_refused(tmp_path, frame, params, options, message):
    model = make_regressor(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(write(tmp_path, frame), **{"target": "target", **options})
    assert not hasattr(model, "net_")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_targets_that_are_missing(tmp_path, frame, value):
    frame = frame.copy()
    frame.loc[frame["era"].isin(["0011", "0005"]), "target"] = value
    kind = "NaN" if np.isnan(value) else r"infinite \(inf\)"
    with pytest.raises(
        ValueError,
        match=rf"target='target' of path=.* contains 100 {kind} of 600 values, in 2 of 12 eras, "
        r"first in era 0005; leave these eras out, with EraReader\(..., eras=...\)",
    ):
        make_regressor().fit(write(tmp_path, frame), target="target")


def test_features_that_are_missing(tmp_path, frame):
    frame = frame.astype({"feature_c": "Int8"})
    frame.loc[123, "feature_c"] = pd.NA
    with pytest.raises(
        ValueError,
        match=r"^In era 0003: path=.* contains 1 NaN .*, first at row 123 of column 'feature_c'",
    ):
        make_regressor().fit(write(tmp_path, frame), target="target")


def test_eras_of_a_single_row(tmp_path, frame):
    with pytest.raises(ValueError, match="There is 1 sample in era 0002"):
        make_regressor().fit(write(tmp_path, frame[:51]), target="target")


def test_files_that_are_not_there(tmp_path, frame):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        make_regressor().fit(tmp_path / "absent.parquet", target="target")
    with pytest.raises(ValueError, match="has no era column 'era'"):
        make_regressor().fit(write(tmp_path, frame.drop(columns="era")), target="target")
