"""What a server lists stays in the folder for the data."""

import pytest

from sknumerai.datasets import fetch_tournament


class Client:
    def __init__(self, *names):
        self.names = names

    def list_datasets(self):
        return list(self.names)

    def download_dataset(self, name, path):
        raise AssertionError(f"{name} was to be written to {path}")


NAMES = ["../out.json", "a/../../../out.json", "/out.json", "\\out.json", "C:\\out.json", "..", ""]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("files", ["all", "named"])
def test_names_that_lead_outside_are_refused(tmp_path, name, files):
    home = tmp_path / "home"
    client = Client("v5.0/features.json", f"v5.0/{name}")
    with pytest.raises(ValueError, match="would lie outside of data_home; name the files"):
        fetch_tournament(client=client, data_home=home, files="all" if files == "all" else [name])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["..", "/tmp", "../v5.0"])
def test_versions_that_lead_outside_are_refused(tmp_path, version):
    client = Client(f"{version}/features.json")
    with pytest.raises(ValueError, match="would lie outside of data_home"):
        fetch_tournament(version, client=client, data_home=tmp_path / "home")
