"""The function rank_by_era()."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, overload

from sknumerai._era_loop import map_eras
from sknumerai._eras import group_tables
from sknumerai._frames import Table, like_input, numeric_table, read_predictions
from sknumerai._rows import id_codes
from sknumerai._sklearn import StrOptions, validate_params
from sknumerai._typing import (
    Array,
    ArrayLike,
    ArrayOrList,
    Container,
    Eras,
    FloatArray,
    Same,
)
from sknumerai._warnings import warn_of_nan
from sknumerai.preprocessing._ranking import Method, rank_era

Ties = Literal["average", "id"]

METHOD = [StrOptions({"rank", "gaussian", "minmax", "std"})]
TIES = [StrOptions({"average", "id"})]
SCALES = ("minmax", "std")  # of the values themselves


def rank_table(
    table: Table, eras: Eras | None, ids: ArrayLike | None, *, method: Method, ties: Ties
) -> Array:
    """Rank or scale all columns of a table, era by era."""
    tables = [] if ties == "average" else [_read_ids(table, ids)]
    groups = group_tables(eras, table, *tables)
    values = read_predictions(table, groups)
    blocks = map_eras(partial(rank_era, method=method), groups, values, *tables)
    warn_of_nan(groups.labels, blocks)
    return groups.assemble(blocks).astype(values.dtype, copy=False)


def check_ties(method: Method, ties: Ties) -> None:
    """Check that there are ranks whose ties can be broken."""
    if ties == "id" and method in SCALES:
        raise ValueError(
            f"ties='id' breaks ties of ranks, and method={method!r} ranks nothing; pass "
            "method='rank' or 'gaussian', or ties='average'."
        )


@overload
def rank_by_era(
    values: ArrayOrList,
    *,
    eras: Eras | None,
    method: Method = ...,
    ties: Ties = ...,
    ids: ArrayLike | None = ...,
) -> FloatArray: ...
@overload
def rank_by_era(
    values: Same,
    *,
    eras: Eras | None,
    method: Method = ...,
    ties: Ties = ...,
    ids: ArrayLike | None = ...,
) -> Same: ...
@validate_params({"method": METHOD, "ties": TIES}, prefer_skip_nested_validation=True)
def rank_by_era(
    values: ArrayLike,
    *,
    eras: Eras | None,
    method: Method = "rank",
    ties: Ties = "average",
    ids: ArrayLike | None = None,
) -> Container:
    """Rank or scale predictions within every era.

    Parameters
    ----------
    values : array-like, Series or DataFrame of shape (n_samples,) or (n_samples, n_columns)
        Finite numbers. float32 gives float32, everything else float64.
    eras : array-like of shape (n_samples,) or scalar
        Era of every row. None takes all rows as one era.
    method : {"rank", "gaussian", "minmax", "std"}, default="rank"
        - "rank": (rank - 1/2) / n, in (0, 1), n being the rows of the era.
        - "gaussian": the normal quantile of that.
        - "minmax": the values themselves, onto [0, 1].
        - "std": the values themselves, to a standard deviation (ddof=0) of one; not centred.
    ties : {"average", "id"}, default="average"
        "average": equal values share their average rank. "id": the order of the ids decides, so
        that no two ranks of an era are equal, as submissions to Signals and Crypto need [1]_;
        the result does not depend on the order of the rows.
    ids : array-like of shape (n_samples,), optional
        What breaks ties: labels that can be sorted and occur once in an era. The index of a
        pandas object by default.

    Returns
    -------
    ranked : ndarray, Series or DataFrame
        In the container, order and (pandas) index of ``values``. NaN, with one warning, in eras
        where a column is constant.

    Raises
    ------
    ValueError
        If a value is not finite, values, eras and ids do not fit together, or ties are to be
        broken and there are no ids.

    See Also
    --------
    EraRankTransformer : The same as a transformer.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.tie_kept_rank``, ``tie_broken_rank`` and
       ``gaussian``, https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> import pandas as pd
    >>> from sknumerai.preprocessing import rank_by_era
    >>> predictions = pd.Series([3.0, 1.0, 1.0, 20.0, 10.0], index=list("cbaed"))
    >>> eras = [1, 1, 1, 2, 2]
    >>> rank_by_era(predictions, eras=eras).round(2).tolist()
    [0.83, 0.33, 0.33, 0.75, 0.25]
    >>> rank_by_era(predictions, eras=eras, ties="id").round(2).tolist()
    [0.83, 0.5, 0.17, 0.75, 0.25]
    """
    check_ties(method, ties)
    table = numeric_table(values, "values")
    return like_input(rank_table(table, eras, ids, method=method, ties=ties), values)


def _read_ids(table: Table, ids: ArrayLike | None) -> Table:
    """A number for every row, in the order of the ids."""
    if ids is None and table.index is None:
        raise ValueError(
            f"ties='id' needs ids to break ties by, and {table.name} has no index; pass ids=..., "
            "or a pandas object that is indexed by id."
        )
    source: Any = table.index if ids is None else ids
    labels = Table(source, "ids")
    try:
        codes = id_codes(source, sort=True)
    except TypeError as error:
        raise ValueError(f"ids must be labels such as text ({error}); convert them.") from None
    return labels.with_values(codes[:, None])
