"""From the options of a subcommand to a call of the library."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from sknumerai._optional import import_optional
from sknumerai.cli._errors import CommandError

NO_CONNECTION = 10  # seconds after which a scheduler is not there


def call(function: str, options: dict[str, Any], **more: Any) -> Any:
    """Call a function of `sknumerai.streaming`.

    Parameters
    ----------
    function : str
    options : dict
        Of the command line, by the names of the function's parameters but for the column of
        predictions, the number of jobs, the cluster and the progress bar.
    **more
        Further arguments.
    """
    from sknumerai import streaming

    arguments = {name: _plain(value) for name, value in options.items()} | more
    if "prediction_column" in arguments:
        arguments["prediction_columns"] = arguments.pop("prediction_column")
    quiet, n_jobs = arguments.pop("quiet"), arguments.pop("n_jobs")
    with _cluster(arguments.pop("dask")) as executor:
        executor = executor or n_jobs
        return getattr(streaming, function)(**arguments, executor=executor, verbose=not quiet)


def _plain(value: Any) -> Any:
    """A choice as its text, and the choice of nothing as None."""
    if isinstance(value, StrEnum):
        return None if value.value == "none" else value.value
    return value


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """The executor of a dask scheduler, if there is an address."""
    if address is None:
        yield None
        return
    try:
        distributed = import_optional("distributed", extra="dask")
        client = distributed.Client(address, timeout=NO_CONNECTION, set_as_default=False)
    except ImportError as error:
        raise CommandError(f"--dask: {error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise CommandError(
            f"--dask {address}: there is no scheduler ({type(error).__name__}); start one with "
            "'dask scheduler', or name another address such as tcp://host:8786."
        ) from error
    with client:
        yield client.get_executor()
