"""The meta-estimator BenchmarkResidualRegressor."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from sknumerai._era_loop import map_eras
from sknumerai._eras import group_eras
from sknumerai._frames import many_columns, one_column
from sknumerai._kernels.projection import neutral_predictions
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._routing import accepted_metadata, requests_of
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import (
    Interval,
    StrOptions,
    _fit_context,
    _num_samples,
    check_target,
    validate_table,
)
from sknumerai._typing import Array, ArrayLike, Eras, Normalize, Regressor
from sknumerai._warnings import warn_of_eras
from sknumerai.exceptions import ConstantPredictionWarning


class BenchmarkResidualRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """A regressor that learns what the benchmark models do not explain of the target.

    At `fit` the target of every era is replaced by its residual: what is left of a least-squares
    fit by the benchmarks and a constant. Predictions are the regressor's own; nothing is added to
    them.

    Parameters
    ----------
    regressor : estimator
        Any regressor; a clone of it is fitted.
    proportion : float, default=1.0
        Share of the explained part that is removed, in [0, 1]: 0 leaves the target as it is.
    normalize : {"gaussian", "rank", None}, default="gaussian"
        What the benchmarks become in every era first: normal quantiles of their ranks, as BMC
        takes them; ranks in (0, 1); or what they are.

    Attributes
    ----------
    regressor_ : estimator
        The fitted regressor.
    n_features_in_ : int
        Columns of X at `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X had any.

    See Also
    --------
    sknumerai.neutralization.NeutralizedRegressor : Changes the predictions instead.
    sknumerai.metrics.meta_model_contribution : BMC, by which to judge the result.

    Notes
    -----
    BMC is the covariance of the target with what the benchmark b leaves of a prediction p. The
    projection is symmetric: with p and b as normal quantiles, it is as well that of p with what b
    leaves of the target. With one benchmark, the defaults and predictions that are normal
    already, the regressor is trained on exactly what BMC multiplies predictions by.

    A benchmark that is constant in an era explains nothing there, and a warning names the era.
    Where all of them are, only the mean is taken out of the era's target, as far as `proportion`
    says.

    The features predict some of the benchmarks, and predictions are neutral to them only as far
    as the regressor has learned it.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sknumerai.boosting import BenchmarkResidualRegressor
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import meta_model_contribution
    >>> tournament = make_tournament(20, 200, 10, linear_corr=0.1, random_state=0)
    >>> X, y, eras = tournament.data, tournament.target, tournament.eras
    >>> benchmark = tournament.example_predictions
    >>> plain = Ridge().fit(X, y).predict(X)
    >>> model = BenchmarkResidualRegressor(Ridge()).fit(X, y, eras=eras, benchmark=benchmark)
    >>> bmc, higher = (
    ...     meta_model_contribution(y, predictions, meta_model=benchmark, eras=eras)
    ...     for predictions in (plain, model.predict(X))
    ... )
    >>> higher > bmc  # on the training eras
    True
    """

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"eras": True, "benchmark": True}
    __metadata_request__predict: ClassVar[dict[str, bool]] = {"eras": True}
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "proportion": [Interval(Real, 0, 1, closed="both")],
        "normalize": [StrOptions({"gaussian", "rank"}), None],
    }

    def __init__(
        self,
        regressor: Regressor,
        *,
        proportion: float = 1.0,
        normalize: Normalize = "gaussian",
    ):
        self.regressor = regressor
        self.proportion = proportion
        self.normalize = normalize

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        benchmark: ArrayLike | None = None,
        eras: Eras | None = None,
        **fit_params: object,
    ) -> Self:
        """Fit the regressor to the residuals of the targets.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        benchmark : array-like or DataFrame of shape (n_samples,) or (n_samples, n_benchmarks)
            Predictions of the benchmark models for the same rows, finite. Required.
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row. The regressor gets them, too, where it asks for them. Without, all
            rows are one era, with a warning.
        **fit_params : dict
            Passed to the regressor's ``fit``.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there are no benchmarks, or they are not finite or not of the same rows.

        Warns
        -----
        ConstantPredictionWarning
            If a benchmark is constant in an era, and therefore explains nothing of the target.
        """
        if benchmark is None:
            raise ValueError(
                "benchmark is None; pass the benchmark models' predictions of the rows of X: "
                "fit(X, y, eras=eras, benchmark=benchmark)."
            )
        check_same_labels(X=X, y=y, benchmark=benchmark, eras=eras, **fit_params)
        X = validate_table(self, X, reset=True, ensure_all_finite=False)
        check_target(self, X, y)
        targets = check_array(y, input_name="y", ensure_2d=False, dtype=np.float64)
        groups = group_eras(eras, _num_samples(X), max_rows=0)  # warns: never one era
        results = map_eras(
            partial(_residual, proportion=self.proportion, normalize=self.normalize),
            groups,
            one_column(column_or_1d(targets, warn=True), "y"),
            many_columns(benchmark, "benchmark"),
        )
        warn_of_eras(
            "a benchmark is constant, so that it explains nothing of the target there.",
            [label for label, (_, flat) in zip(groups.labels, results, strict=True) if flat],
            ConstantPredictionWarning,
        )
        residuals = groups.assemble([residual for residual, _ in results])
        given = {} if eras is None else {"eras": eras}
        params = self._route("fit", given, {"benchmark": benchmark}, fit_params)
        self.regressor_ = clone(self.regressor).fit(X, residuals, **params)
        return self

    def predict(self, X: ArrayLike, *, eras: Eras | None = None, **predict_params: object) -> Array:
        """Predict by the regressor.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row, for a regressor that asks for them.
        **predict_params : dict
            Passed to the regressor's ``predict``.

        Returns
        -------
        predictions : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        check_same_labels(X=X, eras=eras, **predict_params)
        X = validate_table(self, X, reset=False, ensure_all_finite=False)
        given = {} if eras is None else {"eras": eras}
        params = self._route("predict", given, {}, predict_params)
        return np.asarray(self.regressor_.predict(X, **params))

    def _route(
        self, method: str, eras: dict[str, Any], own: dict[str, Any], params: dict[str, Any]
    ) -> dict[str, Any]:
        """Arguments for the regressor, with metadata routing on or off."""
        for_regressor = accepted_metadata(self.regressor, method, eras)
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, method, **eras, **own, **params)
            return dict(routed["regressor"][method])
        return params | for_regressor

    def get_metadata_routing(self) -> MetadataRouter:
        """Metadata routing of this object.

        Returns
        -------
        routing : MetadataRouter
            To itself and the regressor.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                regressor=requests_of(self.regressor),
                method_mapping=MethodMapping()
                .add(caller="fit", callee="fit")
                .add(caller="predict", callee="predict"),
            )
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = get_tags(self.regressor).input_tags.allow_nan
        tags.regressor_tags.poor_score = True  # of the target itself, by design
        return tags


def _residual(
    targets: Array, benchmark: Array, *, proportion: float, normalize: Any
) -> tuple[Array, bool]:
    """What the benchmarks of one era do not explain of its targets, and whether one is constant."""
    explaining = normalize_columns(benchmark, normalize)
    residual = neutral_predictions(targets, explaining, [proportion])[:, 0]
    return residual, bool((benchmark == benchmark[0]).all(axis=0).any())
