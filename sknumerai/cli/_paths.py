"""Paths of the command line: whether they can be read, and written to without loss."""

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sknumerai.cli._errors import CommandError

SUFFIXES = (".csv", ".parquet")


def check_suffix(option: str, path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Insist on a file name extension that says what the file is."""
    if path.suffix.lower() not in suffixes:
        found = f"the extension {path.suffix!r}" if path.suffix else "no extension"
        raise CommandError(
            f"{option} {path} has {found}; name a file that ends in {' or '.join(suffixes)}."
        )


def check_input(option: str, path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Insist on a readable file that is not empty."""
    check_suffix(option, path, suffixes)
    try:
        found = path.stat()
        _check_kind(option, path, found.st_mode)
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandError(f"{option} {path} does not exist; check the path.") from error
    except OSError as error:
        raise CommandError(
            f"{option} {path} cannot be read ({error.strerror}); check its name and permissions."
        ) from error
    if not found.st_size:
        raise CommandError(f"{option} {path} is empty (0 bytes); download or write it again.")


def check_output(
    option: str,
    output: Path,
    others: Mapping[str, Path],
    *,
    overwrite: bool,
    suffixes: Sequence[str] = SUFFIXES,
) -> None:
    """Insist, before any work, that an output can be written and destroys nothing.

    Parameters
    ----------
    option : str
    output : Path
    others : mapping of str to Path
        Inputs and other outputs, by option.
    overwrite : bool
    suffixes : sequence of str

    Raises
    ------
    CommandError
        If the file cannot be written, is one of the others, or exists and may not be replaced.
    """
    check_suffix(option, output, suffixes)
    target = Path(os.path.realpath(output))
    try:
        _check_folder(option, output, target.parent)
        try:
            _check_kind(option, output, target.stat().st_mode)
        except FileNotFoundError:
            exists = False
        else:
            exists = True
    except OSError as error:
        raise CommandError(
            f"{option} {output} cannot be written to ({error.strerror}); name another file."
        ) from error
    for other, path in others.items():
        if _are_same(target, path):
            raise CommandError(f"{option} {output} is the same file as {other}; name another file.")
    if exists and not overwrite:
        raise CommandError(
            f"{option} {output} exists already; name another file, or pass --overwrite to replace "
            "it."
        )


def _are_same(target: Path, path: Path) -> bool:
    """Whether two paths lead to one file, be it there or not."""
    if os.path.realpath(path) == str(target):
        return True
    try:
        return target.samefile(path)
    except OSError:
        return False


def _check_folder(option: str, output: Path, folder: Path) -> None:
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise CommandError(
            f"{option} {output}: the folder {folder} {problem}; make it or name another one."
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(
            f"{option} {output}: the folder {folder} cannot be written to ({error.strerror}); "
            "name another one."
        ) from error


def _check_kind(option: str, path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise CommandError(f"{option} {path} is a folder; name a file in it.")
    if not stat.S_ISREG(mode):
        raise CommandError(f"{option} {path} is a pipe or a device; name a file.")


@contextmanager
def naming_output(outputs: Mapping[str, Path]) -> Iterator[None]:
    """Turn the errors of writing into one that names the options and their files."""
    try:
        yield
    except OSError as error:
        named = " and ".join(f"{option} {path}" for option, path in outputs.items())
        raise CommandError(
            f"{named} could not be written ({error.strerror or error}); free or name another place."
        ) from error
