"""The programs of all eras, each built once and solved again and again."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np

from sknumerai._era_loop import naming_era
from sknumerai._eras import Rows, group_eras
from sknumerai._rows import check_same_rows
from sknumerai._typing import Array, Eras
from sknumerai.portfolio._engines import make_engine
from sknumerai.portfolio._portfolio_optimizer import PortfolioOptimizer
from sknumerai.portfolio._risk_data import RiskTables
from sknumerai.portfolio._solution import Engine, Solution

RoundSolutions = list[tuple[Rows, list[Solution]]]


class EraPrograms:
    """Solvers of the eras of a table, which remember where they last ended.

    Parameters
    ----------
    optimizer : PortfolioOptimizer
    n_rows : int
        Number of rows of the table.
    eras : array-like of shape (n_rows,), scalar or None
    risk : mapping
        Risk data of all rows, under the names of `RISK_NAMES`; none of them None.
    """

    def __init__(
        self,
        optimizer: PortfolioOptimizer,
        n_rows: int,
        eras: Eras | None,
        risk: Mapping[str, Any],
    ):
        self.optimizer = optimizer
        self.groups = group_eras(eras, n_rows)
        self.tables = RiskTables(n_rows, **risk)
        check_same_rows(self.groups, *self.tables.row_tables)
        self._positions = {label: i for i, label in enumerate(self.groups.labels)}
        self._forget()

    def _forget(self) -> None:
        self._engines: dict[int, Engine] = {}
        self._states: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Copies build their own engines, which are larger than the data and quickly built.
        return {**self.__dict__, "_engines": {}, "_states": {}}

    def n_stocks(self, era: Hashable = None) -> int:
        """Number of rows of an era, or of all."""
        if era is None:
            return self.groups.n_samples
        return len(np.arange(self.groups.n_samples)[self.groups.rows[self._position(era)]])

    def _position(self, era: Hashable) -> int:
        if era not in self._positions:
            labels = [label for label in self.groups.labels if label is not None]
            known = ", ".join(map(repr, labels[:3])) + ", ..." * (len(labels) > 3)
            raise ValueError(
                f"era={era!r} is none of the {len(labels)} eras ({known}); pass one of these."
                if labels
                else f"era={era!r} was given, but the programs were built without eras; pass them "
                "along with the risk data."
            )
        return self._positions[era]

    def solve(self, signals: Array, era: Hashable = None) -> tuple[Array, RoundSolutions]:
        """The portfolios of all rounds.

        Parameters
        ----------
        signals : ndarray of shape (n_rounds, n_stocks), float64
            Of all rows, or of those of one era.
        era : hashable, optional

        Returns
        -------
        weights : ndarray of shape (n_rounds, n_stocks)
        solutions : list
            For every era its rows and one solution per round, for `jacobian_product`.
        """
        parts: Iterable[tuple[int, Rows]] = enumerate(self.groups.rows)
        if era is not None:
            parts = [(self._position(era), slice(0, signals.shape[1]))]
        weights = np.empty(signals.shape)
        solutions = []
        for position, rows in parts:
            with naming_era(self.groups.labels[position]):
                rounds = [self._solve(position, signal) for signal in signals[:, rows]]
            for r, solution in enumerate(rounds):
                weights[r, rows] = solution.weights
            solutions.append((rows, rounds))
        return weights, solutions

    def _solve(self, position: int, signal: Array) -> Solution:
        if position not in self._engines:
            label, rows = self.groups.labels[position], self.groups.rows[position]
            self._engines[position] = make_engine(self.optimizer, self.tables.era(label, rows))
        solution = self._engines[position].solve(signal, self._states.get(position))
        self._states[position] = solution.state
        return solution


def jacobian_product(solutions: RoundSolutions, vectors: Array) -> Array:
    """Products of the derivatives of the weights by the signal with one vector per round.

    Parameters
    ----------
    solutions : list
        From `EraPrograms.solve`.
    vectors : ndarray of shape (n_rounds, n_stocks), float64

    Returns
    -------
    products : ndarray of shape (n_rounds, n_stocks)
    """
    products = np.empty(vectors.shape)
    for rows, rounds in solutions:
        for r, solution in enumerate(rounds):
            products[r, rows] = solution.matvec(vectors[r, rows][:, None])[:, 0]
    return products


def has_rows(name: str, values: Any) -> bool:
    """Whether risk data have one row per stock and era."""
    return name != "factor_covariance" and np.ndim(values) > 0
