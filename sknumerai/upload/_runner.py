"""Runs an upload in a process of its own, as the tournament does. Imports nothing of this package.

Started as ``python -I -B _runner.py ORDER``, with the order as JSON, it writes a line of JSON for
every stage to a file descriptor: what it found, or what went wrong.
"""

import importlib.metadata
import inspect
import json
import os
import platform
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

STANDARD = {*sys.stdlib_module_names, *sys.builtin_module_names}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
DEVICES = ("/dev/", "/proc/")
SYSTEM = ("/usr", "/lib", "/etc", "/sys", "/opt", "/System", "/Library")


class OnlyListed:
    """A finder of modules that refuses those that the runtime does not have."""

    def __init__(self, allowed: set[str]):
        self.allowed = allowed
        self.missing: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        top = name.partition(".")[0]
        if top in STANDARD or top in self.allowed:
            return
        if top not in self.missing:
            self.missing.append(top)
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)


def closure(packages: list[str], modules: dict[str, str]) -> set[str]:
    """Names of modules that come with packages and all that these require."""
    waiting = list(packages)
    allowed: set[str] = set()
    seen: set[str] = set()
    provided = importlib.metadata.packages_distributions()
    by_package: dict[str, set[str]] = {}
    for module, names in provided.items():
        for name in names:
            by_package.setdefault(plain(name), set()).add(module)
    while waiting:
        package = plain(waiting.pop())
        if package in seen:
            continue
        seen.add(package)
        allowed |= by_package.get(package, {modules.get(package, package).replace("-", "_")})
        try:
            required = importlib.metadata.requires(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in required:
            if "extra ==" not in requirement:
                name = requirement.split(";")[0]
                waiting.append(name.translate({ord(c): " " for c in "[(<>=!~"}).split()[0])
    return allowed


def plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def forbid(attempts: list[list[str]], readable: list[str]) -> None:
    """Refuse connections, files that are written to be kept, and files that are not there."""
    permitted = (*DEVICES, os.environ["TMPDIR"])
    installed = (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *SYSTEM)
    known = (*permitted, *(place for place in installed if place), *readable)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
                mode is None and isinstance(flags, int) and flags & WRITING
            )
            name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
            source = name.endswith((".py", ".pyc")) and not writes  # which tracebacks look at
            if name and not source and not allowed(name, permitted if writes else known):
                refuse("file" if writes else "read", name)
        elif event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree"):
            name = os.fsdecode(arguments[0])
            if not allowed(name, permitted):
                refuse("file", name)
        elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
            refuse("network", event)

    def allowed(name: str, places: tuple[str, ...]) -> bool:
        return os.path.realpath(name).startswith(places)

    def refuse(kind: str, detail: str) -> None:
        if [kind, detail] not in attempts:
            attempts.append([kind, detail])
        raise PermissionError(f"{kind} is not allowed: {detail}")

    sys.addaudithook(hook)


def end_with_parent(folder: str) -> None:
    """End where the process that supervises this one has ended, and leave nothing."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(4)


def peak_memory() -> int:
    """Largest resident size so far, in bytes."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def versions_of(packages: list[str], modules: dict[str, str]) -> dict[str, str]:
    """Versions of the packages that have been imported."""
    found = {}
    for package in packages:
        if modules.get(package, package) in sys.modules:
            try:
                found[package] = importlib.metadata.version(package).partition("+")[0]
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def synthetic_features(names: list[str], n_rows: int, numpy: Any, pandas: Any) -> Any:
    """Rows of one live era as the tournament's files have them."""
    rng = numpy.random.default_rng(0)
    ids = pandas.Index([f"n{code:015x}" for code in rng.integers(2**60, size=n_rows)], name="id")
    values = rng.integers(0, 5, (len(names), n_rows), dtype=numpy.int8)
    frame = pandas.DataFrame(values.T, index=ids, columns=names, copy=False)
    frame.insert(0, "era", "X")
    return frame


def synthetic_benchmarks(names: list[str], ids: Any, numpy: Any, pandas: Any) -> Any:
    """Benchmark models of the same rows, in another order."""
    rng = numpy.random.default_rng(1)
    values = rng.random((len(ids), len(names)))
    frame = pandas.DataFrame(values, index=ids, columns=names)
    frame.insert(0, "era", "X")
    return frame.iloc[rng.permutation(len(ids))]


def describe(result: Any, ids: Any, pandas: Any, numpy: Any) -> dict[str, Any]:
    """What the tournament looks at in a result."""
    kind = type(result)
    found: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}"}
    found["is_frame"] = kind is pandas.DataFrame
    if not found["is_frame"]:
        return found
    found["n_rows"] = len(result)
    found["columns"] = [str(name) for name in result.columns]
    found["n_missing"] = int(result.isna().to_numpy().sum())
    found["same_index"] = bool(result.index.equals(ids))
    found["index_name"] = None if result.index.name is None else str(result.index.name)
    found["repeated"] = int(result.index.duplicated().sum())
    found["same_ids"] = (
        len(result) == len(ids) and not found["repeated"] and bool(result.index.isin(ids).all())
    )
    if len(result) and result.shape[1]:
        column = result.iloc[:, 0]
        found["is_numeric"] = pandas.api.types.is_numeric_dtype(column) and not (
            pandas.api.types.is_complex_dtype(column) or pandas.api.types.is_bool_dtype(column)
        )
        first = column.to_numpy(dtype=float, na_value=numpy.nan) if found["is_numeric"] else []
        found["is_numeric"] = bool(numpy.isfinite(first).any())
        if found["is_numeric"]:
            found["minimum"] = float(numpy.nanmin(first))
            found["maximum"] = float(numpy.nanmax(first))
    return found


def alike(first: Any, other: Any, numpy: Any) -> bool:
    """Whether two results of the same rows agree but for rounding and its ties."""
    if type(other) is not type(first) or list(other.columns) != list(first.columns):
        return False
    try:
        other = other.loc[first.index].iloc[:, 0].to_numpy(dtype=float)
        first = first.iloc[:, 0].to_numpy(dtype=float)
    except Exception:
        return False
    if numpy.allclose(first, other, rtol=0, atol=1e-6):
        return True
    if not (other.min() >= 0.0 and other.max() <= 1.0):  # NaN included
        return False
    with numpy.errstate(all="ignore"):
        return bool(numpy.corrcoef(first, other)[0, 1] > 0.9999)


def main() -> None:
    order = json.loads(sys.argv[1])
    out = os.fdopen(order["descriptor"], "w", buffering=1)
    attempts: list[list[str]] = []

    def tell(stage: str, **found: Any) -> None:
        out.write(json.dumps({"stage": stage, **found}) + "\n")
        out.flush()

    def leave(code: int) -> None:
        """End at once: what the end of an interpreter does is no matter here."""
        for stream in (out, sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)

    def attempt(stage: str, function: Callable[[], Any]) -> Any:
        """What a function returns; if it raises, why, and the end."""
        tell("begin", name=stage)
        try:
            return function()
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)
            where = frames[-1] if frames else None
            tell(
                "error",
                name=stage,
                type=type(error).__name__,
                message=" ".join(str(error).split())[:500],
                module=getattr(error, "name", None) if isinstance(error, ImportError) else None,
                line=f"{where.filename}:{where.lineno}" if where else "",
                attempts=attempts,
                missing=finder.missing,
                peak=peak_memory(),
            )
            leave(3)

    threading.Thread(target=end_with_parent, args=(order["folder"],), daemon=True).start()
    os.set_inheritable(order["descriptor"], False)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    finder = OnlyListed(closure(order["packages"], order["modules"]))
    import numpy
    import pandas

    def read(path: str | None) -> Any:
        return None if path is None else pandas.read_parquet(path)

    features, benchmarks = read(order["features"]), read(order["benchmarks"])
    for name in [name for name in sys.modules if name.partition(".")[0] == "sknumerai"]:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    forbid(attempts, [os.path.realpath(order["path"])])
    socket.setdefaulttimeout(1.0)
    tell("ready", python=platform.python_version())

    start = time.perf_counter()
    model = attempt("load", lambda: pandas.read_pickle(order["path"]))
    tell("loaded", seconds=time.perf_counter() - start)
    n_parameters = attempt("signature", lambda: len(inspect.signature(model).parameters))
    tell("signature", n_parameters=n_parameters)
    if n_parameters not in (1, 2):
        leave(0)
    if features is None:
        names = list(getattr(model, "feature_names", []))
        tell("features", known=bool(names))
        if not names:
            leave(0)
        features = synthetic_features(names, order["n_rows"], numpy, pandas)
    if benchmarks is None:
        names = [*getattr(model, "benchmark", [])] or ["benchmark"]
        benchmarks = synthetic_benchmarks(names, features.index, numpy, pandas)
    tell("rows", n_rows=len(features))

    def run(features: Any, benchmarks: Any) -> Any:
        given = (features,) if n_parameters == 1 else (features, benchmarks)
        return model(*(None if table is None else table.copy() for table in given))

    ids = features.index
    start = time.perf_counter()
    first = attempt("run", lambda: run(features, benchmarks))
    seconds = time.perf_counter() - start
    result = attempt("result", lambda: describe(first, ids, pandas, numpy))
    versions = versions_of(order["packages"], order["modules"])
    tell("ran", seconds=seconds, peak=peak_memory(), attempts=attempts, result=result)
    tell("versions", versions=versions)
    complete = result["is_frame"] and result["same_ids"] and not result["n_missing"]
    if complete and result.get("is_numeric"):
        values = attempt("result", lambda: first.loc[ids].iloc[:, 0].astype(float).tolist())
        tell("values", values=values, ids=[str(name) for name in ids])
        again = attempt("second run", lambda: run(features, benchmarks))
        tell("repeated", alike=alike(first, again, numpy))
        shuffled = numpy.random.default_rng(0).permutation(len(features))
        other = attempt("shuffled rows", lambda: run(features.iloc[shuffled], benchmarks))
        tell("shuffled", alike=alike(first, other, numpy))
        if "era" in features.columns and features["era"].nunique(dropna=False) == 1:
            other = attempt("no era", lambda: run(features.drop(columns="era"), benchmarks))
            tell("no era", alike=alike(first, other, numpy))
    tell("done", peak=peak_memory(), attempts=attempts, seconds=time.perf_counter() - start)
    leave(0)


if __name__ == "__main__":
    main()
