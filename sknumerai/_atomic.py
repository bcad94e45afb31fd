"""Files that get their names when they are complete."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Key = TypeVar("Key")

NAME_LENGTH = 40  # characters of a name that a temporary one repeats: four bytes each at most

_temporaries: set[Path] = set()


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, renamed to it at the end, or removed after an error.

    Whatever happens at whatever time, ``path`` is what it was before or complete.
    """
    with replace_together({None: path}) as temporary:
        yield temporary[None]


@contextmanager
def replace_together(paths: Mapping[Key, Path]) -> Iterator[dict[Key, Path]]:
    """Temporary paths beside ``paths``, renamed when all are complete, or removed after an error.

    A link is followed to its file. A file that is replaced passes on its permissions. No other
    program can have put a link where a temporary file is made, nor use it at the same time.

    Parameters
    ----------
    paths : mapping of key to Path

    Yields
    ------
    temporary : dict of key to Path
        Empty files, to be written to.
    """
    targets = {key: Path(os.path.realpath(path)) for key, path in paths.items()}
    # The names are known before there are files, so that no signal leaves one of them behind.
    temporary = {key: _beside(target) for key, target in targets.items()}
    _temporaries.update(temporary.values())
    try:
        for key, target in targets.items():
            _create(temporary[key], target)
        yield temporary
        for key, target in targets.items():
            _finish(temporary[key], target)
        for key, target in targets.items():
            os.replace(temporary[key], target)
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)
        _temporaries.difference_update(temporary.values())


def discard_temporaries() -> None:
    """Remove the temporary files of this process, which is about to end at once."""
    for file in list(_temporaries):
        file.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name[:NAME_LENGTH]}.{secrets.token_hex(8)}.tmp")


def _create(file: Path, target: Path) -> None:
    """Make an empty file that nobody else can read if it is to replace one."""
    mode = 0o600 if target.exists() else 0o666  # without what the umask takes away
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))


def _finish(file: Path, target: Path) -> None:
    """Bring a file to the disk, with the permissions of the one that it replaces."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
    if target.exists():
        file.chmod(stat.S_IMODE(target.stat().st_mode))
