"""The command ``sknumerai``."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext

from sknumerai._optional import import_optional
from sknumerai.cli._process import INTERRUPTED, own_process

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line by default; signals then end the process.

    Returns
    -------
    exit_code : int
        0 after success, 2 after an error of usage or input, 130 after Ctrl-C, and 143 where a
        process was told to terminate.
    """
    with own_process() if arguments is None else nullcontext():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
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
        print(INTERRUPTED, file=sys.stderr)
        return 130
