"""The function tc_proxies()."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import Any, Unpack

import numpy as np
import pandas as pd

from sknumerai._era_loop import map_eras
from sknumerai._eras import group_tables
from sknumerai._frames import many_columns, one_column
from sknumerai._sklearn import Interval, validate_params
from sknumerai._typing import Array, ArrayLike, Eras
from sknumerai._warnings import warn_of_eras
from sknumerai.contribution._inputs import user_table
from sknumerai.contribution._proxies import proxies_of_era
from sknumerai.contribution._true_contribution import ContributionOptions, true_contribution
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.portfolio import PortfolioOptimizer

__all__ = ["tc_proxies"]


@validate_params(
    {
        "optimizer": [PortfolioOptimizer, None],
        "top_bottom": [Interval(Integral, 1, None, closed="left")],
        "contributions": [pd.DataFrame, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=False,  # true_contribution is to validate what it is passed
)
def tc_proxies(
    user_predictions: ArrayLike,
    stakes: ArrayLike | None,
    returns: ArrayLike,
    *,
    features: ArrayLike,
    example_predictions: ArrayLike,
    meta_model: ArrayLike,
    eras: Eras | None = None,
    targets: ArrayLike | None = None,
    optimizer: PortfolioOptimizer | None = None,
    contributions: pd.DataFrame | None = None,
    top_bottom: int = 200,
    n_jobs: int | None = None,
    verbose: bool | int = False,
    **params: Unpack[ContributionOptions],
) -> pd.DataFrame:
    """True Contribution of every user and era, beside the scores that may stand in for it.

    The scores are those of Numerai's own comparison [1]_, the same numbers as the functions of
    `sknumerai.metrics`, computed together for all users of an era. `fit_tc_proxies` says how much
    of the contribution they explain.

    Parameters
    ----------
    user_predictions : array-like or DataFrame of shape (n_samples, n_users)
        One column per user, of any real dtype. A user that did not take part in an era is NaN for
        all of its stocks.
    stakes : array-like of shape (n_users,), Series, DataFrame of eras × users, or None
        As in `true_contribution`. None where `contributions` are given.
    returns : array-like of shape (n_samples,)
        Realised returns.
    features : array-like or DataFrame of shape (n_samples, n_features)
        What predictions are neutralized to and exposed to, in their own dtype; int8 is fastest.
    example_predictions : array-like of shape (n_samples,)
        What exposures are compared to.
    meta_model : array-like of shape (n_samples,)
        What MMC is relative to.
    eras : array-like of shape (n_samples,), scalar or None, default=None
        Labels in any order; None means one era.
    targets : array-like of shape (n_samples,), default=None
        What FNC, MMC and CORR score against; up to a fifth of an era may be NaN. None means the
        returns.
    optimizer : PortfolioOptimizer, default=None
        The fund's program; None means ``PortfolioOptimizer()``: dollar neutral, neutral to the
        `exposures` given.
    contributions : DataFrame of eras × users, default=None
        Result of `true_contribution`; None computes it here.
    top_bottom : int, default=200
        Number of stocks at each end for the FNC of top and bottom.
    n_jobs : int, default=None
        Number of eras computed in parallel.
    verbose : bool, default=False
        Whether to show progress bars over the eras, of the scores and of the contributions.
    **params : dict
        Passed to `true_contribution`: risk data such as `exposures`, `random_state`, `n_rounds`
        and others.

    Returns
    -------
    table : DataFrame of shape (n_eras * n_users, 8), float64
        Indexed by era and user, eras in their order; a row is NaN where the user did not take
        part.

        fnc
            Correlation with the target after neutralization, as `feature_neutral_corr`.
        exposure_dissimilarity
            1 - U·E / E·E with exposures U of the user and E of the example.
        fnc_x_dissimilarity
            The product of these two.
        mmc
            `meta_model_contribution`.
        fnc_tb200
            FNC of the 200 lowest and highest stocks; the name follows `top_bottom`.
        max_exposure
            Largest absolute feature exposure.
        corr
            `numerai_corr`.
        tc
            True Contribution, in the units of `true_contribution`.

    Raises
    ------
    ValueError
        If inputs do not fit together, or hold NaN (but for absent users and some targets) or
        infinite values; the message names the era.

    Warns
    -----
    ConstantPredictionWarning
        If a prediction is constant in an era, or nothing is left of it by neutralization: scores
        are NaN there.

    See Also
    --------
    fit_tc_proxies : What of the contribution the scores explain.
    true_contribution : The contribution alone.

    References
    ----------
    .. [1] "True Contribution details", https://forum.numer.ai/t/true-contribution-details/5128

    Examples
    --------
    >>> from sknumerai.contribution import tc_proxies
    >>> from sknumerai.datasets import make_market
    >>> market = make_market(n_stocks=200, n_users=5, n_eras=2, random_state=0)
    >>> table = tc_proxies(
    ...     market.user_predictions,
    ...     market.stakes,
    ...     market.returns,
    ...     features=market.exposures,
    ...     example_predictions=market.example_predictions,
    ...     meta_model=market.meta_model,
    ...     eras=market.eras,
    ...     top_bottom=20,
    ...     exposures=market.exposures,
    ...     random_state=0,
    ... )
    >>> table.loc[("0001", "user_0001")].index.tolist()
    ['fnc', 'exposure_dissimilarity', 'fnc_x_dissimilarity', 'mmc', 'fnc_tb20', 'max_exposure',
    'corr', 'tc']
    """
    users = user_table(user_predictions)
    target = one_column(returns, "returns")
    goal = target if targets is None else one_column(targets, "targets", allow_nan=True)
    example = one_column(example_predictions, "example_predictions")
    meta = one_column(meta_model, "meta_model")
    feature_table = many_columns(features, "features")
    tables = (goal, users, example, meta, feature_table)
    groups = group_tables(eras, users, target, *tables).sorted()
    labels: list[Any] = groups.labels
    names = pd.Index(users.labels)
    if contributions is None and stakes is None:
        raise ValueError("stakes is None; pass stakes, or contributions computed before.")
    if contributions is not None and (optimizer is not None or params):
        unused = ["optimizer"] * (optimizer is not None) + sorted(params)
        raise ValueError(
            f"contributions were given, and {', '.join(unused)} to compute them with, too; pass "
            "one or the other."
        )
    results = map_eras(
        partial(proxies_of_era, top_bottom=top_bottom),
        groups,
        *tables,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    warn_of_eras(
        "a prediction, what neutralization leaves of it, the example or the meta model is "
        "constant, so that scores are NaN there.",
        [label for label, (_, incomplete) in zip(labels, results, strict=True) if incomplete],
        ConstantPredictionWarning,
    )
    if contributions is None:
        assert stakes is not None
        contributions = true_contribution(
            user_predictions,
            stakes,
            returns,
            optimizer=PortfolioOptimizer() if optimizer is None else optimizer,
            eras=eras,
            n_jobs=n_jobs,
            verbose=verbose,
            **params,
        )
    table = pd.DataFrame(
        np.concatenate([scores for scores, _ in results]),
        index=pd.MultiIndex.from_product([labels, names], names=["era", "user"]),
        columns=[
            "fnc",
            "exposure_dissimilarity",
            "fnc_x_dissimilarity",
            "mmc",
            f"fnc_tb{top_bottom}",
            "max_exposure",
            "corr",
        ],
    )
    table["tc"] = read_contributions(contributions, labels, names).ravel()
    return table


def read_contributions(
    contributions: pd.DataFrame, labels: Sequence[Any], names: pd.Index
) -> Array:
    """Contributions of the eras and users in their order, shape (n_eras, n_users).

    Raises
    ------
    ValueError
        If an era or a user is missing, or there twice.
    """
    positions = []
    for kind, found, wanted in [
        ("eras", contributions.index, pd.Index(labels)),
        ("users", contributions.columns, names),
    ]:
        if not found.is_unique:
            raise ValueError(
                f"contributions name {int(found.duplicated().sum())} {kind} twice; name each once."
            )
        position = found.get_indexer(wanted)
        missing = wanted[position < 0]
        if len(missing):
            raise ValueError(
                f"contributions lack {len(missing)} of {len(wanted)} {kind} (first "
                f"{missing[0]!r}); pass what true_contribution returned for these predictions."
            )
        positions.append(position)
    return contributions.to_numpy(dtype=np.float64)[np.ix_(*positions)]
