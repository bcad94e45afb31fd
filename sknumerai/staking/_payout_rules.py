"""The rules of payouts: PayoutRules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from sknumerai._sklearn import Interval, validate_parameter_constraints
from sknumerai._typing import Array

POSITIVE = Interval(Real, 0, None, closed="neither")
COUNT = Interval(Integral, 1, None, closed="left")
CONSTRAINTS: dict[str, list[Any]] = {
    "tournament": [str],
    "since": [dt.date],
    "multipliers": [Mapping],
    "horizon": [COUNT],
    "clip": [Interval(Real, 0, 1, closed="right")],  # a round cannot burn more than its stake
    "payout_factor": [POSITIVE, None],
    "concurrent_rounds": [COUNT, None],
    "source": [str],
    "stake_threshold": [POSITIVE, None],
}


@dataclass(frozen=True)
class PayoutRules:
    """What a tournament pays for the scores of a round.

    The payout of a round, as a fraction of its stake, is

        clip(payout_factor · Σ multiplier · score, ± clip).

    `get_payout_rules` has the rules that are known. Change any number of them with
    ``dataclasses.replace(rules, clip=0.1)``.

    Parameters
    ----------
    tournament : str
        Such as "numerai".
    since : datetime.date
        First day of the rounds that they hold for.
    multipliers : dict of str to float
        What each score is multiplied by, under the names of `era_table`'s columns:
        "numerai_corr" for CORR, "mmc" for MMC.
    horizon : int
        Of the target that the scores are of, in trading days: 20 for CORR20 and MMC20, whose
        target's name ends in "_20"; 60 for CORR60 and MMC60.
    clip : float
        Largest gain or loss of a round, as a fraction of its stake; above 0 and at most 1.
    payout_factor : float or None
        What the sum is multiplied by. None if it is min(1, ``stake_threshold`` / total at risk)
        and the total is not given; `payout` then asks for it.
    concurrent_rounds : int or None
        Rounds that are open at the same time, each with a stake of its own. None where one stake
        is at risk in all of them.
    source : str
        Where the numbers are from.
    stake_threshold : float, optional
        Total at risk in the tournament, in NMR, above which the payout factor falls below 1.

    Raises
    ------
    ValueError
        If a number is out of its range, or there is neither a payout factor nor a threshold.

    References
    ----------
    .. [1] Numerai documentation, "Staking", https://docs.numer.ai/numerai-tournament/staking

    Examples
    --------
    >>> from dataclasses import replace
    >>> from sknumerai.staking import get_payout_rules
    >>> rules = replace(get_payout_rules(), multipliers={"numerai_corr": 1.0, "mmc": 2.0})
    >>> rules.apply([[0.02, 0.01], [0.9, 0.8]]).round(4).tolist()
    [0.04, 1.0]
    """

    tournament: str
    since: dt.date
    multipliers: Mapping[str, float] = field(hash=False)
    horizon: int
    clip: float
    payout_factor: float | None
    concurrent_rounds: int | None
    source: str
    stake_threshold: float | None = None

    def __post_init__(self) -> None:
        validate_parameter_constraints(CONSTRAINTS, vars(self), caller_name="PayoutRules")
        multipliers = dict(self.multipliers)
        bad = [f"{n!r}: {m!r}" for n, m in multipliers.items() if not _is_finite_number(m)]
        if bad or not multipliers:
            raise ValueError(
                f"multipliers holds {', '.join(bad) or 'nothing'}; pass a finite number for each "
                "score that is paid for."
            )
        if self.payout_factor is None and self.stake_threshold is None:
            raise ValueError(
                "payout_factor and stake_threshold are both None; pass one of them, "
                "payout_factor=1.0 if payouts are not reduced."
            )
        object.__setattr__(self, "multipliers", multipliers)  # nobody else's

    @property
    def name(self) -> str:
        """The rules, as messages call them."""
        return f"rules of {self.tournament!r} since {self.since}"

    def apply(self, scores: npt.ArrayLike) -> Array:
        """Payouts for scores, as fractions of the stake.

        Parameters
        ----------
        scores : array-like of shape (n_rounds, n_multipliers)
            A column for each of ``multipliers``, in their order.

        Returns
        -------
        payouts : ndarray of shape (n_rounds,), float64
            NaN where a score is.

        Raises
        ------
        ValueError
            If the payout factor is not known, or there is another number of columns.
        """
        if self.payout_factor is None:
            raise ValueError(
                f"The {self.name} pay min(1, {self.stake_threshold:g} / total NMR at risk) of the "
                "scores; pass total_at_risk= to get_payout_rules, or payout_factor= to "
                "dataclasses.replace."
            )
        values = np.asarray(scores, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.multipliers):
            raise ValueError(
                f"scores has shape {values.shape}; pass a column for each of "
                f"{', '.join(map(repr, self.multipliers))}."
            )
        total = (values * list(self.multipliers.values())).sum(axis=1)
        payouts: Array = np.clip(self.payout_factor * total, -self.clip, self.clip)
        return payouts


def _is_finite_number(value: object) -> bool:
    return isinstance(value, Real) and bool(np.isfinite(float(value)))
