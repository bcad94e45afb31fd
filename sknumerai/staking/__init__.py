"""What the tournaments pay for scores: rules with their dates, payouts, stakes over rounds."""

from sknumerai.staking._get_payout_rules import get_payout_rules
from sknumerai.staking._payout import payout
from sknumerai.staking._payout_rules import PayoutRules
from sknumerai.staking._simulate_stake import simulate_stake

__all__ = ["PayoutRules", "get_payout_rules", "payout", "simulate_stake"]
