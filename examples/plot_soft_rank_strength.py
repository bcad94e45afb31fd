"""
How soft a soft rank has to be
==============================

Ranks have no gradient: a small change of a prediction changes no rank. :func:`soft_rank
<sknumerai.neural_network.soft_rank>` has one where the regularization strength lets neighbouring
predictions share a block. Too small a strength, and most rows stand alone; too large, and the
ranks become a linear function of the predictions. Between the two lies a strength in proportion to
1 / n, for n predictions.
"""

# %%
# A gradient to compare with
# --------------------------
#
# Standard normal predictions have a smooth rank, n times the normal distribution function. The
# gradient of its correlation with the target is what that of a soft rank should come close to.
# Predictions are standardized here, as ``regularization_strength="auto"`` does, so that strengths
# are in units of their standard deviation.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from sknumerai.neural_network import corr_loss, soft_rank


def draw_era(n):
    """Standardized predictions, and a target that they know a little of."""
    generator = torch.Generator().manual_seed(0)
    predictions, noise = torch.randn(2, n, generator=generator, dtype=torch.float64)
    predictions = (predictions - predictions.mean()) / predictions.std(correction=0)
    return predictions, 0.05 * predictions + noise


def gradient(loss, predictions, *arguments, **options):
    """Gradient of a loss with respect to the predictions."""
    predictions = predictions.clone().requires_grad_()
    loss(predictions, *arguments, **options).backward()
    return predictions.grad


def smooth_loss(predictions, target):
    """Minus the correlation with the target of the smooth ranks."""
    return -torch.corrcoef(torch.stack([torch.special.ndtr(predictions), target]))[0, 1]


# %%
# From nearly no gradient to a linear one
# ---------------------------------------

marked = [0.05, 0.5, 1, 2, 3, 5, 50]  # of 1 / n
rows = []
for n in (500, 5000):
    predictions, target = draw_era(n)
    smooth = gradient(smooth_loss, predictions, target)
    ranks = predictions.argsort().argsort() + 1.0
    for factor in (*np.geomspace(0.03, 100, 40), *marked):
        options = {"regularization_strength": factor / n}
        soft = gradient(corr_loss, predictions, target, **options)
        share = (soft != 0).double().mean().item()
        cosine = torch.cosine_similarity(soft, smooth, dim=0).item()
        distance = (soft_rank(predictions, **options) - ranks).abs().mean().item() / n
        rows.append((n, factor, share, cosine, distance))

titles = {
    "share": "share of rows with a gradient",
    "cosine": "cosine of the gradient to the smooth one",
    "distance": "mean distance from the ranks, over n",
}
table = pd.DataFrame(rows, columns=["n", "factor", *titles]).set_index(["n", "factor"])
table = table.sort_index()

figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharex=True, layout="constrained")
for n, color in ((500, "tab:orange"), (5000, "tab:blue")):
    for ax, column in zip(axes, titles, strict=True):
        values = table.loc[n, column]
        ax.plot(values.index / n, values, color=color, label=f"{n:,} predictions")
        ax.axvline(5 / n, color=color, linestyle="--", linewidth=1, label=f"5 / {n:,}")
for ax, title in zip(axes, titles.values(), strict=True):
    ax.axvline(1e-4, color="black", linestyle=":", linewidth=1, label="1e-4")
    ax.set(title=title, xlabel="regularization strength", xscale="log", ylim=(0, None))
axes[2].legend(loc="upper left")
plt.show()

# %%
# The strength 1e-4, which is often copied, gives a gradient to a quarter of 5,000 predictions
# (there it is 0.5 / n) and to one in fifty of 500 (0.05 / n). In multiples of 1 / n the two sizes
# agree:

table.unstack("n").loc[marked].round(3)

# %%
# At 5 / n, the default, nearly all rows have a gradient, and it points in nearly the direction of
# the smooth one. The ranks themselves have left the hard ones by then: blocks form where
# predictions are denser than the strength resolves, for normal ones in the middle, from 2.5 / n on.
# There soft ranks are linear in the predictions, and their correlation with the target is close to
# that of the predictions themselves. Those who want ranks close to the hard ones pass a number
# between 2 / n and 3 / n, for standardized predictions, and leave some rows without a gradient.
