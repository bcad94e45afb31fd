"""The function simulate_stake()."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from sknumerai._eras import group_eras
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai.staking._payout import payout
from sknumerai.staking._payout_rules import POSITIVE, PayoutRules
from sknumerai.staking._rolling_stakes import roll_stakes


@validate_params(
    {
        "rules": [PayoutRules],
        "stake": [POSITIVE],
        "mode": [StrOptions({"constant", "compound"})],
    },
    prefer_skip_nested_validation=True,
)
def simulate_stake(
    scores: pd.DataFrame,
    *,
    rules: PayoutRules,
    stake: float,
    mode: Literal["constant", "compound"] = "constant",
) -> pd.DataFrame:
    """What a stake would have become over rounds that overlap.

    A round locks its stake S until it resolves, ``rules.concurrent_rounds`` rounds later; then
    the stake can be claimed with its payout, S + max(S r, 0) - max(-S r, 0) where r is the
    payout of the round, and staked anew in the round that opens [1]_.

    Parameters
    ----------
    scores : DataFrame of shape (n_rounds, n_metrics)
        Scores of the rounds of one prediction, in their order; see `payout`. **A row is a
        round**: live rounds open daily, and eras of historical data are weekly, of which 64
        daily rounds are 13. Pass ``replace(rules, concurrent_rounds=13)`` with those.
    rules : PayoutRules
        See `get_payout_rules`.
    stake : float
        All that there is to be staked, in NMR or any other unit. The first rounds stake
        ``stake / rules.concurrent_rounds`` each.
    mode : {"constant", "compound"}, default="constant"
        "constant" stakes that much in every round, or less where less is free, and leaves gains
        free. "compound" stakes what a round returned in the one that opens as it resolves.

    Returns
    -------
    history : DataFrame of shape (n_rounds, 7)
        A row for each round, with the index of ``scores``:

        - payout: of the round, as a fraction of its stake; see `payout`.
        - stake: what the round locks.
        - gain: stake · payout; negative for a loss.
        - claimable: stake + gain, what the round returns when it resolves.
        - free: what is in no round once this one has opened.
        - locked: what is in all rounds that are open then, this one included.
        - balance: free + locked. It is the stake to begin with plus the gains of all rounds that
          have resolved by then; those of the last rounds are therefore not in it.

    Raises
    ------
    ValueError
        If a round has no payout, the rules have no rounds with stakes of their own, or as
        `payout` does.

    Notes
    -----
    Payouts are as fast as rounds resolve, claims cost nothing, and the payout factor is the same
    in all rounds.

    References
    ----------
    .. [1] Numerai documentation, "Atomic Blockchain Staking",
       https://docs.numer.ai/numerai-tournament/atomic-blockchain-staking

    Examples
    --------
    >>> import pandas as pd
    >>> from dataclasses import replace
    >>> from sknumerai.staking import get_payout_rules, simulate_stake
    >>> scores = pd.DataFrame({"numerai_corr": [0.0, 0.0, 0.0], "mmc": [0.01, -0.01, 0.02]})
    >>> rules = replace(get_payout_rules(), concurrent_rounds=2)
    >>> history = simulate_stake(scores, rules=rules, stake=100.0, mode="compound")
    >>> history[["payout", "stake", "claimable", "balance"]]
       payout  stake  claimable  balance
    0    0.15   50.0       57.5    100.0
    1   -0.15   50.0       42.5    100.0
    2    0.30   57.5      74.75    107.5
    """
    if rules.concurrent_rounds is None:
        raise ValueError(
            f"The {rules.name} have no concurrent_rounds, since one stake was at risk in all "
            "rounds; pass dataclasses.replace(rules, concurrent_rounds=...) to lock a part of it "
            "in each."
        )
    payouts = payout(scores, rules)
    unknown = payouts.index[payouts.isna()]
    if len(unknown):
        raise ValueError(
            f"scores has NaN among those that are paid for in {len(unknown)} of {len(payouts)} "
            f"rounds, first in {unknown[0]!r}; pass the rounds that are scored."
        )
    _check_order(payouts.index)
    stakes, free, locked = roll_stakes(
        payouts.to_numpy(), float(stake), rules.concurrent_rounds, compound=mode == "compound"
    )
    gains = stakes * payouts
    columns = {
        "payout": payouts,
        "stake": stakes,
        "gain": gains,
        "claimable": stakes + gains,
        "free": free,
        "locked": locked,
        "balance": free + locked,
    }
    return pd.DataFrame(columns)


def _check_order(rounds: pd.Index) -> None:
    """Insist on different rounds in their order, as far as there is one."""
    if rounds.has_duplicates:
        raise ValueError(
            f"scores has the round {rounds[rounds.duplicated()][0]!r} twice; pass a row for each."
        )
    try:
        order = group_eras(rounds.to_numpy(dtype=object), len(rounds)).order
    except ValueError:  # names without an order
        return
    misplaced = [i for i, position in enumerate(order) if i != position]
    if misplaced:
        raise ValueError(
            f"scores has {len(misplaced)} of {len(rounds)} rounds out of order, first "
            f"{rounds[misplaced[0]]!r}; sort them by time, as era_table has them."
        )
