"""The function true_contribution()."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, Required, Unpack, overload

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sknumerai._era_loop import EraValues, map_eras
from sknumerai._eras import group_tables
from sknumerai._frames import one_column
from sknumerai._sklearn import Interval, StrOptions, validate_params
from sknumerai._typing import Array, ArrayLike, Eras, RandomState
from sknumerai._warnings import warn_of_eras
from sknumerai.contribution._era_gradient import (
    FEW_FREE,
    EraGradient,
    GradientConvention,
    Rounds,
    era_gradient,
)
from sknumerai.contribution._inputs import read_stakes, user_table
from sknumerai.contribution._users import UserSignals
from sknumerai.exceptions import ConstantPredictionWarning, FewFreeAssetsWarning
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._interface import Risk, RiskData, RiskTables, make_engine

__all__ = ["ContributionInfo", "true_contribution"]

ROUNDS_CONSTRAINTS: dict[str, list[Any]] = {
    "n_rounds": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "gradient": [StrOptions({"raw", "stake_weighted"})],
    "gaussianize": ["boolean"],
    "signal_scale": [Interval(Real, 0, None, closed="neither"), None],
    "power": [Interval(Real, 1, None, closed="left")],
    "random_state": ["random_state"],
}


@dataclass(frozen=True, repr=False)
class ContributionInfo:
    """How the contributions of one era came about.

    Attributes
    ----------
    era : label
    portfolios : ndarray of shape (n_rounds, n_stocks)
        Weights in every round, rows of the era in the caller's order.
    portfolio_returns : ndarray of shape (n_rounds,)
    gradient : ndarray of shape (n_stocks,)
        Mean gradient of the return by the stake-weighted signal.
    n_iter, n_free, n_weakly_active : list of int
        Of the optimizer, per round; see `PortfolioOptimizer`.
    kkt_residual : ndarray of shape (n_rounds,)
    spread : Series of length n_users
        Standard deviation (ddof=0) over the rounds of each user's contribution.
    """

    era: Hashable
    portfolios: Array
    portfolio_returns: Array
    gradient: Array
    n_iter: list[int]
    n_free: list[int | None]
    n_weakly_active: list[int | None]
    kkt_residual: Array
    spread: pd.Series

    def __repr__(self) -> str:
        n_rounds, n_stocks = self.portfolios.shape
        return (
            f"ContributionInfo(era={self.era!r}, {n_rounds} rounds, {n_stocks} stocks, "
            f"kkt_residual={self.kkt_residual.max():.1e})"
        )


def draw_seed(random_state: RandomState) -> int:
    """A seed, the given one if it is an integer already."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


class ContributionOptions(Risk, total=False):
    """Arguments of `true_contribution` that `tc_proxies` passes on."""

    n_rounds: int
    dropout: float
    gradient: GradientConvention
    gaussianize: bool
    signal_scale: float | None
    power: float
    random_state: RandomState


class _Options(ContributionOptions, total=False):
    optimizer: Required[PortfolioOptimizer]
    eras: Eras | None
    n_jobs: int | None
    verbose: bool | int


@overload
def true_contribution(
    user_predictions: ArrayLike,
    stakes: ArrayLike,
    returns: ArrayLike,
    *,
    return_info: Literal[False] = ...,
    **options: Unpack[_Options],
) -> pd.DataFrame: ...
@overload
def true_contribution(
    user_predictions: ArrayLike,
    stakes: ArrayLike,
    returns: ArrayLike,
    *,
    return_info: Literal[True],
    **options: Unpack[_Options],
) -> tuple[pd.DataFrame, dict[Hashable, ContributionInfo]]: ...
@validate_params(
    {
        **ROUNDS_CONSTRAINTS,
        "optimizer": [PortfolioOptimizer],
        "return_info": ["boolean"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def true_contribution(
    user_predictions: ArrayLike,
    stakes: ArrayLike,
    returns: ArrayLike,
    *,
    optimizer: PortfolioOptimizer,
    eras: Eras | None = None,
    n_rounds: int = 100,
    dropout: float = 0.5,
    gradient: GradientConvention = "raw",
    gaussianize: bool = True,
    signal_scale: float | None = 1e-3,
    power: float = 1.5,
    random_state: RandomState = None,
    n_jobs: int | None = None,
    return_info: bool = False,
    verbose: bool | int = False,
    **risk: Unpack[Risk],
) -> pd.DataFrame | tuple[pd.DataFrame, dict[Hashable, ContributionInfo]]:
    r"""True Contribution: gradient of the portfolio's return with respect to each user's stake.

    With P the users' signals (normal quantiles of tie-kept ranks), w their stakes after dropout
    and O the optimizer:

    .. math::
        m = P w, \quad t = \mathrm{sign}(m) |m|^{p}, \quad
        x = O\left(c \, t / \mathrm{rms}(t)\right), \quad
        \mathrm{TC}_j = \operatorname{mean}_r \frac{\partial\, y^T x}{\partial w_j}

    The derivative is exact: one product with the optimizer's Jacobian gives it for all users at
    once. Identical signals have identical contributions whatever their stakes, and a stake of
    zero has a proper one.

    Parameters
    ----------
    user_predictions : array-like or DataFrame of shape (n_samples, n_users)
        One column per user, of any real dtype; only ranks within an era matter unless
        `gaussianize` is False. A user that did not take part in an era is NaN for all of its
        stocks: the stake does not count and the contribution is NaN there.
    stakes : array-like of shape (n_users,), Series, or DataFrame of eras × users
        Zero or more. Names, where both have them, must be those of `user_predictions`.
    returns : array-like of shape (n_samples,)
        Realised returns, or a target, for example minus its mean.
    optimizer : PortfolioOptimizer
        The fund's program; ``PortfolioOptimizer()`` for a dollar-neutral one, neutral to the
        `exposures` given.
    eras : array-like of shape (n_samples,), scalar or None, default=None
        Labels in any order; None means one era.
    n_rounds : int, default=100
        Rounds of dropout, each with a portfolio of its own; the same stakes are dropped in every
        era. One is enough without dropout.
    dropout : float, default=0.5
        Probability that a stake is dropped in a round, in [0, 1); survivors are scaled by
        1 / (1 - dropout).
    gradient : {"raw", "stake_weighted"}, default="raw"
        "raw" takes m = Pw, as above and as in Numerai's code; "stake_weighted" takes
        m = Pw / Σw, whose gradient is Σw times the first in each round, so that the mean weighs
        the rounds differently.
    gaussianize : bool, default=True
        Whether predictions are ranked and made normal; else they are the signals as they are.
    signal_scale : float or None, default=1e-3
        c, the root mean square of the optimizer's input, in the units of its risk data: the
        expected return of a typical stock. The larger, the more assets sit at their bounds, and
        the less a derivative says; see ``n_free`` of the info. None leaves t unscaled.
    power : float, default=1.5
        p, 1 or more.
    random_state : int, RandomState instance or None, default=None
        Determines the dropout. Pass an int for reproducible output.
    n_jobs : int, default=None
        Number of eras solved in parallel.
    return_info : bool, default=False
        Whether to return how the contributions came about, too.
    verbose : bool, default=False
        Whether to show a progress bar over the eras.
    **risk : array-like, DataFrame, Series or dict
        `factor_loadings`, `factor_covariance` (one, or a dict by era), `specific_variance`,
        `exposures`, `sectors` and `previous_weights`, as in ``PortfolioOptimizer.fit``, with one
        row per row of `user_predictions`.

    Returns
    -------
    contributions : DataFrame of shape (n_eras, n_users)
        Eras in their order. Return of the portfolio per unit of stake: with "raw" and scaled
        signals it is inverse to the unit of stakes.
    info : dict of era to ContributionInfo
        Only if `return_info`.

    Raises
    ------
    ValueError
        If inputs do not fit together, hold NaN (but for absent users) or infinite values, or no
        stake is positive; the message names the era.
    InfeasiblePortfolioError
        If no portfolio meets the limits in some era.
    SolverError
        If a portfolio cannot be verified.

    Warns
    -----
    FewFreeAssetsWarning
        If in some eras and the median round the free assets, less the binding limits,
        are fewer than 10 % of all.
    ConstantPredictionWarning
        If a user's prediction is constant in an era, where the contribution is NaN.

    See Also
    --------
    TCScorer : The contribution of an estimator, in model selection.
    sknumerai.portfolio.StakeWeightedPortfolio : One round as a module of torch.

    Notes
    -----
    Repeated runs with other dropout agree as R ρ / (1 + (R - 1) ρ), where ρ is the correlation of
    two rounds: that is a property of the program, and grows with the share of free assets.

    References
    ----------
    Numerai, "True Contribution Details", forum.numer.ai.

    Agrawal, A. et al. (2019), "Differentiable convex optimization layers", NeurIPS.

    Examples
    --------
    >>> from sknumerai.contribution import true_contribution
    >>> from sknumerai.datasets import make_market
    >>> from sknumerai.portfolio import PortfolioOptimizer
    >>> market = make_market(n_stocks=200, n_users=5, n_eras=2, random_state=0)
    >>> contributions = true_contribution(
    ...     market.user_predictions,
    ...     market.stakes,
    ...     market.returns,
    ...     optimizer=PortfolioOptimizer(),
    ...     eras=market.eras,
    ...     exposures=market.exposures,
    ...     random_state=0,
    ... )
    >>> contributions.shape
    (2, 5)
    """
    users = user_table(user_predictions)
    target = one_column(returns, "returns")
    tables = RiskTables(users.n_rows, **risk)
    groups = group_tables(eras, users, target, *tables.row_tables).sorted()
    labels = groups.labels
    stake_values = read_stakes(stakes, labels, users.names, users.n_columns)
    rounds = Rounds(n_rounds, dropout, gradient, power, signal_scale, draw_seed(random_state))
    kernel = partial(
        contributions_of_era,
        optimizer=optimizer,
        rounds=rounds,
        gaussianize=gaussianize,
        with_spread=return_info,
    )
    results = map_eras(
        kernel,
        groups,
        users,
        EraValues(dict(zip(labels, stake_values, strict=True))),
        target,
        tables,
        n_jobs=n_jobs,
        prefer="processes",  # much of an optimizer is Python
        verbose=verbose,
    )
    warn_of_few_free(labels, [result.few_free for _, result, _, _ in results])
    warn_of_eras(
        "a user's prediction is constant, so that the contribution is NaN there.",
        [label for label, (*_, constant) in zip(labels, results, strict=True) if constant],
        ConstantPredictionWarning,
    )
    columns = pd.Index(users.labels)
    table = pd.DataFrame(
        np.array([scores for scores, *_ in results]),
        index=pd.Index(labels, name="era"),
        columns=columns,
    )
    if not return_info:
        return table
    info = {
        label: ContributionInfo(
            era=label,
            portfolios=result.portfolios,
            portfolio_returns=result.portfolio_returns,
            gradient=result.gradient,
            n_iter=result.n_iter,
            n_free=result.n_free,
            n_weakly_active=result.n_weakly_active,
            kkt_residual=result.kkt_residual,
            spread=pd.Series(spread, index=columns),
        )
        for label, (_, result, spread, _) in zip(labels, results, strict=True)
    }
    return table, info


def contributions_of_era(
    predictions: Array,
    stakes: Array,
    returns: Array,
    risk: RiskData,
    *,
    optimizer: PortfolioOptimizer,
    rounds: Rounds,
    gaussianize: bool,
    with_spread: bool,
) -> tuple[Array, EraGradient, Array | None, bool]:
    """Contributions of all users in one era, how they came about, their spread over the rounds.

    Returns have shape (n, 1). The last value tells whether some user's prediction is constant.
    """
    users = UserSignals(predictions, gaussianize=gaussianize)
    result = era_gradient(
        users, stakes, returns[:, 0].astype(np.float64), make_engine(optimizer, risk), rounds
    )
    unknown = ~users.present | users.constant
    scores = users.products(result.gradient[:, None])[:, 0] - result.offset
    scores[unknown] = np.nan
    spread = None
    if with_spread:
        spread = np.std(users.products(result.gradients.T) - result.offsets, axis=1)
        spread[unknown] = np.nan
    return scores, result, spread, bool((users.constant & users.present).any())


def warn_of_few_free(labels: Sequence[Hashable], few_free: Sequence[bool]) -> None:
    """Warn of eras in which most assets sit at a bound or kink."""
    warn_of_eras(
        f"fewer than {FEW_FREE:.0%} of the assets are free to move within the binding limits, "
        "in the median round, so that contributions depend on the dropout; lower "
        "signal_scale, or widen the optimizer's limits.",
        [label for label, few in zip(labels, few_free, strict=True) if few],
        FewFreeAssetsWarning,
    )
