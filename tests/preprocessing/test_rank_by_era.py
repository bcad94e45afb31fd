"""`rank_by_era` has the numbers of numerai-tools, whatever the order of rows and the container."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerai_tools import scoring
from scipy.stats import norm

from sknumerai.exceptions import ConstantPredictionWarning, SingleEraWarning
from sknumerai.preprocessing import rank_by_era

METHODS = ["rank", "gaussian", "minmax", "std"]


@pytest.fixture
def table():
    """Tied predictions of three eras, indexed by ids in no order."""
    rng = np.random.default_rng(0)
    index = pd.Index([f"n{i:03d}" for i in rng.permutation(200)], name="id")
    frame = pd.DataFrame(rng.normal(size=(200, 2)).round(1), index, ["a", "b"])
    return frame, pd.Series(rng.choice(["0001", "0002", "0003"], 200), index)


def by_era(table, function):
    """A function of the frame of one era with a sorted index, applied to all of them."""
    frame, eras = table
    parts = [function(frame[eras == era].sort_index()) for era in eras.unique()]
    return pd.concat(parts).loc[frame.index]


@pytest.mark.parametrize("ties", ["average", "id"])
def test_ranks_are_those_of_numerai_tools(table, ties):
    frame, eras = table
    official = scoring.tie_kept_rank if ties == "average" else scoring.tie_broken_rank
    expected = by_era(table, official)
    result = rank_by_era(frame, eras=eras, ties=ties)
    pd.testing.assert_frame_equal(result, expected, rtol=1e-14)
    gaussian = rank_by_era(frame, eras=eras, method="gaussian", ties=ties)
    pd.testing.assert_frame_equal(gaussian, expected.apply(norm.ppf), rtol=1e-12)


def test_scales_are_those_of_pandas(table):
    frame, eras = table
    pd.testing.assert_frame_equal(
        rank_by_era(frame, eras=eras, method="minmax"),
        by_era(table, lambda part: (part - part.min()) / (part.max() - part.min())),
    )
    pd.testing.assert_frame_equal(
        rank_by_era(frame, eras=eras, method="std"), by_era(table, scoring.variance_normalize)
    )


@pytest.mark.parametrize(
    ("method", "ties"), [(m, "average") for m in METHODS] + [("rank", "id"), ("gaussian", "id")]
)
class TestInvariants:
    def test_row_order(self, table, method, ties):
        frame, eras = table
        expected = rank_by_era(frame, eras=eras, method=method, ties=ties)
        order = np.random.default_rng(1).permutation(len(frame))
        shuffled = rank_by_era(frame.iloc[order], eras=eras.iloc[order], method=method, ties=ties)
        pd.testing.assert_frame_equal(shuffled, expected.iloc[order], rtol=1e-12)

    def test_other_eras_and_labels(self, table, method, ties):
        frame, eras = table
        expected = rank_by_era(frame, eras=eras, method=method, ties=ties)
        one = frame[eras == "0002"]
        for label in ("0002", 7, None):
            alone = rank_by_era(one, eras=label, method=method, ties=ties)
            pd.testing.assert_frame_equal(alone, expected[eras == "0002"], rtol=1e-12)

    def test_columns_do_not_interact(self, table, method, ties):
        frame, eras = table
        expected = rank_by_era(frame, eras=eras, method=method, ties=ties)["b"]
        alone = rank_by_era(frame["b"], eras=eras, method=method, ties=ties)
        pd.testing.assert_series_equal(alone, expected)

    def test_containers(self, table, method, ties):
        frame, eras = table
        ids = frame.index
        options = {"method": method, "ties": ties}
        expected = rank_by_era(frame, eras=eras, **options).to_numpy()
        options["ids"] = ids.to_numpy()
        for values in (frame.to_numpy(), frame.to_numpy().tolist()):
            result = rank_by_era(values, eras=eras.to_numpy(), **options)
            np.testing.assert_allclose(result, expected, rtol=1e-12)
        column = rank_by_era(frame["a"].to_numpy(), eras=eras.tolist(), **options)
        np.testing.assert_allclose(column, expected[:, 0], rtol=1e-12)
        in_polars = rank_by_era(pl.from_pandas(frame), eras=pl.Series(eras.to_numpy()), **options)
        assert isinstance(in_polars, pl.DataFrame)
        assert in_polars.columns == ["a", "b"]
        np.testing.assert_allclose(in_polars.to_numpy(), expected, rtol=1e-12)
        series = rank_by_era(pl.Series("a", frame["a"]), eras=eras.to_numpy(), **options)
        assert (type(series), series.name) == (pl.Series, "a")

    def test_float32_is_kept(self, table, method, ties):
        frame, eras = table
        single = rank_by_era(frame.astype(np.float32), eras=eras, method=method, ties=ties)
        assert (single.dtypes == np.float32).all()
        expected = rank_by_era(frame, eras=eras, method=method, ties=ties)
        np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30), st.randoms(use_true_random=False))
def test_broken_ties_are_a_permutation_in_the_order_of_values_and_ids(values, random):
    ids = list(range(len(values)))
    random.shuffle(ids)
    if len(set(values)) == 1:
        values[0] += 1
    ranks = rank_by_era(np.array(values, dtype=float), eras="X", ties="id", ids=ids)
    order = sorted(range(len(values)), key=lambda row: (values[row], ids[row]))
    np.testing.assert_allclose(ranks[order], (np.arange(len(values)) + 0.5) / len(values))


@pytest.mark.parametrize(
    "ids",
    [
        ["c", "a", "b", "d"],
        np.array([3, 1, 2, 4]),
        pd.Index([3.0, 1.0, 2.0, 4.0]),
        pd.MultiIndex.from_tuples([(1, "c"), (1, "a"), (1, "b"), (2, "a")]),
        pd.to_datetime(["2020-03-01", "2020-01-01", "2020-02-01", "2020-04-01"]),
        pl.Series(["c", "a", "b", "d"]),
    ],
)
def test_ids_of_any_kind(ids):
    ranks = rank_by_era([1.0, 1.0, 1.0, 0.0], eras="X", ties="id", ids=ids)
    np.testing.assert_array_equal(ranks, [0.875, 0.375, 0.625, 0.125])


def test_ids_go_before_the_index():
    values = pd.Series([0.0, 0.0, 1.0], index=list("abc"))
    assert rank_by_era(values, eras="X", ties="id").tolist() == [0.5 / 3, 0.5, 2.5 / 3]
    other = rank_by_era(values, eras="X", ties="id", ids=list("bac"))
    assert other.tolist() == [0.5, 0.5 / 3, 2.5 / 3]


@pytest.mark.parametrize("method", METHODS)
def test_constants_are_nan_with_one_warning(table, method):
    frame, eras = table
    frame.loc[eras == "0002", "a"] = 3.0
    with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0002\)") as caught:
        result = rank_by_era(frame, eras=eras, method=method)
    assert [warning.filename for warning in caught] == [__file__]
    assert result["a"].isna().equals(eras == "0002")
    assert result["b"].notna().all()
    with pytest.warns(ConstantPredictionWarning):  # an era of one row is constant, too
        assert np.isnan(rank_by_era([1.0, 2.0, 3.0], eras=[1, 1, 2], method=method)[2])


def test_many_rows_without_eras():
    with pytest.warns(SingleEraWarning):
        rank_by_era(np.arange(10_001.0), eras=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "ranks"}, "'method' parameter of rank_by_era"),
        ({"ties": "first"}, "'ties' parameter of rank_by_era"),
        ({"ties": "id"}, "ties='id' needs ids to break ties by, and values has no index; pass ids"),
        ({"ties": "id", "method": "std", "ids": [1, 2, 3]}, "method='std' ranks nothing; pass"),
        ({"ties": "id", "ids": [1, 2]}, "ids has 2 rows and values has 3"),
        ({"ties": "id", "ids": [1, None, 3]}, "1 of 3 ids are missing, first at row 1"),
        ({"ties": "id", "ids": [1, 1, 3]}, "In era 1: 1 of 3 ids occur more than once"),
        ({"ties": "id", "ids": [{}, {}, {}]}, "ids must be labels such as text"),
        ({"values": [1.0, np.nan, 2.0]}, "values contains 1 NaN of 3 values, first at row 1, era"),
        ({"values": ["a", "b", "c"]}, "values must hold real numbers"),
        ({"values": None}, "values is None"),
        ({"eras": [1, 1]}, "eras has 2 labels for 3 rows"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    call = {"values": [1.0, 2.0, 3.0], "eras": [1, 1, 1]} | arguments
    with pytest.raises(ValueError, match=message) as caught:
        rank_by_era(**call)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shuffled", ["values", "eras", "ids"])
def test_shuffled_tables_are_errors(table, shuffled):
    frame, eras = table
    tables = {"values": frame, "eras": eras, "ids": pd.Series(frame.index, frame.index)}
    rank_by_era(**tables, ties="id")
    tables[shuffled] = tables[shuffled].iloc[::-1]
    with pytest.raises(ValueError, match=r"indexes of .* share \d+ of \d+ labels but are not"):
        rank_by_era(**tables, ties="id")
