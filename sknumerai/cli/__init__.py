"""The command ``sknumerai``."""

import sys
from collections.abc import Sequence

from sknumerai._optional import import_optional

__all__ = ["main"]

INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line by default.

    Returns
    -------
    exit_code : int
        0 after success, 2 after an error of usage or input, 130 after Ctrl-C.
    """
    try:
        try:
            for module in ("typer", "pyarrow"):
                import_optional(module, extra="cli")
        except ImportError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        from sknumerai.cli._app import run  # only now is typer known to be there

        return run(arguments)
    except KeyboardInterrupt:
        print("interrupted: no incomplete file was left behind", file=sys.stderr)
        return INTERRUPTED
