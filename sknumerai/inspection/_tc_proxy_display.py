"""The class TCProxyDisplay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from sknumerai._optional import import_optional
from sknumerai._typing import Array
from sknumerai.inspection._axes import finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sknumerai.contribution import TCProxyFit

PANEL_SIZE = (2.3, 2.0)  # inches, of one shape
BARS_WIDTH = 4.2  # inches, of the importances
ROW_HEIGHT = 0.24  # inches for each bar
MAX_COLUMNS = 4
HIDDEN_SHARE = 0.005  # of the rows at each end, where a step rests on a handful of them


class TCProxyDisplay:
    """Plot of what scores say about True Contribution: importances and shape functions.

    Make the display with `from_fit`; all parameters are stored as attributes.

    Parameters
    ----------
    importances : Series
        Of all terms, the largest first.
    shapes : mapping of str to DataFrame
        Effect of every score, with columns x, score, lower, upper and share, as in `TCProxyFit`.
    r2_test : float, default=None
        Coefficient of determination on held-out eras, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the importances of the last plot.
    axes_ : ndarray of matplotlib Axes
        Axes of the shapes, by importance.
    figure_ : matplotlib Figure
        Figure of the last plot.
    bars_ : matplotlib BarContainer
        Importances.
    lines_ : list of matplotlib Line2D
        Shapes, by importance.
    bands_ : list of matplotlib PolyCollection
        Their confidence bands.

    See Also
    --------
    sknumerai.contribution.fit_tc_proxies : Makes the fit.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sknumerai.contribution import fit_tc_proxies
    >>> from sknumerai.inspection import TCProxyDisplay
    >>> rng = np.random.default_rng(0)
    >>> index = pd.MultiIndex.from_product([range(8), range(50)], names=["era", "user"])
    >>> table = pd.DataFrame(rng.normal(size=(400, 2)), index=index, columns=["fnc", "corr"])
    >>> table["tc"] = table["fnc"] + 0.1 * rng.normal(size=400)
    >>> display = TCProxyDisplay.from_fit(fit_tc_proxies(table, outer_bags=2, random_state=0))
    >>> [ax.get_title() for ax in display.axes_]
    ['fnc', 'corr']
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        importances: pd.Series,
        shapes: Mapping[str, pd.DataFrame],
        *,
        r2_test: float | None = None,
    ):
        self.importances = importances
        self.shapes = shapes
        self.r2_test = r2_test

    @classmethod
    def from_fit(
        cls, fit: TCProxyFit, *, axes: Sequence[Axes] | None = None, **kwargs: Any
    ) -> Self:
        """Plot a fit.

        Parameters
        ----------
        fit : TCProxyFit
            Returned by `fit_tc_proxies`.
        axes, **kwargs
            See `plot`.

        Returns
        -------
        display : TCProxyDisplay
        """
        return cls(fit.importances, fit.shapes, r2_test=fit.r2_test).plot(axes=axes, **kwargs)

    def plot(self, *, axes: Sequence[Axes] | None = None, **kwargs: Any) -> Self:
        """Draw the importances, and the shape of every score, the most important first.

        The scale of the effects is common to all shapes. The outermost half percent of the rows
        at each end of a score is left out.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, optional
            One for the importances and one for every shape; new ones by default.
        **kwargs : dict
            Passed to ``Axes.plot`` for the shapes.

        Returns
        -------
        display : TCProxyDisplay
            With the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there are too few or too many axes.
        """
        names = [name for name in self.importances.index if name in self.shapes]
        if axes is None:
            self.ax_, self.axes_ = self._new_axes(len(names))
        else:
            given = list(np.ravel(np.asarray(axes, dtype=object)))
            if len(given) != 1 + len(names):
                raise ValueError(
                    f"axes holds {len(given)} axes; pass {1 + len(names)}, one for the importances "
                    f"and one for each of {len(names)} shapes."
                )
            self.ax_, self.axes_ = given[0], np.array(given[1:], dtype=object)
        self.figure_ = self.ax_.figure
        self._draw_importances()
        self.lines_: list[Any] = []
        self.bands_: list[Any] = []
        for name, ax in zip(names, self.axes_, strict=True):
            self._draw_shape(ax, name, kwargs)
        self._share_scale()
        return self

    def _new_axes(self, n_shapes: int) -> tuple[Any, Array]:
        """Axes for the importances, at the left, and for a grid of shapes."""
        pyplot = import_optional("matplotlib.pyplot", extra="plot")
        n_columns = max(1, min(n_shapes, MAX_COLUMNS, max(2, ceil(n_shapes / 2))))
        n_rows = ceil(n_shapes / n_columns)
        width = BARS_WIDTH + PANEL_SIZE[0] * n_columns
        height = max(PANEL_SIZE[1] * n_rows, 1.2 + ROW_HEIGHT * len(self.importances))
        figure = pyplot.figure(figsize=(width, height), layout="constrained")
        widths = [BARS_WIDTH] + [PANEL_SIZE[0]] * n_columns
        grid = figure.add_gridspec(n_rows, 1 + n_columns, width_ratios=widths)
        places = [divmod(i, n_columns) for i in range(n_shapes)]
        shapes = [figure.add_subplot(grid[row, 1 + column]) for row, column in places]
        for ax, (_, column) in zip(shapes, places, strict=True):
            ax.tick_params(labelleft=column == 0)
        return figure.add_subplot(grid[:, 0]), np.array(shapes, dtype=object)

    def _draw_importances(self) -> None:
        positions = np.arange(len(self.importances))
        self.bars_ = self.ax_.barh(positions, self.importances, height=0.7)
        self.ax_.set_yticks(positions, [str(name) for name in self.importances.index])
        self.ax_.set_ylim(len(positions) - 0.5, -0.5)
        self.ax_.set_xlabel("importance: mean absolute effect on TC")
        if self.r2_test is not None:
            self.ax_.set_title(f"R² on held-out eras: {self.r2_test:.2f}", fontsize="medium")
        self.ax_.grid(axis="x", color="0.9", linewidth=0.8)
        finish(self.ax_)

    def _draw_shape(self, ax: Any, name: str, options: Mapping[str, Any]) -> None:
        shape = self.shapes[name]
        reached = np.cumsum(shape["share"].to_numpy())
        first = int(np.searchsorted(reached, HIDDEN_SHARE, side="right"))
        last = int(np.searchsorted(reached, 1.0 - HIDDEN_SHARE)) + 1
        part = shape.iloc[first : last + 1]
        (line,) = ax.plot(part["x"], part["score"], drawstyle="steps-post", **options)
        band = ax.fill_between(
            part["x"],
            part["lower"],
            part["upper"],
            step="post",
            color=line.get_color(),
            alpha=0.25,
            linewidth=0.0,
        )
        ax.axhline(0.0, color="0.3", linewidth=0.8, zorder=0)
        ax.set_title(name, fontsize="small")
        ax.tick_params(labelsize="small")
        ax.locator_params(axis="x", nbins=4)
        finish(ax)
        self.lines_.append(line)
        self.bands_.append(band)

    def _share_scale(self) -> None:
        """One scale for all effects, so that a flat shape looks flat."""
        limits = np.array([ax.get_ylim() for ax in self.axes_]).reshape(-1, 2)
        for ax in self.axes_:
            ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())
            if ax.yaxis.get_tick_params()["labelleft"]:
                ax.set_ylabel("effect on TC", fontsize="small")
