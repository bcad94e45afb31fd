"""The function get_payout_rules()."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd

from sknumerai._sklearn import StrOptions, validate_params
from sknumerai.staking._known_rules import KNOWN_RULES
from sknumerai.staking._payout_rules import POSITIVE, PayoutRules

TOURNAMENTS = {rules.tournament for rules in KNOWN_RULES}


@validate_params(
    {
        "tournament": [StrOptions(TOURNAMENTS)],
        "date": [str, dt.date, np.datetime64, None],
        "total_at_risk": [POSITIVE, None],
    },
    prefer_skip_nested_validation=True,
)
def get_payout_rules(
    tournament: str = "numerai",
    date: str | dt.date | np.datetime64 | None = None,
    *,
    total_at_risk: float | None = None,
) -> PayoutRules:
    """Rules of payouts of a tournament, on a day.

    Rules change, and the organiser shows those of each round: these are the ones that this
    version knows, each with its source. Replace what has changed since, or what holds for a
    round only, with ``dataclasses.replace(rules, multipliers={...})``.

    Parameters
    ----------
    tournament : {"numerai", "signals", "crypto"}, default="numerai"
    date : str, datetime.date or datetime64, optional
        Day on which a round opens, such as "2026-08-28". None means the newest rules known.
    total_at_risk : float, optional
        NMR at risk in the whole tournament, which the payout factor of some rules depends on:
        it is min(1, ``stake_threshold`` / ``total_at_risk``). No effect on other rules.

    Returns
    -------
    rules : PayoutRules
        A new object. Where the payout factor depends on the total at risk and that is not given,
        ``rules.payout_factor`` is None.

    Raises
    ------
    ValueError
        If the tournament is not known, or no rules of that day are.

    References
    ----------
    .. [1] Numerai documentation, "Staking", https://docs.numer.ai/numerai-tournament/staking

    Examples
    --------
    >>> from sknumerai.staking import get_payout_rules
    >>> rules = get_payout_rules()
    >>> rules.multipliers, rules.horizon, rules.clip
    ({'numerai_corr': 3.0, 'mmc': 15.0}, 60, 1.0)
    >>> get_payout_rules(date="2026-08-27", total_at_risk=720_000).payout_factor
    0.1
    """
    known = sorted((r for r in KNOWN_RULES if r.tournament == tournament), key=lambda r: r.since)
    if date is not None:
        day = _as_day(date)
        if day < known[0].since:
            raise ValueError(
                f"date={str(day)!r} is before the first rules of {tournament!r} that are known, "
                f"of {known[0].since}; make a PayoutRules of that day's numbers."
            )
        known = [rules for rules in known if rules.since <= day]
    rules = known[-1]
    factor = rules.payout_factor
    if rules.stake_threshold is not None and total_at_risk is not None:
        factor = min(1.0, rules.stake_threshold / total_at_risk)
    return replace(rules, payout_factor=factor)


def _as_day(date: str | dt.date | np.datetime64) -> dt.date:
    """The day of an ISO string, a date, a datetime or a datetime64."""
    try:
        day = pd.Timestamp(dt.datetime.fromisoformat(date) if isinstance(date, str) else date)
    except ValueError:
        day = None
    if day is None or pd.isna(day):
        raise ValueError(f"date={date!r} is not a day; pass one such as '2026-08-28'.")
    return day.date()
