"""The splitter PurgedEraKFold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from sknumerai._kernels.purging import overlapping_eras, train_eras
from sknumerai._typing import Array
from sknumerai.model_selection._base import EraCrossValidator, check_count, check_horizon


class PurgedEraKFold(EraCrossValidator):
    """K-fold over blocks of consecutive eras, purged of eras with overlapping targets.

    Every era is tested once. Eras whose targets share trading days with those of the test block
    are left out of training, on both sides.

    Parameters
    ----------
    n_splits : int, default=5
        Number of blocks.
    horizon : int or "auto", default="auto"
        Horizon of the target in trading days, 20 or 60 in the tournament; eras are weekly. "auto"
        reads it from the name of y, ``"target_ender_60"`` for example, and is 20 where y has no
        name that ends in it: an array, or "target", whatever that stands for.
    purge : int, optional
        Eras to leave out on each side of a test block. None leaves out those that overlap,
        ``ceil(horizon / 5) - 1``: 3 for 20 days, 11 for 60. Counted over the eras present.
    embargo : int, default=0
        Further eras to leave out after a test block.

    See Also
    --------
    EraTimeSeriesSplit : Trains on the past alone.
    CombinatorialPurgedEraCV : Tests all combinations of blocks.

    References
    ----------
    .. [1] M. López de Prado, "Advances in Financial Machine Learning", ch. 7 (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.model_selection import PurgedEraKFold
    >>> eras = [f"{era:04d}" for era in range(1, 13)]
    >>> for train, test in PurgedEraKFold(3).split(np.zeros((12, 1)), groups=eras):
    ...     print(train, test)
    [ 7  8  9 10 11] [0 1 2 3]
    [ 0 11] [4 5 6 7]
    [0 1 2 3 4] [ 8  9 10 11]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        horizon: int | Literal["auto"] = "auto",
        purge: int | None = None,
        embargo: int = 0,
    ):
        check_count("n_splits", n_splits, 2)
        check_horizon(horizon)
        check_count("embargo", embargo, 0)
        if purge is not None:
            check_count("purge", purge, 0)
        self.n_splits = n_splits
        self.horizon = horizon
        self.purge = purge
        self.embargo = embargo

    def _split_eras(self, n_eras: int, horizon: int) -> Iterator[tuple[Array, Array]]:
        self._check_number(n_eras, self.n_splits, "one for each split")
        purge = overlapping_eras(horizon) if self.purge is None else self.purge
        for block in np.array_split(np.arange(n_eras), self.n_splits):
            yield train_eras(n_eras, [block], purge, self.embargo), block
