"""The function score_summary()."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, overload

import numpy as np
import pandas as pd

from sknumerai._kernels.aggregate import max_drawdown, mean, sharpe, std
from sknumerai._kernels.units import in_units
from sknumerai._sklearn import Interval, validate_params
from sknumerai._typing import Array, ArrayLike, OneColumn, PolarsFrame
from sknumerai.metrics._catalogue import METRICS

OF_SCORES = ("sharpe", "smart_sharpe", "max_drawdown", "hit_rate", "payout")
PAYOUT_LIMIT = 0.05  # of the stake, per round


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
def score_summary(
    per_era: OneColumn, *, payout_multiplier: float = ..., payout_limit: float = ...
) -> pd.Series: ...
@overload
def score_summary(
    per_era: pd.DataFrame | PolarsFrame | Sequence[Sequence[float]],
    *,
    payout_multiplier: float = ...,
    payout_limit: float = ...,
) -> pd.DataFrame: ...
@overload
def score_summary(
    per_era: Array, *, payout_multiplier: float = ..., payout_limit: float = ...
) -> pd.Series | pd.DataFrame: ...
@validate_params(
    {
        "payout_multiplier": [Interval(Real, 0, None, closed="left")],
        "payout_limit": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def score_summary(
    per_era: ArrayLike,
    *,
    payout_multiplier: float = 1.0,
    payout_limit: float = PAYOUT_LIMIT,
) -> pd.Series | pd.DataFrame:
    """Statistics of scores over eras.

    Parameters
    ----------
    per_era : Series, DataFrame or array-like of shape (n_eras,) or (n_eras, n_scores)
        Scores in the order of the eras, as metrics give them with ``aggregate=None`` and as
        `era_table` does.
    payout_multiplier : float, default=1.0
        What a score is multiplied by for the payout: the multiplier of the stake times
        Numerai's payout factor.
    payout_limit : float, default=0.05
        Largest gain or loss of an era, as a share of the stake.

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
        - payout: mean over eras of clip(payout_multiplier · score, ± payout_limit), an estimate
          of what a stake earns per round, not compounded and without Numerai's later changes
          of rules [2]_.
        - n_eras: number of eras.

        Of what is no score, such as "max_exposure" or "cwmm", only mean, std and
        autocorrelation are given; the others are NaN. All but the last are NaN where the score of
        an era is; sharpe and what follows from it
        also where all scores are the same, autocorrelation for fewer than three eras.

    Raises
    ------
    ValueError
        If there are no eras, or scores are not numbers.

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
    >>> from sknumerai.metrics import score_summary
    >>> summary = score_summary([0.03, -0.01, 0.02, 0.08])
    >>> summary[["mean", "max_drawdown", "hit_rate", "payout"]].round(4).tolist()
    [0.03, 0.01, 0.75, 0.0225]
    """
    table = per_era if isinstance(per_era, pd.Series | pd.DataFrame) else _as_frame(per_era)
    if not table.size:
        raise ValueError("per_era holds no scores; pass one per era.")
    columns = table.to_frame() if isinstance(table, pd.Series) else table
    try:
        values = columns.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("per_era must hold numbers; select the columns of scores.") from None
    rows = [
        _statistics(scores, payout_multiplier, payout_limit, is_score=_is_score(name))
        for name, scores in zip(columns.columns, values.T, strict=True)
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


def _statistics(
    scores: Array, multiplier: float, limit: float, *, is_score: bool
) -> dict[str, float]:
    statistics = {
        "mean": mean(scores),
        "std": std(scores),
        "sharpe": sharpe(scores),
        "smart_sharpe": smart_sharpe(scores),
        "max_drawdown": max_drawdown(scores),
        "hit_rate": hit_rate(scores),
        "autocorrelation": autocorrelation(scores),
        "payout": mean(np.clip(multiplier * scores, -limit, limit)),
        "n_eras": len(scores),
    }
    return statistics if is_score else statistics | dict.fromkeys(OF_SCORES, np.nan)
