"""PortfolioOptimizer: one era's signal to the weights of a portfolio, and their derivative."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sknumerai._frames import Table
from sknumerai._rows import RowLabels, check_same_labels, check_same_rows, row_index
from sknumerai._sklearn import Interval, StrOptions, _fit_context
from sknumerai._typing import Array, ArrayLike, ArraysByEra
from sknumerai.portfolio._cvxpy_engine import CvxpyProgram
from sknumerai.portfolio._engines import make_engine
from sknumerai.portfolio._risk_data import RiskTables
from sknumerai.portfolio._solution import Solution

if TYPE_CHECKING:
    import cvxpy as cp

__all__ = ["PortfolioOptimizer"]

NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")


class PortfolioOptimizer(BaseEstimator):
    r"""The portfolio of an era that is best for a signal, and its exact derivative.

    .. math::
        \max_x\ \; & s^T x - \tfrac{\gamma}{2} x^T \left(D + B \Omega B^T\right) x
            - \tfrac{\lambda_2}{2} \|x\|_2^2 - \lambda_1 \|x\|_1 - c \, \|x - x_0\|_1 \\
        \text{s.t. } & l \le x \le u, \quad 1^T x = b, \quad e^- \le E^T x \le e^+,
            \quad S^T x = 0, \\
        & \|x\|_1 \le \Lambda, \quad \|x - x_0\|_1 \le \tau

    =================  =====================================  ===================================
    symbol             meaning                                from
    =================  =====================================  ===================================
    x, s               weights and signal, (n_stocks,)        ``weights_``, `signal`
    D, B, Ω            specific variances, factor loadings,   `specific_variance`,
                       factor covariance                      `factor_loadings`,
                                                              `factor_covariance`
    γ                  aversion to variance                   `risk_aversion`
    λ₁, λ₂             penalties                              `l1_coef`, `l2_coef`
    c, x₀              cost per unit traded, from where       `transaction_costs`,
                                                              `previous_weights`
    l, u               box                                    `min_weights`, `max_weights`
    b                  net weight; 0 is dollar neutral        `budget`
    E, e⁻, e⁺          exposures and their limits             `exposures`, `min_exposure`,
                                                              `max_exposure`
    S                  a column of zeros and ones per sector  `sectors`, `sector_neutral`
    Λ                  gross weight                           `max_leverage`
    τ                  two-way turnover                       `max_turnover`
    =================  =====================================  ===================================

    Without risk data, D is the identity and there are no factors: with the defaults a dollar
    neutral portfolio, without exposure to the `exposures` given, as close as possible to the
    signal, in which every asset is free to move.

    Parameters
    ----------
    risk_aversion : float, default=1.0
        γ. Some write the objective without the factor ½: their γ is half of this one.
    min_weights, max_weights : float or array-like of shape (n_stocks,), default=None
        l and u. None means no bound.
    budget : float or None, default=0.0
        b. None means any net weight.
    max_leverage : float, default=None
        Λ, the largest sum of absolute weights. None means no limit.
    max_exposure : float, array-like of shape (n_exposures,) or dict, default=None
        e⁺, in units of weight × exposure. A dict maps names of exposures to limits and leaves
        others without. None means zero: neutral to all exposures given.
    min_exposure : float, array-like of shape (n_exposures,) or dict, default=None
        e⁻. None means -`max_exposure`.
    sector_neutral : bool, default=False
        Whether the net weight of every one of the `sectors` is zero.
    l1_coef, l2_coef : float, default=0.0
        λ₁ and λ₂; λ₂ with the factor ½, as above, where others have none.
    transaction_costs : float, default=0.0
        c, per unit of weight bought or sold.
    max_turnover : float, default=None
        τ, counting what is bought and what is sold; the one-way turnover others limit is half
        of it. None means no limit.
    engine : {"newton", "cvxpylayers"}, default="newton"
        "newton": semismooth Newton on the dual, every solution verified; it needs nothing but
        numpy and scipy, and falls back on Clarabel (of the extra ``cvxpy``) should it ever fail.
        "cvxpylayers": the same program by that library, for reference: thousands of times
        slower, its gradients good to one to three digits, and its ``kkt_residual_`` NaN.
    tol : float, default=1e-9
        Largest ``kkt_residual_`` of a portfolio that is returned; below 1.
    max_iter : int, default=200
        Largest number of Newton iterations. Cold starts take about ten and warm ones three, or
        about a hundred where bounds leave few assets free.

    Attributes
    ----------
    weights_ : ndarray of shape (n_stocks,), float64
        The portfolio.
    kkt_residual_ : float
        Largest violation of the optimality conditions (stationarity, limits, complementarity),
        each relative to the size of its terms.
    n_iter_ : int
        Newton iterations.
    n_free_ : int
        Number of assets that are neither at a bound nor at a kink (zero weight under L1 costs or
        leverage, the previous weight under transaction costs or turnover).
    n_weakly_active_ : int
        Number of weakly active limits: reached, with a multiplier of zero. If there are any, the
        weights have no derivative and :meth:`gradient` returns one of several one-sided ones.

    See Also
    --------
    PortfolioLayer : The same as a module of torch.
    sknumerai.contribution.true_contribution : Derivative of a portfolio's return by stakes.

    Notes
    -----
    The dual has one unknown for each factor and row, for leverage and for turnover; given these,
    every asset is optimal on its own. With m unknowns an iteration costs 2 n m² flops.
    The derivative :math:`J = \partial x / \partial s` is the inverse Hessian of the objective,
    restricted to the free assets and to the portfolios that stay on the binding limits: J is
    symmetric, positive semidefinite, and zero in the directions of those limits.

    References
    ----------
    Agrawal, A. et al. (2019), "Differentiable convex optimization layers", NeurIPS.

    Qi, L. and Sun, J. (1993), "A nonsmooth version of Newton's method", Mathematical
    Programming 58.

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.portfolio import PortfolioOptimizer
    >>> optimizer = PortfolioOptimizer(min_weights=-1.0, max_weights=1.0)
    >>> optimizer.fit(np.array([4.0, 0.5, 0.0, -0.6])).weights_
    array([ 1. ,  0.2, -0.3, -0.9])
    >>> optimizer.n_free_, optimizer.n_weakly_active_
    (3, 0)
    >>> optimizer.gradient(np.array([1.0, 1.0, 0.0, 0.0]))
    array([ 0.        ,  0.66666667, -0.33333333, -0.33333333])
    """

    _parameter_constraints = {
        "risk_aversion": [POSITIVE],
        "min_weights": [Real, "array-like", None],
        "max_weights": [Real, "array-like", None],
        "budget": [Interval(Real, None, None, closed="neither"), None],
        "max_leverage": [POSITIVE, None],
        "max_exposure": [Real, "array-like", dict, None],
        "min_exposure": [Real, "array-like", dict, None],
        "sector_neutral": ["boolean"],
        "l1_coef": [NOT_NEGATIVE],
        "l2_coef": [NOT_NEGATIVE],
        "transaction_costs": [NOT_NEGATIVE],
        "max_turnover": [POSITIVE, None],
        "engine": [StrOptions({"newton", "cvxpylayers"}), CvxpyProgram],
        "tol": [Interval(Real, 0, 1, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        risk_aversion: float = 1.0,
        min_weights: float | ArrayLike | None = None,
        max_weights: float | ArrayLike | None = None,
        budget: float | None = 0.0,
        max_leverage: float | None = None,
        max_exposure: float | ArrayLike | Mapping[str, float] | None = None,
        min_exposure: float | ArrayLike | Mapping[str, float] | None = None,
        sector_neutral: bool = False,
        l1_coef: float = 0.0,
        l2_coef: float = 0.0,
        transaction_costs: float = 0.0,
        max_turnover: float | None = None,
        engine: str | CvxpyProgram = "newton",
        tol: float = 1e-9,
        max_iter: int = 200,
    ):
        self.risk_aversion = risk_aversion
        self.min_weights = min_weights
        self.max_weights = max_weights
        self.budget = budget
        self.max_leverage = max_leverage
        self.max_exposure = max_exposure
        self.min_exposure = min_exposure
        self.sector_neutral = sector_neutral
        self.l1_coef = l1_coef
        self.l2_coef = l2_coef
        self.transaction_costs = transaction_costs
        self.max_turnover = max_turnover
        self.engine = engine
        self.tol = tol
        self.max_iter = max_iter

    @classmethod
    def from_cvxpy(cls, problem: cp.Problem, signal: cp.Parameter, weights: cp.Expression) -> Self:
        """Use a program of your own, written in cvxpy and solved by cvxpylayers.

        Parameters
        ----------
        problem : cvxpy.Problem
            A disciplined parametrized program (``problem.is_dcp(dpp=True)``).
        signal : cvxpy.Parameter of shape (n_stocks,)
            The signal; other parameters of the problem keep the values they have.
        weights : cvxpy.Expression of shape (n_stocks,)
            The portfolio, affine in the variables: a variable, or long less short.

        Returns
        -------
        optimizer : PortfolioOptimizer
            Its other parameters have no effect.
        """
        return cls(engine=CvxpyProgram(problem, signal, weights))

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        signal: ArrayLike,
        y: object = None,
        *,
        factor_loadings: ArrayLike | None = None,
        factor_covariance: ArrayLike | ArraysByEra | None = None,
        specific_variance: ArrayLike | None = None,
        exposures: ArrayLike | None = None,
        sectors: ArrayLike | None = None,
        previous_weights: ArrayLike | None = None,
    ) -> Self:
        """Find the best portfolio of one era.

        Parameters
        ----------
        signal : array-like of shape (n_stocks,)
            Expected returns, or anything in their place, in units that fit those of the risk.
        y : None
            Ignored.
        factor_loadings : array-like of shape (n_stocks, n_factors), default=None
            B; None means no factors.
        factor_covariance : array-like of shape (n_factors, n_factors), default=None
            Ω, positive semidefinite; None means the identity.
        specific_variance : array-like of shape (n_stocks,) or float, default=None
            D, positive; None means one, and is not allowed with factors.
        exposures : array-like of shape (n_stocks, n_exposures), default=None
            E, of any numeric dtype.
        sectors : array-like of shape (n_stocks,), default=None
            Labels; without effect unless `sector_neutral`.
        previous_weights : array-like of shape (n_stocks,), default=None
            x₀; None means none.

        Returns
        -------
        self : PortfolioOptimizer

        Raises
        ------
        ValueError
            If data do not fit together, or hold NaN or infinite values.
        InfeasiblePortfolioError
            If no portfolio meets the limits; the message names those that conflict.
        SolverError
            If no solution can be verified.
        """
        values, table = read_signal(signal)
        tables = RiskTables(
            table.n_rows,
            factor_loadings=factor_loadings,
            factor_covariance=factor_covariance,
            specific_variance=specific_variance,
            exposures=exposures,
            sectors=sectors,
            previous_weights=previous_weights,
        )
        check_same_rows(table, *tables.row_tables)
        check_same_labels(signal=signal, min_weights=self.min_weights, max_weights=self.max_weights)
        self._labels = row_index(signal)
        engine = make_engine(self, tables.era(None, slice(0, len(values))))
        self._keep(engine.solve(values))
        return self

    def _keep(self, solution: Solution) -> None:
        self.weights_ = solution.weights
        self.kkt_residual_ = solution.kkt_residual
        self.n_iter_ = solution.n_iter
        self.n_free_ = solution.n_free
        self.n_weakly_active_ = solution.n_weakly_active
        self._matvec = solution.matvec

    def gradient(self, v: ArrayLike) -> Array:
        """Product of the derivative of the weights by the signal with vectors.

        Parameters
        ----------
        v : array-like of shape (n_stocks,) or (n_stocks, k)
            With the returns of the stocks, the result is the derivative of the portfolio's
            return by the signal.

        Returns
        -------
        product : ndarray of the shape of v
            J v, where J is symmetric: Jᵀ v is the same.
        """
        check_is_fitted(self)
        vectors = np.asarray(v, dtype=np.float64)
        n_stocks = len(self.weights_)
        check_same_rows(
            RowLabels("signal", n_stocks, self._labels), RowLabels("v", n_stocks, row_index(v))
        )
        if vectors.ndim not in (1, 2) or len(vectors) != len(self.weights_):
            raise ValueError(
                f"v has shape {vectors.shape} for {len(self.weights_)} stocks; pass (n_stocks,) or "
                "(n_stocks, k)."
            )
        if not np.isfinite(vectors).all():
            raise ValueError(
                f"v contains {int((~np.isfinite(vectors)).sum())} values that are NaN or infinite; "
                "every stock needs a number."
            )
        if vectors.ndim == 1:
            return self._matvec(vectors[:, None])[:, 0]
        return self._matvec(vectors)


def read_signal(signal: ArrayLike) -> tuple[Array, Table]:
    """A signal as float64 of shape (n_stocks,), and the table it came in."""
    table = Table(signal, "signal").subset([0])
    if table.n_all_columns != 1:
        raise ValueError(
            f"signal has {table.n_all_columns} columns; a portfolio has one signal per stock."
        )
    if not table.n_rows:
        raise ValueError("signal is empty; pass one number per stock.")
    return table.rows(slice(0, table.n_rows))[:, 0].astype(np.float64), table
