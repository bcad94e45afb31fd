"""The transformer EraRankTransformer."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sknumerai._eras import group_tables, require_eras
from sknumerai._frames import Table, is_series, numeric_table, read_predictions
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import validate_table
from sknumerai._typing import Array, ArrayLike, Eras, Frame
from sknumerai.preprocessing._rank_by_era import METHOD, TIES, Ties, check_ties, rank_table
from sknumerai.preprocessing._ranking import Method


class EraRankTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Rank or scale every column within every era.

    Parameters
    ----------
    method : {"rank", "gaussian", "minmax", "std"}, default="rank"
        "rank": (rank - 1/2) / n, in (0, 1); "gaussian": the normal quantile of that; "minmax":
        the values themselves, onto [0, 1]; "std": the values themselves, to a standard deviation
        (ddof=0) of one, not centred.
    ties : {"average", "id"}, default="average"
        "average": equal values share their average rank. "id": the order of the ids decides, as
        submissions to Signals and Crypto need. Ids are the index of a pandas X, or the metadata
        ``ids``.

    Attributes
    ----------
    n_features_in_ : int
        Columns of X at `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X had any.
    eras_given_ : bool
        Whether eras were given at `fit`, and therefore are required at `transform`.

    See Also
    --------
    rank_by_era : The same as a function.

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.preprocessing import EraRankTransformer
    >>> predictions = np.array([[3.0], [1.0], [2.0], [20.0], [10.0]])
    >>> eras = np.array([1, 1, 1, 2, 2])
    >>> EraRankTransformer("minmax").fit_transform(predictions, eras=eras).ravel().tolist()
    [1.0, 0.0, 0.5, 1.0, 0.0]
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {"method": METHOD, "ties": TIES}

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"eras": True}
    __metadata_request__transform: ClassVar[dict[str, bool]] = {"eras": True, "ids": True}

    def __init__(self, method: Method = "rank", *, ties: Ties = "average"):
        self.method = method
        self.ties = ties

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, *, eras: Eras | None = None) -> Self:
        """Record the columns, and whether there are eras; learn no values.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
            Finite numbers.
        y : ignored
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row, or of all rows. Given here, they are required at `transform`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If X and eras do not fit together, or a value is not finite.
        """
        self._validate_params()
        check_ties(self.method, self.ties)
        table = self._read(X, eras, reset=True)
        read_predictions(table, group_tables(eras, table))
        self.eras_given_ = eras is not None
        return self

    def transform(
        self, X: ArrayLike, *, eras: Eras | None = None, ids: ArrayLike | None = None
    ) -> Array | Frame:
        """Rank or scale the columns, era by era.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
            As at `fit`.
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row, or of all rows. Required if given at `fit`.
        ids : array-like of shape (n_samples,), optional
            What breaks ties with ``ties="id"``: labels that occur once in an era. The index of a
            pandas X by default.

        Returns
        -------
        transformed : ndarray or DataFrame of shape (n_samples, n_columns)
            In the order of the rows; float32 if X is, else float64. NaN, with one warning, in
            eras where a column is constant.

        Raises
        ------
        MissingErasError
            If eras were given at `fit` and are not now.
        ValueError
            If X, eras and ids do not fit together, a value is not finite, or ties are to be
            broken and there are no ids.
        """
        check_is_fitted(self)
        self._validate_params()
        caller = f"{type(self).__name__}.transform"
        require_eras(eras, given_at_fit=self.eras_given_, caller=caller)
        table = self._read(X, eras, reset=False)
        check_same_labels(X=X, eras=eras, ids=ids)
        return rank_table(table, eras, ids, method=self.method, ties=self.ties)

    def fit_transform(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        eras: Eras | None = None,
        ids: ArrayLike | None = None,
    ) -> Array | Frame:
        """Fit to the columns, then transform them.

        Parameters
        ----------
        X, y, eras, ids
            See `fit` and `transform`.

        Returns
        -------
        transformed : ndarray or DataFrame of shape (n_samples, n_columns)
        """
        transformed: Array | Frame = self.fit(X, y, eras=eras).transform(X, eras=eras, ids=ids)
        return transformed

    def _read(self, X: Any, eras: Eras | None, *, reset: bool) -> Table:
        if is_series(X):
            raise ValueError(
                f"X is a Series; pass a table, X.to_frame(), to {type(self).__name__}, or the "
                "Series to rank_by_era()."
            )
        return numeric_table(validate_table(self, X, reset=reset, ensure_all_finite=False), "X")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
