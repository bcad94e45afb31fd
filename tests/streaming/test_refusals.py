"""What would be lost or misread in silence is refused."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.datasets import read_tournament, write_tournament
from sknumerai.model_selection import PurgedEraKFold
from tests.streaming._tables import make_predictions, make_rows

pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import clip_files, neutralize_files, score_files, tune_files


def test_parts_in_a_folder_of_a_folder(tmp_path, rows, predictions):
    folder = tmp_path / "parts"
    (folder / "more").mkdir(parents=True)
    rows.to_parquet(tmp_path / "rows.parquet")
    predictions.iloc[:100].to_parquet(folder / "a.parquet")
    predictions.iloc[100:].to_parquet(folder / "more" / "b.parquet")
    output = tmp_path / "output.parquet"
    with pytest.raises(ValueError, match=r"such as 'more/b.parquet', which would not be read"):
        neutralize_files(folder, tmp_path / "rows.parquet", output)
    (folder / "more").rename(folder / "_more")  # which is set aside
    with pytest.raises(ValueError, match="rows of era"):
        neutralize_files(folder, tmp_path / "rows.parquet", output)
    with pytest.raises(ValueError, match="features is 5; pass a path"):
        neutralize_files(folder, 5, output)


def test_odd_arguments(files):
    with pytest.raises(ValueError, match="overwrite is 'no'; pass True or False"):
        clip_files(*files, overwrite="no")
    with pytest.raises(TypeError, match=r"clip_files\(\) got an unexpected .* 'n_jobs'; it takes"):
        clip_files(*files, n_jobs=2)
    with pytest.raises(ValueError, match="output is None; pass the path"):
        neutralize_files(*files[:2], None)
    with pytest.raises(ValueError, match="scoring= names 'corr'; known are"):
        tune_files(files[0], files[1], files[1], scoring="corr")
    with pytest.raises(ValueError, match="metrics= names 'corr'; known are"):
        score_files(files[0], files[1], metrics=["corr"])


def test_splits_are_made_before_the_work(tmp_path, monkeypatch):
    rows = make_rows([30] * 6)
    make_predictions(rows).to_parquet(tmp_path / "p.parquet")
    rows.to_parquet(tmp_path / "rows.parquet")

    def work(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("sknumerai.streaming._tune_files.tune_era", work)
    paths = [tmp_path / "p.parquet", *[tmp_path / "rows.parquet"] * 2]
    with pytest.raises(ValueError, match="n_splits=50"):
        tune_files(*paths, cv=PurgedEraKFold(50))


def test_every_so_many_eras_in_the_order_of_eras(tmp_path):
    paths = write_tournament(tmp_path, n_eras=30, n_stocks=10, n_features=3, random_state=0)
    train = pd.read_parquet(paths.train)
    shuffled = train.sample(frac=1.0, random_state=0)
    shuffled.to_parquet(tmp_path / "shuffled.parquet")
    expected = sorted(train["era"].unique())[::3]
    for path in (paths.train, tmp_path / "shuffled.parquet"):
        found = read_tournament(path, columns=["target"], every=3)
        assert sorted(found["era"].unique()) == expected
    np.testing.assert_array_equal(found.index, shuffled.index[shuffled["era"].isin(expected)])
    with pytest.raises(ValueError, match="eras must be a list of era labels; found the int 25"):
        read_tournament(paths.train, eras=25)


def test_files_of_another_layout(tmp_path):
    size = {"n_eras": 3, "n_stocks": 10, "n_features": 3, "random_state": 0}
    write_tournament(tmp_path, **size, version="v5.3")
    with pytest.raises(
        ValueError, match=r"holds live_benchmark_models.parquet, which this version"
    ):
        write_tournament(tmp_path, **size, overwrite=True)
    write_tournament(tmp_path, **size, version="v5.3", overwrite=True)
    with pytest.raises(NotADirectoryError, match="is a file; name a folder"):
        write_tournament(tmp_path / "train.parquet", **size)
