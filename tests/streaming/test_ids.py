"""Ids of two tables are matched as a dict would match their texts."""

import datetime
import decimal
from contextlib import contextmanager
from itertools import pairwise
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import _ids  # noqa: E402
from sknumerai.streaming._ids import Ids  # noqa: E402

TEXT = {
    "string": pa.string(),
    "large": pa.large_string(),
    "categories": pa.dictionary(pa.int8(), pa.string()),
    "large categories": pa.dictionary(pa.int32(), pa.large_string()),
}


def ids_of(values, kind=None, cuts=(), source="the table"):
    """Ids in chunks that end at some rows."""
    kind = TEXT.get(kind, kind)
    stops = [0, *sorted(cuts), len(values)]
    chunks = [values[a:b] for a, b in pairwise(stops)]
    return Ids([as_array(chunk, kind) for chunk in chunks], source)


def as_array(values, kind):
    if kind is not None and pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def by_dict(own, others):
    rows = {str(value): row for row, value in enumerate(own)}
    return [rows.get(str(value), -1) for value in others]


@contextmanager
def endless_is_an_error():
    """Let the search for a key under which hashes agree end."""
    keys = ["a" * 16, "b" * 16, "c" * 16, "d" * 16]
    with mock.patch.object(_ids.secrets, "token_hex", side_effect=keys):
        yield


def assert_located(own, others, expected):
    with endless_is_an_error():
        found = own.locate(others)
    assert found.tolist() == list(expected)
    assert found.dtype.kind == "i"


# --- properties -----------------------------------------------------------------------------------

texts = st.text(st.sampled_from("ab0Ω\0 "), max_size=4)
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5)


def tables(values):
    """Two lists of unique values that overlap, and where each is cut into chunks."""
    unique = st.lists(values, unique=True, min_size=1, max_size=12)
    cuts = st.lists(st.integers(0, 12), max_size=3)
    return st.tuples(unique, unique, st.permutations(range(24)), cuts, cuts).map(_overlapping)


def _overlapping(drawn):
    first, second, order, cuts, other_cuts = drawn
    second = list(dict.fromkeys([*second, *first[::2]]))
    second = [second[i] for i in order if i < len(second)]
    limit = [[cut for cut in c if cut <= len(v)] for c, v in ((cuts, first), (other_cuts, second))]
    return first, second, *limit


@settings(max_examples=150, deadline=None)
@given(tables(texts), *[st.sampled_from(sorted(TEXT))] * 2, st.sampled_from([1, 3, 2**17]))
def test_as_a_dict(tables, kind, other_kind, at_a_time):
    first, second, cuts, other_cuts = tables
    with mock.patch.object(_ids, "AT_A_TIME", at_a_time):
        own, others = ids_of(first, kind, cuts), ids_of(second, other_kind, other_cuts)
        assert_located(own, others, by_dict(first, second))
        assert_located(others, own, by_dict(second, first))
        assert [own[row] for row in range(len(own))] == first


@settings(max_examples=100, deadline=None)
@given(tables(numbers), st.booleans(), st.sampled_from([1, 3, 2**17]))
def test_numbers_are_their_digits(tables, as_text, at_a_time):
    """A CSV does not say whether its ids are numbers."""
    first, second, cuts, other_cuts = tables
    wanted, kind = second, pa.int64()
    if as_text:
        wanted, kind = [str(value) for value in second], pa.string()
    with mock.patch.object(_ids, "AT_A_TIME", at_a_time):
        own, others = ids_of(first, pa.int64(), cuts), ids_of(wanted, kind, other_cuts)
        assert_located(own, others, by_dict(first, second))
        assert_located(others, own, by_dict(second, first))


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=12), st.sampled_from(sorted(TEXT)), st.integers(0, 3))
def test_repeated_ids(values, kind, weakness):
    """Found whatever the hashes; their number is told, and the first that stands twice."""
    with weak_hashes(weakness) if weakness else mock.patch.object(_ids, "AT_A_TIME", 2):
        repeated = pd.Series(values).duplicated()
        if not repeated.any():
            assert len(ids_of(values, kind)) == len(values)
            return
        with pytest.raises(ValueError, match=r"keep one row per id\.$") as error:
            ids_of(values, kind)
    first = values[int(np.argmax(repeated))]
    text = f"the table has {repeated.sum()} repeated ids among {len(values)} rows, first {first!r};"
    assert str(error.value).startswith(text)


# --- hashes that collide --------------------------------------------------------------------------


@contextmanager
def weak_hashes(n_values, n_keys=1):
    """Only so many hashes under the first keys, of which the last is `KEY`'s own."""
    strong = pd.util.hash_array
    weak = []

    def hash_array(values, hash_key, **options):
        if hash_key not in weak and len(weak) < n_keys:
            weak.append(hash_key)
        hashes = strong(values, hash_key=hash_key, **options)
        return hashes % np.uint64(n_values) if hash_key in weak else hashes

    with mock.patch.object(pd.util, "hash_array", hash_array):
        yield weak


@settings(max_examples=150, deadline=None)
@given(tables(texts), st.integers(1, 40), st.integers(1, 4), st.sampled_from(sorted(TEXT)))
def test_collisions(tables, n_values, n_keys, kind):
    first, second, cuts, _ = tables
    with weak_hashes(n_values, n_keys):
        own, others = ids_of(first, kind, cuts), ids_of(second)
        assert_located(own, others, by_dict(first, second))


def test_a_stranger_with_the_hash_of_a_row():
    """Unique among themselves, so that only comparing the ids tells."""
    own = ids_of(["a", "b", "c"])
    for others in (["x"], ["x", "y"], ["c", "x", "a"]):
        with weak_hashes(1) as weak:
            strangers = ids_of(others)
            assert_located(ids_of(["a"]), strangers, by_dict(["a"], others))
            assert weak == [_ids.KEY]
        assert_located(own, strangers, by_dict("abc", others))


def test_another_key_is_tried():
    own, others = ids_of(list("abcdef")), ids_of(list("fxa"))
    with weak_hashes(2, 3) as weak:
        found = own.locate(others)
    assert found.tolist() == [5, -1, 0]
    assert weak[0] == _ids.KEY
    assert len(set(weak)) == 3
    assert all(len(key) == 16 for key in weak)


# --- examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_permutations_and_subsets(seed):
    """More than one piece of ids that are Python objects."""
    rng = np.random.default_rng(seed)
    names = [f"n{number:016x}" for number in rng.permutation(2000)]
    order = rng.permutation(2000)
    with mock.patch.object(_ids, "AT_A_TIME", 300):
        own = ids_of(names, "large", [700, 1500])
        shuffled = ids_of([names[i] for i in order], None, [1, 999])
        np.testing.assert_array_equal(own.locate(shuffled), order)
        np.testing.assert_array_equal(own.locate(own), np.arange(2000))
        np.testing.assert_array_equal(own.locate(ids_of(names)), np.arange(2000))
        some = ids_of([names[i] for i in order[:100]])
        np.testing.assert_array_equal(own.locate(some), order[:100])
        inverse = np.full(2000, -1)
        inverse[order[:100]] = np.arange(100)
        np.testing.assert_array_equal(some.locate(own), inverse)
        assert (own.locate(ids_of([f"x{i}" for i in range(50)])) == -1).all()
    taken = own.take(order[:7])
    assert [taken[row] for row in range(7)] == [names[i] for i in order[:7]]
    assert taken.source == "the table"


def test_nothing_wanted():
    own, nothing = ids_of(list("abc")), ids_of([], "string")
    assert_located(own, nothing, [])
    assert_located(own, own.take(np.array([], dtype=int)), [])


def test_wanted_among_nothing():
    assert_located(ids_of([], "string"), ids_of(list("abc")), [-1] * 3)


SAME = {
    "integers": ([1, 20, 3], pa.int8(), [20, 3, 4], pa.uint64(), [1, 2, -1]),
    "leading zeros": ([1, 2], pa.int64(), ["01", "2"], None, [-1, 1]),
    "floats": ([0.5, 1.0, 1e22], None, ["1.0", "1e+22", "0.5"], None, [1, 2, 0]),
    "floats of two kinds": ([0.5, 0.25], pa.float32(), [0.25, 0.1], pa.float64(), [1, -1]),
    "days": (
        [datetime.date(2020, 1, 31), datetime.date(2020, 2, 1)],
        None,
        ["2020-02-01", "2020-1-31"],
        None,
        [1, -1],
    ),
    "times": ([datetime.time(1), datetime.time(2)], None, ["02:00:00"], None, [1]),
    "decimals": ([decimal.Decimal("1.50"), decimal.Decimal("2.25")], None, ["1.50"], None, [0]),
    "bytes": ([b"a", b"b"], None, ["b"], None, [1]),
    "unicode": (["ä", "a\u0308"], None, ["a\u0308", "Ä"], None, [1, -1]),
    "empty text": (["", "a"], None, ["a", ""], "categories", [1, 0]),
    "spaces": (["a ", "a"], None, ["a", " a"], None, [1, -1]),
    "zero bytes": (["a\0b", "a"], None, ["a", "a\0b", "a\0"], "large", [1, 0, -1]),
}


@pytest.mark.parametrize("name", SAME)
def test_types(name):
    first, kind, second, other_kind, expected = SAME[name]
    assert_located(ids_of(first, kind), ids_of(second, other_kind), expected)


MOMENTS = pd.to_datetime(["2020-01-01 00:00", "2020-01-02 00:00", "2020-01-02 12:00"])


def test_moments_of_which_some_are_midnights():
    assert_located(ids_of(MOMENTS), ids_of(MOMENTS[:2]), [0, 1])


def test_moments_and_their_texts():
    assert_located(ids_of(MOMENTS), ids_of([str(MOMENTS[1])]), [1])


def test_views_of_text():
    """Read where they are, all or none of them looked for."""
    own = ids_of(["a", "b", "c"], pa.string_view())
    assert_located(own, ids_of(["c", "x", "a"]), [2, -1, 0])
    assert_located(ids_of(["c", "x", "a"]), own, [2, -1, 0])


def test_bytes_that_are_no_text():
    """Such as digests."""
    assert_located(ids_of([b"\xff\x01", b"\xfe"]), ids_of([b"\xfe"]), [1])


@pytest.mark.xfail(strict=True, reason="two ids of one text are an error")
def test_bytes_that_spell_others():
    assert_located(ids_of([b"\xff", rb"\xff"]), ids_of([rb"\xff"]), [1])


@pytest.mark.parametrize(
    ("values", "kind", "count", "first"),
    [
        (["a", None, "b", None], None, 2, 1),
        (["a", "b", None], "categories", 1, 2),
        ([1, None], pa.int64(), 1, 1),
        ([np.nan, 1.0], None, 1, 0),
        ([None, None], None, 2, 0),
        ([None, pd.Timestamp("2020-01-01")], pa.timestamp("ns"), 1, 0),
    ],
)
@pytest.mark.parametrize("cuts", [[], [1]])
def test_missing_ids(values, kind, count, first, cuts):
    with pytest.raises(ValueError, match="give every row one") as error:
        ids_of(values, kind, cuts)
    text = f"the table has {count} of {len(values)} rows without an id, first row {first};"
    assert str(error.value).startswith(text)


@pytest.mark.parametrize("values", [[[1], [2]], [{"a": 1}]])
def test_ids_that_are_no_labels(values):
    with pytest.raises(ValueError, match=r"has ids such as .*; write one text or number per row"):
        ids_of(values)


def test_names_for_messages():
    own = ids_of([f"n{i}" for i in range(9)])
    assert own.some(np.array([4, 2])) == "'n4', 'n2'"
    assert own.some(np.arange(9)) == "'n0', 'n1', 'n2', ..."
    assert ids_of([1, 2]).some(np.array([1])) == "2"
