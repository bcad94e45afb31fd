"""The rules that are known: every number with the day it took effect and where it is from.

(t) marks what is known from transcriptions by participants only.
"""

from __future__ import annotations

from datetime import date

from sknumerai.staking._payout_rules import PayoutRules

STAKING = "https://docs.numer.ai/numerai-tournament/staking"
ATOMIC_STAKING = "https://docs.numer.ai/numerai-tournament/atomic-blockchain-staking"
SIGNALS_STAKING = "https://docs.numer.ai/numerai-signals/staking"

KNOWN_RULES = (
    PayoutRules(
        tournament="numerai",
        since=date(2024, 1, 2),
        multipliers={"numerai_corr": 0.5, "mmc": 2.0},
        horizon=20,
        clip=0.05,
        payout_factor=None,
        stake_threshold=72_000.0,
        concurrent_rounds=None,  # one stake, at risk in all rounds
        source=STAKING,
    ),
    PayoutRules(
        tournament="numerai",
        since=date(2026, 1, 1),
        multipliers={"numerai_corr": 0.75, "mmc": 2.25},
        horizon=20,
        clip=0.05,
        payout_factor=None,
        stake_threshold=72_000.0,
        concurrent_rounds=None,
        source=f"{STAKING}; first day (t)",
    ),
    PayoutRules(
        tournament="numerai",
        since=date(2026, 8, 28),  # round 1343
        multipliers={"numerai_corr": 3.0, "mmc": 15.0},
        horizon=60,
        clip=1.0,
        payout_factor=1.0,
        concurrent_rounds=64,
        source=f"{STAKING} (t)",
    ),
    PayoutRules(
        tournament="signals",
        since=date(2025, 9, 2),
        multipliers={"alpha": 0.3, "mpc": 0.8},
        horizon=60,
        clip=0.017,
        payout_factor=None,
        stake_threshold=36_000.0,
        concurrent_rounds=64,
        source=f"{SIGNALS_STAKING}; concurrent rounds (t)",
    ),
    PayoutRules(
        tournament="crypto",
        since=date(2026, 6, 18),
        multipliers={"numerai_corr": 0.1, "mmc": 1.0},  # shown per round
        horizon=20,
        clip=1.0,
        payout_factor=None,
        stake_threshold=10_000.0,
        concurrent_rounds=24,
        source=f"{ATOMIC_STAKING}, June 2026; concurrent rounds (t)",
    ),
)

# what computes a score, for messages
COMPUTED_BY = {
    "numerai_corr": "sknumerai.metrics.era_table(y_true, ...)",
    "mmc": "sknumerai.metrics.era_table(y_true, ..., meta_model=...)",
    "alpha": "sknumerai.metrics.alpha(..., aggregate=None)",
    "mpc": "sknumerai.metrics.meta_portfolio_contribution(..., aggregate=None)",
}
