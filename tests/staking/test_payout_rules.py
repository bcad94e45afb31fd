"""The rules that are known, by tournament and day, and rules of one's own."""

import copy
import datetime as dt
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest

from sknumerai.staking import PayoutRules, get_payout_rules
from sknumerai.staking._known_rules import COMPUTED_BY, KNOWN_RULES

# tournament, day, multipliers, horizon, clip, threshold, concurrent rounds
FACTS = [
    ("numerai", "2024-01-02", {"numerai_corr": 0.5, "mmc": 2.0}, 20, 0.05, 72_000, None),
    ("numerai", "2025-12-31", {"numerai_corr": 0.5, "mmc": 2.0}, 20, 0.05, 72_000, None),
    ("numerai", "2026-01-01", {"numerai_corr": 0.75, "mmc": 2.25}, 20, 0.05, 72_000, None),
    ("numerai", "2026-08-27", {"numerai_corr": 0.75, "mmc": 2.25}, 20, 0.05, 72_000, None),
    ("numerai", "2026-08-28", {"numerai_corr": 3.0, "mmc": 15.0}, 60, 1.0, None, 64),
    ("numerai", None, {"numerai_corr": 3.0, "mmc": 15.0}, 60, 1.0, None, 64),
    ("signals", "2025-09-02", {"alpha": 0.3, "mpc": 0.8}, 60, 0.017, 36_000, 64),
    ("crypto", None, {"numerai_corr": 0.1, "mmc": 1.0}, 20, 1.0, 10_000, 24),
]


@pytest.mark.parametrize(
    ("tournament", "date", "multipliers", "horizon", "clip", "threshold", "rounds"), FACTS
)
def test_known_rules(tournament, date, multipliers, horizon, clip, threshold, rounds):
    rules = get_payout_rules(tournament, date)
    assert rules.tournament == tournament
    assert rules.multipliers == multipliers
    assert (rules.horizon, rules.clip) == (horizon, clip)
    assert (rules.stake_threshold, rules.concurrent_rounds) == (threshold, rounds)
    assert rules.payout_factor == (1.0 if threshold is None else None)


def test_every_fact_has_a_day_and_a_source_and_every_score_is_computed_by_something():
    keys = [(rules.tournament, rules.since) for rules in KNOWN_RULES]
    assert len(set(keys)) == len(keys)
    assert all(rules.source.startswith("https://docs.numer.ai/") for rules in KNOWN_RULES)
    assert {name for rules in KNOWN_RULES for name in rules.multipliers} == COMPUTED_BY.keys()


def test_rules_hold_until_the_next_ones():
    for rules in KNOWN_RULES:
        later = [r.since for r in KNOWN_RULES if r.tournament == rules.tournament]
        last = min((day for day in later if day > rules.since), default=dt.date(2100, 1, 2))
        for day in (rules.since, last - dt.timedelta(1)):
            assert get_payout_rules(rules.tournament, day) == rules


@pytest.mark.parametrize(
    "date",
    [
        "2026-08-28",
        "2026-08-28T09:00:00",
        "20260828",
        dt.date(2026, 8, 28),
        dt.datetime(2026, 8, 28, 23, 59, tzinfo=dt.UTC),
        pd.Timestamp("2026-08-28", tz="Europe/Berlin"),
        np.datetime64("2026-08-28"),
    ],
)
def test_days_of_all_kinds(date):
    assert get_payout_rules(date=date) == get_payout_rules()
    assert get_payout_rules(date="2026-08-27") != get_payout_rules()


@pytest.mark.parametrize(
    ("total", "factor"), [(720_000, 0.1), (72_000, 1.0), (1.0, 1.0), (np.float32(144_000), 0.5)]
)
def test_payout_factor_of_the_total_at_risk(total, factor):
    assert get_payout_rules(date="2026-08-27", total_at_risk=total).payout_factor == factor
    assert get_payout_rules(total_at_risk=total).payout_factor == 1.0  # a fixed one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tournament": "classic"}, r"'tournament' parameter of get_payout_rules"),
        ({"date": "2023-12-31"}, r"^date='2023-12-31' is before the first .* of 2024-01-02; make"),
        ({"tournament": "crypto", "date": "2026-06-17"}, r"rules of 'crypto' .* of 2026-06-18"),
        ({"date": "28.8.2026"}, r"^date='28.8.2026' is not a day; pass one such as"),
        ({"date": pd.NaT}, r"^date=NaT is not a day"),
        ({"date": 20260828}, r"'date' parameter"),
        ({"total_at_risk": 0}, r"'total_at_risk' parameter"),
        ({"total_at_risk": np.nan}, r"'total_at_risk' parameter"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        get_payout_rules(**arguments)


def test_the_facts_cannot_be_changed():
    rules = get_payout_rules()
    with pytest.raises(FrozenInstanceError):
        rules.clip = 0.5
    rules.multipliers["mmc"] = 0.0
    assert get_payout_rules().multipliers["mmc"] == 15.0
    mine = {"mmc": 1.0}
    rules = replace(rules, multipliers=mine)
    mine["mmc"] = 2.0
    assert rules.multipliers == {"mmc": 1.0}


def test_copies_are_equal():
    rules = get_payout_rules("signals", total_at_risk=1e5)
    for other in (copy.copy(rules), copy.deepcopy(rules), pickle.loads(pickle.dumps(rules))):
        assert other == rules
        assert hash(other) == hash(rules)
    assert replace(rules, multipliers={"alpha": 1.0}) != rules
    assert eval(repr(rules), {"PayoutRules": PayoutRules, "datetime": dt}) == rules


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": 0.0}, r"'clip' parameter of PayoutRules"),
        ({"clip": 1.01}, r"'clip' parameter of PayoutRules must be a float in the range \(0.0, 1"),
        ({"clip": np.nan}, r"'clip' parameter"),
        ({"horizon": 0}, r"'horizon' parameter"),
        ({"concurrent_rounds": 2.5}, r"'concurrent_rounds' parameter"),
        ({"concurrent_rounds": 0}, r"'concurrent_rounds' parameter"),
        ({"payout_factor": -1.0}, r"'payout_factor' parameter"),
        ({"payout_factor": np.inf}, r"'payout_factor' parameter"),
        ({"stake_threshold": 0.0}, r"'stake_threshold' parameter"),
        ({"since": "2026-08-28"}, r"'since' parameter"),
        ({"multipliers": [3.0, 15.0]}, r"'multipliers' parameter"),
        ({"multipliers": {}}, r"^multipliers holds nothing; pass a finite number"),
        ({"multipliers": {"mmc": np.nan, "fnc": 1.0}}, r"^multipliers holds 'mmc': nan; pass"),
        ({"multipliers": {"mmc": "3"}}, r"^multipliers holds 'mmc': '3'; pass"),
        ({"payout_factor": None}, r"payout_factor and stake_threshold are both None; pass one"),
    ],
)
def test_rules_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(get_payout_rules(), **changes)


@pytest.mark.parametrize("scores", [[1.0, 2.0], [[1.0]], [[1.0, 2.0, 3.0]]])
def test_apply_wants_a_column_for_each_multiplier(scores):
    with pytest.raises(ValueError, match=r"pass a column for each of 'numerai_corr', 'mmc'\.$"):
        get_payout_rules().apply(scores)
