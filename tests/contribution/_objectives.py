"""The objectives whose stake-weighted gradients the closed forms are, written out in torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sknumerai.contribution import closed_form_tc
from sknumerai.portfolio import PortfolioOptimizer

SEEDS = (0, 1, 2)
FORMS = ("current", "aligned", "scaled", "aligned_normalized")
NORMALIZED = ("current", "aligned_normalized")


@dataclass(frozen=True)
class Users:
    """Predictions (n, n_users), stakes (n_users,) of which one is zero, and returns (n,)."""

    predictions: Any
    stakes: Any
    returns: Any

    @property
    def meta_model(self):
        """m = P s / Σs."""
        return self.predictions @ self.stakes / self.stakes.sum()


def make_users(seed=0, n=12, n_users=5):
    rng = np.random.default_rng(seed)
    stakes = np.r_[0.0, rng.uniform(0.5, 3.0, n_users - 1)]
    return Users(rng.normal(size=(n, n_users)), stakes, rng.normal(size=n))


def make_hessian(seed=0, n=12):
    root = np.random.default_rng(seed).normal(size=(n, n))
    return root @ root.T / n + 0.5 * np.eye(n)


def contributions(users, form, hessian, **risk):
    """One contribution per user, of one era."""
    table = closed_form_tc(
        users.predictions, users.meta_model, users.returns, hessian=hessian, form=form, **risk
    )
    assert table.shape == (1, users.predictions.shape[1])
    return table.to_numpy()[0]


def objective(form, returns, meta_model, weights, cost):
    """f(y, m) of the post for tensors.

    Parameters
    ----------
    form : str
    returns, meta_model : tensor of shape (n,)
    weights : callable
        The optimizer O.
    cost : callable
        C.
    """
    signal = meta_model / meta_model.norm() if form in NORMALIZED else meta_model
    portfolio = weights(signal)
    gain = returns @ portfolio
    if form == "current":
        return gain
    price = 1.0 if form == "aligned" else returns.norm()
    return gain - price * cost(portfolio)


def gradient_by_autograd(users, form, weights, cost):
    """Σs · ∂f/∂s, shape (n_users,)."""
    predictions, returns = (torch.from_numpy(v) for v in (users.predictions, users.returns))
    stakes = torch.from_numpy(users.stakes).requires_grad_()
    value = objective(form, returns, predictions @ stakes / stakes.sum(), weights, cost)
    (gradient,) = torch.autograd.grad(value, stakes)
    return float(stakes.detach().sum()) * gradient.numpy()


def gradient_by_differences(users, form, weights, cost, step=1e-5):
    """The same by central differences of the stakes; nothing is differentiated."""
    predictions, returns = (torch.from_numpy(v) for v in (users.predictions, users.returns))

    def value(stakes):
        stakes = torch.from_numpy(stakes)
        return float(objective(form, returns, predictions @ stakes / stakes.sum(), weights, cost))

    steps = step * np.eye(len(users.stakes))
    slopes = [value(users.stakes + d) - value(users.stakes - d) for d in steps]
    return users.stakes.sum() * np.array(slopes) / (2.0 * step)


def quadratic(hessian):
    """O(m) = H⁻¹m and C(x) = xᵀHx / 2."""
    matrix = torch.from_numpy(hessian)
    return (lambda m: torch.linalg.solve(matrix, m)), (lambda x: 0.5 * x @ matrix @ x)


# --- constrained programs -------------------------------------------------------------------------
# Limits that bind both for a signal of norm 1 and for one of norm 2, on 12 stocks.
PROGRAMS = {
    "budget": {},
    "bounds": {"min_weights": -0.15, "max_weights": 0.1},
    "l1": {"l1_coef": 0.1, "budget": None},
    "leverage": {"max_leverage": 0.5},
    "exposures": {"max_exposure": 0.02},
    "costs": {"transaction_costs": 0.1, "l2_coef": 0.3},
    "turnover": {"max_turnover": 0.5},
    "all": {
        "risk_aversion": 1.5,
        "min_weights": -0.3,
        "max_weights": 0.2,
        "max_exposure": 0.05,
        "max_leverage": 1.2,
        "l1_coef": 0.03,
        "l2_coef": 0.3,
        "transaction_costs": 0.02,
    },
}


def make_program(name, seed=0, n=12):
    """An optimizer and its risk data, all terms of its cost non-trivial."""
    rng = np.random.default_rng(seed)
    params = PROGRAMS[name]
    root = rng.normal(size=(2, 2))
    risk = {
        "factor_loadings": 0.5 * rng.normal(size=(n, 2)),
        "factor_covariance": root @ root.T,
        "specific_variance": np.exp(0.5 * rng.normal(size=n)),
    }
    if "max_exposure" in params:
        risk["exposures"] = rng.normal(size=(n, 2))
    if "transaction_costs" in params or "max_turnover" in params:
        previous = 0.1 * rng.normal(size=n)
        risk["previous_weights"] = previous - previous.mean()
    return PortfolioOptimizer(**params), risk


def full_cost(optimizer, risk):
    """C as documented, all penalties in it and no limit."""
    loadings, covariance = risk["factor_loadings"], risk["factor_covariance"]
    variance = np.diag(risk["specific_variance"]) + loadings @ covariance @ loadings.T
    n = len(variance)
    hessian = torch.from_numpy(optimizer.risk_aversion * variance + optimizer.l2_coef * np.eye(n))
    previous = torch.from_numpy(risk.get("previous_weights", np.zeros(n)))

    def cost(x):
        return (
            0.5 * x @ hessian @ x
            + optimizer.l1_coef * x.abs().sum()
            + optimizer.transaction_costs * (x - previous).abs().sum()
        )

    return cost
