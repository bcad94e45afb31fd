"""The function score_files()."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from os import PathLike

import numpy as np
import pandas as pd

from sknumerai._typing import Array, EraLabel, Source
from sknumerai._warnings import warn_of_eras
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics._era_table import warn_of_unscored
from sknumerai.streaming._scored_eras import ScoredEras, choose_metrics, score_era

__all__ = ["score_files"]


def score_files(
    predictions: Source,
    targets: Source,
    *,
    features: Source | None = None,
    meta_model: Source | None = None,
    benchmark: Source | None = None,
    metrics: Sequence[str] | None = None,
    prediction_columns: str | Sequence[str] | None = None,
    target_column: str = "target",
    meta_model_column: str | None = None,
    benchmark_column: str | None = None,
    feature_set: str | None = None,
    features_json: str | PathLike[str] | None = None,
    feature_columns: str | Sequence[str] | None = None,
    era_column: str = "era",
    executor: int | Executor | None = None,
    verbose: bool | int = False,
) -> pd.DataFrame:
    """Score the predictions of a file era by era, with all metrics that the files given allow.

    The numbers are those of `sknumerai.metrics.era_table`; memory holds a few eras of features,
    and the other tables.

    Parameters
    ----------
    predictions : str, path-like or sequence of these
        CSV, CSV.gz or parquet with the ids as column "id" or as index: a file, a list of files, a
        folder of parts or a glob. Rows in any order.
    targets : str, path-like or sequence of these
        Parquet with ids, eras and targets, likewise; its features are not read.
    features : str, path-like or sequence of these, default=None
        Parquet with ids, eras and features, for FNC and exposures; it may be that of the targets.
    meta_model, benchmark : str, path-like or sequence of these, default=None
        CSV, CSV.gz or parquet, for MMC and BMC. Up to a fifth of an era's rows may lack them;
        eras that lack more have no such score. Other rows are ignored.
    metrics : sequence of str, default=None
        Names of metrics, as in `era_table`, that score one era at a time. None means all default
        ones whose tables are given.
    prediction_columns : str or sequence of str, default=None
        None means "prediction" if there is one, else all numeric columns but the eras.
    target_column : str, default="target"
        NaN where there is no target. Eras without any are left out.
    meta_model_column, benchmark_column : str, default=None
        None means "prediction", else the only numeric column.
    feature_set, features_json, feature_columns, era_column
        As in `clip_files`.
    executor : int, Executor or None, default=None
        Who computes, as in `clip_files`. Without features it is this process.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    table : DataFrame of shape (n_eras, n_metrics) or (n_eras, n_predictions * n_metrics)
        As `era_table`: eras in their order; columns are metrics, or predictions and metrics where
        the file has several predictions. NaN in eras that the meta model or benchmark lacks. Its
        ``attrs`` have "n_rows", "n_features", and the labels of the eras "without_targets", which
        are not in the table, "without_meta_model" and "without_benchmark".

    Raises
    ------
    ValueError, OSError
        If files cannot be read, or do not fit together.
    LostWorkersError
        If the executor lost its workers again and again.
    ImportError
        If pyarrow is not installed (extra "data").

    Warns
    -----
    UnscoredErasWarning
        If there are eras without targets, or whose meta model or benchmark is missing; it counts
        them.
    ConstantPredictionWarning
        If a prediction, what it is compared to or what neutralization leaves of it is constant in
        an era: the score is NaN there.

    See Also
    --------
    sknumerai.metrics.era_table : The same in memory.
    sknumerai.metrics.score_summary : Statistics of the table.

    Examples
    --------
    >>> import tempfile
    >>> from sknumerai.datasets import write_tournament
    >>> from sknumerai.streaming import score_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=9, n_stocks=50, n_features=9, random_state=0)
    ...     table = score_files(
    ...         paths.validation_example_preds, paths.validation, features=paths.validation
    ...     )
    >>> table.columns.tolist()
    ['numerai_corr', 'fnc', 'max_exposure']
    """
    given = {"features": features, "meta_model": meta_model, "benchmark": benchmark}
    names = choose_metrics(metrics, [name for name, file in given.items() if file is not None])
    eras = ScoredEras(
        predictions,
        targets,
        **given,
        prediction_columns=prediction_columns,
        target_column=target_column,
        meta_model_column=meta_model_column,
        benchmark_column=benchmark_column,
        feature_set=feature_set,
        features_json=features_json,
        feature_columns=feature_columns,
        era_column=era_column,
    )
    scores = eras.compute(partial(score_era, metrics=names), executor=executor, verbose=verbose)
    rows = eras.rows
    table = _tabulate(scores, rows.labels, eras.predicted, names)
    table.attrs = {
        "n_rows": len(rows.targets),
        "n_features": eras.n_features,
        "without_targets": rows.without_targets,
        "without_meta_model": rows.without("meta_model") if meta_model is not None else [],
        "without_benchmark": rows.without("benchmark") if benchmark is not None else [],
    }
    warn_of_unscored(table.attrs)
    return table


def _tabulate(
    scores: list[dict[str, Array]],
    labels: list[EraLabel],
    predictions: list[str],
    metrics: list[str],
) -> pd.DataFrame:
    """The scores as `era_table` has them; a warning where one is NaN that could be computed."""
    warn_of_eras(
        "a prediction, what it is compared to or what neutralization leaves of it is constant, so "
        "that the score is NaN there.",
        [
            label
            for label, era in zip(labels, scores, strict=True)
            if any(np.isnan(values).any() for values in era.values())
        ],
        ConstantPredictionWarning,
    )
    nothing = np.full(len(predictions), np.nan)
    values = np.array([[era.get(name, nothing) for name in metrics] for era in scores])
    index = pd.Index(labels, name="era")
    if len(predictions) == 1:
        return pd.DataFrame(values[:, :, 0], index, metrics)
    columns = pd.MultiIndex.from_product([predictions, metrics], names=["prediction", "metric"])
    return pd.DataFrame(values.transpose(0, 2, 1).reshape(len(labels), -1), index, columns)
