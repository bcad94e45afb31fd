"""What the splitters over eras share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.model_selection import BaseCrossValidator

from sknumerai._eras import EraGroups, group_eras
from sknumerai._kernels.horizons import horizon_of
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import _num_samples
from sknumerai._typing import Array, ArrayLike
from sknumerai.exceptions import MissingErasError


class EraCrossValidator(BaseCrossValidator):
    """Base of splitters whose groups are eras.

    A subclass makes folds of era numbers (0 is the oldest era); this class turns eras into
    numbers and folds into rows.
    """

    n_splits: int
    horizon: int | Literal["auto"]

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
        y : array-like of shape (n_samples,) or (n_samples, n_targets), optional
            Eras in which no row has a target are in no training and in no test set, nor counted.
            Its name may tell the horizon.
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
        if groups is None:
            raise MissingErasError(
                f"{type(self).__name__} needs eras: in a search or cross_validate, call "
                "sklearn.set_config(enable_metadata_routing=True) first and pass eras=eras to the "
                "search, or params={'eras': eras} to cross_validate; split() itself takes them as "
                "groups=eras."
            )
        check_same_labels(X=X, y=y, eras=groups)
        eras = _with_targets(group_eras(groups, _num_samples(X)).sorted(), y)
        for train, test in self._split_eras(len(eras), self._horizon_of(y)):
            if len(train) == 0:
                raise ValueError(
                    f"{self!r} leaves no era to train on for the test eras from "
                    f"{eras.labels[test[0]]} to {eras.labels[test[-1]]}: there are only "
                    f"{len(eras)} eras. Pass more eras, fewer splits or a shorter horizon."
                )
            yield eras.indices(train), eras.indices(test)

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

    def _split_eras(self, n_eras: int, horizon: int) -> Iterator[tuple[Array, Array]]:
        """Folds of era numbers."""
        raise NotImplementedError

    def _horizon_of(self, y: Any) -> int:
        """The horizon in trading days, by the name of the target if it is "auto"."""
        if self.horizon != "auto":
            return int(self.horizon)
        return horizon_of(getattr(y, "columns", [getattr(y, "name", None)]))

    def _check_number(self, n_eras: int, needed: int, what: str) -> None:
        if n_eras < needed:
            raise ValueError(
                f"{self!r} needs at least {needed} eras ({what}) and found {n_eras}; pass more "
                "eras or ask for fewer splits."
            )


def _with_targets(eras: EraGroups, y: Any) -> EraGroups:
    """The eras in which some row has a target."""
    if y is None:
        return eras
    values = np.asarray(y)
    if values.dtype.kind != "f" or len(values) != eras.n_samples:
        return eras
    known = ~np.isnan(values.reshape(len(values), -1)).all(axis=1)
    return eras.take([i for i, rows in enumerate(eras.rows) if known[rows].any()])


def check_horizon(horizon: Any) -> None:
    """Check that a horizon is a number of days, or "auto"."""
    if isinstance(horizon, str) and horizon == "auto":
        return
    if isinstance(horizon, str):
        raise ValueError(f"horizon must be a number of trading days or 'auto'; found {horizon!r}.")
    check_count("horizon", horizon, 1)


def check_count(name: str, value: Any, least: int) -> None:
    """Check that a constructor's argument is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of {least} or more; found {value!r}.")
