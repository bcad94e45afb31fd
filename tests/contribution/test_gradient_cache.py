"""Gradients are computed once for all candidates, and kept within bounds."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate

from sknumerai.contribution import TCScorer
from sknumerai.contribution import _tc_scorer as module
from sknumerai.contribution._gradient_cache import GRADIENTS, ContentCache
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._scored_market import (
    BOX,
    CV,
    N_ERAS,
    N_STOCKS,
    TREE,
    Fixed,
    metadata,
    route,
)


@pytest.fixture
def solved_eras(monkeypatch):
    """One entry for every gradient that is computed in this process."""
    calls = []

    def spy(users, stakes, returns, engine, rounds):
        calls.append(len(returns))
        return original(users, stakes, returns, engine, rounds)

    original = module.era_gradient
    monkeypatch.setattr(module, "era_gradient", spy)
    return calls


class TestGradientsAreKept:
    def test_once_per_era(self, market, solved_eras):
        route()
        search = GridSearchCV(
            TREE, {"max_depth": [1, 2, 3, 4]}, cv=CV, scoring=TCScorer(BOX), error_score="raise"
        )
        search.fit(market.exposures, market.returns, **metadata(market, "meta_model"))
        assert solved_eras == [N_STOCKS] * N_ERAS
        assert len(set(search.cv_results_["mean_test_score"])) == 4

    def test_once_for_scorers_side_by_side(self, market, solved_eras):
        """Without users there is nothing to drop out, so that the seed is no matter."""
        route()
        cross_validate(
            TREE,
            market.exposures,
            market.returns,
            cv=CV,
            scoring={"mean": TCScorer(BOX), "sharpe": TCScorer(BOX, aggregate="sharpe")},
            params=metadata(market, "meta_model"),
            error_score="raise",
        )
        assert len(solved_eras) == N_ERAS

    def test_once_for_copies(self, market, solved_eras):
        model = TREE.fit(market.exposures, market.returns)
        scorer = TCScorer(BOX, stakes=market.stakes, n_rounds=3)
        call = {
            "X": market.exposures,
            "y": market.returns,
            **metadata(market, "user_predictions"),
        }
        expected = scorer(model, **call)
        for other in (
            clone(scorer, safe=False),
            copy.deepcopy(scorer),
            pickle.loads(pickle.dumps(scorer)),
        ):
            assert other(model, **copy.deepcopy(call)) == expected
        assert len(solved_eras) == N_ERAS

    def test_every_input_counts(self, market, solved_eras):
        """Whatever changes a gradient makes a new one, in the eras that it changes."""
        scorer = TCScorer(BOX, stakes=market.stakes, n_rounds=3, random_state=0)
        given = metadata(market, "user_predictions", "returns")
        model = Fixed().fit(None)

        def new_eras(scorer=scorer, **changes):
            before = len(solved_eras)
            score = scorer(model, market.exposures, None, **{**given, **changes})
            scores.append(score)
            return len(solved_eras) - before

        scores = []
        assert new_eras() == N_ERAS
        assert new_eras() == 0
        assert scores[0] == scores[1]
        for name in ("user_predictions", "returns", "exposures", "specific_variance"):
            changed = given[name].copy()
            changed.iloc[0] = changed.max() + 1  # for one stock of one era
            assert new_eras(**{name: changed}) == 1, name
        covariances = dict(market.factor_covariance)
        covariances["0002"] = 2.0 * covariances["0002"]
        assert new_eras(factor_covariance=covariances) == 1
        make = partial(TCScorer, BOX, stakes=market.stakes, n_rounds=3, random_state=0)
        for other in (
            make(random_state=1),
            make(n_rounds=4),
            make(dropout=0.3),
            make(gradient="stake_weighted"),
            make(gaussianize=False),
            make(signal_scale=2e-3),
            make(power=1.0),
            make(stakes=market.stakes + 1.0),
            TCScorer(
                PortfolioOptimizer(**BOX.get_params() | {"l2_coef": 0.01}),
                stakes=market.stakes,
                n_rounds=3,
                random_state=0,
            ),
        ):
            assert new_eras(other) == N_ERAS, other
        assert len(set(scores)) == len(scores) - 1

    def test_changing_the_optimizer_is_noticed(self, market, solved_eras):
        optimizer = clone(BOX)
        scorer = TCScorer(optimizer)
        model = TREE.fit(market.exposures, market.returns)
        call = partial(
            scorer,
            model,
            market.exposures,
            market.returns,
            meta_model=market.meta_model,
            **metadata(market),
        )
        before = call()
        optimizer.set_params(risk_aversion=3.0)
        assert call() != before
        assert len(solved_eras) == 2 * N_ERAS

    def test_an_own_program(self, market, solved_eras):
        """Of two programs of one's own, of a program with new values of its parameters."""
        cp = pytest.importorskip("cvxpy")
        pytest.importorskip("cvxpylayers.torch")

        def make(limit):
            signal, weights = cp.Parameter(N_STOCKS), cp.Variable(N_STOCKS)
            problem = cp.Problem(
                cp.Maximize(signal @ weights - 0.5 * cp.sum_squares(weights)),
                [cp.sum(weights) == 0, cp.abs(weights) <= limit],
            )
            return PortfolioOptimizer.from_cvxpy(problem, signal, weights)

        rows = market.eras == "0001"
        model = TREE.fit(market.exposures, market.returns)

        def score(optimizer):
            return TCScorer(optimizer, signal_scale=1.0, random_state=0)(
                model,
                market.exposures[rows],
                market.returns[rows],
                eras=market.eras[rows],
                meta_model=market.meta_model[rows],
            )

        limit = cp.Parameter(nonneg=True, value=2.0)
        own = make(limit)
        first = score(own)
        assert score(own) == score(clone(own)) == first
        assert len(solved_eras) == 1
        limit.value = 0.5
        assert score(own) != first
        assert len(solved_eras) == 2
        assert score(make(0.5)) == pytest.approx(score(own), rel=1e-3)
        assert len(solved_eras) == 3
        ours = PortfolioOptimizer(min_weights=-0.5, max_weights=0.5)
        assert score(ours) == pytest.approx(score(own), rel=1e-2)


@dataclass(frozen=True)
class Sized:
    """Something of a size to keep."""

    value: int
    nbytes: int = 10


class TestContentCache:
    def test_same_content_is_computed_once(self):
        cache, calls = ContentCache(), []
        array = np.arange(6.0).reshape(2, 3)

        def get(*content):
            return cache.get(content, lambda: calls.append(1) or Sized(len(calls)))

        first = get(array, "a", 1.0)
        assert get(array.copy(), "a", 1.0) is first
        for other in (
            (array + 1e-16 * (array == 0.0), "a", 1.0),
            (array.astype(np.float32), "a", 1.0),
            (array.reshape(3, 2), "a", 1.0),
            (array, "b", 1.0),
            (array, "a", 1.5),
        ):
            assert get(*other) is not first
        assert len(calls) == 6
        cache.clear()
        assert get(array, "a", 1.0) is not first

    def test_the_least_recently_used_go_first(self):
        cache, computed = ContentCache(max_bytes=30), []

        def get(value, nbytes=10):
            return cache.get((value,), lambda: computed.append(value) or Sized(value, nbytes)).value

        for value in (1, 2, 3, 1, 4):  # 4 drives out 2, as 1 was used since
            assert get(value) == value
        assert computed == [1, 2, 3, 4]
        get(1), get(3), get(4)
        assert computed == [1, 2, 3, 4]
        get(2)
        assert computed == [1, 2, 3, 4, 2]
        assert cache._bytes == 30
        # one that is too large by itself is kept alone, as long as nothing else comes
        assert get(5, 100) == get(5, 100) == 5
        assert list(cache._entries.values()) == [Sized(5, 100)]
        get(6)
        assert list(cache._entries.values()) == [Sized(6)]
        assert cache._bytes == 10

    def test_errors_are_not_kept(self):
        cache = ContentCache()
        with pytest.raises(ZeroDivisionError):
            cache.get((1,), lambda: 1 // 0)
        assert cache.get((1,), lambda: Sized(7)).value == 7

    def test_threads(self):
        cache = ContentCache(max_bytes=200)
        values = np.random.default_rng(0).integers(0, 40, 2000).tolist()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda v: cache.get((v,), lambda: Sized(v)).value, values))
        assert found == values
        assert cache._bytes == sum(entry.nbytes for entry in cache._entries.values()) <= 200

    def test_that_of_gradients_is_bounded(self, market, monkeypatch):
        monkeypatch.setattr(GRADIENTS, "max_bytes", 3 * 8 * N_STOCKS)
        model = TREE.fit(market.exposures, market.returns)
        call = partial(TCScorer(BOX), model, market.exposures, market.returns)
        expected = call(meta_model=market.meta_model, **metadata(market))
        assert len(GRADIENTS._entries) == 3
        assert call(meta_model=market.meta_model, **metadata(market)) == expected
        assert GRADIENTS._bytes == 3 * 8 * N_STOCKS
