"""Tables on disk as one: a parquet file, a list of files, a folder of parts, a glob."""

from __future__ import annotations

import glob
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from sknumerai._optional import import_optional
from sknumerai._typing import Array, Source

PARQUET = (".parquet",)
NO_METADATA = "the parquet file is not as pandas writes it"
COLUMN_BUFFER = 2**16  # bytes read at a time for each column


def name_source(argument: str, source: Source) -> str:
    """What messages call a source."""
    if isinstance(source, str | PathLike):
        return f"{argument}={str(source)!r}"
    if not isinstance(source, Iterable):
        raise ValueError(
            f"{argument} is {source!r}; pass a path, a list of paths, a folder or a pattern."
        )
    paths = [str(path) for path in source]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{argument}={paths[0]!r}{more}" if paths else f"{argument}=[]"


def find_parts(
    source: Source, argument: str = "path", suffixes: Sequence[str] = PARQUET
) -> list[Path]:
    """The files of a source, in the order given, or by name in a folder and of a glob.

    Parameters
    ----------
    source : str, path-like or sequence of these
        A file, a folder of parts, or a pattern such as ``"data/era*.parquet"``.
    argument : str
        What messages call it.
    suffixes : sequence of str
        Of the files that are parts of a folder.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no file.
    """
    label = name_source(argument, source)
    if not isinstance(source, str | PathLike):
        source = list(source)
        if not source:
            raise ValueError(f"{argument} is an empty list; name at least one file.")
        parts = [part for each in source for part in find_parts(each, argument, suffixes)]
        if len(set(parts)) < len(parts):
            twice = next(part for part, count in Counter(parts).items() if count > 1)
            raise ValueError(f"{argument} names {str(twice)!r} twice; name every file once.")
        return parts
    path = Path(source)
    if os.path.isdir(path):  # pathlib's own raise errors for odd names
        parts = sorted(
            part
            for part in path.iterdir()
            if part.name.lower().endswith(tuple(suffixes)) and not part.name.startswith((".", "_"))
        )
        deeper = next((each for each in _deeper_parts(path, suffixes)), None)
        if deeper is not None:
            raise ValueError(
                f"{label} has parts in a folder of its own, such as "
                f"{str(deeper.relative_to(path))!r}, which would not be read; pass a list of files."
            )
        if not parts:
            raise FileNotFoundError(
                f"{label} is a folder without {' or '.join(suffixes)} files; name another one."
            )
        return parts
    if os.path.exists(path) or not glob.has_magic(str(source)):
        return [path]
    parts = [Path(name) for name in sorted(glob.glob(str(source)))]
    if not parts:
        raise FileNotFoundError(f"{label} matches no file; check the pattern.")
    return parts


def _deeper_parts(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Parts in the folders within a folder."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        if Path(place) != folder:
            yield from (
                Path(place, name) for name in files if name.lower().endswith(tuple(suffixes))
            )


class ParquetParts:
    """Parquet files with the same columns, as one table whose rows are numbered through.

    One file is open at a time, by one thread: others use copies. Copied or pickled, it is the paths
    and what is known of them.

    Parameters
    ----------
    source : str, path-like or sequence of these
        See `find_parts`.
    argument : str
        What messages call it.

    Attributes
    ----------
    paths : list of Path
    label : str
        What messages call all of them.
    n_rows : int
    starts : ndarray of shape (n_row_groups + 1,)
        Number of the first row of each row group, and of all rows.
    """

    def __init__(self, source: Source, argument: str = "path"):
        self.argument, self.label = argument, name_source(argument, source)
        self.paths = find_parts(source, argument)
        self._opened: tuple[int, Any] | None = None
        self._schema: Any = None
        self._checksums: list[int] = []  # of the footers: copies on other disks have the same
        self._groups: list[tuple[int, int]] = []  # part, and number in it, of each row group
        sizes: list[int] = []
        for number, path in enumerate(self.paths):
            file = self.open(number)
            if number == 0:
                self._schema = file.schema_arrow
            else:
                _check_alike(self._schema, file.schema_arrow, self.paths[0], path, argument)
            for i in range(file.num_row_groups):
                self._groups.append((number, i))
                sizes.append(file.metadata.row_group(i).num_rows)
        self.starts: Array = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.n_rows = int(self.starts[-1])

    def __copy__(self) -> ParquetParts:
        other = object.__new__(ParquetParts)
        other.__dict__ = self.__dict__ | {"_opened": None}
        return other

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None, "_schema": None}

    @property
    def schema(self) -> Any:
        """That of the first file, which does not travel."""
        if self._schema is None:
            self._schema = self.open(0).schema_arrow
        return self._schema

    def __enter__(self) -> ParquetParts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def name(self, row_group: int) -> str:
        """What messages call the file of a row group, and the row group."""
        part, number = self._groups[row_group]
        return f"{self.argument}={str(self.paths[part])!r} is damaged in row group {number}"

    def open(self, part: int) -> Any:
        """One of the files; what was opened before is closed."""
        if self._opened is None or self._opened[0] != part:
            self.close()
            path = self.paths[part]
            file, checksum = _open_or_say(path, self.argument)
            self._opened = part, file
            if not self._checksums[part:]:
                self._checksums.append(checksum)
            elif self._checksums[part] != checksum:
                raise ValueError(
                    f"{self.argument}={str(path)!r} has changed while it was read; run it again "
                    "when the file stays as it is."
                )
        return self._opened[1]

    def close(self) -> None:
        """Close the file that is open; reading opens it again."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def batches(self, row_group: int, columns: list[str], batch_size: int) -> Any:
        """Record batches of a row group."""
        part, number = self._groups[row_group]
        return self.open(part).iter_batches(
            batch_size=batch_size, row_groups=[number], columns=columns, use_threads=False
        )


def open_parquet(path: str | PathLike[str], argument: str = "path") -> Any:
    """Open a parquet file, or say why it is none."""
    return _open_or_say(path, argument)[0]


def _open_or_say(path: str | PathLike[str], argument: str) -> tuple[Any, int]:
    """The same with the checksum of its footer."""
    pa = import_optional("pyarrow", extra="data")
    path = Path(path)
    label = f"{argument}={str(path)!r}"
    if not os.path.isfile(path):
        what = "is no file" if os.path.exists(path) else "does not exist"
        raise FileNotFoundError(f"{label} {what}; check it or download the file.")
    if path.stat().st_size == 0:
        raise ValueError(f"{label} is empty (0 bytes); download or write it again.")
    try:
        file, checksum = _open(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{label} is not a complete parquet file ({first_line(error)}); download or write it "
            "again."
        ) from error
    check_names_differ(file.schema_arrow.names, label)
    return file, checksum


# The last footer read: of a wide file it takes as long to parse as an era takes to read.
_footer: tuple[tuple[Any, ...], Any, int] | None = None


def _open(path: Path) -> tuple[Any, int]:
    """A file, and the checksum of its footer, which tells where its data lie and of which kind."""
    global _footer
    pq = import_optional("pyarrow.parquet", extra="data")
    identity, known = _identity(path), _footer
    footer = known[1] if known is not None and known[0] == identity else None
    # Through small buffers, and not ahead: the compressed columns of a large row group never
    # lie in memory together. Mapped pages would, as far as the process is billed for them.
    file = pq.ParquetFile(path, metadata=footer, buffer_size=COLUMN_BUFFER, pre_buffer=False)
    if known is not None and footer is not None:
        return file, known[2]
    with path.open("rb") as content:
        content.seek(-8, os.SEEK_END)
        content.seek(-8 - int.from_bytes(content.read(4), "little"), os.SEEK_END)
        checksum = zlib.crc32(content.read())
    _footer = identity, file.metadata, checksum
    return file, checksum


def _identity(path: Path) -> tuple[Any, ...]:
    """What tells a file of this machine from another one, and from what it was."""
    found = path.stat()
    return (str(path.resolve()), found.st_ino), found.st_mtime_ns, found.st_size


def check_names_differ(names: list[str], label: str) -> None:
    """Insist on another name for each column of a file."""
    counts = Counter(names)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f"{label} has {len(names) - len(counts)} columns with a name that another column has, "
            f"first {repeated[0]!r}; keep one column each."
        )


def index_columns(schema: Any) -> list[str]:
    """Columns that hold the index: those of pandas, else ``id``, else none."""
    try:
        stored = list((schema.pandas_metadata or {}).get("index_columns", []))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{NO_METADATA} ({first_line(error)}); write it again.") from error
    names = [name for name in stored if isinstance(name, str) and name in schema.names]
    return names or [name for name in ("id",) if name in schema.names]


def first_line(error: BaseException) -> str:
    """The first line of an error's text, to be quoted."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def _check_alike(first: Any, other: Any, one: Path, two: Path, argument: str) -> None:
    """Insist on the same columns in every part; text may be of any kind of text."""
    differing = set(first.names) ^ set(other.names)
    if not differing:
        differing = {
            name
            for name in first.names
            if _plain(first.field(name).type) != _plain(other.field(name).type)
        }
    if differing:
        raise ValueError(
            f"{argument}: the parts {str(one)!r} and {str(two)!r} differ in {len(differing)} "
            f"columns, such as {min(differing)!r}; pass parts with the same columns and types."
        )


def _plain(kind: Any) -> str:
    return "string" if str(kind) in ("large_string", "string_view") else str(kind)
