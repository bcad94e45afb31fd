"""The files of the real tournament."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path, PureWindowsPath
from typing import Any, Protocol

from sklearn.utils import Bunch

from sknumerai._optional import import_optional

__all__ = ["fetch_tournament"]

DEFAULT_FILES = (
    "train.parquet",
    "validation.parquet",
    "live.parquet",
    "features.json",
    "meta_model.parquet",
    *(f"{part}_benchmark_models.parquet" for part in ("train", "validation", "live")),
    "validation_example_preds.parquet",
    "live_example_preds.parquet",
)
LATEST = "latest"
CLIENTS = {"crypto": "CryptoAPI", "signals": "SignalsAPI"}  # of numerapi; others: "NumerAPI"
_PARQUET_MAGIC = b"PAR1"
_RESUME_SECONDS = 24 * 3600


class Client(Protocol):
    """What is used of ``numerapi.NumerAPI``."""

    def list_datasets(self, **options: int) -> Iterable[str]: ...
    def download_dataset(self, name: str, path: str, /, **options: int) -> object: ...


def fetch_tournament(
    version: str = LATEST,
    *,
    round_num: int | None = None,
    files: Iterable[str] | str | None = None,
    data_home: str | PathLike[str] | None = None,
    refresh: bool = False,
    client: Client | None = None,
    verbose: bool = True,
) -> Bunch:
    """Download files of the tournament and return their paths.

    Files that are there and complete are kept. Live files, which change with every round, are
    downloaded anew by every call; where that fails, the call raises and the file of the last
    round stays. Other interrupted downloads are resumed by the next call within a day. A file
    under its final name is always complete.

    Parameters
    ----------
    version : str, default="latest"
        Data version, such as "v5.3", "crypto/v2.0" or "signals/v3.0"; "latest" asks the server
        for the one of the highest number of the main tournament.
    round_num : int, default=None
        Round whose files to download, into a folder of their own. None means the current one.
    files : iterable of str or "all", default=None
        Names without the version; where all are there, none is live and `refresh` is False, no
        connection is made. None means those of train, validation, live and meta_model
        parquet, features.json, the benchmark models and the example predictions that the version
        has.
    data_home : str or path-like, default=None
        Folder to hold a folder for each version. None means the environment variable
        ``SKNUMERAI_DATA``, else ``~/sknumerai_data``.
    refresh : bool, default=False
        Whether to ask the server for all files: those whose size has changed, as validation does
        every week, are downloaded again.
    client : object, default=None
        Has the methods ``list_datasets()`` and ``download_dataset(name, path)`` of
        ``numerapi.NumerAPI``, which take ``round_num=`` where a round is asked for. None means a
        new ``NumerAPI()``, or ``CryptoAPI()`` or ``SignalsAPI()`` by the version.
    verbose : bool, default=True
        Whether the new client shows progress bars.

    Returns
    -------
    paths : :class:`~sklearn.utils.Bunch`
        Path by file name without suffix: ``paths.train``, ``paths.features``, ... Where two
        files differ in their suffix only, the key is the full name.

    Raises
    ------
    ValueError
        If the version or a file does not exist.
    OSError
        If the connection fails or a downloaded file is incomplete. Other errors of the client pass
        unchanged.
    ImportError
        If numerapi is not installed (extra "data").

    Examples
    --------
    The client may be anything with the two methods:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from sknumerai.datasets import fetch_tournament
    >>> class Client:
    ...     def list_datasets(self):
    ...         return ["v5.0/features.json"]
    ...
    ...     def download_dataset(self, name, path):
    ...         Path(path).write_text('{"feature_sets": {}}')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = fetch_tournament(data_home=folder, client=Client())
    ...     paths.features.name
    'features.json'
    """
    if data_home is None:
        data_home = os.environ.get("SKNUMERAI_DATA") or Path.home() / "sknumerai_data"
    home = Path(data_home).expanduser().absolute()
    if files is not None and not isinstance(files, str):
        files = list(dict.fromkeys(files))
    names = list(files) if isinstance(files, list) else []
    options = {} if round_num is None else {"round_num": round_num}
    folder = _folder(home, version, round_num)
    # Named files that are all there need no connection.
    if (
        refresh
        or not names
        or version == LATEST
        or any(_changes(f, round_num) or not is_complete(folder / f) for f in names)
    ):
        if client is None:
            numerapi = import_optional("numerapi", extra="data")
            name = CLIENTS.get(version.partition("/")[0], "NumerAPI")
            client = getattr(numerapi, name)(verbosity="WARNING", show_progress_bars=verbose)
        with _said_plainly("list the files of the tournament"):
            datasets = list(client.list_datasets(**options))
        if version == LATEST:
            version = _latest(datasets)
            folder = _folder(home, version, round_num)
        names = _choose_files(datasets, version, files)
    for name in (version, *names):
        _check_inside(name)
    paths = {name: folder / name for name in names}
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if _changes(name, round_num):
            _download_live(client, f"{version}/{name}", path, options)
        elif refresh or not is_complete(path):
            _download(client, f"{version}/{name}", path, options)
    stems = [str(Path(name).with_suffix("")) for name in names]
    keys = [
        stem if stems.count(stem) == 1 else name for stem, name in zip(stems, names, strict=True)
    ]
    return Bunch(**dict(zip(keys, paths.values(), strict=True)))


def is_complete(path: Path) -> bool:
    """Whether a file is there to its end, as far as its format tells."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    if path.suffix == ".parquet":
        # The magic bytes stand at both ends, the footer length just before the last ones.
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(max(size - 8, 0))
            tail = file.read(8)
        footer = int.from_bytes(tail[:4], "little")
        return head == tail[4:] == _PARQUET_MAGIC and footer + 12 <= size
    if path.suffix == ".json":
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            return False
    return True


def _changes(name: str, round_num: int | None) -> bool:
    """Whether a file changes with every round: live ones do, unless they are of a round."""
    return round_num is None and Path(name).name.startswith("live")


def _folder(home: Path, version: str, round_num: int | None) -> Path:
    return home / version if round_num is None else home / version / f"round_{round_num}"


def _latest(datasets: Iterable[str]) -> str:
    """The version of the highest number."""
    versions = {name.partition("/")[0] for name in datasets if "/" in name}
    numbered = {
        tuple(map(int, found[1].split("."))): version
        for version in versions
        if (found := re.fullmatch(r"v(\d+(?:\.\d+)*)", version))
    }
    if not numbered:
        raise ValueError(
            f"version='latest': the server lists no version such as 'v5.3' (found "
            f"{', '.join(sorted(versions)) or 'nothing'}); name one."
        )
    return numbered[max(numbered)]


@contextmanager
def _said_plainly(task: str) -> Iterator[None]:
    """Make an error of the connection of numerapi's KeyError: it logs the reason and goes on."""
    try:
        yield
    except KeyError as error:
        raise ConnectionError(
            f"The client could not {task}: the answer lacks {error}; check the connection "
            "(numerapi logs the reason) and call again."
        ) from error


def _choose_files(datasets: list[str], version: str, files: list[str] | str | None) -> list[str]:
    prefix = f"{version}/"
    available = [name.removeprefix(prefix) for name in datasets if name.startswith(prefix)]
    if not available:
        versions = sorted({name.rpartition("/")[0] for name in datasets if "/" in name})
        raise ValueError(f"version={version!r} has no files; known are {', '.join(versions)}.")
    if files is None:
        chosen = [name for name in DEFAULT_FILES if name in available]
    elif isinstance(files, str):
        if files != "all":
            raise ValueError(f"files must be a list of names or 'all'; found the str {files!r}.")
        chosen = available
    else:
        chosen = files
    missing = [name for name in chosen if name not in available]
    if missing or not chosen:
        found = f"{missing[0]!r} is not in {version}" if missing else "nothing is chosen"
        raise ValueError(f"files: {found}, which has {', '.join(available)}.")
    return chosen


def _check_inside(name: str) -> None:
    """Insist on a name within the folder for the data, whatever a server lists."""
    path = PureWindowsPath(name)  # knows both kinds of separators, and drives, on all systems
    if path.anchor or ".." in path.parts or not path.parts:
        raise ValueError(
            f"files: {name!r} would lie outside of data_home; name the files that you need."
        )


def _download(client: Any, name: str, path: Path, options: dict[str, int]) -> None:
    """Download to `path`; the client resumes from the ``.temp`` file of an earlier call."""
    temporary = path.with_name(f"{path.name}.temp")
    if temporary.exists() and time.time() - temporary.stat().st_mtime > _RESUME_SECONDS:
        # The server's file may have changed since: two halves would make a damaged whole.
        temporary.unlink()
    if path.exists() and not is_complete(path):
        path.unlink()
    with _said_plainly(f"download {name}"):
        client.download_dataset(name, str(path), **options)
    if not is_complete(path):
        # A client may take a lost connection for the end of the file.
        path.unlink(missing_ok=True)
        raise OSError(f"The download of {name} ended early; call fetch_tournament again.")


def _download_live(client: Any, name: str, path: Path, options: dict[str, int]) -> None:
    """Download under another name, then replace the file of the last round.

    Under the final name the client would keep a file of the last round that has the same size
    as the new one, and resume an interrupted download of another round.
    """
    fresh = path.with_name(f".new_{path.name}")  # the suffix tells is_complete the format
    for leftover in (fresh, fresh.with_name(f"{fresh.name}.temp")):
        leftover.unlink(missing_ok=True)
    _download(client, name, fresh, options)
    os.replace(fresh, path)
