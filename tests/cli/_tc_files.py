"""The files of ``tc`` and the options that name them."""

BASIC = ("users", "stakes", "returns")
RISK = ("exposures", "loadings", "covariance")
RISK_OPTIONS = ("--specific-column", "variance", "--sector-column", "sector", "--sector-neutral")
FEW_ROUNDS = ("--n-rounds", 4)
ABSENT, ABSENT_ERA = "user_0003", "0002"
