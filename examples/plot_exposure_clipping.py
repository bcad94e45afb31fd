"""
Clipping exposures, or neutralizing
===================================

The feature exposures of a prediction are its correlations with the features of an era. Two ways to
make the largest one smaller are compared on one synthetic era:

* *neutralizing* takes a proportion of all that the features explain linearly out of the
  prediction, so that all exposures shrink by one factor;
* *clipping* changes the prediction as little as possible so that no exposure exceeds a limit.
"""

# %%
# A model and a new era
# ---------------------
#
# Forty eras to learn from, and one that the model has never seen.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from sknumerai.datasets import make_tournament
from sknumerai.metrics import feature_exposure, max_feature_exposure
from sknumerai.neutralization import clip_exposure, neutralize

tournament = make_tournament(
    n_eras=41, n_stocks=2000, n_features=80, n_validation_eras=1, random_state=0
)
train = tournament.data_type == "train"
model = HistGradientBoostingRegressor(
    max_iter=60, learning_rate=0.05, max_leaf_nodes=15, random_state=0
)
model.fit(tournament.data[train], tournament.target[train])

features = tournament.data[~train]
prediction = pd.Series(model.predict(features), index=features.index, name="prediction")

# %%
# The same largest exposure, two ways
# -----------------------------------
#
# The limit is 0.1. The proportion that brings the largest exposure down to it is found by trying
# a hundred, which costs one factorization.

limit = 0.1
clipped, (record,) = clip_exposure(prediction, features, limit, return_info=True)

proportions = np.linspace(0.0, 1.0, 101)
neutralized = neutralize(prediction, features, proportion=proportions)
neutralized.columns = proportions
largest = max_feature_exposure(neutralized, features=features)
proportion = proportions[np.argmax(largest <= limit)]

variants = pd.DataFrame(
    {
        "as predicted": prediction,
        f"neutralized by {proportion:.0%}": neutralized[proportion],
        f"clipped at {limit}": clipped,
    }
)
exposures = feature_exposure(variants, features=features, eras="0041").loc["0041"]
exposures = exposures.unstack("prediction")[variants.columns]
pd.DataFrame(
    {
        "largest exposure": exposures.abs().max(),
        "mean absolute exposure": exposures.abs().mean(),
        "correlation with the prediction": variants.corr()["as predicted"],
    }
).round(3)

# %%
# Neutralizing makes all exposures small to get the largest one down. Clipping gives a weight to
# those few features that meet the limit; the others move because they are correlated with these.
# It keeps more of the prediction.

order = exposures["as predicted"].sort_values().index
rank = np.arange(len(order))
colors = dict(zip(variants, ["0.65", "tab:orange", "tab:blue"], strict=True))

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, name in zip(axes, variants.columns[1:], strict=True):
    for column, width in (("as predicted", 1.0), (name, 0.55)):
        ax.bar(rank, exposures.loc[order, column], width, color=colors[column], label=column)
    ax.axhline(limit, color="black", linewidth=1, linestyle="--", label=f"limits ±{limit}")
    ax.axhline(-limit, color="black", linewidth=1, linestyle="--")
    ax.set(title=name.capitalize(), xlabel="features, by exposure of the prediction")
    ax.legend(loc="lower right")
axes[0].set_ylabel("exposure (correlation with the feature)")
figure.suptitle("Exposures before and after")
plt.show()

# %%
# The answer comes with a certificate: by how much an exposure exceeds its limit at most, and by
# how much another prediction inside the limits could be more faithful at most.

pd.Series(
    {
        "correlation with the prediction": record.correlation,
        "violation of a limit": record.violation,
        "duality gap": record.gap,
        "features with a weight": record.n_active,
        "passes over the features": record.n_iter,
    }
).map("{:.3g}".format)

# %%
# How much is kept at every limit
# -------------------------------
#
# The curve of clipping is an upper bound: no signal whatever with the same largest exposure has a
# higher correlation with the prediction. ``bounds="shrink"``, under which no exposure may grow or
# change its sign, costs a little of it. At the left end, where nothing is left of any exposure, all
# three meet.

limits = np.linspace(0.0, exposures["as predicted"].abs().max(), 30)
kept = {
    bounds: [
        clip_exposure(prediction, features, c, bounds=bounds, return_info=True)[1][0].correlation
        for c in limits
    ]
    for bounds in ("symmetric", "shrink")
}
kept_by_neutralizing = neutralized.corrwith(prediction)
marked = proportions[::10]

figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
ax.plot(limits, kept["symmetric"], color="tab:blue", label="clipped")
ax.plot(limits, kept["shrink"], color="tab:blue", linestyle=":", label='clipped, bounds="shrink"')
ax.plot(largest, kept_by_neutralizing, color="tab:orange", linewidth=1)
ax.plot(
    largest[marked],
    kept_by_neutralizing[marked],
    "o",
    color="tab:orange",
    label="neutralized, by 0%, 10%, ..., 100%",
)
ax.set(
    title="What is left of a prediction at a given largest exposure",
    xlabel="largest absolute exposure",
    ylabel="correlation with the prediction",
)
ax.legend(loc="lower right")
plt.show()

# %%
# Whether the more faithful prediction is the better one is another question: it keeps more of the
# model's skill, and more of its linear risk. :doc:`/user_guide/exposure` has an experiment, and
# :ref:`sphx_glr_auto_examples_plot_pipeline_gridsearch.py` scores both out of sample.
