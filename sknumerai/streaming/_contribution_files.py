"""The function contribution_files()."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._sklearn import validate_params
from sknumerai._typing import Array, RandomState, Source
from sknumerai._warnings import warn_of_eras
from sknumerai.contribution._era_gradient import GradientConvention, Rounds
from sknumerai.contribution._true_contribution import (
    ROUNDS_CONSTRAINTS,
    contributions_of_era,
    draw_seed,
    warn_of_few_free,
)
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._interface import RiskTables
from sknumerai.streaming._execution import EraTask, compute
from sknumerai.streaming._feature_source import FeatureChoice
from sknumerai.streaming._risk_sources import RiskLayout, open_risk
from sknumerai.streaming._users import Users, read_covariance, read_returns, read_stakes

__all__ = ["contribution_files"]


@validate_params(
    {**ROUNDS_CONSTRAINTS, "optimizer": [PortfolioOptimizer, None], "verbose": ["verbose"]},
    prefer_skip_nested_validation=True,
)
def contribution_files(
    user_predictions: Source,
    stakes: Source,
    returns: Source,
    *,
    optimizer: PortfolioOptimizer | None = None,
    return_column: str | None = None,
    exposures: Source | None = None,
    feature_set: str | None = None,
    features_json: str | PathLike[str] | None = None,
    feature_columns: str | Sequence[str] | None = None,
    factor_loadings: Source | None = None,
    factor_covariance: str | PathLike[str] | None = None,
    specific_variance: str | None = None,
    sectors: str | None = None,
    previous_weights: str | None = None,
    era_column: str = "era",
    n_rounds: int = 100,
    dropout: float = 0.5,
    gradient: GradientConvention = "raw",
    gaussianize: bool = True,
    signal_scale: float | None = 1e-3,
    power: float = 1.5,
    random_state: RandomState = None,
    executor: int | Executor | None = None,
    verbose: bool | int = False,
) -> pd.DataFrame:
    """True Contribution of the users of a file, era by era.

    The numbers are those of `sknumerai.contribution.true_contribution`; memory holds a few eras of
    predictions and risk data, and ids and returns.

    Parameters
    ----------
    user_predictions : str, path-like or sequence of these
        Parquet with ids, eras and a numeric column per user: a file, a list of files, a folder of
        parts or a glob. A user that did not take part in an era is NaN in all of its rows.
    stakes : str, path-like or sequence of these
        CSV or parquet with the columns user and stake, or with the eras as a column and one column
        per user.
    returns : str, path-like or sequence of these
        CSV or parquet with ids and realised returns; other rows are ignored.
    optimizer : PortfolioOptimizer, default=None
        The fund's program; None means ``PortfolioOptimizer()``.
    return_column : str, default=None
        None means "return", else the only numeric column.
    exposures : str, path-like or sequence of these, default=None
        Parquet with ids and features that the portfolio must not be exposed to, with or without
        eras; other rows are ignored.
    feature_set, features_json, feature_columns
        Which columns of the exposures, as in `clip_files`.
    factor_loadings : str, path-like or sequence of these, default=None
        Parquet with ids and loadings, likewise: the columns that `factor_covariance` names, else
        all numeric ones that no other argument names.
    factor_covariance : str or path-like, default=None
        CSV of the factors' covariance, with their names as header; with the eras as a column if
        there is one matrix per era. None means the identity.
    specific_variance, sectors, previous_weights : str, default=None
        Columns of the loadings, or else of the exposures.
    era_column : str, default="era"
    n_rounds, dropout, gradient, gaussianize, signal_scale, power, random_state
        As in `true_contribution`.
    executor : int, Executor or None, default=None
        Who computes, as in `clip_files`; a number is one of processes here.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    contributions : DataFrame of shape (n_eras, n_users)
        Eras in their order. Its ``attrs`` have "n_rows" and "free_share", the share of assets that
        are free to move in the median round, for every era.

    Raises
    ------
    ValueError, OSError
        If files cannot be read, or do not fit together.
    InfeasiblePortfolioError
        If no portfolio meets the limits in some era.
    SolverError
        If a portfolio cannot be verified.
    LostWorkersError
        If the executor lost its workers again and again.
    ImportError
        If pyarrow is not installed (extra "data").

    Warns
    -----
    FewFreeAssetsWarning, ConstantPredictionWarning
        As `true_contribution`.

    See Also
    --------
    sknumerai.contribution.true_contribution : The same in memory.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sknumerai.datasets import make_market
    >>> from sknumerai.streaming import contribution_files
    >>> market = make_market(n_stocks=200, n_users=5, n_eras=2, random_state=0)
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = Path(name)
    ...     users = market.user_predictions.assign(era=market.eras)
    ...     users.to_parquet(folder / "users.parquet")
    ...     market.stakes.rename("stake").to_csv(folder / "stakes.csv")
    ...     market.returns.to_frame("return").to_parquet(folder / "returns.parquet")
    ...     market.exposures.to_parquet(folder / "exposures.parquet")
    ...     contributions = contribution_files(
    ...         folder / "users.parquet",
    ...         folder / "stakes.csv",
    ...         folder / "returns.parquet",
    ...         exposures=folder / "exposures.parquet",
    ...         random_state=0,
    ...     )
    >>> contributions.shape
    (2, 5)
    """
    choice = FeatureChoice(feature_set, features_json, feature_columns)
    columns = {
        name: column
        for name, column in (
            ("specific_variance", specific_variance),
            ("sectors", sectors),
            ("previous_weights", previous_weights),
        )
        if column is not None
    }
    _check_arguments(choice, exposures, factor_loadings, factor_covariance, columns)
    users = Users(user_predictions, era_column)
    labels: list[Any] = list(users.eras.labels)
    stake_values = read_stakes(stakes, users, era_column)
    return_values = read_returns(returns, return_column, users, era_column)
    covariance = None
    if factor_covariance is not None:
        covariance = read_covariance(factor_covariance, users, era_column)
    risk = open_risk(exposures, choice, factor_loadings, covariance, columns, era_column)

    def arguments(i: int) -> tuple[Any, ...]:
        matrix = None if covariance is None else covariance.era(labels[i])
        return stake_values[i], return_values[users.eras.rows[i], None], matrix

    readings = [users.predictions(), *(item.reading(users) for item in risk)]
    kernel = partial(
        contribution_era,
        layouts=[item.layout() for item in risk],
        optimizer=PortfolioOptimizer() if optimizer is None else optimizer,
        rounds=Rounds(n_rounds, dropout, gradient, power, signal_scale, draw_seed(random_state)),
        gaussianize=gaussianize,
    )
    task = EraTask(labels, arguments, readings)
    # processes here: much of an optimizer is Python
    stream = compute(kernel, task, executor=executor, prefer="processes", verbose=verbose)
    with closing(stream):
        results = list(stream)
    warn_of_few_free(labels, [result.few_free for result in results])
    warn_of_eras(
        "a user's prediction is constant, so that the contribution is NaN there.",
        [era for era, result in zip(labels, results, strict=True) if result.any_constant],
        ConstantPredictionWarning,
    )
    table = pd.DataFrame(
        np.array([result.contributions for result in results]),
        index=pd.Index(labels, name="era"),
        columns=users.names,
    )
    shares = [result.free_share for result in results]
    table.attrs = {"n_rows": len(users.ids), "free_share": shares}
    return table


def _check_arguments(
    choice: FeatureChoice,
    exposures: Source | None,
    loadings: Source | None,
    covariance: str | PathLike[str] | None,
    columns: dict[str, str],
) -> None:
    """Insist that every argument has the one that it belongs to."""
    either = "factor_loadings= or exposures="
    for argument, value, needs, given in (
        ("feature_set", choice.feature_set, "exposures=", exposures),
        ("features_json", choice.features_json, "exposures=", exposures),
        ("feature_columns", choice.feature_columns, "exposures=", exposures),
        ("factor_covariance", covariance, "factor_loadings=", loadings),
        *((name, column, either, loadings or exposures) for name, column in columns.items()),
    ):
        if value is not None and given is None:
            raise ValueError(f"{argument}= is of use with {needs} only; pass that, too.")
    if loadings is not None and "specific_variance" not in columns:
        raise ValueError(
            "factor_loadings= without specific_variance= leaves every specific variance at 1, far "
            "above those of returns; name the column."
        )


@dataclass(frozen=True)
class EraContributions:
    """Contributions in one era, shape (n_users,), and how much they can be relied on."""

    contributions: Array
    free_share: float
    few_free: bool
    any_constant: bool


def contribution_era(
    stakes: Array,
    returns: Array,
    covariance: Array | None,
    predictions: Array,
    *frames: pd.DataFrame,
    layouts: Sequence[RiskLayout],
    optimizer: PortfolioOptimizer,
    rounds: Rounds,
    gaussianize: bool,
) -> EraContributions:
    """Contributions of one era, without the portfolios of all rounds, which are large."""
    data: dict[str, Any] = {}
    for layout, frame in zip(layouts, frames, strict=True):
        data |= layout.data(frame)
    if covariance is not None:
        data["factor_covariance"] = covariance
    risk = RiskTables(len(predictions), **data).era(None, slice(0, len(predictions)))
    values, result, _, any_constant = contributions_of_era(
        predictions,
        stakes,
        returns,
        risk,
        optimizer=optimizer,
        rounds=rounds,
        gaussianize=gaussianize,
        with_spread=False,
    )
    free = np.median([count for count in result.n_free if count is not None])
    return EraContributions(values, float(free) / len(returns), result.few_free, any_constant)
