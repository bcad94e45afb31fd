"""Aliases for the annotations of public signatures."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

Array = np.ndarray[Any, np.dtype[Any]]
ArrayLike = Any  # numpy array, pandas or polars Series/DataFrame, nested lists
Frame = Any  # pandas or polars DataFrame
EraLabel = Hashable
Aggregate = Literal["mean", "std", "sharpe", "max_drawdown"] | Callable[[pd.Series], Any] | None
FeatureColumns = str | Sequence[Any] | slice | Callable[[Any], Any] | None
ExposureLimit = float | ArrayLike | Mapping[str, float]
Normalize = Literal["rank", "gaussian"] | None
Scale = Literal["minmax", "std"] | None
