"""The class ExposureFrontierDisplay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from sknumerai._optional import import_optional
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai._typing import Array, ArrayLike, Eras, ScoreFunction, Splitter
from sknumerai.inspection._axes import finish, new_axes
from sknumerai.neutralization import tune_exposure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Score = Literal["mean", "sharpe"]
Exposure = Literal["mean_exposure", "worst_exposure"]

SELECTED = "selected"
NEEDED = ("proportion", "limit", "mean", "sharpe", "mean_exposure", "worst_exposure")
OVER_ERAS = {"mean_exposure": "mean over eras", "worst_exposure": "worst era"}
LABEL_OFFSET = 3  # points from a marker to its label, each way


class ExposureFrontierDisplay:
    """Plot of score against risk, of predictions neutralized and clipped by degrees.

    One line joins the proportions of neutralization, another the limits of clipping; both begin
    at the unchanged prediction, at the right. Make the display with `from_table` or
    `from_predictions`; all parameters are stored as attributes.

    Parameters
    ----------
    table : DataFrame
        As `sknumerai.neutralization.tune_exposure` returns it.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the last plot.
    figure_ : matplotlib Figure
        Figure of the last plot.
    lines_ : dict of str to matplotlib Line2D
        Of "proportion" and "limit", where the table has such settings.
    labels_ : list of matplotlib Annotation
        The proportions and limits beside their points.
    unchanged_ : matplotlib Line2D
        The marker of the unchanged prediction.
    selected_ : matplotlib Line2D or None
        The marker of what was selected on other eras, where the table has that row.

    See Also
    --------
    sknumerai.neutralization.tune_exposure : The table.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.inspection import ExposureFrontierDisplay
    >>> tournament = make_tournament(n_eras=8, n_stocks=200, n_features=10, random_state=0)
    >>> display = ExposureFrontierDisplay.from_predictions(
    ...     tournament.target,
    ...     tournament.example_predictions,
    ...     features=tournament.data,
    ...     eras=tournament.eras,
    ... )
    >>> [label.get_text() for label in display.labels_]
    ['25%', '50%', '75%', '100%', '0.2', '0.1', '0.05']
    >>> plt.close(display.figure_)
    """

    def __init__(self, table: pd.DataFrame):
        self.table = table

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        score: Score = "mean",
        exposure: Exposure = "mean_exposure",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot a table of settings.

        Parameters
        ----------
        table : DataFrame
            As `sknumerai.neutralization.tune_exposure` returns it.
        score, exposure, ax, **kwargs
            See `plot`.

        Returns
        -------
        display : ExposureFrontierDisplay
        """
        return cls(table).plot(score=score, exposure=exposure, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        features: ArrayLike,
        eras: Eras,
        proportions: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
        limits: Sequence[float] = (0.2, 0.1, 0.05),
        metric: str | ScoreFunction = "numerai_corr",
        cv: Splitter | None = None,
        meta_model: ArrayLike | None = None,
        benchmark: ArrayLike | None = None,
        example_predictions: ArrayLike | None = None,
        score: Score = "mean",
        exposure: Exposure = "mean_exposure",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Neutralize and clip predictions by degrees, and plot what that does to them.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Targets.
        y_pred : array-like or Series of shape (n_samples,)
            Finite predictions.
        features : array-like or DataFrame of shape (n_samples, n_features)
            Features of the same rows.
        eras : array-like of shape (n_samples,)
            Era of every row.
        proportions, limits, cv, meta_model, benchmark, example_predictions
            As in `sknumerai.neutralization.tune_exposure`. With ``cv``, the choice maximizes
            ``score``.
        metric : str or callable, default="numerai_corr"
            A name or function that `sknumerai.metrics.era_table` knows.
        score, exposure, ax, **kwargs
            See `plot`.

        Returns
        -------
        display : ExposureFrontierDisplay
        """
        table = tune_exposure(
            y_pred,
            y_true,
            features=features,
            eras=eras,
            proportions=proportions,
            limits=limits,
            scoring=metric,
            cv=cv,
            aggregate=score,
            meta_model=meta_model,
            benchmark=benchmark,
            example_predictions=example_predictions,
        )
        return cls.from_table(table, score=score, exposure=exposure, ax=ax, **kwargs)

    @validate_params(
        {
            "score": [StrOptions({"mean", "sharpe"})],
            "exposure": [StrOptions({"mean_exposure", "worst_exposure"})],
        },
        prefer_skip_nested_validation=True,
    )
    def plot(
        self,
        *,
        score: Score = "mean",
        exposure: Exposure = "mean_exposure",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the settings.

        Parameters
        ----------
        score : {"mean", "sharpe"}, default="mean"
            What to draw upwards.
        exposure : {"mean_exposure", "worst_exposure"}, default="mean_exposure"
            What to draw to the right: the largest absolute exposure of an era, on average or
            in the worst era.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.
        **kwargs : dict
            Passed to ``Axes.plot`` for the lines.

        Returns
        -------
        display : ExposureFrontierDisplay
            With the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the table is another one.
        """
        missing = [name for name in NEEDED if name not in self.table]
        if missing or "none" not in self.table.index:
            raise ValueError(
                f"table has no {'column' if missing else 'row'} {(missing or ['none'])[0]!r}; pass "
                "what tune_exposure returns."
            )
        points = self.table[[exposure, score]].to_numpy(dtype=np.float64)
        self.ax_ = new_axes(ax, (7.5, 5.0))
        self.figure_ = self.ax_.figure
        self.lines_: dict[str, Any] = {}
        self.labels_: list[Any] = []
        self._draw_line("proportion", "neutralized by a share", points, above=False, options=kwargs)
        self._draw_line("limit", "clipped at a limit", points, above=True, options=kwargs)
        settings = self.table.index
        at = {"linestyle": "none", "color": "0.2", "zorder": 3}
        (self.unchanged_,) = self.ax_.plot(
            *points[settings == "none"].T, marker="D", markersize=7, label="unchanged", **at
        )
        self.selected_ = None
        if SELECTED in settings:
            (self.selected_,) = self.ax_.plot(
                *points[settings == SELECTED].T,
                marker="*",
                markersize=13,
                label="selected on other eras",
                **at,
            )
        self._label_axes(score, exposure)
        return self

    def _draw_line(
        self, column: str, name: str, points: Array, *, above: bool, options: dict[str, Any]
    ) -> None:
        """The settings of one kind, from the unchanged prediction on."""
        values = self.table[column].to_numpy(dtype=np.float64)
        unchanged = self.table.index == "none"
        known = ~np.isnan(values) & ~np.isnan(points).any(axis=1)
        rows = np.flatnonzero(known & ~unchanged)
        if not len(rows):
            return
        rows = rows[np.argsort(values[rows] if column == "proportion" else -values[rows])]
        path = np.concatenate([np.flatnonzero(unchanged), rows])
        style = {"marker": "o", "markersize": 5, "linewidth": 1.8, "label": name, **options}
        (line,) = self.ax_.plot(*points[path].T, **style)
        self.lines_[column] = line
        # the lines mostly rise, so that there is room at the upper left and the lower right
        side = {"ha": "right", "va": "bottom"} if above else {"ha": "left", "va": "top"}
        offset = (-LABEL_OFFSET, LABEL_OFFSET) if above else (LABEL_OFFSET, -LABEL_OFFSET)
        halo = import_optional("matplotlib.patheffects", extra="plot").withStroke
        for row in rows:
            text = f"{100 * values[row]:g}%" if column == "proportion" else f"{values[row]:g}"
            label = self.ax_.annotate(
                text,
                points[row],
                xytext=offset,
                textcoords="offset points",
                color=line.get_color(),
                fontsize="small",
                path_effects=[halo(linewidth=2.5, foreground="white")],
                **side,
            )
            self.labels_.append(label)

    def _label_axes(self, score: Score, exposure: Exposure) -> None:
        metric = self.table.attrs.get("scoring", "score")
        self.ax_.set_xlabel(f"largest exposure to a feature ({OVER_ERAS[exposure]})")
        self.ax_.set_ylabel(f"mean {metric}" if score == "mean" else f"Sharpe ratio of {metric}")
        self.ax_.grid(color="0.9", linewidth=0.8)
        self.ax_.margins(0.08, 0.12)
        self.ax_.legend(frameon=False)
        finish(self.ax_)
