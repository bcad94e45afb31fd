"""The function run_upload()."""

from __future__ import annotations

import inspect
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd


def run_upload(
    path: str | PathLike[str],
    live_features: pd.DataFrame,
    live_benchmark_models: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Predict with an upload here, for submitting a file of predictions.

    Nothing keeps the file's code apart: run your own files only.

    Parameters
    ----------
    path : str or path-like
        The file, as `save_upload` writes it.
    live_features : DataFrame of shape (n_samples, n_columns)
        Live rows, indexed by id.
    live_benchmark_models : DataFrame, optional
        Of the same ids.

    Returns
    -------
    predictions : DataFrame of shape (n_samples, 1)
        As the tournament takes them: column "prediction" in [0, 1], in the order of
        ``live_features``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it returns anything else.

    See Also
    --------
    check_upload : Runs it as the tournament does.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.linear_model import Ridge
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.upload import make_predict, run_upload, save_upload
    >>> tournament = make_tournament(9, 100, 10, random_state=0)
    >>> model = Ridge().fit(tournament.data, tournament.target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_upload(make_predict(model), Path(folder) / "predict.pkl")
    ...     run_upload(path, tournament.data[:100]).shape
    (100, 1)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; write one with save_upload.")
    try:
        predict = pd.read_pickle(path)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}); write it anew."
        ) from error
    if not callable(predict):
        raise ValueError(f"{path} holds a {type(predict).__name__} and no function.")
    if live_features.index.has_duplicates:
        repeated = live_features.index[live_features.index.duplicated()][0]
        raise ValueError(f"live_features has the id {repeated!r} twice; pass each row once.")
    given = (live_features, live_benchmark_models)
    predictions = predict(*given[: len(inspect.signature(predict).parameters)])
    _check(predictions, live_features.index)
    ordered: pd.DataFrame = predictions.loc[live_features.index]
    return ordered


def _check(predictions: pd.DataFrame, ids: pd.Index) -> None:
    if type(predictions) is not pd.DataFrame or list(predictions.columns) != ["prediction"]:
        raise ValueError(
            f"The function returned a {type(predictions).__name__} that is no frame of the one "
            "column 'prediction'; see check_upload."
        )
    if len(predictions) != len(ids) or not predictions.index.sort_values().equals(
        ids.sort_values()
    ):
        raise ValueError(
            f"The function returned {len(predictions)} rows for {len(ids)} live ones, or other "
            "ids; see check_upload."
        )
    if predictions["prediction"].dtype.kind not in "fiu":
        raise ValueError(
            f"The function returned predictions of type {predictions['prediction'].dtype}, which "
            "are no numbers."
        )
    values = predictions["prediction"].to_numpy(dtype=np.float64)
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError("The function returned predictions that are NaN or outside of [0, 1].")
