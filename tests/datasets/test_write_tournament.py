"""Files hold what make_tournament returns, and none is ever half-written."""

import numpy as np
import pandas as pd
import pytest

from sknumerai.datasets import iter_eras, make_tournament, read_feature_sets, write_tournament
from sknumerai.datasets._generator import TournamentGenerator

pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")

SIZE = {"n_eras": 7, "n_stocks": 60, "n_features": 50, "random_state": 0}
FILES = {
    "train",
    "train_example_preds",
    "validation",
    "validation_example_preds",
    "live",
    "live_example_preds",
    "meta_model",
    "features",
}


@pytest.fixture(scope="module")
def expected():
    return make_tournament(**SIZE, live=True)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tournament") / "v5.0"
    return write_tournament(folder, **SIZE, n_validation_eras=2, eras_per_row_group=2)


def test_files_hold_the_tournament(paths, expected):
    assert set(paths) == FILES
    assert {path.name for path in paths.train.parent.iterdir()} == {
        path.name for path in paths.values()
    }
    frame = expected.frame.drop(columns=["example_predictions", "meta_model", "data_type"])
    parts = [pd.read_parquet(paths[name]) for name in ("train", "validation", "live")]
    for part, name in zip(parts, ("train", "validation", "live"), strict=True):
        assert part["data_type"].eq(name).all()
    pd.testing.assert_frame_equal(pd.concat(parts).drop(columns="data_type"), frame)
    assert parts[2]["era"].eq("X").all()
    assert parts[2]["target"].isna().all()


def test_predictions_and_meta_model(paths, expected):
    parts = [
        pd.read_parquet(paths[f"{name}_example_preds"]) for name in ("train", "validation", "live")
    ]
    assert parts[0].columns.tolist() == ["prediction"]
    prediction = pd.concat(parts)["prediction"]
    pd.testing.assert_series_equal(prediction, expected.example_predictions, check_names=False)

    meta_model = pd.read_parquet(paths.meta_model)
    assert meta_model.columns.tolist() == ["era", "data_type", "numerai_meta_model"]
    assert meta_model["era"].unique().tolist() == ["0006", "0007"]
    pd.testing.assert_series_equal(
        meta_model["numerai_meta_model"],
        expected.meta_model.loc[meta_model.index],
        check_names=False,
    )


def test_layout(paths):
    file = pq.ParquetFile(paths.train)
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [120, 120, 60]
    types = {str(field.type) for field in file.schema_arrow if field.name.startswith("feature_")}
    assert types == {"int8"}
    assert [str(file.schema_arrow.field(name).type) for name in ("era", "id", "target")] == [
        "string",
        "string",
        "float",
    ]


def test_feature_sets(paths, expected):
    sets = read_feature_sets(paths.features)
    assert set(sets) == {"small", "medium", "all", *expected.feature_groups}
    assert sets["all"] == expected.feature_names
    assert set(sets["small"]) < set(sets["medium"]) < set(sets["all"])
    assert {name: sets[name] for name in expected.feature_groups} == expected.feature_groups
    small = dict(iter_eras(paths.train, feature_set="small"))
    assert small["0001"].columns.tolist() == [
        "era",
        "data_type",
        *sets["small"],
        "target",
        "target_60",
    ]


def test_existing_files_are_kept_unless_overwritten(tmp_path):
    size = SIZE | {"n_eras": 3}
    paths = write_tournament(tmp_path, **size)
    before = paths.train.read_bytes()
    with pytest.raises(FileExistsError, match=r"already holds .*train\.parquet.*overwrite=True"):
        write_tournament(tmp_path, **size | {"random_state": 1})
    assert paths.train.read_bytes() == before
    write_tournament(tmp_path, **size | {"random_state": 1}, overwrite=True)
    assert paths.train.read_bytes() != before


@pytest.mark.parametrize("fail_at", [0, 4, 7])
def test_a_failure_leaves_no_file(tmp_path, monkeypatch, fail_at):
    era = TournamentGenerator.era

    def fail(self, number):
        if number == fail_at:
            raise KeyboardInterrupt
        return era(self, number)

    monkeypatch.setattr(TournamentGenerator, "era", fail)
    with pytest.raises(KeyboardInterrupt):
        write_tournament(tmp_path, **SIZE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("n_validation_eras", "absent"), [(0, "validation"), (7, "train")])
def test_files_without_rows_are_not_written(tmp_path, n_validation_eras, absent):
    paths = write_tournament(tmp_path, **SIZE, n_validation_eras=n_validation_eras)
    gone = {absent, f"{absent}_example_preds"} | ({"meta_model"} if absent != "train" else set())
    assert set(paths) == FILES - gone


def test_row_order_does_not_depend_on_row_groups(tmp_path, paths):
    other = write_tournament(tmp_path, **SIZE, n_validation_eras=2, eras_per_row_group=100)
    pd.testing.assert_frame_equal(pd.read_parquet(other.train), pd.read_parquet(paths.train))
    assert np.array_equal(other.features.read_bytes(), paths.features.read_bytes())
