"""How eras are put together in tasks."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import _execution
from sknumerai.streaming._execution import ROWS_PER_TASK, split

MOST = 8  # tasks that decode a row group for one another


def reading(rows, row_groups):
    """What `split` asks of a reading."""
    starts = np.concatenate([[0], np.cumsum(row_groups)])
    return SimpleNamespace(rows=rows, parts=SimpleNamespace(starts=starts))


def contiguous(sizes):
    stops = np.cumsum(sizes).tolist()
    return [slice(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]


def cut(n_rows, size):
    return [*[size] * (n_rows // size), *[n_rows % size] * (n_rows % size > 0)]


def sizes_of(tasks, sizes):
    return [sum(sizes[i] for i in task) for task in tasks]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 30_000), min_size=1, max_size=80),
    st.integers(500, 10**6),
    st.sampled_from(["in order", "shuffled", "scattered"]),
    st.randoms(use_true_random=False),
)
def test_every_era_is_in_one_task(sizes, row_group, order, random):
    rows = contiguous(sizes)
    n_rows = sum(sizes)
    if order == "scattered":  # by blocks, so that this is fast
        rng = np.random.default_rng(random.getrandbits(32))
        labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
        rows = [np.flatnonzero(labels == i) for i in range(len(sizes))]
    elif order == "shuffled":
        random.shuffle(rows)
        sizes = [part.stop - part.start for part in rows]
    tasks = split([reading(rows, cut(n_rows, row_group))], len(rows))
    assert sorted(i for task in tasks for i in task) == list(range(len(sizes)))
    assert all(tasks)
    firsts = [int(np.arange(n_rows)[rows[i]].min()) for task in tasks for i in task]
    assert firsts == sorted(firsts)
    largest = max(2 * ROWS_PER_TASK, 2 * min(row_group, n_rows) / _execution.TASKS_PER_ROW_GROUP)
    assert all(n < largest + max(sizes) for n in sizes_of(tasks, sizes))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=60),
    st.integers(100, ROWS_PER_TASK // 4),
)
def test_small_row_groups_are_read_by_one_task(n_eras, size):
    """Row groups of whole eras, none larger than a task."""
    sizes = [size] * sum(n_eras)
    tasks = split([reading(contiguous(sizes), [n * size for n in n_eras])], len(sizes))
    borders = np.cumsum(n_eras)
    assert set(np.cumsum([len(task) for task in tasks])) <= set(borders)
    assert all(n >= ROWS_PER_TASK for n in sizes_of(tasks, sizes)[:-1])


@pytest.mark.parametrize("n_rows", [10**5, 2 * 10**5, 10**6, 3 * 10**6, 10**8])
@pytest.mark.parametrize("n_eras", [20, 574, 1500])
@pytest.mark.parametrize("n_groups", [1, 3])
def test_large_row_groups_are_read_by_few(n_rows, n_eras, n_groups):
    sizes = [n_rows // n_eras] * n_eras
    total = sum(sizes)
    groups = cut(total, -(-total // n_groups))
    rows = contiguous(sizes)
    tasks = split([reading(rows, groups)], n_eras)
    starts = np.concatenate([[0], np.cumsum(groups)])
    for first, stop in pairwise(starts):
        readers = [
            task for task in tasks if rows[task[0]].start < stop and rows[task[-1]].stop > first
        ]
        assert len(readers) <= MOST
        if stop - first >= MOST * 2 * ROWS_PER_TASK:
            assert len(readers) >= 4  # there is work for several


def test_todays_files():
    """Row groups of whole eras and about 122,880 rows, as polars writes."""
    sizes = [5000] * 600
    tasks = split([reading(contiguous(sizes), cut(sum(sizes), 122_880))], len(sizes))
    assert 50 <= len(tasks) <= 100
    assert max(map(len, tasks)) <= 9


def test_one_era():
    assert split([reading([slice(0, 10**6)], [10**6])], 1) == [[0]]


def test_tables_in_memory():
    """Without files there is nothing to read together."""
    assert split([], 3) == [[0], [1], [2]]
