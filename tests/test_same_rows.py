"""All tables of a call must hold the same rows in the same order, eras included.

Labels in another order gave wrong numbers without a word before. Every public function and method
that takes several tables is tried with each of them shuffled; a new one must be added here.
"""

from functools import partial
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge

from sknumerai import (
    contribution,
    ensemble,
    inspection,
    metrics,
    model_selection,
    neutralization,
    portfolio,
    preprocessing,
)
from sknumerai.metrics import get_era_scorer, make_era_scorer
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor

N_ERAS, N_STOCKS, K = 6, 40, 3
N = N_ERAS * N_STOCKS


def make_tables():
    """Tables of one call, all pandas, under one index of ids."""
    rng = np.random.default_rng(0)
    index = pd.Index([f"n{i:04d}" for i in rng.permutation(N)], name="id")

    def series(values):
        return pd.Series(values, index)

    def frame(values):
        return pd.DataFrame(values, index).add_prefix("feature_")

    features = frame(rng.integers(0, 5, (N, K)).astype(np.int8))
    return {
        "eras": series(np.repeat([f"{era:04d}" for era in range(1, N_ERAS + 1)], N_STOCKS)),
        "X": features,
        "features": features + 0,
        "y": series(rng.normal(size=N)),
        "y_pred": series(rng.normal(size=N)),
        "meta_model": series(rng.normal(size=N)),
        "example": series(rng.normal(size=N)),
        "users": pd.DataFrame(rng.normal(size=(N, 2)), index, ["ann", "bob"]),
        "neutralizers": frame(rng.normal(size=(N, 2))),
        "weights": series(rng.uniform(1.0, 2.0, N)),
        "ids": series(np.tile([f"stock{i}" for i in range(N_STOCKS)], N_ERAS)),
        "loadings": frame(rng.normal(size=(N, 2))),
        "variance": series(rng.uniform(1.0, 2.0, N)),
        "sectors": series(np.tile(["tech", "oil"], N // 2)),
        "previous": series(np.zeros(N)),
    }


TABLES = make_tables()
TABLES["one_column"] = TABLES["y_pred"].to_frame("prediction")
MODEL = Ridge().fit(TABLES["X"], TABLES["y"])
RISK = {
    "factor_loadings": "loadings",
    "specific_variance": "variance",
    "exposures": "features",
    "sectors": "sectors",
    "previous_weights": "previous",
}


class Fixed(Ridge):
    """Predicts the same whatever it is given, so that only the scorer looks at rows."""

    def predict(self, X):
        return TABLES["y_pred"].to_numpy()


FIXED = Fixed().fit(TABLES["X"], TABLES["y"])


def call(function, *positional, **named):
    """A call of a function, by the names of the tables that become its arguments."""

    def run(tables):
        arguments = {name: tables[table] for name, table in named.items()}
        return function(*(tables[table] for table in positional), **arguments)

    run.tables = [*positional, *named.values()]
    return run


def fitted(estimator):
    return estimator.fit(TABLES["one_column"], features=TABLES["features"], eras=TABLES["eras"])


def scorer(made, **metadata):
    def run(tables):
        arguments = {name: tables[table] for name, table in metadata.items()}
        return made(FIXED, tables["X"], tables["y"], eras=tables["eras"], **arguments)

    run.tables = ["X", "y", "eras", *metadata.values()]
    return run


def two(name):
    """A function of predictions of two columns instead of one."""
    return {name: "users"}


WITH_ERAS = {"eras": "eras"}
SIGNALS = {"neutralizers": "neutralizers", "sample_weights": "weights", **WITH_ERAS}
NEUTRALIZED = NeutralizedRegressor(Ridge(), FeatureNeutralizer())
ENSEMBLE = ensemble.EraEnsemble([("a", Ridge())], transformer=FeatureNeutralizer())
FITTED_ENSEMBLE = clone(ENSEMBLE).fit(TABLES["X"], TABLES["y"], eras=TABLES["eras"])


def _hessian(diagonal, loadings, **others):
    return contribution.closed_form_tc(hessian=(diagonal, loadings), **others)


def plain(y_true, y_pred, meta_model):
    return float(np.corrcoef(y_true, y_pred + meta_model)[0, 1])


def split(splitter):
    return lambda X, y, eras: list(splitter.split(X, y, eras))


def cross_val_predict(X, y, eras, weight):
    return model_selection.era_cross_val_predict(
        Ridge(), X, y, eras=eras, cv=PurgedEraKFold(2, purge=0), params={"sample_weight": weight}
    )


CALLS = {
    "tune_exposure": call(
        partial(neutralization.tune_exposure, scoring="mmc"),
        "y_pred",
        "y",
        features="features",
        meta_model="meta_model",
        **WITH_ERAS,
    ),
    "RiskiestFeatures": call(
        FeatureNeutralizer(feature_columns=neutralization.RiskiestFeatures(2, method="return")).fit,
        "users",
        "y",
        features="features",
        **WITH_ERAS,
    ),
    "numerai_corr": call(metrics.numerai_corr, "y", "y_pred", **WITH_ERAS),
    "feature_neutral_corr": call(
        metrics.feature_neutral_corr, "y", "y_pred", features="features", **WITH_ERAS
    ),
    "neutral_corr": call(metrics.neutral_corr, "y", "y_pred", features="features", **WITH_ERAS),
    "meta_model_contribution": call(
        metrics.meta_model_contribution, "y", "y_pred", meta_model="meta_model", **WITH_ERAS
    ),
    "neutral_contribution": call(
        metrics.neutral_contribution,
        "y",
        "y_pred",
        meta_model="meta_model",
        features="features",
        **WITH_ERAS,
    ),
    "payout_score": call(metrics.payout_score, "y", "y_pred", meta_model="meta_model", **WITH_ERAS),
    "corr_with": call(metrics.corr_with, "y_pred", "meta_model", **WITH_ERAS),
    "feature_exposure": call(metrics.feature_exposure, "y_pred", features="features", **WITH_ERAS),
    "max_feature_exposure": call(
        metrics.max_feature_exposure, "y_pred", features="features", **WITH_ERAS
    ),
    "exposure_dissimilarity": call(
        metrics.exposure_dissimilarity,
        "y_pred",
        example_predictions="example",
        features="features",
        **WITH_ERAS,
    ),
    "alpha": call(metrics.alpha, "y", "y_pred", **SIGNALS),
    "neutralized_weights": call(metrics.neutralized_weights, "y_pred", **SIGNALS),
    "meta_portfolio_contribution": call(
        lambda *a, **k: metrics.meta_portfolio_contribution(*a, stakes=[1.0, 2.0], **k),
        "y",
        "users",
        **SIGNALS,
    ),
    "churn": call(metrics.churn, "y_pred", ids="ids", **WITH_ERAS),
    "neutral_churn": call(
        metrics.neutral_churn, "y_pred", features="features", ids="ids", **WITH_ERAS
    ),
    "turnover": call(metrics.turnover, "y_pred", ids="ids", **WITH_ERAS),
    "era_table": call(
        metrics.era_table,
        "y",
        "y_pred",
        features="features",
        meta_model="meta_model",
        benchmark="weights",
        example_predictions="example",
        **WITH_ERAS,
    ),
    "get_era_scorer, fnc": scorer(get_era_scorer("fnc"), features="features"),
    "get_era_scorer, mmc": scorer(get_era_scorer("mmc"), meta_model="meta_model"),
    "get_era_scorer, bmc": scorer(get_era_scorer("bmc"), benchmark="meta_model"),
    "get_era_scorer, neg_churn": scorer(get_era_scorer("neg_churn"), ids="ids"),
    "get_era_scorer, alpha": scorer(
        get_era_scorer("alpha"), neutralizers="neutralizers", sample_weights="weights"
    ),
    "make_era_scorer": scorer(make_era_scorer(plain), meta_model="meta_model"),
    "rank_by_era": call(
        lambda values, **k: preprocessing.rank_by_era(values, ties="id", **k),
        "y_pred",
        ids="y",
        **WITH_ERAS,
    ),
    "EraRankTransformer.fit": call(preprocessing.EraRankTransformer().fit, "users", **WITH_ERAS),
    "EraRankTransformer.fit_transform": call(
        preprocessing.EraRankTransformer(ties="id").fit_transform, "users", ids="y", **WITH_ERAS
    ),
    "blend": call(
        lambda users, **k: ensemble.blend(users, transformer=FeatureNeutralizer(), **k),
        "users",
        features="features",
        **WITH_ERAS,
    ),
    "select_weights": call(
        lambda users, y, **k: ensemble.select_weights(users, y, scoring="mmc", n_steps=1, **k),
        "users",
        "y",
        meta_model="meta_model",
        **WITH_ERAS,
    ),
    "EraEnsemble.fit": call(ENSEMBLE.fit, "X", "y", features="features", **WITH_ERAS),
    "EraEnsemble.predict": call(FITTED_ENSEMBLE.predict, "X", features="features", **WITH_ERAS),
    "EraEnsemble.score": call(FITTED_ENSEMBLE.score, "X", "y", features="features", **WITH_ERAS),
    "EraEnsemble.score_members": call(
        FITTED_ENSEMBLE.score_members, "X", "y", features="features", **WITH_ERAS
    ),
    "neutralize": call(neutralization.neutralize, "y_pred", "features", **WITH_ERAS),
    "clip_exposure": call(neutralization.clip_exposure, "y_pred", "features", **WITH_ERAS),
    "FeatureNeutralizer.fit": call(
        FeatureNeutralizer().fit, "users", features="features", **WITH_ERAS
    ),
    "FeatureNeutralizer.transform": call(
        fitted(FeatureNeutralizer()).transform, "one_column", features="features", **WITH_ERAS
    ),
    "ExposureClipper.fit_transform": call(
        ExposureClipper(0.5).fit_transform, "users", features="features", **WITH_ERAS
    ),
    "NeutralizedRegressor.fit": call(NEUTRALIZED.fit, "X", "y", features="features", **WITH_ERAS),
    "NeutralizedRegressor.predict": call(
        NeutralizedRegressor(Ridge(), FeatureNeutralizer())
        .fit(TABLES["X"], TABLES["y"], eras=TABLES["eras"])
        .predict,
        "X",
        features="features",
        **WITH_ERAS,
    ),
    "NeutralizedRegressor.score": call(
        NeutralizedRegressor(Ridge(), FeatureNeutralizer())
        .fit(TABLES["X"], TABLES["y"], eras=TABLES["eras"])
        .score,
        "X",
        "y",
        sample_weight="weights",
        features="features",
        **WITH_ERAS,
    ),
    "PurgedEraKFold": call(split(PurgedEraKFold(2, purge=0)), "X", "y", "eras"),
    "EraTimeSeriesSplit": call(
        split(model_selection.EraTimeSeriesSplit(2, gap=0)), "X", "y", "eras"
    ),
    "CombinatorialPurgedEraCV": call(
        split(model_selection.CombinatorialPurgedEraCV(3, 1, purge=0)), "X", "y", "eras"
    ),
    "era_cross_val_predict": call(cross_val_predict, "X", "y", "eras", "weights"),
    "true_contribution": call(
        lambda *a, **k: contribution.true_contribution(
            *a,
            optimizer=portfolio.PortfolioOptimizer(),
            n_rounds=1,
            dropout=0.0,
            stakes=[1, 2],
            **k,
        ),
        user_predictions="users",
        returns="y",
        **RISK,
        **WITH_ERAS,
    ),
    "closed_form_tc": call(
        _hessian,
        predictions="users",
        meta_model="meta_model",
        returns="y",
        diagonal="variance",
        loadings="loadings",
        **WITH_ERAS,
    ),
    "tc_proxies": call(
        lambda **k: contribution.tc_proxies(
            stakes=[1, 2], top_bottom=5, n_rounds=1, dropout=0.0, **k
        ),
        user_predictions="users",
        returns="y",
        features="features",
        example_predictions="example",
        meta_model="meta_model",
        targets="weights",
        **WITH_ERAS,
    ),
    "TCScorer": scorer(contribution.TCScorer(), meta_model="meta_model", returns="example", **RISK),
    "ClosedFormTC": scorer(
        contribution.ClosedFormTC(), meta_model="meta_model", returns="example", **RISK
    ),
    "PortfolioOptimizer": call(portfolio.PortfolioOptimizer().fit, "y", **RISK),
}


def add_torch():
    pytest.importorskip("torch")
    pytest.importorskip("skorch")
    from sknumerai.neural_network import FNCRegressor, NeuralTrader

    net = FNCRegressor((2,), max_epochs=1)
    return {
        "FNCRegressor.fit": call(net.fit, "X", "y", **WITH_ERAS),
        "FNCRegressor.partial_fit": call(net.partial_fit, "X", "y", **WITH_ERAS),
        "NeuralTrader.fit": call(NeuralTrader(max_epochs=1).fit, "loadings", "y"),
        "NeuralTrader.fit, validation": call(
            lambda X_val, y_val: NeuralTrader(max_epochs=1).fit(
                TABLES["loadings"], TABLES["y"], X_val=X_val, y_val=y_val
            ),
            "loadings",
            "y",
        ),
        "PortfolioLayer": call(
            lambda **k: portfolio.PortfolioLayer(portfolio.PortfolioOptimizer(), **k),
            **RISK,
            **WITH_ERAS,
        ),
    }


def add_matplotlib():
    pytest.importorskip("matplotlib").use("agg")
    return {
        "EraScoresDisplay": call(
            inspection.EraScoresDisplay.from_predictions,
            "y",
            "y_pred",
            meta_model="meta_model",
            **WITH_ERAS,
        ),
        "ExposureFrontierDisplay": call(
            inspection.ExposureFrontierDisplay.from_predictions,
            "y",
            "y_pred",
            features="features",
            **WITH_ERAS,
        ),
        "FeatureExposureDisplay": call(
            inspection.FeatureExposureDisplay.from_predictions,
            "y_pred",
            features="features",
            **WITH_ERAS,
        ),
    }


def check(run):
    run(TABLES)  # as it is, it works
    for name in dict.fromkeys(run.tables):
        with pytest.raises(ValueError, match=r"indexes of .* share \d+ of \d+ labels but are not"):
            run(TABLES | {name: TABLES[name].iloc[::-1]})


@pytest.mark.parametrize("name", CALLS)
def test_shuffled_tables_are_errors(name):
    check(CALLS[name])


def test_shuffled_tables_of_networks_are_errors():
    for run in add_torch().values():
        check(run)


def test_shuffled_tables_of_displays_are_errors():
    for run in add_matplotlib().values():
        check(run)


# what takes one table, none with rows, or tables of its own
EXEMPT = {
    "ClipRecord", "EraScorer", "ContributionInfo", "TCProxyFit", "TCProxyDisplay",
    "get_era_scorer_names", "score_summary", "neutral_churn_penalty", "adversarial_prediction",
    "fit_tc_proxies", "sliding_windows", "StakeWeightedPortfolio",
}  # fmt: skip
TENSORS = "soft_rank EraNeutralizer".split()  # of torch, which have no labels


ROOMS = (
    "preprocessing metrics neutralization model_selection contribution portfolio neural_network "
)
ROOMS += "ensemble inspection"


@pytest.mark.parametrize("room", ROOMS.split())
def test_every_public_name_is_tried(room):
    tried = {name.split(".")[0].split(",")[0] for name in CALLS}
    tried |= {"FNCRegressor", "NeuralTrader", "PortfolioLayer"}
    tried |= {"EraScoresDisplay", "ExposureFrontierDisplay", "FeatureExposureDisplay"}
    names = set(import_module(f"sknumerai.{room}").__all__) - EXEMPT - tried - set(TENSORS)
    assert {name for name in names if not name.endswith(("_loss", "_penalty"))} == set()
