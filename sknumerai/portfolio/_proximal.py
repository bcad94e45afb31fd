"""Kernel: the proximal point method, for programs whose limits leave few assets free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sknumerai._typing import Array
from sknumerai.portfolio._dual import Dual
from sknumerai.portfolio._hessian import Hessian
from sknumerai.portfolio._newton import NewtonResult, semismooth_newton

LAST_PROXIMITY, DECREASE = 0.25, 2.0
ROUGHLY = 1e-8  # residual of the programs on the way


def proximal_newton(
    dual: Dual, hessian: Hessian, signal: Array, *, proximity: float, tol: float, max_iter: int
) -> NewtonResult:
    r"""Minimise the dual function by way of easier programs.

    Where limits leave few assets free, the dual function is nearly piecewise linear: Newton's
    method sees the kinks next to it alone, and goes from one to the next. The program

    .. math::
        \max_x s^T x - f(x) - \tfrac c2 (x - x_k)^T \mathrm{diag}(q) (x - x_k)

    leaves more of them free. From its solution :math:`x_{k+1}` and a smaller c comes the next
    one, which the multipliers of this one nearly solve; the last has c = 0 [1]_.

    Parameters
    ----------
    dual, hessian, signal
        As in `semismooth_newton`.
    proximity : float
        The first c, such as how many times larger the portfolio would be without limits.
    tol, max_iter
        As in `semismooth_newton`.

    Returns
    -------
    result : NewtonResult
        Of the program itself.

    References
    ----------
    .. [1] R. T. Rockafellar, "Monotone operators and the proximal point algorithm", SIAM Journal
       on Control and Optimization 14 (1976).
    """
    weights, theta, n_iter = np.zeros(dual.program.n), None, 0
    while True:
        result = semismooth_newton(
            dual,
            hessian,
            signal + proximity * weights,
            theta,
            tol=ROUGHLY if proximity else tol,
            max_iter=max_iter - n_iter,
            damping=1.0 if theta is None else 0.0,
            proximity=proximity,
        )
        n_iter += result.n_iter
        if result.infeasible or not proximity:
            return replace(result, n_iter=n_iter)
        weights, theta = result.point.weights, result.point.theta
        proximity = proximity / DECREASE if proximity >= DECREASE * LAST_PROXIMITY else 0.0
