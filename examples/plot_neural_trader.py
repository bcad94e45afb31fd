"""
Training a trader on noise, on momentum and on prices
=====================================================

A small network looks at the last returns of an asset and chooses how much of the money to hold
until the next one, between nothing and all. It is trained on what that earns, with no forecast in
between. Does it earn on new data what it earned in training? That depends on what there is to find:

* in noise, nothing: all it earns in training is over-fitted;
* in returns with momentum, a part of it, and a larger one with dropout;
* in the prices of stocks, little more than that stocks went up.
"""

# %%
# Noise and momentum
# ------------------
#
# Returns are standard normal, and either independent or a little like the one before (correlation
# 0.2). Who knows the latter process and may not go short earns
# :math:`\rho \sigma / \sqrt{2 \pi}` per step by holding the asset after every positive return.
#
# The network is made to over-fit: twenty units and windows of eight returns, of which only the last
# one matters, but no more than 600 windows to learn from. The validation data has 12,000.

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sknumerai.datasets import make_momentum_returns
from sknumerai.neural_network import NeuralTrader, sliding_windows

rho = 0.2
oracle = rho / np.sqrt(2 * np.pi)
settings = {
    "noise": {"rho": 0.0, "dropout": 0.0},
    "momentum": {"rho": rho, "dropout": 0.0},
    "momentum, with dropout": {"rho": rho, "dropout": 0.5},
}
histories = {}
for name, setting in settings.items():
    for seed in range(5):
        X, y = sliding_windows(
            make_momentum_returns(50, 20, setting["rho"], random_state=seed), window=8
        )
        X_val, y_val = sliding_windows(
            make_momentum_returns(1000, 20, setting["rho"], random_state=1000 + seed), window=8
        )
        trader = NeuralTrader(
            (20,), dropout=setting["dropout"], max_epochs=150, batch_size=200, random_state=seed
        )
        histories[name, seed] = trader.fit(X, y, X_val=X_val, y_val=y_val).history_
histories = pd.concat(histories, names=["returns", "seed"]).sort_index()
means = histories.groupby(["returns", "epoch"], sort=False).mean()

# %%
# The training return rises in all three, and its gap to the validation return is over-fitting.
# Thick lines are means of five draws of the data, thin ones the validation return of each.

colors = {"train": "tab:orange", "validation": "tab:blue"}


def plot_epochs(ax, histories, quantity):
    for data, color in colors.items():
        draws = histories[f"{data}_{quantity}"].unstack("seed")
        if data == "validation":
            ax.plot(draws, color=color, linewidth=0.6, alpha=0.5)
        ax.plot(draws.mean(axis=1), color=color, linewidth=2.5, label=data)
    ax.spines[["top", "right"]].set_visible(False)


figure, axes = plt.subplots(
    2, 3, figsize=(11, 6), sharex=True, sharey="row", height_ratios=[2, 1], layout="constrained"
)
for (upper, lower), (name, setting) in zip(axes.T, settings.items(), strict=True):
    plot_epochs(upper, histories.loc[name], "return")
    plot_epochs(lower, histories.loc[name], "position")
    best = oracle if setting["rho"] else 0.0
    upper.hlines(best, 0, 150, "black", "--", linewidth=1, label="best possible")
    train, validation = means.loc[name].iloc[-1][["train_return", "validation_return"]]
    upper.annotate("", (154, train), (154, validation), arrowprops={"arrowstyle": "<->"})
    upper.text(158, (train + validation) / 2, f"gap\n{train - validation:.3f}", va="center")
    upper.text(158, validation, f"{validation:.3f}", color=colors["validation"], va="top")
    upper.set(title=name.capitalize(), xlim=(0, 185), xticks=[0, 50, 100, 150])
    lower.set(xlabel="epoch", ylim=(0, 1))
axes[0, 0].set_ylabel("mean return per step")
axes[1, 0].set_ylabel("mean position")
axes[0, 0].legend(loc="upper left", frameon=False)
plt.show()

# %%
# In noise, a return of 0.1 per step was learned by heart: on validation data it is zero within the
# noise, whose standard deviation is 0.005 in each draw. With momentum, the same network earns more
# than half of what is possible, and its validation return declines a little after seventy epochs
# while the training return goes on. Dropout takes a quarter off the gap, and adds a little to what
# is earned.
#
# The mean position says nothing of all this: where prices go nowhere, it may be anywhere.

# %%
# Prices of stocks
# ----------------
#
# Now the daily returns of twenty large US stocks. The default network learns from 1990 to 2009, and
# is validated on 2010 to 2022. It sees four days of one stock at a time, so that it is one trader
# for all, who trades twenty equal accounts. Buying or selling costs 5 basis points (0.05%) of the
# amount, which the training does not know.
#
# The prices are those that come with skfolio, here as a table of dates by stocks in
# ``../shared/data/sp500_prices.csv.gz`` beside the repository. Without this file, the example takes
# simulated returns with about the same drift, volatility, correlation and slight reversal.

location = Path("shared", "data", "sp500_prices.csv.gz")
found = [folder / location for folder in Path.cwd().parents if (folder / location).is_file()]
if found:
    source = "twenty US stocks"
    prices = pd.read_csv(found[0], index_col="Date", parse_dates=True)
    returns = prices.pct_change().iloc[1:]
else:
    source = "simulated returns"
    days = pd.bdate_range("1990-01-03", "2022-12-28")
    market, own = (
        make_momentum_returns(n, len(days), -0.03, volatility=0.022, random_state=n)
        for n in (1, 20)
    )
    returns = pd.DataFrame(0.0007 + 0.6 * market + 0.8 * own, days)
n_stocks = returns.shape[1]
X, y = sliding_windows(returns[:"2009"], window=4)
X_val, y_val = sliding_windows(returns["2010":], window=4)
dates = returns["2010":].index[4:]

traders = {
    name: NeuralTrader(dropout=dropout, max_epochs=40, random_state=0).fit(
        X, y, X_val=X_val, y_val=y_val
    )
    for name, dropout in (("no dropout", 0.0), ("dropout", 0.5))
}

# %%
# Being compared are: all money in the stocks on all days, the two traders before and after costs,
# and for each trader a constant position that is as large as its mean one. The latter tells the
# choice of days from merely holding less.


def account(positions, cost=0.0):
    """Daily return of twenty equal accounts, after costs."""
    positions = np.asarray(positions, dtype=float).reshape(-1, n_stocks)
    traded = np.abs(np.diff(positions, axis=0, prepend=positions[:1]))
    earned = positions * y_val.reshape(-1, n_stocks) - cost * traded
    return pd.Series(earned.mean(axis=1), index=dates)


accounts = {"always invested": account(np.ones_like(y_val))}
for name, trader in traders.items():
    positions = trader.predict(X_val)
    accounts[f"{name}, before costs"] = account(positions)
    accounts[f"{name}, after costs"] = account(positions, cost=0.0005)
    accounts[f"{name}, constant mean position"] = account(np.full_like(y_val, positions.mean()))
accounts = pd.DataFrame(accounts)

table = pd.DataFrame(
    {
        "return per year": 252 * accounts.mean(),
        "volatility per year": 252**0.5 * accounts.std(),
        "Sharpe ratio": 252**0.5 * accounts.mean() / accounts.std(),
    }
)
table.round(3)

# %%

figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
history = traders["no dropout"].history_
for data, target in (("train", y), ("validation", y_val)):
    for ax, quantity, unit in ((axes[0], "return", 1e4), (axes[1], "position", 1)):
        ax.plot(unit * history[f"{data}_{quantity}"], color=colors[data], linewidth=2.5, label=data)
    axes[0].axhline(1e4 * target.mean(), color=colors[data], linewidth=1, linestyle="--")
axes[0].plot([], color="black", linewidth=1, linestyle="--", label="always invested")
axes[0].set(title="Return, basis points per day", xlabel="epoch", ylim=(0, None))
axes[0].legend(loc="lower left", frameon=False)
axes[1].set(title="Mean position", xlabel="epoch", ylim=(0, 1.05))
styles = {
    "always invested": ("black", "--"),
    "no dropout, before costs": ("tab:blue", ":"),
    "no dropout, after costs": ("tab:blue", "-"),
}
for name, (color, style) in styles.items():
    monthly = 100 * accounts[name].cumsum().resample("MS").first()
    label = f"{name} (Sharpe {table.loc[name, 'Sharpe ratio']:.2f})"
    axes[2].plot(monthly, color=color, linestyle=style, linewidth=2, label=label)
axes[2].set_title("Sum of validation returns, percent")
axes[2].set_ylim(top=1.35 * axes[2].get_ylim()[1])
axes[2].legend(loc="upper left", frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.suptitle(f"Trading {source}, without dropout")
plt.show()

# %%
# On the prices, the first thing the network learns is to hold all stocks on all days. That is most
# of what there is to learn, and the dashed lines are hard to beat. Without dropout it goes on, to
# hold less after some patterns of returns. This adds 1.4 basis points per day in training, and
# takes 1.5 away on validation data: a constant position of the same size earns more at the same
# risk. Costs take more than a quarter of the rest. Dropout holds the network back, so that it does
# little harm; it still does not earn what doing nothing earns. Other seeds (``random_state`` 1, 2
# and 3) say the same.
#
# Two reservations. The twenty stocks are ones that have done well, which flatters being always
# invested in both periods. And one could stop after the epoch with the best validation return, but
# would have to judge that trader on a third period.
#
# In the simulated returns the reversal is the same in both periods: before costs, the trader
# without dropout earns more than being always invested, and costs take that back.
