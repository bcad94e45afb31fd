"""A small case of True Contribution, and the return of its portfolio written out plainly."""

import numpy as np
from scipy.stats import norm, rankdata

from sknumerai.contribution import true_contribution
from sknumerai.contribution._era_gradient import Rounds
from sknumerai.portfolio import PortfolioOptimizer

N, USERS = 30, 6
SEED = 3


class Case:
    """Arrays of one or more eras with binding limits, and the call for their contributions."""

    def __init__(self, seed=0, n=N, n_users=USERS, n_eras=1):
        rng = np.random.default_rng(seed)
        rows = n * n_eras
        self.predictions = rng.normal(size=(rows, n_users))
        self.stakes = rng.uniform(0.5, 2.0, n_users)
        self.stakes[1] = 0.0
        self.returns = 0.1 * rng.normal(size=rows)
        self.eras = np.repeat([f"{era:04d}" for era in range(1, n_eras + 1)], n)
        self.risk = {
            "factor_loadings": rng.normal(size=(rows, 2)),
            "factor_covariance": np.array([[0.5, 0.1], [0.1, 0.3]]),
            "specific_variance": rng.uniform(0.5, 2.0, rows),
            "exposures": rng.normal(size=(rows, 2)),
        }
        self.optimizer = PortfolioOptimizer(
            min_weights=-0.6, max_weights=0.5, max_leverage=8.0, max_exposure=0.1
        )

    def __call__(self, **options):
        """Contributions with some of the arguments exchanged."""
        given = {
            "user_predictions": self.predictions,
            "stakes": self.stakes,
            "returns": self.returns,
            "optimizer": self.optimizer,
            "eras": self.eras,
            "random_state": SEED,
            "n_rounds": 5,
            "signal_scale": 0.8,
            **self.risk,
            **options,
        }
        return true_contribution(**given)


class PlainReturn:
    """Return of the portfolio as a function of the stakes, each step written out."""

    def __init__(self, case, *, gaussianize=True, gradient="raw", signal_scale=0.8, power=1.5):
        self.case, self.gradient, self.power = case, gradient, power
        self.scale = signal_scale
        self.signals = case.predictions
        if gaussianize:
            self.signals = norm.ppf((rankdata(case.predictions, axis=0) - 0.5) / N)

    def portfolio(self, stakes):
        meta_model = self.signals @ stakes
        if self.gradient == "stake_weighted":
            meta_model = meta_model / stakes.sum()
        signal = np.sign(meta_model) * np.abs(meta_model) ** self.power
        if self.scale is not None:
            signal = signal * self.scale / np.sqrt(np.mean(signal**2))
        return self.case.optimizer.fit(signal, **self.case.risk).weights_

    def __call__(self, stakes):
        return self.case.returns @ self.portfolio(stakes)

    def derivatives(self, stakes, step=1e-5):
        """Central differences by every stake."""
        return np.array(
            [
                (self(stakes + step * unit) - self(stakes - step * unit)) / (2.0 * step)
                for unit in np.eye(len(stakes))
            ]
        )


def dropped_stakes(stakes, n_rounds=5, dropout=0.5, seed=SEED):
    """The stakes of every round, a row each."""
    return Rounds(n_rounds=n_rounds, dropout=dropout, seed=seed).stakes(stakes).T


def assert_close(found, expected, tolerance):
    """Largest error relative to the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
