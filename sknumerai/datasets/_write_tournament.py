"""A synthetic tournament as files in the layout of the real ones."""

from __future__ import annotations

import json
from contextlib import ExitStack
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
from sknumerai._optional import import_optional
from sknumerai._typing import RandomState
from sknumerai.datasets._generator import TournamentGenerator
from sknumerai.datasets._make_tournament import era_frame

__all__ = ["write_tournament"]


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
        id. ``features``: the JSON file of feature sets, groups and targets. Files without rows
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
    names = [name for part in parts for name in (part, f"{part}_example_preds")]
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
        temporary["features"].write_text(json.dumps(_features_json(generator), indent=2))
        for part, eras in parts.items():
            with ExitStack() as stack:
                writers = {
                    name: stack.enter_context(_RowGroupWriter(path, eras_per_row_group))
                    for name, path in temporary.items()
                    if name in (part, f"{part}_example_preds")
                    or (name == "meta_model" and part == "validation")
                }
                for number in eras:
                    _write_era(generator, number, part, writers)
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
    generator: TournamentGenerator, number: int, part: str, writers: dict[str, _RowGroupWriter]
) -> None:
    era = generator.era(number)
    frame = era_frame(era, generator.feature_names)
    writers[part].write(frame)
    predictions = pd.DataFrame({"prediction": era.example_predictions}, index=frame.index)
    writers[f"{part}_example_preds"].write(predictions)
    if "meta_model" in writers:
        meta_model = frame[["era", "data_type"]].assign(numerai_meta_model=era.meta_model)
        writers["meta_model"].write(meta_model)


def _features_json(generator: TournamentGenerator) -> dict[str, Any]:
    """Content of features.json. As in the real one, "small" holds the most useful features."""
    names = generator.feature_names
    ranked = generator.feature_ranking
    sizes = {"small": 42 / 2376, "medium": 705 / 2376}
    feature_sets = {
        name: sorted(names[i] for i in ranked[: int(np.ceil(share * len(names)))])
        for name, share in sizes.items()
    }
    return {
        "feature_sets": feature_sets | {"all": names} | generator.feature_groups,
        "targets": ["target_60", "target"],
    }


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
