"""Risk data of the scorer's portfolio among the columns of X."""

import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_validate

from sknumerai.contribution import TCScorer
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._scored_market import CV, Fixed, contributions, metadata, route


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
