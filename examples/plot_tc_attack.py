"""
True Contribution without information
=====================================

A user who knows nothing but what the meta model will be, and what the optimizer charges for risk,
can earn True Contribution: :func:`~sknumerai.contribution.adversarial_prediction` is the prediction
that does it. Other forms of TC have been proposed against that. Here all four are attacked in
thousands of simulated eras. :doc:`/user_guide/closed_form_tc` has the mathematics.
"""

# %%
# The experiment
# --------------
#
# Fifty stocks have one Hessian of costs :math:`H`, that of a risk model with ten factors. In every
# era the expected meta model :math:`\bar m` is drawn anew, and the returns are
# :math:`y = \bar m + 2 \varepsilon`: nobody can know more than :math:`\bar m`, so nobody deserves
# anything. Three users try:
#
# * the *adversary*, with :math:`p = H^{-1} \bar m` off :math:`\bar m`;
# * the *sign-flipped adversary*, with :math:`-p`;
# * a user with an *empty prediction*, all zeros, to see what a form pays for nothing at all.
#
# The meta model is either :math:`\bar m` itself; or :math:`\bar m` with noise of its own; or
# :math:`\bar m` divided by the expected norm of the returns, so that its size is the confidence in
# it, as the form "scaled" wants it.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sknumerai.contribution import adversarial_prediction, closed_form_tc

FORMS = ["current", "aligned", "scaled", "aligned_normalized"]


def attack(n_eras=3000, n_stocks=50, n_factors=10, noise=2.0, seed=0):
    """z-scores of the mean contribution, by setting and form (rows) and user (columns)."""
    rng = np.random.default_rng(seed)
    variance = np.exp(0.8 * rng.normal(size=n_stocks))
    loadings = rng.normal(size=(n_stocks, n_factors))
    expected = rng.normal(size=(n_eras, n_stocks))
    returns = expected + noise * rng.normal(size=expected.shape)
    size = np.sqrt((expected**2).sum(axis=1, keepdims=True) + noise**2 * n_stocks)
    meta_models = {
        "known exactly": expected,
        "known with noise": expected + 0.3 * rng.normal(size=expected.shape),
        "scaled by confidence": expected / size,
    }
    adversary = np.array(
        [adversarial_prediction(m, hessian=(variance, loadings)) for m in expected]
    )
    predictions = pd.DataFrame(
        {"adversary": adversary.ravel(), "sign-flipped": -adversary.ravel(), "empty": 0.0}
    )
    hessian = (np.tile(variance, n_eras), np.tile(loadings, (n_eras, 1)))
    eras = np.repeat(np.arange(n_eras), n_stocks)
    z_scores = {}
    for setting, meta_model in meta_models.items():
        for form in FORMS:
            earned = closed_form_tc(
                predictions,
                meta_model.ravel(),
                returns.ravel(),
                hessian=hessian,
                form=form,
                eras=eras,
            )
            earned["adversary less empty"] = earned["adversary"] - earned["empty"]
            earned = earned.where(earned.abs() > 1e-10, 0.0)  # normalized forms pay 0 for nothing
            z = np.sqrt(n_eras) * earned.mean() / earned.std(ddof=0)
            z_scores[setting, form] = z.fillna(0.0)
    return pd.DataFrame(z_scores).T


z_scores = attack()
z_scores.round(1)

# %%
# What is paid for nothing
# ------------------------
#
# A row is red where at least one of the three users is paid: where a z-score is above 3. The number
# on the right is the highest one.

THRESHOLD = 3.0
STYLES = {
    "adversary": {"marker": "o", "color": "black", "markersize": 8},
    "sign-flipped": {"marker": "o", "color": "white", "markeredgecolor": "black", "markersize": 8},
    "empty": {"marker": "|", "color": "black", "markersize": 15, "markeredgewidth": 2},
}

figure, axes = plt.subplots(1, 3, figsize=(11, 4), sharex=True, sharey=True, layout="constrained")
for ax, setting in zip(axes, z_scores.index.unique(level=0), strict=True):
    for row, form in enumerate(FORMS):
        scores = z_scores.loc[(setting, form), list(STYLES)]
        best = scores.max()
        color = "tab:red" if best > THRESHOLD else "tab:green"
        ax.axhspan(row - 0.45, row + 0.45, color=color, alpha=0.3, linewidth=0)
        ax.plot([scores.min(), best], [row, row], color="black", linewidth=1)
        for user, style in STYLES.items():
            ax.plot(scores[user], row, linestyle="none", **style)
        ax.annotate(
            f"{best:.0f}" if best > THRESHOLD else "safe",
            (0.97, row),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="center",
            weight="bold",
            color=color,
        )
    ax.axvline(0.0, color="black", linewidth=1, linestyle=":", zorder=0)
    ax.set(title=f"meta model {setting}", xlabel="z-score of the mean TC", xlim=(-140, 260))
axes[0].set(yticks=range(len(FORMS)), yticklabels=FORMS, ylim=(len(FORMS) - 0.5, -0.5))
handles = [plt.Line2D([], [], linestyle="none", label=u, **style) for u, style in STYLES.items()]
figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
figure.suptitle("TC of three users who know nothing: red where one of them is paid")
plt.show()

# %%
# **current** pays the adversary in all settings: it counts the return, and not the costs that the
# optimizer is talked into.
#
# **aligned_normalized**, which was proposed as safe, punishes the adversary and pays the flipped
# one instead. It subtracts :math:`\|y\| / \|m\| \cdot m` from the returns. Their norm is that of
# signal and noise together, :math:`\sqrt 5` times that of :math:`\bar m`, so that too much is
# subtracted, and what is left points away from :math:`\bar m`, whatever the meta model's size.
#
# **aligned** is safe if the meta model is the expected return, in size and in direction, and is
# known exactly. If it has noise, all are paid who do not share that noise. Here that is no merit of
# the adversary's: the empty prediction earns as much. If its size is wrong, the adversary has
# something to bet on.
#
# **scaled** is safe if the size of the meta model is the confidence in it. One that is too large is
# all costs to this form, so that whoever holds less of it is paid, and holding nothing is best.
#
# What a form pays for no prediction at all depends on the meta model alone, and is the same for
# all users. The rest is the adversary's own. The last column has the z-scores of that; a user who
# flips the sign has the opposite:

z_scores["adversary less empty"].unstack().loc[z_scores.index.unique(level=0), FORMS].round(1)

# %%
# With a meta model known with noise, "aligned" gives the adversary nothing that the empty
# prediction does not get; all others do, in one direction or the other. Both "aligned" and "scaled"
# need a meta model whose size means something, each another one. A meta model of ranks has no such
# size, and then none of the four is safe.
