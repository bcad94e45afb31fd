"""Kernel: one capital, staked in overlapping rounds."""

from __future__ import annotations

import numpy as np

from sknumerai._typing import Array


def roll_stakes(
    payouts: Array, capital: float, n_open: int, *, compound: bool
) -> tuple[Array, Array, Array]:
    """Stakes of rounds that each lock theirs until they resolve, ``n_open`` rounds later.

    When a round opens, first the one that opened ``n_open`` rounds before resolves and returns
    its stake with its payout; then the new one takes its stake out of what is free. Time is
    proportional to the number of rounds times ``n_open``.

    Parameters
    ----------
    payouts : ndarray of shape (n_rounds,)
        Of every round, as a fraction of its stake; at least -1.
    capital : float
        What is free in the beginning.
    n_open : int
        Rounds that are open at the same time.
    compound : bool
        Whether a round stakes what another has just returned; if not, and as long as none has,
        it stakes ``capital / n_open``. Never more than what is free.

    Returns
    -------
    stakes : ndarray of shape (n_rounds,)
    free : ndarray of shape (n_rounds,)
        What is in no round once the round has opened.
    locked : ndarray of shape (n_rounds,)
        What is in the rounds that are open then.
    """
    stakes, free, locked = np.zeros((3, len(payouts)))
    available = capital
    for opened in range(len(payouts)):
        wanted = capital / n_open
        resolved = opened - n_open
        if resolved >= 0:
            returned = stakes[resolved] + stakes[resolved] * payouts[resolved]
            available += returned
            if compound:
                wanted = returned
        stakes[opened] = min(wanted, available)
        available -= stakes[opened]
        free[opened] = available
        locked[opened] = stakes[max(resolved + 1, 0) : opened + 1].sum()
    return stakes, free, locked
