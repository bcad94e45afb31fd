"""What the metric computes, and what it refuses; no boosting library is needed."""

import copy
import pickle
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sknumerai.boosting import era_eval_metric
from sknumerai.exceptions import MissingErasError, UnscoredErasWarning
from sknumerai.metrics import get_era_scorer, meta_model_contribution, numerai_corr
from sknumerai.metrics._catalogue import METRICS
from tests.boosting._calls import OF_TRAINING_ROWS, Labelled, evaluate, evaluate_round

LIBRARIES = ("lightgbm", "xgboost", "catboost", "scikit-learn")
KERNELS = [
    name for name, metric in METRICS.items() if metric.kernel is not None and "tb200" not in name
]
N_ERAS, N_STOCKS = 5, 60
N = N_ERAS * N_STOCKS


def make_tables():
    rng = np.random.default_rng(0)
    order = rng.permutation(N)
    made = {
        "eras": np.repeat([f"{era:04d}" for era in range(1, N_ERAS + 1)], N_STOCKS),
        "y_true": rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], N),
        "y_pred": np.round(rng.normal(size=N), 2),
        "features": rng.integers(0, 5, (N, 4)).astype(np.int8),
        "meta_model": rng.random(N),
        "benchmark": rng.random(N),
        "example_predictions": rng.random(N),
        "neutralizers": rng.normal(size=(N, 2)),
        "sample_weights": rng.uniform(1.0, 2.0, N),
    }
    return {name: values[order] for name, values in made.items()}


TABLES = make_tables()
Y, P, ERAS = TABLES["y_true"], TABLES["y_pred"], TABLES["eras"]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("aggregate", ["mean", "std", "sharpe", "max_drawdown"])
@pytest.mark.parametrize("name", KERNELS)
def test_values_are_those_of_the_metrics(name, aggregate, library):
    metric = METRICS[name]
    metadata = {key: TABLES[key] for key in metric.tables if key not in ("y_true", "y_pred")}
    made = era_eval_metric(name, eras=ERAS, library=library, aggregate=aggregate, **metadata)
    expected = metric.score(TABLES, eras=ERAS, aggregate=aggregate)
    up = not metric.smaller_is_better and aggregate in ("mean", "sharpe")
    assert made.score.greater_is_better == up
    assert made.name.removeprefix("neg_") == (
        name if aggregate == "mean" else f"{name}_{aggregate}"
    )
    assert made.name.startswith("neg_") == (library == "xgboost" and up)
    sign = {"xgboost": -1.0 if up else 1.0, "scikit-learn": 1.0 if up else -1.0}.get(library, 1.0)
    for predictions in (P, 1.0 + P, P):  # again and again
        value = evaluate_round(made, library, Y, predictions)
        np.testing.assert_allclose(value, sign * expected, rtol=1e-9)


def test_what_libraries_ask_for():
    made = era_eval_metric("numerai_corr", eras=ERAS)
    name, value, up = made(Y, P)
    assert (name, up) == ("numerai_corr", True)
    assert made(P, Labelled(Y)) == (name, value, up)  # lightgbm.train
    made = era_eval_metric("numerai_corr", eras=ERAS, library="xgboost")
    assert made(Y, P) == made(Y, P, sample_weight=np.ones(N)) == -value
    assert made(P, Labelled(Y)) == ("neg_numerai_corr", -value)  # xgboost.train
    assert made.__name__ == "neg_numerai_corr"
    made = era_eval_metric("numerai_corr", eras=ERAS, y_true=Y, library="catboost")
    assert type(made).__name__ == "numerai_corr"
    assert made.is_max_optimal()
    assert made.evaluate((P,), Y, None) == (value, 1.0)


@pytest.mark.parametrize("container", [np.asarray, list, pd.Series, pd.Categorical, pl.Series])
def test_containers(container):
    expected = numerai_corr(Y, P, eras=ERAS)
    for eras in (container(ERAS), [container(ERAS)], {"valid": container(ERAS)}):
        made = era_eval_metric("numerai_corr", eras=eras)
        assert made(Y, P)[1] == pytest.approx(expected, rel=1e-9)
    pairs = [("a", era) for era in ERAS]  # labels may be tuples
    assert era_eval_metric("numerai_corr", eras=pairs)(Y, P)[1] == pytest.approx(expected)


def test_targets_that_are_given_keep_their_precision():
    targets = np.random.default_rng(1).normal(size=N)
    targets[ERAS == "0001"] = 1.0 + 1e-9 * targets[ERAS == "0001"]  # equal in single precision
    given = era_eval_metric("numerai_corr", eras=ERAS, y_true=targets)
    expected = numerai_corr(targets, P, eras=ERAS)
    assert given(targets.astype(np.float32), P)[1] == pytest.approx(expected, rel=1e-9)
    assert era_eval_metric("numerai_corr", eras=ERAS)(targets.astype("f4"), P)[1] == -np.inf


def hit_rate(y_true, y_pred):
    return np.mean((y_true > 0.5) == (y_pred > np.median(y_pred)))


def worst_era(scores):
    assert scores.index.tolist() == sorted(scores.index)
    return scores.min()


def test_functions_of_ones_own():
    by_era = [hit_rate(Y[rows], P[rows]) for rows in (np.unique(ERAS)[:, None] == ERAS)]

    def value(score, **arguments):
        return era_eval_metric(score, eras=ERAS, **arguments)(Y, P)

    assert value(hit_rate) == ("hit_rate", pytest.approx(np.mean(by_era)), True)
    assert value(hit_rate, greater_is_better=False)[2] is False
    assert value(hit_rate, aggregate="std") == (
        "hit_rate_std",
        pytest.approx(np.std(by_era)),
        False,
    )
    assert value(hit_rate, aggregate=worst_era)[:2] == ("hit_rate_worst_era", min(by_era))
    corr = numerai_corr(Y, P, eras=ERAS, aggregate=None)
    assert value("numerai_corr", aggregate=worst_era)[1] == pytest.approx(corr.min())
    part, mmc = (
        partial(meta_model_contribution, top_bottom=10),
        {"meta_model": TABLES["meta_model"]},
    )
    assert value(part, **mmc)[1] == pytest.approx(part(Y, P, eras=ERAS, **mmc))


def test_public_functions_are_known():
    made = era_eval_metric(numerai_corr, eras=ERAS)
    assert made.score.metric is METRICS["numerai_corr"]
    made = era_eval_metric(meta_model_contribution, eras=ERAS, meta_model=P)
    assert made.score.metric is METRICS["mmc"]


def test_xgboost_maximizes_what_has_certain_names():
    def mapped_error(y_true, y_pred):
        return 1.0

    made = era_eval_metric(mapped_error, eras=ERAS, library="xgboost", greater_is_better=False)
    assert made.__name__ == "era_mapped_error"


@pytest.mark.parametrize("score", ["numerai_corr", hit_rate])
@pytest.mark.parametrize("library", LIBRARIES)
def test_no_score_is_the_worst_score(library, score):
    def nothing(y_true, y_pred):
        return np.nan if np.ptp(y_pred) == 0.0 else 1.0

    nothing = score if score == "numerai_corr" else nothing
    made = era_eval_metric(nothing, eras=ERAS, library=library)
    constant = np.where(ERAS == "0002", 0.5, P)
    worst = {"xgboost": np.inf, "catboost": -1e30}.get(library, -np.inf)
    assert evaluate_round(made, library, Y, constant) == worst
    assert abs(evaluate_round(made, library, Y, P)) <= 1.0


def split_rows(n_first):
    return slice(0, n_first), slice(n_first, N)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("n_first", [100, N // 2])
def test_evaluation_sets_are_told_apart(library, n_first):
    rows = dict(zip(("first", "second"), split_rows(n_first), strict=True))
    tables = {
        name: {key: TABLES[name][part] for key, part in rows.items()}
        for name in ("eras", "y_true", "meta_model")
    }
    if n_first == 100:  # their lengths suffice
        del tables["y_true"]
    made = era_eval_metric("mmc", library=library, **tables)
    as_lists = {name: list(parts.values()) for name, parts in tables.items()}
    listed = era_eval_metric("mmc", library=library, **as_lists)
    sign = -1.0 if library == "xgboost" else 1.0
    for key in ("second", "first", "second"):
        part = rows[key]
        expected = meta_model_contribution(
            Y[part], P[part], meta_model=TABLES["meta_model"][part], eras=ERAS[part]
        )
        targets = Y[part].astype(np.float32)
        for metric in (made, listed):
            value = evaluate_round(metric, library, targets, P[part])
            assert value == pytest.approx(sign * expected, rel=1e-9)


@pytest.mark.parametrize(("library", "nothing"), [("catboost", 0.0), ("scikit-learn", np.nan)])
def test_rows_of_the_training_have_no_score(library, nothing):
    made = era_eval_metric("numerai_corr", eras=ERAS, library=library)
    training = np.arange(70.0)
    for _ in range(3):
        np.testing.assert_equal(evaluate(made, library, training, training), nothing)
        assert abs(evaluate(made, library, Y, P)) < 1.0
    np.testing.assert_equal(evaluate(made, library, training, training), nothing)
    with pytest.raises(ValueError, match="The library evaluates 50 rows, and eras has labels of 3"):
        evaluate(made, library, Y[:50], P[:50])  # an evaluation set without eras
    evaluate(made, library, training, training)
    evaluate(made, library, Y, P)


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_targets_are_refused(library):
    given = era_eval_metric("numerai_corr", eras=ERAS, y_true=Y, library=library)
    first = era_eval_metric("numerai_corr", eras=ERAS, library=library)
    evaluate_round(first, library, Y, P)
    for made, message in ((given, "that are not the y_true of the"), (first, "than before for")):
        if made is given and library in OF_TRAINING_ROWS:  # rows of the training, perhaps
            evaluate(made, library, Y[::-1], P)
        with pytest.raises(ValueError, match=f"The library evaluates .*{message}"):
            evaluate(made, library, Y[::-1], P)
        evaluate(made, library, Y, P)


@pytest.mark.parametrize("library", OF_TRAINING_ROWS)
def test_as_many_training_rows_as_eras_are_not_scored_by_these(library):
    made = era_eval_metric("numerai_corr", eras=ERAS, library=library)
    for targets in (Y[::-1], Y[::-1], Y):  # it cannot know which of them these are
        with pytest.raises(ValueError, match=r"the first targets are 300, as many .* y_true="):
            evaluate(made, library, targets, P)
    made = era_eval_metric("numerai_corr", eras=ERAS, y_true=Y, library=library)
    expected = numerai_corr(Y, P, eras=ERAS)
    for _ in range(2):
        assert not evaluate(made, library, Y[::-1], P) > 0.0  # 0 or NaN: training rows
        assert evaluate(made, library, Y, P) == pytest.approx(expected, rel=1e-9)


MISSING = np.where(np.arange(N) % 10 == 0, np.nan, Y)


@pytest.mark.parametrize("handed", [np.nan_to_num(MISSING), MISSING])
def test_rows_without_target_are_left_out(handed):
    handed = handed.astype(np.float32)
    made = era_eval_metric("numerai_corr", eras=ERAS, y_true=MISSING)
    expected = numerai_corr(MISSING, P, eras=ERAS)
    for _ in range(2):
        assert made(handed, P)[1] == pytest.approx(expected, rel=1e-9)
    for row, target in ((0, 0.5), (1, 0.3)):  # of which the first has none
        other = handed.copy()
        other[row] = target
        with pytest.raises(ValueError, match="evaluates targets that are not the y_true"):
            made(other, P)
    alike = [MISSING, np.nan_to_num(MISSING)]  # LightGBM hands over the same of both
    with pytest.raises(ValueError, match="0 and evaluation set 1 have the same targets"):
        era_eval_metric("numerai_corr", eras=[ERAS, ERAS], y_true=alike)
    made = era_eval_metric("numerai_corr", eras=ERAS)
    for _ in range(2):
        value = made(handed, P)[1]
    assert value == pytest.approx(numerai_corr(handed, P, eras=ERAS), rel=1e-9)


@pytest.mark.parametrize("score", ["numerai_corr", partial(numerai_corr, top_bottom=10)])
def test_eras_without_target_are_left_out(score):
    targets = np.where(ERAS == "0002", np.nan, Y)
    handed = np.nan_to_num(targets).astype(np.float32)
    made = era_eval_metric(score, eras=ERAS, y_true=targets)
    plain = numerai_corr if score == "numerai_corr" else score
    scored = ERAS != "0002"
    expected = plain(Y[scored], P[scored], eras=ERAS[scored])
    with pytest.warns(UnscoredErasWarning, match=r"In 1 era \(0002\) no row has a target") as said:
        value = made(handed, P)[1]
    assert len(said) == 1
    assert value == made(handed, P)[1] == pytest.approx(expected, rel=1e-9)
    nothing = era_eval_metric(score, eras=ERAS, y_true=np.full(N, np.nan))
    with (
        pytest.warns(UnscoredErasWarning, match="In 5 eras"),
        pytest.raises(ValueError, match="None of the 5 eras can be scored: in all of them no row"),
    ):
        nothing(np.zeros(N, np.float32), P)
    made = era_eval_metric(score, eras=ERAS)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"All targets are 0 in 1 of 5 .* pass y_true=\.\.\."):
            made(handed, P)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_all_rows_need_eras(library):
    made = era_eval_metric("numerai_corr", eras=[ERAS[:100], ERAS[100:]], library=library)
    with pytest.raises(ValueError, match="evaluates 300 rows, and eras has labels of 100 and 200"):
        evaluate(made, library, Y, P)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
@pytest.mark.parametrize("library", LIBRARIES)
def test_copies(library, duplicate):
    made = era_eval_metric(
        "fnc", eras=pd.Series(ERAS), features=pd.DataFrame(TABLES["features"]), library=library
    )
    expected = evaluate_round(made, library, Y, P)
    copied = duplicate(made)
    assert repr(copied) == repr(made)
    if copied is made:  # CatBoost
        assert library == "catboost"
        return
    assert type(copied).__name__ == type(made).__name__
    other = evaluate_round(copied, library, Y[::-1], P)  # it has seen no targets yet
    assert other != expected
    assert evaluate_round(duplicate(copied), library, Y, P) == expected
    assert evaluate_round(made, library, Y, P) == expected


def test_predictions_must_be_finite_and_one_column():
    made = era_eval_metric("numerai_corr", eras=ERAS)
    with pytest.raises(ValueError, match=r"2 of 300 predictions .* first at row 7; lower the"):
        made(Y, np.where(np.isin(np.arange(N), (7, 9)), np.nan, P))
    with pytest.raises(ValueError, match=r"y_pred has shape \(300, 2\) for the 300 rows"):
        made(Y, np.column_stack([P, P]))
    with pytest.raises(ValueError, match="CatBoost predicts 2 columns"):
        era_eval_metric("numerai_corr", eras=ERAS, library="catboost").evaluate((P, P), Y, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"library": "sklearn"}, "library is 'sklearn'; pass one of lightgbm, xgboost"),
        ({"score": "numerai_cor"}, "score is 'numerai_cor'.* did you mean 'numerai_corr'"),
        ({"score": "numerai_corr_sharpe"}, "An aggregate is an argument of its own"),
        ({"score": "churn"}, "which is no metric of one era's predictions"),
        ({"score": get_era_scorer("mmc")}, "score is the scorer EraScorer"),
        ({"score": 3}, "score is 3; pass the name of a metric or a function"),
        ({"aggregate": "median"}, "aggregate is 'median'; pass a function .* or one of mean"),
        ({"aggregate": None}, "aggregate is None"),
        ({"aggregate": "std", "greater_is_better": True}, "greater_is_better=True with aggregate"),
        ({"greater_is_better": "no"}, "greater_is_better is 'no'; pass True, False or None"),
        ({"greater_is_better": 1}, "greater_is_better is 1; pass True, False or None"),
        ({"features": P}, "'numerai_corr' takes no table 'features'; it takes none besides"),
        ({"score": "mmc"}, "'mmc' needs meta_model; pass meta_model=..., of the rows of the eval"),
        ({"score": "mmc", "meta_model": P[1:]}, "meta_model has 299 rows and eras has 300, of the"),
        ({"score": "mmc", "meta_model": np.ones((N, 2))}, "meta_model must hold one column"),
        ({"score": hit_rate, "features": P}, "'hit_rate' takes no table 'features'"),
        ({"score": lambda y_true, y_pred, features=None: 1.0}, "needs features; pass features"),
        ({"eras": "0001"}, "eras of the evaluation set is '0001'; pass an array"),
        ({"eras": {}}, "eras is empty; pass the labels of at least one"),
        ({"eras": {"a": "0001"}}, "eras of evaluation set 'a' is '0001'"),
        ({"eras": [ERAS, ERAS]}, "Evaluation set 0 and evaluation set 1 have 300 rows each"),
        ({"eras": [ERAS, ERAS], "y_true": [Y, Y]}, "0 and evaluation set 1 have the same targets"),
        ({"eras": [ERAS, ERAS], "y_true": Y}, "eras is a list of 2 evaluation sets and y_true is"),
        ({"eras": {"a": ERAS}, "y_true": {"b": Y}}, "eras is a dict of 1 evaluation sets and y_tr"),
        ({"y_true": pd.Series(Y), "eras": pd.Series(ERAS)[::-1]}, "The indexes of eras and y_true"),
        ({"eras": np.where(ERAS == "0001", None, ERAS)}, "60 of 300 eras are missing"),
        ({"eras": np.ones((N, 1))}, r"eras of the evaluation set is of shape \(300, 1\); pass"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        era_eval_metric(**({"score": "numerai_corr", "eras": ERAS} | arguments))


def test_values_are_checked_when_they_are_needed():
    made = era_eval_metric("mmc", eras=ERAS, meta_model=np.full(N, np.nan))
    with pytest.raises(ValueError, match=r"In era \d+: meta_model contains 60 NaN of 60 values"):
        made(Y, P)


def test_missing_eras():
    with pytest.raises(MissingErasError, match="eras is None; pass the era of every row of the"):
        era_eval_metric("numerai_corr", eras=None)
