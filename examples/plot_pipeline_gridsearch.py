"""
A search over model and neutralization in a pipeline
====================================================

How much to neutralize, or where to clip, is a parameter like any other: this example searches over
it together with a parameter of the model, inside a pipeline, in folds made of whole eras. Then it
scores the variants on eras that none of them has seen.
"""

# %%
# Data
# ----
#
# Returns of neighboring eras overlap: each sums four weeks and shares three of them with the next.
# Every fourth era is used for training, so that eras have nothing in common.

import tempfile

import matplotlib.pyplot as plt
import pandas as pd
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sknumerai.datasets import make_tournament
from sknumerai.metrics import (
    get_era_scorer,
    max_feature_exposure,
    numerai_corr,
    score_summary,
)
from sknumerai.model_selection import PurgedEraKFold
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

X, y, eras = tournament.data[train], tournament.target[train], tournament.eras[train]
X_test, y_test, eras_test = tournament.data[test], tournament.target[test], tournament.eras[test]

# %%
# The pipeline
# ------------
#
# The model is trained on six of the eight feature groups. Its exposures to all features are to be
# limited: hence ``features=X`` in every call. Without it the regressor would take the columns that
# reach it.
#
# Metadata routing carries ``eras`` and ``features`` through the search and the pipeline. The steps,
# the splitter and the scorer ask for them on their own.
#
# The splitter counts eras as they are. It would leave out three eras on each side of a test block
# and cannot know that these do not overlap: hence ``purge=0``.

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
folds = PurgedEraKFold(3, purge=0)

# %%
# The search
# ----------
#
# The grid holds neutralization at three proportions and clipping at two limits. The score of a
# setting is the Sharpe ratio of its correlations with the target (CORR) over the eras of a test
# block. ``error_score="raise"`` makes sure that missing metadata is an error, not a score of NaN.

leaves = [4, 16]
grid = [
    {
        "model__regressor__max_leaf_nodes": leaves,
        "model__transformer__proportion": [0.0, 0.5, 1.0],
    },
    {
        "model__regressor__max_leaf_nodes": leaves,
        "model__transformer": [ExposureClipper()],
        "model__transformer__max_exposure": [0.1, 0.2],
    },
]

with tempfile.TemporaryDirectory() as folder:
    search = GridSearchCV(
        clone(pipeline).set_params(model__memory=folder),
        grid,
        cv=folds,
        scoring=get_era_scorer("numerai_corr_sharpe"),
        n_jobs=2,
        error_score="raise",
    )
    search.fit(X, y, eras=eras, features=X)

# %%
# Five settings of the transformer share one fit of the regressor in each fold, since it has a
# ``memory``: :ref:`sphx_glr_auto_examples_plot_grid_search_eras.py` measures what that saves.

# %%
# What the search found
# ---------------------

found = pd.DataFrame(search.cv_results_)
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
table.round(2).add_prefix("Sharpe ratio of CORR, leaves: ").rename_axis(columns=None)

# %%
# The search picks the smaller trees, neutralized by 100%. But there are only 70 training eras, and
# the standard error of a Sharpe ratio from so many is about 0.12, one over the square root of their
# number. That is as large as most differences here.

# %%
# Out of sample
# -------------
#
# Variants of the transformer on the best regressor are scored by CORR in the eighty eras after the
# training eras.

variants = {
    "as predicted": FeatureNeutralizer(0.0),
    "neutralized by 50%": FeatureNeutralizer(0.5),
    "neutralized by 100%": FeatureNeutralizer(1.0),
    "clipped at 0.2": ExposureClipper(0.2),
    "clipped at 0.1": ExposureClipper(0.1),
    "clipped at 0.05": ExposureClipper(0.05),
}
max_leaf_nodes = search.best_params_["model__regressor__max_leaf_nodes"]
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
summary = score_summary(corr)[["mean", "std", "sharpe", "max_drawdown", "hit_rate"]]
summary.insert(
    0, "max_exposure", max_feature_exposure(predictions, features=X_test, eras=eras_test)
)
summary.round(4)

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
# tighter they are. They also take away what the linear part earned. In the training eras that was
# too little to pay for its risk. In this stretch of eras it is a lot: the prediction as it was ends
# highest and has the best Sharpe ratio, and what the search picked ends lowest. Clipping at 0.2 and
# neutralizing by 50% are level, though the largest exposure of the first is much smaller.
#
# How much can be concluded? The scores of single eras vary by more than 0.03, so that the standard
# error of a mean over eighty of them is 0.004, and more, since neighbors overlap: as large as most
# differences in the table. The choice of a limit deserves more eras than these, or a view on
# whether the exposures will be paid. The other example chooses the model by a score that does not
# depend on that.
#
# Routing is a setting of the whole process. A script that goes on with other work turns it off:

sklearn.set_config(enable_metadata_routing=False)
