"""The error that ends the command with one sentence, and warnings as one line each."""

import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sknumerai.exceptions import (
    ConstantPredictionWarning,
    FewFreeAssetsWarning,
    InfeasibleExposureWarning,
)

LONGEST_QUOTE = 120


class CommandError(Exception):
    """Something the user can mend; the message is shown without a traceback."""


def shorten(text: str) -> str:
    """Text of a file for a message: one of 100,000 characters would hide what to do."""
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]} ..."


def sentence(error: Exception) -> str:
    """What ended the command, on one line."""
    text = " ".join(str(error).split())
    text = "".join(c if c.isprintable() else "?" for c in text)  # no codes for terminals
    if isinstance(error, BrokenExecutor):
        return (
            "A worker process of --n-jobs ended before its work was done, killed or out of memory; "
            "pass a lower number."
        )
    if isinstance(error, MemoryError):
        return (
            f"The memory does not suffice{f' ({text})' if text else ''}; pass fewer predictions "
            "or features, or a lower --n-jobs."
        )
    return text


@contextmanager
def naming_option(option: str, path: Path) -> Iterator[None]:
    """Turn the errors of a reader into one that speaks of an option of the command."""
    from pyarrow import ArrowException  # slow, and of no use to --help

    try:
        yield
    except (ValueError, OSError, ArrowException) as error:
        text = str(error).replace(f"path={str(path)!r}", f"{option} {path}")
        if option not in text:
            text = f"{option} {path}: {text}"
        raise CommandError(text) from error


@contextmanager
def warnings_on_one_line() -> Iterator[None]:
    """Show each warning as one line, and those about eras every time."""

    def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        for category in (
            ConstantPredictionWarning,
            FewFreeAssetsWarning,
            InfeasibleExposureWarning,
        ):
            warnings.simplefilter("always", category)
        warnings.showwarning = show
        yield
