"""The splitter EraTimeSeriesSplit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from sknumerai._kernels.purging import unknown_eras
from sknumerai._typing import Array
from sknumerai.exceptions import MissingErasError
from sknumerai.model_selection._base import EraCrossValidator, check_count, check_horizon


class EraTimeSeriesSplit(EraCrossValidator):
    """Train on the past, test on the eras after a gap.

    The last ``n_splits`` blocks of ``test_eras`` eras are tested in turn, each with the eras
    before it for training, but for those whose targets are not known yet. Or blocks are counted
    from the first era on, as those of the tournament's benchmark models are.

    Parameters
    ----------
    n_splits : int, default=5
        Number of test blocks.
    horizon : int or "auto", default="auto"
        Horizon of the target in trading days, 20 or 60 in the tournament; eras are weekly. "auto"
        reads it from the name of y, ``"target_ender_60"`` for example, and is 20 where y has no
        name that ends in it: an array, or "target", whatever that stands for.
    gap : int, optional
        Eras to leave out before a test block. None leaves out those whose targets are not
        known when the block begins, ``horizon // 5``: 4 for 20 days, 12 for 60. Counted over
        the eras present.
    max_train_eras : int, optional
        Train on that many eras at most, the latest ones. None trains on all.
    test_eras : int, optional
        Eras in a test block; ``n_eras // (n_splits + 1)`` by default.
    anchor : {"end", "start"}, default="end"
        Where blocks are counted from. "end": the last test block ends with the last era. "start":
        the first block of ``test_eras`` eras is trained on only, all others are tested, the last
        of which may be shorter; there are as many splits as that makes.

    See Also
    --------
    PurgedEraKFold : Tests every era, and trains on both sides.

    Notes
    -----
    The walk-forward of the benchmark models is ``EraTimeSeriesSplit(test_eras=156, gap=8,
    anchor="start")`` for targets of 20 days, and with a gap of 16 for 60 days: eras 157 to 312 are
    predicted by a model that was trained on eras 1 to 148, and so on.

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
        horizon: int | Literal["auto"] = "auto",
        gap: int | None = None,
        max_train_eras: int | None = None,
        test_eras: int | None = None,
        anchor: Literal["end", "start"] = "end",
    ):
        check_count("n_splits", n_splits, 1)
        check_horizon(horizon)
        if anchor not in ("end", "start"):
            raise ValueError(f"anchor must be 'end' or 'start'; found {anchor!r}.")
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
        self.anchor = anchor

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups
            As in `split`; needed where blocks are counted from the first era.

        Returns
        -------
        n_splits : int
        """
        if self.anchor == "end":
            return self.n_splits
        if groups is None:
            raise MissingErasError(
                "get_n_splits() of EraTimeSeriesSplit(anchor='start') depends on the number of "
                "eras; pass it X, y and groups=eras."
            )
        return sum(1 for _ in self.split(groups if X is None else X, y, groups))

    def _split_eras(self, n_eras: int, horizon: int) -> Iterator[tuple[Array, Array]]:
        size = n_eras // (self.n_splits + 1) if self.test_eras is None else self.test_eras
        gap = unknown_eras(horizon) if self.gap is None else self.gap
        size = max(size, 1)
        if self.anchor == "start":
            self._check_number(n_eras, size + 1, f"a block of {size} to train on and one to test")
            starts = range(size, n_eras, size)
        else:
            what = f"{self.n_splits} tests of {size}, a gap of {gap} and one to train on"
            self._check_number(n_eras, self.n_splits * size + gap + 1, what)
            starts = range(n_eras - self.n_splits * size, n_eras, size)
        for start in starts:
            train = np.arange(start - gap)
            if self.max_train_eras is not None:
                train = train[-self.max_train_eras :]
            yield train, np.arange(start, min(start + size, n_eras))
