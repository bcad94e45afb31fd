"""Tables of one call agree on their rows, whatever the types of their indexes."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.linear_model import LinearRegression

from sknumerai.contribution import closed_form_tc, true_contribution
from sknumerai.metrics import numerai_corr
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor, neutralize
from sknumerai.portfolio import PortfolioOptimizer

N = 12
rng = np.random.default_rng(0)
Y, P, X = rng.normal(size=N), rng.normal(size=N), rng.normal(size=(N, 3))
DATES = pd.date_range("2020-01-01", periods=N, tz="UTC")
NAMES = [f"n{i:02d}" for i in range(N)]

SAME = {
    "categorical and text": (pd.CategoricalIndex(NAMES), pd.Index(NAMES)),
    "nullable and range": (pd.Index(range(N), dtype="Int64"), pd.RangeIndex(N)),
    "objects and integers": (pd.Index(list(range(N)), dtype=object), pd.RangeIndex(N)),
    "time zones": (DATES, DATES.tz_convert("Asia/Tokyo")),
    "missing labels": (pd.Index([None, *NAMES[1:]]), pd.Index([None, *NAMES[1:]])),
    "two levels": (
        pd.MultiIndex.from_product([["a", "b"], range(6)]),
        pd.MultiIndex.from_product([["a", "b"], range(6)]),
    ),
    "two levels and one": (pd.MultiIndex.from_product([["a", "b"], range(6)]), pd.RangeIndex(N)),
    "objects of two levels and one": (
        pd.MultiIndex.from_product([["a", "b"], range(6)]),
        pd.Index(list(range(N)), dtype=object),
    ),
    "nothing in common": (pd.Index(NAMES), pd.RangeIndex(N)),
}


@pytest.mark.parametrize("kind", SAME)
def test_equal_rows(kind):
    left, right = SAME[kind]
    found = numerai_corr(pd.Series(Y, index=left), pd.Series(P, index=right))
    assert found == numerai_corr(Y, P)


@pytest.mark.parametrize("kind", [kind for kind in SAME if " and one" not in kind][:-1])
def test_reversed_rows(kind):
    left, right = SAME[kind]
    with pytest.raises(ValueError, match=rf"share {N} of {N} labels but are not equal"):
        numerai_corr(pd.Series(Y, index=left), pd.Series(P[::-1], index=right[::-1]))


def test_the_name_of_a_column_is_no_era():
    table = pd.DataFrame({"era": np.repeat(["1", "2"], 6), "a": P})
    with pytest.raises(ValueError, match=r"features has a column .* eras=features\['era'\]"):
        neutralize(P, table, eras="era")
    table["b"] = P
    with pytest.raises(ValueError, match=r"eras=X\['era'\]"):
        FeatureNeutralizer(prediction_columns="b", feature_columns=["a"]).fit(table, eras="era")
    with pytest.raises(ValueError, match=r"eras=X\['era'\]"):
        era_cross_val_predict(
            LinearRegression(), table, Y, eras="era", cv=PurgedEraKFold(2, purge=0)
        )
    assert numerai_corr(Y, pd.DataFrame({"p": P}), eras="era").shape == (1,)


def test_the_name_of_a_column_is_no_era_of_contributions():
    users = pd.DataFrame({"era": X[:, 0], "a": X[:, 1]})
    optimizer = PortfolioOptimizer()
    with pytest.raises(ValueError, match=r"user_predictions has a column .* eras=user_predictions"):
        true_contribution(users, [1.0, 1.0], Y, optimizer=optimizer, eras="era")
    with pytest.raises(ValueError, match=r"eras=predictions\['era'\]"):
        closed_form_tc(users, P, Y, hessian=1.0, eras="era")


def test_a_message_names_its_era_once():
    data = {"factor_loadings": X, "specific_variance": np.where(np.arange(N) == 9, -1.0, 1.0)}
    eras, optimizer = np.repeat(["1", "2"], 6), PortfolioOptimizer()
    message = "^In era 2: specific_variance must be positive"
    with pytest.raises(ValueError, match=message):
        true_contribution(X, [1.0, 1.0, 1.0], Y, optimizer=optimizer, eras=eras, **data)
    with pytest.raises(ValueError, match=message):
        closed_form_tc(X, P, Y, hessian=optimizer, eras=eras, **data)


def test_metadata_of_an_inner_estimator():
    weight = pd.Series(np.ones(N), index=NAMES)
    table, target = pd.DataFrame(X, index=NAMES), pd.Series(Y, index=NAMES)
    with config_context(enable_metadata_routing=True):
        inner = LinearRegression().set_fit_request(sample_weight=True)
        model = NeutralizedRegressor(inner, FeatureNeutralizer(feature_columns=[0]))
        model.fit(table, target, eras="one", sample_weight=weight)
        with pytest.raises(ValueError, match="indexes of X and sample_weight share"):
            model.fit(table, target, eras="one", sample_weight=weight.iloc[::-1])


def test_bounds_and_vectors_of_the_optimizer():
    signal = pd.Series(P, index=NAMES)
    bounds = pd.Series(np.linspace(0.2, 0.4, N), index=NAMES)
    optimizer = PortfolioOptimizer(max_weights=bounds).fit(signal)
    with pytest.raises(ValueError, match="indexes of signal and max_weights share"):
        PortfolioOptimizer(max_weights=bounds.iloc[::-1]).fit(signal)
    assert np.isfinite(optimizer.gradient(pd.Series(Y, index=NAMES))).all()
    with pytest.raises(ValueError, match="indexes of signal and v share"):
        optimizer.gradient(pd.Series(Y, index=NAMES).iloc[::-1])


def test_limits_by_name_do_not_mind_their_order():
    exposures = pd.DataFrame(X, columns=list("abc"))
    limits = pd.Series([0.1, 0.2, 0.3], index=list("abc"))
    found = [
        PortfolioOptimizer(max_exposure=given).fit(P, exposures=exposures).weights_
        for given in (limits, limits.iloc[::-1], limits.to_dict(), limits.to_numpy())
    ]
    for weights in found[1:]:
        np.testing.assert_array_equal(weights, found[0])
    with pytest.raises(ValueError, match="max_exposure is a Series whose labels are not those"):
        PortfolioOptimizer(max_exposure=limits.iloc[:2]).fit(P, exposures=exposures)
