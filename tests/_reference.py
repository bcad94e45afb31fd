"""Slow, plain and independent versions of what the package computes fast."""

import numpy as np


def standardized(features):
    """Centred columns of unit norm; constant columns become zero."""
    centred = features - features.mean(axis=0, dtype=float)
    norms = np.linalg.norm(centred, axis=0)
    norms[norms < 1e-9] = np.inf
    return centred / norms


def exposures(prediction, features):
    """Correlation of a prediction with every feature."""
    centred = prediction - prediction.mean()
    return standardized(features).T @ centred / np.linalg.norm(centred)


def neutralized(prediction, features, proportion=1.0):
    """Least-squares neutralization with an intercept, of minimum norm."""
    design = np.column_stack([features.astype(float), np.ones(len(features))])
    return prediction - proportion * design @ np.linalg.pinv(design) @ prediction


def best_correlation(prediction, features, lower, upper):
    """Largest correlation with the prediction inside exposure limits, by a cone program."""
    import cvxpy as cp

    x = standardized(features)
    y = prediction - prediction.mean()
    y /= np.linalg.norm(y)
    u = cp.Variable(len(y))
    constraints = [cp.norm(u) <= 1]
    for limit, sign in ((upper, 1), (lower, -1)):
        finite = np.isfinite(limit)
        if finite.any():
            constraints.append(sign * (x.T[finite] @ u) <= sign * limit[finite])
    problem = cp.Problem(cp.Maximize(y @ u), constraints)
    problem.solve(
        solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9, max_iter=200
    )
    return problem.value, u.value


def make_era(rng, n=200, k=8, signal=0.3):
    """Integer features correlated within groups, and a prediction exposed to them."""
    groups = rng.normal(size=(n, max(1, k // 3)))
    raw = 0.6 * groups[:, rng.integers(0, groups.shape[1], k)] + 0.8 * rng.normal(size=(n, k))
    features = (raw.argsort(axis=0).argsort(axis=0) * 5 // n).astype(np.int8)
    prediction = signal * (features - 2.0) @ rng.normal(size=k) + rng.normal(size=n)
    return prediction, features
