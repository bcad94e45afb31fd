"""The scorer in searches and cross-validation, by metadata routing."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate

from sknumerai.contribution import TCScorer, true_contribution
from sknumerai.exceptions import FewFreeAssetsWarning, MissingErasError
from sknumerai.metrics import get_era_scorer
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._scored_market import BOX, CV, TREE, contributions, metadata, route


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
