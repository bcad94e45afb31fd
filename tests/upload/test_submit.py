"""Files go to the tournament by a client that is told apart by its methods only."""

import platform

import pytest

from sknumerai.upload import submit

HERE = ".".join(platform.python_version_tuple()[:2])


class Client:
    """What is used of numerapi."""

    def __init__(self):
        self.calls = []

    def get_models(self):
        return {"first": "id-1", "second": "id-2"}

    def upload_predictions(self, file_path, *, model_id):
        self.calls.append(("predictions", file_path, model_id))
        return "submission"

    def model_upload(self, file_path, *, model_id, **options):
        self.calls.append(("model", file_path, model_id, options))
        return "upload"


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def write(tmp_path):
    def call(name):
        path = tmp_path / name
        path.write_bytes(b"content")
        return path

    return call


@pytest.mark.parametrize("name", ["live.csv", "live.parquet"])
def test_predictions(client, write, name):
    path = write(name)
    assert submit(path, "second", client=client) == "submission"
    assert client.calls == [("predictions", str(path), "id-2")]


def test_a_function(client, write):
    path = write("predict.pkl")
    assert submit(path, "first", runtime="3.11", client=client) == "upload"
    assert submit(path, "first", data_version="v5.3", client=client) == "upload"
    assert client.calls == [
        ("model", str(path), "id-1", {"docker_image": "Python 3.11"}),
        ("model", str(path), "id-1", {"docker_image": f"Python {HERE}", "data_version": "v5.3"}),
    ]


def test_what_is_refused(client, write, tmp_path):
    with pytest.raises(ValueError, match="'third' is none of your models, which are 'first', 's"):
        submit(write("live.csv"), "third", client=client)
    with pytest.raises(ValueError, match=r"ends neither in \.pkl"):
        submit(write("live.txt"), "first", client=client)
    with pytest.raises(FileNotFoundError):
        submit(tmp_path / "other.csv", "first", client=client)
    assert client.calls == []


def test_numerapi_has_these_methods():
    numerapi = pytest.importorskip("numerapi", reason="needs the extra 'data'")
    import inspect

    for name in ("upload_predictions", "model_upload"):
        parameters = inspect.signature(getattr(numerapi.NumerAPI, name)).parameters
        assert {"file_path", "model_id"} <= set(parameters)
    assert {"data_version", "docker_image"} <= set(parameters)
