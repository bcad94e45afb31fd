"""The class EraScoresDisplay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd

from sknumerai._kernels.aggregate import sharpe
from sknumerai._routing import predict_with_metadata
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai._typing import ArrayLike, Eras, Predictor, ScoreFunction
from sknumerai.inspection._axes import finish, label_eras, name_of, new_axes
from sknumerai.metrics import era_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["cumulative", "bar"]


class EraScoresDisplay:
    """Plot of scores per era, of one or several predictions.

    Make it with `from_estimator`, `from_predictions` or `from_scores`; all parameters are stored
    as attributes.

    Parameters
    ----------
    scores : DataFrame of shape (n_eras, n_predictions)
        Scores in the order of the eras, one column for each prediction.
    metric_name : str, default="score"
        What the axis calls the scores.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the last plot.
    figure_ : matplotlib Figure
        Figure of the last plot.
    lines_ : list of matplotlib Line2D
        Cumulative scores; empty for bars.
    drawdowns_ : list of matplotlib artists
        Areas between cumulative scores and their peak so far; empty where not drawn.
    bars_ : list of matplotlib BarContainer
        Scores; empty for cumulative scores.

    See Also
    --------
    sknumerai.metrics.era_table : The scores.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.inspection import EraScoresDisplay
    >>> tournament = make_tournament(n_eras=8, n_stocks=200, n_features=10, random_state=0)
    >>> display = EraScoresDisplay.from_predictions(
    ...     tournament.target,
    ...     tournament.frame[["example_predictions", "meta_model"]],
    ...     eras=tournament.eras,
    ... )
    >>> display.ax_.get_ylabel()
    'cumulative numerai_corr'
    >>> plt.close(display.figure_)
    """

    def __init__(self, scores: pd.DataFrame, *, metric_name: str = "score"):
        self.scores = scores
        self.metric_name = metric_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Predictor,
        X: ArrayLike,
        y: ArrayLike | None,
        *,
        eras: Eras,
        metric: str | ScoreFunction = "numerai_corr",
        features: ArrayLike | None = None,
        meta_model: ArrayLike | None = None,
        benchmark: ArrayLike | None = None,
        example_predictions: ArrayLike | None = None,
        kind: Kind = "cumulative",
        ax: Axes | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the scores of a fitted estimator's predictions.

        Parameters
        ----------
        estimator : estimator
            Fitted. Its ``predict`` gets ``eras`` and ``features`` if it takes them.
        X : array-like or DataFrame of shape (n_samples, n_columns)
        y : array-like of shape (n_samples,) or None
            Targets, where the metric needs them.
        eras : array-like of shape (n_samples,) or scalar
        metric : str or callable, default="numerai_corr"
            As in `from_predictions`.
        features : array-like or DataFrame, optional
            Features for ``predict`` and for the metric, which otherwise gets X.
        meta_model, benchmark, example_predictions : array-like, optional
            Where the metric needs them.
        kind, ax, **kwargs
            See `plot`.
        name : str, optional
            Name in the legend; that of the estimator's class by default.

        Returns
        -------
        display : EraScoresDisplay
        """
        predictions = predict_with_metadata(estimator, X, eras=eras, features=features)
        return cls.from_predictions(
            y,
            predictions,
            eras=eras,
            metric=metric,
            features=X if features is None else features,
            meta_model=meta_model,
            benchmark=benchmark,
            example_predictions=example_predictions,
            kind=kind,
            ax=ax,
            name=type(estimator).__name__ if name is None else name,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike | None,
        y_pred: ArrayLike,
        *,
        eras: Eras,
        metric: str | ScoreFunction = "numerai_corr",
        features: ArrayLike | None = None,
        meta_model: ArrayLike | None = None,
        benchmark: ArrayLike | None = None,
        example_predictions: ArrayLike | None = None,
        kind: Kind = "cumulative",
        ax: Axes | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the scores of predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or None
            Targets, where the metric needs them.
        y_pred : array-like, Series or DataFrame of shape (n_samples,) or \
(n_samples, n_predictions)
            Finite predictions.
        eras : array-like of shape (n_samples,) or scalar
            Era of every row.
        metric : str or callable, default="numerai_corr"
            A name or function that `sknumerai.metrics.era_table` knows.
        features, meta_model, benchmark, example_predictions : array-like, optional
            Where the metric needs them.
        kind, ax, **kwargs
            See `plot`.
        name : str, optional
            Name of a one-dimensional prediction in the legend; that of the Series by default.

        Returns
        -------
        display : EraScoresDisplay
        """
        table = era_table(
            y_true,
            y_pred,
            eras=eras,
            metrics=[metric],
            features=features,
            meta_model=meta_model,
            benchmark=benchmark,
            example_predictions=example_predictions,
        )
        if table.columns.nlevels > 1:
            metric_name = str(table.columns[0][1])
            table = table.droplevel("metric", axis=1)
        else:
            metric_name = str(table.columns[0])
            table.columns = [name_of(y_pred) if name is None else name]
        return cls(table, metric_name=metric_name).plot(kind=kind, ax=ax, **kwargs)

    @classmethod
    def from_scores(
        cls,
        per_era: pd.Series | pd.DataFrame,
        *,
        metric_name: str = "score",
        kind: Kind = "cumulative",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot scores as metrics give them with ``aggregate=None``.

        Parameters
        ----------
        per_era : Series or DataFrame of shape (n_eras,) or (n_eras, n_predictions)
            In the order of the eras, which are the index.
        metric_name : str, default="score"
            What the axis calls the scores.
        kind, ax, **kwargs
            See `plot`.

        Returns
        -------
        display : EraScoresDisplay
        """
        if not isinstance(per_era, pd.Series | pd.DataFrame):
            raise ValueError(
                f"per_era must be a Series or DataFrame indexed by era; found {type(per_era)}."
            )
        scores = per_era.to_frame() if isinstance(per_era, pd.Series) else per_era
        if isinstance(per_era, pd.Series):
            scores.columns = [per_era.name]
        return cls(scores, metric_name=metric_name).plot(kind=kind, ax=ax, **kwargs)

    @validate_params(
        {"kind": [StrOptions({"cumulative", "bar"})], "drawdown": ["boolean"]},
        prefer_skip_nested_validation=True,
    )
    def plot(
        self,
        *,
        kind: Kind = "cumulative",
        ax: Axes | None = None,
        drawdown: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Draw the scores.

        Parameters
        ----------
        kind : {"cumulative", "bar"}, default="cumulative"
            Lines of the cumulative sums, which start at 0 and end before a missing score; or
            one bar for each score.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.
        drawdown : bool, default=True
            Whether to shade the drawdowns of cumulative scores.
        **kwargs : dict
            Passed to ``Axes.plot`` or ``Axes.bar``.

        Returns
        -------
        display : EraScoresDisplay
            With the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are no scores.
        """
        if self.scores.empty:
            raise ValueError("scores is empty; there is nothing to plot.")
        self.ax_ = new_axes(ax, (9.0, 4.5))
        self.figure_ = self.ax_.figure
        self.lines_: list[Any] = []
        self.drawdowns_: list[Any] = []
        self.bars_: list[Any] = []
        if kind == "bar":
            self._plot_bars(kwargs)
        else:
            self._plot_cumulative(drawdown, kwargs)
        self.ax_.axhline(0.0, color="0.3", linewidth=0.8, zorder=1.5)
        label_eras(self.ax_, range(len(self.scores)), list(self.scores.index))
        self.ax_.set_ylabel(f"cumulative {self.metric_name}" * (kind != "bar") or self.metric_name)
        self.ax_.grid(axis="y", color="0.9", linewidth=0.8)
        self.ax_.legend(frameon=False)
        finish(self.ax_)
        return self

    def _plot_cumulative(self, drawdown: bool, kwargs: dict[str, Any]) -> None:
        positions = np.arange(-1, len(self.scores))  # the start, before the first era
        for j, column in enumerate(self.scores):
            values = self.scores.iloc[:, j].to_numpy(dtype=np.float64)
            before = np.logical_and.accumulate(np.isnan(values))  # what it is compared to begins
            wealth = np.concatenate([[0.0], np.cumsum(np.where(before, 0.0, values))])
            options = {"label": self._label(column, j), "linewidth": 1.8, **kwargs}
            (line,) = self.ax_.plot(positions, wealth, **options)
            self.lines_.append(line)
            if drawdown:
                peak = np.maximum.accumulate(wealth)
                area = self.ax_.fill_between(
                    positions, wealth, peak, color=line.get_color(), alpha=0.15, linewidth=0
                )
                self.drawdowns_.append(area)
        self.ax_.set_xlim(-1, max(len(self.scores) - 1, 0))

    def _plot_bars(self, kwargs: dict[str, Any]) -> None:
        n_bars = self.scores.shape[1]
        width = 0.8 / n_bars
        for j, column in enumerate(self.scores):
            positions = np.arange(len(self.scores)) + (j - (n_bars - 1) / 2) * width
            options = {"label": self._label(column, j), "width": width, **kwargs}
            self.bars_.append(self.ax_.bar(positions, self.scores.iloc[:, j].to_numpy(), **options))
        self.ax_.set_xlim(-0.6, len(self.scores) - 0.4)

    def _label(self, column: Any, j: int) -> str:
        """Name, mean and Sharpe ratio."""
        values = self.scores.iloc[:, j].to_numpy(dtype=np.float64)
        statistics = f"mean {np.mean(values):.4f}, Sharpe {sharpe(values):.2f}"
        return statistics if column is None else f"{column} ({statistics})"
