"""The splitter CombinatorialPurgedEraCV."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np

from sknumerai._kernels.purging import overlapping_eras, train_eras
from sknumerai._typing import Array
from sknumerai.model_selection._base import EraCrossValidator, check_count, check_horizon


class CombinatorialPurgedEraCV(EraCrossValidator):
    """Test every combination of blocks of consecutive eras, purged of overlapping targets.

    The eras are cut into ``n_folds`` blocks, and every choice of ``n_test_folds`` of them is
    tested once: ``comb(n_folds, n_test_folds)`` splits. Every era is tested
    ``comb(n_folds - 1, n_test_folds - 1)`` times, so that the predictions can be joined to as
    many full histories ("paths"), each from models that were not trained on it.

    Parameters
    ----------
    n_folds : int, default=6
        Number of blocks.
    n_test_folds : int, default=2
        Blocks tested together, fewer than ``n_folds``.
    horizon : int or "auto", default="auto"
        Horizon of the target in trading days, 20 or 60 in the tournament; eras are weekly. "auto"
        reads it from the name of y, ``"target_ender_60"`` for example, and is 20 where y has no
        name that ends in it: an array, or "target", whatever that stands for.
    purge : int, optional
        Eras to leave out on each side of a test block. None leaves out those that overlap,
        ``ceil(horizon / 5) - 1``: 3 for 20 days, 11 for 60. Counted over the eras present.
    embargo : int, default=0
        Further eras to leave out after a test block.

    Attributes
    ----------
    n_paths : int
        Number of full histories.

    References
    ----------
    .. [1] M. López de Prado, "Advances in Financial Machine Learning", ch. 12 (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.model_selection import CombinatorialPurgedEraCV
    >>> eras = [f"{era:04d}" for era in range(1, 13)]
    >>> splitter = CombinatorialPurgedEraCV(4, 2, purge=1)
    >>> splitter.get_n_splits(), splitter.n_paths
    (6, 3)
    >>> train, test = next(splitter.split(np.zeros((12, 1)), groups=eras))
    >>> print(train, test)
    [ 7  8  9 10 11] [0 1 2 3 4 5]
    >>> splitter.get_path_ids()
    array([[0, 0],
           [1, 0],
           [2, 0],
           [1, 1],
           [2, 1],
           [2, 2]])
    """

    def __init__(
        self,
        n_folds: int = 6,
        n_test_folds: int = 2,
        *,
        horizon: int | Literal["auto"] = "auto",
        purge: int | None = None,
        embargo: int = 0,
    ):
        check_count("n_folds", n_folds, 2)
        check_count("n_test_folds", n_test_folds, 1)
        check_horizon(horizon)
        check_count("embargo", embargo, 0)
        if purge is not None:
            check_count("purge", purge, 0)
        if n_test_folds >= n_folds:
            raise ValueError(
                f"n_test_folds={n_test_folds} leaves none of n_folds={n_folds} to train on; test "
                "fewer folds together."
            )
        self.n_folds = n_folds
        self.n_test_folds = n_test_folds
        self.horizon = horizon
        self.purge = purge
        self.embargo = embargo

    @property
    def n_paths(self) -> int:
        """Number of full histories."""
        return comb(self.n_folds - 1, self.n_test_folds - 1)

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : ignored

        Returns
        -------
        n_splits : int
        """
        return comb(self.n_folds, self.n_test_folds)

    def get_path_ids(self) -> Array:
        """Path that every tested block of every split belongs to.

        Returns
        -------
        path_ids : ndarray of shape (n_splits, n_test_folds)
            The n-th time that a block is tested, it belongs to path n.
        """
        times = np.zeros(self.n_folds, dtype=int)
        paths = []
        for folds in combinations(range(self.n_folds), self.n_test_folds):
            paths.append(times[list(folds)])
            times[list(folds)] += 1
        return np.array(paths)

    def _split_eras(self, n_eras: int, horizon: int) -> Iterator[tuple[Array, Array]]:
        self._check_number(n_eras, self.n_folds, "one for each fold")
        purge = overlapping_eras(horizon) if self.purge is None else self.purge
        blocks = np.array_split(np.arange(n_eras), self.n_folds)
        for folds in combinations(blocks, self.n_test_folds):
            test = np.concatenate(folds)
            yield train_eras(n_eras, list(folds), purge, self.embargo), test
