"""`EraEnsemble`: the contract of `VotingRegressor`, with blends for means."""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from sknumerai.ensemble import EraEnsemble, blend, select_weights
from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError, SingleEraWarning
from sknumerai.metrics import get_era_scorer, numerai_corr
from sknumerai.model_selection import EraTimeSeriesSplit, PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor, neutralize
from sknumerai.preprocessing import EraRankTransformer, rank_by_era

CV = PurgedEraKFold(3, purge=0)
MEMBERS = [("linear", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3, random_state=0))]


def _expected_failures(estimator):
    return {
        "check_methods_subset_invariance": "the rows of one era interact: a part is another era"
    }


# the checks of scikit-learn know no eras
@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.SingleEraWarning")
@parametrize_with_checks(
    [
        EraEnsemble([("a", Ridge()), ("b", LinearRegression())]),
        EraEnsemble(MEMBERS, weights=[2, 1], transformer=FeatureNeutralizer(0.1)),
    ],
    expected_failed_checks=_expected_failures,
)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    """Features, a target that is partly linear in them, and eras in no order."""
    rng = np.random.default_rng(0)
    index = pd.Index([f"n{i:04d}" for i in rng.permutation(480)], name="id")
    X = pd.DataFrame(rng.integers(0, 5, (480, 4)), index).add_prefix("feature_")
    linear = 0.5 * X["feature_0"] + 0.5 * X["feature_3"]
    y = linear + (X["feature_1"] > 2) * X["feature_2"] + 2.0 * rng.normal(size=480)
    eras = pd.Series(np.repeat([f"{i:04d}" for i in range(1, 7)], 80), index)
    order = rng.permutation(480)
    return X.iloc[order], y.rename("target").iloc[order], eras.iloc[order]


@pytest.fixture
def targets(data):
    """The target and another one, which has gaps."""
    X, y, _ = data
    other = (X["feature_3"] + 0.1 * y).where(np.arange(len(y)) % 7 > 0)
    return pd.DataFrame({"target": y, "target_other": other})


def members_alone(data, members=MEMBERS):
    X, y, _ = data
    return pd.DataFrame({name: clone(m).fit(X, y).predict(X) for name, m in members}, X.index)


class TestPrediction:
    @pytest.mark.parametrize("weights", [None, [2, 1], {"tree": 1, "linear": 3}, np.array([0, 1])])
    def test_is_the_blend_of_the_members(self, data, weights):
        X, y, eras = data
        model = EraEnsemble(MEMBERS, weights=weights).fit(X, y, eras=eras)
        expected = blend(members_alone(data), weights=weights, eras=eras)
        np.testing.assert_array_equal(model.predict(X, eras=eras), expected)
        one = X[eras == "0003"]
        np.testing.assert_array_equal(model.predict(one, eras="X"), expected[eras == "0003"])
        assert model.weights_.index.tolist() == ["linear", "tree"]
        assert model.named_estimators_["tree"] is model.estimators_[1]
        assert not hasattr(model, "members_")

    def test_is_neutralized(self, data):
        X, y, eras = data
        model = EraEnsemble(MEMBERS, transformer=FeatureNeutralizer(0.7)).fit(X, y, eras=eras)
        plain = EraEnsemble(MEMBERS).fit(X, y, eras=eras).predict(X, eras=eras)
        expected = neutralize(plain, X, proportion=0.7, eras=eras)
        np.testing.assert_allclose(model.predict(X, eras=eras), expected, atol=1e-12)
        some = X[["feature_1"]]
        model.fit(X, y, eras=eras, features=some)
        expected = neutralize(plain, some, proportion=0.7, eras=eras)
        found = model.predict(X, eras=eras, features=some)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        with pytest.raises(ValueError, match="fitted with 1 features and got other"):
            model.predict(X, eras=eras)

    def test_is_transformed_without_features(self, data):
        X, y, eras = data
        model = EraEnsemble(MEMBERS, transformer=EraRankTransformer()).fit(X, y, eras=eras)
        plain = EraEnsemble(MEMBERS).fit(X, y, eras=eras).predict(X, eras=eras)
        np.testing.assert_allclose(model.predict(X, eras=eras), rank_by_era(plain, eras=eras))

    def test_transform_returns_those_of_the_members(self, data, df_module):
        X, y, eras = data
        X = df_module.DataFrame({name: X[name].to_numpy() for name in X})
        y, eras = y.to_numpy(), eras.to_numpy()
        model = EraEnsemble(MEMBERS)
        expected = np.column_stack([m.fit(X, y).predict(X) for _, m in MEMBERS])
        np.testing.assert_array_equal(model.fit_transform(X, y, eras=eras), expected)
        frame = model.set_output(transform=df_module.name).transform(X, eras=eras)
        assert isinstance(frame, df_module.module.DataFrame)
        assert list(frame.columns) == ["eraensemble_linear", "eraensemble_tree"]
        model.predict(X, eras=eras)  # whatever the output of transform

    @pytest.mark.parametrize("backend", ["threading", "loky"])
    def test_n_jobs_is_irrelevant(self, data, backend):
        X, y, eras = data
        expected = EraEnsemble(MEMBERS, weights="select", cv=CV).fit(X, y, eras=eras)
        with parallel_config(backend):
            model = clone(expected).set_params(n_jobs=2).fit(X, y, eras=eras)
        np.testing.assert_array_equal(model.predict(X, eras=eras), expected.predict(X, eras=eras))
        pd.testing.assert_frame_equal(model.members_, expected.members_)

    def test_constant_members_are_nan_with_one_warning(self, data):
        X, y, eras = data
        members = [*MEMBERS, ("dummy", DummyRegressor())]
        model = EraEnsemble(members, transformer=FeatureNeutralizer()).fit(X, y, eras=eras)
        with pytest.warns(ConstantPredictionWarning, match="6 eras") as caught:
            assert np.isnan(model.predict(X, eras=eras)).all()
        assert [warning.filename for warning in caught] == [__file__]
        with pytest.warns(ConstantPredictionWarning):
            assert np.isnan(model.score(X, y, eras=eras))
        model.set_params(weights=[1, 1, 0]).fit(X, y, eras=eras)
        expected = EraEnsemble(MEMBERS, transformer=FeatureNeutralizer()).fit(X, y, eras=eras)
        np.testing.assert_array_equal(model.predict(X, eras=eras), expected.predict(X, eras=eras))


class TestEras:
    def test_given_at_fit_are_required(self, data):
        X, y, eras = data
        model = EraEnsemble(MEMBERS).fit(X, y, eras=eras)
        for method, arguments in [
            ("predict", [X]),
            ("transform", [X]),
            ("score", [X, y]),
            ("score_members", [X, y]),
        ]:
            with pytest.raises(MissingErasError, match=r"EraEnsemble\.\w+ was called without eras"):
                getattr(model, method)(*arguments)

    def test_training_without_warns(self, data):
        X, y, eras = data
        with pytest.warns(SingleEraWarning) as caught:
            model = EraEnsemble(MEMBERS).fit(X, y)
        assert {warning.filename for warning in caught} == {__file__}
        expected = blend(members_alone(data), eras="all")
        np.testing.assert_array_equal(model.predict(X), expected)
        assert model.score(X, y) == pytest.approx(numerai_corr(y, expected))
        model.predict(X, eras=eras)
        EraEnsemble(MEMBERS).fit(X, y, eras="all")

    def test_select_needs_them(self, data):
        X, y, _ = data
        with pytest.raises(MissingErasError, match="weights='select' scores era by era and there"):
            EraEnsemble(MEMBERS, weights="select").fit(X, y)


class TestSelection:
    def test_is_that_of_out_of_fold_predictions(self, data):
        X, y, eras = data
        model = EraEnsemble(MEMBERS, weights="select", cv=CV).fit(X, y, eras=eras)
        out_of_fold = pd.DataFrame(
            {n: era_cross_val_predict(m, X, y, eras=eras, cv=CV) for n, m in MEMBERS}, X.index
        )
        expected = select_weights(out_of_fold, y, eras=eras)
        pd.testing.assert_series_equal(
            model.weights_, expected, check_index_type=False, check_names=False
        )
        np.testing.assert_array_equal(
            model.predict(X, eras=eras), blend(members_alone(data), weights=expected, eras=eras)
        )

    def test_table_of_members(self, data):
        """By hand, of the out-of-fold predictions."""
        X, y, eras = data
        members = [*MEMBERS, ("leaves", DecisionTreeRegressor(random_state=0))]
        model = EraEnsemble(members, weights="select", cv=CV).fit(X, y, eras=eras)
        parts = pd.DataFrame(
            {n: era_cross_val_predict(m, X, y, eras=eras, cv=CV) for n, m in members}, X.index
        )

        def score(weights):
            return numerai_corr(y, blend(parts, weights=weights, eras=eras), eras=eras)

        table, weights = model.members_, model.weights_
        assert (weights > 0).sum() > 1
        assert table.columns.tolist() == ["score", "weight", "correlation", "cost"]
        pd.testing.assert_series_equal(table["weight"], weights)
        for name in parts:
            rest = weights.drop(name).reindex(parts.columns, fill_value=0.0)
            assert table.loc[name, "score"] == pytest.approx(
                numerai_corr(y, parts[name], eras=eras)
            )
            cost = score(weights) - score(rest) if weights[name] else 0.0
            assert table.loc[name, "cost"] == pytest.approx(cost)
            others = blend(parts, weights=rest, eras=eras)
            alone = blend(parts[[name]], eras=eras)
            by_era = [alone[eras == era].corr(others[eras == era]) for era in eras.unique()]
            assert table.loc[name, "correlation"] == pytest.approx(np.mean(by_era))

    def test_table_of_rows_that_were_held_out(self, data):
        X, y, eras = data
        train, test = eras <= "0004", eras > "0004"
        model = EraEnsemble(MEMBERS, weights=[1, 3]).fit(X[train], y[train], eras=eras[train])
        table = model.score_members(X[test], y[test], eras=eras[test])
        predictions = model.transform(X[test], eras=eras[test])
        scores = numerai_corr(y[test], predictions, eras=eras[test])
        np.testing.assert_allclose(table["score"], scores)
        assert table["weight"].tolist() == [1.0, 3.0]
        whole = model.score(X[test], y[test], eras=eras[test])
        np.testing.assert_allclose(table["cost"], whole - scores.to_numpy()[::-1])
        assert table["correlation"].nunique() == 1  # of two, each is the other's rest

    def test_one_member_has_no_others(self, data):
        X, y, eras = data
        model = EraEnsemble(MEMBERS[:1], weights="select", cv=CV).fit(X, y, eras=eras)
        assert model.weights_.tolist() == [1.0]
        assert model.members_[["correlation", "cost"]].isna().all(axis=None)

    def test_constant_members_get_no_weight(self, data):
        X, y, eras = data
        members = [*MEMBERS, ("dummy", DummyRegressor())]
        with pytest.warns(ConstantPredictionWarning, match="6 eras") as caught:
            model = EraEnsemble(members, weights="select", cv=CV).fit(X, y, eras=eras)
        assert len(caught) == 1
        assert model.weights_["dummy"] == 0.0
        dummy = model.members_.loc["dummy"]
        assert dummy[["score", "correlation"]].isna().all()
        assert dummy["cost"] == 0.0
        expected = EraEnsemble(MEMBERS, weights="select", cv=CV).fit(X, y, eras=eras)
        np.testing.assert_array_equal(model.predict(X, eras=eras), expected.predict(X, eras=eras))

    @pytest.mark.parametrize(
        "cv",
        [
            None,
            2,
            GroupKFold(3),
            EraTimeSeriesSplit(2, gap=1),
            [(np.arange(160), np.arange(160, 320))],
        ],
    )
    def test_splitters(self, data, cv):
        X, y, eras = data
        order = np.argsort(eras.to_numpy(), kind="stable")
        X, y, eras = X.iloc[order], y.iloc[order], eras.iloc[order]
        if cv in (None, 2):  # with eras enough for the purge
            eras = pd.Series(np.repeat(range(24), 20), X.index)
        if isinstance(cv, list):
            eras = pd.Index(eras)
        model = EraEnsemble(MEMBERS, weights="select", cv=cv).fit(X, y, eras=eras)
        splitter = PurgedEraKFold(cv or 5) if cv in (None, 2) else cv
        parts = pd.DataFrame(
            {n: era_cross_val_predict(m, X, y, eras=eras, cv=splitter) for n, m in MEMBERS},
            X.index,
        )
        tested = parts.notna().all(axis=1)
        expected = select_weights(parts[tested], y[tested], eras=eras[tested.to_numpy()])
        assert model.weights_.tolist() == expected.tolist()

    def test_without_splits(self, data):
        X, y, eras = data
        with pytest.raises(ValueError, match="cv makes no splits; ask for at least one"):
            EraEnsemble(MEMBERS, weights="select", cv=[]).fit(X, y, eras=eras)

    def test_the_table_goes_with_the_selection(self, data):
        X, y, eras = data
        model = EraEnsemble(MEMBERS, weights="select", cv=CV).fit(X, y, eras=eras)
        model.set_params(weights=None).fit(X, y, eras=eras)
        assert not hasattr(model, "members_")


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


def test_score_is_that_of_scoring(data):
    X, y, eras = data
    for name in ("numerai_corr", "numerai_corr_sharpe", "fnc"):
        model = EraEnsemble(MEMBERS, scoring=name).fit(X, y, eras=eras)
        expected = get_era_scorer(name)(model, X, y, eras=eras)
        assert model.score(X, y, eras=eras) == pytest.approx(expected)
    model = EraEnsemble(MEMBERS, scoring="mmc").fit(X, y, eras=eras)
    expected = get_era_scorer("mmc")(model, X, y, eras=eras, meta_model=X["feature_3"])
    assert model.score(X, y, eras=eras, meta_model=X["feature_3"]) == pytest.approx(expected)
    with pytest.raises(ValueError, match="needs 'meta_model'"):
        model.score(X, y, eras=eras)
    with pytest.raises(ValueError, match="sample_weight was given and scores of eras have none"):
        model.score(X, y, y, eras=eras)


def test_ensembles_of_ensembles_and_neutral_members(data):
    X, y, eras = data
    neutral = NeutralizedRegressor(DecisionTreeRegressor(max_depth=3), FeatureNeutralizer(0.5))
    inner = EraEnsemble([("linear", Ridge()), ("neutral", neutral)])
    model = EraEnsemble([("inner", inner), ("tree", MEMBERS[1][1])]).fit(X, y, eras=eras)
    expected = blend(
        np.column_stack(
            [
                clone(inner).fit(X, y, eras=eras).predict(X, eras=eras),
                clone(MEMBERS[1][1]).fit(X, y).predict(X),
            ]
        ),
        eras=eras,
    )
    np.testing.assert_array_equal(model.predict(X, eras=eras), expected)
    assert "inner__neutral__transformer__proportion" in model.get_params()


@pytest.mark.parametrize("shuffled", ["X", "y", "eras", "features"])
def test_shuffled_tables_are_errors(data, shuffled):
    X, y, eras = data
    tables = {"X": X, "y": y, "eras": eras, "features": X + 0}
    model = EraEnsemble(MEMBERS, transformer=FeatureNeutralizer()).fit(**tables)
    tables[shuffled] = tables[shuffled].iloc[::-1]
    for method in ("fit", "fit_transform", "score", "score_members", "predict", "transform"):
        given = dict(tables)
        if method in ("predict", "transform"):
            del given["y"]
        if shuffled in given:
            with pytest.raises(ValueError, match=r"indexes of .* share \d+ of \d+ labels but are"):
                getattr(model, method)(**given)
