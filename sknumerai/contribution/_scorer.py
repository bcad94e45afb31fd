"""What the scorers of contributions share: users or a meta model, returns and risk data per era."""

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._eras import era_order, group_eras, naming_era, run_eras, warn_of_eras
from sknumerai._frames import Table, check_same_rows, read_predictions, take_columns
from sknumerai._typing import Array, ArrayLike, FeatureColumns
from sknumerai.contribution._inputs import user_table
from sknumerai.contribution._true_contribution import warn_of_few_free
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics._per_era import one_column
from sknumerai.metrics._scorer_base import BaseEraScorer
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._risk_data import RISK_NAMES, RiskData, RiskTables

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

    def __call__(
        self,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike = None,
        *,
        eras: ArrayLike | None = None,
        features: ArrayLike | None = None,
        **metadata: Any,
    ) -> float:
        """Score an estimator's predictions.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : array-like or DataFrame of shape (n_samples, n_columns)
        y : array-like of shape (n_samples,)
            Taken for the returns where there are none among the metadata.
        eras : array-like of shape (n_samples,) or scalar
            Era of every row. Required.
        features : array-like or DataFrame, optional
            For the estimator's ``predict``.
        **metadata : array-like, DataFrame, Series or dict
            ``meta_model`` of shape (n_samples,) or ``user_predictions`` of shape (n_samples,
            n_users), ``returns`` of shape (n_samples,), and risk data as in
            `true_contribution`.

        Returns
        -------
        score : float
            Greater is better.

        Raises
        ------
        MissingErasError
            If there are no eras.
        """
        self._require_eras(eras)
        others = self._by_argument(metadata)
        values = self._predict(estimator, X, eras, features)
        return self._total(self._per_era(values, X, y, eras, others))

    def _per_era(
        self, values: Array, X: Any, y: Any, eras: Any, others: dict[str, Any]
    ) -> pd.Series:
        """Contribution in every era, in their order."""
        source = others.pop(self.source)
        if self.source == "user_predictions":
            signals: Table = user_table(source)
        else:
            signals = one_column(self.source, source)
        name = "returns" if "returns" in others else "y"
        returns = others.pop("returns", y)
        if returns is None:
            raise ValueError(f"{self!r} needs y, or returns next to the eras; pass one of them.")
        target = one_column(name, returns)
        check_same_rows(signals, target)
        if isinstance(X, pd.DataFrame):
            check_same_rows(Table(X, "X"), signals)
        if signals.n_rows != len(values):
            raise ValueError(
                f"{self.source} has {signals.n_rows} rows and there are {len(values)} predictions; "
                "pass one row per prediction."
            )
        tables = RiskTables(signals, **{**self._risk_of_columns(X), **others})
        groups = group_eras(eras, len(values))
        order = era_order(groups)
        labels = [groups.labels[i] for i in order]
        predictions = read_predictions(Table(values, "predictions"), groups)[:, 0]
        extras = self._per_era_extras(labels, signals)

        def tasks() -> Iterator[tuple[Hashable, tuple[Any, ...]]]:
            for i in order:
                label, rows = groups.labels[i], groups.rows[i]
                with naming_era(label):
                    blocks = predictions[rows], signals.rows(rows), target.rows(rows)[:, 0]
                yield label, (*blocks, tables.era(label, rows), extras[label])

        results = list(run_eras(self._score_era, tasks(), total=len(groups)))
        warn_of_few_free(labels, [few for _, few in results])
        scores = [score for score, _ in results]
        warn_of_eras(
            "a prediction is constant, so that its contribution is NaN there.",
            [label for label, score in zip(labels, scores, strict=True) if np.isnan(score)],
            ConstantPredictionWarning,
        )
        return pd.Series(scores, index=pd.Index(labels, name="era"))

    def _risk_of_columns(self, X: Any) -> dict[str, Any]:
        """Risk data that are columns of X."""
        risk = {}
        for name, columns in (self.risk_columns or {}).items():
            risk[name] = take_columns(X, "X", columns, f"risk_columns[{name!r}]")
            if name == "sectors":
                risk[name] = np.asarray(risk[name])[:, 0]
        return risk

    @abstractmethod
    def _per_era_extras(self, labels: list[Hashable], signals: Table) -> dict[Hashable, Any]:
        """What an era needs besides rows of tables."""

    @abstractmethod
    def _score_era(
        self, predictions: Array, signals: Array, returns: Array, risk: RiskData, extra: Any
    ) -> tuple[float, bool]:
        """Contribution of a prediction in one era, and whether few assets are free.

        The contribution of a constant prediction is NaN.
        """
