import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.utils.parallel import Parallel

from sknumerai import _parallel
from sknumerai._era_loop import map_eras, stream_eras
from sknumerai._eras import group_eras, require_eras
from sknumerai._frames import Table
from sknumerai.exceptions import MissingErasError, SingleEraWarning


def _rows(groups):
    return {
        label: np.arange(groups.n_samples)[rows].tolist()
        for label, rows in zip(groups.labels, groups.rows, strict=True)
    }


class TestGroups:
    def test_contiguous_rows_are_slices(self):
        groups = group_eras(["b", "b", "a", "c", "c"], 5)
        assert groups.labels == ["b", "a", "c"]  # in order of appearance
        assert groups.rows == [slice(0, 2), slice(2, 3), slice(3, 5)]

    def test_scattered_rows_are_ascending_indices(self):
        groups = group_eras(["b", "a", "b", "a", "c"], 5)
        assert _rows(groups) == {"b": [0, 2], "a": [1, 3], "c": [4]}
        assert groups.rows[2] == slice(4, 5)
        assert [groups.label_of_row(row) for row in range(5)] == ["b", "a", "b", "a", "c"]
        with pytest.raises(IndexError):
            groups.label_of_row(5)

    @pytest.mark.parametrize(
        "eras",
        [
            [2, 1, 2],
            np.array([2.0, 1.0, 2.0]),
            np.array(["0002", "0001", "0002"]),
            np.array(["2020-01-03", "2020-01-10", "2020-01-03"], dtype="datetime64[D]"),
            [datetime.date(2020, 1, 3), datetime.date(2020, 1, 10), datetime.date(2020, 1, 3)],
            [("a", 1), ("a", 2), ("a", 1)],
            [b"x", b"y", b"x"],
            [True, False, True],
            pd.Series(["u", "v", "u"], index=[5, 5, 7]),
            pd.Index(["u", "v", "u"]),
            pd.Categorical(["u", "v", "u"], categories=["v", "u"], ordered=True),
            pd.Series(["u", "v", "u"], dtype="category"),
            pl.Series(["u", "v", "u"]),
            pl.Series(["u", "v", "u"], dtype=pl.Categorical),
            (3, 4, 3),
        ],
        ids=lambda eras: type(eras).__name__,
    )
    def test_any_label_type(self, eras):
        groups = group_eras(eras, 3)
        assert len(groups) == 2
        assert list(_rows(groups).values()) == [[0, 2], [1]]

    def test_mixed_labels_stay_apart(self):
        assert group_eras([1, "1", 1], 3).labels == [1, "1"]

    @pytest.mark.parametrize(
        "eras", ["X", 5, 5.5, np.int64(3), np.array("X"), datetime.date(2020, 1, 3), b"X"]
    )
    def test_scalar_is_one_era(self, eras):
        groups = group_eras(eras, 3)
        assert groups.rows == [slice(0, 3)]
        assert groups.labels == [eras]

    def test_none_is_one_era(self):
        assert group_eras(None, 10_000).labels == [None]
        with pytest.warns(SingleEraWarning, match="all 10001 rows are treated as one era"):
            group_eras(None, 10_001)

    @pytest.mark.parametrize(
        ("eras", "match"),
        [
            (["a", "b"], "2 labels for 3 rows"),
            (["a", None, "b"], "1 of 3 eras are missing, first at row 1"),
            ([1.0, np.nan, np.nan], "2 of 3 eras are missing, first at row 1"),
            (np.array([["a"], ["b"], ["c"]]), r"of shape \(3, 1\)"),
            (pd.DataFrame({"era": ["a", "b", "c"]}), r"of shape \(3, 1\)"),
            (pd.Series(["a", "b", pd.NA], dtype="string"), "1 of 3 eras are missing"),
        ],
    )
    def test_errors(self, eras, match):
        with pytest.raises(ValueError, match=match):
            group_eras(eras, 3)

    def test_assemble_restores_the_order(self):
        values = np.random.default_rng(0).normal(size=(50, 2))
        groups = group_eras(np.random.default_rng(1).integers(0, 5, 50), 50)
        np.testing.assert_array_equal(groups.assemble(values[rows] for rows in groups.rows), values)


class TestOrder:
    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            ([10, 9, 11], [9, 10, 11]),
            ([1.5, -1, 0], [-1, 0, 1.5]),
            (["0010", "0009", "X"], ["0009", "0010", "X"]),
            (["era10", "era9", "eraX"], ["era9", "era10", "eraX"]),
            (["10", "era9", "live", "100"], ["era9", "10", "100", "live"]),
            (["2020-01-10", "2019-12-31"], ["2019-12-31", "2020-01-10"]),
            (
                [datetime.datetime(2020, 2, 1), datetime.date(2020, 1, 1)],
                [datetime.date(2020, 1, 1), datetime.datetime(2020, 2, 1)],
            ),
            ([None], [None]),
            (["X"], ["X"]),
        ],
    )
    def test_natural(self, labels, expected):
        groups = group_eras(np.array(labels, dtype=object), len(labels)) if labels[0] else None
        groups = groups or group_eras(None, 1)
        assert groups.sorted().labels == expected

    def test_numpy_and_pandas_datetimes(self):
        eras = np.array(["2020-02-01", "2020-01-01"], dtype="datetime64[D]")
        assert group_eras(eras, 2).order == [1, 0]
        assert group_eras(pd.to_datetime(eras), 2).order == [1, 0]

    def test_ordered_categorical(self):
        eras = pd.Categorical(["b", "a", "c"], categories=["c", "b", "a"], ordered=True)
        groups = group_eras(eras, 3)
        assert groups.sorted().labels == ["c", "b", "a"]

    @pytest.mark.parametrize("labels", [["spring", "autumn"], [1, "2020-01-01"], [("a",), ("b",)]])
    def test_unknown_order_is_an_error(self, labels):
        with pytest.raises(ValueError, match="no known order; use numbers, dates"):
            group_eras(labels, 2).sorted()


class TestLoop:
    def test_results_in_order_of_the_groups(self):
        values = np.arange(12.0)
        groups = group_eras(np.tile(["b", "a", "c"], 4), 12)
        for n_jobs in (None, 2):
            sums = map_eras(np.sum, groups, Table(values, "values"), n_jobs=n_jobs)
            assert sums == [values[i::3].sum() for i in range(3)]

    def test_errors_name_the_era(self):
        def fail(block):
            raise ValueError("it is broken")

        groups = group_eras(["a"], 1)
        with pytest.raises(ValueError, match="In era a: it is broken"):
            map_eras(fail, groups, Table(np.ones((1, 1)), "X"))
        with pytest.raises(ValueError, match=r"^it is broken"):
            map_eras(fail, group_eras(None, 1), Table(np.ones((1, 1)), "X"))

    def test_the_stream_is_read_only_as_needed(self):
        """Memory stays bounded: no era is read long before its turn."""
        read = []

        def tasks():
            for era in range(20):
                read.append(era)
                yield era, (np.ones(3),)

        results = stream_eras(np.sum, tasks())
        next(results)
        assert len(read) <= 2
        results.close()

    def test_uses_the_parallel_of_scikit_learn(self):
        assert _parallel.Parallel is Parallel  # which carries scikit-learn's config to the workers


def test_require_eras():
    require_eras(None, given_at_fit=False, caller="Some.transform")
    require_eras("X", given_at_fit=True, caller="Some.transform")
    with pytest.raises(MissingErasError, match=r"Some.transform was .* transform\(X, eras=eras\)"):
        require_eras(None, given_at_fit=True, caller="Some.transform")
