"""Members of an ensemble: their targets, and their parameters."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from sknumerai.ensemble import EraEnsemble, select_weights
from sknumerai.model_selection import era_cross_val_predict
from sknumerai.neutralization import FeatureNeutralizer
from tests.ensemble._case import CV, MEMBERS


class TestTargets:
    def test_every_member_trains_on_its_own(self, data, targets):
        X, y, eras = data
        members = [
            ("linear", Ridge()),
            ("other", Ridge(), "target_other"),
            ("main", Ridge(2.0), "target"),
        ]
        model = EraEnsemble(members).fit(X, targets, eras=eras)
        known = targets["target_other"].notna()
        expected = [
            Ridge().fit(X, y).coef_,
            Ridge().fit(X[known], targets["target_other"][known]).coef_,
            Ridge(2.0).fit(X, y).coef_,
        ]
        for fitted, coef in zip(model.estimators_, expected, strict=True):
            np.testing.assert_allclose(fitted.coef_, coef)
        assert model.score(X, targets, eras=eras) == model.score(X, y, eras=eras)

    def test_weights_are_selected_on_the_first(self, data, targets):
        X, y, eras = data
        members = [("linear", Ridge()), ("other", Ridge(), "target_other")]
        model = EraEnsemble(members, weights="select", cv=CV).fit(X, targets, eras=eras)
        parts = {"linear": era_cross_val_predict(Ridge(), X, y, eras=eras, cv=CV)}
        known = targets["target_other"].notna().to_numpy()
        splits = [(train[known[train]], test) for train, test in CV.split(X, targets, eras)]
        parts["other"] = era_cross_val_predict(
            Ridge(), X, targets["target_other"], eras=eras, cv=splits
        )
        expected = select_weights(pd.DataFrame(parts, X.index), y, eras=eras)
        assert model.weights_.tolist() == expected.tolist()

    def test_metadata_go_with_the_rows_that_have_a_target(self, data, targets):
        X, _, eras = data
        weight = pd.Series(np.random.default_rng(0).random(len(X)), X.index)
        members = [("linear", Ridge()), ("other", Ridge(), "target_other")]
        model = EraEnsemble(members).fit(X, targets, eras=eras, sample_weight=weight)
        known = targets["target_other"].notna()
        expected = Ridge().fit(X[known], targets["target_other"][known], weight[known])
        np.testing.assert_allclose(model.estimators_[1].coef_, expected.coef_)

    def test_by_number_and_of_other_containers(self, data, targets, df_module):
        X, _, eras = data
        expected = EraEnsemble([("a", Ridge()), ("b", Ridge(), "target_other")])
        expected = expected.fit(X, targets, eras=eras).predict(X, eras=eras)
        numbered = EraEnsemble([("a", Ridge()), ("b", Ridge(), 1)])
        numbered.fit(X.to_numpy(), targets.to_numpy(), eras=eras.to_numpy())
        found = numbered.predict(X.to_numpy(), eras=eras.to_numpy())
        np.testing.assert_allclose(found, expected)
        table = df_module.DataFrame({name: targets[name].to_numpy() for name in targets})
        named = EraEnsemble([("a", Ridge()), ("b", Ridge(), "target_other")])
        named.fit(X.to_numpy(), table, eras=eras.to_numpy())
        np.testing.assert_allclose(named.predict(X.to_numpy(), eras=eras.to_numpy()), expected)

    def test_the_target_stays_with_the_name(self, data, targets):
        X, _, eras = data
        model = EraEnsemble([("a", Ridge()), ("b", Ridge(), "target_other")])
        model.set_params(b=LinearRegression(), a__alpha=3.0)
        assert model.estimators[1][2] == "target_other"
        fitted = clone(model).fit(X, targets, eras=eras)
        assert isinstance(fitted.named_estimators_.b, LinearRegression)
        assert fitted.named_estimators_.a.alpha == 3.0

    @pytest.mark.parametrize(
        ("target", "y", "message"),
        [
            (
                "other",
                None,
                r"'b' is to train on the target 'other', and the columns of y are",
            ),
            (
                "target_other",
                "one",
                r"'target_other', and the columns of y are \['target'\]",
            ),
            ("empty", "empty", "The target 'empty' has no values; leave it out of y"),
            (None, None, "y should be a 1d array, got an array of shape"),
            ("target_other", "text", "Column 'text' of y is not numeric"),
            ("target_other", "infinite", "y contains .* infinite"),
        ],
    )
    def test_errors(self, data, targets, target, y, message):
        X, _, eras = data
        made = {
            None: targets,
            "one": targets[["target"]],
            "empty": targets.assign(empty=np.nan),
            "text": targets.assign(text="a"),
            "infinite": targets.assign(target_other=np.inf),
        }
        model = EraEnsemble([("a", Ridge()), ("b", Ridge(), target)])
        with pytest.raises(ValueError, match=message):
            model.fit(X, made[y], eras=eras)

    def test_one_target_has_no_gaps(self, data):
        X, y, eras = data
        with pytest.raises(ValueError, match="y contains NaN"):
            EraEnsemble(MEMBERS).fit(X, y.where(y > 0), eras=eras)

    def test_a_column_vector(self, data):
        X, y, eras = data
        with pytest.warns(DataConversionWarning):
            EraEnsemble(MEMBERS).fit(X, y.to_numpy()[:, None], eras=eras)


class TestParameters:
    def test_of_members_are_parameters(self):
        ridge = Ridge()
        model = EraEnsemble([("linear", ridge)], transformer=FeatureNeutralizer(0.5))
        params = model.get_params()
        assert params["linear"] is ridge
        assert params["linear__alpha"] == 1.0
        assert params["transformer__proportion"] == 0.5
        model.set_params(linear__alpha=2.0, transformer__proportion=0.7, weights=[1, 2])
        assert model.get_params()["linear__alpha"] == 2.0
        model.set_params(estimators=[("new", Ridge())], new__alpha=5.0)
        assert model.get_params()["new__alpha"] == 5.0
        with pytest.raises(ValueError, match="Invalid parameter 'nobody'"):
            model.set_params(nobody=1)

    def test_replacing_does_not_change_the_list_of_the_caller(self):
        members = list(MEMBERS)
        EraEnsemble(members).set_params(linear="drop")
        assert members == MEMBERS

    @pytest.mark.parametrize("weights", [None, [1, 5, 2], {"linear": 1, "tree": 5, "ols": 2}])
    def test_members_can_be_dropped(self, data, weights):
        X, y, eras = data
        model = EraEnsemble([*MEMBERS, ("ols", LinearRegression())], weights=weights)
        model.set_params(tree="drop").fit(X, y, eras=eras)
        kept = [MEMBERS[0], ("ols", LinearRegression())]
        expected = EraEnsemble(kept, weights=None if weights is None else [1, 2])
        expected.fit(X, y, eras=eras)
        np.testing.assert_array_equal(model.predict(X, eras=eras), expected.predict(X, eras=eras))
        assert list(model.named_estimators_) == ["linear", "ols"]

    def test_clone_pickle_and_repr(self, data):
        X, y, eras = data
        model = EraEnsemble(MEMBERS, weights="select", cv=CV, transformer=FeatureNeutralizer(0.5))
        fitted = clone(model).fit(X, y, eras=eras)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.predict(X, eras=eras), fitted.predict(X, eras=eras))
        assert len(pickle.dumps(fitted)) < 20_000  # without its data
        with pytest.raises(NotFittedError):
            check_is_fitted(clone(fitted))
        assert "EraEnsemble" in estimator_html_repr(fitted)
        assert repr(clone(model)) == repr(model)

    def test_missing_values_are_a_matter_of_the_members(self, data):
        X, y, eras = data
        X = X.where(X > 0)
        boosting = HistGradientBoostingRegressor(max_iter=5)
        EraEnsemble([("a", boosting)]).fit(X, y, eras=eras).predict(X, eras=eras)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            EraEnsemble(MEMBERS).fit(X, y, eras=eras)
        assert EraEnsemble([("a", boosting)]).__sklearn_tags__().input_tags.allow_nan
        assert not EraEnsemble(MEMBERS).__sklearn_tags__().input_tags.allow_nan

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"estimators": []}, r"estimators is \[\]; pass a list of \(name, estimator\)"),
            ({"estimators": None}, "estimators is None; pass a list of"),
            ({"estimators": [Ridge()]}, r"estimators holds Ridge\(\); pass \(name, estimator\)"),
            ({"estimators": [("a", Ridge(), "t", 1)]}, "estimators holds .*; pass"),
            ({"estimators": [("a", 3)]}, "The member 'a' is 3; pass a regressor, or 'drop'"),
            ({"estimators": [("a", Ridge()), ("a", Ridge())]}, "names 'a' twice; give each"),
            ({"estimators": [("a__b", Ridge())]}, "names a member 'a__b'; pass text without '__'"),
            ({"estimators": [("weights", Ridge())]}, "names a member 'weights'"),
            ({"estimators": [(1, Ridge())]}, "names a member 1; pass text"),
            ({"estimators": [("a", "drop")]}, "All members are dropped; keep at least one"),
            ({"weights": [1]}, r"weights has shape \(1,\) for 2 predictions"),
            ({"weights": "best"}, "'weights' parameter of EraEnsemble"),
            ({"weights": {"linear": 1, "trees": 2}}, "weights names"),
            ({"weights": [1, 0], "linear": "drop"}, "weights are all zero"),
            ({"transformer": "clip"}, "transformer is 'clip'; pass an estimator that transforms"),
            ({"scoring": "numerai_cor"}, "There is no era scorer 'numerai_cor'; did you mean"),
            ({"scoring": 3}, "'scoring' parameter of EraEnsemble"),
            ({"cv": "five"}, "'cv' parameter of EraEnsemble"),
        ],
    )
    def test_errors(self, data, parameters, message):
        X, y, eras = data
        with pytest.raises(ValueError, match=message) as caught:
            EraEnsemble(MEMBERS).set_params(**parameters).fit(X, y, eras=eras)
        assert "\n" not in str(caught.value)

    def test_members_of_several_targets(self, data):
        X, y, eras = data

        class Twice(Ridge):
            def predict(self, X):
                return np.column_stack([super().predict(X)] * 2)

        model = EraEnsemble([("a", Twice())]).fit(X, y, eras=eras)
        with pytest.raises(ValueError, match=r"'a' predicts shape \(480, 2\); pass regressors"):
            model.predict(X, eras=eras)
