"""The transformer FeatureNeutralizer."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

from sknumerai._eras import EraGroups
from sknumerai._frames import Table
from sknumerai._typing import Array, FeatureColumns, Normalize, Scale
from sknumerai.neutralization._base import PredictionTransformer
from sknumerai.neutralization._neutralize import NORMALIZE, PROPORTION, SCALE, neutralize_table
from sknumerai.neutralization._riskiest_features import RiskiestFeatures


class FeatureNeutralizer(PredictionTransformer):
    """Remove from predictions what the features of their era explain linearly.

    In each era the predictions p become ``p - proportion · N (NᵀN)⁺ Nᵀ p`` with N = [F, 1] and
    F the features. One factorization per era serves all predictions; features that depend on
    others are harmless. For features on one scale the
    numbers are those of ``numerai-tools``.

    Parameters
    ----------
    proportion : float, default=1.0
        Share of the linear part to remove, in [0, 1].
    feature_columns : list, str, callable, slice or RiskiestFeatures, optional
        Which columns are features: names, a regular expression that names are searched for, a
        callable on the list of names, or positions or a slice for arrays. None means all columns
        of ``features`` where that is given, else the columns of X whose name starts with
        "feature". `RiskiestFeatures` selects some of these at `fit`.
    normalize : {None, "rank", "gaussian"}, default=None
        Per era, before: ranks in (0, 1), or normal quantiles of them.
    scale : {None, "minmax", "std"}, default=None
        Per era, after: onto [0, 1], or to unit standard deviation.
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
        Names, or for arrays positions, of the features that predictions are neutralized against:
        all of them, or those selected by `RiskiestFeatures`, the riskiest first.
    eras_given_ : bool
        Whether eras were given at `fit`, and therefore are required at `transform`.

    See Also
    --------
    ExposureClipper : Removes only as much as limits on the exposures demand.
    tune_exposure : Compares proportions and limits.
    NeutralizedRegressor : A regressor whose predictions are neutralized.
    neutralize : The same as a function.

    References
    ----------
    .. [1] numerai-tools, ``numerai_tools.scoring.neutralize``,
       https://github.com/numerai/numerai-tools

    Examples
    --------
    >>> import numpy as np
    >>> from sknumerai.neutralization import FeatureNeutralizer
    >>> rng = np.random.default_rng(0)
    >>> eras = np.repeat(["0001", "0002"], 500)
    >>> features = rng.integers(0, 5, (1000, 3), dtype=np.int8)
    >>> predictions = (features @ [0.1, 0.0, -0.2] + rng.normal(size=1000)).reshape(-1, 1)
    >>> neutralizer = FeatureNeutralizer(proportion=0.5).fit(
    ...     predictions, features=features, eras=eras
    ... )
    >>> neutralizer.transform(predictions, features=features, eras=eras).shape
    (1000, 1)
    """

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        "proportion": [PROPORTION],
        "feature_columns": ["array-like", str, callable, slice, None],
        "prediction_columns": ["array-like", str, callable, slice, None],
        "normalize": NORMALIZE,
        "scale": SCALE,
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        proportion: float = 1.0,
        *,
        feature_columns: FeatureColumns | RiskiestFeatures = None,
        normalize: Normalize = None,
        scale: Scale = None,
        n_jobs: int | None = None,
        verbose: bool | int = False,
        prediction_columns: FeatureColumns = None,
    ):
        self.proportion = proportion
        self.feature_columns = feature_columns
        self.normalize = normalize
        self.scale = scale
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.prediction_columns = prediction_columns

    def _transform_table(self, predictions: Table, features: Table, groups: EraGroups) -> Array:
        return neutralize_table(
            predictions,
            features,
            groups,
            proportions=[self.proportion],
            normalize=self.normalize,
            scale=self.scale,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
