"""The derivation of the closed form, step by step."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sknumerai.contribution._closed_form import deproject
from sknumerai.portfolio import PortfolioLayer
from tests.contribution._objectives import (
    FORMS,
    NORMALIZED,
    PROGRAMS,
    SEEDS,
    contributions,
    full_cost,
    gradient_by_autograd,
    gradient_by_differences,
    make_hessian,
    make_program,
    make_users,
    quadratic,
)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", FORMS)
class TestGradients:
    def test_quadratic_cost(self, form, seed):
        users, hessian = make_users(seed), make_hessian(seed)
        found = contributions(users, form, hessian)
        weights, cost = quadratic(hessian)
        exact = gradient_by_autograd(users, form, weights, cost)
        np.testing.assert_allclose(found, exact, atol=1e-13 * np.abs(exact).max(), rtol=1e-12)
        differences = gradient_by_differences(users, form, weights, cost)
        np.testing.assert_allclose(found, differences, atol=1e-8)

    def test_cost_that_is_not_quadratic(self, form, seed):
        """The Hessian depends on the solution: of m/‖m‖ for normalized forms, else of m."""
        users, matrix = make_users(seed), make_hessian(seed)
        weights, cost = quartic(matrix)
        differences = gradient_by_differences(users, form, weights, cost)
        model = users.meta_model
        points = {True: model / np.linalg.norm(model), False: model}
        hessians = {
            normalized: quartic_hessian(matrix, weights(torch.from_numpy(point)).numpy())
            for normalized, point in points.items()
        }
        normalized = form in NORMALIZED
        found = contributions(users, form, hessians[normalized])
        np.testing.assert_allclose(found, differences, atol=1e-7)
        wrong = contributions(users, form, hessians[not normalized])
        assert np.abs(wrong - found).max() > 0.05 * np.abs(found).max()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_constrained_programs(program, seed):
    """With the derivative of the weights for h, the full cost for C, and binding limits."""
    users = make_users(seed)
    optimizer, risk = make_program(program, seed)
    for signal in (users.meta_model, users.meta_model / np.linalg.norm(users.meta_model)):
        fitted = clone(optimizer).fit(signal, **risk)
        assert fitted.n_weakly_active_ == 0
        assert fitted.n_free_ < 12 or program in ("budget", "exposures")
    layer, cost = PortfolioLayer(optimizer, **risk), full_cost(optimizer, risk)
    for form in FORMS:
        found = contributions(users, form, optimizer, **risk)
        assert np.abs(found).max() > 1e-3
        np.testing.assert_allclose(
            found, gradient_by_autograd(users, form, layer, cost), atol=1e-10
        )
        with torch.no_grad():
            differences = gradient_by_differences(users, form, layer, cost)
        np.testing.assert_allclose(found, differences, atol=2e-8)


def quartic(matrix):
    """O and C for C(x) = xᵀHx / 2 + Σx⁴."""
    tensor = torch.from_numpy(matrix)

    def cost(x):
        return 0.5 * x @ tensor @ x + (x**4).sum()

    def weights(signal):
        x = np.zeros(len(signal))
        for _ in range(60):  # Newton's method; the cost is strictly convex
            slope = matrix @ x + 4.0 * x**3 - signal.numpy()
            x = x - np.linalg.solve(quartic_hessian(matrix, x), slope)
        assert np.abs(slope).max() < 1e-12
        return torch.from_numpy(x)

    return weights, cost


def quartic_hessian(matrix, x):
    return matrix + np.diag(12.0 * x**2)


def gradient_of(function, point):
    """By autograd, of a function of one tensor."""
    tensor = torch.from_numpy(point).requires_grad_()
    (gradient,) = torch.autograd.grad(function(tensor), tensor)
    return gradient.numpy()


@pytest.mark.parametrize("seed", SEEDS)
class TestLemmas:
    def test_0_1_stake_weighted_gradient(self, seed):
        """SWG = (p - m)ᵀ ∇_m f, for any f."""
        users = make_users(seed)
        returns = torch.from_numpy(users.returns)

        def function(m):
            return torch.sin(m) @ returns + (m**2).sum().sqrt() * m[0]

        predictions = torch.from_numpy(users.predictions)
        by_stakes = gradient_of(lambda s: function(predictions @ s / s.sum()), users.stakes)
        expected = (users.predictions - users.meta_model[:, None]).T @ gradient_of(
            function, users.meta_model
        )
        np.testing.assert_allclose(users.stakes.sum() * by_stakes, expected, atol=1e-13)

    def test_0_2_gradient_of_the_cost_at_the_optimum(self, seed):
        """∇C(O(m)) = m without limits; with limits, where the portfolio can move."""
        users, matrix = make_users(seed), make_hessian(seed)
        weights, cost = quartic(matrix)
        solution = weights(torch.from_numpy(users.meta_model)).numpy()
        np.testing.assert_allclose(gradient_of(cost, solution), users.meta_model, atol=1e-11)
        for program in PROGRAMS:
            optimizer, risk = make_program(program, seed)
            optimizer.fit(users.meta_model, **risk)
            slope = gradient_of(full_cost(optimizer, risk), optimizer.weights_)
            np.testing.assert_allclose(
                optimizer.gradient(slope), optimizer.gradient(users.meta_model), atol=1e-12
            )

    def test_0_3_jacobian_is_the_inverse_hessian(self, seed):
        users, matrix = make_users(seed), make_hessian(seed)
        weights, _ = quartic(matrix)
        model, step = users.meta_model, 1e-5
        jacobian = np.array(
            [
                weights(torch.from_numpy(model + d)) - weights(torch.from_numpy(model - d))
                for d in step * np.eye(12)
            ]
        ) / (2.0 * step)
        hessian = quartic_hessian(matrix, weights(torch.from_numpy(model)).numpy())
        np.testing.assert_allclose(jacobian @ hessian, np.eye(12), atol=1e-8)

    def test_0_4_chain_rule_through_the_norm(self, seed):
        """∇_x f(x/‖x‖) = (g - (xᵀg)/(xᵀx) x) / ‖x‖ with g = ∇f at x/‖x‖, not at x."""
        x = make_users(seed).meta_model
        size = np.linalg.norm(x)

        def function(u):
            return torch.exp(u).sum() + u[0] * u[1]

        found = gradient_of(lambda t: function(t / t.norm()), x)
        inner = gradient_of(function, x / size)
        np.testing.assert_allclose(found, deproject(inner, x) / size, atol=1e-14)
        assert np.abs(found - deproject(gradient_of(function, x), x) / size).max() > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_misprints_of_the_post_are_not_the_gradient(seed):
    """What Proof 1 and the statement and last line of Proof 2 print, beside what holds."""
    users, hessian = make_users(seed), make_hessian(seed)
    model, returns = users.meta_model, users.returns
    inverse, size = np.linalg.inv(hessian), np.linalg.norm(model)
    spread = (users.predictions - model[:, None]).T

    aligned = contributions(users, "aligned", hessian)
    np.testing.assert_allclose(spread @ inverse @ (returns - model), aligned, atol=1e-12)
    printed = spread @ inverse @ (model - returns)  # last line of Lemma 1.1: the sign
    np.testing.assert_allclose(printed, -aligned, atol=1e-12)

    current = contributions(users, "current", hessian)
    bracket = deproject(inverse @ returns, model)
    np.testing.assert_allclose(spread @ bracket / size, current, atol=1e-12)
    np.testing.assert_allclose(spread @ bracket, size * current, atol=1e-12)  # statement: no norm
    printed = spread @ inverse @ bracket  # last line: H⁻¹ once too often
    assert np.abs(printed - size * current).max() > 0.1 * np.abs(current).max()
