"""The function neutralize_files()."""

from __future__ import annotations

from functools import partial
from os import PathLike
from typing import Unpack

import numpy as np

from sknumerai._kernels.correlation import pearson
from sknumerai._kernels.exposure import max_exposures
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._sklearn import validate_params
from sknumerai._typing import Array, Normalize, Scale, Source
from sknumerai.neutralization import _neutralize
from sknumerai.neutralization._neutralize import NORMALIZE, PROPORTION, SCALE
from sknumerai.streaming._stream_report import StreamReport
from sknumerai.streaming._transformed import (
    EraResult,
    TransformOptions,
    check_options,
    transform_files,
)

__all__ = ["neutralize_files"]


@validate_params(
    {"proportion": [PROPORTION], "normalize": NORMALIZE, "scale": SCALE},
    prefer_skip_nested_validation=True,
)
def neutralize_files(
    predictions: Source,
    features: Source,
    output: str | PathLike[str],
    *,
    proportion: float = 1.0,
    normalize: Normalize = None,
    scale: Scale = None,
    **options: Unpack[TransformOptions],
) -> StreamReport:
    """Neutralize the predictions of a file against the features of others, era by era.

    The numbers are those of `sknumerai.neutralization.neutralize`; memory holds a few eras of
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
    proportion : float, default=1.0
        Share of the linear part to remove, in [0, 1].
    normalize : {None, "rank", "gaussian"}, default=None
        Per era, before: ranks in (0, 1), or normal quantiles of them.
    scale : {None, "minmax", "std"}, default=None
        Per era, after: onto [0, 1], or to unit standard deviation.
    **options : dict
        Those of `clip_files`, from `prediction_columns` on.

    Returns
    -------
    report : StreamReport

    Raises
    ------
    ValueError, OSError
        If files cannot be read or written, or do not fit together.
    LostWorkersError
        If the executor lost its workers again and again.
    ImportError
        If pyarrow is not installed (extra "data").

    See Also
    --------
    sknumerai.neutralization.neutralize : The same in memory.
    clip_files : Removes only as much as a limit on the exposures demands.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.neutralize``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sknumerai.datasets import write_tournament
    >>> from sknumerai.streaming import neutralize_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=6, n_stocks=50, n_features=9, random_state=0)
    ...     report = neutralize_files(
    ...         paths.validation_example_preds, paths.validation, Path(folder) / "neutral.parquet"
    ...     )
    >>> report.n_eras, bool(report.per_era["max_exposure_after"].max() < 1e-6)
    (2, True)
    """
    check_options("neutralize_files", options)
    kernel = partial(neutralize_era, proportion=proportion, normalize=normalize, scale=scale)
    return transform_files(kernel, predictions, features, output, **options)


def neutralize_era(
    predictions: Array,
    features: Array,
    *,
    proportion: float,
    normalize: Normalize,
    scale: Scale,
) -> EraResult:
    """Neutralize one era and report on it."""
    values = _neutralize.neutralize_era(
        predictions, features, proportions=[proportion], normalize=normalize, scale=scale
    )
    normalized = normalize_columns(predictions, normalize)
    found = max_exposures(np.column_stack([normalized, values]), features)
    before, after = np.split(found, 2)
    correlation = pearson(normalized, values)
    return EraResult(values, before, after, correlation, np.ones(values.shape[1]))
