"""Aliases for the annotations of public signatures."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, SupportsFloat, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame, IntoSeries
else:  # in some versions of narwhals they are mere strings outside type checking
    IntoDataFrame = IntoSeries = object


class PolarsFrame(Protocol):
    """A DataFrame of polars, and no Series of pandas.

    The stubs of pandas let a Series have any attribute but class methods, so that it passes for
    the frame of narwhals.
    """

    @classmethod
    def deserialize(cls, source: Any) -> Any: ...


# What functions take. The protocols of narwhals stand for polars, which is not imported for it.
Column = pd.Series | IntoSeries
Frame = pd.DataFrame | IntoDataFrame | PolarsFrame
ArrayLike = npt.ArrayLike | Column | Frame | pd.Index
Eras = ArrayLike | Sequence[Hashable] | date  # one label per row, or a scalar for all
EraLabel = Hashable
Source = str | PathLike[str] | Sequence[str | PathLike[str]]  # of a table on disk

# What they return. Arithmetic keeps the type of float arrays, that of others is Any.
Array = np.ndarray[Any, np.dtype[Any]]
FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Container = Array | Column | Frame  # that of the input
Score = float | pd.Series | pd.DataFrame  # by the dimensions of the predictions and `aggregate`

# Where the container in decides the container out. An overload for `ArrayLike`, too, would make
# calls ambiguous for mypy, which takes them for Any then.
Same = TypeVar("Same", bound=Column | Frame)
SameFrame = TypeVar("SameFrame", bound=pd.DataFrame | PolarsFrame)
ArrayOrList = Array | Sequence[float] | Sequence[Sequence[float]]

# Where the number of columns decides it; that of arrays is not known to a type checker.
OneColumn = Column | Sequence[float]
Columns = pd.DataFrame | PolarsFrame | Array | Sequence[Sequence[float]]

NamedAggregate = Literal["mean", "std", "sharpe", "max_drawdown"]
Reducer = NamedAggregate | Callable[[pd.Series], float]
Aggregate = Reducer | None
# a name may be any label of a column, and a callable may want them as strings
FeatureColumns = (
    str
    | Sequence[Hashable]
    | Array
    | pd.Index
    | slice
    | Callable[[list[Any]], Iterable[Any]]
    | None
)
FeatureGroups = Mapping[str, Sequence[Hashable]]
ExposureLimit = ArrayLike | Mapping[str, float]
Normalize = Literal["rank", "gaussian"] | None
Scale = Literal["minmax", "std"] | None
RandomState = int | np.integer[Any] | np.random.RandomState | None
ArraysByEra = Mapping[Any, ArrayLike]  # a Mapping is invariant in its keys, hence not EraLabel
ScoreFunction = Callable[..., SupportsFloat | pd.Series | pd.DataFrame]

FrameT_co = TypeVar("FrameT_co", bound=Frame, covariant=True)


class SeriesOf(Protocol[FrameT_co]):
    """A Series, of the library that has the frames FrameT_co."""

    def to_frame(self) -> FrameT_co: ...


class Fits(Protocol):
    """Anything with a method ``fit``, whatever it takes besides tables."""

    @property
    def fit(self) -> Callable[..., Any]: ...


class Predictor(Protocol):
    """A fitted estimator."""

    @property
    def predict(self) -> Callable[..., Any]: ...


class Regressor(Fits, Predictor, Protocol):
    """An estimator that predicts."""


class Transformer(Fits, Protocol):
    """An estimator that transforms."""

    @property
    def transform(self) -> Callable[..., Any]: ...


class Splitter(Protocol):
    """A splitter of cross-validation."""

    @property
    def split(self) -> Callable[..., Any]: ...
