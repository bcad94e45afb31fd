import numpy as np
import pandas as pd
import pytest

from sknumerai.metrics import score_summary

STATISTICS = (
    "mean std sharpe smart_sharpe max_drawdown hit_rate autocorrelation payout n_eras".split()
)


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 2))
    noise[:, 1] = np.convolve(noise[:, 1], [1, 0.8, 0.6], mode="same")
    return pd.DataFrame(0.02 + 0.03 * noise, columns=["a", "b"])


def plain_smart_sharpe(x):
    """As posted in Numerai's forum, but for ddof."""
    n, p = len(x), np.corrcoef(x[:-1], x[1:])[0, 1]
    penalty = np.sqrt(1 + 2 * np.sum([((n - i) / n) * p**i for i in range(1, n)]))
    return np.mean(x) / (np.std(x) * penalty)


def test_statistics_are_what_they_are_called(scores):
    summary = score_summary(scores)
    assert summary.index.tolist() == ["a", "b"]
    assert summary.columns.tolist() == STATISTICS
    for name in scores:
        x, row = scores[name].to_numpy(), summary.loc[name]
        wealth = np.cumsum(np.r_[0.0, x])
        expected = {
            "mean": x.mean(),
            "std": x.std(),
            "sharpe": x.mean() / x.std(),
            "smart_sharpe": plain_smart_sharpe(x),
            "max_drawdown": max(wealth[: i + 1].max() - wealth[i] for i in range(len(wealth))),
            "hit_rate": (x > 0).mean(),
            "autocorrelation": np.corrcoef(x[:-1], x[1:])[0, 1],
            "payout": np.clip(x, -0.05, 0.05).mean(),
            "n_eras": 60,
        }
        assert row.to_dict() == pytest.approx(expected, abs=1e-12)
    assert summary.loc["b", "smart_sharpe"] < summary.loc["b", "sharpe"]


def test_series_and_arrays(scores):
    expected = score_summary(scores)
    one = score_summary(scores["a"])
    assert one.name == "a"
    pd.testing.assert_series_equal(one, expected.loc["a"])
    np.testing.assert_allclose(score_summary(scores.to_numpy()), expected)
    np.testing.assert_allclose(score_summary(list(scores["a"])), one)
    columns = pd.MultiIndex.from_product([["model"], ["a", "b"]], names=["prediction", "metric"])
    assert score_summary(scores.set_axis(columns, axis=1)).index.equals(columns)


def test_payouts_are_clipped_after_the_multiplier():
    per_era = [0.01, 0.04, -0.04]
    assert score_summary(per_era, payout_multiplier=2)["payout"] == pytest.approx(0.02 / 3)
    assert score_summary(per_era, payout_limit=0.02)["payout"] == pytest.approx(0.01 / 3)


@pytest.mark.parametrize("per_era", [[0.02], [0.02, 0.03], [0.02] * 10, [0.1, -0.1] * 3])
def test_few_or_equal_scores_give_no_warnings(per_era):
    summary = score_summary(per_era)
    assert summary["max_drawdown"] >= 0.0
    assert summary[["mean", "std", "hit_rate", "payout"]].notna().all()
    assert np.isnan(summary["autocorrelation"]) == (len(per_era) < 3 or np.ptp(per_era) == 0)


def test_a_missing_era_makes_all_missing():
    summary = score_summary([0.01, np.nan, 0.02, 0.04])
    assert summary.drop("n_eras").isna().all()
    assert summary["n_eras"] == 4


def test_errors():
    with pytest.raises(ValueError, match=r"no scores"):
        score_summary([])
    with pytest.raises(ValueError, match=r"must hold numbers"):
        score_summary(pd.DataFrame({"a": ["x", "y"]}))
    with pytest.raises(ValueError, match=r"one or two dimensions; found 3"):
        score_summary(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match=r"'payout_limit' parameter"):
        score_summary([0.1], payout_limit=0)
