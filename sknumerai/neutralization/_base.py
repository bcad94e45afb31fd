"""What the neutralization transformers and functions share: input, eras, warnings, output."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sknumerai._columns import select_features
from sknumerai._eras import EraGroups, group_tables, require_eras
from sknumerai._frames import Table, is_series, read_predictions
from sknumerai._sklearn import _check_feature_names_in, validate_table
from sknumerai._typing import Array, ArrayLike, Eras, FeatureColumns, Frame, Normalize
from sknumerai.neutralization._riskiest_features import RiskiestFeatures, select_riskiest

PREFIXES_OF_OTHERS = ("feature", "target")
OTHERS = ("era", "id", "data_type")


def read_input(
    X: Any,
    features: Any,
    eras: Any,
    feature_columns: FeatureColumns = None,
    prediction_columns: FeatureColumns = None,
    *,
    name: str = "X",
    by_name: bool = False,
) -> tuple[Table, Table, EraGroups]:
    """Predictions, features and eras, from one table of a caller or two.

    With ``by_name``, no column that is something else by its name becomes a prediction unasked.

    Raises
    ------
    ValueError
        If they do not hold the same rows, a column is not numeric or both a feature and a
        prediction, or none is left as prediction.
    """
    table = Table(X, name)
    given = [] if features is None else [Table(features, "features")]
    source = given[0] if given else table
    if given and not source.n_all_columns:
        raise ValueError("features has no columns; pass at least one.")
    groups = group_tables(eras, table, *given)
    selected = select_features(source, feature_columns, all_by_default=bool(given))
    taken = set() if given else set(selected)  # columns of X
    if prediction_columns is None:
        rest = [j for j in range(table.n_all_columns) if j not in taken]
        if by_name:
            _check_prediction_names([table.labels[j] for j in rest], source, selected)
    else:
        rest = select_features(
            table, prediction_columns, all_by_default=True, argument="prediction_columns"
        )
        both = [table.labels[j] for j in rest if j in taken]
        if both:
            raise ValueError(
                f"prediction_columns and feature_columns both select {len(both)} columns of "
                f"{name}, such as {both[0]!r}; name each column once."
            )
    if not rest:
        raise ValueError(
            f"All {table.n_all_columns} columns of {name} are features and none is a "
            "prediction; add the predictions to X, or pass the features as features=..."
        )
    return table.subset(rest, name), source.subset(selected, "features"), groups


class EraTransformerMixin:
    """Routes ``eras`` and ``features`` to fit and transform without any request call.

    Goes left of `TransformerMixin`, whose ``fit_transform`` drops metadata.
    """

    __metadata_request__fit = {"eras": True, "features": True}
    __metadata_request__transform = {"eras": True, "features": True}

    def fit_transform(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        features: ArrayLike | None = None,
        eras: Eras | None = None,
    ) -> Array | Frame:
        """Fit to the predictions, then transform them.

        Parameters
        ----------
        X, y, features, eras
            See `fit` and `transform`.

        Returns
        -------
        transformed : ndarray or DataFrame of shape (n_samples, n_predictions)
        """
        fitted = self.fit(X, y, features=features, eras=eras)  # type: ignore[attr-defined]
        transformed: Array | Frame = fitted.transform(X, features=features, eras=eras)
        return transformed


class PredictionTransformer(EraTransformerMixin, TransformerMixin, BaseEstimator):
    """Base of transformers that change predictions by the features of their era."""

    feature_columns: FeatureColumns | RiskiestFeatures
    prediction_columns: FeatureColumns
    normalize: Normalize
    n_jobs: int | None
    verbose: bool | int

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        features: ArrayLike | None = None,
        eras: Eras | None = None,
    ) -> Self:
        """Record prediction and feature names, and whether there are eras.

        No values are learned, unless ``feature_columns`` is a `RiskiestFeatures`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_predictions)
            Predictions; or a table of predictions and features, of which ``feature_columns``
            selects the features and ``prediction_columns`` the predictions.
        y : array-like of shape (n_samples,), optional
            Targets, which only some methods of `RiskiestFeatures` use.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            Features of the same rows, in their own dtype (int8 is fastest).
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row, or of all rows. Given here, they are required at `transform`.

        Returns
        -------
        self : object

        Raises
        ------
        MissingErasError
            If riskiest features are to be selected and there are no eras.
        ValueError
            If predictions, features and eras do not fit together, are not finite, or a column
            would become a prediction that is a feature or a target by its name; or if there are
            too few features or eras to select the riskiest, or no targets.
        """
        self._validate_params()
        predictions, chosen, groups = self._read(X, features, eras, reset=True)
        values = read_predictions(predictions, groups)
        self._check_features(chosen)
        self._selected = list(range(chosen.n_columns))
        if isinstance(self.feature_columns, RiskiestFeatures):
            self._selected = select_riskiest(
                self.feature_columns,
                values,
                chosen,
                y,
                groups,
                normalize=self.normalize,
                n_jobs=self.n_jobs,
                verbose=self.verbose,
            )
        names = chosen.columns if chosen.names is None else chosen.names
        self.selected_features_ = [names[j] for j in self._selected]
        self.eras_given_ = eras is not None
        self.prediction_columns_ = predictions.columns
        self.feature_names_ = chosen.names
        self.n_features_ = chosen.n_columns
        return self

    def transform(
        self,
        X: ArrayLike,
        *,
        features: ArrayLike | None = None,
        eras: Eras | None = None,
    ) -> Array | Frame:
        """Transform the predictions, era by era.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_predictions)
            As at `fit`.
        features : array-like or DataFrame of shape (n_samples, n_features), optional
            As at `fit`.
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row, or of all rows. Required if given at `fit`.

        Returns
        -------
        transformed : ndarray or DataFrame of shape (n_samples, n_predictions)
            In the order of the rows; float32 if all predictions are, else float64. NaN in eras
            where a prediction is constant.

        Raises
        ------
        MissingErasError
            If eras were given at `fit` and are not now.
        ValueError
            If predictions, features and eras do not fit together, or are not finite.
        """
        check_is_fitted(self)
        self._validate_params()
        caller = f"{type(self).__name__}.transform"
        require_eras(eras, given_at_fit=self.eras_given_, caller=caller)
        predictions, chosen, groups = self._read(X, features, eras, reset=False)
        self._check_same_features(chosen)
        if len(self._selected) < self.n_features_:
            chosen = chosen.subset([chosen.columns[j] for j in self._selected], chosen.name)
        return self._transform_table(predictions, chosen, groups)

    def _transform_table(self, predictions: Table, features: Table, groups: EraGroups) -> Array:
        raise NotImplementedError

    def _check_features(self, features: Table) -> None:
        """Check parameters that speak of features."""

    def _check_same_features(self, features: Table) -> None:
        if features.n_columns == self.n_features_ and (
            features.names is None
            or self.feature_names_ is None
            or features.names == self.feature_names_
        ):
            return
        difference = ""
        if features.names is not None and self.feature_names_ is not None:
            lost = [name for name in self.feature_names_ if name not in set(features.names)]
            new = [name for name in features.names if name not in set(self.feature_names_)]
            difference = (
                f" (missing: {lost[:3]}, new: {new[:3]})" if lost or new else " (in another order)"
            )
        raise ValueError(
            f"{type(self).__name__} was fitted with {self.n_features_} features and got other "
            f"ones, {features.n_columns} in number{difference}; pass the features of fit."
        )

    def _read(
        self, X: ArrayLike, features: ArrayLike | None, eras: Eras | None, *, reset: bool
    ) -> tuple[Table, Table, EraGroups]:
        """Predictions, features and eras."""
        if is_series(X):
            raise ValueError(
                f"X is a Series; pass a table of predictions, X.to_frame(), to "
                f"{type(self).__name__}, or the Series to neutralize() or clip_exposure()."
            )
        X = validate_table(self, X, reset=reset, ensure_all_finite=False)
        columns = self.feature_columns
        if isinstance(columns, RiskiestFeatures):  # those to select from
            columns = columns.feature_columns
        predictions, chosen, groups = read_input(
            X, features, eras, columns, self.prediction_columns, by_name=True
        )
        if not reset and predictions.columns != self.prediction_columns_:
            raise ValueError(
                f"{type(self).__name__} was fitted with {len(self.prediction_columns_)} columns "
                f"of X as predictions and now finds {predictions.n_columns}, since features=... "
                f"was {'' if features is None else 'not '}given then; pass it to both or neither, "
                "or name the predictions with prediction_columns."
            )
        return predictions, chosen, groups

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Array:
        """Names of the predictions.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the columns of X, where X had none at `fit`.

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self)
        names = np.asarray(_check_feature_names_in(self, input_features), dtype=object)
        return names[self.prediction_columns_]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_prediction_names(names: list[Any], source: Table, selected: list[int]) -> None:
    """Check that nothing left over is a feature, a target or an era by its name."""
    known = {source.labels[j] for j in selected} if source.names is not None else set()
    suspects = [
        name
        for name in names
        if isinstance(name, str)
        and (name.startswith(PREFIXES_OF_OTHERS) or name in OTHERS or name in known)
    ]
    if suspects:
        raise ValueError(
            f"{len(suspects)} of {len(names)} columns of X that would become predictions have "
            f"names of features, targets or eras, such as {suspects[0]!r}; name the predictions "
            "with prediction_columns."
        )
