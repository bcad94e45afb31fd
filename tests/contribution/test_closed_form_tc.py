"""What the closed form promises to users, and its tables."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sknumerai.contribution import closed_form_tc, true_contribution
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._objectives import (
    FORMS,
    NORMALIZED,
    contributions,
    make_hessian,
    make_program,
    make_users,
)


@pytest.mark.parametrize("form", FORMS)
class TestUsers:
    def test_stakes_weigh_contributions_to_zero(self, form):
        users = make_users()
        found = contributions(users, form, make_hessian())
        assert users.stakes @ found == pytest.approx(0.0, abs=1e-13)

    def test_meta_model_contributes_nothing(self, form):
        users = make_users()
        found = closed_form_tc(
            users.meta_model, users.meta_model, users.returns, hessian=make_hessian(), form=form
        )
        assert found.to_numpy() == pytest.approx(0.0, abs=1e-13)

    def test_users_do_not_depend_on_each_other(self, form):
        users, hessian = make_users(), make_hessian()
        found = contributions(users, form, hessian)
        for j, prediction in enumerate(users.predictions.T):
            alone = closed_form_tc(
                prediction, users.meta_model, users.returns, hessian=hessian, form=form
            )
            assert isinstance(alone, pd.Series)
            assert alone.to_numpy() == pytest.approx(found[j], abs=1e-13)

    def test_mixtures_score_mixtures(self, form):
        users, hessian = make_users(), make_hessian()
        first, second = users.predictions[:, 1:3].T
        found = contributions(users, form, hessian)[1:3]
        mixed = closed_form_tc(
            0.3 * first + 0.7 * second,
            users.meta_model,
            users.returns,
            hessian=hessian,
            form=form,
        )
        assert mixed.to_numpy() == pytest.approx(found @ [0.3, 0.7], abs=1e-13)

    def test_normalized_forms_do_not_know_the_unit_of_signals(self, form):
        users, hessian = make_users(), make_hessian()
        found = contributions(users, form, hessian)
        scaled = closed_form_tc(
            7.0 * users.predictions,
            7.0 * users.meta_model,
            users.returns,
            hessian=hessian,
            form=form,
        ).to_numpy()[0]
        if form in NORMALIZED:
            np.testing.assert_allclose(scaled, found, rtol=1e-12)
        else:
            assert np.abs(scaled - found).max() > 1.0


@pytest.mark.parametrize("unit", [2.0**-600, 2.0**600])
def test_units_of_signals_may_be_extreme(unit):
    users, hessian = make_users(), make_hessian()
    expected = contributions(users, "current", hessian)
    found = closed_form_tc(
        unit * users.predictions, unit * users.meta_model, users.returns, hessian=hessian
    )
    np.testing.assert_allclose(found.to_numpy()[0], expected, rtol=1e-12)


def test_current_is_true_contribution_without_dropout_ranks_and_power():
    users = make_users()
    optimizer, risk = make_program("all")
    found = contributions(users, "current", optimizer, **risk)
    expected = true_contribution(
        users.predictions,
        users.stakes,
        users.returns,
        optimizer=optimizer,
        dropout=0.0,
        gradient="stake_weighted",
        gaussianize=False,
        power=1.0,
        signal_scale=12**-0.5,
        **risk,
    )
    np.testing.assert_allclose(found, expected.to_numpy()[0], atol=1e-12)


@pytest.fixture
def table():
    """Three eras of different lengths in mixed rows, a Hessian diagonal, ids for an index."""
    rng = np.random.default_rng(3)
    eras = np.repeat(["0003", "0001", "0002"], [6, 9, 7])
    rng.shuffle(eras)
    n = len(eras)
    frame = pd.DataFrame(
        rng.normal(size=(n, 5)),
        columns=["first", "second", "third", "meta_model", "returns"],
        index=[f"id{i}" for i in rng.permutation(n)],
    )
    return frame.assign(era=eras, curvature=np.exp(rng.normal(size=n)))


USERS = ["first", "second", "third"]


def of_table(table, form="current", **options):
    options = {"hessian": table["curvature"].to_numpy(), "eras": table["era"], **options}
    return closed_form_tc(table[USERS], table["meta_model"], table["returns"], form=form, **options)


@pytest.mark.parametrize("form", FORMS)
class TestEras:
    def test_eras_are_computed_alone_and_ordered(self, table, form):
        found = of_table(table, form)
        assert list(found.index) == ["0001", "0002", "0003"]
        assert found.index.name == "era"
        assert list(found.columns) == USERS
        for label, rows in table.groupby("era"):
            alone = of_table(rows, form, eras=None)
            np.testing.assert_allclose(found.loc[label], alone.iloc[0], atol=1e-13)

    def test_order_of_rows_is_free(self, table, form):
        shuffled = table.sample(frac=1.0, random_state=0)
        pd.testing.assert_frame_equal(of_table(shuffled, form), of_table(table, form), atol=1e-13)

    def test_labels_are_free(self, table, form):
        relabelled = table.assign(era=table["era"].map({"0001": 10, "0002": 20, "0003": 30}))
        found = of_table(relabelled, form)
        assert list(found.index) == [10, 20, 30]
        np.testing.assert_array_equal(found, of_table(table, form))

    def test_risk_data_of_an_optimizer_are_cut_by_era(self, table, form):
        optimizer, _ = make_program("bounds")
        rng = np.random.default_rng(0)
        loadings = pd.DataFrame(rng.normal(size=(len(table), 2)), index=table.index)
        covariances = {era: np.diag(rng.uniform(0.5, 2.0, 2)) for era in ("0001", "0002", "0003")}
        found = of_table(
            table,
            form,
            hessian=optimizer,
            factor_loadings=loadings,
            factor_covariance=covariances,
            specific_variance=table["curvature"],
        )
        for label, rows in table.groupby("era"):
            alone = of_table(
                rows,
                form,
                hessian=optimizer,
                eras=label,
                factor_loadings=loadings.loc[rows.index],
                factor_covariance=covariances[label],
                specific_variance=rows["curvature"],
            )
            np.testing.assert_allclose(found.loc[label], alone.loc[label], atol=1e-12)


class TestContainers:
    def test_frames_arrays_and_polars_agree(self, table):
        expected = of_table(table)
        arrays = closed_form_tc(
            table[USERS].to_numpy(),
            table["meta_model"].to_numpy(),
            table["returns"].to_numpy(),
            hessian=table["curvature"].to_numpy(),
            eras=table["era"].to_numpy(),
        )
        np.testing.assert_array_equal(arrays, expected)
        assert list(arrays.columns) == [0, 1, 2]
        frame = pl.from_pandas(table)
        found = closed_form_tc(
            frame[USERS],
            frame["meta_model"],
            frame["returns"],
            hessian=frame["curvature"],
            eras=frame["era"],
        )
        pd.testing.assert_frame_equal(found, expected)

    def test_one_dimension_gives_a_series(self, table):
        expected = of_table(table)["second"]
        for data in (table, pl.from_pandas(table)):
            found = closed_form_tc(
                data["second"],
                data["meta_model"],
                data["returns"],
                hessian=data["curvature"],
                eras=data["era"],
            )
            pd.testing.assert_series_equal(found, expected, check_names=False)
            assert found.name == "second"

    def test_float32_predictions(self, table):
        low = table.astype(dict.fromkeys(USERS, np.float32))
        np.testing.assert_allclose(of_table(low), of_table(table), rtol=1e-5)

    @pytest.mark.parametrize("moved", ["meta_model", "returns"])
    def test_ids_in_another_order_are_an_error(self, table, moved):
        parts = {"meta_model": table["meta_model"], "returns": table["returns"]}
        parts[moved] = parts[moved].iloc[::-1]
        with pytest.raises(ValueError, match=f"indexes of predictions and {moved} share"):
            closed_form_tc(table[USERS], **parts, hessian=1.0, eras=table["era"])

    def test_ids_that_share_nothing_match_by_position(self, table):
        renamed = table["returns"].set_axis([f"other{i}" for i in range(len(table))])
        found = closed_form_tc(
            table[USERS],
            table["meta_model"],
            renamed,
            hessian=table["curvature"].to_numpy(),
            eras=table["era"],
        )
        pd.testing.assert_frame_equal(found, of_table(table))


class TestErrors:
    @pytest.mark.parametrize("name", ["meta_model", "returns", "first"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, table, name, value):
        table.iloc[4, table.columns.get_loc(name)] = value
        era = table["era"].iloc[4]
        where = f"In era {era}: {name} contains 1 .* at row 4"
        if name == "first":
            where = f"predictions contains 1 .* at row 4, era {era}, column 'first'"
        with pytest.raises(ValueError, match=where):
            of_table(table)

    @pytest.mark.parametrize("form", NORMALIZED)
    def test_zero_meta_model_has_no_direction(self, table, form):
        table.loc[table["era"] == "0002", "meta_model"] = 0.0
        with pytest.raises(ValueError, match="In era 0002: meta_model is zero for all stocks"):
            of_table(table, form)

    @pytest.mark.parametrize("form", ["aligned", "scaled"])
    def test_zero_meta_model_is_a_prediction_like_any(self, table, form):
        zero = of_table(table.assign(meta_model=0.0), form)
        products = table[USERS].mul(table["returns"] / table["curvature"], axis=0)
        expected = products.groupby(table["era"]).sum()
        np.testing.assert_allclose(zero, expected, atol=1e-13)

    def test_shapes_and_types(self, table):
        with pytest.raises(ValueError, match="meta_model must hold one column; found 2"):
            closed_form_tc(table[USERS], table[USERS[:2]], table["returns"], hessian=1.0)
        with pytest.raises(ValueError, match="returns has 3 rows and predictions has 22"):
            closed_form_tc(table[USERS], table["meta_model"], [0.1, 0.2, 0.3], hessian=1.0)
        with pytest.raises(ValueError, match="'era' of predictions is not numeric"):
            closed_form_tc(table, table["meta_model"], table["returns"], hessian=1.0)
        with pytest.raises(ValueError, match="'form' parameter"):
            of_table(table, "normalized")
        with pytest.raises(TypeError, match="exposure is no risk data"):
            of_table(table, hessian=PortfolioOptimizer(), exposure=table["first"])
        with pytest.raises(ValueError, match="exposure: risk data were given beside a Hessian"):
            of_table(table, exposure=table["first"])
