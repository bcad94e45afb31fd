"""Files are old or new, whole, and nobody else's."""

import os
import stat

import pytest

from sknumerai import _atomic
from sknumerai._atomic import complete_or_absent, discard_temporaries, replace_together

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


@pytest.fixture
def umask():
    """A umask that is neither the usual one nor none."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def write(path, text="new"):
    with complete_or_absent(path) as temporary:
        temporary.write_text(text)


def test_a_new_file_has_the_mode_of_the_umask(tmp_path, umask):
    write(tmp_path / "a.csv")
    assert mode(tmp_path / "a.csv") == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("permissions", [0o600, 0o664, 0o444, 0o200])
def test_a_file_that_is_replaced_passes_on_its_mode(tmp_path, umask, permissions):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(permissions)
    with complete_or_absent(path) as temporary:
        temporary.write_text("new")
        assert mode(temporary) == 0o600
    assert mode(path) == permissions
    path.chmod(0o600)
    assert path.read_text() == "new"


def test_links_are_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "a.csv", tmp_path / "link.csv"
    link.symlink_to(target)
    for text in ("first", "second"):  # of a file that is absent, then there
        write(link, text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv", "folder", "link.csv"]


def test_writers_do_not_share_a_temporary_file(tmp_path, monkeypatch):
    """Those in two containers may have the same process id."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "a.csv"
    with complete_or_absent(path) as first, complete_or_absent(path) as second:
        first.write_text("first" * 100)
        second.write_text("second")
    assert path.read_text() == "first" * 100  # which came last


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(_atomic.secrets, "token_hex", lambda _: "guessed")
    (tmp_path / ".a.csv.guessed.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write(tmp_path / "a.csv")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "ü" * 125 + ".csv"])
def test_names_as_long_as_a_name_may_be(tmp_path, name):
    write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_all_or_none_of_several(tmp_path):
    paths = {name: tmp_path / name for name in "ab"}
    (tmp_path / "a").write_text("old")

    def interrupted():
        with replace_together(paths) as temporary:
            for path in temporary.values():
                path.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_temporary_files_are_discarded_at_once(tmp_path):
    with replace_together({name: tmp_path / name for name in "ab"}) as temporary:
        discard_temporaries()
        assert list(tmp_path.iterdir()) == []
        for path in temporary.values():
            path.write_text("new")
    discard_temporaries()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
