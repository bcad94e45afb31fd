"""Paths: whether they can be read, and written to without loss."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sknumerai._optional import import_optional
from sknumerai._typing import Source
from sknumerai.datasets._sources import find_parts, name_source

SUFFIXES = (".csv", ".parquet")
INPUT_SUFFIXES = (".csv", ".csv.gz", ".parquet")


def check_suffix(label: str, path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Insist on a file name extension that says what the file is."""
    if not path.name.lower().endswith(tuple(suffixes)):
        found = f"the extension {path.suffix!r}" if path.suffix else "no extension"
        raise ValueError(f"{label} has {found}; name a file that ends in {' or '.join(suffixes)}.")


def check_input(
    argument: str, source: Source, suffixes: Sequence[str] = INPUT_SUFFIXES
) -> list[Path]:
    """Insist on readable files that are not empty, and find them."""
    import_optional("pyarrow", extra="data")  # said before anything else
    parts = find_parts(source, argument, suffixes)
    for path in parts:
        _check_file(f"{argument}={str(path)!r}", path, suffixes)
    return parts


def _check_file(label: str, path: Path, suffixes: Sequence[str]) -> None:
    check_suffix(label, path, suffixes)
    try:
        found = path.stat()
        _check_kind(label, found.st_mode)
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{label} does not exist; check the path.") from error
    except OSError as error:
        if error.strerror is None:  # a sentence already
            raise
        raise OSError(
            f"{label} cannot be read ({error.strerror}); check its name and permissions."
        ) from error
    if not found.st_size:
        raise ValueError(f"{label} is empty (0 bytes); download or write it again.")


def check_output(
    argument: str,
    output: str | os.PathLike[str],
    others: Mapping[str, Source | None],
    *,
    overwrite: bool,
    suffixes: Sequence[str] = SUFFIXES,
) -> Path:
    """Insist, before any work, that an output can be written and destroys nothing.

    Parameters
    ----------
    argument : str
    output : str or path-like
    others : mapping of str to source or None
        Inputs and other outputs, by argument.
    overwrite : bool
    suffixes : sequence of str

    Returns
    -------
    output : Path

    Raises
    ------
    ValueError, OSError
        If the file cannot be written, is one of the others, or exists and may not be replaced.
    """
    if not isinstance(output, str | os.PathLike):
        raise ValueError(f"{argument} is {output!r}; pass the path of the file to write.")
    if not isinstance(overwrite, bool):
        raise ValueError(f"overwrite is {overwrite!r}; pass True or False.")
    label, output = name_source(argument, output), Path(output)
    check_suffix(label, output, suffixes)
    target = Path(os.path.realpath(output))
    try:
        _check_folder(label, target.parent)
        try:
            _check_kind(label, target.stat().st_mode)
        except FileNotFoundError:
            exists = False
        else:
            exists = True
    except OSError as error:
        if error.strerror is None:  # a sentence already
            raise
        raise OSError(
            f"{label} cannot be written to ({error.strerror}); name another file."
        ) from error
    for other, source in others.items():
        if source is not None and any(
            _are_same(target, path) for path in _all_paths(other, source)
        ):
            raise ValueError(f"{label} is the same file as {other}=; name another file.")
    if exists and not overwrite:
        raise FileExistsError(
            f"{label} exists already; name another file, or pass overwrite=True to replace it."
        )
    return output


def _all_paths(argument: str, source: Source) -> list[Path]:
    """The files of a source, or what stands in their place if there are none."""
    try:
        return find_parts(source, argument, INPUT_SUFFIXES)
    except (OSError, ValueError):
        return [Path(source)] if isinstance(source, str | os.PathLike) else []


def _are_same(target: Path, path: Path) -> bool:
    """Whether two paths lead to one file, be it there or not."""
    if os.path.realpath(path) == str(target):
        return True
    try:
        return target.samefile(path)
    except OSError:
        return False


def _check_folder(label: str, folder: Path) -> None:
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise FileNotFoundError(
            f"{label}: the folder {folder} {problem}; make it or name another one."
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"{label}: the folder {folder} cannot be written to ({error.strerror}); name another "
            "one."
        ) from error


def _check_kind(label: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise OSError(f"{label} is a folder; name a file in it.")
    if not stat.S_ISREG(mode):
        raise OSError(f"{label} is a pipe or a device; name a file.")


@contextmanager
def writing(outputs: Mapping[str, Path]) -> Iterator[None]:
    """Turn the errors of writing into one that names the arguments and their files."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # a sentence already
            raise
        named = " and ".join(name_source(name, path) for name, path in outputs.items())
        raise OSError(
            f"{named} could not be written ({error.strerror}); free or name another place."
        ) from error


@contextmanager
def reading(label: str) -> Iterator[None]:
    """Turn the errors of a reader into one that says what was read."""
    pa = import_optional("pyarrow", extra="data")

    try:
        yield
    except (ValueError, OSError, pa.ArrowException) as error:
        if label in str(error):
            raise
        raise ValueError(f"{label}: {error}") from error
