"""No column is taken for a prediction that is none."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sknumerai.metrics import get_era_scorer
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.neutralization import (
    ExposureClipper,
    FeatureNeutralizer,
    clip_exposure,
    neutralize,
)

FEATURES = [f"feature_{j}" for j in range(6)]
TRANSFORMERS = [FeatureNeutralizer(0.5), ExposureClipper(normalize=None, scale=None)]


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    features = rng.integers(0, 5, (240, 6))
    own = {
        "one": features @ rng.normal(size=6) + 9 * rng.normal(size=240),
        "two": rng.normal(size=240),
    }
    return own | dict(zip(FEATURES, features.T, strict=True)) | {"target_20": rng.random(240)}


def change(transformer, predictions, features):
    if isinstance(transformer, FeatureNeutralizer):
        return neutralize(predictions, features, proportion=0.5)
    return clip_exposure(predictions, features)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)
@pytest.mark.parametrize(
    "prediction_columns",
    [["two", "one"], "^(one|two)$", lambda names: ["two", "one"], [1, 0], slice(0, 2)],
    ids=["names", "regex", "callable", "positions", "slice"],
)
def test_prediction_columns(transformer, prediction_columns, columns, df_module):
    frame = df_module.DataFrame(columns)
    some = clone(transformer).set_params(
        feature_columns=FEATURES[:3], prediction_columns=prediction_columns
    )
    expected = ["one", "two"] if isinstance(prediction_columns, str | slice) else ["two", "one"]
    result = some.fit_transform(frame)
    assert list(some.get_feature_names_out()) == expected
    values = np.column_stack([columns[name] for name in expected])
    features = np.column_stack([columns[name] for name in FEATURES])
    np.testing.assert_allclose(result, change(transformer, values, features[:, :3]))
    also = some.set_params(feature_columns=None).fit_transform(frame, features=features)
    np.testing.assert_allclose(also, change(transformer, values, features))
    if isinstance(prediction_columns, list) and prediction_columns == [1, 0]:
        array = np.column_stack(list(columns.values()))
        some.set_params(feature_columns=slice(2, 8))
        np.testing.assert_allclose(some.fit_transform(array), also)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)
def test_features_and_targets_are_no_predictions(transformer, columns, df_module):
    frame = df_module.DataFrame(columns)
    some = clone(transformer).set_params(feature_columns=FEATURES[:5])
    with pytest.raises(ValueError, match=r"^2 of 4 columns .* 'feature_5'; name the predictions"):
        some.fit(frame)
    with pytest.raises(ValueError, match=r"^1 of 3 columns .* 'target_20'; name the predictions"):
        clone(transformer).fit(frame)
    features = np.column_stack([columns[name] for name in FEATURES])
    with pytest.raises(ValueError, match=r"^7 of 9 columns .* such as 'feature_0'"):
        clone(transformer).fit(frame, features=features)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)
def test_names_of_features_wherever_they_begin(transformer, columns):
    frame = pd.DataFrame(columns).rename(columns=lambda name: name.replace("feature", "f"))
    frame = frame.drop(columns="target_20")
    some = clone(transformer).set_params(feature_columns="^f_")
    assert some.fit_transform(frame).shape == (240, 2)
    with pytest.raises(ValueError, match=r"^6 of 8 columns .* such as 'f_0'"):
        some.fit(frame, features=frame)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)
def test_the_predictions_of_fit(transformer, columns):
    array = np.column_stack(list(columns.values()))[:, :8]
    some = clone(transformer).set_params(feature_columns=slice(2, 8)).fit(array)
    with pytest.raises(ValueError, match=r"with 2 columns of X as predictions and now finds 8"):
        some.transform(array, features=array)
    some.set_params(feature_columns=None).fit(array, features=array[:, 2:])
    with pytest.raises(ValueError, match=r"with 8 columns .* since features=... was given then"):
        some.set_params(feature_columns=slice(2, 8)).transform(array)


def test_features_that_are_added_for_a_scorer(columns):
    frame = pd.DataFrame(columns).drop(columns="target_20")
    eras = np.repeat([f"{era:04d}" for era in range(1, 9)], 30)
    y = np.asarray(frame["one"] + frame["feature_0"] ** 2)
    sklearn.set_config(enable_metadata_routing=True)

    def search(**parameters):
        return GridSearchCV(
            make_pipeline(ExposureClipper(0.5, **parameters), Ridge()),
            {"ridge__alpha": [1.0]},
            cv=PurgedEraKFold(2, purge=0),
            scoring=get_era_scorer("fnc"),
            error_score="raise",
        )

    features = frame[FEATURES]
    with pytest.raises(ValueError, match=r"name the predictions with prediction_columns"):
        search().fit(frame, y, eras=eras, features=features)
    named = search(prediction_columns=["one", "two"]).fit(frame, y, eras=eras, features=features)
    assert named.best_estimator_[-1].n_features_in_ == 2


def test_bad_names(columns):
    frame = pd.DataFrame(columns)
    for prediction_columns, message in (
        (["one", "feature_1"], "both select 1 columns of X, such as 'feature_1'"),
        (["three"], "prediction_columns names 'three'"),
        ("^three", "selects no column"),
        (1.5, "The 'prediction_columns' parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            FeatureNeutralizer(prediction_columns=prediction_columns).fit(frame)
