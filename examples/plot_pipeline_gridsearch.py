"""
A search over model and neutralization
======================================

How much to neutralize, or where to clip, is a parameter like any other: this example searches over
it together with a parameter of the model, inside a pipeline, in folds made of whole eras. Then it
scores the variants on eras that none of them has seen.
"""

# %%
# Data
# ----
#
# Returns of neighboring eras overlap: each sums four weeks and shares three of them with the next.
# Every fourth era is used for training, so that the folds have nothing in common. The target is
# centered, since neutralization removes the mean of a prediction as well.

import tempfile
import time

import matplotlib.pyplot as plt
import pandas as pd
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from sknumerai.datasets import make_tournament
from sknumerai.metrics import max_feature_exposure, numerai_corr
from sknumerai.neutralization import ExposureClipper, FeatureNeutralizer, NeutralizedRegressor

tournament = make_tournament(
    n_eras=360,
    n_stocks=1000,
    n_features=40,
    n_validation_eras=80,
    linear_risk=0.05,
    random_state=0,
)
number = tournament.eras.astype(int)
train = (tournament.data_type == "train") & (number % 4 == 1)
test = tournament.data_type == "validation"

target = tournament.target - 0.5
X, y, eras = tournament.data[train], target[train], tournament.eras[train]
X_test, y_test, eras_test = tournament.data[test], target[test], tournament.eras[test]

# %%
# The pipeline
# ------------
#
# The model is trained on six of the eight feature groups. Its exposures to all features are to be
# limited: hence ``features=X`` in every call. Without it the regressor would take the columns that
# reach it.
#
# Metadata routing carries ``eras`` and ``features`` through the search and the pipeline. The steps
# of this package ask for them on their own; the splitter has to be told that its groups are the
# eras.

sklearn.set_config(enable_metadata_routing=True)

groups = list(tournament.feature_groups.values())
used = [name for group in groups[:6] for name in group]
booster = HistGradientBoostingRegressor(learning_rate=0.05, max_iter=40, random_state=0)
pipeline = Pipeline(
    [
        ("columns", ColumnTransformer([("used", "passthrough", used)])),
        ("model", NeutralizedRegressor(booster, FeatureNeutralizer())),
    ]
)
folds = GroupKFold(n_splits=3).set_split_request(groups="eras")

# %%
# The search
# ----------
#
# The grid holds neutralization at three proportions and clipping at two limits. The clipper's
# defaults, ranks before and [0, 1] after, suit uploads; here the predictions must stay in units of
# the target, because the score of the search is the estimator's own, R² of the final predictions.
# (The scorers of scikit-learn, ``scoring="r2"`` among them, pass no metadata to ``predict``.)
# ``error_score="raise"`` makes sure that missing metadata is an error and not a score of NaN.

clipper = ExposureClipper(normalize=None, scale=None)
leaves = [4, 16]
grid = [
    {
        "model__regressor__max_leaf_nodes": leaves,
        "model__transformer__proportion": [0.0, 0.5, 1.0],
    },
    {
        "model__regressor__max_leaf_nodes": leaves,
        "model__transformer": [clipper],
        "model__transformer__max_exposure": [0.1, 0.2],
    },
]


def search(memory):
    """Search the grid, and time it."""
    start = time.perf_counter()
    estimator = clone(pipeline).set_params(model__memory=memory)
    result = GridSearchCV(estimator, grid, cv=folds, error_score="raise")
    result.fit(X, y, eras=eras, features=X)
    return result, time.perf_counter() - start


# %%
# Five settings of the transformer share one fit of the regressor in each fold if it has a
# ``memory``.

_, seconds = search(memory=None)
with tempfile.TemporaryDirectory() as folder:
    fitted, seconds_with_memory = search(memory=folder)
print(f"without memory: {seconds:.1f} s; with memory: {seconds_with_memory:.1f} s")

# %%
# What the search found
# ---------------------

found = pd.DataFrame(fitted.cv_results_)
found["transformer"] = [
    f"clipped at {c}" if p != p else f"neutralized by {p:.0%}"
    for p, c in zip(
        found["param_model__transformer__proportion"],
        found["param_model__transformer__max_exposure"],
        strict=True,
    )
]
table = found.pivot(
    index="transformer", columns="param_model__regressor__max_leaf_nodes", values="mean_test_score"
)
(1e4 * table).round(2).add_prefix("R² × 10⁴, leaves: ").rename_axis(columns=None)

# %%
# All of them are about zero, as R² is where predictions correlate with the target by about 0.01.
# Here it prefers the smaller trees, and clipping to the other transformers by very little.

# %%
# Out of sample
# -------------
#
# Variants of the transformer on the best regressor are scored by the tournament's correlation
# in the eighty eras after the training eras.

variants = {
    "as predicted": FeatureNeutralizer(0.0),
    "neutralized by 50%": FeatureNeutralizer(0.5),
    "neutralized by 100%": FeatureNeutralizer(1.0),
    "clipped at 0.2": clone(clipper).set_params(max_exposure=0.2),
    "clipped at 0.1": clone(clipper).set_params(max_exposure=0.1),
    "clipped at 0.05": clone(clipper).set_params(max_exposure=0.05),
}
max_leaf_nodes = fitted.best_params_["model__regressor__max_leaf_nodes"]
predictions = {}
with tempfile.TemporaryDirectory() as folder:
    for name, transformer in variants.items():
        model = clone(pipeline).set_params(
            model__regressor__max_leaf_nodes=max_leaf_nodes,
            model__transformer=transformer,
            model__memory=folder,
        )
        model.fit(X, y, eras=eras, features=X)
        predictions[name] = model.predict(X_test, eras=eras_test, features=X_test)
predictions = pd.DataFrame(predictions, index=X_test.index)

corr = numerai_corr(y_test, predictions, eras=eras_test, aggregate=None)
pd.DataFrame(
    {
        "largest exposure": max_feature_exposure(predictions, features=X_test, eras=eras_test),
        "mean CORR": corr.mean(),
        "std of CORR": corr.std(ddof=0),
        "Sharpe ratio": corr.mean() / corr.std(ddof=0),
        "worst era": corr.min(),
    }
).round(4)

# %%
figure, ax = plt.subplots(figsize=(9, 5), layout="constrained")
styles = ["-", "--", ":"]
for i, name in enumerate(corr):
    color = "black" if i == 0 else "tab:orange" if "neutral" in name else "tab:blue"
    ax.plot(range(1, len(corr) + 1), corr[name].cumsum(), styles[i % 3], color=color, label=name)
ax.set(
    title="Out-of-sample scores, added up",
    xlabel="eras after the training eras",
    ylabel="cumulative CORR",
)
ax.axhline(0.0, color="0.7", linewidth=1, zorder=0)
ax.legend(loc="upper left")
plt.show()

# %%
# What neutralizing and clipping do for sure is to lower the variation of the scores, the more the
# tighter they are. They also take away what the linear part earned, and in this stretch of eras
# it earned a lot: the prediction as it was ends highest and has the best Sharpe ratio. Clipping at
# 0.2 and neutralizing by 50% are level, though the largest exposure of the first is much smaller.
#
# How much can be concluded? The scores of single eras vary by more than 0.03, so that the standard
# error of a mean over eighty of them is 0.004, and more, since neighbors overlap: as large as most
# differences in the table. Another ``random_state`` gives another order. The choice of a limit
# deserves more eras than these, or a view on whether the exposures will be paid.
