"""A synthetic tournament as files in the layout of the real ones."""

from __future__ import annotations

from contextlib import ExitStack
from numbers import Integral
from os import PathLike
from pathlib import Path

from sklearn.utils import Bunch
from sklearn.utils.validation import check_scalar
from tqdm import tqdm

from sknumerai._atomic import replace_together
from sknumerai._optional import import_optional
from sknumerai._typing import RandomState
from sknumerai.datasets._generator import TournamentGenerator
from sknumerai.datasets._layouts import Layout, RecentLayout
from sknumerai.datasets._other_layouts import CryptoLayout, SignalsLayout
from sknumerai.datasets._row_group_writer import RowGroupWriter

__all__ = ["write_tournament"]

LAYOUTS: dict[str, type[Layout]] = {
    "v5.0": Layout,
    "v5.3": RecentLayout,
    "crypto/v2.0": CryptoLayout,
    "signals/v3.0": SignalsLayout,
}


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
    version : {"v5.0", "v5.3", "crypto/v2.0", "signals/v3.0"}, default="v5.0"
        Layout of the files. That of "v5.3" is a download of today: several targets of 20 and of 60
        days, of which ``target`` is another name of ``target_ender_60``; the last 4 and 12
        validation eras have no target of 20 and 60 days yet, and those without ``target`` have
        data_type "test"; the meta model covers the second half of the validation eras; benchmark
        models; a "small" set with features of every group. The last two are those of Numerai
        Crypto and Numerai Signals: the same stocks on every date, features in float32.
    overwrite : bool, default=False
        Whether to replace files that exist.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    paths : :class:`~sklearn.utils.Bunch`
        Paths by name. Files without rows (`n_validation_eras` 0 or `n_eras`) are not written.

        ``train``, ``validation`` and ``live``: columns era, data_type, features (int8), target,
        target_60 (float32), index id. ``train_example_preds``, ``validation_example_preds`` and
        ``live_example_preds``: column prediction, index id. ``meta_model``: columns era,
        data_type, numerai_meta_model for the validation rows, index id. With version "v5.3" also
        ``train_benchmark_models`` and so on: columns era and one per model. ``features``: the
        JSON file of feature sets, groups and targets.

        Crypto: ``train`` (all dates) and ``live``: columns date (days as text), features,
        target_binned_return_20 and target_binned_return_60 (in ``train``), index symbol.

        Signals: ``train``, ``validation`` and ``live``: columns date (Fridays as text),
        composite_figi, numerai_ticker, data_type, feature_country (text), features,
        target_jupiter_20, target_jupiter_60; ``validation_example_preds``: date,
        numerai_ticker, signal; ``validation_neutralizer``: date, numerai_ticker and the columns
        that the targets are neutral to.

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
    if version not in LAYOUTS:
        raise ValueError(f"version must be one of {', '.join(LAYOUTS)}; found {version!r}.")
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
    layout = LAYOUTS[version](generator)
    parts, documents = layout.parts(), layout.documents()
    paths = {name: folder / f"{name}.parquet" for part in parts for name in layout.files(part)} | {
        name: folder / f"{name}.json" for name in documents
    }
    if not overwrite and (existing := [path.name for path in paths.values() if path.exists()]):
        raise FileExistsError(
            f"folder {folder} already holds {', '.join(existing)}; pass overwrite=True to replace "
            "them, or choose another folder."
        )

    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"folder {folder} is a file; name a folder.")
    _check_strangers(folder, paths)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        replace_together(paths) as temporary,
        tqdm(
            total=generator.n_tables, desc="write_tournament", unit="era", disable=not verbose
        ) as progress,
    ):
        for name, text in documents.items():
            temporary[name].write_text(text)
        for part, eras in parts.items():
            with ExitStack() as stack:
                writers = {
                    name: stack.enter_context(RowGroupWriter(temporary[name], eras_per_row_group))
                    for name in layout.files(part)
                }
                for number in eras:
                    for name, table in layout.tables(number, part).items():
                        writers[name].write(table)
                    progress.update()
    return Bunch(**paths)


def _check_strangers(folder: Path, paths: dict[str, Path]) -> None:
    """Insist that no file of another layout stays beside the new ones."""
    known = {
        f"{part}{kind}"
        for part in ("train", "validation", "live")
        for kind in (*RecentLayout.kinds, "_neutralizer")
    }
    left = [name for name in sorted(known - set(paths)) if (folder / f"{name}.parquet").exists()]
    if left:
        raise ValueError(
            f"folder {folder} holds {left[0]}.parquet, which this version does not write and which "
            "would be left beside the new files; remove it, or choose another folder."
        )
