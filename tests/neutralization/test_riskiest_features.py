"""The k riskiest features: learned in fit, used in transform."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError
from sknumerai.metrics import feature_neutral_corr, get_era_scorer, make_era_scorer
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import (
    ExposureClipper,
    FeatureNeutralizer,
    NeutralizedRegressor,
    RiskiestFeatures,
    clip_exposure,
    neutralize,
)
from tests import _reference

N_ERAS, K = 8, 6
NAMES = [f"feature_{j}" for j in range(K)]
METHODS = ["exposure", "return", "return_change"]


@pytest.fixture
def data():
    """Two predictions, features, targets and eras, in mixed order."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(40, 70, N_ERAS)
    eras = np.repeat([f"{era:04d}" for era in range(1, N_ERAS + 1)], sizes)
    features = rng.integers(0, 5, (len(eras), K)).astype(np.int8)
    weights = rng.normal(size=(N_ERAS, K, 3))[np.repeat(np.arange(N_ERAS), sizes)]
    values = 0.3 * np.einsum("ij,ijk->ik", features, weights) + rng.normal(size=(len(eras), 3))
    order = rng.permutation(len(eras))
    return values[order, :2], features[order], values[order, 2], eras[order]


def plain_risks(values, features, eras, method="exposure"):
    """One era after the other, one column after the other."""
    per_era = np.array(
        [
            [
                _reference.exposures(column[eras == era], features[eras == era])
                for column in np.reshape(values, (len(values), -1)).T
            ]
            for era in np.unique(eras)
        ]
    )
    if method == "return_change":
        half = N_ERAS // 2
        return np.abs(per_era[half:].mean(axis=0) - per_era[:half].mean(axis=0)).max(axis=0)
    return per_era.std(axis=0).max(axis=0)


def fit(transformer, data, **others):
    predictions, features, y, eras = data
    return transformer.fit(predictions, y, features=features, eras=eras, **others)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 3, K])
def test_the_riskiest_of_a_plain_loop(data, method, k):
    predictions, features, y, eras = data
    values = predictions if method == "exposure" else y
    expected = np.argsort(-plain_risks(values, features, eras, method))[:k]
    choice = RiskiestFeatures(k, method=method)
    fitted = fit(FeatureNeutralizer(0.7, feature_columns=choice), data)
    assert fitted.selected_features_ == expected.tolist()
    assert (fitted.n_features_, fitted.feature_names_) == (K, None)
    np.testing.assert_allclose(
        fitted.transform(predictions, features=features, eras=eras),
        neutralize(predictions, features[:, expected], proportion=0.7, eras=eras),
        atol=1e-12,
    )


def test_exposures_are_those_of_normalized_predictions(data):
    predictions, features, _, eras = data
    skewed = np.exp(3.0 * predictions)
    gaussian = neutralize(skewed, features, proportion=0.0, eras=eras, normalize="gaussian")
    expected = np.argsort(-plain_risks(gaussian, features, eras))[:3].tolist()
    assert expected != np.argsort(-plain_risks(skewed, features, eras))[:3].tolist()
    clipper = ExposureClipper(0.05, feature_columns=RiskiestFeatures(3))
    assert clipper.fit(skewed, features=features, eras=eras).selected_features_ == expected


def test_missing_targets_are_left_out(data):
    predictions, features, y, eras = data
    y = np.where(np.random.default_rng(1).random(len(y)) < 0.1, np.nan, y)
    known = ~np.isnan(y)
    risks = plain_risks(y[known], features[known], eras[known])
    choice = RiskiestFeatures(4, method="return")
    fitted = fit(FeatureNeutralizer(feature_columns=choice), (predictions, features, y, eras))
    assert fitted.selected_features_ == np.argsort(-risks)[:4].tolist()


def test_eras_of_a_constant_prediction_do_not_count(data):
    predictions, features, _, eras = data
    predictions[eras == "0003", 1] = 0.5
    risks = [
        plain_risks(predictions[rows, j], features[rows], eras[rows])
        for j, rows in enumerate([eras != "", eras != "0003"])
    ]
    with pytest.warns(ConstantPredictionWarning, match=r"1 era \(0003\) a prediction is constant"):
        fitted = fit(FeatureNeutralizer(feature_columns=RiskiestFeatures(3)), data)
    assert fitted.selected_features_ == np.argsort(-np.max(risks, axis=0))[:3].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_rows_labels_and_jobs_are_irrelevant(data, method):
    predictions, features, y, eras = data
    choice = RiskiestFeatures(4, method=method)
    transformer = FeatureNeutralizer(feature_columns=choice)
    expected = fit(transformer, data).selected_features_
    order = np.random.default_rng(1).permutation(len(y))
    shuffled = (predictions[order], features[order], y[order], eras[order])
    assert fit(transformer, shuffled).selected_features_ == expected
    numbers = (predictions, features, y, eras.astype(int))
    assert fit(transformer.set_params(n_jobs=2), numbers).selected_features_ == expected


def test_names_in_one_table(data, df_module):
    predictions, features, y, eras = data
    columns = dict(zip(NAMES, features.T, strict=True))
    mixed = df_module.DataFrame({"p": predictions[:, 0]} | columns | {"q": predictions[:, 1]})
    choice = RiskiestFeatures(2, method="return")
    transformer = FeatureNeutralizer(feature_columns=choice).fit(mixed, y, eras=eras)
    best = np.argsort(-plain_risks(y, features, eras))[:2]
    assert transformer.selected_features_ == [NAMES[j] for j in best]
    assert transformer.feature_names_ == NAMES
    expected = neutralize(predictions, features[:, best], eras=eras)
    np.testing.assert_allclose(transformer.transform(mixed, eras=eras), expected, atol=1e-12)
    live = transformer.transform(mixed[:40], eras="X")
    assert live.shape == (40, 2)
    own = clone(transformer).set_params(
        feature_columns__feature_columns="_[0-2]$", prediction_columns=["p", "q"]
    )
    own.fit(mixed, y, eras=eras)
    assert own.feature_names_ == NAMES[:3]
    assert set(own.selected_features_) < set(NAMES[:3])


def test_positions_in_one_array(data):
    predictions, features, y, eras = data
    choice = RiskiestFeatures(2, method="return", feature_columns=slice(2, None))
    mixed = np.column_stack([predictions, features])
    transformer = FeatureNeutralizer(feature_columns=choice).fit(mixed, y, eras=eras)
    best = np.argsort(-plain_risks(y, features, eras))[:2]
    assert transformer.selected_features_ == (best + 2).tolist()
    again = FeatureNeutralizer(
        feature_columns=transformer.selected_features_, prediction_columns=[0, 1]
    )
    np.testing.assert_allclose(
        again.fit_transform(mixed, eras=eras), transformer.transform(mixed, eras=eras), atol=1e-12
    )


@pytest.mark.parametrize("named", [False, True])
def test_limits_are_those_of_all_features(data, named):
    predictions, features, y, eras = data
    limits = np.linspace(0.02, 0.2, K)
    table = pd.DataFrame(features, columns=NAMES) if named else features
    clipper = ExposureClipper(
        dict(zip(NAMES, limits, strict=True)) if named else limits,
        feature_columns=RiskiestFeatures(3, method="return"),
        normalize=None,
        scale=None,
    ).fit(predictions, y, features=table, eras=eras)
    best = np.argsort(-plain_risks(y, features, eras))[:3]
    np.testing.assert_allclose(
        clipper.transform(predictions, features=table, eras=eras),
        clip_exposure(predictions, features[:, best], limits[best], eras=eras),
        atol=1e-9,
    )


def test_the_features_of_fit_are_required(data):
    predictions, features, _, eras = data
    table = pd.DataFrame(features, columns=NAMES)
    choice = RiskiestFeatures(2)
    fitted = FeatureNeutralizer(feature_columns=choice).fit(predictions, features=table, eras=eras)
    for other in (table[NAMES[::-1]], table[fitted.selected_features_]):
        with pytest.raises(ValueError, match=r"was fitted with 6 features and got other ones"):
            fitted.transform(predictions, features=other, eras=eras)


def test_copies_and_parameters(data):
    predictions, features, _, eras = data
    original = FeatureNeutralizer(feature_columns=RiskiestFeatures(2))
    fitted = fit(clone(original), data)
    expected = fitted.transform(predictions, features=features, eras=eras)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        again.transform(predictions, features=features, eras=eras), expected
    )
    copied = clone(fitted).set_params(feature_columns__k=3)
    assert len(fit(copied, data).selected_features_) == 3
    assert len(fitted.selected_features_) == original.feature_columns.k == 2
    fitted.set_params(feature_columns=None)  # what was learned stays until the next fit
    np.testing.assert_array_equal(
        fitted.transform(predictions, features=features, eras=eras), expected
    )
    assert repr(original) == "FeatureNeutralizer(feature_columns=RiskiestFeatures(k=2))"
    assert "RiskiestFeatures" in estimator_html_repr(original)


def test_all_features_are_selected_without_a_choice(data):
    predictions, features, _, eras = data
    table = pd.DataFrame(features, columns=NAMES)
    fitted = FeatureNeutralizer().fit(predictions, features=table, eras=eras)
    assert fitted.selected_features_ == fitted.feature_names_ == NAMES
    some = FeatureNeutralizer(feature_columns=[4, 1]).fit(predictions, features=features, eras=eras)
    assert some.selected_features_ == [4, 1]


class TestNeutralizedRegressor:
    """It fits its transformer to y, for want of predictions of unseen eras."""

    @pytest.mark.parametrize("method", METHODS[1:])
    def test_returns(self, data, method):
        _, features, y, eras = data
        choice = RiskiestFeatures(2, method=method)
        model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(feature_columns=choice))
        model.fit(features, y, eras=eras)
        best = np.argsort(-plain_risks(y, features, eras, method))[:2]
        assert model.transformer_.selected_features_ == best.tolist()
        np.testing.assert_allclose(
            model.predict(features, eras=eras),
            neutralize(Ridge().fit(features, y).predict(features), features[:, best], eras=eras),
            atol=1e-12,
        )

    def test_several_targets(self, data):
        targets, features, _, eras = data
        choice = RiskiestFeatures(2, method="return")
        model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(feature_columns=choice))
        model.fit(features, targets, eras=eras)
        expected = np.argsort(-plain_risks(targets, features, eras))[:2].tolist()
        assert model.transformer_.selected_features_ == expected

    @pytest.mark.parametrize("composite", [False, True])
    def test_exposures_are_refused(self, data, composite):
        _, features, y, eras = data
        transformer = FeatureNeutralizer(feature_columns=RiskiestFeatures(2))
        model = NeutralizedRegressor(
            Ridge(), make_pipeline(transformer) if composite else transformer
        )
        with pytest.raises(ValueError, match=r"unseen eras; pass method='return' or"):
            model.fit(features, y, eras=eras)

    def test_a_search_over_k(self, data):
        _, features, y, eras = data
        sklearn.set_config(enable_metadata_routing=True)
        choice = RiskiestFeatures(method="return")
        search = GridSearchCV(
            NeutralizedRegressor(Ridge(), FeatureNeutralizer(feature_columns=choice)),
            {"transformer__feature_columns__k": [1, 4]},
            cv=PurgedEraKFold(2, purge=0),
            scoring=get_era_scorer("numerai_corr"),
            error_score="raise",
        ).fit(features, y, eras=eras)
        k = search.best_params_["transformer__feature_columns__k"]
        assert len(search.best_estimator_.transformer_.selected_features_) == k


def test_errors(data):
    predictions, features, y, eras = data
    rows = eras == "0001"

    def attempt(match, error=ValueError, data=data, **parameters):
        transformer = FeatureNeutralizer(feature_columns=RiskiestFeatures(**parameters))
        with pytest.raises(error, match=match):
            fit(transformer, data)

    attempt(r"^RiskiestFeatures\(k=7\) selects 7 of 6 features; pass a smaller k\.$", k=7)
    attempt(r"'k' parameter of RiskiestFeatures must be an int", k=0)
    attempt(r"'method' parameter of RiskiestFeatures must be a str", k=2, method="risk")
    attempt(r"names 'nobody'", k=2, feature_columns=["nobody"])
    attempt(r"compares eras and fit got none", MissingErasError, (*data[:3], None), k=2)
    without = (predictions, features, None, eras)
    attempt(r"learns from the targets and fit got y=None", data=without, k=2, method="return")
    one = tuple(part[rows] for part in data)
    attempt(r"found 1 in which no prediction is constant; pass at least 2", data=one, k=2)
    gone = (predictions, features, np.where(rows, np.nan, y), eras)
    attempt(r"^In era 0001: \d+ of \d+ targets are missing", data=gone, k=2, method="return")
    named = (predictions, features, y, [("week", era) for era in eras])
    attempt(r"have no known order", data=named, k=2, method="return_change")


def test_rows_agree(data):
    predictions, features, y, eras = data
    index = pd.Index([f"n{i}" for i in range(len(y))])
    transformer = FeatureNeutralizer(feature_columns=RiskiestFeatures(2, method="return"))
    table = pd.DataFrame(predictions, index).add_prefix("p")
    with pytest.raises(ValueError, match=r"X and y share \d+ of \d+ labels but are not"):
        transformer.fit(table, pd.Series(y, index)[::-1], features=features, eras=eras)
    with pytest.raises(ValueError, match=r"y has \d+ rows"):
        transformer.fit(table, y[1:], features=features, eras=eras)


def test_other_places_refuse_what_is_learned(data):
    _, features, y, eras = data
    choice = RiskiestFeatures(2, method="return")
    model = NeutralizedRegressor(Ridge(), FeatureNeutralizer(), feature_columns=choice)
    message = r"learned in fit by FeatureNeutralizer and ExposureClipper; pass it to one"
    with pytest.raises(ValueError, match=message):
        model.fit(features, y, eras=eras)
    scorer = make_era_scorer(feature_neutral_corr, feature_columns=choice)
    with pytest.raises(ValueError, match=message):
        scorer(Ridge().fit(features, y), features, y, eras=eras)
