"""A synthetic tournament as files in the layout of the real ones."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import zip_longest
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sklearn.utils.validation import check_scalar
from tqdm import tqdm

from sknumerai._atomic import replace_together
from sknumerai._kernels.horizons import horizon_of
from sknumerai._kernels.purging import DAYS_PER_ERA
from sknumerai._optional import import_optional
from sknumerai._typing import RandomState
from sknumerai.datasets._generator import AUXILIARY_TARGETS, Era, TournamentGenerator
from sknumerai.datasets._make_tournament import era_frame

__all__ = ["write_tournament"]

NOW = "v5.3"
VERSIONS = ("v5.0", NOW)
KINDS = ("", "_example_preds", "_benchmark_models")
SMALLEST_SET = 12  # features that a model can be tried on


def write_tournament(
    folder: str | PathLike[str],
    n_eras: int = 40,
    n_stocks: int = 500,
    n_features: int = 42,
    *,
    n_groups: int | None = None,
    n_validation_eras: int | None = None,
    linear_corr: float = 0.02,
    linear_risk: float = 0.03,
    nonlinear_corr: float = 0.03,
    missing_features: float = 0.05,
    missing_eras: int | None = None,
    eras_per_row_group: int = 4,
    version: str = "v5.0",
    overwrite: bool = False,
    random_state: RandomState = None,
    verbose: bool = False,
) -> Bunch:
    """Write a synthetic tournament in the files of the real one.

    The rows are those of :func:`make_tournament` with ``live=True``, written era by era: memory
    holds `eras_per_row_group` eras. Files get their final names when all of them are complete.

    Parameters
    ----------
    folder : str or path-like
        Where to write; made if absent.
    n_eras, n_stocks, n_features : int
        As in :func:`make_tournament`, like all parameters not described here.
    n_groups, n_validation_eras : int, default=None
    linear_corr, linear_risk, nonlinear_corr, missing_features : float
    missing_eras : int, default=None
    eras_per_row_group : int, default=4
        Eras in one parquet row group.
    version : {"v5.0", "v5.3"}, default="v5.0"
        Layout of the files. That of "v5.3" is a download of today: several targets of 20 and of 60
        days, of which ``target`` is another name of ``target_ender_60``; the last 4 and 12
        validation eras have no target of 20 and 60 days yet, and those without ``target`` have
        data_type "test"; the meta model covers the second half of the validation eras; benchmark
        models; a "small" set with features of every group.
    overwrite : bool, default=False
        Whether to replace files that exist.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    paths : :class:`~sklearn.utils.Bunch`
        Paths by name. ``train``, ``validation`` and ``live``: columns era, data_type, features
        (int8), target, target_60 (float32), index id. ``train_example_preds``,
        ``validation_example_preds`` and ``live_example_preds``: column prediction, index id.
        ``meta_model``: columns era, data_type, numerai_meta_model for the validation rows, index
        id. With version "v5.3" also ``train_benchmark_models`` and so on: columns era and one per
        model. ``features``: the JSON file of feature sets, groups and targets. Files without rows
        (`n_validation_eras` 0 or `n_eras`) are not written.

    Raises
    ------
    FileExistsError
        If one of the files exists and `overwrite` is False.
    ImportError
        If pyarrow is not installed (extra "data").

    See Also
    --------
    read_tournament, iter_eras : Read the files.

    Examples
    --------
    >>> import tempfile
    >>> from sknumerai.datasets import read_tournament, write_tournament
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=3, n_stocks=20, n_features=10, random_state=0)
    ...     train = read_tournament(paths.train, columns=["target"])
    >>> train.groupby("era").size().tolist()
    [20, 20]
    """
    check_scalar(eras_per_row_group, "eras_per_row_group", Integral, min_val=1)
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(VERSIONS)}; found {version!r}.")
    import_optional("pyarrow.parquet", extra="data")
    generator = TournamentGenerator(
        n_eras=n_eras,
        n_stocks=n_stocks,
        n_features=n_features,
        n_groups=n_groups,
        n_validation_eras=n_validation_eras,
        linear_corr=linear_corr,
        linear_risk=linear_risk,
        nonlinear_corr=nonlinear_corr,
        missing_features=missing_features,
        missing_eras=missing_eras,
        live=True,
        random_state=random_state,
    )
    folder = Path(folder)
    parts = _parts(generator)
    kinds = KINDS if version == NOW else KINDS[:2]
    names = [f"{part}{kind}" for part in parts for kind in kinds]
    names += ["meta_model"] * ("validation" in parts)
    paths = {name: folder / f"{name}.parquet" for name in names}
    paths["features"] = folder / "features.json"
    if not overwrite and (existing := [path.name for path in paths.values() if path.exists()]):
        raise FileExistsError(
            f"folder {folder} already holds {', '.join(existing)}; pass overwrite=True to replace "
            "them, or choose another folder."
        )

    folder.mkdir(parents=True, exist_ok=True)
    with (
        replace_together(paths) as temporary,
        tqdm(
            total=generator.n_tables, desc="write_tournament", unit="era", disable=not verbose
        ) as progress,
    ):
        content = _features_json(generator, version)
        temporary["features"].write_text(json.dumps(content, indent=2))
        for part, eras in parts.items():
            with ExitStack() as stack:
                writers = {
                    name: stack.enter_context(_RowGroupWriter(path, eras_per_row_group))
                    for name, path in temporary.items()
                    if name in [f"{part}{kind}" for kind in kinds]
                    or (name == "meta_model" and part == "validation")
                }
                for number in eras:
                    _write_era(generator, number, part, writers, version)
                    progress.update()
    return Bunch(**paths)


def _parts(generator: TournamentGenerator) -> dict[str, range]:
    """Era numbers by data type, without the empty ones."""
    n_train, n_eras = generator.n_train_eras, generator.n_eras
    parts = {
        "train": range(n_train),
        "validation": range(n_train, n_eras),
        "live": range(n_eras, n_eras + 1),
    }
    return {part: eras for part, eras in parts.items() if len(eras)}


def _write_era(
    generator: TournamentGenerator,
    number: int,
    part: str,
    writers: dict[str, _RowGroupWriter],
    version: str,
) -> None:
    era = generator.era(number)
    frame = era_frame(era, generator.feature_names)
    has_meta_model = "meta_model" in writers
    if version == NOW:
        frame, models = _as_of_now(generator, number, era, frame)
        writers[f"{part}_benchmark_models"].write(models)
        first = generator.n_train_eras + generator.n_validation_eras // 2
        has_meta_model = has_meta_model and number >= first
    writers[part].write(frame)
    predictions = pd.DataFrame({"prediction": era.example_predictions}, index=frame.index)
    writers[f"{part}_example_preds"].write(predictions)
    if has_meta_model:
        meta_model = frame[["era", "data_type"]].assign(numerai_meta_model=era.meta_model)
        writers["meta_model"].write(meta_model)


def _as_of_now(
    generator: TournamentGenerator, number: int, era: Era, frame: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and benchmark models of an era as in a download of today."""
    targets, models = generator.auxiliary(number, era)
    is_validation = generator.n_train_eras <= number < generator.n_eras
    for name, target in targets.items():
        horizon = horizon_of([name])
        if is_validation and number >= generator.n_eras - horizon // DAYS_PER_ERA:
            targets[name] = np.full_like(target, np.nan)
    columns = {"target": targets["target_ender_60"]} | targets
    features = frame.drop(columns=["target", "target_60"])
    if is_validation and np.isnan(columns["target"]).all():
        features["data_type"] = "test"
    rows = pd.concat([features, pd.DataFrame(columns, index=frame.index)], axis=1)
    return rows, pd.DataFrame({"era": era.label} | models, index=frame.index)


def _features_json(generator: TournamentGenerator, version: str) -> dict[str, Any]:
    """Content of features.json. As in the real one, "small" holds the most useful features."""
    names = generator.feature_names
    ranked = generator.feature_ranking
    if version == NOW:
        return _features_json_of_now(generator)
    sizes = {"small": 42 / 2376, "medium": 705 / 2376}
    feature_sets = {
        name: sorted(names[i] for i in ranked[: int(np.ceil(share * len(names)))])
        for name, share in sizes.items()
    }
    return {
        "feature_sets": feature_sets | {"all": names} | generator.feature_groups,
        "targets": ["target_60", "target"],
    }


def _features_json_of_now(generator: TournamentGenerator) -> dict[str, Any]:
    """The same with sets that hold the most useful features of every group."""
    names, groups = generator.feature_names, generator.feature_groups
    rank = {names[number]: place for place, number in enumerate(generator.feature_ranking)}
    by_turns = [
        name
        for turn in zip_longest(*(sorted(group, key=rank.__getitem__) for group in groups.values()))
        for name in turn
        if name is not None
    ]
    small = max(len(names) * 42 // 2376, min(len(names), SMALLEST_SET))
    medium = max(len(names) * 780 // 2376, min(len(names), 2 * small))
    sets = {"small": sorted(by_turns[:small]), "medium": sorted(by_turns[:medium])}
    targets = [
        f"target_{name}_{days}" for name in ("ender", *AUXILIARY_TARGETS) for days in (20, 60)
    ]
    return {"feature_sets": sets | {"all": names} | groups, "targets": ["target", *targets]}


class _RowGroupWriter:
    """Parquet file that gets frames one by one and holds several in each row group."""

    def __init__(self, path: Path, frames_per_row_group: int):
        self._path = path
        self._size = frames_per_row_group
        self._tables: list[Any] = []
        self._writer: Any = None
        self._schema: Any = None

    def __enter__(self) -> _RowGroupWriter:
        return self

    def __exit__(self, error_type: Any, *_: Any) -> None:
        if error_type is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def write(self, frame: pd.DataFrame) -> None:
        pa = import_optional("pyarrow", extra="data")
        if self._schema is None:
            pq = import_optional("pyarrow.parquet", extra="data")
            schema = pa.Schema.from_pandas(frame)
            # Text is plain "string" in the real files, whatever pandas holds it in.
            for i, column in enumerate(schema):
                if pa.types.is_large_string(column.type):
                    schema = schema.set(i, column.with_type(pa.string()))
            self._schema = schema
            # Bounds of thousands of feature columns would only make the footer large.
            bounded = [name for name in ("era", "data_type") if name in frame.columns]
            self._writer = pq.ParquetWriter(self._path, schema, write_statistics=bounded)
        self._tables.append(pa.Table.from_pandas(frame, schema=self._schema))
        if len(self._tables) == self._size:
            self._flush()

    def _flush(self) -> None:
        if self._tables:
            pa = import_optional("pyarrow", extra="data")
            table = pa.concat_tables(self._tables)
            self._tables = []
            self._writer.write_table(table, row_group_size=table.num_rows)
