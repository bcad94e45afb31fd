"""What ``score`` writes."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from sknumerai._optional import import_optional
from sknumerai.cli._errors import CommandError
from sknumerai.cli._files import check_suffix, complete_or_absent

PANEL_SIZE = (9.0, 4.5)  # inches
MAX_SHADED = 2  # predictions whose drawdowns can be told apart


def check_outputs(
    outputs: Mapping[str, Path], inputs: Mapping[str, Path], *, overwrite: bool
) -> None:
    """Insist, before any work, that files can be written and destroy nothing.

    Parameters
    ----------
    outputs, inputs : dict of Path
        By option.
    overwrite : bool

    Raises
    ------
    CommandError
        If a file cannot be written, is an input, or exists and may not be replaced.
    """
    for option, path in outputs.items():
        check_suffix(option, path, (".png",) if option == "--plot" else (".csv",))
        if path.is_dir():
            raise CommandError(f"{option} {path} is a folder; name a file in it.")
        _check_folder(f"{option} {path}", path.parent)
        for other, source in inputs.items():
            if path.exists() and source.exists() and path.samefile(source):
                raise CommandError(
                    f"{option} {path} is the same file as {other}; name another file."
                )
        if path.exists() and not overwrite:
            raise CommandError(
                f"{option} {path} exists already; name another file, or pass --overwrite to "
                "replace it."
            )
    if "--plot" in outputs:
        try:
            import_optional("matplotlib.figure", extra="cli")
        except ImportError as error:
            raise CommandError(f"--plot: {error}") from error


def _check_folder(output: str, folder: Path) -> None:
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise CommandError(f"{output}: the folder {folder} {problem}; make it or name another one.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(
            f"{output}: the folder {folder} cannot be written to ({error.strerror}); name another "
            "one."
        ) from error


def write_outputs(
    outputs: Mapping[str, Path], table: pd.DataFrame, scores: Mapping[str, pd.DataFrame]
) -> None:
    """Write the table of ``--per-era`` and the picture of ``--plot``, all or none of them.

    Parameters
    ----------
    outputs : dict of Path
        By option.
    table : DataFrame
    scores : dict of DataFrame of shape (n_eras, n_predictions)
        By title, in the order of the eras.
    """
    with ExitStack() as stack:
        for option, path in outputs.items():
            # On the stack, too, since the file gets its name when all of them are complete.
            stack.enter_context(_naming_output(option, path))
            temporary = stack.enter_context(complete_or_absent(path))
            with _naming_output(option, path):
                if option == "--plot":
                    plot_cumulative(scores, temporary)
                else:
                    table.to_csv(temporary, index=False)


@contextmanager
def _naming_output(option: str, path: Path) -> Iterator[None]:
    """Turn the errors of writing into one that names the option."""
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"{option} {path} could not be written ({error.strerror or error}); free or name "
            "another place."
        ) from error


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

    figures = import_optional("matplotlib.figure", extra="cli")
    width, height = PANEL_SIZE
    # A figure of its own, without pyplot, needs no display and leaves no global state.
    figure = figures.Figure(figsize=(width, height * len(scores)), layout="constrained")
    panels = np.ravel(figure.subplots(len(scores)))
    for axes, (title, per_era) in zip(panels, scores.items(), strict=True):
        legible = per_era.set_axis([_legible(name) for name in per_era], axis=1)
        display = EraScoresDisplay(legible, metric_name=title)
        display.plot(ax=axes, drawdown=per_era.shape[1] <= MAX_SHADED)
    figure.savefig(path, format="png", dpi=120)


def _legible(name: object) -> str:
    """A name that matplotlib neither leaves out of legends nor takes for a formula."""
    text = str(name).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
