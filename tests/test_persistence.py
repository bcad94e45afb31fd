"""Every public estimator, transformer, scorer and splitter survives being copied, fitted or not."""

import copy
import inspect
import pickle
import re
from importlib import import_module

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.utils.validation import check_is_fitted

import sknumerai
from sknumerai.contribution import ClosedFormTC, TCScorer
from sknumerai.ensemble import EraEnsemble
from sknumerai.metrics import get_era_scorer, get_era_scorer_names, make_era_scorer, numerai_corr
from sknumerai.model_selection import (
    CombinatorialPurgedEraCV,
    EraTimeSeriesSplit,
    PurgedEraKFold,
)
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.preprocessing import EraRankTransformer

RNG = np.random.default_rng(0)
ERAS = np.repeat([f"{era:04d}" for era in range(1, 9)], 420)
X = RNG.integers(0, 5, (3360, 4)).astype(np.float64)
Y = X @ [0.3, 0.0, -0.2, 0.1] + X[:, 0] * X[:, 1] + RNG.normal(size=3360)
RIDGE = Ridge().fit(X, Y)


def network(name, **parameters):
    pytest.importorskip("torch")
    pytest.importorskip("skorch")
    made = getattr(import_module("sknumerai.neural_network"), name)
    return made((4,), max_epochs=2, random_state=0, **parameters)


def scheduled():
    net = network("FNCRegressor", warm_start=True, validation_eras=1, patience=1)
    from skorch.callbacks import LRScheduler

    return net.set_params(callbacks=[("schedule", LRScheduler("StepLR", step_size=1))])


def fit(estimator):
    """Fit an estimator of any kind to what it takes."""
    if isinstance(estimator, FeatureNeutralizer | ExposureClipper):
        return estimator.fit(Y[:, None], features=X, eras=ERAS)
    if isinstance(estimator, PortfolioOptimizer):
        return estimator.fit(Y, exposures=X)
    if isinstance(estimator, EraRankTransformer):
        return estimator.fit(X, eras=ERAS)
    needs = "eras" in inspect.signature(estimator.fit).parameters
    return estimator.fit(X, Y, **({"eras": ERAS} if needs else {}))


def result(estimator):
    """What a fitted estimator computes."""
    if isinstance(estimator, FeatureNeutralizer | ExposureClipper):
        return estimator.transform(Y[:, None], features=X, eras=ERAS)
    if isinstance(estimator, PortfolioOptimizer):
        return np.append(estimator.weights_, estimator.gradient(Y))
    if isinstance(estimator, EraRankTransformer):
        return estimator.transform(X, eras=ERAS, ids=np.arange(len(X)))
    needs = "eras" in inspect.signature(estimator.predict).parameters
    return estimator.predict(X, **({"eras": ERAS} if needs else {}))


def score(scorer):
    """What a scorer says of a model, with all metadata that it asks for."""
    requests = scorer.get_metadata_routing().score.requests
    wanted = {key if alias is True else alias for key, alias in requests.items() if alias}
    metadata = {
        "eras": ERAS,
        "meta_model": Y - X[:, 1],
        "benchmark": Y + X[:, 2],
        "user_predictions": np.column_stack([Y, X[:, 0]]),
        "example_predictions": Y - X[:, 3],
        "neutralizers": X[:, :2],
        "sample_weights": 1.0 + X[:, 0],
        "ids": np.tile(np.arange(420), 8),
    }
    return scorer(RIDGE, X, Y, **{key: metadata[key] for key in wanted & metadata.keys()})


def split(splitter):
    return np.concatenate([np.concatenate(pair) for pair in splitter.split(X, Y, ERAS)])


ESTIMATORS = {
    "FeatureNeutralizer": lambda: FeatureNeutralizer(0.5, normalize="rank"),
    "ExposureClipper": lambda: ExposureClipper(0.3),
    "NeutralizedRegressor": lambda: NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5)),
    "EraRankTransformer": lambda: EraRankTransformer("gaussian", ties="id"),
    "EraEnsemble": lambda: EraEnsemble(
        [("linear", Ridge()), ("neutral", NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5)))],
        weights="select",
        transformer=ExposureClipper(0.3),
        cv=PurgedEraKFold(2, purge=0),
    ),
    "PortfolioOptimizer": lambda: PortfolioOptimizer(max_weights=0.1, min_weights=-0.1),
    "FNCRegressor": lambda: network("FNCRegressor"),
    "FNCRegressor with callbacks": scheduled,
    "NeuralTrader": lambda: network("NeuralTrader"),
    "NeutralizedRegressor of a net": lambda: NeutralizedRegressor(
        network("FNCRegressor"), ExposureClipper(0.3)
    ),
}
OTHERS = {
    "PurgedEraKFold": (lambda: PurgedEraKFold(3, purge=1), split),
    "EraTimeSeriesSplit": (lambda: EraTimeSeriesSplit(2, gap=1), split),
    "CombinatorialPurgedEraCV": (lambda: CombinatorialPurgedEraCV(4, 2, purge=0), split),
    "EraScorer": (lambda: make_era_scorer(numerai_corr, aggregate="sharpe"), score),
    "EraScorer with a request": (
        lambda: get_era_scorer("mmc").set_score_request(meta_model="benchmark"),
        score,
    ),
    "TCScorer": (lambda: TCScorer(stakes=[1.0, 2.0], n_rounds=3, random_state=None), score),
    "ClosedFormTC": (lambda: ClosedFormTC("aligned", optimizer=PortfolioOptimizer()), score),
} | {
    f"get_era_scorer({name!r})": (lambda name=name: get_era_scorer(name), score)
    for name in get_era_scorer_names()
}
NOT_HERE = {
    "ContributionInfo": "a record",
    "ClipRecord": "a record",
    "TCProxyFit": "a result",
    "StreamReport": "a result",
    "UploadReport": "a result",
    **dict.fromkeys(
        [
            *("EraRankTransformer", "EraEnsemble", "RiskiestFeatures"),
            *("EraBoostedRegressor", "BenchmarkResidualRegressor"),
        ],
        "copied and pickled in its own tests",
    ),
    "PayoutRules": "copied and pickled in its own tests",
    "EraReader": "reads a file",
    "EraNeutralizer": "a part of a loss",
    "PortfolioLayer": "a torch.nn.Module, copied in its own tests",
    "StakeWeightedPortfolio": "a torch.nn.Module, copied in its own tests",
}


def without_addresses(thing):
    return re.sub("0x[0-9a-f]+", "", repr(thing))


def cloudpickled(thing):
    cloudpickle = pytest.importorskip("cloudpickle")
    return pickle.loads(cloudpickle.dumps(thing))


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


COPIES = [pickled, cloudpickled, copy.deepcopy]


@pytest.mark.parametrize("duplicate", COPIES)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators(name, duplicate):
    estimator = ESTIMATORS[name]()
    unfitted = duplicate(estimator)
    assert without_addresses(unfitted) == without_addresses(estimator)
    expected = result(fit(estimator))
    np.testing.assert_array_equal(result(fit(unfitted)), expected)
    again = duplicate(estimator)
    np.testing.assert_array_equal(result(again), expected)
    np.testing.assert_array_equal(result(duplicate(again)), expected)
    np.testing.assert_array_equal(result(estimator), expected)  # which copying did not change


@pytest.mark.parametrize("name", ESTIMATORS)
def test_clones_of_estimators(name):
    estimator = fit(ESTIMATORS[name]())
    expected = result(estimator)
    copied = clone(estimator)
    with pytest.raises(Exception, match="not fitted"):
        check_is_fitted(copied)
    np.testing.assert_array_equal(result(fit(copied)), expected)


@pytest.mark.parametrize("duplicate", [*COPIES, lambda thing: clone(thing, safe=False)])
@pytest.mark.parametrize("name", OTHERS)
def test_scorers_and_splitters(name, duplicate):
    make, use = OTHERS[name]
    thing = make()
    copied = duplicate(duplicate(thing))
    assert type(copied) is type(thing)
    assert repr(copied) == repr(thing)
    assert str(copied.get_metadata_routing()) == str(thing.get_metadata_routing())
    np.testing.assert_array_equal(use(copied), use(thing))


def test_nothing_is_forgotten():
    for optional in ("torch", "matplotlib"):
        pytest.importorskip(optional)
    public = {
        name
        for subpackage in set(sknumerai.__all__) - {"__version__", "exceptions"}
        for name in import_module(f"sknumerai.{subpackage}").__all__
        if inspect.isclass(getattr(import_module(f"sknumerai.{subpackage}"), name))
    }
    covered = ESTIMATORS.keys() | OTHERS.keys() | NOT_HERE.keys()
    assert {name for name in public if not name.endswith("Display")} <= covered
