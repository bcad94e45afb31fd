"""A synthetic market in memory, with a risk model and the predictions of many users."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state

from sknumerai._typing import Array, RandomState
from sknumerai.datasets._market import MarketGenerator
from sknumerai.datasets._market_users import (
    EXAMPLE_EXPOSURE,
    EXAMPLE_SKILL,
    UNSTAKED_SHARE,
    UserGenerator,
)

__all__ = ["make_market"]

_ROW_COLUMNS = ("specific_variance", "returns", "alpha", "feature_alpha")


def make_market(
    n_stocks: int = 500,
    n_factors: int = 10,
    n_users: int = 50,
    *,
    n_eras: int = 1,
    n_features: int = 20,
    n_sectors: int = 11,
    alpha: float = 0.04,
    feature_corr: float = 0.02,
    feature_risk: float = 0.03,
    user_skill: tuple[float, float] = (0.0, 0.5),
    user_exposure: tuple[float, float] = (0.0, 0.4),
    user_overlap: tuple[float, float] = (0.0, 0.6),
    as_frame: bool = True,
    random_state: RandomState = None,
) -> Bunch:
    r"""Generate a market for a portfolio optimizer, and users whose contribution can be judged.

    The return of the stocks in era :math:`t` is

    .. math:: r_t = B_t f_t + a_t + \Theta_t g_t + \varepsilon_t

    with factor loadings :math:`B`, factor returns :math:`f` of known covariance, alpha
    :math:`a`, independent of everything else, and specific returns :math:`\varepsilon` of known
    variance. The columns of :math:`\Theta` are up to eight themes: linear combinations of the
    features, whose return :math:`g_t` changes from era to era and often changes sign. Alpha is
    what a portfolio should hold; a bet on features or on factors brings more risk than return.

    The score of a user is a weighted sum of the standardized alpha, the example's score, a
    linear combination of the features and noise of the user's own. The example's score is made
    in the same way, with a correlation of 0.4 with alpha and 0.5 with its combination of the
    features.

    Row :math:`i` of every era is the same stock, and its sector stays the same; its loadings and
    features drift slowly, with an autocorrelation of about 0.98. Alpha and the noise of the
    users are new in every era. An era depends on `random_state` and its number only: a longer
    market starts with the rows of a shorter one. The stocks do not depend on the users.

    Parameters
    ----------
    n_stocks : int, default=500
        Rows per era, 5 or more. The real tournament has about 5,000.
    n_factors : int, default=10
        Number of risk factors.
    n_users : int, default=50
        Number of users. The real tournament has about 5,000.
    n_eras : int, default=1
        Number of weekly eras, labelled "0001", "0002", ...
    n_features : int, default=20
        Number of features, 2 or more.
    n_sectors : int, default=11
        Number of sectors, `n_stocks` at most. None is empty; sizes are unequal.
    alpha : float, default=0.04
        Expected correlation of alpha with the returns, in [0, 1].
    feature_corr : float, default=0.02
        Mean correlation of the best constant combination of the themes with the returns.
    feature_risk : float, default=0.03
        Standard deviation over eras of every theme's correlation with the returns, beside what
        comes from the factors that features share and from sampling noise.
    user_skill : (float, float), default=(0.0, 0.5)
        Lowest and highest correlation of a user's predictions with alpha. Drawn uniformly, as
        the next two are.
    user_exposure : (float, float), default=(0.0, 0.4)
        Lowest and highest correlation with the user's own combination of the features. It is
        uncorrelated with the example's, to which overlap adds exposure.
    user_overlap : (float, float), default=(0.0, 0.6)
        Lowest and highest correlation with the example predictions.
    as_frame : bool, default=True
        Whether to return pandas objects indexed by id, or numpy arrays.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output.

    Returns
    -------
    market : :class:`~sklearn.utils.Bunch`
        With n_samples = `n_eras` * `n_stocks` rows, eras one after the other. Returns are weekly
        fractions (0.01 is 1 %), variances and covariances those of weekly returns.

        eras : Series or ndarray of shape (n_samples,)
            Strings.
        ids : Index or ndarray of shape (n_samples,)
            Era and number of the stock, as in "0001_00001".
        factor_loadings : DataFrame or ndarray of shape (n_samples, n_factors)
            Zero mean and unit variance per era, float64.
        factor_covariance : ndarray of shape (n_factors, n_factors), or dict of str to ndarray
            Positive definite; by era if `n_eras` is more than 1. Volatilities fall from about
            1.5 % for the first factor to 0.3 % for the last one.
        factor_returns : DataFrame or ndarray of shape (n_eras, n_factors)
            The realised :math:`f`.
        specific_variance : Series or ndarray of shape (n_samples,)
            Squares of volatilities with a lognormal distribution around 3 %.
        sectors : Series or ndarray of shape (n_samples,)
            Strings.
        exposures : DataFrame or ndarray of shape (n_samples, n_features)
            The features, -2..2 in equal fifths per era, int8. The loadings explain 10 to 40 % of
            each. An array is in Fortran order.
        returns : Series or ndarray of shape (n_samples,)
            The realised :math:`r`.
        alpha : Series or ndarray of shape (n_samples,)
            The expected return :math:`a`.
        feature_alpha : Series or ndarray of shape (n_samples,)
            The realised return :math:`\Theta g` of the features.
        user_predictions : DataFrame or ndarray of shape (n_samples, n_users)
            In (0, 1), (rank - 1/2) / `n_stocks` per era, float32. An array is in Fortran order.
        user_skill, user_exposure, user_overlap : Series or ndarray of shape (n_users,)
            The planted correlations of the users' scores. They hold on average over eras for
            the predictions once gaussianized; for ranks they are 2 % smaller.
        stakes : Series or ndarray of shape (n_users,)
            Pareto distributed, 1 or more, unrelated to skill; a tenth of the users has 0.
        example_predictions : Series or ndarray of shape (n_samples,)
            In (0, 1), float64.
        meta_model : Series or ndarray of shape (n_samples,)
            Rank in (0, 1) of the stake-weighted mean of the users' predictions, float64.
        user_names, feature_names, factor_names : list of str
            In the order of the columns.
        DESCR : str
            A description of the market.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type or out of range, or no market has all the planted
        correlations.

    See Also
    --------
    make_tournament : Features and binned targets as the tournament's files have them.

    References
    ----------
    .. [1] R. C. Grinold and R. N. Kahn (2000). Active Portfolio Management, 2nd edition,
       McGraw-Hill. Chapter 3 on factor models of risk.

    Examples
    --------
    >>> from sknumerai.datasets import make_market
    >>> market = make_market(n_stocks=300, n_factors=5, n_users=20, random_state=0)
    >>> market.user_predictions.shape
    (300, 20)
    >>> market.factor_covariance.shape
    (5, 5)
    >>> int((market.stakes == 0).sum())
    2
    """
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    market = MarketGenerator(
        n_stocks,
        n_factors,
        n_eras=n_eras,
        n_features=n_features,
        n_sectors=n_sectors,
        alpha=alpha,
        feature_corr=feature_corr,
        feature_risk=feature_risk,
        seed=seed,
    )
    users = UserGenerator(
        n_users,
        user_skill=user_skill,
        user_exposure=user_exposure,
        user_overlap=user_overlap,
        mean_direction=market.mean_direction,
        seed=seed,
    )
    n_samples = n_eras * n_stocks
    # Column by column in memory: a frame holds such an array as one block without a copy.
    tables: dict[str, Array] = {
        "factor_loadings": np.empty((n_factors, n_samples)),
        "exposures": np.empty((n_features, n_samples), dtype=np.int8),
    }
    columns: dict[str, Array] = {name: np.empty(n_samples) for name in _ROW_COLUMNS}
    example_predictions, meta_model = np.empty((2, n_samples))
    user_predictions = np.empty((n_users, n_samples), dtype=np.float32)
    factor_returns = np.empty((n_eras, n_factors))
    covariances: dict[str, Array] = {}
    ids: list[str] = []
    for number, era in enumerate(market.eras()):
        rows = slice(number * n_stocks, (number + 1) * n_stocks)
        for name, table in tables.items():
            table[:, rows] = getattr(era, name)
        for name, column in columns.items():
            column[rows] = getattr(era, name)
        example_predictions[rows], meta_model[rows] = users.predict(
            number, era, user_predictions[:, rows]
        )
        factor_returns[number] = era.factor_returns
        covariances[era.label] = era.factor_covariance
        ids += era.ids

    sector_names = np.array([f"sector_{code + 1:02d}" for code in range(n_sectors)])
    content = Bunch(
        eras=np.repeat(list(covariances), n_stocks),
        ids=np.array(ids),
        **{name: table.T for name, table in tables.items()},
        factor_covariance=covariances if n_eras > 1 else next(iter(covariances.values())),
        factor_returns=factor_returns,
        sectors=np.tile(sector_names[market.sector_codes], n_eras),
        **columns,
        user_predictions=user_predictions.T,
        user_skill=users.skill,
        user_exposure=users.exposure,
        user_overlap=users.overlap,
        stakes=users.stakes,
        example_predictions=example_predictions,
        meta_model=meta_model,
        user_names=[f"user_{user:04d}" for user in range(1, n_users + 1)],
        feature_names=market.feature_names,
        factor_names=[f"factor_{factor:02d}" for factor in range(1, n_factors + 1)],
        DESCR=describe(market, users),
    )
    return label_content(content, list(covariances)) if as_frame else content


def label_content(content: Bunch, era_labels: list[str]) -> Bunch:
    """The content as pandas objects; tables are not copied."""
    index = pd.Index(content.ids, name="id")
    users = pd.Index(content.user_names, name="user")
    for name in ("user_skill", "user_exposure", "user_overlap", "stakes"):
        content[name] = pd.Series(content[name], index=users, name=name)
    for name in ("eras", "sectors", *_ROW_COLUMNS, "example_predictions", "meta_model"):
        content[name] = pd.Series(content[name], index=index, name=name)
    for name, labels in [
        ("factor_loadings", content.factor_names),
        ("exposures", content.feature_names),
        ("user_predictions", content.user_names),
    ]:
        content[name] = pd.DataFrame(content[name], index=index, columns=labels, copy=False)
    content["factor_returns"] = pd.DataFrame(
        content.factor_returns, index=pd.Index(era_labels, name="era"), columns=content.factor_names
    )
    content["ids"] = index
    return content


def describe(market: MarketGenerator, users: UserGenerator) -> str:
    """Text for the DESCR of a Bunch."""
    return (
        f"Synthetic market: {market.n_eras} weekly eras x {market.n_stocks} stocks in "
        f"{market.n_sectors} sectors, {market.n_factors} factors, {market.n_features} features, "
        f"{users.n_users} users, {UNSTAKED_SHARE:.0%} of them without a stake.\n"
        f"Planted: correlation {market.alpha} of alpha with the returns; features with a mean "
        f"correlation of {market.feature_corr} and a standard deviation over eras of "
        f"{market.feature_risk}; example predictions with correlations of {EXAMPLE_SKILL} with "
        f"alpha and {EXAMPLE_EXPOSURE} with a combination of the features; users as "
        "user_skill, user_exposure and user_overlap say.\n"
        "Returns are weekly fractions, variances those of weekly returns.\n"
    )
