"""What the scorers of contributions share: users or a meta model, returns and risk data per era."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._columns import take_columns
from sknumerai._era_loop import EraData, map_eras
from sknumerai._eras import group_tables
from sknumerai._frames import Table, one_column, read_predictions
from sknumerai._typing import Array, FeatureColumns
from sknumerai._warnings import warn_of_eras
from sknumerai.contribution._inputs import user_table
from sknumerai.contribution._true_contribution import warn_of_few_free
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics._scorer_base import BaseEraScorer
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._interface import RISK_NAMES, RiskData, RiskTables

RiskColumns = Mapping[str, FeatureColumns]


class ContributionScorer(BaseEraScorer):
    """Scores predictions by their contribution to the portfolio's return, era by era.

    Attributes
    ----------
    source : str
        The metadata that the stake-weighted signal comes from.
    risk_columns : dict or None
    """

    source: str
    optimizer: PortfolioOptimizer | None
    risk_columns: RiskColumns | None

    def _request_contribution(self, risk_names: Sequence[str] = RISK_NAMES) -> None:
        if not isinstance(self.optimizer, PortfolioOptimizer | None):
            raise TypeError(f"optimizer must be a PortfolioOptimizer; found {self.optimizer!r}.")
        if not isinstance(self.risk_columns, Mapping | None):
            raise TypeError(
                f"risk_columns must be a dict of risk data to columns; found {self.risk_columns!r}."
            )
        named = isinstance(self.aggregate, str) and self.aggregate in ("mean", "sharpe")
        if not callable(self.aggregate) and not named:
            raise ValueError(
                f"aggregate={self.aggregate!r}; use 'mean', 'sharpe' or a callable: of a standard "
                "deviation or drawdown, less is better."
            )
        if self.risk_columns is not None:
            unknown = set(self.risk_columns) - (set(RISK_NAMES) - {"factor_covariance"})
            if unknown:
                raise ValueError(
                    f"risk_columns names {sorted(unknown)[0]!r}; columns of X can be "
                    f"{', '.join(name for name in RISK_NAMES if name != 'factor_covariance')}."
                )
        self._request(("returns", *risk_names), (self.source,))

    def _per_era(
        self, predictions: Array, X: Any, y: Any, eras: Any, features: Any, others: dict[str, Any]
    ) -> pd.Series:
        """Contribution in every era, in their order."""
        source = others.pop(self.source)
        read = one_column if self.source == "meta_model" else user_table
        signals = read(source, self.source)
        name = "returns" if "returns" in others else "y"
        returns = others.pop("returns", y)
        if returns is None:
            raise ValueError(f"{self!r} needs y, or returns next to the eras; pass one of them.")
        values = Table(predictions, "predictions")
        target = one_column(returns, name)
        risk = RiskTables(values.n_rows, **{**self._risk_of_columns(X), **others})
        groups = group_tables(eras, values, signals, target, *risk.row_tables).sorted()
        results = map_eras(
            self._score_era,
            groups,
            read_predictions(values, groups),
            signals,
            target,
            risk,
            self._era_extras(groups.labels, signals),
        )
        warn_of_few_free(groups.labels, [few for _, few in results])
        scores = [score for score, _ in results]
        warn_of_eras(
            "a prediction is constant, so that its contribution is NaN there.",
            [label for label, score in zip(groups.labels, scores, strict=True) if np.isnan(score)],
            ConstantPredictionWarning,
        )
        return pd.Series(scores, index=pd.Index(groups.labels, name="era"))

    def _risk_of_columns(self, X: Any) -> dict[str, Any]:
        """Risk data that are columns of X."""
        risk = {}
        for name, columns in (self.risk_columns or {}).items():
            risk[name] = take_columns(X, "X", columns, f"risk_columns[{name!r}]")
            if name == "sectors":
                risk[name] = np.asarray(risk[name])[:, 0]
        return risk

    @abstractmethod
    def _era_extras(self, labels: Sequence[Hashable], signals: Table) -> EraData:
        """What an era needs besides rows of tables."""

    @abstractmethod
    def _score_era(
        self, predictions: Array, signals: Array, returns: Array, risk: RiskData, extra: Any
    ) -> tuple[float, bool]:
        """Contribution of a prediction in one era, and whether few assets are free.

        Predictions and returns have shape (n, 1). The contribution of a constant prediction is NaN.
        """
