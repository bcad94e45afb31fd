"""No stake is made or lost but by payouts, in rounds that overlap."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sknumerai.staking import get_payout_rules, payout, simulate_stake

NEWEST = get_payout_rules()
MODES = pytest.mark.parametrize("mode", ["constant", "compound"])


def rounds(payouts):
    """Scores whose payouts are these, by the newest rules."""
    return pd.DataFrame({"numerai_corr": 0.0, "mmc": np.asarray(payouts, dtype=float) / 15.0})


def reference(payouts, capital, n_open, mode):
    """The account of every round in exact arithmetic, by events: resolve, claim, lock."""
    free, open_rounds, history = capital, [], []
    per_round = capital / n_open
    for r in payouts:
        claimed = None
        if len(open_rounds) == n_open:
            stake, result = open_rounds.pop(0)
            claimed = stake + max(stake * result, 0) - max(-stake * result, 0)
            free += claimed
        wanted = claimed if mode == "compound" and claimed is not None else per_round
        stake = min(wanted, free)
        free -= stake
        open_rounds.append((stake, r))
        history.append((stake, free, sum(s for s, _ in open_rounds)))
    return np.array(history, dtype=float)


def test_three_rounds_by_hand():
    """Two rounds are open at a time, 100 in all: 50 for each."""
    rules = replace(NEWEST, concurrent_rounds=2)
    scores = pd.DataFrame(
        {"numerai_corr": [0.05, 0.0, -0.1], "mmc": [0.01, -0.02, 0.04]}, index=["r1", "r2", "r3"]
    )
    # 3 · 0.05 + 15 · 0.01 = 0.3; 15 · -0.02 = -0.3; -0.3 + 0.6 = 0.3
    expected = pd.DataFrame(
        {
            "payout": [0.3, -0.3, 0.3],
            "stake": [50.0, 50.0, 50.0],
            "gain": [15.0, -15.0, 15.0],
            "claimable": [65.0, 35.0, 65.0],
            "free": [50.0, 0.0, 15.0],  # r1 returns 65 as r3 opens, which takes 50
            "locked": [50.0, 100.0, 100.0],
            "balance": [100.0, 100.0, 115.0],
        },
        index=["r1", "r2", "r3"],
    )
    history = simulate_stake(scores, rules=rules, stake=100)
    pd.testing.assert_frame_equal(history, expected, rtol=1e-14)
    history = simulate_stake(scores, rules=rules, stake=100, mode="compound")
    expected["stake"] = [50.0, 50.0, 65.0]
    expected["gain"] = [15.0, -15.0, 19.5]
    expected["claimable"] = [65.0, 35.0, 84.5]
    expected["free"] = [50.0, 0.0, 0.0]
    expected["locked"] = [50.0, 100.0, 115.0]  # of r2 and r3
    pd.testing.assert_frame_equal(history, expected, rtol=1e-14)


def test_constant_stakes_less_where_less_is_free():
    rules = replace(NEWEST, concurrent_rounds=2)
    history = simulate_stake(rounds([-1, 0.5, 1, 0, 0, 0]), rules=rules, stake=100.0)
    # the first burns all of its 50; the second returns 75, of which 50 are staked
    np.testing.assert_allclose(history["stake"], [50, 50, 0, 50, 25, 50], rtol=1e-14)
    np.testing.assert_allclose(history["free"], [50, 0, 0, 25, 0, 0], atol=1e-13)
    history = simulate_stake(
        rounds([-1, 0.5, 1, 0, 0, 0]), rules=rules, stake=100.0, mode="compound"
    )
    np.testing.assert_allclose(history["stake"], [50, 50, 0, 75, 0, 75], rtol=1e-14)


@MODES
def test_sixty_four_rounds_overlap(mode):
    history = simulate_stake(rounds([0.1] * 130), rules=NEWEST, stake=640.0, mode=mode)
    assert history["stake"][:64].tolist() == [10.0] * 64
    assert history["locked"].iloc[[0, 62, 63]].tolist() == [10.0, 630.0, 640.0]
    assert history["balance"][:64].tolist() == [640.0] * 64
    np.testing.assert_allclose(history["balance"][64:67], [641, 642, 643])
    later = {"constant": [10, 10], "compound": [11, 12.1]}[mode]
    np.testing.assert_allclose(history["stake"].iloc[[64, 128]], later)


@MODES
@settings(max_examples=60)
@given(
    payouts=st.lists(st.floats(-1.5, 1.5).map(lambda r: round(r, 6)), min_size=1, max_size=40),
    n_open=st.integers(1, 12),
    stake=st.floats(1e-6, 1e9),
)
def test_equals_exact_accounts(mode, payouts, n_open, stake):
    rules = replace(NEWEST, concurrent_rounds=n_open)
    scores = rounds(payouts)
    history = simulate_stake(scores, rules=rules, stake=stake, mode=mode)
    exact = [Fraction(float(r)) for r in payout(scores, rules)]
    expected = reference(exact, Fraction(stake), n_open, mode)
    got = history[["stake", "free", "locked"]].to_numpy()
    largest = expected.max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * largest)


@MODES
@pytest.mark.parametrize("n_open", [1, 24, 64])
@pytest.mark.parametrize("seed", range(3))
def test_stake_is_conserved_at_any_time(mode, n_open, seed):
    """Free and locked stakes are the first one plus what has resolved."""
    rng = np.random.default_rng(seed)
    payouts = np.clip(rng.normal(0.005, 0.2, 1500), -1, 1)
    payouts[rng.random(1500) < 0.01] = -1.0
    rules = replace(NEWEST, concurrent_rounds=n_open)
    history = simulate_stake(rounds(payouts), rules=rules, stake=777.7, mode=mode)
    h = history.reset_index(drop=True)
    resolved = h["gain"].cumsum().shift(n_open, fill_value=0.0)
    scale = max(777.7, h["balance"].max(), h["gain"].abs().cumsum().max())
    np.testing.assert_allclose(h["balance"], 777.7 + resolved, rtol=0, atol=1e-12 * scale)
    np.testing.assert_array_equal(h["balance"], h["free"] + h["locked"])
    np.testing.assert_allclose(
        h["claimable"],
        h["stake"]
        + np.maximum(h["stake"] * h["payout"], 0)
        - np.maximum(-h["stake"] * h["payout"], 0),
        rtol=1e-14,
    )
    assert (h[["stake", "free", "locked", "claimable"]] >= 0).all(axis=None)
    # from one round to the next: what was free and what has returned is free or staked
    returned = h["claimable"].shift(n_open, fill_value=0.0)
    before = h["free"].shift(1, fill_value=777.7)
    np.testing.assert_allclose(before + returned, h["free"] + h["stake"], atol=1e-12 * scale)
    if mode == "constant":
        assert (h["stake"] <= 777.7 / n_open).all()
    else:
        np.testing.assert_array_equal(h["stake"][n_open:], h["claimable"][:-n_open])


@MODES
def test_units_of_the_stake_and_later_rounds_do_not_matter(mode):
    rng = np.random.default_rng(1)
    scores = rounds(rng.uniform(-0.5, 0.6, 60))
    rules = replace(NEWEST, concurrent_rounds=8)
    history = simulate_stake(scores, rules=rules, stake=3.0, mode=mode)
    larger = simulate_stake(scores, rules=rules, stake=3.0 * 2**20, mode=mode)
    pd.testing.assert_frame_equal(
        larger.drop(columns="payout"), history.drop(columns="payout") * 2**20, check_exact=True
    )
    earlier = simulate_stake(scores[:25], rules=rules, stake=3.0, mode=mode)
    pd.testing.assert_frame_equal(earlier, history[:25], check_exact=True)


@MODES
def test_without_payouts_nothing_happens(mode):
    rules = replace(NEWEST, concurrent_rounds=4)
    history = simulate_stake(rounds([0.0] * 30), rules=rules, stake=1.0, mode=mode)
    assert (history["balance"] == 1.0).all()
    assert (history["stake"] == 0.25).all()
    assert history["free"].iloc[3:].eq(0.0).all()
    nothing = simulate_stake(rounds([]), rules=rules, stake=1.0, mode=mode)
    assert nothing.shape == (0, 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stake": 0.0}, r"'stake' parameter of simulate_stake"),
        ({"stake": np.inf}, r"'stake' parameter"),
        ({"mode": "fixed"}, r"'mode' parameter of simulate_stake must be a str among"),
        ({"rules": None}, r"'rules' parameter"),
        (
            {"rules": get_payout_rules(date="2026-08-27", total_at_risk=1e6)},
            r"^The rules of 'numerai' since 2026-01-01 have no concurrent_rounds, since one stake",
        ),
        ({"rules": get_payout_rules("crypto")}, r"pass total_at_risk= to get_payout_rules"),
        (
            {"scores": rounds([0.1, np.nan, np.nan, 0.2]).set_axis(["a", "b", "c", "d"])},
            r"^scores has NaN among those that are paid for in 2 of 4 rounds, first in 'b'; pass",
        ),
        ({"scores": rounds([0.1])[["mmc"]]}, r"scores has no column 'numerai_corr'"),
    ],
)
def test_bad_arguments(changes, message):
    arguments = {"scores": rounds([0.1, 0.2]), "rules": NEWEST, "stake": 1.0} | changes
    with pytest.raises(ValueError, match=message):
        simulate_stake(arguments.pop("scores"), **arguments)


def test_rounds_are_in_their_order():
    scores = pd.DataFrame({"numerai_corr": 0.01, "mmc": 0.0}, index=["0001", "0003", "0002"])
    rules = replace(get_payout_rules(), concurrent_rounds=2)
    with pytest.raises(ValueError, match="2 of 3 rounds out of order, first '0003'; sort them"):
        simulate_stake(scores, rules=rules, stake=1.0)
    with pytest.raises(ValueError, match="has the round '0001' twice"):
        simulate_stake(scores.iloc[[0, 0]], rules=rules, stake=1.0)
    scores.index = ["b", "c", "a"]  # names without an order
    assert len(simulate_stake(scores, rules=rules, stake=1.0)) == 3
