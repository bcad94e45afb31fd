"""The error that ends the command with one sentence, and warnings as one line each."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sknumerai.exceptions import (
    ConstantPredictionWarning,
    FewFreeAssetsWarning,
    InfeasibleExposureWarning,
)


class CommandError(Exception):
    """Something the user can mend; the message is shown without a traceback."""


@contextmanager
def naming_option(option: str, path: Path) -> Iterator[None]:
    """Turn the errors of a reader into one that speaks of an option of the command."""
    try:
        yield
    except (ValueError, OSError) as error:
        text = str(error).replace(f"path={str(path)!r}", f"{option} {path}")
        if option not in text:
            text = f"{option} {path}: {text}"
        raise CommandError(text) from error


@contextmanager
def warnings_on_one_line() -> Iterator[None]:
    """Show each warning as one line, and those about eras every time."""

    def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        for category in (
            ConstantPredictionWarning,
            FewFreeAssetsWarning,
            InfeasibleExposureWarning,
        ):
            warnings.simplefilter("always", category)
        warnings.showwarning = show
        yield
