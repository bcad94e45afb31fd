"""Imports of optional dependencies, with an error that says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType


def import_optional(module: str, *, extra: str) -> ModuleType:
    """Import a module of an optional extra.

    Parameters
    ----------
    module : str
        Dotted name, for example ``"pyarrow.parquet"``.
    extra : str
        Name of the extra of this package that installs it.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If the module is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{package} could not be imported ({error}); install it with "
            f"pip install 'sknumerai[{extra}]'."
        ) from error
