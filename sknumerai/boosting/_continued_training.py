"""How regressors go on training, on other rows than before."""

from __future__ import annotations

from abc import abstractmethod
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.utils import check_random_state

# What `fit` calls the model that it is to continue: LightGBM and CatBoost, XGBoost.
MODEL_ARGUMENTS = ("init_model", "xgb_model")
SEED_PARAMETERS = ("random_state", "random_seed")


class ContinuedTraining:
    """A regressor that is trained round by round.

    Parameters
    ----------
    regressor : estimator
        Not changed.
    """

    def __init__(self, regressor: Any):
        self.regressor = clone(regressor)

    @abstractmethod
    def fit(self, X: Any, y: Any, params: dict[str, Any]) -> Any:
        """Train one more round on these rows, and return the fitted regressor."""


class ByModel(ContinuedTraining):
    """A new regressor for every round, which is handed the one of the last round.

    It starts its random numbers anew: with one seed for all rounds, every round would draw the
    same features. The first round has the regressor's own seed, and those of later rounds follow
    from it.

    Parameters
    ----------
    regressor : estimator
    argument : {"init_model", "xgb_model"}
    """

    def __init__(self, regressor: Any, argument: str):
        super().__init__(regressor)
        self.argument, self.last = argument, None
        params = self.regressor.get_params()
        known = [*params, *signature(type(self.regressor)).parameters]  # CatBoost hides defaults
        self.seed_parameter = next((name for name in SEED_PARAMETERS if name in known), None)
        seed = params.get(self.seed_parameter)
        self.generator = check_random_state(0 if seed is None else seed)

    def fit(self, X: Any, y: Any, params: dict[str, Any]) -> Any:
        """Train one more round."""
        regressor = clone(self.regressor)
        if self.last is not None:
            params = params | {self.argument: self.last}
            if self.seed_parameter is not None:
                seed = int(self.generator.randint(np.iinfo(np.int32).max))
                regressor.set_params(**{self.seed_parameter: seed})
        self.last = regressor.fit(X, y, **params)
        return self.last


class ByWarmStart(ContinuedTraining):
    """One regressor of scikit-learn, whose number of trees grows with every round.

    Parameters
    ----------
    regressor : estimator
    size : {"n_estimators", "max_iter"}
        The parameter that counts the trees of all rounds.
    """

    def __init__(self, regressor: Any, size: str):
        super().__init__(regressor)
        self.size, self.step, self.n_rounds = size, self.regressor.get_params()[size], 0

    def fit(self, X: Any, y: Any, params: dict[str, Any]) -> Any:
        """Train one more round."""
        self.n_rounds += 1
        total = self.n_rounds * self.step
        self.regressor.set_params(**{"warm_start": True, self.size: total})
        return self.regressor.fit(X, y, **params)


def continued_training(regressor: Any) -> ContinuedTraining:
    """The way in which a regressor goes on training.

    Raises
    ------
    ValueError
        If it has none.
    """
    if hasattr(regressor, "fit") and hasattr(regressor, "get_params"):
        arguments = signature(regressor.fit).parameters
        for name in MODEL_ARGUMENTS:
            if name in arguments:
                return ByModel(regressor, name)
        params = regressor.get_params(deep=False)
        if isinstance(regressor, HistGradientBoostingRegressor):
            return ByWarmStart(regressor, "max_iter")
        if "warm_start" in params and "n_estimators" in params:
            return ByWarmStart(regressor, "n_estimators")
    raise ValueError(
        f"regressor is {regressor!r}, which cannot go on training on other rows; pass one of "
        "LightGBM, XGBoost or CatBoost, or HistGradientBoostingRegressor, "
        "GradientBoostingRegressor, RandomForestRegressor or ExtraTreesRegressor."
    )
