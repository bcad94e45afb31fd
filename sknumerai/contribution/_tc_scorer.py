"""TCScorer: True Contribution in model selection."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from sknumerai._era_loop import EraValues
from sknumerai._frames import Table
from sknumerai._sklearn import validate_parameter_constraints
from sknumerai._typing import Aggregate, Array, ArrayLike, RandomState
from sknumerai.contribution._era_gradient import GradientConvention, Rounds, era_gradient
from sknumerai.contribution._gradient_cache import GRADIENTS, CandidateGradient
from sknumerai.contribution._inputs import read_stakes
from sknumerai.contribution._scorer import ContributionScorer, RiskColumns
from sknumerai.contribution._true_contribution import ROUNDS_CONSTRAINTS, draw_seed
from sknumerai.contribution._users import UserSignals
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._interface import RiskData, make_engine, optimizer_content

__all__ = ["TCScorer"]


class TCScorer(ContributionScorer):
    """Score models by True Contribution in cross-validation and searches.

    The contribution of a candidate is the derivative of the portfolio's return by a stake on it,
    at the stake-weighted signal of the others. That signal comes from a meta model, or from all
    users with their stakes; the candidate is not part of it. The gradient of an era does not
    depend on the candidate: it is computed once per process and kept, so that a candidate costs
    a dot product per era (and reading the era's data, to know them again).

    Call it as ``scorer(estimator, X, y, eras=eras, meta_model=meta_model)``, or hand it to
    `cross_validate` or `GridSearchCV` with metadata routing on and these among their metadata.

    Parameters
    ----------
    optimizer : PortfolioOptimizer, default=None
        None means ``PortfolioOptimizer()``: dollar neutral, neutral to the exposures given.
    stakes : array-like of shape (n_users,), Series, or DataFrame of eras × users, default=None
        With stakes, the metadata ``user_predictions`` of shape (n_samples, n_users) make the
        signal; without, ``meta_model`` of shape (n_samples,) is the signal, and there is nothing
        to drop out.
    n_rounds, dropout, gradient, gaussianize, signal_scale, power
        See `true_contribution`; predictions and meta model are gaussianized alike.
    risk_columns : dict, default=None
        Risk data that are columns of X, as in ``{"exposures": "^feature", "sectors": ["sector"]}``:
        by name, what `feature_columns` takes elsewhere. Others come as metadata.
    aggregate : {"mean", "sharpe"} or callable, default="mean"
        How the contributions of the eras become one score; see `numerai_corr`.
    random_state : int, RandomState instance or None, default=None
        Determines the dropout. A seed is drawn once, here, and kept by copies, so that equal
        candidates have equal scores in all processes.

    See Also
    --------
    true_contribution : For all users of a tournament.

    Notes
    -----
    The metadata are ``eras``, ``meta_model`` or ``user_predictions``, ``returns`` (y if there
    are none) and risk data. Up to 256 MiB of gradients are kept per process.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sknumerai.contribution import TCScorer
    >>> from sknumerai.datasets import make_market
    >>> market = make_market(n_stocks=200, n_eras=3, random_state=0)
    >>> model = Ridge().fit(market.exposures, market.returns)
    >>> score = TCScorer()(
    ...     model,
    ...     market.exposures,
    ...     market.returns,
    ...     eras=market.eras,
    ...     meta_model=market.meta_model,
    ... )
    >>> score > 0
    True
    """

    optimizer: PortfolioOptimizer

    def __init__(
        self,
        optimizer: PortfolioOptimizer | None = None,
        *,
        stakes: ArrayLike | None = None,
        n_rounds: int = 100,
        dropout: float = 0.5,
        gradient: GradientConvention = "raw",
        gaussianize: bool = True,
        signal_scale: float | None = 1e-3,
        power: float = 1.5,
        risk_columns: RiskColumns | None = None,
        aggregate: Aggregate = "mean",
        random_state: RandomState = None,
    ):
        validate_parameter_constraints(
            {
                **ROUNDS_CONSTRAINTS,
                "optimizer": [PortfolioOptimizer, None],
                "risk_columns": [dict, None],
            },
            {
                "n_rounds": n_rounds,
                "dropout": dropout,
                "gradient": gradient,
                "gaussianize": gaussianize,
                "signal_scale": signal_scale,
                "power": power,
                "random_state": random_state,
                "optimizer": optimizer,
                "risk_columns": risk_columns,
            },
            caller_name="TCScorer",
        )
        self.optimizer = PortfolioOptimizer() if optimizer is None else optimizer
        self.stakes = stakes
        self.gaussianize = gaussianize
        self.risk_columns = risk_columns
        self.aggregate = aggregate
        self.source = "meta_model" if stakes is None else "user_predictions"
        if stakes is None:
            n_rounds, dropout = 1, 0.0
        seed = draw_seed(random_state) if dropout > 0.0 else 0
        self.rounds = Rounds(n_rounds, dropout, gradient, power, signal_scale, seed)
        self._request_contribution()

    def __repr__(self) -> str:
        parts = [repr(self.optimizer)]
        if self.stakes is not None:
            rounds = self.rounds
            parts.append(f"stakes of {np.asarray(self.stakes).shape[-1]} users")
            parts += [f"n_rounds={rounds.n_rounds}", f"dropout={rounds.dropout}"]
        aggregate = getattr(self.aggregate, "__name__", None) or repr(self.aggregate)
        return f"TCScorer({', '.join(parts)}, aggregate={aggregate})"

    def _era_extras(self, labels: Sequence[Hashable], signals: Table) -> EraValues:
        """Stakes of the era."""
        n_users = signals.n_columns
        if self.stakes is not None:
            stakes = read_stakes(self.stakes, labels, signals.names, n_users)
        else:
            stakes = np.ones((len(labels), 1))
        return EraValues(dict(zip(labels, stakes, strict=True)))

    def _score_era(
        self, predictions: Array, signals: Array, returns: Array, risk: RiskData, extra: Any
    ) -> tuple[float, bool]:
        candidate = UserSignals(predictions, gaussianize=self.gaussianize)
        if candidate.constant[0]:
            return np.nan, False
        gradient = GRADIENTS.get(
            (
                optimizer_content(self.optimizer),
                self.rounds,
                self.gaussianize,
                signals,
                extra,
                returns,
                risk,
            ),
            lambda: self._compute(signals, extra, returns, risk),
        )
        product = candidate.products(gradient.gradient[:, None])[0, 0]
        return float(product - gradient.offset), gradient.few_free

    def _compute(
        self, signals: Array, stakes: Array, returns: Array, risk: RiskData
    ) -> CandidateGradient:
        result = era_gradient(
            UserSignals(signals, gaussianize=self.gaussianize, name=self.source),
            stakes,
            returns[:, 0].astype(np.float64),
            make_engine(self.optimizer, risk),
            self.rounds,
        )
        return CandidateGradient(result.gradient, result.offset, result.few_free)
