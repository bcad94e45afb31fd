"""payout_score() is what the rules make of CORR and MMC; its scorers select by it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from sknumerai.metrics import (
    era_table,
    get_era_scorer,
    make_era_scorer,
    meta_model_contribution,
    numerai_corr,
    payout_score,
)
from sknumerai.staking import get_payout_rules
from tests.metrics._tournament import make_table

OLD = get_payout_rules(date="2026-08-27", total_at_risk=144_000)


@pytest.fixture(scope="module")
def table():
    return make_table(seed=2)


@pytest.mark.parametrize(
    "rules",
    [
        None,
        replace(OLD, clip=0.3),
        replace(OLD, multipliers={"mmc": -1.0, "numerai_corr": 2.0}, clip=0.1),
        replace(OLD, multipliers={"mmc": 1.0}, clip=0.1),
    ],
)
def test_is_the_payout_of_the_scores(table, rules):
    options = {"eras": table.eras, "aggregate": None}
    corr = numerai_corr(table.target, table.predictions, **options)
    mmc = meta_model_contribution(
        table.target, table.predictions, meta_model=table.meta_model, **options
    )
    of = rules or get_payout_rules()
    total = of.multipliers.get("numerai_corr", 0) * corr + of.multipliers["mmc"] * mmc
    expected = (of.payout_factor * total).clip(-of.clip, of.clip)
    options |= {"meta_model": table.meta_model, "rules": rules}
    payouts = payout_score(table.target, table.predictions, **options)
    pd.testing.assert_frame_equal(payouts, expected, rtol=0, atol=1e-12)
    assert 0 < (payouts.abs() == of.clip).to_numpy().mean() < 1
    options["aggregate"] = "sharpe"
    sharpe = payout_score(table.target, table.predictions["model_0"], **options)
    assert sharpe == pytest.approx(payouts["model_0"].mean() / payouts["model_0"].std(ddof=0))


def test_era_table_knows_it_by_name(table):
    given = {"eras": table.eras, "meta_model": table.meta_model}
    scores = era_table(table.target, table.predictions, metrics=["payout"], **given)
    expected = payout_score(table.target, table.predictions, aggregate=None, **given)
    pd.testing.assert_frame_equal(scores.droplevel(1, axis=1), expected, check_names=False)


def test_scorers(table):
    X, y = table.features.to_numpy(), table.target.to_numpy()
    model = Ridge().fit(X, np.random.default_rng(0).normal(size=len(y)))
    given = {"eras": table.eras.to_numpy(), "meta_model": table.meta_model.to_numpy()}
    for name, aggregate in (("payout", "mean"), ("payout_sharpe", "sharpe")):
        expected = payout_score(y, model.predict(X), aggregate=aggregate, **given)
        assert get_era_scorer(name)(model, X, y, **given) == pytest.approx(expected, rel=1e-12)
    scorer = make_era_scorer(payout_score, rules=OLD)
    expected = payout_score(y, model.predict(X), rules=OLD, **given)
    assert scorer(model, X, y, **given) == pytest.approx(expected, rel=1e-12)
    del given["meta_model"]
    with pytest.raises(ValueError, match=r"needs 'meta_model': pass it next to the eras"):
        get_era_scorer("payout")(model, X, y, **given)


def test_eras_without_a_meta_model_can_be_left_out(table):
    early = table.eras == "0001"
    given = {"eras": table.eras, "missing": "skip", "aggregate": None}
    meta_model = table.meta_model.mask(early)
    with pytest.warns(UserWarning, match="0001"):
        payouts = payout_score(table.target, table.predictions, meta_model=meta_model, **given)
    expected = payout_score(table.target, table.predictions, meta_model=table.meta_model, **given)
    pd.testing.assert_frame_equal(payouts, expected[1:], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            get_payout_rules("signals", total_at_risk=1e5),
            r"^The rules of 'signals' since 2025-09-02 pay for 'alpha', which is not computed here;"
            r" compute the scores with aggregate=None, and pass them to sknumerai.staking.payout",
        ),
        (get_payout_rules("crypto"), r"^The rules of 'crypto' .* pass total_at_risk= to"),
        ("numerai", r"'rules' parameter of payout_score"),
    ],
)
def test_rules_that_cannot_be_applied(table, rules, message):
    options = {"meta_model": table.meta_model, "eras": table.eras, "rules": rules}
    with pytest.raises(ValueError, match=message):
        payout_score(table.target, table.predictions, **options)


def test_the_best_prediction_is_paid_the_clip(table):
    y = np.arange(100.0)
    assert payout_score(y, y, meta_model=np.random.default_rng(0).normal(size=100)) == 1.0
