import numpy as np
import pandas as pd
import pytest
from numerai_tools.scoring import max_feature_correlation

from sknumerai.datasets import make_tournament
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics import feature_exposure, max_feature_exposure


@pytest.fixture(scope="module")
def tournament():
    return make_tournament(
        n_eras=4, n_stocks=150, n_features=12, missing_features=0.0, random_state=0
    )


@pytest.fixture(scope="module")
def predictions(tournament):
    return tournament.frame[["example_predictions", "meta_model"]]


def by_hand(predictions, tournament, era):
    rows = tournament.eras == era
    return pd.DataFrame(
        {
            name: [
                np.corrcoef(predictions.loc[rows, name], tournament.data.loc[rows, feature])[0, 1]
                for feature in tournament.feature_names
            ]
            for name in predictions
        },
        index=tournament.feature_names,
    )


def test_exposures_are_correlations(tournament, predictions):
    table = feature_exposure(predictions, features=tournament.data, eras=tournament.eras)
    assert table.columns.names == ["prediction", "feature"]
    for era in table.index:
        expected = by_hand(predictions, tournament, era)
        for name in predictions:
            np.testing.assert_allclose(table.loc[era, name], expected[name], rtol=0, atol=1e-12)


def test_one_prediction_gives_one_column_per_feature(tournament, predictions):
    one = predictions["meta_model"]
    table = feature_exposure(one, features=tournament.data, eras=tournament.eras)
    assert table.columns.tolist() == tournament.feature_names
    assert table.index.tolist() == ["0001", "0002", "0003", "0004"]


def test_largest_equals_the_official_one(tournament, predictions):
    largest = max_feature_exposure(
        predictions, features=tournament.data, eras=tournament.eras, aggregate=None
    )
    for era in largest.index:
        rows = tournament.eras == era
        for name in predictions:
            _, expected = max_feature_correlation(
                predictions.loc[rows, name].sort_index(), tournament.data[rows].sort_index()
            )
            assert largest.loc[era, name] == pytest.approx(expected, abs=1e-12)
    mean = max_feature_exposure(predictions, features=tournament.data, eras=tournament.eras)
    np.testing.assert_allclose(mean, largest.mean())


def test_row_order_and_labels_and_dtype_do_not_matter(tournament, predictions):
    expected = max_feature_exposure(predictions, features=tournament.data, eras=tournament.eras)
    order = np.random.default_rng(0).permutation(len(predictions))
    again = max_feature_exposure(
        predictions.iloc[order],
        features=tournament.data.iloc[order].astype("float32"),
        eras=tournament.eras.iloc[order].map(lambda era: f"week {era}"),
    )
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-12)


def test_constant_features_have_none_and_constant_predictions_nan(tournament, predictions):
    features = tournament.data.copy()
    features.iloc[:, 3] = 2
    values = predictions.copy()
    values.loc[tournament.eras == "0002", "meta_model"] = 0.5
    with pytest.warns(ConstantPredictionWarning, match=r"In 1 era \(0002\)"):
        table = feature_exposure(values, features=features, eras=tournament.eras)
    assert (table["example_predictions"].iloc[:, 3] == 0.0).all()
    undefined = table["meta_model"].isna()
    assert undefined.loc["0002"].all()
    assert not undefined.drop(index="0002").any(axis=None)


def test_arrays_and_frames_agree(tournament, predictions):
    expected = feature_exposure(predictions, features=tournament.data, eras=tournament.eras)
    arrays = feature_exposure(
        predictions.to_numpy(), features=tournament.data.to_numpy(), eras=tournament.eras.to_numpy()
    )
    np.testing.assert_allclose(arrays, expected, rtol=0, atol=1e-12)
    assert arrays.columns.tolist() == [(i, j) for i in range(2) for j in range(12)]


def test_errors(tournament, predictions):
    with pytest.raises(ValueError, match=r"features has 599 rows and y_pred has 600"):
        feature_exposure(predictions, features=tournament.data.iloc[1:], eras=tournament.eras)
    with pytest.raises(ValueError, match=r"not numeric"):
        feature_exposure(predictions, features=tournament.frame, eras=tournament.eras)
    with pytest.raises(ValueError, match=r"'aggregate' parameter"):
        max_feature_exposure(predictions, features=tournament.data, aggregate="median")
