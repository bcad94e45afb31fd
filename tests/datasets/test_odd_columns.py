"""Columns that hold no single labels, or have no names of their own, are named in one sentence."""

import pytest

from sknumerai.datasets import EraReader, read_tournament

pa = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")

TABLES = {
    "lists": (pa.table({"era": [["1"], ["2"]], "x": [1, 2]}), "column 'era' of path=.*list<"),
    "records": (pa.table({"era": [{"a": 1}] * 2, "x": [1, 2]}), "column 'era' of path=.*struct<"),
    "lists as ids": (pa.table({"era": [1, 2], "id": [[1], [2]]}), "column 'id' of path=.*list<"),
    "names": (
        pa.table([pa.array([1, 2])] * 3, names=["era", "x", "x"]),
        "has 1 columns with a name that another column has, first 'x'; keep one column each",
    ),
}


@pytest.mark.parametrize("read", [EraReader, read_tournament])
@pytest.mark.parametrize("name", TABLES)
def test_refused(tmp_path, read, name):
    table, message = TABLES[name]
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    with pytest.raises(ValueError, match=message):
        read(path)
