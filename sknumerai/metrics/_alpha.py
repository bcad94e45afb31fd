"""The functions neutralized_weights(), alpha() and meta_portfolio_contribution()."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Required, TypedDict, Unpack, overload

import numpy as np
import pandas as pd

from sknumerai._era_loop import map_eras
from sknumerai._frames import Table, like_input, many_columns, one_column
from sknumerai._sklearn import validate_params
from sknumerai._typing import (
    Aggregate,
    Array,
    ArrayLike,
    ArrayOrList,
    Container,
    Eras,
    FloatArray,
    Same,
    Score,
)
from sknumerai._warnings import warn_of_nan
from sknumerai.metrics._per_era import (
    AGGREGATE,
    read_and_group,
    read_targets,
    score_predictions,
)
from sknumerai.metrics._weights import alpha_scores, neutral_weights, portfolio_gradient


class _Options(TypedDict, total=False):
    neutralizers: Required[ArrayLike]
    sample_weights: Required[ArrayLike]
    eras: Eras | None
    normalize: bool


@overload
def neutralized_weights(y_pred: ArrayOrList, **options: Unpack[_Options]) -> FloatArray: ...
@overload
def neutralized_weights(y_pred: Same, **options: Unpack[_Options]) -> Same: ...
@validate_params({"normalize": ["boolean"]}, prefer_skip_nested_validation=True)
def neutralized_weights(
    y_pred: ArrayLike,
    *,
    neutralizers: ArrayLike,
    sample_weights: ArrayLike,
    eras: Eras | None = None,
    normalize: bool = False,
) -> Container:
    """Neutral portfolio weights of predictions, era by era, as Numerai Signals makes them.

    With s the predictions' normal quantiles raised to the power 1.5, v the sample weights and N
    the neutralizers, the weights are v · (s - N Nᵀ (v · s)) [1]_.

    Parameters
    ----------
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    neutralizers : array-like or DataFrame of shape (n_samples, n_neutralizers)
        Numerai's neutralizers matrix of the same rows, taken as it is: with the sample weights v
        its columns N must satisfy NᵀDN = I with D = diag(v), which makes s - N Nᵀ D s a
        projection.
    sample_weights : array-like of shape (n_samples,)
        Numerai's sample weights of the same rows.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    normalize : bool, default=False
        Whether to centre the weights of an era and scale them to a sum of absolute values of 1,
        as for `turnover`.

    Returns
    -------
    weights : ndarray, Series or DataFrame
        In the container, order and (pandas) index of ``y_pred``. NaN, with one warning, in eras
        where a prediction is constant.

    Raises
    ------
    ValueError
        If values are not finite, or the tables do not fit together.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.generate_neutralized_weights``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.metrics import neutralized_weights
    >>> rng = np.random.default_rng(0)
    >>> neutralizers = np.linalg.qr(rng.normal(size=(50, 3)))[0]
    >>> weights = neutralized_weights(
    ...     rng.normal(size=50), neutralizers=neutralizers, sample_weights=np.ones(50)
    ... )
    >>> bool(np.abs(neutralizers.T @ weights).max() < 1e-12)
    True
    """
    loadings = many_columns(neutralizers, "neutralizers")
    sizes = one_column(sample_weights, "sample_weights")
    predictions, groups = read_and_group(y_pred, loadings, sizes, eras=eras)
    kernel = partial(neutral_weights, normalize=normalize)
    blocks = map_eras(kernel, groups, predictions, loadings, sizes)
    warn_of_nan(groups.labels, blocks)
    return like_input(groups.assemble(blocks), y_pred)


@validate_params({"aggregate": AGGREGATE}, prefer_skip_nested_validation=True)
def alpha(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    neutralizers: ArrayLike,
    sample_weights: ArrayLike,
    eras: Eras | None = None,
    aggregate: Aggregate = "mean",
) -> Score:
    """Alpha of Numerai Signals: what neutral portfolio weights earn, per era.

    The mean over stocks of the product of `neutralized_weights` and the centred target [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Targets. Up to a fifth of an era's targets may be NaN; those rows are left out.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    neutralizers : array-like or DataFrame of shape (n_samples, n_neutralizers)
        Numerai's neutralizers matrix of the same rows, taken as it is: with the sample weights v
        its columns N must satisfy NᵀDN = I with D = diag(v), which makes s - N Nᵀ D s a
        projection.
    sample_weights : array-like of shape (n_samples,)
        Numerai's sample weights of the same rows.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
        NaN, with one warning, in eras where a prediction is constant (``numerai-tools``: 0).

    Raises
    ------
    ValueError
        If values are not finite, too many targets are missing, or the tables do not fit together.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.alpha``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.metrics import alpha
    >>> rng = np.random.default_rng(0)
    >>> target, weights = rng.normal(size=50), np.ones(50)
    >>> neutralizers = np.linalg.qr(rng.normal(size=(50, 3)))[0]
    >>> alpha(target, target, neutralizers=neutralizers, sample_weights=weights) > 0
    True
    """
    return score_predictions(
        alpha_scores,
        y_pred,
        many_columns(neutralizers, "neutralizers"),
        one_column(sample_weights, "sample_weights"),
        targets=read_targets(y_true),
        eras=eras,
        aggregate=aggregate,
    )


@validate_params({"aggregate": AGGREGATE}, prefer_skip_nested_validation=True)
def meta_portfolio_contribution(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    stakes: ArrayLike | Mapping[str, float] | Mapping[int, float],
    neutralizers: ArrayLike,
    sample_weights: ArrayLike,
    eras: Eras | None = None,
    aggregate: Aggregate = "mean",
) -> Score:
    """Meta portfolio contribution (MPC) of Numerai Signals, per era.

    The gradient, with respect to the stakes, of what the stake-weighted average of all
    `neutralized_weights` earns at unit norm [1]_. All staked predictions must be there: this is
    the one metric in which columns interact.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Targets. Up to a fifth of an era's targets may be NaN; those rows are left out.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    stakes : array-like of shape (n_predictions,), Series or dict
        Stake of every prediction, not negative; a Series or dict by the names of ``y_pred``.
    neutralizers : array-like or DataFrame of shape (n_samples, n_neutralizers)
        Numerai's neutralizers matrix of the same rows, taken as it is: with the sample weights v
        its columns N must satisfy NᵀDN = I with D = diag(v), which makes s - N Nᵀ D s a
        projection.
    sample_weights : array-like of shape (n_samples,)
        Numerai's sample weights of the same rows.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`.
        NaN, with one warning, in eras where a prediction is constant; it counts as no weights
        in the portfolio of the others.

    Raises
    ------
    ValueError
        If values are not finite, stakes are negative or not those of the predictions, too many
        targets are missing, or the tables do not fit together.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.meta_portfolio_contribution``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.metrics import meta_portfolio_contribution
    >>> rng = np.random.default_rng(0)
    >>> target, users = rng.normal(size=50), rng.normal(size=(50, 4))
    >>> contribution = meta_portfolio_contribution(
    ...     target,
    ...     users,
    ...     stakes=[1.0, 2.0, 3.0, 4.0],
    ...     neutralizers=np.linalg.qr(rng.normal(size=(50, 3)))[0],
    ...     sample_weights=np.ones(50),
    ... )
    >>> bool(abs(contribution @ [1.0, 2.0, 3.0, 4.0]) < 1e-12)  # the portfolio gains nothing
    True
    """
    names = list(Table(y_pred, "y_pred").labels)
    return score_predictions(
        partial(portfolio_gradient, stakes=_stake_shares(stakes, names)),
        y_pred,
        many_columns(neutralizers, "neutralizers"),
        one_column(sample_weights, "sample_weights"),
        targets=read_targets(y_true),
        eras=eras,
        aggregate=aggregate,
    )


def _stake_shares(stakes: Any, names: list[Any]) -> Array:
    """Stakes in the order of the predictions, scaled to a sum of 1."""
    if isinstance(stakes, Mapping):
        stakes = pd.Series(stakes)
    if isinstance(stakes, pd.Series):
        if sorted(map(str, stakes.index)) != sorted(map(str, names)):
            raise ValueError(
                f"stakes names {len(stakes)} predictions and y_pred has {len(names)}, or others; "
                "pass one stake per column of y_pred, under its name."
            )
        stakes = stakes.loc[names]
    values = np.asarray(stakes, dtype=np.float64)
    if values.shape != (len(names),):
        raise ValueError(
            f"stakes has shape {values.shape} for {len(names)} predictions; pass one stake per "
            "prediction."
        )
    if not (np.isfinite(values).all() and (values >= 0.0).all() and values.sum() > 0.0):
        raise ValueError(
            "stakes must be finite, not negative, and not all zero; "
            f"{int((~(values >= 0.0)).sum())} of {len(values)} are NaN or negative."
        )
    shares: Array = values / values.sum()
    return shares
