"""ClosedFormTC: True Contribution in closed form, in model selection."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sknumerai._era_loop import EraData, EraValues
from sknumerai._frames import Table
from sknumerai._typing import Aggregate, Array
from sknumerai.contribution._closed_form import FORMS, Form, closed_form_gradient
from sknumerai.contribution._gradient_cache import GRADIENTS, CandidateGradient
from sknumerai.contribution._inverse_hessian import EraHessians, HessianOfEra, inverse_hessian
from sknumerai.contribution._scorer import ContributionScorer, RiskColumns
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._interface import RISK_NAMES, RiskData, optimizer_content

__all__ = ["ClosedFormTC"]


class ClosedFormTC(ContributionScorer):
    """Score models by True Contribution in closed form in cross-validation and searches.

    Call it as ``scorer(estimator, X, y, eras=eras, meta_model=meta_model)``, or hand it to
    `cross_validate` or `GridSearchCV` with metadata routing on and these among their metadata.

    Parameters
    ----------
    form : {"current", "aligned", "scaled", "aligned_normalized"}, default="current"
        See `closed_form_tc`.
    hessian : float or dict of era to Hessian, default=None
        See `closed_form_tc`; in a dict, rows must be in the order that the era has in X. What has
        one value per row must have those of the X that is scored, which in cross-validation is
        a fold: pass a dict there.
    optimizer : PortfolioOptimizer, default=None
        Instead of a Hessian: its derivative at the solution for the meta model, era by era, with
        the risk data. None means ``PortfolioOptimizer()``.
    risk_columns : dict, default=None
        Risk data that are columns of X; see `TCScorer`.
    aggregate : {"mean", "sharpe"} or callable, default="mean"
        How the contributions of the eras become one score; see `numerai_corr`.

    See Also
    --------
    TCScorer : With dropout, ranks and power, as Numerai computes it.

    Notes
    -----
    The metadata are ``eras``, ``meta_model``, ``returns`` (y if there are none) and risk data.
    Predictions and meta model are used as they are. Gradients of eras are kept as by `TCScorer`.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sknumerai.contribution import ClosedFormTC
    >>> from sknumerai.datasets import make_market
    >>> market = make_market(n_stocks=200, n_eras=3, random_state=0)
    >>> model = Ridge().fit(market.exposures, market.returns)
    >>> score = ClosedFormTC("aligned", hessian=1.0)(
    ...     model,
    ...     market.exposures,
    ...     market.returns,
    ...     eras=market.eras,
    ...     meta_model=market.meta_model - 0.5,
    ... )
    >>> type(score)
    <class 'float'>
    """

    def __init__(
        self,
        form: Form = "current",
        *,
        hessian: float | dict[Any, HessianOfEra] | None = None,
        optimizer: PortfolioOptimizer | None = None,
        risk_columns: RiskColumns | None = None,
        aggregate: Aggregate = "mean",
    ):
        if form not in FORMS:
            raise ValueError(f"form={form!r}; use one of {', '.join(FORMS)}.")
        if hessian is not None and optimizer is not None:
            raise ValueError("hessian and optimizer were both given; pass one of them.")
        self.form = form
        self.hessian = hessian
        self.optimizer = (
            PortfolioOptimizer() if hessian is None and optimizer is None else optimizer
        )
        self.source = "meta_model"
        self.risk_columns = risk_columns
        self.aggregate = aggregate
        with_risk = hessian is None or isinstance(hessian, dict)
        self._request_contribution(RISK_NAMES if with_risk else ())

    def __repr__(self) -> str:
        cost = repr(self.optimizer) if self.hessian is None else type(self.hessian).__name__
        aggregate = getattr(self.aggregate, "__name__", None) or repr(self.aggregate)
        return f"ClosedFormTC({self.form!r}, {cost}, aggregate={aggregate})"

    def _era_extras(self, labels: Sequence[Hashable], signals: Table) -> EraData:
        """Hessian of the era."""
        if self.hessian is None:
            return EraValues(dict.fromkeys(labels))
        if isinstance(self.hessian, dict):
            missing = [label for label in labels if label not in self.hessian]
            if missing:
                raise ValueError(
                    f"hessian has no entry for {len(missing)} of {len(labels)} eras, first "
                    f"{missing[0]}; key it by the eras' labels."
                )
        return EraHessians(self.hessian, signals.n_rows)

    def _score_era(
        self, predictions: Array, signals: Array, returns: Array, risk: RiskData, extra: Any
    ) -> tuple[float, bool]:
        cost = self.optimizer if extra is None else extra

        def compute() -> CandidateGradient:
            model, target = signals[:, 0].astype(np.float64), returns[:, 0].astype(np.float64)
            gradient = closed_form_gradient(
                model,
                target,
                lambda point: inverse_hessian(cost, len(point), point, risk),
                self.form,
            )
            return CandidateGradient(gradient, float(gradient @ model))

        fitted = hasattr(cost, "weights_")
        if fitted or isinstance(cost, LinearOperator):  # what it depends on cannot be told
            gradient = compute()
        else:
            content = optimizer_content(cost) if isinstance(cost, PortfolioOptimizer) else cost
            gradient = GRADIENTS.get((self.form, content, signals, returns, risk), compute)
        return float(predictions[:, 0] @ gradient.gradient - gradient.offset), False
