"""The table and the picture that ``score`` and ``tune`` write."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._atomic import replace_together
from sknumerai._optional import import_optional
from sknumerai.cli._errors import CommandError
from sknumerai.streaming._paths import check_output, writing

Writer = Callable[[Path], object]

INPUTS = ("predictions", "targets", "features", "features_json", "meta_model", "benchmark")
PANEL_SIZE = (9.0, 4.5)  # inches
FRONTIER_SIZE = (9.0, 6.0)
MAX_SHADED = 2  # predictions whose drawdowns can be told apart


def choose_outputs(
    options: Mapping[str, Any], files: Mapping[str, Path | None], *, overwrite: bool
) -> dict[str, Path]:
    """Insist, before any work, on something to see, and on files that can be written.

    Parameters
    ----------
    options : dict
        Of the subcommand; the files among them are its inputs.
    files : dict of Path or None
        Outputs by name.
    overwrite : bool

    Returns
    -------
    outputs : dict of Path
        Those that are asked for.

    Raises
    ------
    ValueError, OSError, CommandError
        If a file cannot be written, is an input, or exists and may not be replaced, or if there is
        nothing to see.
    """
    outputs = {name: path for name, path in files.items() if path is not None}
    if options["quiet"] and not outputs:
        names = " or ".join(f"--{name.replace('_', '-')}" for name in files)
        raise CommandError(f"--quiet leaves nothing to see; pass {names}, too.")
    inputs = {name: options[name] for name in INPUTS}
    for name, path in outputs.items():
        suffixes = (".png",) if name == "plot" else (".csv",)
        others = {key: other for key, other in outputs.items() if key != name}
        check_output(name, path, {**inputs, **others}, overwrite=overwrite, suffixes=suffixes)
    if "plot" in outputs:
        try:
            import_optional("matplotlib.figure", extra="cli")
        except ImportError as error:
            raise CommandError(f"--plot: {error}") from error
    return outputs


def write_outputs(outputs: Mapping[str, Path], writers: Mapping[str, Writer]) -> None:
    """Write files, all or none of them.

    Parameters
    ----------
    outputs : dict of Path
        By name.
    writers : dict of callable
        By the same names; each takes the path to write to.
    """
    with writing(outputs), replace_together(outputs) as temporary:
        for name, path in outputs.items():
            with writing({name: path}):
                writers[name](temporary[name])


def plot_cumulative(scores: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Draw cumulative scores into a PNG, a panel for each metric.

    Parameters
    ----------
    scores : dict of DataFrame of shape (n_eras, n_predictions)
        By title, in the order of the eras.
    path : Path
        Its extension does not matter.
    """
    from sknumerai.inspection import EraScoresDisplay

    width, height = PANEL_SIZE
    with _picture((width, height * len(scores)), path) as figure:
        panels = np.ravel(figure.subplots(len(scores)))
        for axes, (title, per_era) in zip(panels, scores.items(), strict=True):
            legible = per_era.set_axis([_legible(name) for name in per_era], axis=1)
            display = EraScoresDisplay(legible, metric_name=title)
            display.plot(ax=axes, drawdown=per_era.shape[1] <= MAX_SHADED)


def plot_frontier(table: pd.DataFrame, path: Path) -> None:
    """Draw what `tune_files` returns into a PNG.

    Parameters
    ----------
    table : DataFrame
    path : Path
        Its extension does not matter.
    """
    from sknumerai.inspection import ExposureFrontierDisplay

    with _picture(FRONTIER_SIZE, path) as figure:
        ExposureFrontierDisplay(table).plot(score="sharpe", ax=figure.subplots())


@contextmanager
def _picture(size: tuple[float, float], path: Path) -> Iterator[Any]:
    """A figure that is saved; without pyplot it needs no display and leaves no global state."""
    figures = import_optional("matplotlib.figure", extra="cli")
    figure = figures.Figure(figsize=size, layout="constrained")
    yield figure
    figure.savefig(path, format="png", dpi=120)


def _legible(name: object) -> str:
    """A name that matplotlib neither leaves out of legends nor takes for a formula."""
    text = str(name).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
