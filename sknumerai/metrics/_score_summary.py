"""The function score_summary()."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import pandas as pd

from sknumerai._kernels.aggregate import max_drawdown, mean, sharpe, std
from sknumerai._kernels.units import in_units
from sknumerai._sklearn import validate_params
from sknumerai._typing import Array, ArrayLike, OneColumn, PolarsFrame
from sknumerai.metrics._catalogue import METRICS
from sknumerai.staking import PayoutRules, get_payout_rules

OF_SCORES = ("sharpe", "smart_sharpe", "max_drawdown", "hit_rate", "payout")


def autocorrelation(scores: Array) -> float:
    """Pearson correlation of scores with their predecessors; NaN for fewer than three."""
    scaled, _ = in_units(scores)
    before, after = scaled[:-1], scaled[1:]
    if len(scores) < 3 or np.ptp(before) == 0.0 or np.ptp(after) == 0.0:
        return float("nan")
    return float(np.corrcoef(before, after)[0, 1])


def smart_sharpe(scores: Array) -> float:
    """Sharpe ratio over the penalty for autocorrelation.

    With first-order autocorrelation ρ, the standard deviation of a mean of n scores grows by
    sqrt(1 + 2 Σᵢ (1 - i/n) ρⁱ), i = 1 … n-1.
    """
    n, rho = len(scores), autocorrelation(scores)
    lags = np.arange(1, n)
    variance = 1.0 + 2.0 * float(np.sum((1.0 - lags / n) * rho**lags))
    return sharpe(scores) / float(np.sqrt(variance)) if variance > 0.0 else float("nan")


def hit_rate(scores: Array) -> float:
    """Share of positive scores."""
    return float("nan") if np.isnan(scores).any() else mean(scores > 0.0)


@overload
def score_summary(per_era: OneColumn, *, rules: PayoutRules | None = ...) -> pd.Series: ...
@overload
def score_summary(
    per_era: pd.DataFrame | PolarsFrame | Sequence[Sequence[float]],
    *,
    rules: PayoutRules | None = ...,
) -> pd.DataFrame: ...
@overload
def score_summary(
    per_era: Array, *, rules: PayoutRules | None = ...
) -> pd.Series | pd.DataFrame: ...
@validate_params({"rules": [PayoutRules, None]}, prefer_skip_nested_validation=True)
def score_summary(
    per_era: ArrayLike, *, rules: PayoutRules | None = None
) -> pd.Series | pd.DataFrame:
    """Statistics of scores over eras.

    Parameters
    ----------
    per_era : Series, DataFrame or array-like of shape (n_eras,) or (n_eras, n_scores)
        Scores in the order of the eras, as metrics give them with ``aggregate=None`` and as
        `era_table` does.
    rules : PayoutRules, optional
        What is paid for scores. None means the newest rules that are known of the main
        tournament, `sknumerai.staking.get_payout_rules`.

    Returns
    -------
    summary : Series or DataFrame
        A Series of statistics, or for two-dimensional scores a DataFrame of columns and
        statistics:

        - mean, std, sharpe: mean, standard deviation (ddof=0) and their ratio.
        - smart_sharpe: the Sharpe ratio divided by a penalty for autocorrelation ρ,
          sqrt(1 + 2 Σᵢ (1 - i/n) ρⁱ) [1]_.
        - max_drawdown: deepest fall of the cumulative sum below its peak so far, which starts at
          0; at least 0.
        - hit_rate: share of eras with a positive score.
        - autocorrelation: ρ, the correlation of scores with those of the era before.
        - payout: mean over eras of `sknumerai.staking.payout`, what a stake earns per round, as
          a fraction and not compounded [2]_. It is that of a prediction: the same in the rows of
          all its scores that the rules pay for, and NaN in other rows, and where the table lacks
          one of these scores. The target must be of ``rules.horizon`` trading days.
        - n_eras: number of eras.

        Of what is no score, such as "max_exposure" or "cwmm", only mean, std and
        autocorrelation are given; the others are NaN. All but the last are NaN where the score of
        an era is; sharpe and what follows from it
        also where all scores are the same, autocorrelation for fewer than three eras.

        Eras that a meta model or benchmark lacks, as `era_table` tells, are left out of the rows of
        the scores that need it; an era that is NaN for another reason makes its row NaN.

    Raises
    ------
    ValueError
        If there are no eras, scores are not numbers, or the payout factor is not known.

    Notes
    -----
    The forum's smart Sharpe ratio divides by a standard deviation with ddof=1; here it has
    ddof=0 as in the Sharpe ratio of ``numerai-tools``.

    References
    ----------
    .. [1] "Performance stationarity", https://forum.numer.ai/t/performance-stationarity/151
    .. [2] Numerai documentation, "Staking", https://docs.numer.ai/numerai-tournament/staking

    Examples
    --------
    >>> import pandas as pd
    >>> from sknumerai.metrics import score_summary
    >>> table = pd.DataFrame({"numerai_corr": [0.03, -0.01, 0.01], "mmc": [0.01, 0.0, -0.01]})
    >>> score_summary(table)[["mean", "max_drawdown", "payout"]].round(4)
                  mean  max_drawdown  payout
    numerai_corr  0.01          0.01    0.03
    mmc           0.00          0.01    0.03
    """
    table = per_era if isinstance(per_era, pd.Series | pd.DataFrame) else _as_frame(per_era)
    if not table.size:
        raise ValueError("per_era holds no scores; pass one per era.")
    columns = table.to_frame() if isinstance(table, pd.Series) else table
    try:
        values = columns.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("per_era must hold numbers; select the columns of scores.") from None
    known = ~np.column_stack([not_scored(columns, name) for name in columns.columns])
    payouts = _mean_payouts(columns.columns, values, known, rules or get_payout_rules())
    rows = [
        _statistics(scores[there], paid, is_score=_is_score(name))
        for name, scores, there, paid in zip(
            columns.columns, values.T, known.T, payouts, strict=True
        )
    ]
    if isinstance(table, pd.Series):
        return pd.Series(rows[0], name=table.name)
    summary = pd.DataFrame(rows, index=columns.columns)
    return summary.astype({"n_eras": int})


def _as_frame(per_era: Any) -> pd.Series | pd.DataFrame:
    values = np.asarray(per_era)
    if values.ndim not in (1, 2):
        raise ValueError(f"per_era must have one or two dimensions; found {values.ndim}.")
    return pd.Series(values) if values.ndim == 1 else pd.DataFrame(values)


def _is_score(column: Any) -> bool:
    """Whether sums and signs of a column of `era_table` mean something; so do those of others."""
    name = column[-1] if isinstance(column, tuple) else column
    return name not in METRICS or METRICS[name].is_score


def not_scored(table: pd.DataFrame, column: Any) -> Array:
    """Eras of a column of `era_table` that its meta model or benchmark lacks, shape (n_eras,)."""
    name = column[-1] if isinstance(column, tuple) else column
    needed = METRICS[name].tables if name in METRICS else ()
    lacking = {era for each in needed for era in table.attrs.get(f"without_{each}", [])}
    return np.array([era in lacking for era in table.index], dtype=bool)


def _mean_payouts(labels: pd.Index, values: Array, known: Array, rules: PayoutRules) -> Array:
    """Mean payout of each column's prediction, in the columns of scores that are paid for."""
    columns: dict[Any, dict[Any, int]] = {}  # by prediction and metric
    for j, label in enumerate(labels):
        *prediction, metric = label if isinstance(label, tuple) else (label,)
        columns.setdefault(tuple(prediction), {})[metric] = j
    payouts = np.full(len(labels), np.nan)
    for of in columns.values():
        if of.keys() >= rules.multipliers.keys():
            paid_for = [of[metric] for metric in rules.multipliers]
            scored = known[:, paid_for].all(axis=1)
            payouts[paid_for] = mean(rules.apply(values[scored][:, paid_for]))
    return payouts


def _statistics(scores: Array, payout: float, *, is_score: bool) -> dict[str, float]:
    statistics = {
        "mean": mean(scores),
        "std": std(scores),
        "sharpe": sharpe(scores),
        "smart_sharpe": smart_sharpe(scores),
        "max_drawdown": max_drawdown(scores),
        "hit_rate": hit_rate(scores),
        "autocorrelation": autocorrelation(scores),
        "payout": payout,
        "n_eras": len(scores),
    }
    return statistics if is_score else statistics | dict.fromkeys(OF_SCORES, np.nan)
