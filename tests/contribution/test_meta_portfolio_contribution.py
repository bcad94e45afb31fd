"""numerai-tools' gradient as a special case of True Contribution."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata

from sknumerai.contribution import true_contribution
from sknumerai.metrics import meta_portfolio_contribution
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._case import assert_close


class TestMetaPortfolioContribution:
    """numerai-tools' gradient is the special case of a ball: max mᵀx, ‖x‖ <= 1, Nᵀx = 0."""

    @pytest.fixture
    def data(self, rng):
        n, n_users = 60, 8
        neutralizers = rng.normal(size=(n, 4))
        neutralizers = np.linalg.qr(neutralizers - neutralizers.mean(axis=0))[0]
        predictions = pd.DataFrame(rng.normal(size=(n, n_users))).add_prefix("user_")
        stakes = pd.Series(rng.uniform(0.1, 1.0, n_users), index=predictions.columns)
        stakes /= stakes.sum()
        targets = rng.normal(size=n)
        scores = meta_portfolio_contribution(
            targets,
            predictions,
            stakes=stakes,
            neutralizers=neutralizers,
            sample_weights=np.ones(n),
        )
        signals = norm.ppf((rankdata(predictions, axis=0) - 0.5) / n)
        signals = np.sign(signals) * np.abs(signals) ** 1.5
        return signals, stakes, targets, neutralizers, scores.to_numpy()

    def test_derivative_of_the_optimizer(self, data):
        """The multiplier of the ball is the risk aversion that makes the portfolio's norm one.

        On the ball the derivative loses the direction of the portfolio itself:
        ∂x/∂m = J (I - xxᵀ), with J that of the program of identity risk.
        """
        signals, stakes, targets, neutralizers, scores = data
        meta_model = signals @ stakes
        size = np.linalg.norm(PortfolioOptimizer().fit(meta_model, exposures=neutralizers).weights_)
        ball = PortfolioOptimizer(risk_aversion=size).fit(meta_model, exposures=neutralizers)
        direction = ball.weights_
        assert np.linalg.norm(direction) == pytest.approx(1.0, rel=1e-12)
        gradient = ball.gradient(targets - direction * (direction @ targets))
        assert_close(signals.T @ gradient / 50.0, scores, 1e-9)

    def test_contribution_of_neutral_signals(self, data):
        """A signal of fixed size takes the place of the ball, if it is neutral already."""
        signals, stakes, targets, neutralizers, scores = data
        program = PortfolioOptimizer()
        neutral = np.column_stack(
            [program.fit(signal, exposures=neutralizers).weights_ for signal in signals.T]
        )
        found = true_contribution(
            neutral,
            stakes.to_numpy(),
            targets,
            optimizer=program,
            exposures=neutralizers,
            dropout=0.0,
            gaussianize=False,
            power=1.0,
            signal_scale=1.0 / np.sqrt(len(targets)),  # a portfolio of norm one
        )
        assert_close(found.iloc[0] / 50.0, scores, 1e-9)
