"""`EraEnsemble`: the contract of `VotingRegressor`, with blends for means."""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknumerai.ensemble import EraEnsemble, blend, select_weights
from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError, SingleEraWarning
from sknumerai.metrics import get_era_scorer, numerai_corr
from sknumerai.model_selection import EraTimeSeriesSplit, PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import FeatureNeutralizer, NeutralizedRegressor, neutralize
from sknumerai.preprocessing import EraRankTransformer, rank_by_era
from tests.ensemble._case import CV, MEMBERS


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
