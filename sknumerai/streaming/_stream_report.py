"""What became of the predictions of a file."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sknumerai.streaming._text_table import count_of, format_table

COLUMNS = ["max_exposure_before", "max_exposure_after", "correlation"]


@dataclass(frozen=True)
class StreamReport:
    """What became of the predictions of a file.

    Printed, it is a table of each prediction's means and worst eras.

    Attributes
    ----------
    per_era : DataFrame of shape (n_eras * n_predictions, 4)
        Indexed by era and prediction: the largest absolute exposure before and after, the
        correlation of the new prediction with the normalized one, and the multiple of the limits
        that was needed (1 where they could be met). NaN where a prediction is constant.
    n_rows, n_features : int
    seconds : float
    output : Path
        The file that was written.
    """

    per_era: pd.DataFrame
    n_rows: int
    n_features: int
    seconds: float
    output: Path

    @property
    def n_eras(self) -> int:
        """Number of eras."""
        return self.per_era.index.unique("era").size

    @property
    def summary(self) -> pd.DataFrame:
        """Means over eras, and the worst of them, by prediction."""
        groups = self.per_era.groupby(level="prediction", sort=False)
        worst = {"max_exposure_before": "max", "max_exposure_after": "max", "correlation": "min"}
        table: pd.DataFrame = groups.agg({name: ["mean", worst[name]] for name in COLUMNS})
        return table

    def __str__(self) -> str:
        header = ["prediction", "eras", "rows", "mean", "worst", "mean", "worst", "mean", "min"]
        rows = [
            [name, self.n_eras, self.n_rows, *map(float, numbers)]
            for name, numbers in zip(self.summary.index, self.summary.to_numpy(), strict=True)
        ]
        above = [
            ("", 3),
            ("max exposure before", 2),
            ("max exposure after", 2),
            ("corr. with original", 2),
        ]
        return (
            f"{format_table(header, rows, above=above)}\n{count_of(self.n_eras, 'era')}, "
            f"{self.n_rows} rows, {self.n_features} features in {self.seconds:.1f} s -> "
            f"{self.output}"
        )

    def _repr_html_(self) -> str:
        last = str(self).splitlines()[-1]
        return f"{self.summary.to_html(float_format='{:.4f}'.format)}<p>{html.escape(last)}</p>"


def tabulate(
    labels: list[object], names: list[str], columns: dict[str, list[np.ndarray]]
) -> pd.DataFrame:
    """Numbers of every era and prediction."""
    index = pd.MultiIndex.from_product([labels, names], names=["era", "prediction"])
    values = {name: np.array(numbers, dtype=float).ravel() for name, numbers in columns.items()}
    return pd.DataFrame(values, index=index)
