"""Warnings point at the caller's line, past scikit-learn and joblib, once for each call."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import Lasso
from sklearn.model_selection import GridSearchCV, cross_validate

from sknumerai.datasets import make_tournament
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics import get_era_scorer, numerai_corr
from sknumerai.model_selection import PurgedEraKFold


@pytest.fixture(scope="module")
def tournament():
    return make_tournament(20, 30, 3, random_state=0)


@pytest.fixture(autouse=True)
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def constant_warnings(caught):
    return [w for w in caught if issubclass(w.category, ConstantPredictionWarning)]


def search(tournament, n_jobs):
    options = {"scoring": get_era_scorer("numerai_corr"), "cv": PurgedEraKFold(10, horizon=5)}
    fitted = GridSearchCV(Lasso(), {"alpha": [100.0]}, n_jobs=n_jobs, **options)
    fitted.fit(tournament.data, tournament.target, eras=tournament.eras)


def validate(tournament, n_jobs):
    cross_validate(
        Lasso(100.0),
        tournament.data,
        tournament.target,
        params={"eras": tournament.eras},
        scoring=get_era_scorer("numerai_corr"),
        cv=PurgedEraKFold(10, horizon=5),
        n_jobs=n_jobs,
    )


@pytest.mark.parametrize("call", [search, validate])
def test_a_search_warns_once_at_the_line_of_the_caller(tournament, call):
    """Of ten folds, with other eras each, scored by scikit-learn through joblib."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(tournament, 1)
        assert [w.filename for w in constant_warnings(caught)] == [__file__]
        call(tournament, 1)
    assert len(constant_warnings(caught)) == 2  # another call is another matter


def test_every_call_warns():
    y, eras = np.tile([0.0, 0.5, 1.0], 2), [1, 1, 1, 2, 2, 2]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            numerai_corr(y, np.zeros(6), eras=eras)
    found = constant_warnings(caught)
    assert [w.filename for w in found] == [__file__] * 3
