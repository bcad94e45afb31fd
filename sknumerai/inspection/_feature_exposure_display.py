"""The class FeatureExposureDisplay."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from sknumerai._routing import predict_with_metadata
from sknumerai._sklearn import Interval, validate_params
from sknumerai._typing import Array, ArrayLike, Eras, Predictor
from sknumerai.inspection._axes import finish, name_of, new_axes
from sknumerai.metrics import feature_exposure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT = 0.24  # inches for each bar


class FeatureExposureDisplay:
    """Plot of feature exposures over eras, of one or several predictions.

    A bar is the mean exposure over eras, a dot the one of largest size. Make the display with
    `from_estimator` or `from_predictions`; all parameters are stored as attributes.

    Parameters
    ----------
    mean : DataFrame of shape (n_features, n_predictions)
        Mean exposure over eras.
    extreme : DataFrame of shape (n_features, n_predictions)
        Exposure of the largest absolute value over eras, with its sign.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the last plot.
    figure_ : matplotlib Figure
        Figure of the last plot.
    bars_ : list of matplotlib BarContainer
        Mean exposures, one container for each prediction.
    points_ : list of matplotlib Line2D
        Extreme exposures.
    limit_lines_ : list of matplotlib Line2D
        The limits, where given.

    See Also
    --------
    sknumerai.metrics.feature_exposure : The exposures.
    sknumerai.neutralization.clip_exposure : Keeps them within limits.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.inspection import FeatureExposureDisplay
    >>> tournament = make_tournament(n_eras=4, n_stocks=200, n_features=10, random_state=0)
    >>> display = FeatureExposureDisplay.from_predictions(
    ...     tournament.example_predictions, tournament.data, eras=tournament.eras, limit=0.1
    ... )
    >>> display.ax_.get_xlabel()
    'feature exposure'
    >>> plt.close(display.figure_)
    """

    def __init__(self, mean: pd.DataFrame, extreme: pd.DataFrame):
        self.mean = mean
        self.extreme = extreme

    @classmethod
    def from_estimator(
        cls,
        estimator: Predictor,
        X: ArrayLike,
        *,
        eras: Eras | None = None,
        features: ArrayLike | None = None,
        limit: float | None = None,
        max_features: int | None = 20,
        ax: Axes | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the exposures of a fitted estimator's predictions.

        Parameters
        ----------
        estimator : estimator
            Fitted. Its ``predict`` gets ``eras`` and ``features`` if it takes them.
        X : array-like or DataFrame of shape (n_samples, n_columns)
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row. None takes all rows as one era.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            Features of the exposures; X by default.
        limit, max_features, ax, **kwargs
            See `plot`.
        name : str, optional
            Name in the legend; that of the estimator's class by default.

        Returns
        -------
        display : FeatureExposureDisplay
        """
        predictions = predict_with_metadata(estimator, X, eras=eras, features=features)
        return cls.from_predictions(
            predictions,
            X if features is None else features,
            eras=eras,
            limit=limit,
            max_features=max_features,
            ax=ax,
            name=type(estimator).__name__ if name is None else name,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_pred: ArrayLike,
        features: ArrayLike,
        *,
        eras: Eras | None = None,
        limit: float | None = None,
        max_features: int | None = 20,
        ax: Axes | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the exposures of predictions.

        Parameters
        ----------
        y_pred : array-like, Series or DataFrame of shape (n_samples,) or \
(n_samples, n_predictions)
            Finite predictions.
        features : array-like or DataFrame of shape (n_samples, n_features)
            Features of the same rows.
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row. None takes all rows as one era. Eras where a prediction is
            constant are left out of its exposures, with a warning.
        limit, max_features, ax, **kwargs
            See `plot`.
        name : str, optional
            Name of a one-dimensional prediction in the legend; that of the Series by default.

        Returns
        -------
        display : FeatureExposureDisplay
        """
        per_era = feature_exposure(y_pred, features=features, eras=eras)
        if per_era.columns.nlevels == 1:
            only = name_of(y_pred) if name is None else name
            per_era = pd.concat({only or "": per_era}, axis=1, names=["prediction", "feature"])
        values = per_era.to_numpy()
        rows = np.argmax(np.where(np.isnan(values), -1.0, np.abs(values)), axis=0)
        extreme = pd.Series(values[rows, np.arange(len(rows))], index=per_era.columns)
        mean = per_era.mean()
        names = per_era.columns.get_level_values(1).unique()
        predictions = per_era.columns.get_level_values(0).unique()
        tables = [
            table.unstack("prediction").reindex(index=names, columns=predictions)
            for table in (mean, extreme)
        ]
        return cls(*tables).plot(limit=limit, max_features=max_features, ax=ax, **kwargs)

    @validate_params(
        {
            "limit": [Interval(Real, 0, None, closed="left"), None],
            "max_features": [Interval(Integral, 1, None, closed="left"), None],
        },
        prefer_skip_nested_validation=True,
    )
    def plot(
        self,
        *,
        limit: float | None = None,
        max_features: int | None = 20,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the exposures, the largest on top.

        Parameters
        ----------
        limit : float, optional
            Draw lines at plus and minus this exposure.
        max_features : int or None, default=20
            Number of features to draw, those of the largest extreme exposures of any
            prediction; None draws all.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.
        **kwargs : dict
            Passed to ``Axes.barh``.

        Returns
        -------
        display : FeatureExposureDisplay
            With the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        rows = self._largest(max_features)
        n_predictions = self.mean.shape[1]
        height = max(2.5, 1.2 + ROW_HEIGHT * len(rows) * max(1.0, 0.6 * n_predictions))
        self.ax_ = new_axes(ax, (8.0, min(height, 40.0)))
        self.figure_ = self.ax_.figure
        self.bars_: list[Any] = []
        self.points_: list[Any] = []
        thickness = 0.8 / n_predictions
        for j, column in enumerate(self.mean):
            positions = np.arange(len(rows)) + (j - (n_predictions - 1) / 2) * thickness
            options = {"height": thickness, "label": self._label(column), "alpha": 0.7, **kwargs}
            bars = self.ax_.barh(positions, self.mean.iloc[rows, j], **options)
            (points,) = self.ax_.plot(
                self.extreme.iloc[rows, j],
                positions,
                linestyle="none",
                marker="o",
                markersize=4,
                color=bars[0].get_facecolor()[:3],
            )
            self.bars_.append(bars)
            self.points_.append(points)
        self.limit_lines_ = [
            self.ax_.axvline(sign * limit, color="0.3", linestyle="--", linewidth=1.0)
            for sign in (-1, 1)
            if limit is not None
        ]
        self._label_axes(rows)
        return self

    def _largest(self, max_features: int | None) -> Array:
        """Positions of the features to draw, in descending order of their exposure."""
        size = self.extreme.abs().max(axis=1).to_numpy()
        return np.argsort(-size, kind="stable")[:max_features]

    def _label(self, column: Any) -> str:
        return f"{column}: mean over eras" if column != "" else "mean over eras"

    def _label_axes(self, rows: Array) -> None:
        self.ax_.set_yticks(np.arange(len(rows)), [str(self.mean.index[i]) for i in rows])
        self.ax_.set_ylim(len(rows) - 0.5, -0.5)
        self.ax_.axvline(0.0, color="0.3", linewidth=0.8)
        hidden = len(self.mean) - len(rows)
        self.ax_.set_xlabel("feature exposure")
        self.ax_.set_ylabel(f"feature (largest {len(rows)} of {len(self.mean)})" * bool(hidden))
        handles = [*self.bars_, self.points_[0], *self.limit_lines_[:1]]
        labels = [bars.get_label() for bars in self.bars_] + ["largest in any era", "limit"]
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2}
        self.ax_.legend(handles, labels[: len(handles)], frameon=False, fontsize="small", **above)
        self.ax_.grid(axis="x", color="0.9", linewidth=0.8)
        finish(self.ax_)
