"""The function payout_score()."""

from __future__ import annotations

from functools import partial
from typing import Required, TypedDict, Unpack, overload

import numpy as np
import pandas as pd

from sknumerai._frames import one_column
from sknumerai._kernels.contribution import correlation_contribution
from sknumerai._kernels.correlation import numerai_correlation
from sknumerai._sklearn import validate_params
from sknumerai._typing import Aggregate, Array, ArrayLike, Columns, Eras, OneColumn, Reducer, Score
from sknumerai.metrics._per_era import AGGREGATE, MISSING, Missing, read_targets, score_predictions
from sknumerai.staking import PayoutRules, get_payout_rules

PAID_FOR = ("numerai_corr", "mmc")


class _Options(TypedDict, total=False):
    eras: Eras | None
    meta_model: Required[ArrayLike]
    rules: PayoutRules | None
    missing: Missing


@overload
def payout_score(
    y_true: ArrayLike, y_pred: OneColumn, *, aggregate: Reducer = ..., **options: Unpack[_Options]
) -> float: ...
@overload
def payout_score(
    y_true: ArrayLike, y_pred: OneColumn, *, aggregate: None, **options: Unpack[_Options]
) -> pd.Series: ...
@overload
def payout_score(
    y_true: ArrayLike, y_pred: Columns, *, aggregate: Aggregate = ..., **options: Unpack[_Options]
) -> Score: ...
@validate_params(
    {"rules": [PayoutRules, None], "aggregate": AGGREGATE, "missing": MISSING},
    prefer_skip_nested_validation=True,
)
def payout_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    meta_model: ArrayLike,
    eras: Eras | None = None,
    rules: PayoutRules | None = None,
    missing: Missing = "raise",
    aggregate: Aggregate = "mean",
) -> Score:
    """What the tournament pays for predictions, per era, as a fraction of the stake.

    CORR and MMC, each times its multiplier, added up, multiplied by the payout factor and
    clipped [1]_: `sknumerai.staking.payout` of `numerai_corr` and `meta_model_contribution`.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Targets, of the horizon that is paid for (``rules.horizon``). Up to a fifth of an era's
        targets may be NaN; those rows are left out.
    y_pred : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_predictions)
        Finite predictions of the same rows. Two pandas indexes must be equal, or share no label.
    meta_model : array-like of shape (n_samples,)
        Meta model of the same rows; finite.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    rules : PayoutRules, optional
        None means the newest that are known of the main tournament, ``get_payout_rules()``.
    missing : {"raise", "skip"}, default="raise"
        As in `meta_model_contribution`.
    aggregate : {"mean", "std", "sharpe", "max_drawdown"}, callable or None, default="mean"
        As in `numerai_corr`.

    Returns
    -------
    score : float, Series or DataFrame
        As in `numerai_corr`. NaN, with one warning, in eras where a prediction or the meta model
        is constant.

    Raises
    ------
    ValueError
        If the rules pay for other scores or their payout factor is not known, values are not
        finite, too many targets are missing, or the tables do not fit together.

    See Also
    --------
    sknumerai.staking.payout : The same of scores.
    sknumerai.staking.get_payout_rules : The rules that are known.

    References
    ----------
    .. [1] Numerai documentation, "Staking", https://docs.numer.ai/numerai-tournament/staking

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import payout_score
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> target, eras, meta_model = tournament.target, tournament.eras, tournament.meta_model
    >>> payout_score(target, target, meta_model=meta_model, eras=eras)  # the largest there is
    1.0
    """
    rules = get_payout_rules() if rules is None else rules
    others = [name for name in rules.multipliers if name not in PAID_FOR]
    if others:
        raise ValueError(
            f"The {rules.name} pay for {others[0]!r}, which is not computed here; compute the "
            "scores with aggregate=None, and pass them to sknumerai.staking.payout."
        )
    rules.apply(np.empty((0, len(rules.multipliers))))  # raises where they are incomplete
    return score_predictions(
        partial(era_payouts, rules=rules),
        y_pred,
        one_column(meta_model, "meta_model", allow_nan=missing == "skip"),
        targets=read_targets(y_true),
        eras=eras,
        aggregate=aggregate,
        missing=missing,
    )


def era_payouts(
    targets: Array, predictions: Array, meta_model: Array, *, rules: PayoutRules
) -> Array:
    """Payouts for the predictions of one era.

    Parameters
    ----------
    targets : ndarray of shape (n, 1)
        NaN where there is none.
    predictions : ndarray of shape (n, m)
    meta_model : ndarray of shape (n, 1)
    rules : PayoutRules
        Of CORR and MMC, with a payout factor.

    Returns
    -------
    payouts : ndarray of shape (m,)
        As fractions of the stake; NaN where a score is.
    """
    scores = {
        "numerai_corr": numerai_correlation(targets, predictions),
        "mmc": correlation_contribution(targets, predictions, meta_model),
    }
    return rules.apply(np.column_stack([scores[name] for name in rules.multipliers]))
