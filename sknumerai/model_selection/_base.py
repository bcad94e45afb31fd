"""What the splitters over eras share."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import _num_samples

from sknumerai._eras import EraGroups, era_order, group_eras
from sknumerai._typing import Array, ArrayLike
from sknumerai.exceptions import MissingErasError

DAYS_PER_ERA = 5  # eras are weekly, horizons are trading days


def overlapping_eras(horizon: int) -> int:
    """Eras on each side whose targets share days with an era's: 3 for 20 days, 11 for 60."""
    return -(-horizon // DAYS_PER_ERA) - 1


def unknown_eras(horizon: int) -> int:
    """Eras before an era whose targets are not known by then: 4 for 20 days, 12 for 60."""
    return horizon // DAYS_PER_ERA


class EraCrossValidator(BaseCrossValidator):
    """Base of splitters whose groups are eras.

    A subclass makes folds of era numbers (0 is the oldest era); this class turns eras into
    numbers and folds into rows.
    """

    n_splits: int

    # one key, eras, serves estimators, scorers and splitters
    __metadata_request__split: ClassVar[dict[str, str]] = {"groups": "eras"}

    def split(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[Array, Array]]:
        """Generate the rows of training and test sets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Only its number of rows is used.
        y : ignored
        groups : array-like of shape (n_samples,)
            Era of every row. With metadata routing on, pass them as ``eras``.

        Yields
        ------
        train, test : ndarray of int
            Row numbers, ascending.

        Raises
        ------
        MissingErasError
            If no eras are given.
        ValueError
            If the eras have no order, or are too few.
        """
        eras = self._group(X, groups)
        order = era_order(eras)
        for train, test in self._split_eras(len(order)):
            if len(train) == 0:
                raise ValueError(
                    f"{self!r} leaves no era to train on for the test eras from "
                    f"{eras.labels[order[test[0]]]} to {eras.labels[order[test[-1]]]}: there are "
                    f"only {len(order)} eras. Pass more eras, fewer splits or a shorter horizon."
                )
            yield eras.indices(order[train]), eras.indices(order[test])

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : ignored

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def _split_eras(self, n_eras: int) -> Iterator[tuple[Array, Array]]:
        """Folds of era numbers."""
        raise NotImplementedError

    def _group(self, X: ArrayLike, groups: ArrayLike | None) -> EraGroups:
        if groups is None:
            raise MissingErasError(
                f"{type(self).__name__} needs eras: pass groups=eras; or call "
                "sklearn.set_config(enable_metadata_routing=True) first and pass eras=eras to "
                "the search, or params={'eras': eras} to cross_validate."
            )
        return group_eras(groups, _num_samples(X))

    def _check_number(self, n_eras: int, needed: int, what: str) -> None:
        if n_eras < needed:
            raise ValueError(
                f"{self!r} needs at least {needed} eras ({what}) and found {n_eras}; pass more "
                "eras or ask for fewer splits."
            )


def check_count(name: str, value: Any, least: int) -> None:
    """Check that a constructor's argument is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of {least} or more; found {value!r}.")


def train_eras(n_eras: int, blocks: list[Array], purge: int, embargo: int) -> Array:
    """Era numbers that remain for training around blocks of consecutive test eras.

    Parameters
    ----------
    n_eras : int
    blocks : list of ndarray
        Consecutive era numbers each.
    purge : int
        Eras left out on both sides of a block.
    embargo : int
        Further eras left out after a block.
    """
    kept = np.ones(n_eras, dtype=bool)
    for block in blocks:
        kept[max(0, block[0] - purge) : block[-1] + 1 + purge + embargo] = False
    return np.flatnonzero(kept)
