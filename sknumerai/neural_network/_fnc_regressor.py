"""The estimator FNCRegressor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted, validate_data

from sknumerai._columns import select_features
from sknumerai._eras import EraGroups, group_eras
from sknumerai._frames import Table
from sknumerai._optional import import_optional
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import Interval, StrOptions, check_target, validate_table
from sknumerai._typing import Array, ArrayLike, Eras, FeatureColumns, RandomState
from sknumerai.neural_network._device import resolve_device
from sknumerai.neural_network._era_source import EraSource, open_source
from sknumerai.neural_network._net_parameters import (
    NET_PARAMETERS,
    SOFT_RANK_OPTIONS,
    Backend,
    Strength,
)
from sknumerai.neural_network._safetensors import SafetensorsMixin

if TYPE_CHECKING:
    import torch
    from skorch import NeuralNet
    from skorch.callbacks import Callback

    from sknumerai.datasets import EraReader

_AT_LEAST_0 = Interval(Real, 0, None, closed="left")
_AT_LEAST_1 = Interval(Integral, 1, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="neither")


class FNCRegressor(SafetensorsMixin, RegressorMixin, BaseEstimator):
    r"""A network trained on feature-neutral correlation, one era at a time.

    Every step of the optimizer takes the predictions p of one whole era and lowers

    .. math::

        -w_\text{corr}\, c(r, y) - w_\text{fnc}\, c(\tilde r, y)
        - w_\text{tb}\, c(\tilde r_T, y_T)
        + w_\text{exposure}\, e(r, F) + w_\text{tb exposure}\, e(\tilde r_T, F_T)

    where r are the soft ranks of p, :math:`\tilde r` those of its neutral part, which the features
    F do not explain, T the rows with the highest and the lowest neutral part, c the Pearson
    correlation, and e the sum over features f of :math:`(u^\top f)^2`, with u the centred ranks
    at unit length [1]_.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100, 30)
        Units of each hidden layer: linear, mish, dropout. The output is linear and
        batch-normalized.
    dropout : float, default=0.5
        Share of hidden units that are zeroed at random in training, in [0, 1).
    module : callable or torch.nn.Module, default=None
        Network to train instead of the default one, which the two parameters above describe. A
        class or function is called with the number of features. An instance is copied, and the
        copy is trained from the weights it has. It maps features (n, k) to predictions (n,) or
        (n, 1), both float32.
    corr_weight : float, default=1.0
        Weight of the correlation of the predictions. A part of weight 0 is not computed.
    fnc_weight : float, default=1.0
        Weight of the correlation of the neutral part of the predictions.
    tb_weight : float, default=1.0
        Weight of the correlation of the neutral part over the top and bottom rows only.
    top_bottom : int, default=500
        Number of top rows and of bottom rows. Eras with fewer than twice as many rows use all.
    exposure_weight : float, default=1e-4
        Weight of the exposure of the predictions. Exposures grow with the numbers of features
        and of rows; the defaults are made for a thousand features.
    tb_exposure_weight : float, default=1e-3
        Weight of the exposure of the neutral part over the top and bottom rows only.
    feature_columns : None, list of names or positions, str, callable or slice, default=None
        Columns of X to use as features; all by default, and of a file those whose name starts
        with "feature". A str is a regular expression that names are searched for, a callable gets
        the list of names and returns names.
    gaussianize : bool, default=False
        Whether to correlate the normal quantiles of the ranks instead of the ranks.
    regularization_strength : float or "auto", default="auto"
        Strength of the soft ranks, see `soft_rank`.
    soft_rank : {"auto", "scipy", "torchsort"}, default="auto"
        Backend of the soft ranks, see `soft_rank`.
    max_epochs : int, default=10
        Passes over the training eras.
    lr : float, default=1e-3
        Learning rate.
    optimizer : str, default="Adam"
        Name of a class of ``torch.optim``.
    validation_eras : int, float or list of labels, default=None
        Eras to validate on after every epoch instead of training on them: the number or the
        share of the last eras, or the labels of the eras. Eras whose targets overlap with those
        of the validation eras are left out of the training too.
    patience : int, default=None
        Stop after this many epochs in a row without a new lowest validation loss, and keep the
        weights of the best epoch. Needs ``validation_eras``.
    device : str, default="cpu"
        Where torch computes: "cpu", "cuda", or "auto" for "cuda" where there is a GPU. Features
        are moved there one era at a time; int8 features stay int8 until then.
    random_state : int, RandomState instance or None, default=None
        Initial weights, order of eras and dropout. Pass an int for reproducible output. torch's
        own random state is left as it was.
    verbose : int, default=0
        Whether to show a progress bar.
    callbacks : list, default=None
        Callbacks of skorch such as ``LRScheduler`` and ``Checkpoint``, each an instance or a
        tuple (name, instance). They are copied; the copies are in ``net_.callbacks_``. They can
        monitor the columns of ``history_`` under their names in ``net_.history``: "train_loss",
        "valid_loss" and so on. The next batch reuses the memory of the one they are shown. Batches
        are eras, which ``EpochScoring`` cannot score.
    warm_start : bool, default=False
        Whether `fit` continues the previous training instead of starting anew. The network, the
        state of the optimizer and the random numbers go on from there; the learning rate, the
        loss, the data and the callbacks are the current ones: schedules of the learning rate and
        the patience begin anew, in `partial_fit` as well.
    horizon : int or "auto", default="auto"
        Horizon of the target in trading days; eras are weekly. It decides which eras overlap with
        validation eras: ``ceil(horizon / 5) - 1`` on each side, 3 for 20 days and 11 for 60. "auto"
        reads it from the name of the target, such as "target_ender_60", and is 20 where that has
        none.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained network. Its ``module_`` takes features as they are in X.
    history_ : DataFrame of shape (n_epochs, n_losses)
        Means over eras for every epoch: train_loss, and without weights and signs its parts
        train_corr, train_fnc, train_tb, train_exposure and train_tb_exposure, where their weight
        is not 0; for validation eras, validation_loss and so on. Training values are recorded at
        each step, with dropout, while the weights change; validation values at the end of the
        epoch, without dropout.
    n_features_in_ : int
        Number of columns of X; if X was a file, of its features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, where it had any; if X was a file, of its features.

    See Also
    --------
    fnc_loss : One of the parts.
    EraNeutralizer : What neutralizes the predictions.
    sknumerai.metrics.get_era_scorer : Scorers for a search.

    Notes
    -----
    Features that all lie in [0, 4] enter the network as x / 4 - 1/2, and as x - 1/2 if they all
    lie in [0, 1]: these are the integers and the floats of the tournament. Other features enter
    as they are; standardize them first. The training data of the first fit decides.

    Predictions have an order but no scale, so ``score``, which is R², says little; use the
    scorers of `sknumerai.metrics`. Rows do not interact in the network, so `predict` takes no
    eras. If they do in a module of your own, predict one era at a time.

    The factors of `EraNeutralizer` are kept for the duration of a fit, in up to 2 GiB. Interrupting
    the training (Ctrl-C) ends it and keeps what was learned.

    References
    ----------
    .. [1] "Optimizing for FNC and TB scores",
       https://forum.numer.ai/t/optimizing-for-fnc-and-tb-scores/5132

    Examples
    --------
    >>> from sknumerai.datasets import make_tournament
    >>> from sknumerai.metrics import feature_neutral_corr
    >>> from sknumerai.neural_network import FNCRegressor
    >>> tournament = make_tournament(40, 200, 5, nonlinear_corr=0.3, random_state=0)
    >>> X, y, eras = tournament.data, tournament.target, tournament.eras
    >>> train = eras <= "0030"
    >>> model = FNCRegressor((20,), dropout=0.0, max_epochs=10, lr=0.01, random_state=0)
    >>> predictions = model.fit(X[train], y[train], eras=eras[train]).predict(X[~train])
    >>> fnc = feature_neutral_corr(y[~train], predictions, features=X[~train], eras=eras[~train])
    >>> bool(fnc > 0.1)
    True
    """

    __metadata_request__fit: ClassVar[dict[str, bool | str]] = {"eras": True, "target": UNUSED}
    __metadata_request__partial_fit = __metadata_request__fit

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NET_PARAMETERS,
        "module": [callable, None],
        "corr_weight": [_AT_LEAST_0],
        "fnc_weight": [_AT_LEAST_0],
        "tb_weight": [_AT_LEAST_0],
        "top_bottom": [_AT_LEAST_1],
        "exposure_weight": [_AT_LEAST_0],
        "tb_exposure_weight": [_AT_LEAST_0],
        "feature_columns": ["array-like", str, callable, slice, None],
        "gaussianize": ["boolean"],
        "regularization_strength": SOFT_RANK_OPTIONS["regularization_strength"],
        "soft_rank": SOFT_RANK_OPTIONS["backend"],
        "validation_eras": [_AT_LEAST_1, _SHARE, "array-like", None],
        "patience": [_AT_LEAST_1, None],
        "callbacks": [list, None],
        "warm_start": ["boolean"],
        "horizon": [_AT_LEAST_1, StrOptions({"auto"})],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100, 30),
        *,
        dropout: float = 0.5,
        module: Callable[..., torch.nn.Module] | None = None,
        corr_weight: float = 1.0,
        fnc_weight: float = 1.0,
        tb_weight: float = 1.0,
        top_bottom: int = 500,
        exposure_weight: float = 1e-4,
        tb_exposure_weight: float = 1e-3,
        feature_columns: FeatureColumns = None,
        gaussianize: bool = False,
        regularization_strength: Strength = "auto",
        soft_rank: Backend = "auto",
        max_epochs: int = 10,
        lr: float = 1e-3,
        optimizer: str = "Adam",
        validation_eras: float | Eras | None = None,
        patience: int | None = None,
        device: str = "cpu",
        random_state: RandomState = None,
        verbose: int = 0,
        callbacks: list[Callback | tuple[str, Callback]] | None = None,
        warm_start: bool = False,
        horizon: int | Literal["auto"] = "auto",
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.module = module
        self.corr_weight = corr_weight
        self.fnc_weight = fnc_weight
        self.tb_weight = tb_weight
        self.top_bottom = top_bottom
        self.exposure_weight = exposure_weight
        self.tb_exposure_weight = tb_exposure_weight
        self.feature_columns = feature_columns
        self.gaussianize = gaussianize
        self.regularization_strength = regularization_strength
        self.soft_rank = soft_rank
        self.max_epochs = max_epochs
        self.lr = lr
        self.optimizer = optimizer
        self.validation_eras = validation_eras
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.horizon = horizon

    def fit(
        self,
        X: ArrayLike | EraReader | PathLike[str],
        y: ArrayLike | None = None,
        *,
        eras: Eras | None = None,
        target: str | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns), EraReader, str or path-like
            Table that holds the features. Frames are read one era at a time. An `EraReader`, or
            the path of a parquet file, of a folder of parts or a glob, is trained on without
            loading it: every step reads one era, a background thread the next one meanwhile. The
            numbers are those of the same table in memory; the X of `predict` holds the features
            only.
        y : array-like of shape (n_samples,), optional
            Targets, all finite. None with a file.
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row. Without, all rows are one era, with a warning; a scalar says that
            they are. None with a file, whose eras are those of the `EraReader`, or of its column
            "era".
        target : str, optional
            Name of the column of a file that holds the targets. With an `EraReader`, it and the
            features are among its columns.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If torch or skorch is not installed, or for a file pyarrow (extra "data").
        MissingErasError
            If validation eras are asked for and no eras are given.
        ValueError
            If a parameter is out of range, a value is NaN or infinite, an era has a single row,
            or the module returns something other than one finite prediction for each row.

        Warns
        -----
        UserWarning
            If the row groups of a file hold so many eras, or its eras are so scattered, that
            every step decodes more than ten times the rows it takes.
        """
        continued = self.warm_start and hasattr(self, "net_")
        return self._train(X, y, eras, target, continued=continued)

    def partial_fit(
        self,
        X: ArrayLike | EraReader | PathLike[str],
        y: ArrayLike | None = None,
        *,
        eras: Eras | None = None,
        target: str | None = None,
    ) -> Self:
        """Train for one more epoch, without validation.

        Parameters
        ----------
        X, y, eras, target
            As in `fit`. Later calls may bring other eras than earlier ones. An `EraReader` knows
            the eras of its file from one call to the next, and a path has them read each time.

        Returns
        -------
        self : object
        """
        return self._train(X, y, eras, target, continued=hasattr(self, "net_"), partial=True)

    def predict(self, X: ArrayLike) -> Array:
        """Predict.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
            Table with the columns that `fit` was given; after a file, with its features.

        Returns
        -------
        predictions : ndarray of shape (n_samples,), float32
        """
        check_is_fitted(self)
        import_optional("torch", extra="torch")
        from sknumerai.neural_network._fnc_net import predict_rows

        table = self._read(X, reset=False)
        # A module of the user's own may work in single precision only.
        return predict_rows(self.net_, table, double=self.module is None)

    def _train(
        self, X: Any, y: Any, eras: Any, target: Any, *, continued: bool, partial: bool = False
    ) -> Self:
        self._validate_params()
        resolve_device(self.device)
        import_optional("skorch", extra="torch")
        source = open_source(X, y, eras, target, self.feature_columns)
        if source is not None:
            header = pd.DataFrame(columns=source.names)
            validate_data(self, header, reset=not continued, skip_check_array=True)
            with source:
                y = pd.Series(source.targets(), name=target)
                return self._train_on(source, y, source.groups, continued, partial)
        check_same_labels(X=X, y=y, eras=eras)
        table = self._read(X, reset=not continued)
        check_target(self, range(table.n_rows), y)
        groups = group_eras(eras, table.n_rows, max_rows=0)
        return self._train_on(table, y, groups, continued, partial)

    def _train_on(
        self,
        table: Table | EraSource,
        y: ArrayLike,
        groups: EraGroups,
        continued: bool,
        partial: bool,
    ) -> Self:
        from sknumerai.neural_network._fnc_batches import feature_scaling
        from sknumerai.neural_network._fnc_training import make_dataset, train_net

        dataset = make_dataset(self, table, y, groups, validate=not partial)
        if not continued:
            self.net_ = self._make_net(table.n_columns, *feature_scaling(table, dataset.groups))
        self.history_ = train_net(self, dataset, epochs=1 if partial else self.max_epochs)
        return self

    def _make_net(self, n_features: int, scale: float = 1.0, offset: float = 0.0) -> NeuralNet:
        from sknumerai.neural_network._fnc_training import make_net

        return make_net(self, n_features, scale, offset)

    def _read(self, X: ArrayLike, *, reset: bool) -> Table:
        """The feature columns of X. A frame is not copied."""
        X = validate_table(self, X, reset=reset)
        table = Table(X, "X")
        return table.subset(select_features(table, self.feature_columns, all_by_default=True))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # predictions have no scale
        return tags
