import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.tree import DecisionTreeRegressor

from sknumerai.contribution import TCScorer, true_contribution
from sknumerai.contribution import _tc_scorer as module
from sknumerai.contribution._gradient_cache import GRADIENTS, ContentCache
from sknumerai.datasets import make_market
from sknumerai.exceptions import (
    ConstantPredictionWarning,
    FewFreeAssetsWarning,
    InfeasiblePortfolioError,
    MissingErasError,
)
from sknumerai.metrics import get_era_scorer
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.portfolio import PortfolioOptimizer

N_STOCKS, N_ERAS, USERS = 50, 6, 8
CV = PurgedEraKFold(3, purge=0)
TREE = DecisionTreeRegressor(max_depth=5, random_state=0)  # its predictions are not in span(X)
BOX = PortfolioOptimizer(min_weights=-0.8, max_weights=0.8, max_exposure=0.5)
RISK = ("factor_loadings", "factor_covariance", "specific_variance", "exposures")


@pytest.fixture
def market():
    return make_market(N_STOCKS, 3, USERS, n_eras=N_ERAS, n_features=4, n_sectors=3, random_state=0)


@pytest.fixture(autouse=True)
def _empty_cache():
    GRADIENTS.clear()
    yield
    GRADIENTS.clear()


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


class TestRiskColumns:
    OPTIMIZER = PortfolioOptimizer(sector_neutral=True, max_exposure=0.5)

    def _frame(self, market):
        frame = pd.concat([market.exposures, market.factor_loadings], axis=1)
        frame["variance"] = market.specific_variance
        frame["sector"] = pd.factorize(market.sectors)[0].astype(float)
        return frame.reset_index(drop=True)

    def _expected(self, market):
        frame = self._frame(market)
        return TCScorer(self.OPTIMIZER)(
            Fixed().fit(None),
            frame,
            market.returns.to_numpy(),
            meta_model=market.meta_model.to_numpy(),
            sectors=frame["sector"].to_numpy(),
            **metadata(market),
        )

    def test_by_name(self, market, df_module):
        frame = self._frame(market)
        X = df_module.DataFrame({name: frame[name].to_numpy() for name in frame})
        scorer = TCScorer(
            self.OPTIMIZER,
            risk_columns={
                "exposures": market.feature_names,
                "factor_loadings": "^factor_",
                "specific_variance": ["variance"],
                "sectors": lambda names: [name for name in names if name == "sector"],
            },
        )
        score = scorer(
            Fixed().fit(None),
            X,
            market.returns.to_numpy(),
            eras=market.eras,
            meta_model=market.meta_model.to_numpy(),
            factor_covariance=market.factor_covariance,
        )
        assert score == pytest.approx(self._expected(market), rel=1e-12)

    def test_by_position(self, market):
        scorer = TCScorer(
            self.OPTIMIZER,
            risk_columns={
                "exposures": slice(0, 4),
                "factor_loadings": [4, 5, 6],
                "specific_variance": [7],
                "sectors": [-1],
            },
        )
        score = scorer(
            Fixed().fit(None),
            self._frame(market).to_numpy(),
            market.returns.to_numpy(),
            eras=market.eras,
            meta_model=market.meta_model.to_numpy(),
            factor_covariance=market.factor_covariance,
        )
        assert score == pytest.approx(self._expected(market), rel=1e-12)

    def test_in_a_search(self, market):
        """Columns of X are those of the fold."""
        route()
        X, y = self._frame(market), market.returns.to_numpy()
        result = cross_validate(
            Ridge(),
            X,
            y,
            cv=CV,
            params={"eras": market.eras.to_numpy(), "meta_model": market.meta_model.to_numpy()},
            scoring=TCScorer(risk_columns={"exposures": market.feature_names}),
            error_score="raise",
        )
        for (train, test), score in zip(
            CV.split(X, y, market.eras), result["test_score"], strict=True
        ):
            model = Ridge().fit(X.iloc[train], y[train])
            expected = contributions(
                model.predict(X.iloc[test]),
                market.meta_model,
                [1.0],
                market,
                test,
                optimizer=PortfolioOptimizer(),
                factor_loadings=None,
                factor_covariance=None,
                specific_variance=None,
            )
            assert score == pytest.approx(expected.mean(), rel=1e-9)

    @pytest.mark.parametrize("columns", ["^nothing_", ["nothing"], ["sector"] * 2])
    def test_columns_that_are_not_there(self, market, columns):
        scorer = TCScorer(risk_columns={"exposures": columns})
        with pytest.raises(ValueError, match=r"^risk_columns\['exposures'\]") as raised:
            scorer(
                Fixed().fit(None),
                self._frame(market),
                market.returns.to_numpy(),
                eras=market.eras,
                meta_model=market.meta_model.to_numpy(),
            )
        assert "feature_columns" not in str(raised.value)

    @pytest.mark.parametrize("risk_columns", [None, {"exposures": "^feature_"}])
    def test_an_index_of_other_order_is_refused(self, market, risk_columns):
        """Of X, whether or not the portfolio's risk data are among its columns."""
        scorer = TCScorer(risk_columns=risk_columns)
        X = market.exposures
        with pytest.raises(ValueError, match="indexes of X and y share 300 of 300"):
            scorer(
                Fixed().fit(X),
                X.iloc[::-1],
                market.returns,
                eras=market.eras,
                meta_model=market.meta_model,
            )

    def test_bad_columns(self, market):
        for name in ("factor_covariance", "exposure", "returns"):
            with pytest.raises(ValueError, match=f"risk_columns names '{name}'; columns of X can"):
                TCScorer(risk_columns={name: "^feature_"})
        with pytest.raises(ValueError, match="The 'risk_columns' parameter"):
            TCScorer(risk_columns=["exposures"])
        scorer = TCScorer(risk_columns={"exposures": ["feature_9"]})
        with pytest.raises(ValueError, match="names 'feature_9', which X with its 4 columns"):
            scorer(
                Fixed().fit(None),
                market.exposures,
                market.returns,
                eras=market.eras,
                meta_model=market.meta_model,
            )


class TestModelSelection:
    def _by_hand(self, model, scorer, market, *others):
        X, y = market.exposures, market.returns
        scores = []
        for train, test in CV.split(X, y, market.eras):
            fitted = clone(model).fit(X.iloc[train], y.iloc[train])
            given = {
                name: values if name == "factor_covariance" else values.iloc[test]
                for name, values in metadata(market, *others).items()
            }
            scores.append(scorer(fitted, X.iloc[test], y.iloc[test], **given))
        return scores

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_grid_search(self, market, n_jobs):
        route()
        scorer = TCScorer(BOX)
        search = GridSearchCV(
            TREE,
            {"max_depth": [1, 3, 5]},
            cv=CV,
            scoring=scorer,
            n_jobs=n_jobs,
            error_score="raise",
        ).fit(market.exposures, market.returns, **metadata(market, "meta_model"))
        for j, depth in enumerate([1, 3, 5]):
            expected = self._by_hand(
                clone(TREE).set_params(max_depth=depth), scorer, market, "meta_model"
            )
            found = [search.cv_results_[f"split{k}_test_score"][j] for k in range(3)]
            np.testing.assert_allclose(found, expected, rtol=1e-9)
        assert search.best_index_ == np.argmax(search.cv_results_["mean_test_score"])

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_next_to_others(self, market, n_jobs):
        """Each scorer takes from the shared metadata what it asks for."""
        route()
        scoring = {
            "tc": TCScorer(BOX, stakes=market.stakes, n_rounds=4, random_state=0),
            "tc_at_meta_model": TCScorer(BOX),
            "mmc": get_era_scorer("mmc"),
            "numerai_corr": get_era_scorer("numerai_corr"),
        }
        result = cross_validate(
            TREE,
            market.exposures,
            market.returns,
            cv=CV,
            scoring=scoring,
            params=metadata(market, "meta_model", "user_predictions"),
            n_jobs=n_jobs,
            error_score="raise",
        )
        for name, key in (("tc", "user_predictions"), ("tc_at_meta_model", "meta_model")):
            expected = self._by_hand(TREE, scoring[name], market, key)
            np.testing.assert_allclose(result[f"test_{name}"], expected, rtol=1e-9)
        assert (result["test_tc"] != result["test_tc_at_meta_model"]).all()
        assert np.isfinite(result["test_mmc"]).all()

    def test_returns_beside_a_target(self, market):
        """The model learns a target, the portfolio earns a return."""
        route()
        target = market.returns.rank(pct=True)
        result = cross_validate(
            TREE,
            market.exposures,
            target,
            cv=CV,
            scoring=TCScorer(BOX),
            params=metadata(market, "meta_model", "returns"),
            error_score="raise",
        )
        train, test = next(CV.split(market.exposures, target, market.eras))
        model = clone(TREE).fit(market.exposures.iloc[train], target.iloc[train])
        expected = contributions(
            model.predict(market.exposures.iloc[test]), market.meta_model, [1.0], market, test
        )
        assert result["test_score"][0] == pytest.approx(expected.mean(), rel=1e-9)

    def test_aliases(self, market):
        route()
        other = market.meta_model.sample(frac=1.0, random_state=0).to_numpy()
        scoring = {
            "plain": TCScorer(BOX),
            "benchmark": TCScorer(BOX).set_score_request(meta_model="benchmark"),
        }
        given = metadata(market, "meta_model") | {"benchmark": other}
        result = cross_validate(
            TREE, market.exposures, market.returns, cv=CV, scoring=scoring, params=given,
            error_score="raise",
        )  # fmt: skip
        assert (result["test_plain"] != result["test_benchmark"]).all()
        np.testing.assert_allclose(
            result["test_plain"], self._by_hand(TREE, TCScorer(BOX), market, "meta_model")
        )
        model = TREE.fit(market.exposures, market.returns)
        call = partial(scoring["benchmark"], model, market.exposures, market.returns)
        expected = TCScorer(BOX)(
            model, market.exposures, market.returns, meta_model=other, **metadata(market)
        )
        assert call(benchmark=other, **metadata(market)) == pytest.approx(expected)
        with pytest.raises(ValueError, match="needs 'benchmark': pass it next to the eras"):
            call(**metadata(market))
        with pytest.raises(TypeError, match="takes no 'weights'"):
            TCScorer().set_score_request(weights=True)

    def test_equal_candidates_score_equally(self, market):
        """In all processes, though nobody chose a seed."""
        route()
        results = []
        for _ in range(2):
            search = GridSearchCV(
                Ridge(),
                {"copy_X": [True, False, True, False]},
                cv=CV,
                scoring=TCScorer(BOX, stakes=market.stakes, n_rounds=3, random_state=None),
                n_jobs=2,
                error_score="raise",
            ).fit(market.exposures, market.returns, **metadata(market, "user_predictions"))
            for split in range(3):
                assert len(set(search.cv_results_[f"split{split}_test_score"])) == 1
            results.append(search.cv_results_["mean_test_score"][0])
        assert results[0] != results[1]  # another scorer, another seed

    def test_lost_eras(self, market):
        model = TREE.fit(market.exposures, market.returns)
        for routing in (False, True):
            sklearn.set_config(enable_metadata_routing=routing)
            with pytest.raises(MissingErasError, match=r"scorer\(estimator, X, y, eras=eras\)"):
                TCScorer()(model, market.exposures, market.returns, meta_model=market.meta_model)
        route()
        with pytest.raises(MissingErasError):
            cross_validate(
                TREE,
                market.exposures,
                market.returns,
                cv=2,
                scoring=TCScorer(),
                params={"meta_model": market.meta_model},
                error_score="raise",
            )


class TestFewFreeAssets:
    OPTIMIZER = PortfolioOptimizer(min_weights=-0.05, max_weights=0.05, max_leverage=1.0)

    @pytest.mark.parametrize("source", ["meta_model", "user_predictions"])
    def test_are_warned_of(self, market, source):
        """Every time, also where the gradients are those of an earlier call."""
        stakes = None if source == "meta_model" else market.stakes
        make = partial(TCScorer, self.OPTIMIZER, stakes=stakes, n_rounds=3, random_state=0)

        def call(scorer):
            return scorer(
                TREE.fit(market.exposures, market.returns),
                market.exposures,
                market.returns,
                eras=market.eras,
                **{source: market[source]},
            )

        scorer, scores = make(signal_scale=1.0), []
        for _ in range(2):
            with pytest.warns(
                FewFreeAssetsWarning, match=r"In 6 eras \(0001, 0002, .*\) fewer than 10%"
            ) as record:
                scores.append(call(scorer))
            assert len(record) == 1
            assert record[0].filename == __file__
        assert scores[0] == scores[1]
        assert np.isfinite(call(make(signal_scale=1e-3)))  # warnings are errors

    def test_eras_are_named(self, market):
        """Where the specific risk is so small that all assets go to their bounds."""
        variance = market.specific_variance.where(market.eras != "0004", 1e-6)
        risk = {name: market[name] for name in ("factor_loadings", "factor_covariance")}
        with pytest.warns(FewFreeAssetsWarning, match=r"In 1 era \(0004\) fewer than 10%"):
            TCScorer(PortfolioOptimizer(min_weights=-0.8, max_weights=0.8), signal_scale=1e-4)(
                TREE.fit(market.exposures, market.returns),
                market.exposures,
                market.returns,
                eras=market.eras,
                meta_model=market.meta_model,
                specific_variance=variance,
                **risk,
            )


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


class TestBadInput:
    def _call(self, market, scorer=None, values=None, **changes):
        given = {**metadata(market, "meta_model"), **changes}
        given = {name: value for name, value in given.items() if value is not None}
        y = given.pop("y", market.returns)
        return (scorer or TCScorer(BOX))(
            Fixed(values=values).fit(None), market.exposures, y, **given
        )

    def test_missing_and_unknown_metadata(self, market):
        with pytest.raises(ValueError, match="needs 'meta_model': pass it next to the eras"):
            self._call(market, meta_model=None)
        with pytest.raises(ValueError, match="needs 'user_predictions'"):
            self._call(market, TCScorer(BOX, stakes=market.stakes), meta_model=None)
        with pytest.raises(TypeError, match="got 'user_predictions' and takes only eras, features"):
            self._call(market, user_predictions=market.user_predictions)
        with pytest.raises(TypeError, match="got 'metamodel'"):
            self._call(market, metamodel=market.meta_model)

    @pytest.mark.parametrize("name", ["meta_model", "returns", "y", "exposures"])
    def test_values_that_are_not_finite(self, market, name):
        values = market.returns if name == "y" else market[name]
        values = values.astype(float)
        values.iloc[N_STOCKS + 3] = np.nan
        with pytest.raises(ValueError, match=rf"In era 0002: {name} contains \d NaN .* row 53"):
            self._call(market, **{name: values})

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_users_that_are_partly_absent(self, market, value):
        users = market.user_predictions.astype(float)
        users.iloc[N_STOCKS + 3, 2] = value
        scorer = TCScorer(BOX, stakes=market.stakes)
        with pytest.raises(
            ValueError,
            match=r"In era 0002: user_predictions contains 1 "
            r"(values .* row 3 of the era, column 2|infinite .* row 53 of)",
        ):
            self._call(market, scorer, meta_model=None, user_predictions=users)

    def test_neither_y_nor_returns(self, market):
        with pytest.raises(ValueError, match=r"TCScorer\(.* needs y, or returns next to the eras"):
            TCScorer(BOX)(Fixed().fit(None), market.exposures, **metadata(market, "meta_model"))

    def test_stakes_that_are_no_numbers(self, market):
        for stakes in (["much"] * USERS, "plenty"):
            scorer = TCScorer(BOX, stakes=stakes)
            with pytest.raises(ValueError, match=r"stakes must be numbers \(.*\); convert them"):
                self._call(
                    market, scorer, meta_model=None, user_predictions=market.user_predictions
                )

    @pytest.mark.parametrize("name", ["meta_model", "returns", "exposures"])
    def test_other_numbers_of_rows(self, market, name):
        with pytest.raises(ValueError, match=rf"(rows and )?{name} has 10"):
            self._call(market, **{name: np.asarray(market[name])[:10]})

    @pytest.mark.parametrize("name", ["returns", "exposures"])
    def test_indexes_of_other_order(self, market, name):
        with pytest.raises(ValueError, match=f"indexes of X and {name} share 300 of 300"):
            self._call(market, **{name: market[name].iloc[::-1]})

    def test_columns(self, market):
        with pytest.raises(ValueError, match="meta_model must hold one column; found 8"):
            self._call(market, meta_model=market.user_predictions)
        with pytest.raises(ValueError, match=r"stakes has shape \(5,\) for 8 users"):
            self._call(
                market,
                TCScorer(BOX, stakes=np.ones(5)),
                meta_model=None,
                user_predictions=market.user_predictions,
            )
        with pytest.raises(ValueError, match="returns must hold one column; found 2"):
            self._call(market, returns=np.ones((300, 2)))

    def test_predictions(self, market):
        values = np.arange(300.0)
        values[107] = np.nan
        with pytest.raises(ValueError, match=r"contains 1 NaN of 300 values.* row 107, era 0003"):
            self._call(market, values=values)
        with pytest.raises(ValueError, match=r"predict returned shape \(300, 2\)"):
            self._call(market, values=np.ones((300, 2)))

    def test_eras(self, market):
        with pytest.raises(ValueError, match="eras has 299 labels for 300 rows"):
            self._call(market, eras=market.eras[1:])
        with pytest.raises(ValueError, match=r"spring.* have no known order"):
            self._call(market, eras=np.full(300, "spring"), factor_covariance=np.eye(3))
        covariances = {era: market.factor_covariance[era] for era in ("0001", "0002")}
        with pytest.raises(ValueError, match="In era 0003: factor_covariance has no entry for"):
            self._call(market, factor_covariance=covariances)

    def test_the_era_is_named(self, market):
        with pytest.raises(InfeasiblePortfolioError, match="In era 0001: No portfolio meets"):
            self._call(market, TCScorer(PortfolioOptimizer(budget=2.0, max_leverage=1.0)))
        constant = market.meta_model.where(market.eras != "0004", 0.5)
        with pytest.raises(ValueError, match="In era 0004: The stake-weighted signal is zero"):
            self._call(market, meta_model=constant)


def test_real_data(shared_data):
    pytest.importorskip("pyarrow", reason="needs pyarrow to read the real data")
    route()
    frame = pd.read_parquet(shared_data / "numerai_2018_08.parquet")
    frame = frame[frame.region == 0]
    frame = frame[frame.era.isin(sorted(frame.era.unique())[:12])]
    X = frame[[f"x{j}" for j in range(1, 51)]]
    returns = frame.bernie - frame.bernie.groupby(frame.era).transform("mean")
    search = GridSearchCV(
        Ridge(),
        {"alpha": [1.0, 1e4]},
        cv=PurgedEraKFold(3),
        scoring={
            "tc": TCScorer(risk_columns={"exposures": "^x([1-9]|10)$"}),
            "numerai_corr": get_era_scorer("numerai_corr"),
        },
        refit="tc",
        error_score="raise",
    ).fit(X, returns, eras=frame.era, meta_model=X.mean(axis=1))
    assert np.isfinite(search.cv_results_["mean_test_tc"]).all()
    found = search.score(X, returns, eras=frame.era, meta_model=X.mean(axis=1))
    expected = true_contribution(
        np.column_stack([X.mean(axis=1), search.predict(X)]),
        [1.0, 0.0],
        returns.to_numpy(),
        optimizer=PortfolioOptimizer(),
        eras=frame.era,
        exposures=X[[f"x{j}" for j in range(1, 11)]].to_numpy(),
        dropout=0.0,
    )
    assert len(expected) == 12
    assert found == pytest.approx(expected[1].mean(), rel=1e-9)
