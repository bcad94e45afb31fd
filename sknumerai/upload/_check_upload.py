"""The function check_upload()."""

from __future__ import annotations

import re
import sys
import tempfile
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from sknumerai._optional import import_optional
from sknumerai._sklearn import Interval, StrOptions, validate_params
from sknumerai.upload._findings import read_findings
from sknumerai.upload._runtimes import MODULES, PACKAGES, own_runtime
from sknumerai.upload._supervised import run_supervised
from sknumerai.upload._upload_report import UploadReport

Frame = pd.DataFrame | str | PathLike[str]
N_ROWS = 7_000  # stocks of a live era
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}


@validate_params(
    {
        "runtime": [StrOptions(set(PACKAGES)), None],
        "seconds": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def check_upload(
    path: str | PathLike[str],
    live_features: Frame | None = None,
    live_benchmark_models: Frame | None = None,
    *,
    runtime: str | None = None,
    memory: int | str = "4GB",
    seconds: float = 600,
    python: str | PathLike[str] | None = None,
) -> UploadReport:
    """Run an upload as the tournament does, and say what would go wrong there.

    The file is read and run in a process of its own: one processor, a limit on memory and on
    time, no network, no files to write, an empty folder, and no packages but those that the
    runtime has. It is run again, on the same rows and on the same in another order.

    .. warning::
       A pickle executes code when it is read, and what keeps this process apart is made for
       mistakes, not for attacks. Never check a file of unknown origin.

    Parameters
    ----------
    path : str or path-like
        The file, as `save_upload` writes it.
    live_features : DataFrame, str or path-like, optional
        Live rows, or a parquet file of them. By default 7,000 synthetic rows of the features that
        the file's model names, if it is one of `make_predict`.
    live_benchmark_models : DataFrame, str or path-like, optional
        Likewise, of the same ids.
    runtime : {"3.11", "3.12", "3.13"}, default=None
        Version of Python that you will choose when you upload the file. None means the one that
        runs this, which is the one that `save_upload` writes for.
    memory : int or str, default="4GB"
        Limit on resident memory, in bytes or as "500MB".
    seconds : float, default=600
        Limit on the time to read the file and to predict.
    python : str or path-like, optional
        Interpreter to run it with, such as that of an environment with the runtime's packages. By
        default the one that runs this.

    Returns
    -------
    report : UploadReport

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the live rows are no frames of ids, or are missing and cannot be made up.
    ImportError
        If pyarrow is not installed (extra "upload").

    See Also
    --------
    make_predict, save_upload : Make such a file.

    Notes
    -----
    Versions of packages are those of the interpreter. The tournament's own are in
    ``numerai/numerai-predict``; an environment with these and ``python`` find what depends on
    them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.linear_model import Ridge
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.upload import check_upload, make_predict, save_upload
    >>> tournament = make_tournament(9, 100, 10, random_state=0)
    >>> model = Ridge().fit(tournament.data, tournament.target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_upload(make_predict(model), Path(folder) / "predict.pkl")
    ...     report = check_upload(path)
    >>> report.passed
    True
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; write one with save_upload.")
    limit, runtime = read_memory(memory), runtime or own_runtime()
    tables = {"features": live_features, "benchmarks": live_benchmark_models}
    with tempfile.TemporaryDirectory() as folder:
        order: dict[str, Any] = {
            "path": str(path),
            "packages": sorted(PACKAGES[runtime]),
            "modules": MODULES,
            "n_rows": N_ROWS,
        }
        for name, table in tables.items():
            order[name] = None if table is None else _as_file(table, f"live_{name}", Path(folder))
        outcome = run_supervised(
            order,
            folder=Path(folder),
            python=_interpreter(python),
            memory=limit,
            seconds=float(seconds),
        )
    return read_findings(outcome, path, runtime=runtime, memory=limit, seconds=float(seconds))


def read_memory(memory: int | str) -> int:
    """A number of bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?B?)\s*", str(memory).upper())
    unit = found and UNITS.get(found[2] if found[2] != "B" else "")
    if not found or not unit or not float(found[1]):
        raise ValueError(f"memory={memory!r}; pass bytes, or a text such as '4GB'.")
    return int(float(found[1]) * unit)


def _interpreter(python: str | PathLike[str] | None) -> str:
    """A path that does not depend on the folder it is run in; links of environments are kept."""
    name = str(python or sys.executable)
    return str(Path(name).absolute()) if Path(name).parent != Path() else name


def _as_file(table: Frame, name: str, folder: Path) -> str:
    """A parquet file of live rows, as the tournament reads it."""
    import_optional("pyarrow", extra="upload")
    frame = table
    if isinstance(table, str | PathLike):
        if not Path(table).is_file():
            raise FileNotFoundError(f"{name}: there is no file {str(table)!r}; check the path.")
        frame = pd.read_parquet(Path(table))
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(
            f"{name} is a {type(frame).__name__}; pass a pandas DataFrame or a parquet file."
        )
    if frame.columns.has_duplicates:
        repeated = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"{name} has the column {repeated!r} twice; pass each once.")
    if not len(frame) or frame.index.has_duplicates or "id" in frame.columns:
        raise ValueError(
            f"{name} must be a frame of at least one row whose index holds the ids, each once."
        )
    path = folder / f"{name}.parquet"
    frame.to_parquet(path)
    return str(path)
