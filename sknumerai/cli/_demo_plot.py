"""The picture of the demo."""

from pathlib import Path

import numpy as np
import pandas as pd

from sknumerai._optional import import_optional

INK = "#333333"
COLOURS = ("#7f7f7f", "#d95f02", "#7570b3", "#1b9e77")  # apart for colour-blind readers, too


def plot_cumulative_scores(scores: pd.DataFrame, path: Path) -> None:
    """Draw the cumulative scores of several predictions into a PNG.

    Parameters
    ----------
    scores : DataFrame of shape (n_eras, n_predictions)
        In the order of the eras.
    path : Path
        Its extension does not matter.
    """
    figures = import_optional("matplotlib.figure", extra="cli")
    # A figure of its own, without pyplot, needs no display and leaves no global state.
    figure = figures.Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    positions = np.arange(len(scores) + 1)
    for j, name in enumerate(scores):
        wealth = np.concatenate([[0.0], np.cumsum(scores[name])])
        sharpe = scores[name].mean() / scores[name].std(ddof=0)
        axes.plot(
            positions,
            wealth,
            color=COLOURS[j % len(COLOURS)],
            linewidth=1.8,
            label=f"{name} (Sharpe {sharpe:.2f})",
        )
    step = max(1, len(scores) // 10)
    axes.set_xticks(positions[1::step], [str(era) for era in scores.index[::step]])
    axes.set_xlim(0, len(scores))
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_title("Cumulative CORR over the validation eras of a synthetic tournament")
    axes.set_xlabel("era")
    axes.set_ylabel("cumulative CORR")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    figure.savefig(path, format="png", dpi=120)
