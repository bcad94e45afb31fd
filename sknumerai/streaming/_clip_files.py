"""The function clip_files()."""

from __future__ import annotations

from functools import partial
from numbers import Real
from os import PathLike
from typing import Any, Unpack

import numpy as np

from sknumerai._sklearn import Interval, StrOptions, validate_params
from sknumerai._typing import Array, Normalize, Scale, Source
from sknumerai.neutralization._clipping import clipped_predictions
from sknumerai.neutralization._neutralize import NORMALIZE, SCALE
from sknumerai.streaming._stream_report import StreamReport
from sknumerai.streaming._transformed import (
    EraResult,
    TransformOptions,
    check_options,
    transform_files,
)

__all__ = ["clip_files"]


@validate_params(
    {
        "max_exposure": [Interval(Real, 0, 1, closed="both")],
        "bounds": [StrOptions({"symmetric", "shrink"})],
        "normalize": NORMALIZE,
        "scale": SCALE,
        "tol": [Interval(Real, 0, None, closed="neither")],
        "on_infeasible": [StrOptions({"raise", "warn"})],
    },
    prefer_skip_nested_validation=True,
)
def clip_files(
    predictions: Source,
    features: Source,
    output: str | PathLike[str],
    *,
    max_exposure: float = 0.1,
    bounds: str = "symmetric",
    normalize: Normalize = None,
    scale: Scale = None,
    tol: float = 1e-9,
    on_infeasible: str = "raise",
    **options: Unpack[TransformOptions],
) -> StreamReport:
    """Clip the feature exposures of the predictions of a file, changing them least.

    The numbers are those of `sknumerai.neutralization.clip_exposure`; memory holds a few eras of
    features, and the predictions. The output is complete or absent at any time.

    Parameters
    ----------
    predictions : str, path-like or sequence of these
        CSV, CSV.gz or parquet with the ids as column "id" or as index: a file, a list of files, a
        folder of parts or a glob. Rows in any order.
    features : str, path-like or sequence of these
        Parquet with ids, eras and features, likewise. Eras without predictions are skipped.
    output : str or path-like
        CSV or parquet to write: ids and predictions, in the order of the predictions.
    max_exposure : float, default=0.1
        Largest absolute correlation with a feature in an era, in [0, 1].
    bounds : {"symmetric", "shrink"}, default="symmetric"
        "shrink": besides, no exposure may grow or change its sign.
    normalize : {None, "rank", "gaussian"}, default=None
        Per era, before: ranks in (0, 1), or normal quantiles of them.
    scale : {None, "minmax", "std"}, default=None
        Per era, after: onto [0, 1], or to unit standard deviation.
    tol : float, default=1e-9
        Bound on the violation of limits and on the distance from the optimum.
    on_infeasible : {"raise", "warn"}, default="raise"
        What to do where the limit cannot be met: stop, or widen it.
    **options : dict
        Any of these:

        - prediction_columns (str or sequence of str): None, the default, means "prediction" if
          there is one, else all numeric columns but the eras.
        - feature_set (str): set or group of features.json whose features to use.
        - features_json (str or path-like): None means the one beside the features.
        - feature_columns (str or sequence of str): a regular expression, or names; None means names
          that start with "feature".
        - era_column (str): "era" by default.
        - single_era (bool): take all rows as one era, as in a live file, which is read whole; False
          by default.
        - executor (int or Executor): who computes. None, the default, is this thread; a number is
          so many threads of this process, or whatever ``joblib.parallel_config`` names; an object
          with the interface of `concurrent.futures.Executor` gets tasks of a few eras, for which
          its workers read the files themselves, by the same paths.
        - overwrite (bool): whether to replace an output that exists; False by default.
        - verbose (bool): whether to show a progress bar; False by default.

    Returns
    -------
    report : StreamReport

    Raises
    ------
    InfeasibleExposureError
        If the limit cannot be met in some era.
    ValueError, OSError
        If files cannot be read or written, or do not fit together.
    LostWorkersError
        If the executor lost its workers again and again.
    ImportError
        If pyarrow is not installed (extra "data").

    See Also
    --------
    sknumerai.neutralization.clip_exposure : The same in memory.
    neutralize_files : Removes all exposures.

    References
    ----------
    .. [1] "Model diagnostics: feature exposure",
       https://forum.numer.ai/t/model-diagnostics-feature-exposure/899

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sknumerai.datasets import write_tournament
    >>> from sknumerai.streaming import clip_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=6, n_stocks=50, n_features=9, random_state=0)
    ...     report = clip_files(
    ...         paths.validation_example_preds, paths.validation, Path(folder) / "clipped.parquet"
    ...     )
    >>> bool(report.per_era["max_exposure_after"].max() < 0.1 + 1e-9)
    True
    """
    check_options("clip_files", options)
    kernel = partial(
        clip_era,
        limit=float(max_exposure),
        bounds=bounds,
        normalize=normalize,
        scale=scale,
        tol=tol,
        widen=on_infeasible == "warn",
    )
    return transform_files(kernel, predictions, features, output, **options)


def clip_era(predictions: Array, features: Array, *, limit: float, **options: Any) -> EraResult:
    """Clip one era and report on it; options are those of `clipped_predictions`."""
    limits = np.full(features.shape[1], limit)
    values, records = clipped_predictions(predictions, features, limits=limits, **options)
    correlation = np.array([record.correlation for record in records])
    before = np.array([np.abs(record.exposures_before).max() for record in records])
    return EraResult(
        values,
        np.where(np.isnan(correlation), np.nan, before),
        np.array([np.abs(record.exposures_after).max() for record in records]),
        correlation,
        np.array([record.multiple for record in records]),
    )
