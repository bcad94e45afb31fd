from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sknumerai.metrics import score_summary
from sknumerai.staking import get_payout_rules, payout

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
            "payout": np.nan,  # of no score that is paid for
            "n_eras": 60,
        }
        assert row.to_dict() == pytest.approx(expected, abs=1e-12, nan_ok=True)
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


@pytest.fixture
def per_era():
    corr, mmc = [0.02, 0.3, -0.03], [0.004, 0.02, 0.001]
    return pd.DataFrame({"fnc": corr, "mmc": mmc, "numerai_corr": corr, "cwmm": [0.5, 0.6, 0.7]})


def test_payout_is_that_of_the_prediction_in_the_rows_that_are_paid_for(per_era):
    # 0.06 + 0.06; 0.9 + 0.3, clipped at 1; -0.09 + 0.015
    expected = pd.Series({"fnc": np.nan, "mmc": 0.3483333, "numerai_corr": 0.3483333})
    found = score_summary(per_era)["payout"]
    pd.testing.assert_series_equal(found[:3], expected, check_names=False)
    assert np.isnan(found["cwmm"])
    assert found["mmc"] == pytest.approx(payout(per_era, get_payout_rules()).mean(), rel=1e-14)
    assert score_summary(per_era[["fnc", "mmc"]])["payout"].isna().all()
    assert np.isnan(score_summary(per_era["mmc"])["payout"])


def test_payout_by_other_rules(per_era):
    old = get_payout_rules(date="2026-08-27", total_at_risk=72_000)
    # 0.015 + 0.009; 0.225 + 0.045, clipped at 0.05; -0.0225 + 0.00225
    found = score_summary(per_era, rules=old)["payout"]
    assert found[["mmc", "numerai_corr"]].tolist() == pytest.approx([0.05375 / 3] * 2)
    only_fnc = replace(old, multipliers={"fnc": 0.1}, clip=0.02)
    found = score_summary(per_era, rules=only_fnc)["payout"]
    assert found["fnc"] == pytest.approx((0.002 + 0.02 - 0.003) / 3)
    assert found.drop("fnc").isna().all()
    assert score_summary(per_era["fnc"], rules=only_fnc)["payout"] == found["fnc"]


def test_payouts_of_several_predictions_are_their_own(per_era):
    both = pd.concat({"a": per_era, "b": -per_era, "c": per_era[["mmc"]]}, axis=1)
    found = score_summary(both)["payout"]
    assert found["a", "mmc"] == found["a", "numerai_corr"] == score_summary(per_era)["payout"].mmc
    assert found["b", "mmc"] == -found["a", "mmc"]
    assert found.xs("fnc", level=1).isna().all()
    assert np.isnan(found["c", "mmc"])


def test_a_missing_score_makes_the_payout_missing(per_era):
    per_era.loc[1, "mmc"] = np.nan
    found = score_summary(per_era)["payout"]
    assert found.isna().all()
    only_corr = replace(get_payout_rules(), multipliers={"numerai_corr": 1.0})
    assert score_summary(per_era, rules=only_corr)["payout"].notna().sum() == 1


@pytest.mark.parametrize("per_era", [[0.02], [0.02, 0.03], [0.02] * 10, [0.1, -0.1] * 3])
def test_few_or_equal_scores_give_no_warnings(per_era):
    summary = score_summary(per_era)
    assert summary["max_drawdown"] >= 0.0
    assert summary[["mean", "std", "hit_rate"]].notna().all()
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
    with pytest.raises(ValueError, match=r"'rules' parameter of score_summary"):
        score_summary([0.1], rules="numerai")
    table = pd.DataFrame({"numerai_corr": [0.1], "mmc": [0.1]})
    with pytest.raises(ValueError, match=r"pass total_at_risk= to get_payout_rules"):
        score_summary(table, rules=get_payout_rules(date="2026-08-27"))
