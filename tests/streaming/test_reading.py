"""Rows of files, read era by era: the right ones, each once, and by several at a time."""

import os
import pickle
import tempfile
import threading
from collections import Counter
from copy import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.streaming._tables import FEATURES, make_rows, write_parquet

pa = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
import pyarrow.parquet as pq  # noqa: E402

from sknumerai.datasets import EraReader  # noqa: E402
from sknumerai.datasets._era_rows import EraRows, read_blocks, read_frames  # noqa: E402
from sknumerai.datasets._sources import ParquetParts  # noqa: E402
from sknumerai.streaming._row_source import Reading  # noqa: E402

TYPES = {
    "int8": [np.int8],
    "uint16": [np.uint16],
    "int64": [np.int64],
    "float32": [np.float32],
    "float64": [np.float64],
    "small integers": [np.int8, np.int16, np.uint8],
    "integers and float32": [np.int8, np.float32],
    "large integers and float32": [np.int32, np.float32],
    "floats": [np.float32, np.float64],
}


def make_numbers(n_rows, dtypes, seed=0):
    rng = np.random.default_rng(seed)
    names = [f"feature_{j}" for j in range(7)]
    columns = {
        name: rng.integers(0, 100, n_rows).astype(dtypes[j % len(dtypes)])
        for j, name in enumerate(names)
    }
    return pd.DataFrame(columns)


def rows_of(eras):
    """Numbers of the rows of each era, ascending; a slice where they are contiguous."""
    found = []
    for label in dict.fromkeys(eras):
        rows = np.flatnonzero(np.asarray(eras) == label)
        whole = rows[-1] - rows[0] + 1 == len(rows)
        found.append(slice(int(rows[0]), int(rows[-1]) + 1) if whole else rows)
    return found


def assert_blocks(path, table, rows, dtype=None):
    parts = ParquetParts(path)
    blocks = list(read_blocks(parts, list(table.columns), rows))
    assert len(blocks) == len(rows)
    for block, own in zip(blocks, rows, strict=True):
        expected = table.iloc[own].to_numpy()
        np.testing.assert_array_equal(block, expected)
        assert block.dtype == (dtype or expected.dtype)
    return blocks


@pytest.mark.parametrize("row_group_size", [1, 7, 60])
@pytest.mark.parametrize("eras", ["contiguous", "scattered"])
@pytest.mark.parametrize("name", TYPES)
def test_types(tmp_path, name, eras, row_group_size):
    table = make_numbers(60, TYPES[name])
    labels = np.repeat([3, 1, 2], [10, 30, 20])
    if eras == "scattered":
        labels = np.random.default_rng(0).permutation(labels)
    path = write_parquet(table, tmp_path / "a.parquet", row_group_size=row_group_size)
    blocks = assert_blocks(path, table, rows_of(labels))
    if eras == "contiguous":
        assert all(block.flags.f_contiguous for block in blocks)


def test_scattered_eras_are_column_major(tmp_path):
    table = make_numbers(60, [np.int8])
    path = write_parquet(table, tmp_path / "a.parquet")
    blocks = assert_blocks(path, table, [np.arange(0, 60, 2), np.arange(1, 60, 2)])
    assert all(block.flags.f_contiguous for block in blocks)


def test_half_precision(tmp_path):
    table = make_numbers(20, [np.float16])
    path = write_parquet(table, tmp_path / "a.parquet", row_group_size=6)
    assert_blocks(path, table, rows_of(np.repeat([1, 2], 10)))


@pytest.mark.parametrize(
    ("kind", "dtype"), [("Int8", np.float32), ("UInt16", np.float32), ("Int32", np.float64)]
)
@pytest.mark.parametrize("row_group_size", [4, 30])
def test_missing_integers(tmp_path, kind, dtype, row_group_size):
    """Floats in the eras that lack some, wherever in the era, and integers in the others."""
    table = make_numbers(30, [np.int8]).astype(kind)
    table.loc[[3, 14], "feature_1"] = pd.NA
    path = write_parquet(table, tmp_path / "a.parquet", row_group_size=row_group_size)
    parts = ParquetParts(path)
    rows = [slice(0, 10), slice(10, 20), slice(20, 30)]
    blocks = list(read_blocks(parts, list(table.columns), rows))
    for block, own in zip(blocks, rows, strict=True):
        expected = table.iloc[own].to_numpy(dtype=float, na_value=np.nan)
        np.testing.assert_array_equal(block, expected)
    assert [block.dtype for block in blocks] == [dtype, dtype, np.dtype(kind.lower())]


def test_missing_floats(tmp_path):
    """NaN and nothing are the same."""
    values = pa.array([1.0, None, np.nan, 4.0], pa.float32())
    pq.write_table(pa.table({"feature_0": values, "feature_1": values}), tmp_path / "a.parquet")
    parts = ParquetParts(tmp_path / "a.parquet")
    (block,) = read_blocks(parts, ["feature_1", "feature_0"], [slice(0, 4)])
    np.testing.assert_array_equal(block, np.array([[1, np.nan, np.nan, 4]] * 2, np.float32).T)
    assert block.dtype == np.float32


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
@given(
    eras=st.lists(st.sampled_from("abcd"), min_size=1, max_size=40),
    row_group_size=st.integers(1, 40),
    name=st.sampled_from(["int8", "floats", "integers and float32"]),
    data=st.data(),
)
def test_rows_in_any_order(tmp_path, eras, row_group_size, name, data):
    """Of eras in any order, some left out; within an era, too, as risk data are asked for."""
    table = make_numbers(len(eras), TYPES[name])
    path = Path(tempfile.mkdtemp(dir=tmp_path)) / "a.parquet"
    write_parquet(table, path, row_group_size=row_group_size)
    chosen = data.draw(st.permutations(rows_of(eras)))
    chosen = chosen[: data.draw(st.integers(1, len(chosen)))]
    if data.draw(st.booleans()):
        everything = np.arange(len(eras))
        chosen = [
            np.array(data.draw(st.permutations(everything[rows].tolist()))) for rows in chosen
        ]
    assert_blocks(path, table, chosen)
    frames = read_frames(ParquetParts(path), list(table.columns), [], chosen, 3)
    for frame, rows in zip(frames, chosen, strict=True):
        pd.testing.assert_frame_equal(
            frame.reset_index(drop=True), table.iloc[rows].reset_index(drop=True)
        )


def test_eras_backward_and_parts(tmp_path):
    table = make_numbers(90, [np.int16])
    paths = [
        write_parquet(table[a : a + 30], tmp_path / f"{a}.parquet", row_group_size=8)
        for a in (0, 30, 60)
    ]
    rows = rows_of(np.repeat(np.arange(6), 15))[::-1]
    assert_blocks(paths, table, rows)
    assert_blocks(paths[::-1], pd.concat([table[60:], table[30:60], table[:30]]), rows)


# --- how often ------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch):
    """How many rows of each row group are decoded, and the most columns at a time."""
    counts = Counter()
    iterate = pq.ParquetFile.iter_batches

    def record(self, *, row_groups, **options):
        for batch in iterate(self, row_groups=row_groups, **options):
            counts[tuple(row_groups)] += batch.num_rows
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", record)
    return counts


@pytest.mark.parametrize("sizes", [(20,) * 12, (7,) * 34, (100, 40, 100), (1,) * 240])
@pytest.mark.parametrize("row_group_size", [20, 13, 240])
def test_eras_in_a_row_are_decoded_once(tmp_path, decoded, sizes, row_group_size):
    n_rows = sum(sizes)
    table = make_numbers(n_rows, [np.int8])
    path = write_parquet(table, tmp_path / "a.parquet", row_group_size=row_group_size)
    assert_blocks(path, table, rows_of(np.repeat(np.arange(len(sizes)), sizes)))
    metadata = pq.ParquetFile(path).metadata
    groups = {(i,): metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)}
    assert decoded == groups


def test_row_groups_without_wanted_rows_are_skipped(tmp_path, decoded):
    table = make_numbers(200, [np.int8])
    path = write_parquet(table, tmp_path / "a.parquet", row_group_size=10)
    assert_blocks(path, table, [slice(152, 158), slice(33, 41)])
    assert decoded == {(15,): 10, (3,): 10, (4,): 10}


def test_scattered_eras_are_decoded_together(tmp_path, decoded):
    table = make_numbers(200, [np.int8])
    path = write_parquet(table, tmp_path / "a.parquet", row_group_size=50)
    assert_blocks(path, table, [np.arange(i, 200, 10) for i in range(10)])
    assert decoded == {(i,): 50 for i in range(4)}


def test_few_blocks_are_held(tmp_path, monkeypatch):
    """One at a time, as far as who asks lets go of them; rows come in batches."""
    from sknumerai.datasets import _era_rows, _parquet

    monkeypatch.setattr(_era_rows, "default_batch_size", lambda n_columns: 16)
    table = make_numbers(320, [np.int8])
    path = write_parquet(table, tmp_path / "a.parquet")
    sizes = []
    add = _parquet.BlockBuilder.add

    def record(self, batch):
        sizes.append(batch.num_rows)
        return add(self, batch)

    monkeypatch.setattr(_parquet.BlockBuilder, "add", record)
    blocks = read_blocks(ParquetParts(path), list(table.columns), rows_of(np.repeat(range(8), 40)))
    for i, block in enumerate(blocks):
        assert sum(sizes) == 40 * (i + 1)  # nothing is read ahead
        assert block.shape == (40, 7)
    assert max(sizes) <= 16


# --- several readers ------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    rows = make_rows((30,) * 8)
    paths = [tmp_path / f"{name}.parquet" for name in "ab"]
    rows[:100].to_parquet(paths[0], row_group_size=17)
    rows[100:].to_parquet(paths[1], row_group_size=23)
    own = EraRows(paths, "era")
    groups = own.groups
    return Reading(own.parts, FEATURES, "id", groups.rows, groups.labels), rows


def assert_reads(reading, rows):
    for block, own in zip(reading, reading.rows, strict=True):
        np.testing.assert_array_equal(block, rows[FEATURES].iloc[own])


def test_two_readers_take_turns(source):
    reading, rows = source
    first, second = iter(reading), iter(reading.take([7, 0, 3]))
    for i in (7, 0, 3):
        next(first)
        np.testing.assert_array_equal(next(second), rows[FEATURES].iloc[reading.rows[i]])
    assert_reads(reading, rows)


def test_readers_in_threads(source):
    """Of the same object, at the same time."""
    reading, rows = source
    errors, barrier = [], threading.Barrier(4)

    def work(positions):
        try:
            barrier.wait(timeout=30)
            for _ in range(10):
                assert_reads(reading.take(positions), rows)
        except BaseException as error:
            errors.append(error)

    orders = ([0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [3, 4], [7, 0])
    threads = [threading.Thread(target=work, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []


def test_pickles_and_copies(source):
    """An open file stays behind."""
    reading, rows = source
    parts = reading.parts
    parts.open(1)
    for other in (
        pickle.loads(pickle.dumps(reading)),
        pickle.loads(pickle.dumps(reading.take([2]))),
    ):
        assert other.parts._opened is None
        assert other.parts.paths == parts.paths
        np.testing.assert_array_equal(other.parts.starts, parts.starts)
        assert_reads(other, rows)
    assert copy(parts)._opened is None
    assert parts._opened is not None
    parts.close()


def test_files_are_closed(source):
    """After reading, after an early end, and after an error."""
    reading, rows = source
    assert reading.parts._opened is None
    stream = iter(reading)
    next(stream)
    stream.close()
    assert_reads(reading, rows)
    if os.path.isdir("/proc/self/fd"):
        links = [os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
        opened = {os.path.realpath(link) for link in links}
        assert not {str(path) for path in reading.parts.paths} & opened


# --- files that change ----------------------------------------------------------------------------


def means(path):
    return {era: float(frame["feature_amber"].mean()) for era, frame in EraReader(path)}


def expected_means(rows):
    return rows.groupby("era")["feature_amber"].mean().to_dict()


@pytest.mark.parametrize("how", ["written over", "replaced"])
def test_a_file_that_is_replaced(tmp_path, how):
    """What is known of its end is not used for another file."""
    path = tmp_path / "a.parquet"
    for seed, sizes in enumerate([(30, 20), (30, 20), (10, 10, 40), (50,), (30, 20)]):
        rows = make_rows(sizes, seed=seed)
        rows.to_parquet(path if how == "written over" else tmp_path / "new", row_group_size=11)
        if how == "replaced":
            os.replace(tmp_path / "new", path)
        os.utime(path, ns=(seed, seed))  # else two may be of one tick
        assert means(path) == pytest.approx(expected_means(rows))
        assert means(path) == pytest.approx(expected_means(rows))


def test_a_file_of_the_same_size_and_time(tmp_path):
    """As archives and mirrors give them; the file itself is another one."""
    rows = [make_rows((40, 40), seed=seed) for seed in range(2)]
    for seed, table in enumerate(rows):
        shuffled = table if seed == 0 else table[::-1]
        content = {"era": shuffled["era"].tolist()}
        content |= {name: shuffled[name].to_numpy() for name in FEATURES}
        options = {"compression": "none", "use_dictionary": False, "row_group_size": 40}
        pq.write_table(pa.table(content), tmp_path / f"{seed}.parquet", **options)
    paths = [tmp_path / f"{seed}.parquet" for seed in range(2)]
    assert paths[0].stat().st_size == paths[1].stat().st_size
    for path in paths:
        os.utime(path, ns=(1, 1))
    first = pq.ParquetFile(paths[0]).metadata
    ParquetParts(paths[0]).close()
    os.replace(paths[1], paths[0])
    footer = ParquetParts(paths[0]).open(0).metadata
    statistics = [m.row_group(0).column(0).statistics.min for m in (first, footer)]
    assert statistics == ["0001", "0002"]


def test_damaged_row_groups(tmp_path):
    """Eras before are read; the message names the file and the row group."""
    rows = make_rows((30,) * 5)
    paths = [tmp_path / f"{name}.parquet" for name in "ab"]
    for path, part in zip(paths, (rows[:60], rows[60:]), strict=True):
        part.to_parquet(path, row_group_size=30, compression="snappy")
    column = pq.ParquetFile(paths[1]).metadata.row_group(2).column(1)
    content = bytearray(paths[1].read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 40] = b"\xff" * 40
    paths[1].write_bytes(content)
    own = EraRows(paths, "era", "features")
    groups = own.groups
    stream = iter(Reading(own.parts, FEATURES, "id", groups.rows, groups.labels))
    for i in range(4):
        np.testing.assert_array_equal(next(stream), rows[FEATURES].iloc[30 * i : 30 * i + 30])
    text = (
        rf"^features='{paths[1]}' is damaged in row group 2 \(.*\); download or write it again\.$"
    )
    with pytest.raises(ValueError, match=text):
        next(stream)
