"""The errors that end the command with one sentence, and warnings as one line each."""

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from typing import Any

from sknumerai.exceptions import (
    ConstantPredictionWarning,
    FewFreeAssetsWarning,
    InfeasibleExposureWarning,
    InfeasiblePortfolioError,
    LostWorkersError,
    SolverError,
)

MAX_CONFLICTS = 5
# Arguments of the library whose options have other names.
OPTIONS = {
    "executor": "--n-jobs",
    "limits": "--limit",
    "live_benchmark_models": "--benchmarks",
    "live_features": "--live",
    "model_name": "--model",
    "factor_covariance": "--covariance",
    "feature_names": "--feature-set with --features-json",
    "factor_loadings": "--loadings",
    "prediction_columns": "--prediction-column",
    "previous_weights": "--previous-column",
    "proportions": "--proportion",
    "random_state": "--seed",
    "sectors": "--sector-column",
    "specific_variance": "--specific-column",
    "user_predictions": "--users",
}
# Arguments of one word are words of prose, too, and are meant where "=" follows; but for these.
WORDS = ("budget",)
_LITERAL = r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|True\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?\b)?"""


class CommandError(Exception):
    """Something the user can mend; the message is shown without a traceback."""


# What the library says of files and options, and of what becomes of them.
USERS_ERRORS = (
    CommandError,
    ValueError,
    OSError,
    MemoryError,
    BrokenExecutor,
    LostWorkersError,
    SolverError,
)


def sentence(error: Exception, options: list[str]) -> str:
    """What ended the command, on one line and in its words.

    Parameters
    ----------
    error : Exception
    options : list of str
        Names of the options, with underscores.
    """
    text = str(error)
    if isinstance(error, InfeasiblePortfolioError) and len(error.conflict) > MAX_CONFLICTS:
        some = ", ".join(error.conflict[:MAX_CONFLICTS])
        more = len(error.conflict) - MAX_CONFLICTS
        text = text.replace(", ".join(error.conflict), f"{some} and {more} more")
    text = " ".join(in_options(text, options).split())
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


def in_options(text: str, options: list[str]) -> str:
    """A message of the library, with options in the place of arguments."""
    names = OPTIONS | {name: f"--{name.replace('_', '-')}" for name in options}

    def option(found: re.Match[str]) -> str:
        name, equals, value = found[1], found[2], found[3]
        if not equals and "_" not in name and name not in WORDS:
            return found[0]
        written = names[name]
        if value and value != "True":
            of_names = "column" in written  # which may be empty, or hold spaces
            written += f" {value if of_names else ast.literal_eval(value)}"
        elif equals and text[found.end() : found.end() + 1] in ("[", "("):
            written += " "
        return written

    return re.sub(rf"\b({'|'.join(names)})\b(?:(=){_LITERAL})?", option, text)


@contextmanager
def warnings_on_one_line(options: list[str]) -> Iterator[None]:
    """Show each warning as one line, and those about eras every time."""

    def show(message: Any, category: Any, *_: Any, **__: Any) -> None:
        text = " ".join(in_options(str(message), options).split())
        print(f"warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        for category in (
            ConstantPredictionWarning,
            FewFreeAssetsWarning,
            InfeasibleExposureWarning,
        ):
            warnings.simplefilter("always", category)
        warnings.showwarning = show
        yield
