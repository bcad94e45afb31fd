"""Training data are never one era, unless the caller says so."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from sknumerai.ensemble import EraEnsemble
from sknumerai.exceptions import SingleEraWarning
from sknumerai.metrics import get_era_scorer
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor

ERAS = np.repeat([f"{era:04d}" for era in range(1, 7)], 20)
X = np.random.default_rng(0).integers(0, 5, (120, 3)).astype(float)
Y = X[:, 0] ** 2 + np.random.default_rng(1).normal(size=120)
MESSAGE = r"all \d+ rows are treated as one era\. Pass eras=\.\.\., or one label such as eras='all'"


def make_net(**parameters):
    pytest.importorskip("torch")
    pytest.importorskip("skorch")
    from sknumerai.neural_network import FNCRegressor

    return FNCRegressor((4,), max_epochs=1, random_state=0, **parameters)


def make_neutral():
    return NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5))


def make_ensemble():
    return EraEnsemble([("weak", Ridge()), ("strong", Ridge(1000.0))])


@pytest.mark.parametrize("make", [make_net, make_neutral, make_ensemble])
def test_fit_warns(make):
    with pytest.warns(SingleEraWarning, match=MESSAGE) as caught:
        make().fit(X, Y)
    assert {warning.filename for warning in caught} == {__file__}
    make().fit(X, Y, eras=ERAS)
    make().fit(X, Y, eras="all")


@pytest.mark.parametrize(
    ("make", "grid"),
    [
        (make_net, {"lr": [0.01]}),
        (make_neutral, {"transformer__proportion": [0.5]}),
        (make_ensemble, {"weak__alpha": [2.0]}),
    ],
)
def test_groups_of_a_search_reach_its_splitter_only(make, grid):
    with pytest.warns(SingleEraWarning, match=r"groups=\.\.\. reach only its splitter"):
        GridSearchCV(make(), grid, cv=GroupKFold(3)).fit(X, Y, groups=ERAS)
    sklearn.set_config(enable_metadata_routing=True)
    search = GridSearchCV(
        make(),
        grid,
        cv=GroupKFold(3).set_split_request(groups="eras"),
        scoring=get_era_scorer("numerai_corr"),
        error_score="raise",
    )
    search.fit(X, Y, eras=ERAS)


def test_partial_fit_warns():
    net = make_net()
    for _ in range(2):
        with pytest.warns(SingleEraWarning, match=MESSAGE):
            net.partial_fit(X, Y)
    net.partial_fit(X, Y, eras=ERAS)


@pytest.mark.parametrize(
    "around",
    [
        lambda net: NeutralizedRegressor(net, FeatureNeutralizer()),
        lambda net: EraEnsemble([("net", net), ("linear", Ridge())]),
    ],
)
def test_a_net_inside_warns_of_the_same(around):
    model = around(make_net())
    with pytest.warns(SingleEraWarning) as caught:
        model.fit(X, Y)
    assert len({str(warning.message) for warning in caught}) == 1


@pytest.mark.parametrize("make", [make_neutral, make_ensemble])
def test_live_predictions_and_transformers_may_be_one_era(make):
    with pytest.warns(SingleEraWarning):
        model = make().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X)
        ExposureClipper().fit_transform(Y[:, None], features=X)
