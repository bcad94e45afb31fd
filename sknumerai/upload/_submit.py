"""The function submit()."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from sknumerai._optional import import_optional
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai.upload._runtimes import PACKAGES, own_runtime

PICKLES = (".pkl", ".pickle")
TABLES = (".csv", ".parquet")


class Client(Protocol):
    """What is used of ``numerapi.NumerAPI``."""

    def get_models(self) -> dict[str, str]: ...
    def upload_predictions(self, file_path: str, *, model_id: str) -> str: ...
    def model_upload(self, file_path: str, *, model_id: str, **options: Any) -> str: ...


@validate_params(
    {
        "model_name": [str],
        "runtime": [StrOptions(set(PACKAGES)), None],
        "data_version": [str, None],
    },
    prefer_skip_nested_validation=True,
)
def submit(
    path: str | PathLike[str],
    model_name: str,
    *,
    runtime: str | None = None,
    data_version: str | None = None,
    client: Client | None = None,
) -> str:
    """Send a file of predictions, or an upload, to the tournament by numerapi.

    The keys are read by numerapi from its environment variables, ``NUMERAI_PUBLIC_ID`` and
    ``NUMERAI_SECRET_KEY``, and from nowhere else.

    Parameters
    ----------
    path : str or path-like
        ".csv" or ".parquet": predictions of the live rows. ".pkl": a function, see `save_upload`.
    model_name : str
        Name of one of your models.
    runtime : {"3.11", "3.12", "3.13"}, default=None
        Version of Python that is to run a function: the one that wrote it. None means the one that
        runs this.
    data_version : str, optional
        Version of the data that a function is to get, such as "v5.3". None leaves the choice to
        the tournament.
    client : object, optional
        Has the methods ``get_models()``, ``upload_predictions(path, model_id=)`` and
        ``model_upload(path, model_id=, ...)``. By default a new ``numerapi.NumerAPI()``.

    Returns
    -------
    id : str
        Of the submission or of the upload.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is of another kind, or there is no model of that name.
    ImportError
        If numerapi is not installed (extra "data").

    See Also
    --------
    check_upload : Whether the function will run.
    """
    path = Path(path)
    if path.suffix not in (*PICKLES, *TABLES):
        raise ValueError(
            f"path={str(path)!r} ends neither in .pkl nor in .csv or .parquet; pass a function or "
            "predictions."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if client is None:
        numerapi = import_optional("numerapi", extra="data")
        client = numerapi.NumerAPI(verbosity="WARNING")
    models = client.get_models()
    if model_name not in models:
        known = ", ".join(map(repr, models)) or "none"
        raise ValueError(f"model_name={model_name!r} is none of your models, which are {known}.")
    model_id = models[model_name]
    if path.suffix in TABLES:
        return str(client.upload_predictions(str(path), model_id=model_id))
    options = {} if data_version is None else {"data_version": data_version}
    image = f"Python {runtime or own_runtime()}"
    return str(client.model_upload(str(path), model_id=model_id, docker_image=image, **options))
