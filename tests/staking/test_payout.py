"""payout() is the formula, whatever else the table holds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sknumerai.metrics import era_table, payout_score
from sknumerai.staking import get_payout_rules, payout
from tests.metrics._tournament import make_table

NEWEST = get_payout_rules()
SCORE = st.floats(-0.3, 0.3)


def table(corr, mmc, **others):
    return pd.DataFrame({"mmc": mmc, "numerai_corr": corr, **others})


def test_by_hand():
    scores = table([0.02, -0.01, 0.5, -0.5], [0.004, 0.001, 0.1, 0.0])
    # 3 · 0.02 + 15 · 0.004; -0.03 + 0.015; 1.5 + 1.5 and -1.5 are clipped
    np.testing.assert_allclose(payout(scores, NEWEST), [0.12, -0.015, 1.0, -1.0], rtol=1e-14)
    # (0.75 · 0.02 + 2.25 · 0.004) / 10, ...; 0.6 / 10 and -0.375 / 10 are clipped
    old = get_payout_rules(date="2026-08-27", total_at_risk=720_000)
    expected = [0.0024, -0.000525, 0.05, -0.0375]
    np.testing.assert_allclose(payout(scores, old), expected, rtol=1e-14)
    signals = get_payout_rules("signals", total_at_risk=72_000)
    scores = pd.DataFrame({"alpha": [0.01, -0.1], "mpc": [0.005, -0.1]})
    np.testing.assert_allclose(payout(scores, signals), [0.0035, -0.017], rtol=1e-14)


@given(
    st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=20),
    st.floats(0.001, 1),
    st.floats(0.01, 2),
    st.tuples(st.floats(-3, 20), st.floats(-3, 20)),
)
def test_the_formula_round_by_round(pairs, clip, factor, multipliers):
    a, b = multipliers
    rules = replace(
        NEWEST, clip=clip, payout_factor=factor, multipliers={"numerai_corr": a, "mmc": b}
    )
    corr, mmc = zip(*pairs, strict=True)
    payouts = payout(table(corr, mmc), rules)
    expected = [max(-clip, min(clip, factor * (a * c + b * m))) for c, m in pairs]
    np.testing.assert_allclose(payouts, expected, rtol=1e-12, atol=1e-15)
    assert payouts.abs().max() <= clip
    # odd in the scores; of one round alone the same
    np.testing.assert_array_equal(payout(-table(corr, mmc), rules), -payouts)
    np.testing.assert_array_equal(payout(table(corr[:1], mmc[:1]), rules), payouts[:1])


def test_of_an_era_table_it_is_the_score():
    rows = make_table(seed=3)
    given = {"eras": rows.eras, "features": rows.features, "meta_model": rows.meta_model}
    scores = era_table(rows.target, rows.predictions, **given)
    expected = payout_score(
        rows.target, rows.predictions, meta_model=rows.meta_model, eras=rows.eras, aggregate=None
    )
    for name in rows.predictions:
        payouts = payout(scores[name], NEWEST)
        assert payouts.name == "payout"
        pd.testing.assert_series_equal(payouts, expected[name], check_names=False)
    assert (expected.abs() < 1).any(axis=None)
    assert (expected == 1).any(axis=None)


def test_other_columns_and_types_do_not_matter():
    scores = table([0.02, -0.01], [0.004, 0.001])
    expected = payout(scores, NEWEST)
    more = scores.assign(fnc=[np.inf, np.nan], name=["a", "b"])
    pd.testing.assert_series_equal(payout(more, NEWEST), expected)
    pd.testing.assert_series_equal(payout(scores.astype("Float64"), NEWEST), expected)
    single = payout(scores.astype(np.float32), NEWEST)
    np.testing.assert_allclose(single, expected, rtol=1e-6)
    assert single.dtype == np.float64
    empty = payout(scores[:0], NEWEST)
    assert len(empty) == 0
    assert empty.dtype == np.float64


def test_nan_rounds_have_no_payout():
    scores = table([0.02, np.nan, 0.01], [np.nan, 0.1, 0.0])
    for same in (scores, scores.astype("Float64")):
        assert payout(same, NEWEST).isna().tolist() == [True, True, False]
    only_mmc = replace(NEWEST, multipliers={"mmc": 1.0})
    assert payout(scores, only_mmc).isna().tolist() == [True, False, False]


SEVERAL = pd.concat({"model_0": table([0.1], [0.1])}, axis=1)


@pytest.mark.parametrize(
    ("scores", "rules", "message"),
    [
        (
            table([0.1], [0.1])[["numerai_corr"]],
            NEWEST,
            r"^scores has no column 'mmc', which the rules of 'numerai' since 2026-08-28 pay for "
            r"\(it has 'numerai_corr'\); compute it with sknumerai.metrics.era_table\(y_true, ..., "
            r"meta_model=...\)\.$",
        ),
        (pd.DataFrame(), NEWEST, r"no column 'numerai_corr', .* \(it has none\)"),
        (
            table([0.1], [0.1]),
            get_payout_rules("signals", total_at_risk=1e6),
            r"no column 'alpha', .*; compute it with sknumerai.metrics.alpha\(..., aggregate=None",
        ),
        (
            table([0.1], [0.1]),
            replace(NEWEST, multipliers={"tc": 1.0}),
            r"no column 'tc', .*; add it, or pass rules of other multipliers\.$",
        ),
        (
            table([0.1], [0.1]),
            get_payout_rules(date="2026-08-27"),
            r"^The rules of 'numerai' since 2026-01-01 pay min\(1, 72000 / total NMR at risk\) of "
            r"the scores; pass total_at_risk= to get_payout_rules, or payout_factor= to",
        ),
        (SEVERAL, NEWEST, r"several predictions, .* 2 levels; pass those of one, scores\['model_0"),
        (table([0.1], [np.inf]), NEWEST, r"scores contains 1 infinite .* of column 'mmc'"),
        (table([0.1], ["0.1"]), NEWEST, r"Column 'mmc' of scores is not numeric"),
        (pd.concat([table([0.1], [0.1])] * 2, axis=1), NEWEST, r"scores has 2 columns with a name"),
        (table([0.1], [0.1])["mmc"], NEWEST, r"^scores is a Series; pass a pandas DataFrame"),
        (pl.DataFrame({"mmc": [0.1]}), NEWEST, r"^scores is a DataFrame; pass a pandas DataFrame"),
        (table([0.1], [0.1]), "numerai", r"'rules' parameter of payout"),
    ],
)
def test_bad_arguments(scores, rules, message):
    with pytest.raises(ValueError, match=message):
        payout(scores, rules)
