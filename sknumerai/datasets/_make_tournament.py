"""A synthetic tournament in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from sknumerai._typing import RandomState
from sknumerai.datasets._generator import Era, TournamentGenerator
from sknumerai.datasets._recent import recent_era

__all__ = ["make_tournament"]

VERSIONS = ("v5.0", "v5.3")


def make_tournament(
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
    live: bool = False,
    version: str = "v5.0",
    as_frame: bool = True,
    random_state: RandomState = None,
) -> Bunch:
    r"""Generate a tournament with the shape, scale and traps of the real one.

    Features are int8 ranks 0..4 in equal fifths per era, correlated within groups and a little
    across them. The target is a rank of

    .. math:: \sum_k f_{tk} L_k(x) + c \, N(x) + \varepsilon

    where :math:`L_k` is a linear combination of the features of group :math:`k`, whose return
    :math:`f_{tk}` changes from era to era and often changes sign, and :math:`N` is a sum of
    squares and products of features, which no linear model sees and whose correlation
    :math:`c` is the same in every era. Neutralizing a good prediction to the features therefore
    costs some mean and removes much risk. Returns are sums of four weeks, as those of 20-day
    targets are: neighbouring eras share three of them.

    An era depends on `random_state` and its number only: with `missing_eras` given, a longer
    tournament starts with the rows of a shorter one, `data_type` aside.

    Parameters
    ----------
    n_eras : int, default=40
        Number of weekly eras, labelled "0001", "0002", ...
    n_stocks : int, default=500
        Rows per era, 5 or more. The real tournament has about 5,000.
    n_features : int, default=42
        Number of features. The real sets have 42, 705 and 2,376.
    n_groups : int, default=None
        Number of feature groups, at most 12. None means 8, or `n_features` if that is less.
    n_validation_eras : int, default=None
        The last eras have data_type "validation". None means a third of the eras.
    linear_corr : float, default=0.02
        Mean correlation of the best constant linear prediction with the target.
    linear_risk : float, default=0.03
        Standard deviation over eras of that correlation, beside sampling noise.
    nonlinear_corr : float, default=0.03
        Correlation of the non-linear part with the target, in every era.
    missing_features : float, default=0.05
        Share of features that are missing (all 2) in early eras.
    missing_eras : int, default=None
        Missing features start in one of the eras 2 to `missing_eras` + 1, drawn uniformly.
        None means a quarter of the eras.
    live : bool, default=False
        Append one era "X" of data_type "live", whose targets are NaN.
    version : {"v5.0", "v5.3"}, default="v5.0"
        Shape of the data, as in :func:`write_tournament`: "v5.3" has more targets, some of them
        not known yet, and benchmark models.
    as_frame : bool, default=True
        Whether to return pandas objects indexed by id, or numpy arrays.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output.

    Returns
    -------
    tournament : :class:`~sklearn.utils.Bunch`
        With n_samples = (`n_eras` + `live`) * `n_stocks` rows, eras one after the other.

        frame : DataFrame or None
            Columns era, data_type, the features (int8), target, target_60 (float32; the second
            holds about 3% NaN), example_predictions and meta_model (float64), indexed by id. With
            version "v5.3" the columns of `targets` instead of these two. None if `as_frame` is
            False.
        data : DataFrame or ndarray of shape (n_samples, n_features)
            The features, int8. An array is in Fortran order.
        target, target_60 : Series or ndarray of shape (n_samples,)
            0, .25, .5, .75 and 1 with shares of 5, 20, 50, 20 and 5 % per era. With version "v5.3"
            there is no target_60, and target is the one of 60 days.
        targets, benchmark_models : DataFrame or dict of str to ndarray of shape (n_samples,)
            With version "v5.3" only: float32 targets of 20 and 60 days, NaN in the last 4 and 12
            validation eras and in live rows, and predictions of the benchmark models.
        eras, data_type : Series or ndarray of shape (n_samples,)
            Strings.
        ids : Index or ndarray of shape (n_samples,)
            Unique, "n" and 15 hex digits.
        example_predictions, meta_model : Series or ndarray of shape (n_samples,)
            In (0, 1), float64. The example predictions have a largest feature exposure of about
            0.26; the meta model blends them with better ones. With version "v5.3" it is NaN
            before the second half of the validation eras.
        linear_part, nonlinear_part : ndarray of shape (n_samples,)
            The planted signal: the correlation of each with the target is about its standard
            deviation within the era.
        factor_returns : ndarray of shape (`n_eras` + `live`, n_groups)
            The returns :math:`f_{tk}`.
        feature_names : list of str
            In the order of the columns.
        feature_groups : dict of str to list of str
            Every feature is in one group.
        DESCR : str
            A description of the tournament.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type or out of range.

    See Also
    --------
    write_tournament : The same tournament as parquet files of any length.

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> tournament = make_tournament(n_eras=3, n_stocks=100, n_features=10, random_state=0)
    >>> tournament.data.shape
    (300, 10)
    >>> tournament.target.value_counts().sort_index().tolist()
    [15, 60, 150, 60, 15]
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(VERSIONS)}; found {version!r}.")
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
        live=live,
        random_state=random_state,
    )
    # Feature by feature in memory: a frame holds it as one block without a copy.
    features = np.empty((n_features, generator.n_tables * n_stocks), dtype=np.int8)
    ids: list[str] = []
    labels: list[str] = []
    data_types: list[str] = []
    parts: list[dict[str, dict[str, np.ndarray]]] = []
    for number in range(generator.n_tables):
        era = generator.era(number)
        features[:, number * n_stocks : (number + 1) * n_stocks] = era.features
        data_type, columns = _columns(generator, number, era, version)
        parts.append(columns)
        ids += era.ids
        labels += [era.label] * n_stocks
        data_types += [data_type] * n_stocks
    columns = {
        kind: {name: np.concatenate([part[kind][name] for part in parts]) for name in names}
        for kind, names in parts[0].items()
    }

    content: dict[str, Any]
    if as_frame:
        index = pd.Index(ids, name="id")
        frame = _frame(features, labels, data_types, columns, index, generator.feature_names)
        benchmark_models: Any = pd.DataFrame(columns["benchmark_models"], index=index)
        content = {
            "frame": frame,
            "data": frame[generator.feature_names],
            "eras": frame["era"],
            "data_type": frame["data_type"],
            "ids": index,
            "targets": frame[list(columns["targets"])],
            **{name: frame[name] for name in columns["targets"] | columns["models"]},
        }
    else:
        benchmark_models = columns["benchmark_models"]
        content = {
            "frame": None,
            "data": features.T,
            "eras": np.array(labels),
            "data_type": np.array(data_types),
            "ids": np.array(ids),
            "targets": columns["targets"],
            **columns["targets"],
            **columns["models"],
        }
    if version == VERSIONS[0]:
        del content["targets"]
    else:
        content = {key: content[key] for key in content if not key.startswith("target_")}
        content["benchmark_models"] = benchmark_models
    return Bunch(
        **content,
        **columns["signal"],
        factor_returns=generator.factor_returns[: generator.n_tables],
        feature_names=generator.feature_names,
        feature_groups=generator.feature_groups,
        DESCR=describe(generator),
    )


def _columns(
    generator: TournamentGenerator, number: int, era: Era, version: str
) -> tuple[str, dict[str, dict[str, np.ndarray]]]:
    """Data type of an era, and its columns by kind and name."""
    models = {"example_predictions": era.example_predictions, "meta_model": era.meta_model}
    signal = {"linear_part": era.linear_part, "nonlinear_part": era.nonlinear_part}
    if version == VERSIONS[0]:
        targets = {"target": era.target, "target_60": era.target_60}
        kinds = {"targets": targets, "models": models, "signal": signal, "benchmark_models": {}}
        return era.data_type, kinds
    recent = recent_era(generator, number, era)
    if not recent.has_meta_model:
        models["meta_model"] = np.full_like(era.meta_model, np.nan)
    return recent.data_type, {
        "targets": recent.targets,
        "models": models,
        "signal": signal,
        "benchmark_models": recent.benchmark_models,
    }


def _frame(
    features: np.ndarray,
    labels: list[str],
    data_types: list[str],
    columns: dict[str, dict[str, np.ndarray]],
    index: pd.Index,
    feature_names: list[str],
) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame({"era": labels, "data_type": data_types}, index=index),
            pd.DataFrame(features.T, index=index, columns=feature_names, copy=False),
            pd.DataFrame(columns["targets"] | columns["models"], index=index),
        ],
        axis=1,
    )


def describe(generator: TournamentGenerator) -> str:
    """Text for the DESCR of a Bunch."""
    return (
        f"Synthetic tournament: {generator.n_eras} eras x {generator.n_stocks} stocks x "
        f"{generator.n_features} features in {len(generator.feature_groups)} groups, "
        f"{generator.n_train_eras} eras for training and {generator.n_validation_eras} for "
        f"validation{', one live era' if generator.live else ''}.\n"
        f"Planted signal: linear, mean correlation {generator.linear_corr} with a standard "
        f"deviation of {generator.linear_risk} over eras; non-linear, correlation "
        f"{generator.nonlinear_corr} in every era.\n"
        "Features int8 0..4 in equal fifths per era; target 0, .25, .5, .75, 1 with shares of "
        "5, 20, 50, 20 and 5 % per era.\n"
    )
