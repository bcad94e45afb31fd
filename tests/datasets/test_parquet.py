"""Streaming gives what reading the whole file gives, in the memory of one era."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sknumerai.datasets import EraReader, iter_eras, read_feature_sets, read_tournament

pa = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
pq = pytest.importorskip("pyarrow.parquet")

FEATURES = [f"feature_{name}" for name in ("amber_fern", "brisk_otter", "coral_hazel")]


def make_frame(eras, seed=0):
    rng = np.random.default_rng(seed)
    n = len(eras)
    frame = pd.DataFrame({"era": eras, "data_type": "train"})
    for name in FEATURES:
        frame[name] = rng.integers(5, size=n).astype(np.int8)
    frame["target"] = rng.choice([0.25, 0.5, np.nan], size=n).astype(np.float32)
    frame["target_60"] = rng.random(n)
    frame.index = pd.Index([f"n{i:015x}" for i in rng.permutation(n)], name="id")
    return frame


def write(folder, frame, row_group_size=None, name="train.parquet"):
    path = folder / name
    frame.to_parquet(path, row_group_size=row_group_size or len(frame))
    return path


def assert_streams_as_a_whole(path, frame, **options):
    streamed = dict(iter_eras(path, **options))
    assert list(streamed) == list(frame["era"].unique())
    for era, rows in streamed.items():
        pd.testing.assert_frame_equal(rows, frame[frame["era"] == era], check_categorical=False)
    pd.testing.assert_frame_equal(read_tournament(path), frame)


@pytest.mark.parametrize("row_group_size", [1, 4, 7, 30])
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_eras_spanning_row_groups_and_row_groups_holding_eras(tmp_path, row_group_size, batch_size):
    frame = make_frame(np.repeat(["0003", "0001", "0002", "X"], [10, 1, 9, 10]))
    path = write(tmp_path, frame, row_group_size)
    assert_streams_as_a_whole(path, frame, batch_size=batch_size)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    eras=st.lists(st.sampled_from("abcde"), min_size=1, max_size=30),
    row_group_size=st.integers(1, 30),
    batch_size=st.integers(1, 30),
)
def test_scattered_eras(tmp_path, eras, row_group_size, batch_size):
    frame = make_frame(np.array(eras))
    path = write(tmp_path, frame, row_group_size)
    assert_streams_as_a_whole(path, frame, batch_size=batch_size)


def test_types_are_kept(tmp_path):
    path = write(tmp_path, make_frame(["1"] * 5 + ["2"] * 5), row_group_size=3)
    for _, rows in iter_eras(path):
        assert rows[FEATURES].dtypes.tolist() == [np.dtype("int8")] * 3
        assert rows["target"].dtype == np.float32
        assert rows["target_60"].dtype == np.float64


def test_missing_integers_become_nan_and_no_other_number(tmp_path):
    values = pd.array([1, 2, None, 4, 0, 3], dtype="Int8")
    table = pa.table({"era": ["1", "1", "1", "2", "2", "2"], "feature_a": pa.array(values)})
    pq.write_table(table, tmp_path / "a.parquet")
    expected = [1, 2, np.nan, 4, 0, 3]
    frame = read_tournament(tmp_path / "a.parquet")
    assert frame["feature_a"].dtype == np.float32
    np.testing.assert_array_equal(frame["feature_a"], expected)
    streamed = dict(iter_eras(tmp_path / "a.parquet", batch_size=2))
    np.testing.assert_array_equal(streamed["1"]["feature_a"], expected[:3])
    assert streamed["2"]["feature_a"].dtype == np.int8


@pytest.mark.parametrize("row_group_size", [4, 100])
def test_categorical_columns(tmp_path, row_group_size):
    frame = make_frame(np.repeat(["0002", "0001"], [6, 5]))
    frame["era"] = frame["era"].astype("category")
    path = write(tmp_path, frame, row_group_size)
    assert_streams_as_a_whole(path, frame)
    assert read_tournament(path)["era"].dtype == "category"


@pytest.mark.parametrize(
    "eras", [[1, 1, 2], [1.0, 1.0, 2.0], pd.to_datetime(["2020-01-03"] * 2 + ["2020-01-10"])]
)
def test_eras_of_any_type(tmp_path, eras):
    frame = make_frame(eras)
    path = write(tmp_path, frame)
    reader = EraReader(path)
    assert reader.eras == list(frame["era"].unique())
    assert_streams_as_a_whole(path, frame)
    assert len(dict(iter_eras(path, eras=[eras[2]]))[eras[2]]) == 1


def test_index_of_the_file(tmp_path):
    frame = make_frame(["1", "2", "1"])
    plain = frame.reset_index()
    table = pa.Table.from_pandas(plain, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "plain.parquet")
    pd.testing.assert_frame_equal(read_tournament(tmp_path / "plain.parquet"), frame)

    unnamed = write(tmp_path, frame.rename_axis(None), name="unnamed.parquet")
    assert "__index_level_0__" in pq.read_schema(unnamed).names
    pd.testing.assert_frame_equal(read_tournament(unnamed), frame.rename_axis(None))

    no_index = frame.reset_index(drop=True)
    absent = write(tmp_path, no_index, name="absent.parquet")
    assert_streams_as_a_whole(absent, no_index)
    assert dict(iter_eras(absent))["1"].index.tolist() == [0, 2]

    two = frame.set_index("data_type", append=True)
    pd.testing.assert_frame_equal(read_tournament(write(tmp_path, two, name="two.parquet")), two)


def test_columns_in_the_order_asked(tmp_path):
    frame = make_frame(["1", "2", "1"])
    path = write(tmp_path, frame)
    columns = ["target", FEATURES[2], "data_type", FEATURES[0]]
    for era, rows in iter_eras(path, columns):
        pd.testing.assert_frame_equal(rows, frame.loc[frame["era"] == era, columns])
    # The era column always comes along where the rows of all eras lie in one frame.
    pd.testing.assert_frame_equal(read_tournament(path, columns=columns), frame[["era", *columns]])
    named = read_tournament(path, columns=["id", "target", "era", "target"])
    pd.testing.assert_frame_equal(named, frame[["era", "target"]])


def test_eras_and_every(tmp_path):
    frame = make_frame(np.repeat([f"{i:04d}" for i in range(1, 11)], 3))
    path = write(tmp_path, frame, row_group_size=7)
    assert EraReader(path, every=4).eras == ["0001", "0005", "0009"]
    wanted = ["0010", "0002", "0006"]
    reader = EraReader(path, eras=wanted, every=2)
    assert reader.eras == ["0002", "0010"]
    assert [era for era, _ in reader] == ["0002", "0010"]
    assert (len(reader), reader.n_samples) == (2, 6)
    assert "2 eras, 6 rows, 7 columns" in repr(reader)
    selected = read_tournament(path, eras=wanted)
    pd.testing.assert_frame_equal(selected, frame[frame["era"].isin(wanted)])
    assert list(reader)[1][1].index.equals(list(reader)[1][1].index)  # read twice, the same


def test_feature_sets(tmp_path):
    frame = make_frame(["1", "2", "1"])
    path = write(tmp_path, frame)
    sets = {"small": [FEATURES[1]], "wisdom": FEATURES[:2], "other": ["feature_absent"]}
    metadata = tmp_path / "features.json"
    metadata.write_text(json.dumps({"feature_sets": sets, "targets": ["target"]}))
    assert read_feature_sets(tmp_path) == read_feature_sets(metadata) == sets
    small = read_tournament(path, feature_set="small")
    assert small.columns.tolist() == ["era", "data_type", FEATURES[1], "target", "target_60"]
    wisdom = read_tournament(path, columns=["target"], feature_set="wisdom")
    assert wisdom.columns.tolist() == ["era", "target", *FEATURES[:2]]
    elsewhere = metadata.rename(tmp_path / "sets.json")
    assert read_tournament(path, feature_set="small", features_json=elsewhere).equals(small)

    with pytest.raises(ValueError, match=r"feature_set='smal' is not in .*mean 'small'.*'wisdom'"):
        iter_eras(path, feature_set="smal", features_json=elsewhere)
    with pytest.raises(ValueError, match=r"feature_set='other'.*1 of 5.*'feature_absent'"):
        iter_eras(path, feature_set="other", features_json=elsewhere)
    with pytest.raises(FileNotFoundError, match=r"no feature metadata at .*features\.json; pass"):
        iter_eras(path, feature_set="small")
    metadata.write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        read_feature_sets(metadata)
    metadata.write_text("[]")
    with pytest.raises(ValueError, match="has no 'feature_sets'"):
        read_feature_sets(metadata)


def test_memory_is_bounded_where_row_groups_are_not(tmp_path):
    n_features, n_stocks, n_eras = 100, 1000, 60
    rng = np.random.default_rng(0)
    columns = {f"feature_{i}": rng.integers(5, size=60_000).astype(np.int8) for i in range(100)}
    eras = np.repeat([f"{i:04d}" for i in range(n_eras)], n_stocks)
    path = tmp_path / "one_row_group.parquet"
    table = pa.table({"era": eras, **columns})
    pq.write_table(table, path, row_group_size=len(eras))
    del table, columns

    raw = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(raw)
    pa.set_memory_pool(pool)
    try:
        frames = [frame.shape for _, frame in iter_eras(path, batch_size=1000)]
    finally:
        pa.set_memory_pool(raw)
    assert frames == [(n_stocks, n_features + 1)] * n_eras
    # Bytes that pyarrow held at its peak, beside the pages of the file: the table has 6 million.
    assert 0 < pool.max_memory() < 6e6


def test_first_era_needs_only_its_row_group(tmp_path, monkeypatch):
    frame = make_frame(np.repeat([f"{i:04d}" for i in range(10)], 20))
    path = write(tmp_path, frame, row_group_size=20)
    reader = EraReader(path, FEATURES, eras=["0004"])
    read = []
    iter_batches = pq.ParquetFile.iter_batches

    def record(self, *, row_groups, columns, **options):
        read.append((row_groups, columns))
        return iter_batches(self, row_groups=row_groups, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", record)
    assert len(list(reader)) == 1
    assert read == [([4], [*FEATURES, "id"])]


@pytest.mark.parametrize("read", [iter_eras, EraReader, read_tournament])
def test_errors_come_with_the_call(tmp_path, read):
    frame = make_frame(["1", "2", "1"])
    path = write(tmp_path, frame)

    with pytest.raises(FileNotFoundError, match=r"absent\.parquet' does not exist; check it"):
        read(tmp_path / "absent.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"is a folder without \.parquet files; name ano"):
        read(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"1 of .*'feature_amber_ferm' .did you mean 'feature_amb"):
        read(path, columns=["feature_amber_ferm", "era"])
    with pytest.raises(ValueError, match=r"7 of 8 .* and 2 more"):
        read(path, columns=["era", *"abcdefg"])
    with pytest.raises(ValueError, match="columns must be a list of names; found the str 'era'"):
        read(path, columns="era")
    with pytest.raises(ValueError, match=r"has no era column 'eras' .did you mean 'era'"):
        read(path, era_column="eras")
    with pytest.raises(ValueError, match=r"eras: 1 of 2 labels are not in .*'0001'; its 2 eras"):
        read(path, eras=["1", "0001"])
    with pytest.raises(ValueError, match="eras must be a list"):
        read(path, eras="1")
    with pytest.raises(ValueError, match="eras is empty"):
        read(path, eras=[])
    with pytest.raises(ValueError, match="every == 0"):
        read(path, every=0)


def test_columns_must_not_be_empty(tmp_path):
    with pytest.raises(ValueError, match="columns is empty"):
        iter_eras(write(tmp_path, make_frame(["1"])), [])


def test_broken_files(tmp_path):
    empty = tmp_path / "empty.parquet"
    empty.touch()
    with pytest.raises(ValueError, match=r"is empty \(0 bytes\)"):
        iter_eras(empty)
    text = tmp_path / "text.parquet"
    text.write_text("era,target\n0001,0.5\n")
    with pytest.raises(ValueError, match="is not a complete parquet file"):
        iter_eras(text)
    frame = make_frame(np.repeat(["1", "2"], 5000))
    whole = write(tmp_path, frame).read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is not a complete parquet file .*download or write it"):
        iter_eras(cut)
    no_rows = write(tmp_path, frame.iloc[:0], row_group_size=1, name="no_rows.parquet")
    with pytest.raises(ValueError, match="has no rows"):
        iter_eras(no_rows)


def test_damaged_data_is_an_error_and_not_a_value(tmp_path):
    frame = make_frame(np.repeat(["1", "2"], 5000))
    path = write(tmp_path, frame)
    column = pq.ParquetFile(path).metadata.row_group(0).column(2)
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    reader = EraReader(path)
    with pytest.raises(ValueError, match=r"is damaged in row group 0 .*download or write it again"):
        list(reader)


@pytest.mark.parametrize("eras", [["1", None, "2"], [1.0, np.nan, 2.0]])
def test_rows_without_an_era_are_an_error(tmp_path, eras):
    path = write(tmp_path, make_frame(eras))
    with pytest.raises(ValueError, match=r"era column 'era' .* missing values, first at row 1"):
        iter_eras(path)


def test_real_file_of_2018(shared_data):
    path = shared_data / "numerai_2018_08.parquet"
    whole = pd.read_parquet(path)
    columns = [f"x{i}" for i in range(1, 51)]
    reader = EraReader(path, [*columns, "bernie", "region"])
    assert len(reader) == 178
    assert reader.eras == list(whole["era"].unique())
    rows = 0
    for era, frame in reader:
        expected = whole.loc[whole["era"] == era, [*columns, "bernie", "region"]]
        pd.testing.assert_frame_equal(frame, expected)
        rows += len(frame)
    assert rows == len(whole) == 6290
    sampled = read_tournament(path, columns=["ken"], every=4)
    assert sampled["era"].unique().tolist() == reader.eras[::4]


def test_real_rows_of_2021(shared_data):
    path = shared_data / "numerai_v2_ten_rows.parquet"
    whole = pd.read_parquet(path)
    streamed = list(iter_eras(path))
    assert sum(len(frame) for _, frame in streamed) == 10
    pd.testing.assert_frame_equal(pd.concat([f for _, f in streamed]).loc[whole.index], whole)
    assert re.fullmatch(r"\d{4}", streamed[0][0])


def test_real_feature_sets(shared_data):
    sets = read_feature_sets(shared_data / "features_v5.0.json")
    assert (len(sets["small"]), len(sets["medium"]), len(sets["all"])) == (42, 705, 2376)
