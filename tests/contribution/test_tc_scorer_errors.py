"""What the scorer refuses."""

import numpy as np
import pytest

from sknumerai.contribution import TCScorer
from sknumerai.exceptions import InfeasiblePortfolioError
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._scored_market import BOX, N_STOCKS, USERS, Fixed, metadata


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
