"""
True Contribution: skill, stakes and dropout
============================================

True Contribution (TC) is the gradient of the fund's return with respect to a user's stake, through
the optimizer that makes the portfolio. On a simulated market, where every user's skill and feature
exposure is known, three questions: does TC pay for skill, does it depend on the stake, and how
stable is it from one set of dropout rounds to another?
"""

# %%
# A market and a fund
# -------------------
#
# 30 weeks of 600 stocks and 300 users, who differ in skill (how well they know the part of the
# returns that nothing else explains), in feature exposure and in stake. The fund is dollar and
# sector neutral, limits its exposure to the features, its leverage and every position, and shuns
# factor risk.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sknumerai.contribution import true_contribution
from sknumerai.datasets import make_market
from sknumerai.exceptions import FewFreeAssetsWarning
from sknumerai.metrics import numerai_corr
from sknumerai.portfolio import PortfolioOptimizer

market = make_market(
    n_stocks=600, n_factors=10, n_users=300, n_eras=30, n_features=20, random_state=0
)
fund = PortfolioOptimizer(
    risk_aversion=200.0,
    min_weights=-0.01,
    max_weights=0.01,
    max_leverage=1.0,
    max_exposure=0.02,
    sector_neutral=True,
)
risk = {
    "factor_loadings": market.factor_loadings,
    "factor_covariance": market.factor_covariance,
    "specific_variance": market.specific_variance,
    "exposures": market.exposures,
    "sectors": market.sectors,
}


def contributions(users, stakes, *, rows=slice(None), **options):
    return true_contribution(
        users.iloc[rows],
        stakes,
        market.returns.iloc[rows],
        optimizer=fund,
        eras=market.eras.iloc[rows],
        **{
            name: data if name == "factor_covariance" else data.iloc[rows]
            for name, data in risk.items()
        },
        **{"random_state": 0, **options},
    )


# %%
# Two users more: the most and the least staked one get a twin each, with the same predictions and
# another stake. Twins must score the same.

users, stakes = market.user_predictions.copy(), market.stakes.copy()
richest, poorest = stakes.idxmax(), stakes.idxmin()
for name, stake in ((richest, 0.0), (poorest, stakes.max())):
    users[f"twin of {name}"] = users[name]
    stakes[f"twin of {name}"] = stake

tc, info = contributions(users, stakes, n_rounds=50, return_info=True)
gap = max(np.abs(tc[name] - tc[f"twin of {name}"]).max() for name in (richest, poorest))
print(
    f"TC of {tc.shape[1]} users in {len(tc)} weeks; {info['0001'].portfolios.shape} weights a week"
)
print(f"largest difference between twins: {gap:.0e}, of a typical TC of {tc.stack().std():.0e}")

# %%
# Skill and exposure
# ------------------
#
# CORR rewards both, the first weakly and the second with much noise. TC sees the second only as far
# as the optimizer lets it through. Rank correlations of the users' means over the weeks:

corr = numerai_corr(market.returns, market.user_predictions, eras=market.eras)
mean_tc = tc[market.user_predictions.columns].mean()
known = pd.DataFrame({"skill": market.user_skill, "exposure": market.user_exposure})
table = pd.DataFrame(
    {
        score_name: {name: spearmanr(values, score).statistic for name, values in known.items()}
        for score_name, score in (("mean TC", mean_tc), ("mean CORR", corr))
    }
)
print(table.round(2))

# %%
# Dropout and the share of free assets
# ------------------------------------
#
# The larger the signal that the optimizer gets, the more stocks sit at a limit, where a derivative
# is zero. With few free stocks the gradient is that of a few, other ones in every round: repeated
# runs agree less, and the mean over rounds has less to do with the gradient without dropout. Both
# are properties of the fund's program and of ``signal_scale``. For one week:

week = np.flatnonzero(market.eras == "0001")
shares, repeats, plains = [], [], []
for scale in (1e-4, 3e-4, 6e-4, 1e-3, 2e-3, 4e-3, 1e-2, 3e-2):
    options = {"rows": week, "signal_scale": scale}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewFreeAssetsWarning)  # few are what this is about
        first, details = contributions(users, stakes, return_info=True, **options)
        second = contributions(users, stakes, random_state=1, **options)
        plain = contributions(users, stakes, n_rounds=1, dropout=0.0, **options)
    shares.append(np.mean(details["0001"].n_free) / len(week))
    repeats.append(np.corrcoef(first.iloc[0], second.iloc[0])[0, 1])
    plains.append(np.corrcoef(first.iloc[0], plain.iloc[0])[0, 1])
stability = pd.DataFrame(
    {"share of free stocks": shares, "repeated run": repeats, "without dropout": plains}
)
print(stability.round(3).to_string(index=False))

# %%
# In pictures
# -----------

figure, axes = plt.subplots(1, 3, figsize=(12.5, 4), layout="constrained")

points = axes[0].scatter(
    market.user_skill, mean_tc / mean_tc.std(), c=market.user_exposure, s=14, cmap="viridis"
)
axes[0].set(
    title="TC pays for skill",
    xlabel="known skill of a user",
    ylabel="mean TC (standard deviations)",
)
figure.colorbar(points, ax=axes[0], label="feature exposure")

staked = stakes[stakes > 0].index
axes[1].scatter(stakes[staked], tc[staked].mean() / mean_tc.std(), s=10, color="0.75")
for name, colour in ((richest, "tab:red"), (poorest, "tab:blue")):
    twin = f"twin of {name}"
    pair = stakes[[name, twin]].clip(lower=stakes[staked].min() / 3)
    axes[1].plot(
        pair, tc[[name, twin]].mean() / mean_tc.std(), "o-", color=colour, label=f"{name}, its twin"
    )
axes[1].set(
    xscale="log", title="... and not for the stake", xlabel="stake (zero at the left edge)",
)  # fmt: skip
axes[1].legend(frameon=False, fontsize="small")

axes[2].plot(shares, repeats, "o-", label="with a repeated run")
axes[2].plot(shares, plains, "s--", label="with the gradient without dropout")
axes[2].axhline(0.995, color="0.6", lw=0.8)
axes[2].set(
    title="100 rounds of dropout", xlabel="share of free stocks", ylabel="correlation of TC",
)  # fmt: skip
axes[2].legend(frameon=False, loc="lower right", fontsize="small")
plt.show()
