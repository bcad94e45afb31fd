"""The splitter EraTimeSeriesSplit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sknumerai._kernels.purging import unknown_eras
from sknumerai._typing import Array
from sknumerai.model_selection._base import EraCrossValidator, check_count


class EraTimeSeriesSplit(EraCrossValidator):
    """Train on the past, test on the eras after a gap.

    The last ``n_splits`` blocks of ``test_eras`` eras are tested in turn, each with the eras
    before it for training, but for those whose targets are not known yet.

    Parameters
    ----------
    n_splits : int, default=5
        Number of test blocks.
    horizon : int, default=20
        Horizon of the target in trading days, 20 or 60 in the tournament; eras are weekly.
    gap : int, optional
        Eras to leave out before a test block. None leaves out those whose targets are not
        known when the block begins, ``horizon // 5``: 4 for 20 days, 12 for 60. Counted over
        the eras present.
    max_train_eras : int, optional
        Train on that many eras at most, the latest ones. None trains on all.
    test_eras : int, optional
        Eras in a test block; ``n_eras // (n_splits + 1)`` by default.

    See Also
    --------
    PurgedEraKFold : Tests every era, and trains on both sides.

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.model_selection import EraTimeSeriesSplit
    >>> eras = [f"{era:04d}" for era in range(1, 13)]
    >>> splitter = EraTimeSeriesSplit(2, test_eras=3)
    >>> for train, test in splitter.split(np.zeros((12, 1)), groups=eras):
    ...     print(train, test)
    [0 1] [6 7 8]
    [0 1 2 3 4] [ 9 10 11]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        horizon: int = 20,
        gap: int | None = None,
        max_train_eras: int | None = None,
        test_eras: int | None = None,
    ):
        check_count("n_splits", n_splits, 1)
        check_count("horizon", horizon, 1)
        for name, value, least in (
            ("gap", gap, 0),
            ("max_train_eras", max_train_eras, 1),
            ("test_eras", test_eras, 1),
        ):
            if value is not None:
                check_count(name, value, least)
        self.n_splits = n_splits
        self.horizon = horizon
        self.gap = gap
        self.max_train_eras = max_train_eras
        self.test_eras = test_eras

    def _split_eras(self, n_eras: int) -> Iterator[tuple[Array, Array]]:
        size = n_eras // (self.n_splits + 1) if self.test_eras is None else self.test_eras
        gap = unknown_eras(self.horizon) if self.gap is None else self.gap
        size = max(size, 1)
        needed = self.n_splits * size + gap + 1
        self._check_number(
            n_eras, needed, f"{self.n_splits} tests of {size}, a gap of {gap} and one to train on"
        )
        for start in range(n_eras - self.n_splits * size, n_eras, size):
            train = np.arange(start - gap)
            if self.max_train_eras is not None:
                train = train[-self.max_train_eras :]
            yield train, np.arange(start, start + size)
