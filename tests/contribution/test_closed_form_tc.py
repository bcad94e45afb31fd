"""The derivation of the closed form, step by step, and what the function promises besides."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone

from sknumerai.contribution import adversarial_prediction, closed_form_tc, true_contribution
from sknumerai.contribution._closed_form import deproject
from sknumerai.portfolio import PortfolioLayer, PortfolioOptimizer
from tests.contribution._objectives import (
    FORMS,
    NORMALIZED,
    PROGRAMS,
    full_cost,
    gradient_by_autograd,
    gradient_by_differences,
    make_hessian,
    make_program,
    make_users,
    quadratic,
)

SEEDS = (0, 1, 2)


def contributions(users, form, hessian, **risk):
    """One contribution per user, of one era."""
    table = closed_form_tc(
        users.predictions, users.meta_model, users.returns, hessian=hessian, form=form, **risk
    )
    assert table.shape == (1, users.predictions.shape[1])
    return table.to_numpy()[0]


# --- the closed forms are gradients by the stakes -------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", FORMS)
class TestGradients:
    def test_quadratic_cost(self, form, seed):
        users, hessian = make_users(seed), make_hessian(seed)
        found = contributions(users, form, hessian)
        weights, cost = quadratic(hessian)
        exact = gradient_by_autograd(users, form, weights, cost)
        np.testing.assert_allclose(found, exact, atol=1e-13 * np.abs(exact).max(), rtol=1e-12)
        differences = gradient_by_differences(users, form, weights, cost)
        np.testing.assert_allclose(found, differences, atol=1e-8)

    def test_cost_that_is_not_quadratic(self, form, seed):
        """The Hessian depends on the solution: of m/‖m‖ for normalized forms, else of m."""
        users, matrix = make_users(seed), make_hessian(seed)
        weights, cost = quartic(matrix)
        differences = gradient_by_differences(users, form, weights, cost)
        model = users.meta_model
        points = {True: model / np.linalg.norm(model), False: model}
        hessians = {
            normalized: quartic_hessian(matrix, weights(torch.from_numpy(point)).numpy())
            for normalized, point in points.items()
        }
        normalized = form in NORMALIZED
        found = contributions(users, form, hessians[normalized])
        np.testing.assert_allclose(found, differences, atol=1e-7)
        wrong = contributions(users, form, hessians[not normalized])
        assert np.abs(wrong - found).max() > 0.05 * np.abs(found).max()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_constrained_programs(program, seed):
    """With the derivative of the weights for h, the full cost for C, and binding limits."""
    users = make_users(seed)
    optimizer, risk = make_program(program, seed)
    for signal in (users.meta_model, users.meta_model / np.linalg.norm(users.meta_model)):
        fitted = clone(optimizer).fit(signal, **risk)
        assert fitted.n_weakly_active_ == 0
        assert fitted.n_free_ < 12 or program in ("budget", "exposures")
    layer, cost = PortfolioLayer(optimizer, **risk), full_cost(optimizer, risk)
    for form in FORMS:
        found = contributions(users, form, optimizer, **risk)
        assert np.abs(found).max() > 1e-3
        np.testing.assert_allclose(
            found, gradient_by_autograd(users, form, layer, cost), atol=1e-10
        )
        with torch.no_grad():
            differences = gradient_by_differences(users, form, layer, cost)
        np.testing.assert_allclose(found, differences, atol=2e-8)


def quartic(matrix):
    """O and C for C(x) = xᵀHx / 2 + Σx⁴."""
    tensor = torch.from_numpy(matrix)

    def cost(x):
        return 0.5 * x @ tensor @ x + (x**4).sum()

    def weights(signal):
        x = np.zeros(len(signal))
        for _ in range(60):  # Newton's method; the cost is strictly convex
            slope = matrix @ x + 4.0 * x**3 - signal.numpy()
            x = x - np.linalg.solve(quartic_hessian(matrix, x), slope)
        assert np.abs(slope).max() < 1e-12
        return torch.from_numpy(x)

    return weights, cost


def quartic_hessian(matrix, x):
    return matrix + np.diag(12.0 * x**2)


# --- the lemmas -----------------------------------------------------------------------------------


def gradient_of(function, point):
    """By autograd, of a function of one tensor."""
    tensor = torch.from_numpy(point).requires_grad_()
    (gradient,) = torch.autograd.grad(function(tensor), tensor)
    return gradient.numpy()


@pytest.mark.parametrize("seed", SEEDS)
class TestLemmas:
    def test_0_1_stake_weighted_gradient(self, seed):
        """SWG = (p - m)ᵀ ∇_m f, for any f."""
        users = make_users(seed)
        returns = torch.from_numpy(users.returns)

        def function(m):
            return torch.sin(m) @ returns + (m**2).sum().sqrt() * m[0]

        predictions = torch.from_numpy(users.predictions)
        by_stakes = gradient_of(lambda s: function(predictions @ s / s.sum()), users.stakes)
        expected = (users.predictions - users.meta_model[:, None]).T @ gradient_of(
            function, users.meta_model
        )
        np.testing.assert_allclose(users.stakes.sum() * by_stakes, expected, atol=1e-13)

    def test_0_2_gradient_of_the_cost_at_the_optimum(self, seed):
        """∇C(O(m)) = m without limits; with limits, where the portfolio can move."""
        users, matrix = make_users(seed), make_hessian(seed)
        weights, cost = quartic(matrix)
        solution = weights(torch.from_numpy(users.meta_model)).numpy()
        np.testing.assert_allclose(gradient_of(cost, solution), users.meta_model, atol=1e-11)
        for program in PROGRAMS:
            optimizer, risk = make_program(program, seed)
            optimizer.fit(users.meta_model, **risk)
            slope = gradient_of(full_cost(optimizer, risk), optimizer.weights_)
            np.testing.assert_allclose(
                optimizer.gradient(slope), optimizer.gradient(users.meta_model), atol=1e-12
            )

    def test_0_3_jacobian_is_the_inverse_hessian(self, seed):
        users, matrix = make_users(seed), make_hessian(seed)
        weights, _ = quartic(matrix)
        model, step = users.meta_model, 1e-5
        jacobian = np.array(
            [
                weights(torch.from_numpy(model + d)) - weights(torch.from_numpy(model - d))
                for d in step * np.eye(12)
            ]
        ) / (2.0 * step)
        hessian = quartic_hessian(matrix, weights(torch.from_numpy(model)).numpy())
        np.testing.assert_allclose(jacobian @ hessian, np.eye(12), atol=1e-8)

    def test_0_4_chain_rule_through_the_norm(self, seed):
        """∇_x f(x/‖x‖) = (g - (xᵀg)/(xᵀx) x) / ‖x‖ with g = ∇f at x/‖x‖, not at x."""
        x = make_users(seed).meta_model
        size = np.linalg.norm(x)

        def function(u):
            return torch.exp(u).sum() + u[0] * u[1]

        found = gradient_of(lambda t: function(t / t.norm()), x)
        inner = gradient_of(function, x / size)
        np.testing.assert_allclose(found, deproject(inner, x) / size, atol=1e-14)
        assert np.abs(found - deproject(gradient_of(function, x), x) / size).max() > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_misprints_of_the_post_are_not_the_gradient(seed):
    """What Proof 1 and the statement and last line of Proof 2 print, beside what holds."""
    users, hessian = make_users(seed), make_hessian(seed)
    model, returns = users.meta_model, users.returns
    inverse, size = np.linalg.inv(hessian), np.linalg.norm(model)
    spread = (users.predictions - model[:, None]).T

    aligned = contributions(users, "aligned", hessian)
    np.testing.assert_allclose(spread @ inverse @ (returns - model), aligned, atol=1e-12)
    printed = spread @ inverse @ (model - returns)  # last line of Lemma 1.1: the sign
    np.testing.assert_allclose(printed, -aligned, atol=1e-12)

    current = contributions(users, "current", hessian)
    bracket = deproject(inverse @ returns, model)
    np.testing.assert_allclose(spread @ bracket / size, current, atol=1e-12)
    np.testing.assert_allclose(spread @ bracket, size * current, atol=1e-12)  # statement: no norm
    printed = spread @ inverse @ bracket  # last line: H⁻¹ once too often
    assert np.abs(printed - size * current).max() > 0.1 * np.abs(current).max()


# --- what follows for users -----------------------------------------------------------------------


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


# --- eras, rows and containers --------------------------------------------------------------------


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


# --- the adversary --------------------------------------------------------------------------------


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
