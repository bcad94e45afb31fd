"""The scorer gives what `true_contribution` gives a user without a stake."""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge

from sknumerai.contribution import TCScorer, true_contribution
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._scored_market import (
    BOX,
    N_ERAS,
    RISK,
    TREE,
    USERS,
    Fixed,
    contributions,
    metadata,
)


class TestCalls:
    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    @pytest.mark.parametrize("gaussianize", [True, False])
    @pytest.mark.parametrize("signal_scale", [8e-4, None])
    def test_equals_a_user_without_a_stake(self, market, gradient, gaussianize, signal_scale):
        X, y = market.exposures, market.returns
        model = TREE.fit(X, y)
        options = {"gradient": gradient, "gaussianize": gaussianize, "signal_scale": signal_scale}
        aversion = 1.0 if signal_scale else 1e5
        optimizer = PortfolioOptimizer(**BOX.get_params() | {"risk_aversion": aversion})
        seen = []
        settings = {"aggregate": lambda scores: seen.append(scores) or scores.mean(), **options}
        with_meta_model = TCScorer(optimizer, **settings)(
            model, X, y, meta_model=market.meta_model, **metadata(market)
        )
        with_users = TCScorer(optimizer, stakes=market.stakes, dropout=0.0, **settings)(
            model, X, y, user_predictions=market.user_predictions, **metadata(market)
        )
        for found, scores, users, stakes in (
            (with_meta_model, seen[0], market.meta_model, [1.0]),
            (with_users, seen[1], market.user_predictions, market.stakes),
        ):
            expected = contributions(
                model.predict(X), users, stakes, market, optimizer=optimizer, **options
            )
            assert np.abs(expected).min() > 0.0
            np.testing.assert_allclose(
                scores, expected, rtol=0, atol=1e-12 * np.abs(expected).max()
            )
            assert scores.index.equals(expected.index)
            assert found == pytest.approx(expected.mean(), rel=1e-12)
        assert with_meta_model != with_users

    def test_candidate_that_is_a_user(self, market):
        """With dropout, too: a copy of a user scores what the user scores."""
        table = true_contribution(
            market.user_predictions,
            market.stakes,
            market.returns,
            optimizer=BOX,
            eras=market.eras,
            random_state=5,
            n_rounds=10,
            **{name: market[name] for name in RISK},
        )
        scorer = TCScorer(BOX, stakes=market.stakes, random_state=5, n_rounds=10)
        for user in (0, 3):
            model = Fixed(values=np.asarray(market.user_predictions)[:, user]).fit(None)
            score = scorer(
                model,
                market.exposures,
                market.returns,
                user_predictions=market.user_predictions,
                **metadata(market),
            )
            assert score == pytest.approx(table.iloc[:, user].mean(), rel=1e-12)

    def test_aggregates(self, market):
        X, y = market.exposures, market.returns
        model = TREE.fit(X, y)
        scores = contributions(model.predict(X), market.meta_model, [1.0], market)
        for aggregate, expected in (
            ("mean", scores.mean()),
            ("sharpe", scores.mean() / scores.std(ddof=0)),
            (np.min, scores.min()),
            (lambda series: series["0003"], scores["0003"]),
        ):
            scorer = TCScorer(BOX, aggregate=aggregate)
            found = scorer(model, X, y, meta_model=market.meta_model, **metadata(market))
            assert found == pytest.approx(expected, rel=1e-9)

    def test_returns_are_y_by_default(self, market):
        X, y = market.exposures, market.returns
        model = TREE.fit(X, y)
        call = partial(TCScorer(BOX), model, X, meta_model=market.meta_model, **metadata(market))
        expected = call(y)
        assert call(None, returns=y) == expected
        assert call(-y, returns=y) == expected
        assert call(-y) == pytest.approx(-expected, rel=1e-9)

    def test_rows_and_eras_in_any_order(self, market):
        X, y = market.exposures, market.returns
        model = TREE.fit(X, y)
        expected = TCScorer(BOX)(model, X, y, meta_model=market.meta_model, **metadata(market))
        order = np.random.default_rng(0).permutation(len(y))
        given = {
            name: values if name == "factor_covariance" else values.iloc[order]
            for name, values in metadata(market, "meta_model").items()
        }
        found = TCScorer(BOX)(model, X.iloc[order], y.iloc[order], **given)
        assert found == pytest.approx(expected, rel=1e-9)

    def test_frames(self, market, df_module):
        X, y = market.exposures, market.returns
        model = Ridge().fit(X.to_numpy(), y)
        given = metadata(market, "user_predictions")
        scorer = TCScorer(BOX, stakes=market.stakes.to_numpy(), random_state=0, n_rounds=3)
        expected = scorer(model, X.to_numpy(), y, **given)

        def convert(values):
            if isinstance(values, pd.DataFrame):
                return df_module.DataFrame({c: values[c].to_numpy() for c in values})
            if isinstance(values, pd.Series):
                return df_module.Series(values.to_numpy(), name="column")
            return values

        converted = {name: convert(values) for name, values in given.items()}
        assert scorer(model, X.to_numpy(), convert(y), **converted) == pytest.approx(
            expected, rel=1e-12
        )

    @pytest.mark.parametrize("gaussianize", [True, False])
    def test_constant_candidates(self, market, gaussianize):
        X = market.exposures
        constant = np.asarray(X)[:, 0].astype(float)
        constant[np.asarray(market.eras) == "0003"] = 1.0
        scorer = TCScorer(BOX, gaussianize=gaussianize)
        with pytest.warns(ConstantPredictionWarning, match=r"In 1 era \(0003\) a prediction is"):
            score = scorer(
                Fixed(values=constant).fit(X),
                X,
                market.returns,
                meta_model=market.meta_model,
                **metadata(market),
            )
        assert np.isnan(score)

    def test_users_absent_in_an_era(self, market):
        X, y = market.exposures, market.returns
        model = TREE.fit(X, y)
        users = market.user_predictions.copy()
        users.loc[market.eras == "0002", users.columns[[0, 3]]] = np.nan
        score = TCScorer(BOX, stakes=market.stakes, dropout=0.0)(
            model, X, y, user_predictions=users, **metadata(market)
        )
        expected = contributions(model.predict(X), users, market.stakes, market)
        assert score == pytest.approx(expected.mean(), rel=1e-12)

    def test_stakes_by_era(self, market):
        X, y = market.exposures, market.returns
        model = TREE.fit(X, y)
        stakes = pd.DataFrame(
            np.random.default_rng(0).uniform(0.0, 1.0, (N_ERAS, USERS)),
            index=sorted(set(market.eras), reverse=True),
            columns=market.user_predictions.columns,
        )
        seen = []
        TCScorer(
            BOX, stakes=stakes, dropout=0.0, aggregate=lambda scores: seen.append(scores) or 0.0
        )(model, X, y, user_predictions=market.user_predictions, **metadata(market))
        for era in ("0001", "0004"):
            rows = np.flatnonzero(market.eras == era)
            expected = contributions(
                model.predict(X)[rows], market.user_predictions, stakes.loc[era], market, rows
            )
            assert seen[0][era] == pytest.approx(expected.iloc[0], rel=1e-9)


class TestObjects:
    def test_repr(self):
        assert repr(TCScorer()) == "TCScorer(PortfolioOptimizer(), aggregate='mean')"
        assert repr(
            TCScorer(PortfolioOptimizer(l2_coef=1.0), stakes=[1, 2], n_rounds=7, aggregate=np.min)
        ) == (
            "TCScorer(PortfolioOptimizer(l2_coef=1.0), stakes of 2 users, n_rounds=7, "
            "dropout=0.5, aggregate=min)"
        )

    @pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(0)])
    def test_copies_keep_the_seed(self, random_state):
        scorer = TCScorer(stakes=[1.0, 2.0], random_state=random_state)
        for other in (
            copy.copy(scorer),
            copy.deepcopy(scorer),
            clone(scorer, safe=False),
            pickle.loads(pickle.dumps(scorer)),
        ):
            assert other.rounds == scorer.rounds
            assert repr(other) == repr(scorer)
            assert other._aliases() == scorer._aliases()
        assert isinstance(scorer.rounds.seed, int)

    def test_seeds(self):
        make = partial(TCScorer, stakes=[1.0, 2.0])
        seed = {state: make(random_state=state).rounds.seed for state in (0, 1, 12345)}
        assert seed == {0: 0, 1: 1, 12345: 12345}
        state = np.random.RandomState(0)
        first, second = (make(random_state=state).rounds.seed for _ in range(2))
        assert first != second
        assert make(random_state=np.random.RandomState(0)).rounds.seed == first
        assert make().rounds.seed != make().rounds.seed

    @pytest.mark.parametrize("options", [{}, {"stakes": [1.0, 2.0], "dropout": 0.0}], ids=str)
    def test_no_seed_is_drawn_without_dropout(self, options):
        state = np.random.RandomState(0)
        for random_state in (None, 0, 12345, state):
            assert TCScorer(random_state=random_state, **options).rounds.seed == 0
        assert state.randint(2**31) == np.random.RandomState(0).randint(2**31)

    def test_no_dropout_without_users(self):
        scorer = TCScorer(n_rounds=100, dropout=0.5, random_state=0)
        assert scorer.rounds == TCScorer(n_rounds=1, dropout=0.0, random_state=0).rounds

    @pytest.mark.parametrize("aggregate", ["median", None, "std", "max_drawdown", 1])
    def test_bad_aggregates(self, aggregate):
        """Of those that have a name elsewhere, too, if less of them is better."""
        with pytest.raises(
            ValueError, match=rf"aggregate={aggregate!r}; use 'mean', 'sharpe' or a callable"
        ):
            TCScorer(aggregate=aggregate)

    @pytest.mark.parametrize(
        "options",
        [
            {"optimizer": "newton"},
            {"n_rounds": 0},
            {"dropout": 1.0},
            {"gradient": "mean"},
            {"gaussianize": "yes"},
            {"signal_scale": -1.0},
            {"power": 0.9},
            {"random_state": "a"},
        ],
        ids=str,
    )
    def test_bad_options(self, options):
        with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter of TCScorer"):
            TCScorer(**options)
