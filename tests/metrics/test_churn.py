from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numerai_tools import scoring, signals

from sknumerai.exceptions import ConstantPredictionWarning, MissingErasError
from sknumerai.metrics import (
    churn,
    neutral_churn,
    neutral_churn_penalty,
    neutralized_weights,
    turnover,
)
from tests.metrics._tournament import convert, make_table, reorder


@pytest.fixture(scope="module")
def table():
    # eras of 90, 97, 104 and 111 stocks of the same 118, so that at least 80 % are shared
    table = make_table(seed=2)
    universe = [f"T{i:03d}" for i in range(118)]
    stocks = pd.Series("", table.stocks.index)
    rng = np.random.default_rng(0)
    for era in sorted(table.eras.unique()):
        rows = table.eras == era
        stocks[rows] = rng.permutation(universe[: int(rows.sum()) + 3])[: int(rows.sum())]
    table.stocks = stocks
    return table


def one_era(table, frame, era):
    rows = table.eras == era
    return frame[rows].set_axis(table.stocks[rows]).sort_index()


def pairs(table):
    labels = sorted(table.eras.unique())
    return list(pairwise(labels))


def call(function, table, **options):
    return function(table.predictions, ids=table.stocks, eras=table.eras, aggregate=None, **options)


@pytest.mark.parametrize("top_bottom", [None, 15])
def test_churn_is_the_official_one(table, top_bottom):
    if top_bottom:  # ties at the cut go by the order of rows, which numerai-tools has sorted
        table = reorder(table, np.argsort(table.stocks))
    scores = call(churn, table, top_bottom=top_bottom)
    assert scores.index.tolist() == ["0002", "0003", "0004"]
    for before, after in pairs(table):
        first, second = (one_era(table, table.predictions, era) for era in (before, after))
        for name in table.predictions:
            expected = signals.churn(first[name], second[name], top_bottom=top_bottom)
            assert scores.loc[after, name] == pytest.approx(expected, abs=1e-9)


def test_neutral_churn_is_the_official_one(table):
    scores = call(neutral_churn, table, features=table.features)
    for before, after in pairs(table):
        first, second = (one_era(table, table.predictions, era) for era in (before, after))
        features = [one_era(table, table.features, era) for era in (before, after)]
        for name in table.predictions:
            expected = signals.neutral_churn(first[name], second[name], *features)
            assert scores.loc[after, name] == pytest.approx(expected, abs=1e-9)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # in numerai-tools
@pytest.mark.parametrize("n_previous", [1, 2])
def test_a_first_submission_is_left_out_where_the_official_churn_is_one(table, n_previous):
    labels = sorted(table.eras.unique())
    frames = {"neutralizer": table.neutralizers, "sample_weight": table.weights}
    era = labels[-1]  # has the 100 stocks that a submission needs
    first = {f"curr_{name}": one_era(table, part, era) for name, part in frames.items()}
    submission = one_era(table, table.predictions["model_0"], era)
    submission = submission.rank(pct=True).rename("signal").rename_axis("numerai_ticker")
    first = {name: part.rename_axis("numerai_ticker") for name, part in first.items()}
    none = {"prev_subs": {}, "prev_neutralizers": {}, "prev_sample_weights": {}}
    assert signals.calculate_max_churn_and_turnover(submission, **first, **none) == (1.0, 1.0)
    assert signals.calculate_mean_neutral_churn(submission, **first, **none) == 1.0
    for function, options in ((churn, {}), (neutral_churn, {"features": table.features})):
        scores = call(function, table, n_previous=n_previous, **options)
        assert scores.index.tolist() == labels[1:]
        assert scores.notna().all(axis=None)
        mean = function(
            table.predictions,
            ids=table.stocks,
            eras=table.eras,
            n_previous=n_previous,
            **options,
        )
        np.testing.assert_allclose(mean, scores.mean(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalize", [False, True])
def test_weights_and_turnover_are_the_official_ones(table, normalize):
    weights = neutralized_weights(
        table.predictions,
        neutralizers=table.neutralizers,
        sample_weights=table.weights,
        eras=table.eras,
        normalize=normalize,
    )
    assert weights.index.equals(table.predictions.index)
    official = {}
    for era in sorted(table.eras.unique()):
        parts = [
            one_era(table, part, era)
            for part in (table.predictions, table.neutralizers, table.weights)
        ]
        official[era] = scoring.generate_neutralized_weights(*parts, center_and_normalize=normalize)
        ours = one_era(table, weights, era)
        np.testing.assert_allclose(ours, official[era], rtol=0, atol=1e-9)
    scores = turnover(weights, ids=table.stocks, eras=table.eras, aggregate=None)
    for before, after in pairs(table):
        for name in table.predictions:
            expected = signals.turnover(official[before][name], official[after][name])
            assert scores.loc[after, name] == pytest.approx(expected, abs=1e-9)


def test_several_preceding_eras(table):
    labels = sorted(table.eras.unique())

    def against(function, era, **options):
        """Scores of one era against each of those before it."""
        values = []
        for before in labels[: labels.index(era)][-2:]:
            rows = table.eras.isin([before, era])
            part = {name: data[rows] for name, data in options.items()}
            values.append(
                function(
                    table.predictions[rows], ids=table.stocks[rows], eras=table.eras[rows], **part
                )
            )
        return pd.DataFrame(values)

    largest = call(churn, table, n_previous=2)
    mean = call(neutral_churn, table, features=table.features, n_previous=2)
    for era in labels[1:]:
        np.testing.assert_allclose(largest.loc[era], against(churn, era).max())
        expected = against(neutral_churn, era, features=table.features).mean()
        np.testing.assert_allclose(mean.loc[era], expected)


def test_row_order_and_container_do_not_matter(table):
    expected = call(churn, table)
    again = reorder(table, np.random.default_rng(1).permutation(len(table.target)))
    np.testing.assert_allclose(call(churn, again), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        call(churn, convert(table, lambda part: part.to_numpy())), expected, rtol=0, atol=1e-12
    )
    one = churn(table.predictions["model_1"], ids=table.stocks, eras=table.eras)
    assert isinstance(one, float)
    assert one == pytest.approx(expected["model_1"].mean())


def test_bounds():
    eras, ids = np.repeat([1, 2], 30), np.tile(np.arange(30), 2)
    same, opposite = np.tile(np.arange(30.0), 2), np.r_[np.arange(30.0), -np.arange(30.0)]
    assert churn(same, ids=ids, eras=eras) == pytest.approx(0.0, abs=1e-12)
    assert churn(opposite, ids=ids, eras=eras) == pytest.approx(2.0)
    assert churn(same, ids=ids, eras=eras, top_bottom=5) == 0.0
    assert churn(opposite, ids=ids, eras=eras, top_bottom=5) == 1.0
    assert turnover(same, ids=ids, eras=eras) == 0.0


@pytest.mark.parametrize("top_bottom", [None, 5])
def test_constant_predictions_are_nan_with_one_warning(top_bottom):
    eras, ids = np.repeat([1, 2, 3], 30), np.tile(np.arange(30), 3)
    values = np.tile(np.arange(30.0), 3)
    values[30:60] = 1.0
    with pytest.warns(ConstantPredictionWarning, match=r"In 2 eras \(2, 3\)") as caught:
        scores = churn(values, ids=ids, eras=eras, top_bottom=top_bottom, aggregate=None)
    assert len(caught) == 1
    assert scores.isna().all()


def test_errors(table):
    given = {"ids": table.stocks, "eras": table.eras}
    with pytest.raises(ValueError, match=r"In era 0002: 0 ids are shared"):
        churn(table.predictions, **given | {"ids": table.stocks.index})
    with pytest.raises(ValueError, match=r"In era 0002: 89 of 90 ids occur more than once"):
        churn(table.predictions, **given | {"ids": ["a"] * len(table.stocks)})
    with pytest.raises(ValueError, match=r"ids occur more than once"):
        churn(table.predictions, **given | {"ids": ["a"] * len(table.stocks)}, top_bottom=5)
    missing = table.stocks.to_numpy(dtype=object, copy=True)
    missing[3] = None
    with pytest.raises(ValueError, match=r"1 of 402 ids are missing, first at row 3"):
        churn(table.predictions, **given | {"ids": missing})
    with pytest.raises(ValueError, match=r"ids has 2 rows and y_pred has 402"):
        churn(table.predictions, **given | {"ids": ["a", "b"]})
    with pytest.raises(ValueError, match=r"only one era"):
        churn(table.predictions, **given | {"eras": "X"})
    with pytest.raises(MissingErasError):
        turnover(table.predictions, **given | {"eras": None})
    with pytest.raises(ValueError, match=r"weights contains 1 NaN"):
        turnover(np.r_[np.nan, np.ones(401)], **given)
    with pytest.raises(ValueError, match=r"'n_previous' parameter"):
        churn(table.predictions, **given, n_previous=0)


def test_penalty_is_the_official_one():
    values = np.array([0.0, 0.05, 0.1, 0.11, 0.5, 2.0])
    for threshold, factor in [(0.1, 10.0), (0.3, 5.0), (0.0, 1000.0)]:
        expected = [signals.neutral_churn_penalty(v, threshold, factor) for v in values]
        shares = neutral_churn_penalty(values, threshold, factor)
        np.testing.assert_allclose(shares, expected, rtol=1e-12, atol=0)
    assert neutral_churn_penalty(0.05) == 1.0
    for bad in (np.nan, -0.1, [0.1, 2.1]):
        with pytest.raises(ValueError, match=r"neutral_churn"):
            neutral_churn_penalty(bad)
