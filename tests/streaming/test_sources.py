"""A table is a file, several, a folder of parts or a glob, by any writer and in any order."""

import gzip
import shutil
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from sknumerai.metrics import era_table
from sknumerai.neutralization import neutralize
from tests.streaming._tables import (
    FEATURES,
    WRITERS,
    make_predictions,
    make_rows,
    read,
    write_parquet,
)

pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import neutralize_files, score_files


@pytest.fixture(scope="module")
def expected(rows, predictions):
    table = predictions.loc[rows.index]
    return neutralize(table, rows[FEATURES], eras=rows["era"]).loc[predictions.index]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts"


@pytest.fixture
def check(files, expected):
    """Neutralize, and compare with the result in memory."""

    def call(predictions=files[0], rows=files[1], **options):
        neutralize_files(predictions, rows, files[2], overwrite=True, **options)
        written = read(files[2])
        wanted = expected.loc[written.index]
        pd.testing.assert_frame_equal(written, wanted, check_index_type=False, rtol=0, atol=1e-12)
        assert len(written) == len(expected)
        return written

    return call


@pytest.fixture
def refused(files):
    """The one sentence that says why files are refused; there is no output then."""

    def call(predictions=files[0], rows=files[1], output=files[2], **options):
        with pytest.raises((ValueError, OSError)) as error:
            neutralize_files(predictions, rows, output, **options)
        text = str(error.value)
        assert text.endswith(".")
        assert "\n" not in text
        assert not files[2].exists()
        return text

    return call


def cut(table, n_parts=3):
    """Parts of a table whose borders are not those of eras."""
    stops = np.linspace(0, len(table), n_parts + 1).astype(int)
    return [table.iloc[a:b] for a, b in pairwise(stops)]


def write_parts(table, folder, writers=("pandas",), **options):
    parts = cut(table)
    paths = [folder / f"part{i}.parquet" for i in range(len(parts))]
    for i, (path, part) in enumerate(zip(paths, parts, strict=True)):
        write_parquet(part, path, writers[i % len(writers)], **options)
    return paths


# --- ways to name one table -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, lambda path: path, lambda path: [path], lambda p: (str(p),)])
def test_one_file(files, check, kind):
    check(kind(files[0]), kind(files[1]))


def test_several_files(folder, rows, check, executor):
    """Eras span files; the files of a list may be in any order."""
    paths = write_parts(rows, folder, row_group_size=20)
    assert len({len(set(part["era"])) for part in cut(rows)} - {1}) > 0
    for source in (
        paths,
        [str(path) for path in paths],
        tuple(paths[::-1]),
        folder,
        str(folder),
        f"{folder}/part*.parquet",
        f"{folder}/part[0-2].parquet",
        [f"{folder}/part[01].parquet", paths[2]],
        [folder],
    ):
        check(rows=source)
    check(rows=paths[::-1], executor=executor)


@pytest.mark.parametrize("compressed", [False, True])
def test_csv_files(tmp_path, predictions, check, compressed):
    (tmp_path / "csv").mkdir()
    paths = []
    for i, part in enumerate(cut(predictions)):
        paths.append(tmp_path / "csv" / f"part{i}.csv{'.gz' * compressed}")
        content = part.to_csv().encode()
        paths[-1].write_bytes(gzip.compress(content) if compressed else content)
    for source in (paths, tmp_path / "csv", f"{tmp_path}/csv/part*"):
        written = check(source)
        assert written.index.equals(predictions.index)
    check(paths[::-1])
    whole = tmp_path / f"whole.csv{'.gz' * compressed}"
    predictions.to_csv(whole)
    check(whole)


def test_csv_files_with_whole_numbers(tmp_path, rows, files):
    """Where one file has only such, and another has not."""
    predictions = make_predictions(rows).round(1)
    whole = predictions["prediction"] % 1 == 0
    assert 0 < whole.sum() < len(whole)
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    predictions[whole].astype(int).to_csv(paths[0])
    predictions[~whole].to_csv(paths[1])
    neutralize_files(paths, files[1], files[2])
    table = predictions.loc[rows.index]
    expected = neutralize(table, rows[FEATURES], eras=rows["era"])
    pd.testing.assert_frame_equal(read(files[2]).loc[rows.index], expected, rtol=0, atol=1e-12)


def test_csv_and_parquet(tmp_path, predictions, check):
    a, b, c = cut(predictions)
    a.to_csv(tmp_path / "a.csv")
    b.to_parquet(tmp_path / "b.parquet")
    c.reset_index().to_parquet(tmp_path / "c.parquet")
    check([tmp_path / name for name in ("a.csv", "b.parquet", "c.parquet")])


def test_all_tables_of_scores(tmp_path, rows, predictions):
    """In parts, each."""
    values = np.random.default_rng(0).normal(size=(len(rows), 2))
    references = pd.DataFrame(values, rows.index, ["meta_model", "benchmark"])
    sources = {}
    for name, table in (
        ("targets", rows[["era", "target"]]),
        ("features", rows.drop(columns="target").sample(frac=1.0, random_state=0)),
        ("meta_model", references[["meta_model"]]),
        ("benchmark", references[["benchmark"]].sample(frac=1.0, random_state=2)),
        ("predictions", predictions),
    ):
        sources[name] = tmp_path / name
        sources[name].mkdir()
        write_parts(table, sources[name])
    own = predictions.loc[rows.index, "prediction"]
    options = {"eras": rows["era"], "features": rows[FEATURES]}
    expected = era_table(rows["target"], own, **options, **references)
    pd.testing.assert_frame_equal(score_files(**sources), expected, rtol=0, atol=1e-12)


# --- writers, types, orders -----------------------------------------------------------------------


@pytest.mark.parametrize("row_group_size", [1, 7, None])
@pytest.mark.parametrize("order", ["forward", "backward", "scattered"])
@pytest.mark.parametrize("name", [None, "threads"])
def test_order_of_eras(folder, rows, check, pools, small_tasks, order, row_group_size, name):
    if row_group_size == 1:
        rows = rows.sample(frac=1.0, random_state=0).sort_values("era", kind="stable")
    table = {
        "forward": rows,
        "backward": rows[::-1],
        "scattered": rows.sample(frac=1.0, random_state=1),
    }[order]
    write_parts(table, folder, row_group_size=row_group_size)
    check(rows=folder, executor=name and pools[name])


@pytest.mark.parametrize("writer", WRITERS)
def test_writers(tmp_path, rows, predictions, check, writer):
    write_parquet(rows, tmp_path / "a.parquet", writer, row_group_size=50)
    write_parquet(predictions, tmp_path / "b.parquet", writer, row_group_size=50)
    check(tmp_path / "b.parquet", tmp_path / "a.parquet")
    check(rows=tmp_path / "a.parquet")
    check(tmp_path / "b.parquet")


@pytest.mark.parametrize("first", WRITERS)
def test_predictions_by_several_writers(folder, predictions, check, first):
    others = [writer for writer in WRITERS if writer != first]
    for second, third in pairwise(others):
        check(write_parts(predictions, folder, (first, second, third)))


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in WRITERS for b in WRITERS if a != b])
def test_rows_by_several_writers(folder, rows, check, first, second):
    """Ids are the index or a column; text is short or long."""
    check(rows=write_parts(rows, folder, (first, second)))


def test_text_of_two_kinds_by_pandas(folder, rows, check):
    """As pandas 2 and pandas 3 write it; the ids are of one kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = write_parts(rows, folder)
    table = pq.read_table(paths[1])
    position = table.column_names.index("era")
    pq.write_table(table.set_column(position, "era", table["era"].cast(pa.string())), paths[1])
    assert pq.read_schema(paths[0]).field("era").type == pa.large_string()
    assert pq.read_schema(paths[1]).field("era").type == pa.string()
    check(rows=paths)


@pytest.mark.parametrize("parts", [False, True])
def test_eras_as_categories(folder, rows, check, parts):
    table = rows.assign(era=rows["era"].astype("category"))
    check(rows=write_parts(table, folder) if parts else write_parquet(table, folder / "a.parquet"))


def test_other_types_of_eras(tmp_path, rows, check):
    for eras in (
        rows["era"].astype(int),
        rows["era"].astype(float),
        pd.to_datetime("2020-01-" + rows["era"].str[2:]),
    ):
        check(rows=write_parquet(rows.assign(era=eras), tmp_path / "a.parquet"))


def test_columns_in_another_order(folder, rows, check):
    paths = write_parts(rows, folder)
    table = pd.read_parquet(paths[1])
    table[table.columns[::-1]].to_parquet(paths[1])
    check(rows=folder)


def test_parts_without_rows(folder, rows, check):
    paths = write_parts(rows, folder)
    pd.read_parquet(paths[0])[:0].to_parquet(folder / "a.parquet")
    pd.read_parquet(paths[0])[:0].to_parquet(folder / "part1_5.parquet")
    check(rows=folder)


def test_ids_of_another_name(tmp_path, rows, predictions, check):
    rows.rename_axis("stock").to_parquet(tmp_path / "a.parquet")
    predictions.rename_axis("ticker").to_parquet(tmp_path / "b.parquet")
    check(tmp_path / "b.parquet", tmp_path / "a.parquet")


# --- what is no part ------------------------------------------------------------------------------


def test_hidden_files_are_ignored(folder, rows, predictions, check):
    write_parts(rows, folder)
    for name in ("_metadata", "_SUCCESS", ".hidden.parquet", "_temporary.parquet", "notes.txt"):
        (folder / name).write_text("something else")
    predictions.to_csv(folder / "predictions.csv")  # no parquet
    check(rows=folder)
    (folder / "_temporary.parquet").unlink()
    check(rows=f"{folder}/*.parquet")


def test_upper_case(folder, rows, predictions, check):
    write_parquet(rows, folder / "ROWS.PARQUET")
    check(rows=folder)


def test_names_that_look_like_patterns(tmp_path, rows, check):
    """A file of that name is meant."""
    for name in ("a[1].parquet", "b?.parquet"):
        write_parquet(rows, tmp_path / name)
        (tmp_path / name.replace("[1]", "1").replace("?", "x")).write_text("no parquet")
        check(rows=tmp_path / name)


# --- refusals -------------------------------------------------------------------------------------


def test_nothing_there(folder, refused):
    assert "is a folder without .parquet files" in refused(rows=folder)
    assert "is a folder without .csv or .csv.gz or .parquet files" in refused(folder)
    assert "matches no file; check the pattern" in refused(rows=f"{folder}/*.parquet")
    assert "matches no file; check the pattern" in refused(f"{folder}/*.csv")
    assert "features is an empty list; name at least one file" in refused(rows=[])
    assert "predictions is an empty list" in refused(())
    assert "does not exist" in refused(rows=[folder / "a.parquet", folder / "b.parquet"])


def test_a_file_named_twice(files, folder, rows, refused):
    paths = write_parts(rows, folder)
    for source in ([*paths, paths[0]], [folder, paths[1]], [str(paths[0]), paths[0]]):
        text = refused(rows=source)
        assert "features names" in text
        assert "twice; name every file once" in text
    assert "predictions names" in refused([files[0], files[0]])
    again = folder / ".." / folder.name / paths[0].name
    assert "repeated ids among" in refused(rows=[*paths, again])
    copy = shutil.copy(paths[0], folder / "copy.parquet")
    assert "repeated ids among" in refused(rows=[*paths, copy])


CHANGES = {
    "a column less": (lambda part: part.drop(columns=FEATURES[2]), FEATURES[2]),
    "a column more": (lambda part: part.assign(other=1.0), "other"),
    "other numbers": (lambda part: part.astype({FEATURES[1]: np.int16}), FEATURES[1]),
    "numbers for text": (lambda part: part.assign(era=part["era"].astype(int)), "era"),
    "categories": (lambda part: part.assign(era=part["era"].astype("category")), "era"),
    "other ids": (lambda part: part.rename_axis("stock"), "id"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_parts_that_differ(folder, rows, refused, name):
    change, column = CHANGES[name]
    paths = write_parts(rows, folder)
    change(pd.read_parquet(paths[2])).to_parquet(paths[2])
    text = refused(rows=folder)
    assert f"the parts '{paths[0]}' and '{paths[2]}' differ" in text
    assert f"such as {column!r}" in text
    assert "pass parts with the same columns and types" in text


def test_predictions_that_differ(tmp_path, predictions, refused):
    a, b, _ = cut(predictions)
    a.to_csv(tmp_path / "a.csv")
    b.rename(columns={"prediction": "other"}).to_csv(tmp_path / "b.csv")
    text = refused([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert f"predictions='{tmp_path}/a.csv' and 1 more has {len(b)} NaN of" in text
    assert f"at id {b.index[0]!r}" in text


def test_predictions_of_other_types(tmp_path, predictions, refused):
    a, b, _ = cut(predictions)
    a.to_csv(tmp_path / "a.csv")
    b.assign(prediction="x").to_csv(tmp_path / "b.csv")
    assert "such as 'prediction'" in refused([tmp_path / "a.csv", tmp_path / "b.csv"])


@pytest.mark.parametrize(("first", "second"), [("X", 1200), ("", 0.5), (True, 1)])
def test_other_columns_may_be_of_any_type(tmp_path, predictions, check, first, second):
    """Such as the eras of live predictions beside those of others."""
    for name, part, value in zip("abc", cut(predictions), (first, second, "eraX"), strict=True):
        part.assign(era=value).to_csv(tmp_path / f"{name}.csv")
    check([tmp_path / f"{name}.csv" for name in "abc"])


def test_an_output_that_is_a_part(files, folder, rows, predictions, refused):
    paths = write_parts(rows, folder)
    before = [path.read_bytes() for path in paths]
    for source in (folder, str(folder), paths, f"{folder}/*.parquet", [folder]):
        text = refused(rows=source, output=paths[1], overwrite=True)
        assert f"output='{paths[1]}' is the same file as features=" in text
    assert [path.read_bytes() for path in paths] == before
    (folder / "predictions").mkdir()
    write_parts(predictions, folder / "predictions")
    link = folder / "link.parquet"
    link.symlink_to(folder / "predictions" / "part0.parquet")
    text = refused(folder / "predictions", output=link, overwrite=True)
    assert "is the same file as predictions=" in text


def test_damaged_parts(folder, rows, refused):
    paths = write_parts(rows, folder)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: len(content) // 2])
    text = refused(rows=folder)
    assert f"features='{paths[1]}' is not a complete parquet file" in text
    paths[1].write_bytes(b"")
    assert f"features='{paths[1]}' is empty (0 bytes)" in refused(rows=folder)


def test_no_rows_at_all(folder, refused):
    make_rows((3,))[:0].to_parquet(folder / "a.parquet")
    make_rows((3,))[:0].to_parquet(folder / "b.parquet")
    assert "has no rows" in refused(rows=folder)
