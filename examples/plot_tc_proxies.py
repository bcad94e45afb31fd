"""
What predicts True Contribution
===============================

True Contribution (TC) is known only to whoever holds the fund's optimizer. Which of the scores
that users can compute tells it? Numerai's own answer [1]_, for its rounds 272 to 300, came from an
Explainable Boosting Machine: a sum of one function per score, with an importance and a shape for
each. This is the same analysis on a simulated tournament, in which it is known what users differ
in.

.. [1] "True Contribution details", https://forum.numer.ai/t/true-contribution-details/5128
"""

# %%
# A tournament
# ------------
#
# Three hundred users over 60 weeks. Their predictions differ in skill (correlation with what drives
# the returns beside features and factors), in exposure (correlation with a bet of their own on the
# features) and in overlap with the example predictions.

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.special import ndtri

from sknumerai.contribution import fit_tc_proxies, tc_proxies, true_contribution
from sknumerai.datasets import make_market
from sknumerai.inspection import TCProxyDisplay
from sknumerai.metrics import neutral_corr
from sknumerai.neutralization import neutralize
from sknumerai.portfolio import PortfolioOptimizer

market = make_market(
    n_stocks=500,
    n_users=300,
    n_eras=60,
    user_skill=(0.0, 0.4),
    user_exposure=(0.0, 0.6),
    user_overlap=(0.0, 0.7),
    random_state=0,
)
eras = market.eras
risk = {
    "factor_loadings": market.factor_loadings,
    "factor_covariance": market.factor_covariance,
    "specific_variance": market.specific_variance,
    "exposures": market.exposures,
}

# %%
# The fund is dollar neutral, holds 1 % of its capital in a stock at most and all of it in total at
# most, and has next to no feature exposure.

fund = PortfolioOptimizer(
    risk_aversion=200.0,
    min_weights=-0.01,
    max_weights=0.01,
    max_leverage=1.0,
    max_exposure=0.02,
)

# %%
# The targets are made like those of the tournament: returns without what the risk factors explain,
# in units of each stock's volatility. TC needs no targets, but the returns themselves.

targets = neutralize(market.returns, market.factor_loadings, eras=eras)
targets /= np.sqrt(market.specific_variance)

# %%
# The table
# ---------
#
# TC and seven scores of every user in every week. With 500 stocks, the 50 at each end stand for the
# 200 at each end of the real tournament.

start = time.perf_counter()
table = tc_proxies(
    market.user_predictions,
    market.stakes,
    market.returns,
    features=market.exposures,
    example_predictions=market.example_predictions,
    meta_model=market.meta_model,
    eras=eras,
    targets=targets,
    top_bottom=50,
    optimizer=fund,
    n_rounds=20,
    random_state=0,
    **risk,
)
print(f"{table.shape[0]} rows in {time.perf_counter() - start:.0f} s")
table.head(3)

# %%
# The fit
# -------
#
# The last 15 of the 60 weeks are held out. Within the other 45, each of eight bags holds out some
# whole weeks to stop early, as users of a week share its returns.

settings = {"outer_bags": 8, "max_rounds": 5000, "random_state": 0}
fit = fit_tc_proxies(table, **settings)
TCProxyDisplay.from_fit(fit)
plt.show()

# %%
# Beside the post
# ---------------
#
# Numerai's post ranks six scores by importance, and describes the shape of each. ``effect`` is what
# a score's shape rises by between its 5th and its 95th percentile, in root mean squares of TC;
# ``correlation`` is the plain one with TC.

reported = pd.DataFrame(
    {
        "fnc": (1, "rises"),
        "fnc_x_dissimilarity": (2, "rises"),
        "mmc": (3, "rises"),
        "fnc_tb50": (4, "rises"),
        "max_exposure": (5, "slight; best from 0.05 to 0.30"),
        "corr": (6, "slight; neither rises nor falls"),
    },
    index=["rank in the post", "shape in the post"],
).T


def effect(shape):
    """What a shape rises by from the 5th to the 95th percentile of the rows."""
    low, high = np.searchsorted(shape["share"].cumsum(), [0.05, 0.95])
    return shape["score"].iloc[high] - shape["score"].iloc[low]


def beside_the_post(fit):
    found = pd.DataFrame({"importance": fit.importances[list(reported.index)].round(2)})
    found.insert(0, "rank here", fit.importances[found.index].rank(ascending=False).astype(int))
    found["effect"] = [round(effect(fit.shapes[name]), 2) for name in found.index]
    return reported.join(found)


beside_the_post(fit).join(table.corr()["tc"].rename("correlation").round(2))

# %%
# What agrees: FNC, its product with dissimilarity and MMC rise, and say most of what can be said.
# CORR, which is well correlated with TC, adds nothing good to them. Exposures say little.
#
# What does not: MMC comes before FNC. CORR is not flat but *falls*: of two users with the same FNC
# and the same MMC, the one with the higher CORR contributes less. The same holds, a little, for top
# and bottom. And no largest exposure is much better than another.

# %%
# Why MMC comes first
# -------------------
#
# This fund has a fixed size: its signal is scaled to the same size every week, which is how
# :func:`~sknumerai.contribution.true_contribution` computes TC by default, and its leverage is
# limited. Who only repeats the meta model then contributes nothing, however good the meta model is.
# MMC takes the meta model out, too, so it is close to this TC; CORR does not.
#
# In a fund whose size follows the signal, repeating a good meta model is a contribution. Here is
# one, without the scaling and the limits on weights and leverage. (The unit of the stakes is such
# that its signal has about the size it had before.)

blended = ndtri(market.user_predictions[eras == "0001"].to_numpy(float)) @ market.stakes
unit = 1e-3 ** (2 / 3) / np.mean(np.abs(blended) ** 3) ** (1 / 3)
contributions = true_contribution(
    market.user_predictions,
    unit * market.stakes,
    market.returns,
    optimizer=PortfolioOptimizer(risk_aversion=200.0, max_exposure=0.02),
    eras=eras,
    signal_scale=None,
    n_rounds=20,
    random_state=0,
    **risk,
)
free_table = table.assign(tc=contributions.to_numpy().ravel())
free_fit = fit_tc_proxies(free_table, **settings)
beside_the_post(free_fit)

# %%
# Now FNC is far ahead of all others, as in the post, and CORR says little more.

corr_alone = fit_tc_proxies(table[["corr", "tc"]], **settings)
figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
for label, one in {
    "the only score": corr_alone,
    "beside the others": fit,
    "beside the others, fund of no fixed size": free_fit,
}.items():
    shape = one.shapes["corr"]
    shape = shape[shape["x"].between(*table["corr"].quantile([0.005, 0.995]))]
    (line,) = ax.step(shape["x"], shape["score"], where="post", label=label)
    ax.fill_between(
        shape["x"], shape["lower"], shape["upper"], step="post", color=line.get_color(), alpha=0.2
    )
ax.axhline(0.0, color="0.3", linewidth=0.8)
ax.set(title="What CORR says about TC", xlabel="corr", ylabel="effect on TC")
ax.legend(frameon=False)
plt.show()

# %%
# Why top and bottom do not count
# -------------------------------
#
# FNC raises ranks and targets to the power 1.5, which stresses both ends. The TC computed here is
# linear in a user's signal, and does not. The top and bottom serve the fit to take that stress out
# again: with an FNC that is linear, they have nothing to say.

linear = neutral_corr(
    targets, market.user_predictions, features=market.exposures, eras=eras, aggregate=None
)
linear = linear.to_numpy().ravel()
linear_fit = fit_tc_proxies(
    free_table.assign(fnc=linear, fnc_x_dissimilarity=linear * table["exposure_dissimilarity"]),
    **settings,
)
pd.DataFrame(
    {
        name: {"importance": one.importances["fnc_tb50"], "effect": effect(one.shapes["fnc_tb50"])}
        for name, one in {"FNC": free_fit, "linear FNC": linear_fit}.items()
    }
).round(2)

# %%
# Why in the real tournament top and bottom help is not for a simulation to say: nothing here makes
# the ends of a prediction better or worse than its middle. Nor does anything link the exposure of a
# user to skill, while real models that were trained with more care may have both less exposure and
# more skill. That may be what Numerai's best range of exposures shows.

# %%
# How much is explained
# ---------------------
#
# The share of the variance of TC, over its size in the week, in weeks that the fits have not seen:

pd.Series(
    {
        "all scores": fit.r2_test,
        "CORR alone": corr_alone.r2_test,
        "all scores, fund of no fixed size": free_fit.r2_test,
        "all scores, fund of no fixed size, linear FNC": linear_fit.r2_test,
    },
    name="R² on held-out weeks",
).round(2)
