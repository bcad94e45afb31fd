"""What type checkers say about calls, checked by `make lint`; nothing here is ever run.

mypy refuses an assert_type that does not hold, and an ignore where there is nothing to ignore.
"""

from collections.abc import Hashable
from typing import assert_type

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from sknumerai._typing import Array, Column, FloatArray, Frame, Score
from sknumerai.contribution import (
    ContributionInfo,
    adversarial_prediction,
    closed_form_tc,
    true_contribution,
)
from sknumerai.ensemble import blend
from sknumerai.metrics import (
    EraScorer,
    churn,
    era_table,
    feature_neutral_corr,
    get_era_scorer,
    make_era_scorer,
    max_feature_exposure,
    meta_model_contribution,
    neutralized_weights,
    numerai_corr,
    payout_score,
    score_summary,
)
from sknumerai.model_selection import PurgedEraKFold, era_cross_val_predict
from sknumerai.neutralization import (
    ClipRecord,
    FeatureNeutralizer,
    NeutralizedRegressor,
    clip_exposure,
    neutralize,
)
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.preprocessing import rank_by_era

Floats = npt.NDArray[np.float64]


def containers_come_back(
    array: Floats, series: pd.Series, frame: pd.DataFrame, column: pl.Series, table: pl.DataFrame
) -> None:
    assert_type(neutralize(array, frame), FloatArray)
    assert_type(neutralize([0.1, 0.2], frame), FloatArray)
    assert_type(neutralize(series, frame), pd.Series)
    assert_type(neutralize(frame, frame, eras=series, normalize="rank"), pd.DataFrame)
    assert_type(neutralize(column, table), pl.Series)
    assert_type(neutralize(table, table), pl.DataFrame)

    assert_type(neutralize(array, frame, proportion=[0.5, 1.0]), FloatArray)
    assert_type(neutralize(series, frame, proportion=[0.5, 1.0]), pd.DataFrame)
    assert_type(neutralize(frame, frame, proportion=[0.5, 1.0]), pd.DataFrame)
    assert_type(neutralize(column, table, proportion=[0.5, 1.0]), pl.DataFrame)
    assert_type(neutralize(table, table, proportion=[0.5, 1.0]), pl.DataFrame)

    assert_type(clip_exposure(array, array, 0.1), FloatArray)
    assert_type(clip_exposure(series, frame, {"a": 0.1}), pd.Series)
    assert_type(clip_exposure(table, table), pl.DataFrame)
    with_records = clip_exposure(column, table, return_info=True)
    assert_type(with_records, tuple[pl.Series, list[ClipRecord]])

    assert_type(rank_by_era([0.2, 0.1], eras="X"), FloatArray)
    assert_type(rank_by_era(array, eras=series, method="gaussian"), FloatArray)
    assert_type(rank_by_era(series, eras=series, ties="id", ids=series), pd.Series)
    assert_type(rank_by_era(frame, eras=series), pd.DataFrame)
    assert_type(rank_by_era(column, eras=column), pl.Series)
    assert_type(rank_by_era(table, eras=column), pl.DataFrame)

    assert_type(blend([[0.2, 0.1], [0.1, 0.2]], eras="X"), FloatArray)
    assert_type(blend(array, weights=[2, 1], eras=series), FloatArray)
    assert_type(blend(frame, weights=series, eras=series), pd.Series)
    assert_type(blend(table, weights={"a": 0.5, "b": 0.5}, eras=column), Column)
    neutralizer = FeatureNeutralizer(0.5)
    assert_type(blend(frame, eras=series, transformer=neutralizer, features=frame), pd.Series)

    weights = neutralized_weights(series, neutralizers=frame, sample_weights=series)
    assert_type(weights, pd.Series)
    assert_type(adversarial_prediction(array, hessian=1.0), FloatArray)
    assert_type(adversarial_prediction(series, hessian=(series, frame)), pd.Series)


def scores_have_the_dimensions_of_predictions(
    array: Floats, series: pd.Series, frame: pd.DataFrame, column: pl.Series, table: pl.DataFrame
) -> None:
    assert_type(numerai_corr(array, series, eras=series), float)
    assert_type(numerai_corr(column, column, aggregate="sharpe"), float)
    assert_type(numerai_corr(series, series, aggregate=None), pd.Series)
    assert_type(numerai_corr(series, frame), Score)
    assert_type(numerai_corr(column, table), Score)
    assert_type(numerai_corr(array, array), Score)
    assert_type(feature_neutral_corr(series, series, features=frame, top_bottom=200), float)
    assert_type(meta_model_contribution(series, series, meta_model=series), float)
    assert_type(payout_score(series, series, meta_model=series), float)
    assert_type(payout_score(series, series, meta_model=series, aggregate=None), pd.Series)
    assert_type(max_feature_exposure(series, features=frame, aggregate=None), pd.Series)
    assert_type(churn(series, ids=series, eras=series), Score)
    assert_type(era_table(series, frame, eras=series, metrics=["fnc", numerai_corr]), pd.DataFrame)
    assert_type(score_summary(series), pd.Series)
    assert_type(score_summary(frame), pd.DataFrame)
    assert_type(get_era_scorer("fnc"), EraScorer)
    assert_type(make_era_scorer(numerai_corr, top_bottom=200), EraScorer)


def estimators(frame: pd.DataFrame, series: pd.Series, array: Floats) -> None:
    neutralizer = FeatureNeutralizer(0.5).fit(frame, eras=["0001", "0002"])
    assert_type(neutralizer, FeatureNeutralizer)
    assert_type(neutralizer.transform(frame, eras=series), Array | Frame)
    model = NeutralizedRegressor(Constant(), neutralizer)
    assert_type(model.predict(frame, eras="X"), Array)
    splitter = PurgedEraKFold(3)
    predictions = era_cross_val_predict(Constant(), frame, array, eras=series, cv=splitter)
    assert_type(predictions, Array)
    assert_type(PortfolioOptimizer().fit(series).gradient(series), Array)


class Constant:
    """A regressor that owes nothing to scikit-learn's classes."""

    def fit(self, X: pd.DataFrame, y: Floats) -> "Constant":
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        return np.zeros(len(X))


def contributions(frame: pd.DataFrame, series: pd.Series, optimizer: PortfolioOptimizer) -> None:
    table = true_contribution(frame, series, series, optimizer=optimizer, exposures=frame)
    assert_type(table, pd.DataFrame)
    both = true_contribution(frame, series, series, optimizer=optimizer, return_info=True)
    assert_type(both, tuple[pd.DataFrame, dict[Hashable, ContributionInfo]])
    assert_type(closed_form_tc(series, series, series, hessian=1.0), pd.Series)
    assert_type(closed_form_tc(frame, series, series, hessian=optimizer), pd.DataFrame)


def mistakes_are_found(frame: pd.DataFrame, series: pd.Series) -> None:
    neutralize(frame, frame, n_job=2)  # type: ignore[call-overload]
    neutralize(frame, frame, normalize="ranks")  # type: ignore[call-overload]
    numerai_corr(series, series, aggregate="median")  # type: ignore[call-overload]
    FeatureNeutralizer().fit(frame, era=series)  # type: ignore[call-arg]
    closed_form_tc(frame, series, series, hessian=1.0, sector=series)  # type: ignore[call-overload]
    rank_by_era(series)  # type: ignore[call-overload]
    rank_by_era(frame, eras=series, method="rank01")  # type: ignore[call-overload]
    blend(frame, era=series)  # type: ignore[call-overload]
    NeutralizedRegressor("ridge", FeatureNeutralizer())  # type: ignore[arg-type]
