"""The function payout()."""

from __future__ import annotations

import pandas as pd

from sknumerai._frames import numeric_table
from sknumerai._sklearn import validate_params
from sknumerai.staking._known_rules import COMPUTED_BY
from sknumerai.staking._payout_rules import PayoutRules


@validate_params({"rules": [PayoutRules]}, prefer_skip_nested_validation=True)
def payout(scores: pd.DataFrame, rules: PayoutRules) -> pd.Series:
    """Payout of every round, as a fraction of its stake.

    It is clip(payout_factor · Σ multiplier · score, ± clip), with the numbers of the rules [1]_.

    Parameters
    ----------
    scores : DataFrame of shape (n_rounds, n_metrics)
        Scores of one prediction, a row per round or era, as `era_table` gives them. Its columns
        must have those of ``rules.multipliers``; others are not looked at. The target must be
        the one that is paid for, of ``rules.horizon`` trading days.
    rules : PayoutRules
        See `get_payout_rules`.

    Returns
    -------
    payouts : Series of shape (n_rounds,), float64
        Named "payout", with the index of ``scores``. 0.02 is a gain of 2 % of the stake, -0.02 a
        loss. NaN where a score that is paid for is NaN.

    Raises
    ------
    ValueError
        If ``scores`` is not a frame of one prediction's scores, lacks a score that is paid for,
        or holds infinite ones, or if the payout factor is not known.

    See Also
    --------
    sknumerai.metrics.payout_score : The same of targets and predictions.
    simulate_stake : What a stake becomes.

    References
    ----------
    .. [1] Numerai documentation, "Staking", https://docs.numer.ai/numerai-tournament/staking

    Examples
    --------
    >>> import pandas as pd
    >>> from sknumerai.staking import get_payout_rules, payout
    >>> scores = pd.DataFrame(
    ...     {"numerai_corr": [0.02, -0.01], "mmc": [0.004, -0.002]}, index=["0001", "0002"]
    ... )
    >>> payout(scores, get_payout_rules()).round(4).tolist()
    [0.12, -0.06]
    """
    if not isinstance(scores, pd.DataFrame):
        raise ValueError(
            f"scores is a {type(scores).__name__}; pass a pandas DataFrame of eras and metrics, "
            "as sknumerai.metrics.era_table gives."
        )
    if scores.columns.nlevels > 1:
        raise ValueError(
            "scores holds several predictions, its columns have "
            f"{scores.columns.nlevels} levels; pass those of one, scores[{scores.columns[0][0]!r}]."
        )
    names = list(rules.multipliers)
    missing = [name for name in names if name not in scores]
    if missing:
        found = ", ".join(map(repr, scores.columns)) or "none"
        advice = f"compute it with {COMPUTED_BY[missing[0]]}" if missing[0] in COMPUTED_BY else ""
        raise ValueError(
            f"scores has no column {missing[0]!r}, which the {rules.name} pay for (it has "
            f"{found}); {advice or 'add it, or pass rules of other multipliers'}."
        )
    values = numeric_table(scores[names], "scores", allow_nan=True).whole()
    return pd.Series(rules.apply(values), index=scores.index, name="payout")
