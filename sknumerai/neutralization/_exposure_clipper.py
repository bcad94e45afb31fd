"""The transformer ExposureClipper."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

from sknumerai._eras import EraGroups
from sknumerai._frames import Table
from sknumerai._typing import Array, ExposureLimit, FeatureColumns, FeatureGroups, Normalize, Scale
from sknumerai.neutralization._base import PredictionTransformer
from sknumerai.neutralization._clip_exposure import (
    CLIP_CONSTRAINTS,
    Bounds,
    OnInfeasible,
    clip_table,
)
from sknumerai.neutralization._limits import exposure_limits
from sknumerai.neutralization._riskiest_features import RiskiestFeatures


class ExposureClipper(PredictionTransformer):
    """Clip the feature exposures of predictions, changing them least.

    An exposure is the correlation of the predictions with a feature in one era. Of all signals
    ``p - F w`` whose exposures are inside the limits, the one that correlates most with the
    predictions p is found exactly, as the solution of a square-root lasso [1]_.

    Parameters
    ----------
    max_exposure : float, array-like of shape (n_features,), Series or dict, default=0.1
        Largest absolute correlation with a feature: one limit, one per feature (a Series by its
        labels, which must be the names), or a dict of limits by feature or group name. A dict
        leaves unnamed features unlimited; of several limits the tightest wins. Limits of 0
        neutralize. Limits are those of all features, also where `RiskiestFeatures` selects some.
    bounds : {"symmetric", "shrink"}, default="symmetric"
        "symmetric": every exposure within ±limit. "shrink": besides, no exposure may grow or
        change its sign.
    feature_columns : list, str, callable, slice or RiskiestFeatures, optional
        Which columns are features: names, a regular expression that names are searched for, a
        callable on the list of names, or positions or a slice for arrays. None means all columns
        of ``features`` where that is given, else the columns of X whose name starts with
        "feature". `RiskiestFeatures` selects some of these at `fit`.
    feature_groups : dict of str to sequence of names, optional
        Groups that ``max_exposure`` may name.
    normalize : {None, "rank", "gaussian"}, default="gaussian"
        Per era, before: ranks in (0, 1), or normal quantiles of them.
    scale : {None, "minmax", "std"}, default="minmax"
        Per era, after: onto [0, 1], or to unit standard deviation.
    tol : float, default=1e-9
        Bound on the violation of a limit and on the duality gap.
    on_infeasible : {"raise", "warn"}, default="raise"
        Where limits leave nothing of a prediction (usually an era with few rows): raise, or
        widen that era's limits to 1.01 times the tightest workable ones and warn.
    n_jobs : int, optional
        Eras computed in parallel, as in joblib.
    verbose : bool, default=False
        Whether to show a progress bar.
    prediction_columns : list, str, callable or slice, optional
        Which columns of X are predictions, in the ways of ``feature_columns``: a list names
        them, a str such as "prediction" selects all whose name contains it. Others that are no
        features are ignored. None means all that are no features; then a column that is a
        feature, a target or an era by its name is an error.

    Attributes
    ----------
    n_features_in_ : int
        Columns of X at `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where X had any.
    prediction_columns_ : list of int
        Positions of the predictions in X.
    feature_names_ : list or None
        Names of the features.
    n_features_ : int
        Their number.
    selected_features_ : list
        Names, or for arrays positions, of the features whose exposures are limited:
        all of them, or those selected by `RiskiestFeatures`, the riskiest first.
    eras_given_ : bool
        Whether eras were given at `fit`, and therefore are required at `transform`.

    See Also
    --------
    FeatureNeutralizer : Removes the linear part altogether.
    tune_exposure : Compares proportions and limits.
    NeutralizedRegressor : A regressor whose predictions are clipped.
    clip_exposure : The same as a function, which also returns what was done.

    References
    ----------
    .. [1] A. Belloni, V. Chernozhukov and L. Wang, "Square-root lasso: pivotal recovery of sparse
       signals via conic programming", Biometrika 98 (2011).

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.neutralization import ExposureClipper
    >>> rng = np.random.default_rng(0)
    >>> features = rng.integers(0, 5, (1000, 3), dtype=np.int8)
    >>> predictions = (features @ [0.1, 0.0, -0.2] + rng.normal(size=1000)).reshape(-1, 1)
    >>> clipper = ExposureClipper(0.1)
    >>> clipped = clipper.fit_transform(predictions, features=features)[:, 0]
    >>> [round(float(np.corrcoef(clipped, feature)[0, 1]), 3) for feature in features.T]
    [0.1, -0.025, -0.1]
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **CLIP_CONSTRAINTS,
        "feature_columns": ["array-like", str, callable, slice, None],
        "prediction_columns": ["array-like", str, callable, slice, None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        max_exposure: ExposureLimit = 0.1,
        *,
        bounds: Bounds = "symmetric",
        feature_columns: FeatureColumns | RiskiestFeatures = None,
        feature_groups: FeatureGroups | None = None,
        normalize: Normalize = "gaussian",
        scale: Scale = "minmax",
        tol: float = 1e-9,
        on_infeasible: OnInfeasible = "raise",
        n_jobs: int | None = None,
        verbose: bool | int = False,
        prediction_columns: FeatureColumns = None,
    ):
        self.max_exposure = max_exposure
        self.bounds = bounds
        self.feature_columns = feature_columns
        self.feature_groups = feature_groups
        self.normalize = normalize
        self.scale = scale
        self.tol = tol
        self.on_infeasible = on_infeasible
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.prediction_columns = prediction_columns

    def _check_features(self, features: Table) -> None:
        exposure_limits(self.max_exposure, features.names, features.n_columns, self.feature_groups)

    def _transform_table(self, predictions: Table, features: Table, groups: EraGroups) -> Array:
        limits = exposure_limits(
            self.max_exposure, self.feature_names_, self.n_features_, self.feature_groups
        )
        clipped, _ = clip_table(
            predictions,
            features,
            groups,
            max_exposure=limits[self._selected],
            feature_groups=None,
            bounds=self.bounds,
            normalize=self.normalize,
            scale=self.scale,
            tol=self.tol,
            on_infeasible=self.on_infeasible,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        return clipped
