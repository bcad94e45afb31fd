"""Kernel: gradient of one era's portfolio return by the stake-weighted signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sknumerai._typing import Array
from sknumerai.contribution._meta_signal import ZERO_SIGNAL, meta_signal, meta_signal_adjoint
from sknumerai.contribution._users import UserSignals
from sknumerai.portfolio._interface import Engine

FEW_FREE = 0.1  # share of free assets below which repeated runs agree to less than about 0.99
CANCELLED = 1e-13  # of the sum of sizes, below which a sum is rounding

GradientConvention = Literal["raw", "stake_weighted"]


@dataclass(frozen=True)
class Rounds:
    """How the rounds of dropout are made; one choice for all eras.

    Attributes
    ----------
    n_rounds : int
    dropout : float
    gradient : {"raw", "stake_weighted"}
    power : float
    signal_scale : float or None
    seed : int
    """

    n_rounds: int = 100
    dropout: float = 0.5
    gradient: GradientConvention = "raw"
    power: float = 1.5
    signal_scale: float | None = 1e-3
    seed: int = 0

    def stakes(self, stakes: Array) -> Array:
        """Stakes of every round after dropout, shape (n_users, n_rounds).

        Survivors are scaled by 1 / (1 - dropout); a round that would drop all stakes is drawn
        again.
        """
        if self.dropout == 0.0:
            return stakes[:, None]
        random = np.random.default_rng(self.seed)
        kept = random.random((self.n_rounds, len(stakes))) >= self.dropout
        staked = stakes > 0.0
        while len(lost := np.flatnonzero(~kept[:, staked].any(axis=1))):
            kept[lost] = random.random((len(lost), len(stakes))) >= self.dropout
        return (kept * (stakes / (1.0 - self.dropout))).T


@dataclass(frozen=True)
class EraGradient:
    """Gradient of the portfolio's return, and the portfolios of all rounds.

    Attributes
    ----------
    gradient : ndarray of shape (n,)
        Mean over the rounds of the gradient by the stake-weighted signal: a user's contribution
        is its product with the user's signal, less `offset`.
    offset : float
        Mean over the rounds of the product with the stake-weighted signal itself, for the
        stake-weighted convention; zero up to rounding if the signal is scaled.
    gradients : ndarray of shape (n_rounds, n)
    offsets : ndarray of shape (n_rounds,)
    portfolios : ndarray of shape (n_rounds, n)
    portfolio_returns : ndarray of shape (n_rounds,)
    n_iter, n_free, n_weakly_active : list of int
    n_directions : list of int
        Free assets less the limits that bind them, per round.
    kkt_residual : ndarray of shape (n_rounds,)
    """

    gradient: Array
    offset: float
    gradients: Array
    offsets: Array
    portfolios: Array
    portfolio_returns: Array
    n_iter: list[int]
    kkt_residual: Array
    n_free: list[int | None]
    n_weakly_active: list[int | None]
    n_directions: list[int | None]

    @property
    def few_free(self) -> bool:
        """Whether the median round has so few directions to move in that derivatives say little."""
        known = [count for count in self.n_directions if count is not None]
        return bool(known) and float(np.median(known)) < FEW_FREE * self.portfolios.shape[1]


def era_gradient(
    users: UserSignals, stakes: Array, returns: Array, engine: Engine, rounds: Rounds
) -> EraGradient:
    """Solve the rounds of one era, each started from the one before.

    Parameters
    ----------
    users : UserSignals
    stakes : ndarray of shape (n_users,)
        Not negative.
    returns : ndarray of shape (n,)
    engine : Engine
    rounds : Rounds

    Returns
    -------
    result : EraGradient

    Notes
    -----
    One product of size n × n_users × n_rounds makes all signals; every round is a warm solve and
    one product with the optimizer's derivative.
    """
    stakes = np.where(users.present, stakes, 0.0)
    if not (stakes > 0.0).any():
        raise ValueError(
            f"None of the {int(users.present.sum())} users that took part has a positive stake; "
            "there is no stake-weighted signal."
        )
    dropped = rounds.stakes(stakes)
    if rounds.gradient == "stake_weighted":
        dropped = dropped / dropped.sum(axis=0)
    totals = users.weighted_sums(dropped).T
    cancelled = np.abs(totals).max(axis=1) <= CANCELLED * users.largest * dropped.sum(axis=0)
    if rounds.signal_scale is not None and cancelled.any():
        raise ValueError(ZERO_SIGNAL)
    solutions, gradients = [], np.empty_like(totals)
    state = None
    for total, gradient in zip(totals, gradients, strict=True):
        signal = meta_signal(total, power=rounds.power, signal_scale=rounds.signal_scale)
        solution = engine.solve(signal, state)
        state = solution.state
        gradient[:] = meta_signal_adjoint(
            total,
            solution.matvec(returns[:, None])[:, 0],
            power=rounds.power,
            signal_scale=rounds.signal_scale,
        )
        solutions.append(solution)
    stake_weighted = rounds.gradient == "stake_weighted"
    offsets = np.einsum("ij,ij->i", totals, gradients) * stake_weighted
    portfolios = np.array([solution.weights for solution in solutions])
    return EraGradient(
        gradient=gradients.mean(axis=0),
        offset=float(offsets.mean()),
        gradients=gradients,
        offsets=offsets,
        portfolios=portfolios,
        portfolio_returns=portfolios @ returns,
        n_iter=[solution.n_iter for solution in solutions],
        kkt_residual=np.array([solution.kkt_residual for solution in solutions]),
        n_free=[solution.n_free for solution in solutions],
        n_weakly_active=[solution.n_weakly_active for solution in solutions],
        n_directions=[solution.n_directions for solution in solutions],
    )
