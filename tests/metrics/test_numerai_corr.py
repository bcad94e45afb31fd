import numpy as np
import pandas as pd
import pytest
from numerai_tools.scoring import numerai_corr as official_corr

from sknumerai.datasets import make_tournament
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.metrics import numerai_corr

BINS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


def make_era(n=200, seed=0, n_columns=3):
    """Targets in bins, predictions with ties, ids in sorted order."""
    rng = np.random.default_rng(seed)
    ids = pd.Index([f"n{i:05d}" for i in range(n)], name="id")
    target = pd.Series(rng.choice(BINS, n, p=[0.05, 0.2, 0.5, 0.2, 0.05]), ids, name="target")
    values = np.round(8 * rng.normal(size=(n, n_columns))) / 8 + target.to_numpy()[:, None]
    return target, pd.DataFrame(values, ids, [f"model_{j}" for j in range(n_columns)])


def shuffled_eras(n_eras=5, seed=1):
    parts = [make_era(60 + i, seed=i) for i in range(n_eras)]
    target = pd.concat([part for part, _ in parts], ignore_index=True)
    predictions = pd.concat([part for _, part in parts], ignore_index=True)
    eras = pd.Series(np.repeat([f"{i:04d}" for i in range(n_eras)], [len(p) for p, _ in parts]))
    order = np.random.default_rng(seed).permutation(len(target))
    return target.iloc[order], predictions.iloc[order], eras.iloc[order]


@pytest.mark.parametrize("top_bottom", [None, 5, 20, 100])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_official_score(top_bottom, seed):
    target, predictions = make_era(seed=seed)
    expected = official_corr(predictions, target, top_bottom=top_bottom)
    scores = numerai_corr(target, predictions, top_bottom=top_bottom)
    pd.testing.assert_series_equal(scores, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("top_bottom", [None, 15])
def test_equals_the_official_score_with_missing_targets(top_bottom):
    target, predictions = make_era(n=50)
    target.iloc[:10] = np.nan  # exactly a fifth
    expected = official_corr(predictions, target, top_bottom=top_bottom)
    scores = numerai_corr(target, predictions, top_bottom=top_bottom)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)


def test_more_than_a_fifth_of_the_targets_missing_is_an_error():
    target, predictions = make_era(n=50)
    target.iloc[:11] = np.nan
    with pytest.raises(ValueError, match=r"In era 7: 11 of 50 targets are missing"):
        numerai_corr(target, predictions, eras=7)


def test_an_era_scores_as_if_alone_in_chronological_order():
    target, predictions, eras = shuffled_eras()
    scores = numerai_corr(target, predictions, eras=eras, aggregate=None)
    assert scores.index.tolist() == sorted(eras.unique())
    for era in scores.index:
        rows = eras == era
        alone = numerai_corr(target[rows], predictions[rows])
        np.testing.assert_allclose(scores.loc[era], alone, rtol=0, atol=1e-12)


def test_row_order_and_labels_do_not_matter():
    target, predictions, eras = shuffled_eras()
    expected = numerai_corr(target, predictions, eras=eras)
    order = np.random.default_rng(2).permutation(len(target))
    again = numerai_corr(target.iloc[order], predictions.iloc[order], eras=eras.iloc[order])
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-12)
    relabelled = numerai_corr(target, predictions, eras=eras.map(lambda era: f"week of {era}"))
    np.testing.assert_allclose(relabelled, expected, rtol=0, atol=1e-12)


def test_monotone_transformations_do_not_matter():
    target, predictions = make_era()
    expected = numerai_corr(target, predictions)
    np.testing.assert_allclose(numerai_corr(target, np.exp(predictions)), expected, atol=1e-12)
    np.testing.assert_allclose(numerai_corr(target, -predictions), -expected, atol=1e-12)


def test_pandas_and_polars_and_numpy_agree(df_module):
    target, predictions = make_era()
    expected = numerai_corr(target.to_numpy(), predictions.to_numpy())
    frame = df_module.DataFrame({name: predictions[name].to_numpy() for name in predictions})
    scores = numerai_corr(df_module.Series(target.to_numpy()), frame)
    np.testing.assert_array_equal(scores, expected)
    assert scores.index.tolist() == predictions.columns.tolist()


def test_aggregates():
    target, predictions, eras = shuffled_eras()
    one = predictions["model_1"]
    per_era = numerai_corr(target, one, eras=eras, aggregate=None)
    assert isinstance(per_era, pd.Series)
    wealth = np.cumsum([0.0, *per_era])
    expected = {
        "mean": per_era.mean(),
        "std": per_era.std(ddof=0),
        "sharpe": per_era.mean() / per_era.std(ddof=0),
        "max_drawdown": max(wealth[: i + 1].max() - wealth[i] for i in range(len(wealth))),
        np.ptp: np.ptp(per_era),
    }
    for aggregate, value in expected.items():
        score = numerai_corr(target, one, eras=eras, aggregate=aggregate)
        assert isinstance(score, float)
        assert score == pytest.approx(value, abs=1e-12)


def test_drawdown_starts_at_zero():
    target, predictions = make_era()
    assert numerai_corr(target, -target, aggregate="max_drawdown") == pytest.approx(
        -numerai_corr(target, -target)
    )
    assert numerai_corr(target, target, aggregate="max_drawdown") == 0.0
    assert (numerai_corr(target, predictions, aggregate="max_drawdown") >= 0.0).all()


def test_constant_predictions_are_nan_with_one_warning():
    target, predictions, eras = shuffled_eras()
    predictions.loc[eras.isin(["0001", "0003"]), "model_0"] = 0.5
    with pytest.warns(ConstantPredictionWarning, match=r"In 2 eras \(0001, 0003\)") as caught:
        scores = numerai_corr(target, predictions, eras=eras, aggregate=None)
    assert len(caught) == 1
    assert scores["model_0"].isna().tolist() == [False, True, False, True, False]
    assert scores.notna().to_numpy()[:, 1:].all()
    with pytest.warns(ConstantPredictionWarning):
        assert np.isnan(numerai_corr(target, predictions["model_0"], eras=eras))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, p: {"y_pred": p.mask(p > p.max().max() - 1e-9)}, r"y_pred contains 1 NaN"),
        (lambda t, p: {"y_pred": p.iloc[:-1]}, r"y_true has 50 rows and y_pred has 49"),
        (lambda t, p: {"y_pred": p.iloc[::-1]}, r"The indexes of y_pred and y_true"),
        (lambda t, p: {"y_true": p}, r"y_true must hold one column; found 3, pass one"),
        (lambda t, p: {"y_true": t.replace(1.0, np.inf)}, r"y_true contains \d+ infinite"),
        (lambda t, p: {"y_true": t.astype(str) + "a"}, r"Column 'target' of y_true is not numeric"),
        (lambda t, p: {"top_bottom": 26}, r"top_bottom=26 needs 52 rows .* there are 50"),
        (lambda t, p: {"top_bottom": 0}, r"'top_bottom' parameter"),
        (lambda t, p: {"aggregate": "median"}, r"'aggregate' parameter"),
        (
            lambda t, p: {"eras": ["spring"] * 25 + ["autumn"] * 25, "aggregate": None},
            r"have no known order",
        ),
    ],
)
def test_errors(change, message):
    target, predictions = make_era(n=50)
    arguments = {"y_true": target, "y_pred": predictions} | change(target, predictions)
    with pytest.raises(ValueError, match=message):
        numerai_corr(**arguments)


def test_the_planted_signal_scores_its_correlation():
    tournament = make_tournament(n_eras=30, n_stocks=400, n_features=20, random_state=0)
    score = numerai_corr(tournament.target, tournament.nonlinear_part, eras=tournament.eras)
    assert 0.015 < score < 0.045
