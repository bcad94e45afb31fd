"""The function save_upload()."""

from __future__ import annotations

import inspect
import io
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import sknumerai
from sknumerai._atomic import complete_or_absent
from sknumerai._optional import import_optional

SUFFIXES = (".pkl", ".pickle")
INSTALLED = ("site-packages", "dist-packages")


def save_upload(predict: Callable[..., Any], path: str | PathLike[str]) -> Path:
    """Write a function to a file that the tournament can run.

    Code of this package and of modules that are not installed, such as those beside a script,
    goes into the file by value; other libraries are imported where it runs.

    Parameters
    ----------
    predict : callable
        Of `make_predict`; or any function of one or two parameters, the live features and the
        live benchmark models, that returns a frame of predictions.
    path : str or path-like
        File to write, which ends in ".pkl"; one that exists is replaced when the new one is
        complete.

    Returns
    -------
    path : pathlib.Path

    Raises
    ------
    ValueError
        If it is no such function, or holds what cannot run there, such as a skorch net.
    FileNotFoundError
        If there is no such folder.
    ImportError
        If cloudpickle is not installed (extra "upload").

    See Also
    --------
    check_upload : Runs the file as the tournament does.

    Notes
    -----
    The file holds byte code of this version of Python, and must run on the same: choose it when
    you upload the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sknumerai.upload import save_upload
    >>> def predict(live_features):
    ...     return live_features[["feature_a"]].rank(pct=True).set_axis(["prediction"], axis=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_upload(predict, Path(folder) / "predict.pkl").name
    'predict.pkl'
    """
    cloudpickle = import_optional("cloudpickle", extra="upload")
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path={str(path)!r} does not end in .pkl; the tournament takes such.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent}; make it, or name another one.")
    if not callable(predict):
        raise ValueError(
            f"predict is a {type(predict).__name__}; pass a function, such as make_predict(model)."
        )
    n_parameters = len(inspect.signature(predict).parameters)
    if n_parameters not in (1, 2):
        raise ValueError(
            f"predict has {n_parameters} parameters; the tournament passes the live features, and "
            "the benchmark models as the second one."
        )
    with by_value(cloudpickle):
        content = dumps(cloudpickle, predict)
    with complete_or_absent(path) as temporary:
        temporary.write_bytes(content)
    return path


def dumps(cloudpickle: Any, predict: Callable[..., Any]) -> bytes:
    """Pickle a function, refusing nets of skorch."""
    skorch = sys.modules.get("skorch")

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, value: Any) -> Any:
            if skorch is not None and isinstance(value, skorch.NeuralNet):
                raise ValueError(
                    f"predict holds a net of skorch ({type(value).__name__}), whose classes would "
                    "not be found where it runs; pass the fitted FNCRegressor to make_predict, or "
                    "use the net's module_ in a function of your own."
                )
            return super().reducer_override(value)

    file = io.BytesIO()
    Pickler(file).dump(predict)
    return file.getvalue()


@contextmanager
def by_value(cloudpickle: Any) -> Iterator[None]:
    """Let cloudpickle write the code of this package and of local modules."""
    registered = set(cloudpickle.list_registry_pickle_by_value())
    modules = {module.__name__: module for module in local_modules()}
    added = [module for name, module in modules.items() if name not in registered]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def local_modules() -> list[ModuleType]:
    """The package itself, and modules that were imported from no place of installed ones."""
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    found = [sknumerai]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or next(
            iter(getattr(module, "__path__", [])), None
        )
        own = getattr(module, "__name__", None)  # sys.modules may have it under another name, too
        if not file or name == "__main__" or own not in sys.modules or "." in own:
            continue
        place = Path(file).resolve()
        if standard in place.parents or any(part in place.parts for part in INSTALLED):
            continue
        found.append(sys.modules[own])
    return found
