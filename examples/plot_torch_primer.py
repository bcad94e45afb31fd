"""
Torch models as scikit-learn estimators: a primer
=================================================

In torch, a model is a ``Module``, and training it is a loop over mini-batches to write oneself.
skorch writes this loop and makes an estimator of the module, with ``fit``, ``predict`` and
``score``. The networks of this package are built that way. Two small models show what happens in
between, on data where the right answers are known.
"""

# %%
# A linear model
# --------------
#
# 10,000 draws of :math:`y = \beta_0 + \beta_1 x + \sigma \varepsilon`. The logarithm of their
# likelihood is
#
# .. math:: \log L = -\frac{N}{2} \log(2 \pi) - N \log \sigma
#     - \sum_i \frac{(y_i - \beta_0 - \beta_1 x_i)^2}{2 \sigma^2} .
#
# Whatever :math:`\sigma` is, the best coefficients are those with the least squared errors, so the
# loss is their mean. Callbacks note the coefficients after every epoch.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EpochScoring
from torch import nn

beta_0, beta_1, sigma = 1.0, 2.0, 0.5
rng = np.random.default_rng(0)
x = rng.normal(size=(10_000, 1)).astype(np.float32)
y = (beta_0 + beta_1 * x + sigma * rng.normal(size=x.shape)).astype(np.float32)

torch.manual_seed(0)
line = NeuralNetRegressor(
    nn.Linear,
    module__in_features=1,
    module__out_features=1,
    optimizer=torch.optim.RMSprop,
    lr=0.01,
    batch_size=1000,
    max_epochs=40,
    train_split=None,
    callbacks=[
        EpochScoring(lambda net, X, y: net.module_.bias.item(), name="beta_0", on_train=True),
        EpochScoring(lambda net, X, y: net.module_.weight.item(), name="beta_1", on_train=True),
    ],
    verbose=0,
).fit(x, y)

# %%
# With the coefficients in place, the derivative of :math:`\log L` with respect to :math:`\sigma` is
# zero where :math:`\sigma^2` is the mean squared error: the loss itself says how noisy the data is.

sigma_hat = np.sqrt(np.mean((y - line.predict(x)) ** 2))
slope, intercept = np.polyfit(x[:, 0], y[:, 0], 1)
residual = y[:, 0] - intercept - slope * x[:, 0]
pd.DataFrame(
    {
        "true": [beta_0, beta_1, sigma],
        "torch": [line.module_.bias.item(), line.module_.weight.item(), sigma_hat],
        "least squares": [intercept, slope, residual.std()],
    },
    index=["beta_0", "beta_1", "sigma"],
).round(3)

# %%

history = pd.DataFrame(line.history[:, ("beta_0", "beta_1", "train_loss")], dtype=float)
history.columns = ["β₀", "β₁", "mean squared error"]
history.index += 1
history["σ"] = np.sqrt(history["mean squared error"])
panels = {"Coefficients": {"β₀": beta_0, "β₁": beta_1}, "Root mean squared error": {"σ": sigma}}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for ax, (title, true_values) in zip(axes, panels.items(), strict=True):
    for name, true in true_values.items():
        ax.plot(history[name], linewidth=2.5, label=name)
        ax.axhline(true, color="black", linewidth=1, linestyle="--", zorder=3)
        ax.text(len(history), true * 1.02, f"true {name} = {true}", ha="right", va="bottom")
    ax.set(title=title, xlabel="epoch", ylim=(0, 1.1 * history[list(true_values)].max(axis=None)))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].legend(loc="lower right", frameon=False)
plt.show()

# %%
# A classifier
# ------------
#
# The second model says on which side of a hyperplane a point in 100 dimensions lies, from examples
# with logistic noise: :math:`P(y = 1) = 1 / (1 + e^{-\sum_j x_j})`. The network has two hidden
# units. Accuracy, and the shares of false positives and of false negatives among all rows, are
# taken after every epoch, for the training data and for the fifth of the rows that skorch sets
# aside. (For eras that would be wrong: a split by rows tears them apart.)

X = rng.normal(size=(10_000, 100)).astype(np.float32)
probability = expit(X.sum(axis=1))
label = (rng.random(len(X)) < probability).astype(np.int64)


def false_positives(net, X, y):
    return np.mean((net.predict(X) == 1) & (y == 0))


def false_negatives(net, X, y):
    return np.mean((net.predict(X) == 0) & (y == 1))


scores = {
    "accuracy": "accuracy",
    "false positives": false_positives,
    "false negatives": false_negatives,
}
torch.manual_seed(0)
classifier = NeuralNetClassifier(
    nn.Sequential(nn.Linear(100, 2), nn.Sigmoid(), nn.Linear(2, 2)),
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.RMSprop,
    lr=0.01,
    batch_size=1000,
    max_epochs=15,
    callbacks=[
        EpochScoring(score, name=f"{data} {name}", on_train=data == "train")
        for name, score in scores.items()
        for data in ("train", "validation")
    ],
    verbose=0,
).fit(X, label)

# %%
# Nobody can do better than to say 1 where its probability is above one half. That is right on
# average for the larger one of the two probabilities, the dashed lines.

wrong = np.minimum(probability, 1 - probability)
best = {
    "accuracy": 1 - wrong.mean(),
    "false positives": np.mean(wrong * (probability > 0.5)),
    "false negatives": np.mean(wrong * (probability <= 0.5)),
}
epochs = np.arange(1, 1 + len(classifier.history))
figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
for ax, name in zip(axes, scores, strict=True):
    for data, color in (("train", "tab:orange"), ("validation", "tab:blue")):
        values = classifier.history[:, f"{data} {name}"]
        ax.plot(epochs, values, color=color, linewidth=2.5, label=data)
    ax.axhline(best[name], color="black", linewidth=1, linestyle="--", label="best possible")
    ax.set(
        title=name.capitalize(),
        xlabel="epoch",
        xticks=[1, 5, 10, 15],
        ylim=(0.9, 0.96) if name == "accuracy" else (0.0, 0.06),
    )
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("share of rows")
axes[0].legend(loc="lower right", frameon=False)
plt.show()

# %%
# After five epochs there is nothing left to learn, and what training accuracy gains from then on is
# over-fitted. That validation accuracy stays one percent below the best possible one is in part
# chance: 2,000 rows leave a standard error of half a percent.
