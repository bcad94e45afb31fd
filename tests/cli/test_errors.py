"""Bad input ends with one sentence and exit code 2, before any output is written."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("no_output")


@pytest.fixture
def clip(refused, write, tmp_path, tournament, predictions):
    """Clip with the given options in the place of good ones; gives the error message."""

    def call(**options):
        frame = options.pop("frame", predictions)
        arguments = {
            "predictions": write(frame) if "predictions" not in options else None,
            "features": tournament.validation,
            "output": tmp_path / "output.parquet",
        } | options
        words = []
        for name, value in arguments.items():
            words += [f"--{name.replace('_', '-')}", value]
        return refused("clip", *words)

    return call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_exposure": -1}, "--max-exposure is -1.0; pass a number between 0 and 1."),
        ({"max_exposure": "nan"}, "--max-exposure is nan; pass"),
        ({"max_exposure": "much"}, "Invalid value for '--max-exposure'"),
        ({"n_jobs": 0}, "--n-jobs is 0; pass 1 or more"),
        ({"bounds": "loose"}, "'loose' is not one of 'symmetric', 'shrink'"),
        ({"feature_set": "small", "feature_columns": "x"}, "exclude each other"),
        ({"features_json": "features.json"}, "--features-json is of use with --feature-set only"),
        ({"feature_set": "smal"}, "(did you mean 'small'?)"),
        ({"feature_columns": "("}, "--feature-columns '(' is no regular expression"),
        ({"feature_columns": "^x"}, "has no feature column that matches '^x'"),
        ({"feature_columns": "data_type"}, "Column 'data_type' of --features"),
        ({"era_column": "week"}, "has no era column 'week' (columns: 'era', 'data_type'"),
        ({"prediction_column": "linaer"}, "'linaer' is not in --predictions"),
        ({"prediction_column": "linaer"}, "(did you mean 'linear'?)"),
        ({"surprise": 1}, "No such option: --surprise"),
    ],
)
def test_options(clip, options, message):
    assert message in clip(**options)


def test_missing_option_and_unknown_command(refused):
    assert "Missing option '--predictions'" in refused("clip")
    assert "No such command 'clop'" in refused("clop")


@pytest.mark.parametrize("proportion", [-0.1, 1.5])
def test_proportion(refused, tmp_path, tournament, proportion):
    message = refused(
        *("neutralize", "--predictions", tournament.validation_example_preds),
        *("--features", tournament.validation, "--output", tmp_path / "output.csv"),
        *("--proportion", proportion),
    )
    assert f"--proportion is {proportion}; pass a number between 0 and 1." in message


@pytest.mark.parametrize("option", ["predictions", "features", "output"])
def test_extensions(clip, tmp_path, option):
    for name, found in (("data.txt", "extension '.txt'"), ("data", "no extension")):
        path = tmp_path / name
        path.write_text("x")
        message = clip(**{option: path})
        assert message.startswith(f"error: --{option} {path} has")
        assert found in message
        assert ".parquet" in message


@pytest.mark.parametrize("option", ["predictions", "features"])
def test_unreadable_inputs(clip, tmp_path, option):
    path = tmp_path / "absent.parquet"
    assert clip(**{option: path}).startswith(f"error: --{option} {path} does not exist")
    path = tmp_path / "folder.parquet"
    path.mkdir()
    assert f"--{option} {path} is a folder" in clip(**{option: path})
    path = tmp_path / "empty.parquet"
    path.touch()
    assert f"--{option} {path} is empty (0 bytes)" in clip(**{option: path})
    path = tmp_path / "corrupt.parquet"
    path.write_bytes(b"PAR1 and then nothing of the kind")
    message = clip(**{option: path})
    assert message.startswith(f"error: --{option} {path} is not a complete parquet file")


def test_truncated_and_damaged_features(clip, tmp_path, tournament):
    content = bytearray(tournament.validation.read_bytes())
    path = tmp_path / "truncated.parquet"
    path.write_bytes(content[: len(content) // 2])
    assert f"--features {path} is not a complete parquet file" in clip(features=path)
    path = tmp_path / "damaged.parquet"
    content[2000:6000] = os.urandom(0) + b"\xff" * 4000
    path.write_bytes(content)
    message = clip(features=path)
    assert f"--features {path}" in message
    assert "damaged" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty (0 bytes)"),
        ("id,prediction\n", "has no rows"),
        ('id,prediction\nn1,"0.5\n', "does not hold numbers"),
        ("id,prediction\nn1,0.5,3,4\nn2,1\nn3,1,2,3,4,5,6\n", "this is no CSV"),
        ("\xff\xfe\x00", "this is no CSV"),
        ("name,prediction\nn1,0.5\n", "has no column 'id' (columns: 'name', 'prediction')"),
        ("id,prediction\nn1,0.5\n,0.5\n", "has 1 of 2 rows without an id, first row 1"),
        ("id,model\nn1,a\nn2,b\n", "has no column 'prediction' and no other numeric one"),
        ("id,prediction\nn1,0.5\nn2,high\n", ", 1 of 2, first 'high' at id 'n2')"),
    ],
)
def test_csv_files(clip, tmp_path, content, message):
    path = tmp_path / "predictions.csv"
    path.write_bytes(content.encode("latin-1"))
    found = clip(predictions=path)
    assert f"--predictions {path}" in found
    assert message in found


def test_predictions_without_ids(clip, write, predictions):
    path = write(predictions.reset_index(drop=True))
    assert f"--predictions {path} has no column 'id'" in clip(predictions=path)


@pytest.mark.parametrize(
    ("values", "found"),
    [([np.nan], "1 NaN"), ([np.inf], "1 infinite"), ([np.nan, np.nan, -np.inf], "2 NaN and 1")],
)
@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_predictions_that_are_not_finite(clip, write, predictions, values, found, name):
    frame = predictions.copy()
    frame.iloc[5 : 5 + len(values), 1] = values
    message = clip(predictions=write(frame, name))
    assert found in message
    assert f"of 480 predictions, first in column 'other' at id '{frame.index[5]}'" in message


def test_repeated_ids(clip, predictions, validation, tmp_path):
    message = clip(frame=pd.concat([predictions, predictions.iloc[:2]]))
    assert f"has 2 repeated ids among 242 rows, first '{predictions.index[0]}'" in message
    path = tmp_path / "features.parquet"
    pd.concat([validation, validation.iloc[[7]]]).to_parquet(path)
    message = clip(features=path)
    assert f"--features {path} has 1 repeated ids among 241 rows" in message


def test_ids_without_features(clip, predictions, tournament):
    frame = predictions.rename(index={predictions.index[3]: "nobody"})
    message = clip(frame=frame)
    assert "1 of 240 ids of --predictions" in message
    assert f"are not in --features {tournament.validation}, first 'nobody'" in message
    assert "240 of 240 ids" in clip(features=tournament.train)


def test_partly_predicted_eras(clip, predictions, validation):
    eras = validation.loc[predictions.index, "era"]
    dropped = predictions.index[eras == "0006"][:5]
    message = clip(frame=predictions.drop(dropped))
    assert "1 of 4 eras are predicted in part" in message
    assert "lacks 5 of the 60 rows of era 0006, first" in message
    first = next(name for name in validation.index if name in set(dropped))
    assert repr(first) in message


def write_features(frame, tmp_path):
    path = tmp_path / "features.parquet"
    frame.to_parquet(path)
    return path


def test_features_without_ids_eras_or_rows(clip, validation, tmp_path):
    path = write_features(validation.reset_index(drop=True), tmp_path)
    assert f"--features {path} has no column 'id' and no index of ids" in clip(features=path)
    path = write_features(validation.drop(columns="era"), tmp_path)
    message = clip(features=path)
    assert f"--features {path} has no era column 'era'" in message
    assert "--era-column" in message
    assert "--single-era" in message
    path = write_features(validation.set_index("era", append=True), tmp_path)
    assert "has the era column 'era' as its index" in clip(features=path)
    many = validation.rename_axis("stock").set_index("target", append=True)
    assert "no index of ids" in clip(features=write_features(many, tmp_path))
    path = write_features(validation.reset_index().set_index("era"), tmp_path)
    assert "has the era column 'era' as its index" in clip(features=path)
    path = write_features(validation.iloc[:0], tmp_path)
    assert f"--features {path} has no rows" in clip(features=path)
    path = write_features(
        validation.assign(era=validation["era"].mask(validation.index == validation.index[9])),
        tmp_path,
    )
    assert "has missing values, first at row 9" in clip(features=path)


def test_features_that_are_not_finite(clip, validation, features, tmp_path):
    name = features.columns[4]
    frame = validation.astype({name: "float32"})
    frame.iloc[130, frame.columns.get_loc(name)] = np.nan
    message = clip(features=write_features(frame, tmp_path))
    assert "has 1 NaN or infinite of 540 values in era 0007" in message
    assert f"first in column '{name}' at id '{frame.index[130]}'" in message


def test_feature_sets_that_the_file_lacks(clip, tournament, validation, features, tmp_path):
    path = write_features(validation.drop(columns=features.columns[:2]), tmp_path)
    message = clip(features=path, feature_set="all", features_json=tournament.features)
    assert "--feature-set all: 2 of its 9 features are not in --features" in message
    message = clip(features=path, feature_set="all")
    assert "--feature-set all: There is no feature metadata at" in message


def test_outputs(clip, tmp_path, write, predictions):
    missing = tmp_path / "nowhere" / "output.csv"
    assert f"--output {missing}: the folder {missing.parent} does not exist" in clip(output=missing)
    file = tmp_path / "file"
    file.touch()
    assert "is not a folder" in clip(output=file / "output.csv")
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert f"--output {folder} is a folder" in clip(output=folder)
    path = write(predictions)
    same = tmp_path / "." / path.name
    message = clip(predictions=path, output=same)
    assert "is the same file as --predictions; name another file" in message
    link = tmp_path / "link.parquet"
    link.symlink_to(path)
    assert "is the same file as --predictions" in clip(predictions=path, output=link)
    pd.testing.assert_frame_equal(pd.read_parquet(path), predictions)


def test_output_in_a_folder_that_cannot_be_written_to(clip):
    folder = Path("/proc/self")
    if not folder.is_dir():
        pytest.skip("needs a folder that nobody can write to, such as /proc/self")
    assert "cannot be written to" in clip(output=folder / "output.csv")


def test_output_that_fails_in_the_end(clip, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    message = clip()
    output = tmp_path / "output.parquet"
    assert f"--output {output} could not be written (No space left on device)" in message


def test_outputs_are_checked_before_the_inputs_are_read(clip, tmp_path):
    message = clip(predictions=tmp_path / "absent.csv", output=tmp_path / "nowhere" / "output.csv")
    assert "--output" in message


def test_unexpected_errors_are_not_hidden(run, monkeypatch, tournament, tmp_path):
    def fail(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("sknumerai.streaming._clip_files.clipped_predictions", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(
            *("clip", "--predictions", tournament.validation_example_preds),
            *("--features", tournament.validation, "--output", tmp_path / "output.csv"),
        )
