"""Odd files and command lines: a result, or one sentence and exit code 2."""

import datetime
import decimal
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.usefixtures("no_output")

N = 240
FEATURE = "feature_a"
IDS = [f"n{i:03d}" for i in range(N)]
ERAS = [f"{1 + i // 60:04d}" for i in range(N)]
RANDOM = np.random.default_rng(0).random(N)
DAY = datetime.datetime(2020, 1, 3, tzinfo=datetime.UTC)


def table(**columns):
    """Ids, eras, two features and targets, as a writer other than pandas leaves them."""
    rng = np.random.default_rng(1)
    good = {
        "id": IDS,
        "era": ERAS,
        FEATURE: rng.integers(0, 5, N).astype("int8"),
        "feature_b": rng.integers(0, 5, N).astype("int8"),
        "target": rng.integers(0, 5, N) / 4,
    }
    return pa.table(good | columns)


def with_metadata(text):
    return table().replace_schema_metadata({b"pandas": text.encode()})


def with_column_twice(name):
    good = table()
    return pa.table([*good.columns, good[name]], names=[*good.column_names, name])


def csv(values="0.5", header="id,prediction", separator=","):
    values = [values] * N if isinstance(values, str) else values
    rows = [f"{name}{separator}{value}" for name, value in zip(IDS, values, strict=True)]
    return "\n".join([header, *rows, ""])


def numbers(size=1.0, dtype="float64"):
    return pa.array((RANDOM * size).astype(dtype))


@pytest.fixture
def predictions(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(csv(RANDOM))
    return path


@pytest.fixture
def clip(tmp_path, predictions):
    def words(features, *more):
        path = tmp_path / "features.parquet"
        pq.write_table(features, path)
        output = tmp_path / "out.csv"
        return "clip", "--predictions", predictions, "--features", path, "--output", output, *more

    return words


USABLE = {
    "plain": table(),
    "dictionary": table(era=pa.array(ERAS).dictionary_encode()),
    "dictionary of numbers": table(era=pa.array([int(e) for e in ERAS]).dictionary_encode()),
    "integers": table(era=pa.array([int(e) for e in ERAS])),
    "floats": table(era=pa.array([float(e) for e in ERAS])),
    "dates": table(era=[(DAY + datetime.timedelta(7 * int(e))).date() for e in ERAS]),
    "time zone": table(era=[DAY + datetime.timedelta(7 * int(e)) for e in ERAS]),
    "year 9000": table(era=[datetime.datetime(9000, 1, int(e)) for e in ERAS]),
    "large strings": table(
        era=pa.array(ERAS, pa.large_string()), id=pa.array(IDS, pa.large_string())
    ),
    "bytes as ids": table(id=[name.encode() for name in IDS]),
    "dictionary as ids": table(id=pa.array(IDS).dictionary_encode()),
    "half precision": table(**{FEATURE: numbers(5, "float16")}),
    "single precision": table(**{FEATURE: numbers(3e38, "float32")}),
    "large integers": table(**{FEATURE: numbers(1.8e19, "uint64")}),
    "dictionary as feature": table(**{FEATURE: pa.array(range(N)).dictionary_encode()}),
    "no columns of pandas": with_metadata('{"index_columns": [], "columns": []}'),
    "other alphabets": table(**{"feature_ü\U0001f600": numbers()}),
}


@pytest.mark.parametrize("single", [[], ["--single-era"]], ids=["eras", "single era"])
@pytest.mark.parametrize("name", USABLE)
def test_files_that_can_be_used(run, clip, tmp_path, name, single):
    """Also with ids that no pandas metadata makes the index, which --single-era did not find."""
    result = run(*clip(USABLE[name], *single, "--quiet"))
    assert (result.code, result.err) == (0, "")
    assert pd.read_csv(tmp_path / "out.csv")["id"].tolist() == IDS


@pytest.mark.parametrize("ids_as", ["column", "pandas index"])
def test_single_era_gives_the_same_whoever_wrote_the_file(run, clip, tmp_path, ids_as):
    assert run(*clip(table(), "--single-era", "--quiet")).code == 0
    expected = (tmp_path / "out.csv").read_bytes()
    frame = table().to_pandas()
    features = pa.Table.from_pandas(frame.set_index("id") if ids_as == "pandas index" else frame)
    assert run(*clip(features, "--single-era", "--quiet", "--overwrite")).code == 0
    assert (tmp_path / "out.csv").read_bytes() == expected


REFUSED = {
    "lists as eras": (table(era=[[e] for e in ERAS]), "column 'era' of --features"),
    "records as eras": (table(era=[{"a": e} for e in ERAS]), "holds no single labels (type struct"),
    "maps as eras": (
        table(era=pa.array([[("a", e)] for e in ERAS], pa.map_(pa.string(), pa.string()))),
        "write one text or number per row",
    ),
    "NaN as era": (table(era=[float("nan"), *map(float, ERAS[1:])]), "has missing values"),
    "no eras at all": (table(era=pa.nulls(N)), "first at row 0 (240 in 240"),
    "numbers as ids": (table(id=range(N)), "240 of 240 ids of --predictions"),
    "no ids at all": (table(id=pa.nulls(N)), "has 240 of 240 rows without an id"),
    "lists as ids": (table(id=[[name] for name in IDS]), "column 'id' of --features"),
    "one date as ids": (table(id=[DAY] * N), "has 239 repeated ids"),
    "text as feature": (table(**{FEATURE: ["1"] * N}), "does not hold numbers (type string)"),
    "lists as feature": (table(**{FEATURE: [[1]] * N}), "does not hold numbers (type list"),
    "booleans as feature": (table(**{FEATURE: [True] * N}), "does not hold numbers (type bool)"),
    "decimals as feature": (table(**{FEATURE: [decimal.Decimal(1)] * N}), "(type decimal128"),
    "nothing as feature": (table(**{FEATURE: pa.nulls(N)}), "does not hold numbers (type null)"),
    "missing integer": (table(**{FEATURE: [None, *range(N - 1)]}), "has 1 NaN or infinite of 120"),
    "1e308": (table(**{FEATURE: [1e308, *RANDOM[1:]]}), "has 1 larger than 1e+100 of 120 values"),
    "repeated column": (with_column_twice("target"), "has 1 columns with a name that another"),
    "repeated eras": (with_column_twice("era"), "first 'era'; keep one column each"),
    "no columns": (pa.table({}), "has no rows"),
    "no rows": (table().slice(0, 0), "has no rows"),
    "one row": (table().slice(0, 1), "239 of 240 ids"),
    "metadata that are no JSON": (with_metadata("{"), "is not as pandas writes it"),
    "metadata that are a list": (with_metadata("[1]"), "is not as pandas writes it"),
    "metadata of other types": (with_metadata('{"index_columns": 5}'), "is not as pandas writes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(refused, clip, tmp_path, name):
    features, message = REFUSED[name]
    text = refused(*clip(features))
    assert message in text
    assert f"--features {tmp_path / 'features.parquet'}" in text
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "text", ['{"index_columns": ["id"], "columns": 3}', '{"index_columns": ["no"], "columns": []}']
)
def test_metadata_that_pandas_cannot_read_are_not_needed(run, clip, text):
    assert run(*clip(with_metadata(text), "--single-era")).code == 0


TABLES = {
    "repeated": (csv("1,2", "id,prediction,prediction"), "first 'prediction'; keep one column"),
    "repeated ids": (csv("1,2", "id,id,prediction"), "first 'id'; keep one column each"),
    "header only": ("id,prediction", "this is no CSV"),
    "semicolons": (csv("1", "id;prediction", ";"), "has no column 'id' (columns: 'id;prediction')"),
    "decimal commas": (csv("1,5", "id;prediction", ";"), "this is no CSV"),
    "UTF-16": (csv("1").encode("utf-16"), "this is no CSV"),
    "zeros": (b"\0" * 1000, "this is no CSV"),
    "codes for terminals": (b"a,b\n\x1b[31m" + b"x" * 5000 + b"\n", "[31mxxx"),
    "booleans": (csv("true"), "does not hold numbers (type bool"),
    "days": (csv("2020-01-01"), "does not hold numbers (type date32[day], 240 of 240"),
    "1e400": (csv("1e400"), "has 240 infinite of 240 predictions"),
    "1e308": (csv("1e308"), "has 240 larger than 1e+100 of 240 predictions"),
    "long number": (csv("9" * 1000), "has 240 infinite of 240 predictions"),
    "spaces around ids": (csv("1", separator=" ,"), "240 of 240 ids"),
    "invalid text": (b"id,prediction\n\xed\xa0\x80,1\n", "this is no CSV"),
    "long name": (f"{'x' * 100_000},b\n1,2\n", "write the file with the ids of the rows"),
    "a web page": ("<html>404, not found</html>\n", "has no rows"),
}


@pytest.mark.parametrize("name", TABLES)
def test_csv_files_that_are_refused(refused, clip, predictions, name):
    words = clip(table())
    content, message = TABLES[name]
    predictions.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = refused(*words)
    assert message in text
    assert len(text) < 1000
    assert text.isprintable()


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.strip()])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_files_of_other_systems(run, clip, predictions, tmp_path, change, end):
    words = clip(table(), "--quiet", "--overwrite")
    assert run(*words).code == 0
    expected = (tmp_path / "out.csv").read_bytes()
    text = change(predictions.read_text())
    predictions.write_text(text.replace("\n", end), encoding="utf-8", newline="")
    assert run(*words).code == 0
    assert (tmp_path / "out.csv").read_bytes() == expected


SETS = {
    "number": ({"small": 5}, "has the feature set 'small', which is not a list of names"),
    "text": ({"small": "abc"}, "is not a list of names"),
    "nothing": ({"small": None}, "is not a list of names"),
    "numbers": ({"small": [1, 2]}, "is not a list of names"),
    "record": ({"small": {"a": 1}}, "is not a list of names"),
    "empty": ({"small": []}, "has no features; name another one"),
    "eras": ({"small": ["era"]}, "1 of its 1 features are not in --features"),
    "no sets": (["small"], "has no 'feature_sets'"),
}


@pytest.mark.parametrize("name", SETS)
def test_feature_sets_that_are_refused(refused, clip, tmp_path, name):
    sets, message = SETS[name]
    path = tmp_path / "features.json"
    path.write_text(json.dumps({"feature_sets": sets}))
    assert message in refused(*clip(table()), "--feature-set", "small")


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "\ufeff", "[1", "NaN"])
def test_json_that_is_refused(refused, clip, tmp_path, text):
    path = tmp_path / "features.json"
    path.write_text(text)
    assert f"{path} " in refused(*clip(table()), "--feature-set", "small")


def test_features_named_twice_count_once(run, clip, tmp_path):
    sets = {"feature_sets": {"small": [FEATURE, FEATURE, "feature_b"]}}
    (tmp_path / "features.json").write_text(json.dumps(sets))
    assert " 2 features in" in run(*clip(table()), "--feature-set", "small").out


ARGUMENTS = {
    "n_jobs of 0": (["--n-jobs", "0"], "--n-jobs is 0; pass 1 or more, or -1"),
    "n_jobs of 1.5": (["--n-jobs", "1.5"], "Invalid value for '--n-jobs'"),
    "infinite limit": (["--max-exposure", "inf"], "--max-exposure is inf; pass a number"),
    "no limit": (["--max-exposure", ""], "Invalid value for '--max-exposure'"),
    "no era column": (["--era-column", ""], "has no era column ''"),
    "ids as eras": (["--era-column", "id"], "has the era column 'id' as its index"),
    "no prediction column": (["--prediction-column", ""], "--prediction-column '' is not in"),
    "deep expression": (["--feature-columns", "(" * 5000], "is no regular expression"),
    "no feature set": (["--feature-set", ""], "There is no feature metadata"),
    "no such option": (["--nope"], "No such option: --nope"),
    "one word too many": (["word"], "Got unexpected extra argument(s) (word)"),
    "flag with a value": (["--quiet=1"], "does not take a value"),
    "no value": (["--predictions"], "requires an argument"),
    "empty output": (["--output", ""], "--output . has no extension"),
    "folder as features": (["--features", "."], "--features . is a folder without .parquet files"),
    "long predictions": (["--predictions", "x" * 300 + ".csv"], "(File name too long)"),
    "long features": (
        ["--features", "x" * 300 + ".parquet"],
        "cannot be read (File name too long)",
    ),
    "long output": (["--output", "x" * 300 + ".csv"], "cannot be written to (File name too long)"),
    "long json": (["--feature-set", "a", "--features-json", "x" * 300], "File name too long"),
    "long folder": (["--output", "x" * 300 + "/a.csv"], "File name too long"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_that_are_refused(refused, clip, name):
    words, message = ARGUMENTS[name]
    assert message in refused(*clip(table()), *words)


@pytest.mark.parametrize("n_jobs", ["-99999999999999999999", "1"])
def test_jobs_are_at_most_the_processors(run, clip, monkeypatch, n_jobs):
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    assert run(*clip(table()), "--n-jobs", n_jobs, "--quiet").code == 0
    assert run(*clip(table()), "--n-jobs", "999", "--quiet", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--n-eras", 10_000, "--n-eras is 10000; pass 9999 or less."),
        ("--seed", 2**32, "--seed is 4294967296; pass 4294967295 or less."),
        ("--n-features", 10**9, "pass 1000000 or less."),
        ("--n-stocks", 3, "--n-stocks is 3; pass 20 or more."),
        ("--output-dir", "x" * 300, "cannot be written to (File name too long)"),
    ],
)
def test_demo(refused, option, value, message):
    assert message in refused("demo", option, value)


@pytest.fixture
def special(tmp_path):
    """What is neither a file nor absent, by name."""
    if os.name != "posix":
        pytest.skip("needs POSIX files")
    os.mkfifo(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.parquet")
    for name, target in (
        ("full.csv", "/dev/full"),
        ("loop.csv", tmp_path / "loop.csv"),
        ("lost.csv", tmp_path / "nowhere" / "x.csv"),
        ("soft.csv", tmp_path / "predictions.csv"),
    ):
        os.symlink(target, tmp_path / name)
    os.link(tmp_path / "predictions.csv", tmp_path / "hard.csv")
    (tmp_path / "folder.csv").mkdir()
    return tmp_path


def test_special_files(refused, clip, predictions, special):
    words = clip(table(), "--overwrite")
    for name, message in {
        "pipe.csv": "is a pipe or a device",
        "full.csv": "is a pipe or a device",
        "loop.csv": "cannot be written to (Too many levels of symbolic links)",
        "lost.csv": "does not exist; make it or name another one",
        "soft.csv": "is the same file as --predictions",
        "hard.csv": "is the same file as --predictions",
        "folder.csv": "is a folder",
    }.items():
        assert message in refused(*words, "--output", special / name)
    assert "is a pipe" in refused(*words, "--predictions", special / "pipe.csv")
    assert "is a pipe" in refused(*words, "--features", special / "pipe.parquet")
    assert "cannot be read" in refused(*words, "--predictions", special / "loop.csv")
    assert predictions.read_text() == csv(RANDOM)


def test_outputs_that_are_one_file(refused, clip, predictions, tmp_path):
    _, _, _, _, features, *_ = clip(table())
    os.symlink(tmp_path / "a.png", tmp_path / "a.csv")
    outputs = "--per-era", tmp_path / "a.csv", "--plot", tmp_path / "a.png"
    text = refused("score", "--predictions", predictions, "--targets", features, *outputs)
    assert "is the same file as --plot" in text


@pytest.mark.parametrize("length", [125, 250])
def test_long_names_of_outputs(run, clip, length):
    name = "ü" * 120 if length == 125 else "x" * 250
    path = Path(clip(table())[6]).with_name(f"{name}.csv")
    assert run(*clip(table()), "--output", path, "--quiet").code == 0
    assert path.exists()
