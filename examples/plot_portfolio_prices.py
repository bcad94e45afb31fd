"""
A portfolio of real stocks, week by week
========================================

The optimizer on twenty large US stocks: every week a momentum signal, a factor model of the past
year's returns, and the portfolio held so far. What do its knowledge of costs and its cap on
turnover change? And which stocks' signals can still move the portfolio?
"""

# %%
# Prices, signal, risk
# --------------------
#
# The prices are those that come with skfolio, here as a table of dates by stocks in
# ``../shared/data/sp500_prices.csv.gz`` beside the repository. Without this file, the example takes
# simulated prices. Twenty stocks that are large today were chosen with hindsight: their returns
# say nothing about momentum, only about what the optimizer does with it.

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.special import ndtri

from sknumerai.datasets import make_momentum_returns
from sknumerai.portfolio import PortfolioOptimizer

location = Path("shared", "data", "sp500_prices.csv.gz")
found = [folder / location for folder in Path.cwd().parents if (folder / location).is_file()]
if found:
    source = "twenty US stocks"
    prices = pd.read_csv(found[0], index_col="Date", parse_dates=True)
else:
    source = "simulated stocks"
    market, own = (
        make_momentum_returns(n, 6000, 0.0, volatility=0.015, random_state=n) for n in (1, 20)
    )
    days = pd.bdate_range("2000-01-03", periods=6000)
    prices = (1.0 + pd.DataFrame(0.0005 + 0.6 * market + 0.8 * own, days)).cumprod()

weekly = prices.loc["2005":].resample("W").last()
returns = weekly.pct_change().iloc[1:]
momentum = (weekly.shift(4) / weekly.shift(52) - 1.0).iloc[1:]  # a year, without the last month


def risk_model(past, n_factors=3):
    """The largest principal components of past returns, and what they leave of each variance."""
    values, vectors = np.linalg.eigh(np.cov(past.T))
    loadings = vectors[:, -n_factors:] * np.sqrt(values[-n_factors:])
    return {
        "factor_loadings": loadings,
        "specific_variance": np.diag(np.cov(past.T)) - np.sum(loadings**2, axis=1),
    }


# %%
# Every week
# ----------
#
# The signal is an expected return: a momentum score times the stock's volatility times a modest
# 0.03. Long only, fully invested, at most 15 % in a stock. Trading costs 10 basis points of what
# is bought and of what is sold. One optimizer knows that, and holds its two-way turnover to 10 % a
# week; another one does not.

COST = 0.001
limits = {"budget": 1.0, "min_weights": 0.0, "max_weights": 0.15, "risk_aversion": 2.0}
optimizers = {
    "ignores costs": PortfolioOptimizer(**limits),
    "knows costs": PortfolioOptimizer(transaction_costs=COST, max_turnover=0.1, **limits),
}
n_stocks = returns.shape[1]
held = {name: np.full(n_stocks, 1.0 / n_stocks) for name in optimizers}
records = []
for week in range(60, len(returns)):
    past, realised = returns.iloc[week - 52 : week], returns.iloc[week].to_numpy()
    score = ndtri((momentum.iloc[week - 1].rank().to_numpy() - 0.5) / n_stocks)
    signal = 0.03 * score * past.std().to_numpy()
    for name, optimizer in optimizers.items():
        optimizer.fit(signal, previous_weights=held[name], **risk_model(past))
        turnover = np.abs(optimizer.weights_ - held[name]).sum()
        gain = optimizer.weights_ @ realised
        records.append((returns.index[week], name, gain, turnover, optimizer.n_free_))
        held[name] = optimizer.weights_ * (1.0 + realised) / (1.0 + gain)
    records.append((returns.index[week], "equal weights", realised.mean(), 0.0, n_stocks))

history = pd.DataFrame(records, columns=["week", "portfolio", "gain", "turnover", "free"])
history["net"] = history["gain"] - COST * history["turnover"]
summary = history.groupby("portfolio").agg(
    gain=("gain", "mean"), net=("net", "mean"), risk=("net", "std"), turnover=("turnover", "mean"),
    free=("free", "mean"),
)  # fmt: skip
summary[["gain", "net"]] *= 52
summary["risk"] *= np.sqrt(52)
print(summary.round(3))

# %%
# The costs pay twice: in money, and in a portfolio that keeps still. To keep still means that most
# stocks are at a kink, their previous weight, or at a bound: only the free ones pass a small change
# of the signal on.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for name, rows in history.groupby("portfolio"):
    (1.0 + rows.set_index("week")["net"]).cumprod().plot(ax=axes[0], label=name)
axes[0].set(yscale="log", title=f"{source}: wealth after costs", xlabel="")
axes[0].legend(frameon=False)

names = list(weekly.columns)
reaction = optimizers["ignores costs"].gradient(np.eye(n_stocks))
largest = np.abs(reaction).max()
image = axes[1].imshow(reaction, cmap="RdBu", vmin=-largest, vmax=largest)
axes[1].set_xticks(range(n_stocks), names, rotation=90, fontsize=7)
axes[1].set_yticks(range(n_stocks), names, fontsize=7)
axes[1].set_title("last week: weight of the row per signal of the column")
figure.colorbar(image, ax=axes[1], shrink=0.8)
plt.show()
