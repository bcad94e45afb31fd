"""Bad input gets one sentence that names the argument, what was found, and what to do."""

from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from sknumerai.contribution import true_contribution
from sknumerai.exceptions import MissingErasError
from sknumerai.metrics import (
    alpha,
    churn,
    corr_with,
    era_table,
    feature_neutral_corr,
    max_feature_exposure,
    meta_model_contribution,
    numerai_corr,
    score_summary,
)
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import (
    ExposureClipper,
    FeatureNeutralizer,
    NeutralizedRegressor,
    clip_exposure,
    neutralize,
)
from sknumerai.portfolio import PortfolioOptimizer

N = 60
rng = np.random.default_rng(0)
F, P, Y = rng.normal(size=(N, 4)), rng.normal(size=N), rng.normal(size=N)
E = np.repeat([1, 2, 3], 20)
FRAME = pd.DataFrame(F, columns=list("abcd"))
MIXED = pd.DataFrame({"p": P, "feature_a": F[:, 0], "feature_b": F[:, 1]})
IDS = [str(i) for i in range(20)] * 3


def corr(**changed):
    return lambda: numerai_corr(**({"y_true": Y, "y_pred": P} | changed))


def transform(X=MIXED, **parameters):
    return lambda: FeatureNeutralizer(**parameters).fit_transform(X)


def clip(*arguments, **options):
    return lambda: clip_exposure(P, FRAME, *arguments, **options)


def first(y_true, y_pred, eras):
    return numerai_corr(y_true, y_pred, eras=eras, aggregate=None)


def contributions(**changed):
    arguments = {
        "user_predictions": FRAME,
        "stakes": [1.0, 2.0, 3.0, 4.0],
        "returns": Y,
        "optimizer": PortfolioOptimizer(),
        "n_rounds": 1,
        "dropout": 0.0,
    }
    return lambda: true_contribution(**(arguments | changed))


CASES = {
    # what is no table
    "target None": (corr(y_true=None), "y_true is None; pass"),
    "prediction None": (corr(y_pred=None), "y_pred is None; pass"),
    "a number": (corr(y_pred=3.0), "y_pred is a float; pass an array"),
    "a dict": (corr(y_pred={"a": 1}), "y_pred is a dict; pass an array"),
    "a generator": (corr(y_pred=(p for p in P)), "y_pred is a generator; pass an array"),
    "a lazy frame": (corr(y_pred=pl.DataFrame({"p": P}).lazy()), "LazyFrame; collect it first"),
    "sparse features": (lambda: neutralize(P, csr_array(F)), "features is a csr_array; pass it as"),
    "three dimensions": (corr(y_pred=np.zeros((2, 3, 4))), r"two-dimensional; found shape \(2, 3"),
    # eras that are none
    "eras NaN": (corr(eras=np.nan), "eras is nan; pass one label per row"),
    "eras NaT": (corr(eras=pd.NaT), "eras is NaT; pass one label per row"),
    "masked eras": (corr(eras=np.ma.masked_greater(E, 2)), "eras is a masked array, whose mask"),
    "a frame of eras": (corr(eras=pd.DataFrame({"era": E})), "found a DataFrame of shape"),
    # names of features
    "a group of text": (
        lambda: clip_exposure(P, FRAME, {"all": 0.1}, feature_groups={"all": "abcd"}),
        r"feature_groups\['all'\] is a str; pass a list of names",
    ),
    "a slice of names": (
        transform(MIXED, feature_columns=slice("a", "b")),
        "no slice of positions",
    ),
    "nested names": (
        transform(MIXED, feature_columns=[["feature_a"], ["feature_b"]]),
        "feature_columns holds .* pass a flat list",
    ),
    "proportion of text": (lambda: neutralize(P, F, proportion=np.array("a")), "proportion"),
    # what is no estimator
    "no regressor": (
        lambda: NeutralizedRegressor(3, FeatureNeutralizer()).fit(FRAME, Y, eras=E),
        "regressor is 3; pass an estimator",
    ),
    "no transformer": (
        lambda: NeutralizedRegressor(LinearRegression(), "clip").fit(FRAME, Y, eras=E),
        "transformer is 'clip'; pass an estimator",
    ),
    "a transformer to predict": (
        lambda: era_cross_val_predict(StandardScaler(), FRAME, Y, eras=E, cv=PurgedEraKFold(2)),
        "cannot predict; pass a regressor",
    ),
    "params as a list": (
        lambda: era_cross_val_predict(
            LinearRegression(), FRAME, Y, eras=E, cv=PurgedEraKFold(2), params=["a"]
        ),
        "params is .*; pass a dict of metadata",
    ),
    # what is no number
    "datetimes": (
        corr(y_true=np.arange(N).astype("datetime64[D]")),
        "real numbers; found dtype da",
    ),
    "a Series of datetimes": (
        corr(y_true=pd.Series(pd.date_range("2020", periods=N))),
        "y_true is not numeric",
    ),
    "complex": (corr(y_true=Y + 1j), "y_true must hold real numbers; found dtype complex128"),
    "text": (corr(y_true=list(map(str, Y))), "y_true must hold real numbers"),
    "objects": (corr(y_true=[object()] * N), "y_true must hold numbers; found other objects"),
    "masked target": (corr(y_true=np.ma.masked_greater(Y, 1)), "y_true is a masked array"),
    "masked prediction": (corr(y_pred=np.ma.masked_greater(P, 1)), "y_pred is a masked array"),
    "masked features": (
        lambda: neutralize(P, np.ma.masked_greater(F, 1)),
        "features is a masked array",
    ),
    "infinite target": (corr(y_true=np.where(Y > 1, np.inf, Y)), "y_true contains .* infinite"),
    "NaN prediction": (corr(y_pred=np.where(P > 1, np.nan, P)), "y_pred contains .* NaN of 60"),
    "NaN features": (lambda: neutralize(P, np.where(F > 1, np.nan, F)), "features contains .* NaN"),
    "sparse columns": (
        lambda: neutralize(P, FRAME.astype(pd.SparseDtype(float))),
        r"Column 'a' of features is not numeric \(dtype Sparse.* convert it to dense numbers",
    ),
    "integers for names": (
        lambda: neutralize(P, pd.DataFrame({0: F[:, 0], 1: ["a"] * N})),
        "Column 1 of features is not numeric",
    ),
    "text features": (
        lambda: neutralize(P, FRAME.assign(sector="tech")),
        "Column 'sector' of features is not numeric",
    ),
    "most targets missing": (corr(y_true=np.where(Y > -1, np.nan, Y)), "targets are missing, and"),
    # rows
    "no rows, no eras": (corr(y_true=[], y_pred=[]), "0 sample|no rows"),
    "no rows, eras": (corr(y_true=[], y_pred=[], eras=[]), "There are no rows; pass at least one"),
    "no rows to neutralize": (
        lambda: neutralize(np.zeros(0), np.zeros((0, 3)), eras=[]),
        "There are no rows",
    ),
    "no rows to clip": (
        lambda: clip_exposure(np.zeros((0, 2)), np.zeros((0, 3)), eras=[]),
        "There are no rows",
    ),
    "fewer targets": (corr(y_true=Y[1:]), "y_true has 59 rows and y_pred has 60"),
    "fewer features": (lambda: neutralize(P, F[1:]), "features has 59 rows and predictions has 60"),
    # columns
    "no features": (lambda: neutralize(P, np.empty((N, 0))), "features has no columns"),
    "no features to clip": (lambda: clip_exposure(P, np.empty((N, 0))), "features has no columns"),
    "no features for FNC": (
        lambda: feature_neutral_corr(Y, P, features=np.empty((N, 0))),
        "features has no columns",
    ),
    "predictions of one name": (
        lambda: neutralize(pd.DataFrame({"a": P, "b": P}).set_axis(["a", "a"], axis=1), F),
        "predictions has 1 columns with a name that another column has, first 'a'",
    ),
    "features of one name": (
        lambda: neutralize(P, FRAME.set_axis(list("aacd"), axis=1)),
        "features has 1 columns with a name that another column has, first 'a'",
    ),
    "X with columns of one name": (
        transform(MIXED.set_axis(["p", "feature", "feature"], axis=1)),
        "X has 1 columns with a name",
    ),
    "no regular expression": (
        transform(feature_columns="("),
        r"is no regular expression \(missing",
    ),
    "nothing matches": (transform(feature_columns="^z"), "selects no column of X"),
    "callable returns None": (
        transform(feature_columns=lambda names: None),
        "is a callable that returned None; return a list",
    ),
    "callable returns text": (
        transform(feature_columns=lambda names: "feature_a"),
        "is a callable that returned 'feature_a'",
    ),
    "unknown name": (transform(feature_columns=["b"]), "feature_columns names 'b', which X"),
    "position in a frame of numbers": (
        transform(MIXED.set_axis([5, 4, 3], axis=1), feature_columns=[0]),
        "names 0, which X .* does not hold; its names are numbers",
    ),
    "a name twice": (transform(feature_columns=["feature_a"] * 2), "names a column twice"),
    "short mask": (transform(feature_columns=[True, False]), "is a mask of 2 for the 3 columns"),
    "long mask": (transform(feature_columns=[True] * 4), "is a mask of 4 for the 3 columns"),
    "names for an array": (transform(F, feature_columns="a"), "is an array, whose columns have no"),
    "an array without choice": (transform(F), "is an array, whose columns have no names"),
    # eras
    "too few eras": (corr(eras=E[1:]), "eras has 59 labels for 60 rows"),
    "missing eras": (corr(eras=[np.nan] * N), "60 of 60 eras are missing, first at row 0"),
    "a table of eras": (corr(eras=np.zeros((N, 1))), "eras must be one-dimensional"),
    "dicts for eras": (corr(eras=[{1: 2}] * N), "eras must be hashable labels"),
    "eras without order": (
        corr(eras=["spring"] * 30 + ["autumn"] * 30, aggregate=None),
        "have no known order",
    ),
    "no such day": (
        corr(eras=["2020-13-45"] * 30 + ["2020-01-01"] * 30, aggregate=None),
        "Eras such as '2020-13-45' have no known order",
    ),
    "some time zones, as text": (
        corr(eras=["2020-01-01T00:00+01:00"] * 30 + ["2020-01-02"] * 30, aggregate=None),
        "Some eras have a time zone and others have none",
    ),
    "some time zones": (
        corr(
            eras=[pd.Timestamp("2020-01-01", tz="UTC")] * 30 + [pd.Timestamp("2020-01-02")] * 30,
            aggregate=None,
        ),
        "Some eras have a time zone and others have none",
    ),
    "churn without eras": (lambda: churn(P, ids=IDS, eras=None), "eras is None; pass one era per"),
    "churn of one era": (lambda: churn(P, ids=range(N), eras=[1] * N), "There is only one era"),
    "table without eras": (
        lambda: era_table(Y, P, eras=None),
        "eras is None; pass one era per row",
    ),
    # ids
    "an id is NaN": (
        lambda: churn(P, ids=[np.nan, *IDS[1:]], eras=E),
        "1 of 60 ids are missing, f",
    ),
    "an id is None": (lambda: churn(P, ids=[None, *IDS[1:]], eras=E), "1 of 60 ids are missing"),
    "an id twice": (lambda: churn(P, ids=[IDS[1], *IDS[1:]], eras=E), "ids occur more than once"),
    "too few ids": (lambda: churn(P, ids=IDS[1:], eras=E), "ids has 59 rows and y_pred has 60"),
    # parameters
    "share twice": (
        lambda: neutralize(P, F, proportion=[0.5, 0.5]),
        "names a share twice; name each once",
    ),
    "share twice, polars": (
        lambda: neutralize(pl.Series("p", P), F, proportion=[0.5, 0.5]),
        "names a share twice",
    ),
    "no share": (lambda: neutralize(P, F, proportion=[]), r"must hold numbers in \[0, 1\]"),
    "share None": (lambda: neutralize(P, F, proportion=[None]), r"must hold numbers in \[0, 1\]"),
    "share of 2": (lambda: neutralize(P, F, proportion=[2.0]), r"must hold numbers in \[0, 1\]"),
    "share in words": (lambda: neutralize(P, F, proportion="half"), "'proportion' parameter"),
    "share NaN": (lambda: neutralize(P, F, proportion=np.nan), "'proportion' parameter"),
    "unknown scale": (lambda: neutralize(P, F, scale="max"), "'scale' parameter of neutralize"),
    "limits in words": (clip("0.1"), "'max_exposure' parameter"),
    "limits of words": (clip(["a", "b", "c", "d"]), "max_exposure must hold numbers; found"),
    "negative limit": (clip(-0.1), "'max_exposure' parameter"),
    "NaN limit": (clip([0.1, np.nan, 0.1, 0.1]), "max_exposure holds nan"),
    "too few limits": (clip([0.1, 0.1]), r"max_exposure has shape \(2,\) for 4 features"),
    "limit of nothing": (clip({"zz": 0.1}), "max_exposure names 'zz', which is neither"),
    "limit of a dict in words": (clip({"a": "b"}), r"max_exposure\['a'\] must be a number"),
    "a group named like a feature": (
        clip({"a": 0.1}, feature_groups={"a": ["b", "c"]}),
        "feature_groups has a group 'a', which is also the name of a feature",
    ),
    "a group of strangers": (
        clip({"g": 0.1}, feature_groups={"g": ["b", "z"]}),
        r"feature_groups\['g'\] names 'z'",
    ),
    "no tolerance": (clip(0.1, tol=0), "'tol' parameter"),
    "unknown bounds": (clip(0.1, bounds="soft"), "'bounds' parameter"),
    "unknown aggregate": (corr(aggregate="median"), "'aggregate' parameter"),
    "a list of aggregates": (corr(aggregate=["mean"]), "'aggregate' parameter"),
    "half a row": (corr(top_bottom=2.5), "'top_bottom' parameter"),
    "too many rows": (corr(top_bottom=31), "top_bottom=31 needs 62 rows"),
    "no power": (corr(target_power=0), "'target_power' parameter"),
    "unknown method": (lambda: corr_with(P, Y, method="kendall"), "'method' parameter"),
    "clipper's limit in words": (
        lambda: ExposureClipper("0.1").fit(P[:, None], features=F),
        "'max_exposure' parameter of ExposureClipper",
    ),
    # several metrics
    "two metrics of one name": (
        lambda: era_table(Y, P, eras=E, metrics=[first, first]),
        "metrics names 'first' twice; pass a dict",
    ),
    "a metric without name": (
        lambda: era_table(Y, P, eras=E, metrics=[partial(first)]),
        "has no name; pass a dict of names",
    ),
    "no metrics": (lambda: era_table(Y, P, eras=E, metrics=[]), "metrics is empty"),
    "an unknown metric": (lambda: era_table(Y, P, eras=E, metrics=["tc"]), "metrics names 'tc'"),
    "a metric without its table": (
        lambda: era_table(Y, P, eras=E, metrics=["mmc"]),
        "'mmc' needs meta_model; pass meta_model=",
    ),
    "no scores": (lambda: score_summary([]), "per_era holds no scores"),
    "an empty frame": (lambda: score_summary(pd.DataFrame()), "per_era holds no scores"),
    "no columns": (lambda: score_summary(pd.DataFrame(index=[1])), "per_era holds no scores"),
    "scores in words": (lambda: score_summary(["a"]), "per_era must hold numbers"),
    "scores in a cube": (
        lambda: score_summary(np.zeros((2, 2, 2))),
        "one or two dimensions; found 3",
    ),
    "two meta models": (
        lambda: meta_model_contribution(Y, P, meta_model=F),
        "meta_model must hold one column; found 4",
    ),
    "two targets": (corr(y_true=F), "y_true must hold one column; found 4"),
    "no neutralizers": (
        lambda: alpha(Y, P, neutralizers=None, sample_weights=P),
        "neutralizers is None; pass",
    ),
    "features None": (lambda: max_feature_exposure(P, features=None), "features is None; pass"),
    # contributions
    "stakes of strangers": (contributions(stakes={"a": 1, "z": 2}), "stakes .* share|has shape"),
    "too few stakes": (contributions(stakes=[1.0]), r"stakes has shape \(1,\) for 4 users"),
    "negative stakes": (contributions(stakes=[1.0, 2.0, -3.0, 4.0]), "stakes hold 1 values"),
    "stakes in words": (contributions(stakes=list("abcd")), "stakes must be numbers"),
    "no returns": (contributions(returns=None), "returns is None; pass"),
    "unknown risk": (contributions(betas=F), "betas is no risk data; known are"),
    "no covariance": (contributions(factor_covariance=np.eye(2)), "without factor_loadings"),
    "loadings alone": (contributions(factor_loadings=F), "without specific_variance"),
    "no optimizer": (contributions(optimizer=None), "'optimizer' parameter"),
    "no rounds": (contributions(n_rounds=0), "'n_rounds' parameter"),
}


@pytest.mark.parametrize("name", CASES)
def test_is_one_sentence(name):
    call, message = CASES[name]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    assert not isinstance(caught.value, UnicodeError | IndexError | KeyError)


@pytest.mark.parametrize("name", ["churn without eras", "table without eras"])
def test_missing_eras_have_a_class(name):
    with pytest.raises(MissingErasError):
        CASES[name][0]()


def test_what_looks_odd_and_is_right():
    expected = numerai_corr(Y, P, eras=E)
    assert numerai_corr(Y, P, eras=E.astype(np.float16)) == expected
    missing = np.where(np.arange(N) == 3, np.nan, Y)
    with_none = [None if np.isnan(y) else y for y in missing]
    for given in (
        with_none,
        np.array(with_none, dtype=object),
        pd.Series(missing, dtype="Float64"),
    ):
        assert numerai_corr(given, P) == numerai_corr(missing, P)
    by_name = true_contribution_of({"d": 4.0, "a": 1.0, "c": 3.0, "b": 2.0})
    pd.testing.assert_frame_equal(by_name, true_contribution_of([1.0, 2.0, 3.0, 4.0]))


def test_units_of_scores_do_not_matter():
    scores = pd.Series([0.02, -0.01, 0.03, 0.01])
    for unit in (2.0**-900, 2.0**900):
        summary = score_summary(scores * unit)
        assert summary["sharpe"] == score_summary(scores)["sharpe"]
        assert summary["std"] == score_summary(scores)["std"] * unit


def test_identifiers_of_polars():
    ids = [str(i) for i in range(20)] * 3
    expected = churn(P, eras=E, ids=ids, aggregate=None)
    for given in (pl.Series(ids), pd.Series(ids), np.array(ids)):
        pd.testing.assert_series_equal(churn(P, eras=E, ids=given, aggregate=None), expected)


def true_contribution_of(stakes):
    return contributions(stakes=stakes)()


def test_what_is_no_score_has_no_sharpe_ratio():
    table = era_table(Y, P, eras=E, features=F, meta_model=Y + P)
    summary = score_summary(table)
    of_scores = ["sharpe", "smart_sharpe", "max_drawdown", "hit_rate", "payout"]
    assert summary.loc[["max_exposure", "cwmm"], of_scores].isna().all(axis=None)
    assert summary.loc[["numerai_corr", "fnc", "mmc"], of_scores[:-1]].notna().all(axis=None)
    assert summary.loc[["numerai_corr", "mmc"], "payout"].notna().all()
    assert summary["mean"].notna().all()
    assert np.isnan(score_summary(table["max_exposure"])["sharpe"])


def test_a_record_is_one_line():
    _, info = clip_exposure(P, F, 0.1, eras=E, return_info=True)
    assert all(len(repr(record)) < 250 for record in info)
    assert "weights" not in repr(info[0])
    _, by_era = contributions(return_info=True)()
    assert all(len(repr(record)) < 150 for record in by_era.values())


def test_progress_and_jobs(capsys):
    expected = era_table(Y, P, eras=E, features=F)
    found = era_table(Y, P, eras=E, features=F, n_jobs=2, verbose=True)
    pd.testing.assert_frame_equal(found, expected)
    assert "metric" in capsys.readouterr().err
    neutralize(P, F, eras=E, verbose=True)
    clip_exposure(P, F, eras=E, verbose=True)
    assert capsys.readouterr().err.count("3/3") >= 2
