"""Candidates for a small market, and their contributions by `true_contribution`."""

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.tree import DecisionTreeRegressor

from sknumerai.contribution import true_contribution
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.portfolio import PortfolioOptimizer

N_STOCKS, N_ERAS, USERS = 50, 6, 8
CV = PurgedEraKFold(3, purge=0)
TREE = DecisionTreeRegressor(max_depth=5, random_state=0)  # its predictions are not in span(X)
BOX = PortfolioOptimizer(min_weights=-0.8, max_weights=0.8, max_exposure=0.5)
RISK = ("factor_loadings", "factor_covariance", "specific_variance", "exposures")


def route():
    sklearn.set_config(enable_metadata_routing=True)


class Fixed(RegressorMixin, BaseEstimator):
    """Predicts a column of X, or what it is given."""

    def __init__(self, column=0, values=None):
        self.column, self.values = column, values

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        if self.values is not None:
            return self.values
        return np.asarray(X)[:, self.column].astype(float)


def contributions(prediction, users, stakes, market, rows=None, **options):
    """By `true_contribution`, of a user that is appended without a stake."""
    rows = np.arange(len(market.returns)) if rows is None else rows
    risk = {
        name: market[name] if name == "factor_covariance" else np.asarray(market[name])[rows]
        for name in RISK
    }
    table = true_contribution(
        np.column_stack([np.asarray(users)[rows], prediction]),
        np.append(stakes, 0.0),
        np.asarray(market.returns)[rows],
        eras=np.asarray(market.eras)[rows],
        dropout=0.0,
        **{"optimizer": BOX, **risk, **options},
    )
    return table.iloc[:, -1]


def metadata(market, *others):
    return {"eras": market.eras, **{name: market[name] for name in (*RISK, *others)}}
