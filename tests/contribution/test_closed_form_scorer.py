"""ClosedFormTC is closed_form_tc of the predictions of a model, in any search."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy.sparse.linalg import aslinearoperator
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate

import sknumerai.contribution._closed_form_tc_scorer as module
from sknumerai.contribution import ClosedFormTC, TCScorer, closed_form_tc
from sknumerai.contribution._gradient_cache import GRADIENTS
from sknumerai.exceptions import MissingErasError
from sknumerai.metrics import get_era_scorer
from sknumerai.model_selection import PurgedEraKFold
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._objectives import FORMS, NORMALIZED, make_hessian

N_ERAS, N = 6, 20
LIMITED = PortfolioOptimizer(
    min_weights=-0.1, max_weights=0.08, max_exposure=0.02, max_leverage=1.0, l1_coef=0.02
)


class Fixed:
    """A model whose predictions are known."""

    def __init__(self, predictions):
        self.predictions = predictions

    def predict(self, X):
        return self.predictions


@pytest.fixture
def data():
    """Six eras of twenty stocks in mixed rows."""
    rng = np.random.default_rng(0)
    n = N_ERAS * N
    eras = rng.permutation(np.repeat([f"{era:04d}" for era in range(1, N_ERAS + 1)], N))
    X = rng.normal(size=(n, 4))
    y = X @ [0.5, -0.2, 0.0, 0.1] + rng.normal(size=n)
    return {
        "X": X,
        "y": y,
        "eras": eras,
        "meta_model": 0.3 * y + rng.normal(size=n),
        "predictions": rng.normal(size=n),
        "exposures": rng.normal(size=(n, 2)),
        "specific_variance": np.exp(0.3 * rng.normal(size=n)),
    }


def score(scorer, data, predictions=None, **metadata):
    model = Fixed(data["predictions"] if predictions is None else predictions)
    metadata = {"eras": data["eras"], "meta_model": data["meta_model"], **metadata}
    return scorer(model, data["X"], data["y"], **metadata)


def per_era(data, hessian, form, **risk):
    return closed_form_tc(
        data["predictions"],
        data["meta_model"],
        data["y"],
        hessian=hessian,
        form=form,
        eras=data["eras"],
        **risk,
    )


def risk_of(data):
    return {name: data[name] for name in ("exposures", "specific_variance")}


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
class TestValues:
    @pytest.mark.parametrize("aggregate", ["mean", "sharpe", np.median, np.min])
    def test_is_the_aggregate_of_the_closed_form(self, data, form, aggregate):
        contributions = per_era(data, 2.0, form)
        expected = {
            "mean": contributions.mean(),
            "sharpe": contributions.mean() / contributions.std(ddof=0),
            np.median: np.sort(contributions)[N_ERAS // 2 - 1 : N_ERAS // 2 + 1].mean(),
            np.min: np.sort(contributions)[0],
        }[aggregate]
        found = score(ClosedFormTC(form, hessian=2.0, aggregate=aggregate), data)
        assert isinstance(found, float)
        assert found == pytest.approx(expected, rel=1e-12)

    def test_hessian_of_every_era(self, data, form):
        hessians = {f"{era:04d}": make_hessian(era, N) for era in range(1, N_ERAS + 1)}
        expected = per_era(data, hessians, form).mean()
        found = score(ClosedFormTC(form, hessian=hessians), data)
        assert found == pytest.approx(expected, rel=1e-12)
        operators = {era: aslinearoperator(hessian) for era, hessian in hessians.items()}
        found = score(ClosedFormTC(form, hessian=operators), data)
        assert found == pytest.approx(expected, rel=1e-9)

    def test_optimizer_with_active_limits(self, data, form):
        risk = risk_of(data)
        expected = per_era(data, LIMITED, form, **risk).mean()
        found = score(ClosedFormTC(form, optimizer=LIMITED), data, **risk)
        assert found == pytest.approx(expected, rel=1e-9)

    def test_order_of_rows_is_free(self, data, form):
        order = np.random.default_rng(1).permutation(N_ERAS * N)
        shuffled = {name: values[order] for name, values in data.items()}
        scorer = ClosedFormTC(form, optimizer=LIMITED)
        assert score(scorer, shuffled, **risk_of(shuffled)) == pytest.approx(
            score(scorer, data, **risk_of(data)), rel=1e-7
        )

    def test_frames_of_pandas_and_polars(self, data, form):
        scorer = ClosedFormTC(form, hessian=2.0)
        expected = score(scorer, data)
        for series in (pd.Series, pl.Series):
            parts = {name: series(data[name]) for name in ("eras", "meta_model")}
            assert score(scorer, data, **parts) == pytest.approx(expected, rel=1e-12)

    def test_returns_replace_y(self, data, form):
        returns = np.random.default_rng(2).normal(size=N_ERAS * N)
        scorer = ClosedFormTC(form, hessian=2.0)
        expected = per_era({**data, "y": returns}, 2.0, form).mean()
        assert score(scorer, data, returns=returns) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("aggregate", ["mean", "sharpe"])
def test_current_is_the_scorer_without_ranks_power_and_dropout(data, aggregate):
    risk = risk_of(data)
    for label in np.unique(data["eras"]):
        rows = data["eras"] == label
        signal = data["meta_model"][rows] / np.linalg.norm(data["meta_model"][rows])
        era = clone(LIMITED).fit(signal, **{name: v[rows] for name, v in risk.items()})
        assert 2 < era.n_free_ < N - 2
    expected = score(
        TCScorer(
            LIMITED,
            gradient="stake_weighted",
            gaussianize=False,
            power=1.0,
            signal_scale=N**-0.5,
            aggregate=aggregate,
        ),
        data,
        **risk,
    )
    found = score(ClosedFormTC("current", optimizer=LIMITED, aggregate=aggregate), data, **risk)
    assert abs(expected) > 1e-4
    assert found == pytest.approx(expected, abs=1e-8, rel=1e-8)


def test_default_optimizer(data):
    expected = score(ClosedFormTC("current", optimizer=PortfolioOptimizer()), data)
    assert score(ClosedFormTC(), data) == expected


def test_risk_data_may_be_columns_of_x(data):
    frame = pd.DataFrame(data["exposures"], columns=["exposure_1", "exposure_2"]).assign(
        variance=data["specific_variance"]
    )
    scorer = ClosedFormTC(
        "aligned",
        optimizer=LIMITED,
        risk_columns={"exposures": "^exposure", "specific_variance": ["variance"]},
    )
    found = scorer(
        Fixed(data["predictions"]),
        frame,
        data["y"],
        eras=data["eras"],
        meta_model=data["meta_model"],
    )
    expected = per_era(data, LIMITED, "aligned", **risk_of(data)).mean()
    assert found == pytest.approx(expected, rel=1e-9)


# --- model selection ------------------------------------------------------------------------------


class TestSearches:
    @pytest.mark.parametrize("n_jobs", [1, 2])
    @pytest.mark.parametrize("form", ["current", "aligned"])
    def test_grid_search(self, data, form, n_jobs):
        sklearn.set_config(enable_metadata_routing=True)
        cv = PurgedEraKFold(3, purge=0)
        alphas = [0.1, 100.0, 10_000.0]
        search = GridSearchCV(
            Ridge(),
            {"alpha": alphas},
            cv=cv,
            scoring=ClosedFormTC(form, optimizer=LIMITED),
            n_jobs=n_jobs,
            error_score="raise",
        )
        risk = risk_of(data)
        X, y, eras, model = (data[name] for name in ("X", "y", "eras", "meta_model"))
        search.fit(X, y, eras=eras, meta_model=model, **risk)
        for i, alpha in enumerate(alphas):
            scores = []
            for train, test in cv.split(X, y, eras):
                part = {name: values[test] for name, values in data.items()}
                part["predictions"] = Ridge(alpha=alpha).fit(X[train], y[train]).predict(X[test])
                scores.append(per_era(part, LIMITED, form, **risk_of(part)).mean())
            assert search.cv_results_["mean_test_score"][i] == pytest.approx(
                np.mean(scores), rel=1e-8
            )

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_in_a_dict_beside_other_scorers(self, data, n_jobs):
        sklearn.set_config(enable_metadata_routing=True)
        hessians = {f"{era:04d}": make_hessian(era, N) for era in range(1, N_ERAS + 1)}
        scorers = {
            "corr": get_era_scorer("numerai_corr"),
            "mmc": get_era_scorer("mmc"),
            "tc": TCScorer(LIMITED, signal_scale=N**-0.5),
            "current": ClosedFormTC(optimizer=LIMITED),
            "scaled": ClosedFormTC("scaled", hessian=hessians, aggregate="sharpe"),
        }
        kwargs = {"cv": PurgedEraKFold(3, purge=0), "n_jobs": n_jobs, "error_score": "raise"}
        params = {"eras": data["eras"], "meta_model": data["meta_model"], **risk_of(data)}
        results = cross_validate(
            Ridge(), data["X"], data["y"], scoring=scorers, params=params, **kwargs
        )
        for name, scorer in scorers.items():
            asked = scorer.get_metadata_routing().score.requests
            alone = cross_validate(
                Ridge(),
                data["X"],
                data["y"],
                scoring=scorer,
                params={key: value for key, value in params.items() if key in asked},
                **kwargs,
            )
            np.testing.assert_allclose(results[f"test_{name}"], alone["test_score"], rtol=1e-8)
        assert len({values[0] for name, values in results.items() if "test_" in name}) == 5

    def test_meta_model_under_another_key(self, data):
        sklearn.set_config(enable_metadata_routing=True)
        scorer = ClosedFormTC(hessian=1.0).set_score_request(meta_model="benchmark")
        params = {"eras": data["eras"], "benchmark": data["meta_model"]}
        cv = PurgedEraKFold(3, purge=0)
        found = cross_validate(Ridge(), data["X"], data["y"], scoring=scorer, params=params, cv=cv)
        params = {"eras": data["eras"], "meta_model": data["meta_model"]}
        expected = cross_validate(
            Ridge(),
            data["X"],
            data["y"],
            scoring=ClosedFormTC(hessian=1.0),
            params=params,
            cv=cv,
        )
        np.testing.assert_array_equal(found["test_score"], expected["test_score"])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s)), clone])
def test_copies(data, copied):
    scorer = ClosedFormTC("scaled", optimizer=LIMITED, aggregate="sharpe")
    scorer.set_score_request(meta_model="benchmark")
    other = copied(scorer) if copied is not clone else clone(scorer, safe=False)
    assert repr(other) == repr(scorer)
    assert score(other, data, **risk_of(data)) == score(scorer, data, **risk_of(data))
    assert other.get_metadata_routing().score.requests["meta_model"] == "benchmark"


def test_repr():
    assert repr(ClosedFormTC()) == "ClosedFormTC('current', PortfolioOptimizer(), aggregate='mean')"
    assert repr(ClosedFormTC("aligned", hessian={"0001": 1.0}, aggregate=np.median)) == (
        "ClosedFormTC('aligned', dict, aggregate=median)"
    )


# --- gradients are kept ---------------------------------------------------------------------------


@pytest.fixture
def computed(monkeypatch):
    """The meta models whose gradient was computed."""
    calls = []
    original = module.closed_form_gradient

    def spy(meta_model, *args):
        calls.append(meta_model)
        return original(meta_model, *args)

    monkeypatch.setattr(module, "closed_form_gradient", spy)
    return calls


class TestCache:
    def test_one_gradient_per_era_for_all_candidates(self, data, computed):
        scorer = ClosedFormTC("current", optimizer=LIMITED)
        rng = np.random.default_rng(0)
        for prediction in rng.normal(size=(3, N_ERAS * N)):
            found = score(scorer, data, prediction, **risk_of(data))
            expected = per_era(
                {**data, "predictions": prediction}, LIMITED, "current", **risk_of(data)
            ).mean()
            assert found == pytest.approx(expected, rel=1e-9)
        assert len(computed) == N_ERAS
        score(pickle.loads(pickle.dumps(scorer)), data, **risk_of(data))
        assert len(computed) == N_ERAS

    def test_an_era_that_is_new_is_computed_alone(self, data, computed):
        scorer = ClosedFormTC("aligned", hessian=2.0)
        score(scorer, data)
        changed = data["meta_model"].copy()
        changed[data["eras"] == "0003"] += 1.0
        score(scorer, data, meta_model=changed)
        assert len(computed) == N_ERAS + 1
        np.testing.assert_array_equal(computed[-1], changed[data["eras"] == "0003"])

    @pytest.mark.parametrize(
        "other",
        [
            ClosedFormTC("aligned", hessian=2.0),
            ClosedFormTC("scaled", hessian=3.0),
            ClosedFormTC("scaled", hessian=np.linspace(1.0, 2.0, N_ERAS * N)),
            ClosedFormTC("scaled", optimizer=PortfolioOptimizer(risk_aversion=2.0)),
            ClosedFormTC("scaled", optimizer=PortfolioOptimizer(risk_aversion=2.0, budget=None)),
        ],
        ids=repr,
    )
    def test_other_scorers_do_not_read_it(self, data, computed, other):
        score(ClosedFormTC("scaled", hessian=2.0), data)
        found = score(other, data)
        assert len(computed) == 2 * N_ERAS
        GRADIENTS.clear()
        assert score(other, data) == found

    def test_fitted_optimizers_with_equal_weights(self, data):
        """The same portfolio, and another derivative there."""
        optimizer = PortfolioOptimizer()
        for variance in (1.0, 4.0):
            fitted = clone(optimizer).fit(np.zeros(N), specific_variance=variance)
            expected = per_era(data, fitted, "aligned").mean()
            found = score(ClosedFormTC("aligned", optimizer=fitted), data)
            assert found == pytest.approx(expected, rel=1e-12)

    def test_operators_are_never_kept(self, data, computed):
        scorer = ClosedFormTC("aligned", hessian=aslinearoperator(2.0 * np.eye(N)))
        for _ in range(2):
            score(scorer, data)
        assert len(computed) == 2 * N_ERAS


# --- errors ---------------------------------------------------------------------------------------


class TestErrors:
    def test_eras_are_required(self, data):
        with pytest.raises(MissingErasError, match=r"ClosedFormTC\('current'.*got no eras"):
            score(ClosedFormTC(), data, eras=None)

    def test_meta_model_is_required(self, data):
        with pytest.raises(ValueError, match="needs 'meta_model': pass it next to the eras"):
            score(ClosedFormTC(), data, meta_model=None)
        two = np.column_stack([data["meta_model"], data["meta_model"]])
        with pytest.raises(ValueError, match="meta_model must hold one column; found 2"):
            score(ClosedFormTC(), data, meta_model=two)
        with pytest.raises(ValueError, match="meta_model has 119 rows"):
            score(ClosedFormTC(), data, meta_model=data["meta_model"][1:], returns=data["y"][1:])

    def test_ids_in_another_order(self, data):
        model = pd.Series(data["meta_model"])
        with pytest.raises(ValueError, match="indexes of meta_model and returns share"):
            score(ClosedFormTC(), data, meta_model=model, returns=model.iloc[::-1])
        X = pd.DataFrame(data["X"])
        with pytest.raises(ValueError, match="indexes of X and meta_model share 120 of 120"):
            score(ClosedFormTC(), {**data, "X": X.iloc[::-1]}, meta_model=model)

    def test_neither_y_nor_returns(self, data):
        with pytest.raises(ValueError, match=r"ClosedFormTC\(.* needs y, or returns next to the"):
            score(ClosedFormTC(), {**data, "y": None})

    def test_values_that_are_not_finite(self, data):
        returns = data["y"].copy()
        returns[7] = np.inf
        with pytest.raises(
            ValueError, match=f"In era {data['eras'][7]}: returns contains 1 infinite"
        ):
            score(ClosedFormTC(hessian=1.0), data, returns=returns)
        with pytest.raises(ValueError, match="predictions contains 120 NaN"):
            score(ClosedFormTC(hessian=1.0), data, np.full(N_ERAS * N, np.nan))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_meta_model_that_is_not_finite(self, data, value):
        model = data["meta_model"].copy()
        model[7] = value
        message = f"In era {data['eras'][7]}: meta_model contains 1 .* at row 7"
        with pytest.raises(ValueError, match=message):
            score(ClosedFormTC(hessian=1.0), data, meta_model=model)

    @pytest.mark.parametrize("form", NORMALIZED)
    def test_zero_meta_model(self, data, form):
        model = np.where(data["eras"] == "0004", 0.0, data["meta_model"])
        with pytest.raises(ValueError, match="In era 0004: meta_model is zero for all stocks"):
            score(ClosedFormTC(form, hessian=1.0), data, meta_model=model)

    def test_hessians(self, data):
        hessians = {f"{era:04d}": 1.0 for era in range(1, N_ERAS)}
        with pytest.raises(ValueError, match=r"no entry for 1 of 6 eras, first 0006; key it"):
            score(ClosedFormTC(hessian=hessians), data)
        with pytest.raises(ValueError, match=r"In era 0001: hessian has shape \(3, 3\) for 20"):
            score(ClosedFormTC(hessian=np.eye(3)), data)
        with pytest.raises(ValueError, match="In era 0001: hessian is not positive definite"):
            score(ClosedFormTC(hessian=-1.0), data)

    def test_parameters(self):
        with pytest.raises(ValueError, match="form='new'; use one of current, aligned, scaled"):
            ClosedFormTC("new")
        with pytest.raises(ValueError, match="hessian and optimizer were both given"):
            ClosedFormTC(hessian=1.0, optimizer=LIMITED)
        with pytest.raises(ValueError, match="risk_columns names 'beta'"):
            ClosedFormTC(risk_columns={"beta": ["x"]})

    @pytest.mark.parametrize("aggregate", ["std", "max_drawdown", "median", None])
    def test_aggregates_of_which_more_is_not_better(self, aggregate):
        with pytest.raises(
            ValueError, match=f"aggregate={aggregate!r}; use 'mean', 'sharpe' or a callable"
        ):
            ClosedFormTC(aggregate=aggregate)

    @pytest.mark.parametrize("params", [{"optimizer": "newton"}, {"risk_columns": 5}])
    def test_parameters_of_the_wrong_kind(self, params):
        with pytest.raises(TypeError, match=f"{next(iter(params))} must be a .*; found "):
            ClosedFormTC(**params)

    @pytest.mark.parametrize("hessian", [1.0, np.ones(N), np.eye(N), LIMITED], ids=repr)
    def test_risk_data_beside_a_hessian(self, data, hessian):
        """None is asked for, so that those for other scorers do not come here."""
        scorer = ClosedFormTC(hessian=hessian)
        requests = scorer.get_metadata_routing().score.requests
        assert set(requests) == {"eras", "features", "meta_model", "returns"}
        with pytest.raises(TypeError, match="got 'exposures', 'specific_variance' and takes only"):
            score(scorer, data, **risk_of(data))

    def test_risk_data_for_optimizers_of_eras(self, data):
        hessians = {f"{era:04d}": LIMITED if era % 2 else 2.0 for era in range(1, N_ERAS + 1)}
        found = score(ClosedFormTC("aligned", hessian=hessians), data, **risk_of(data))
        expected = per_era(data, hessians, "aligned", **risk_of(data))
        assert found == pytest.approx(expected.mean(), rel=1e-12)
        odd = per_era(data, LIMITED, "aligned", **risk_of(data)).iloc[::2]
        pd.testing.assert_series_equal(expected.iloc[::2], odd)

    def test_unknown_metadata(self, data):
        with pytest.raises(TypeError, match="got 'stakes' and takes only eras, features"):
            score(ClosedFormTC(), data, stakes=np.ones(3))
