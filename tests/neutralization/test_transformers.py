"""What scikit-learn asks of the transformers, their columns and their place in pipelines."""

import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError
from sknumerai.neutralization import (
    ExposureClipper,
    FeatureNeutralizer,
    NeutralizedRegressor,
    clip_exposure,
    neutralize,
)
from tests._reference import make_era


def _expected_failures(estimator):
    return {
        "check_methods_subset_invariance": "the rows of one era interact: a part is another era"
    }


# the checks of scikit-learn know no eras
@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.SingleEraWarning")
@parametrize_with_checks(
    [
        FeatureNeutralizer(feature_columns=slice(1, None)),
        ExposureClipper(feature_columns=slice(1, None)),
        NeutralizedRegressor(Ridge(), FeatureNeutralizer(0.5)),
        NeutralizedRegressor(Ridge(), ExposureClipper(0.3, on_infeasible="warn")),
    ],
    expected_failed_checks=_expected_failures,
)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("feature_columns", "expected"),
    [
        (None, ["feature_a", "feature_b"]),
        (["feature_b"], ["feature_b"]),
        ("_b$", ["feature_b"]),
        (lambda names: [name for name in names if name.endswith("a")], ["feature_a"]),
        ([0, -1], ["feature_a", "feature_b"]),
        (slice(0, 1), ["feature_a"]),
        ([True, False, True], ["feature_a", "feature_b"]),
    ],
)
def test_feature_columns(feature_columns, expected, df_module):
    rng = np.random.default_rng(0)
    frame = df_module.DataFrame(
        {
            "feature_a": rng.integers(0, 5, 50),
            "prediction": rng.normal(size=50),
            "feature_b": rng.integers(0, 5, 50),
        }
    )
    fitted = FeatureNeutralizer(
        feature_columns=feature_columns, prediction_columns=["prediction"]
    ).fit(frame)
    assert fitted.feature_names_ == expected
    assert fitted.prediction_columns_ == [1]


class TestPipelines:
    """Eras and features through scikit-learn's metadata routing."""

    def test_pipeline_routes_eras(self, tournament):
        predictions, features, eras = tournament
        sklearn.set_config(enable_metadata_routing=True)
        pipeline = make_pipeline(
            ExposureClipper(0.05, normalize=None, scale=None), FeatureNeutralizer(0.5)
        )
        result = pipeline.fit_transform(predictions, features=features, eras=eras)
        np.testing.assert_allclose(
            result,
            neutralize(
                clip_exposure(predictions, features, 0.05, eras=eras),
                features,
                proportion=0.5,
                eras=eras,
            ),
        )
        with pytest.raises(MissingErasError, match="set_config"):
            pipeline.transform(predictions, features=features)

    def test_verbose_shows_progress(self, tournament, capsys):
        predictions, features, eras = tournament
        FeatureNeutralizer(verbose=True).fit_transform(predictions, features=features, eras=eras)
        assert re.search(r"3/3 .*era", capsys.readouterr().err)


def test_warnings_point_at_the_caller():
    """However deep the layers of this package and of scikit-learn's validation are."""
    _, features = make_era(np.random.default_rng(0), 30, 3)
    for call in (
        lambda: neutralize(np.ones(30), features),
        lambda: clip_exposure(np.ones(30), features),
        lambda: (
            FeatureNeutralizer()
            .set_output(transform="pandas")
            .fit_transform(pd.DataFrame({"p": np.ones(30)}), features=features)
        ),
    ):
        with pytest.warns(ConstantPredictionWarning) as caught:
            call()
        assert caught[0].filename == __file__
