"""Downloads are resumed, kept or renewed, and never look complete when they are not."""

import os
import time

import pytest

from sknumerai.datasets import fetch_tournament

VERSION_5 = ("train.parquet", "validation.parquet", "live.parquet", "features.json")


def parquet_bytes(content):
    """What looks like a parquet file from outside: magic, content, footer, its length, magic."""
    return b"PAR1" + content + b"footer" + (6).to_bytes(4, "little") + b"PAR1"


class StandIn:
    """Does with files what numerapi does: skip by size, write to ``.temp``, resume, rename."""

    def __init__(self, files, fail_after=None, silent=False):
        self.files = files
        self.fail_after = fail_after
        self.silent = silent
        self.calls = []
        self.sent = {}

    def list_datasets(self):
        return list(self.files)

    def download_dataset(self, name, path):
        self.calls.append(name)
        content = self.files[name]
        if os.path.exists(path) and os.path.getsize(path) == len(content):
            return path
        temporary = path + ".temp"
        done = os.path.getsize(temporary) if os.path.exists(temporary) else 0
        self.sent[name] = 0
        with open(temporary, "ab") as file:
            for start in range(done, len(content), 10):
                if self.fail_after is not None and start - done >= self.fail_after:
                    if self.silent:
                        break
                    raise ConnectionError("lost")
                file.write(content[start : start + 10])
                self.sent[name] += 10
        os.replace(temporary, path)
        return path


@pytest.fixture
def files():
    files = {f"v5.0/{name}": parquet_bytes(name.encode() * 20) for name in VERSION_5[:3]}
    files["v5.0/features.json"] = b'{"feature_sets": {"small": []}}'
    files["v4.3/train.csv"] = files["v4.3/train.parquet"] = parquet_bytes(b"old")
    files["signals/v1.0/live.parquet"] = parquet_bytes(b"signals")
    return files


def test_fresh(tmp_path, files):
    paths = fetch_tournament(client=StandIn(files), data_home=tmp_path)
    assert set(paths) == {"train", "validation", "live", "features"}
    assert paths.train == tmp_path / "v5.0" / "train.parquet"
    for name in VERSION_5:
        assert (tmp_path / "v5.0" / name).read_bytes() == files[f"v5.0/{name}"]
    assert len(list((tmp_path / "v5.0").iterdir())) == 4


def test_complete_files_are_kept_and_live_files_renewed(tmp_path, files):
    fetch_tournament(client=StandIn(files), data_home=tmp_path)
    # The next round: another live file of the same size, which numerapi would take for the old.
    files["v5.0/live.parquet"] = files["v5.0/live.parquet"].replace(b"live", b"life")
    files["v5.0/validation.parquet"] = parquet_bytes(b"one week more" * 9)
    client = StandIn(files)
    paths = fetch_tournament(client=client, data_home=tmp_path)
    assert client.calls == ["v5.0/live.parquet"]
    assert paths.live.read_bytes() == files["v5.0/live.parquet"]
    assert paths.validation.read_bytes() != files["v5.0/validation.parquet"]

    paths = fetch_tournament(client=client, data_home=tmp_path, refresh=True)
    assert paths.validation.read_bytes() == files["v5.0/validation.parquet"]
    assert "v5.0/train.parquet" not in client.sent


def test_failure_in_the_middle_leaves_no_file_and_is_resumed(tmp_path, files):
    with pytest.raises(ConnectionError, match="lost"):
        fetch_tournament(client=StandIn(files, fail_after=100), data_home=tmp_path)
    assert [path.name for path in (tmp_path / "v5.0").iterdir()] == ["train.parquet.temp"]
    client = StandIn(files)
    paths = fetch_tournament(client=client, data_home=tmp_path)
    assert paths.train.read_bytes() == files["v5.0/train.parquet"]
    assert client.sent["v5.0/train.parquet"] < len(files["v5.0/train.parquet"]) - 90


def test_old_rests_are_not_resumed(tmp_path, files):
    rest = tmp_path / "v5.0" / "validation.parquet.temp"
    rest.parent.mkdir()
    rest.write_bytes(b"PAR1 of last month")
    last_month = time.time() - 30 * 24 * 3600
    os.utime(rest, (last_month, last_month))
    paths = fetch_tournament(client=StandIn(files), data_home=tmp_path)
    assert paths.validation.read_bytes() == files["v5.0/validation.parquet"]


@pytest.mark.parametrize("name", ["live.parquet", "train.parquet", "features.json"])
def test_a_silently_lost_connection_is_an_error(tmp_path, files, name):
    client = StandIn(files, fail_after=20, silent=True)
    with pytest.raises(OSError, match=f"download of v5.0/{name} ended early; call"):
        fetch_tournament(client=client, data_home=tmp_path, files=[name])
    assert list((tmp_path / "v5.0").iterdir()) == []


def test_a_half_file_under_the_final_name_is_replaced(tmp_path, files):
    train = tmp_path / "v5.0" / "train.parquet"
    train.parent.mkdir()
    train.write_bytes(files["v5.0/train.parquet"][:50])
    fetch_tournament(client=StandIn(files), data_home=tmp_path, files=["train.parquet"])
    assert train.read_bytes() == files["v5.0/train.parquet"]


def test_failed_live_download_keeps_the_last_round_and_is_not_resumed(tmp_path, files):
    fetch_tournament(client=StandIn(files), data_home=tmp_path)
    last_round = files["v5.0/live.parquet"]
    files["v5.0/live.parquet"] = parquet_bytes(b"next round" * 9)
    with pytest.raises(ConnectionError):
        fetch_tournament(client=StandIn(files, fail_after=30), data_home=tmp_path)
    live = tmp_path / "v5.0" / "live.parquet"
    assert live.read_bytes() == last_round
    files["v5.0/live.parquet"] = parquet_bytes(b"round after" * 9)
    fetch_tournament(client=StandIn(files), data_home=tmp_path)
    assert live.read_bytes() == files["v5.0/live.parquet"]
    assert not list(tmp_path.rglob("*.temp"))


def test_named_files_that_are_there_need_no_connection(tmp_path, files):
    names = ["train.parquet", "features.json"]
    first = fetch_tournament(client=StandIn(files), data_home=tmp_path, files=names)
    options = {"client": object(), "data_home": tmp_path, "files": iter(names)}
    assert first == fetch_tournament("v5.0", **options)


def test_latest_is_the_version_of_the_highest_number(tmp_path, files):
    for version in ("v5.3", "v5.10", "v4.9"):
        files[f"{version}/features.json"] = b'{"feature_sets": {}}'
    files["v5.10/train_benchmark_models.parquet"] = parquet_bytes(b"benchmarks")
    paths = fetch_tournament(client=StandIn(files), data_home=tmp_path)
    assert sorted(paths) == ["features", "train_benchmark_models"]
    assert paths.features == tmp_path / "v5.10" / "features.json"
    unnumbered = StandIn({"new/train.parquet": b""})
    with pytest.raises(ValueError, match=r"no version such as 'v5.3' \(found new\); name one"):
        fetch_tournament(client=unnumbered, data_home=tmp_path)


def test_files_of_a_round_are_kept_apart_and_do_not_change(tmp_path, files):
    class Rounds(StandIn):
        def list_datasets(self, round_num):
            assert round_num == 1343
            return super().list_datasets()

        def download_dataset(self, name, path, round_num):
            assert round_num == 1343
            return super().download_dataset(name, path)

    client = Rounds(files)
    options = {"round_num": 1343, "files": ["live.parquet"], "data_home": tmp_path}
    paths = fetch_tournament("v5.0", client=client, **options)
    assert paths.live == tmp_path / "v5.0" / "round_1343" / "live.parquet"
    assert fetch_tournament("v5.0", client=object(), **options) == paths


def test_no_connection_is_said_plainly(tmp_path, files):
    class Offline(StandIn):
        def list_datasets(self):
            return {}["data"]  # what numerapi does where the server does not answer

    with pytest.raises(ConnectionError, match=r"could not list the files .* check the connection"):
        fetch_tournament(client=Offline(files), data_home=tmp_path)
    client = StandIn(files)
    client.files = dict.fromkeys(files)
    client.download_dataset = lambda name, path: {}["data"]
    with pytest.raises(ConnectionError, match=r"could not download v5.0/train.parquet"):
        fetch_tournament(client=client, data_home=tmp_path)


def test_data_home(tmp_path, files, monkeypatch):
    monkeypatch.setenv("SKNUMERAI_DATA", str(tmp_path / "variable"))
    paths = fetch_tournament(client=StandIn(files), files=["train.parquet"])
    assert paths.train == tmp_path / "variable" / "v5.0" / "train.parquet"
    monkeypatch.delenv("SKNUMERAI_DATA")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    paths = fetch_tournament(client=StandIn(files), files=["train.parquet"])
    assert paths.train == tmp_path / "home" / "sknumerai_data" / "v5.0" / "train.parquet"


def test_all_files_of_another_version(tmp_path, files):
    client = StandIn(files)
    paths = fetch_tournament("v4.3", files="all", client=client, data_home=tmp_path)
    assert set(paths) == {"train.csv", "train.parquet"}


@pytest.mark.parametrize(
    ("version", "name"),
    [("v4.3", "NumerAPI"), ("crypto/v2.0", "CryptoAPI"), ("signals/v1.0", "SignalsAPI")],
)
def test_each_tournament_has_a_client_of_its_own(tmp_path, files, monkeypatch, version, name):
    numerapi = pytest.importorskip("numerapi", reason="needs the extra 'data'")
    files["crypto/v2.0/train.parquet"] = parquet_bytes(b"crypto")
    made = []

    def make(of, **options):
        made.append((of, options["show_progress_bars"]))
        return StandIn(files)

    for other in ("NumerAPI", "CryptoAPI", "SignalsAPI"):
        monkeypatch.setattr(numerapi, other, lambda of=other, **options: make(of, **options))
    paths = fetch_tournament(version, data_home=tmp_path, verbose=False)
    assert made == [(name, False)]
    for path in paths.values():
        assert path.parent == tmp_path / version
        assert path.read_bytes() == files[f"{version}/{path.name}"]


def test_errors(tmp_path, files):
    client = StandIn(files)
    with pytest.raises(ValueError, match=r"version='5.0' has no files; known .* v4.3, v5.0\."):
        fetch_tournament("5.0", client=client, data_home=tmp_path)
    with pytest.raises(ValueError, match=r"files: 'trian.parquet' is not in v5.0, which has train"):
        fetch_tournament(files=["trian.parquet"], client=client, data_home=tmp_path)
    with pytest.raises(ValueError, match="files must be a list of names or 'all'"):
        fetch_tournament(files="train.parquet", client=client, data_home=tmp_path)
    with pytest.raises(ValueError, match="files: nothing is chosen"):
        fetch_tournament(files=[], client=client, data_home=tmp_path)
    assert client.calls == []
    assert list(tmp_path.iterdir()) == []


def test_the_real_client_has_what_is_used():
    numerapi = pytest.importorskip("numerapi", reason="needs the extra 'data'")
    for client in (numerapi.NumerAPI, numerapi.CryptoAPI, numerapi.SignalsAPI):
        assert callable(client.list_datasets)
        assert callable(client.download_dataset)
