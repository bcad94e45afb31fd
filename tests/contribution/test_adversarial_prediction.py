"""The prediction that earns most by knowing the meta model alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sknumerai.contribution import adversarial_prediction, closed_form_tc
from sknumerai.contribution._closed_form import deproject
from tests.contribution._objectives import SEEDS, make_hessian, make_program, make_users


@pytest.mark.parametrize("seed", SEEDS)
class TestAdversarialPrediction:
    def test_has_nothing_along_the_meta_model(self, seed):
        model = make_users(seed).meta_model
        found = adversarial_prediction(model, hessian=make_hessian(seed))
        assert np.linalg.norm(found) > 1e-2
        assert found @ model == pytest.approx(0.0, abs=1e-13)

    def test_is_nothing_if_all_directions_cost_the_same(self, seed):
        model = make_users(seed).meta_model
        for hessian in (0.3, np.full(12, 0.3), 0.3 * np.eye(12)):
            found = adversarial_prediction(model, hessian=hessian)
            np.testing.assert_allclose(found, 0.0, atol=1e-14)

    def test_is_the_direction_of_steepest_expected_gain(self, seed):
        """Expected "current" TC at m = E[y] = ym: ‖p‖²/‖ym‖, more than any p of the same norm."""
        model, hessian = make_users(seed).meta_model, make_hessian(seed)
        found = adversarial_prediction(model, hessian=hessian)
        size = np.linalg.norm(found)
        expected = closed_form_tc(found, model, model, hessian=hessian).iloc[0]
        assert expected == pytest.approx(size**2 / np.linalg.norm(model))
        others = np.random.default_rng(seed).normal(size=(12, 200))
        others *= size / np.linalg.norm(others, axis=0)
        best = closed_form_tc(others, model, model, hessian=hessian).to_numpy().max()
        assert best < expected

    def test_scales_with_the_meta_model(self, seed):
        model, hessian = make_users(seed).meta_model, make_hessian(seed)
        found = adversarial_prediction(model, hessian=hessian)
        np.testing.assert_allclose(
            adversarial_prediction(-3.0 * model, hessian=hessian), -3.0 * found, atol=1e-13
        )

    def test_units_may_be_extreme(self, seed):
        model, hessian = make_users(seed).meta_model, make_hessian(seed)
        found = adversarial_prediction(model, hessian=hessian)
        for unit in (2.0**-600, 2.0**600):
            scaled = adversarial_prediction(unit * model, hessian=hessian)
            np.testing.assert_allclose(scaled / unit, found, atol=1e-13)

    def test_optimizer(self, seed):
        """Its derivative at the solution of the normalized meta model, fitted there or not."""
        model = make_users(seed).meta_model
        optimizer, risk = make_program("bounds", seed)
        fitted = clone(optimizer).fit(model / np.linalg.norm(model), **risk)
        found = adversarial_prediction(model, hessian=fitted)
        np.testing.assert_allclose(found, deproject(fitted.gradient(model), model), atol=1e-13)
        at_the_solution = clone(optimizer).fit(model / np.linalg.norm(model))
        np.testing.assert_allclose(
            adversarial_prediction(model, hessian=optimizer),
            deproject(at_the_solution.gradient(model), model),
            atol=1e-13,
        )


def test_adversarial_prediction_keeps_the_container(df_module):
    values = [1.0, 1.0]
    found = adversarial_prediction(
        df_module.Series(values, name="model"), hessian=np.array([1.0, 2.0])
    )
    df_module.assert_series_equal(found, df_module.Series([0.25, -0.25], name="model"))
    array = adversarial_prediction(values, hessian=np.array([1.0, 2.0]))
    assert isinstance(array, np.ndarray)
    labelled = pd.Series(values, index=["a", "b"], name="model")
    found = adversarial_prediction(labelled, hessian=np.array([1.0, 2.0]))
    pd.testing.assert_series_equal(found, pd.Series([0.25, -0.25], ["a", "b"], name="model"))


@pytest.mark.parametrize(
    ("model", "hessian", "message"),
    [
        (np.zeros(3), 1.0, "expected_meta_model is zero for all stocks"),
        ([1.0, np.nan, 0.0], 1.0, "expected_meta_model contains 1 NaN of 3"),
        (np.ones((3, 2)), 1.0, "expected_meta_model must hold one column; found 2"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], "hessian has 2 rows for 3"),
        ([1.0, 2.0, 3.0], [1.0, 0.0, 1.0], "1 values of its diagonal are not positive"),
        ([1.0, 2.0, 3.0], {"0001": 1.0}, "hessian has no entry for None"),
        (["a", "b"], 1.0, "expected_meta_model must hold real numbers"),
    ],
)
def test_adversarial_prediction_errors(model, hessian, message):
    with pytest.raises(ValueError, match=message):
        adversarial_prediction(model, hessian=hessian)
