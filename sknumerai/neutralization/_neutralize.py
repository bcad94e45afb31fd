"""The function neutralize()."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import Any, TypedDict, Unpack, overload

import numpy as np

from sknumerai._era_loop import map_eras
from sknumerai._eras import EraGroups
from sknumerai._frames import Table, like_input, read_predictions
from sknumerai._kernels.projection import neutral_predictions
from sknumerai._kernels.ranks import normalize_columns, scale_columns
from sknumerai._sklearn import Interval, StrOptions, validate_params
from sknumerai._typing import (
    Array,
    ArrayLike,
    ArrayOrList,
    Container,
    Eras,
    FloatArray,
    Frame,
    FrameT_co,
    Normalize,
    Same,
    SameFrame,
    Scale,
    SeriesOf,
)
from sknumerai._warnings import warn_of_nan
from sknumerai.neutralization._base import read_input

NORMALIZE = [StrOptions({"rank", "gaussian"}), None]
SCALE = [StrOptions({"minmax", "std"}), None]
PROPORTION = Interval(Real, 0, 1, closed="both")


def neutralize_table(
    predictions: Table,
    features: Table,
    groups: EraGroups,
    *,
    proportions: Sequence[float],
    normalize: Normalize,
    scale: Scale,
    n_jobs: int | None,
    verbose: bool | int = False,
) -> Array:
    """Neutralize all prediction columns of a table, era by era, at several proportions."""
    values = read_predictions(predictions, groups)
    kernel = partial(neutralize_era, proportions=proportions, normalize=normalize, scale=scale)
    blocks = map_eras(kernel, groups, values, features, n_jobs=n_jobs, verbose=verbose)
    warn_of_nan(groups.labels, blocks)
    return groups.assemble(blocks).astype(values.dtype, copy=False)


def neutralize_era(
    predictions: Array,
    features: Array,
    *,
    proportions: Sequence[float],
    normalize: Normalize,
    scale: Scale,
) -> Array:
    """Normalize, neutralize and scale the predictions of one era; NaN where one is constant."""
    normalized = normalize_columns(predictions, normalize)
    neutral = neutral_predictions(normalized, features, proportions)
    constant = np.ptp(predictions, axis=0) == 0.0
    neutral[:, np.repeat(constant, len(proportions))] = np.nan
    return scale_columns(neutral, scale)


class _Options(TypedDict, total=False):
    """The arguments that do not decide the type of the result."""

    eras: Eras | None
    normalize: Normalize
    scale: Scale
    n_jobs: int | None


@overload
def neutralize(
    predictions: ArrayOrList,
    features: ArrayLike,
    *,
    proportion: float | Sequence[float] = ...,
    **options: Unpack[_Options],
) -> FloatArray: ...
@overload
def neutralize(
    predictions: Same,
    features: ArrayLike,
    *,
    proportion: float = ...,
    **options: Unpack[_Options],
) -> Same: ...
@overload
def neutralize(
    predictions: SameFrame,
    features: ArrayLike,
    *,
    proportion: Sequence[float],
    **options: Unpack[_Options],
) -> SameFrame: ...
@overload
def neutralize(
    predictions: SeriesOf[FrameT_co],
    features: ArrayLike,
    *,
    proportion: Sequence[float],
    **options: Unpack[_Options],
) -> FrameT_co: ...
@validate_params(
    {
        "proportion": [PROPORTION, "array-like"],
        "normalize": NORMALIZE,
        "scale": SCALE,
    },
    prefer_skip_nested_validation=True,
)
def neutralize(
    predictions: ArrayLike | SeriesOf[Frame],
    features: ArrayLike,
    *,
    proportion: float | Sequence[float] = 1.0,
    eras: Eras | None = None,
    normalize: Normalize = None,
    scale: Scale = None,
    n_jobs: int | None = None,
    verbose: bool | int = False,
) -> Container:
    """Neutralize predictions against features, era by era.

    In each era the predictions p become ``p - proportion · N (NᵀN)⁺ Nᵀ p`` with N = [F, 1]: what
    the features F explain linearly is removed. For features on one scale the
    numbers are those of ``numerai-tools``.

    Parameters
    ----------
    predictions : array-like, Series or DataFrame of shape (n_samples,) or \
(n_samples, n_predictions)
        Finite numbers. float32 gives float32, everything else float64.
    features : array-like or DataFrame of shape (n_samples, n_features)
        Features of the same rows, in their own dtype; int8 is fastest. Two pandas indexes must
        be equal, or share no label.
    proportion : float or sequence of float, default=1.0
        Share of the linear part to remove, in [0, 1]. A sequence gives one column for every
        prediction and proportion, named ``f"{column}_{proportion}"``, at the cost of one.
    eras : array-like of shape (n_samples,) or scalar, optional
        Era of every row. None takes all rows as one era.
    normalize : {None, "rank", "gaussian"}, default=None
        Per era, before: ranks in (0, 1), or normal quantiles of them.
    scale : {None, "minmax", "std"}, default=None
        Per era, after: onto [0, 1], or to unit standard deviation.
    n_jobs : int, optional
        Eras computed in parallel, as in joblib.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    neutral : ndarray, Series or DataFrame
        In the container, order and (pandas) index of ``predictions``. NaN in eras where a
        prediction is constant; zero where nothing is left of it.

    Raises
    ------
    ValueError
        If a value is not finite, or predictions, features and eras do not fit together.

    See Also
    --------
    FeatureNeutralizer : The same as a transformer.
    clip_exposure : Removes only as much as limits on the exposures demand.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.neutralize``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.neutralization import neutralize
    >>> rng = np.random.default_rng(0)
    >>> features = rng.integers(0, 5, (1000, 3), dtype=np.int8)
    >>> predictions = features @ [0.1, 0.0, -0.2] + rng.normal(size=1000)
    >>> neutral = neutralize(predictions, features)
    >>> exposures = [np.corrcoef(neutral, feature)[0, 1] for feature in features.T]
    >>> bool(np.abs(exposures).max() < 1e-12)
    True
    """
    table, given, groups = read_input(predictions, features, eras, name="predictions")
    if isinstance(proportion, np.ndarray) and proportion.ndim == 0:
        proportion = proportion.item()
    shares: Any = [proportion] if isinstance(proportion, Real) else proportion
    proportions = [float(share) if isinstance(share, Real) else np.nan for share in shares]
    if not proportions or not all(0.0 <= share <= 1.0 for share in proportions):
        raise ValueError(f"proportion must hold numbers in [0, 1]; found {proportion!r}.")
    if len(set(proportions)) < len(proportions):
        raise ValueError(f"proportion={proportion!r} names a share twice; name each once.")
    values = neutralize_table(
        table,
        given,
        groups,
        proportions=proportions,
        normalize=normalize,
        scale=scale,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    names = None
    if not isinstance(proportion, Real):
        columns = table.names or range(table.n_columns)
        names = [f"{column}_{share}" for column in columns for share in shares]
    return like_input(values, predictions, names)
