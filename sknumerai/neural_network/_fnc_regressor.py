"""The estimator FNCRegressor."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from numbers import Integral, Real
from os import PathLike, fspath
from typing import Any, ClassVar, Self

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from sknumerai._columns import select_features
from sknumerai._eras import group_eras
from sknumerai._frames import Table
from sknumerai._optional import import_optional
from sknumerai._sklearn import Interval
from sknumerai._typing import Array, ArrayLike, FeatureColumns
from sknumerai.neural_network._net_parameters import (
    SOFT_RANK_OPTIONS,
    Backend,
    Strength,
    layer_sizes,
    optimizer_class,
)
from sknumerai.neural_network._torch_seed import torch_seed
from sknumerai.neural_network._validation_eras import split_eras

PREDICTED_ROWS = 5_000  # at a time: bounds the memory of the hidden layers

_AT_LEAST_0 = Interval(Real, 0, None, closed="left")
_AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


class FNCRegressor(RegressorMixin, BaseEstimator):
    r"""A network trained on feature-neutral correlation, one era at a time.

    Every step of the optimizer takes the predictions p of one whole era and lowers

    .. math::

        -w_\text{corr}\, c(r, y) - w_\text{fnc}\, c(\tilde r, y)
        - w_\text{tb}\, c(\tilde r_T, y_T)
        + w_\text{exposure}\, e(r, F) + w_\text{tb exposure}\, e(\tilde r_T, F_T)

    with r the soft ranks of p, :math:`\tilde r` the soft ranks of what the features F do not
    explain of p, T the rows at both ends of the latter, c the Pearson correlation, and e the sum
    over features of :math:`(u^\top f)^2`, u the ranks centred and of unit length [1]_.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100, 30)
        Units of each hidden layer: linear, mish, dropout. The output is linear and
        batch-normalized.
    dropout : float, default=0.5
        Share of hidden units that are zeroed at random in training, in [0, 1).
    module : callable or torch.nn.Module, default=None
        Network to train instead of the default one, which the two parameters above describe. A
        class or function is called with the number of features; of an instance a copy is
        trained, starting from the weights it has. It maps features (n, k) to predictions (n,) or
        (n, 1), both float32.
    corr_weight : float, default=1.0
        Weight of the correlation of the predictions. A part of weight 0 is not computed.
    fnc_weight : float, default=1.0
        Weight of the correlation of their neutral part.
    tb_weight : float, default=1.0
        Weight of the same over the top and the bottom only.
    top_bottom : int, default=500
        Number of rows at the top and at the bottom. All rows of eras with fewer than twice as
        many.
    exposure_weight : float, default=1e-4
        Weight of the exposure of the predictions. Exposures grow with the numbers of features
        and of rows; the defaults are made for a thousand features.
    tb_exposure_weight : float, default=1e-3
        Weight of the exposure of the top and the bottom of the neutral part.
    feature_columns : None, list of names or positions, str, callable or slice, default=None
        Columns of X to use as features; all by default. A str is a regular expression that
        names are searched for, a callable gets the list of names and returns names.
    gaussianize : bool, default=False
        Whether to correlate the normal quantiles of ranks rather than ranks.
    regularization_strength : float or "auto", default="auto"
        Of the soft ranks, see `soft_rank`.
    soft_rank : {"auto", "scipy", "torchsort"}, default="auto"
        Backend of the soft ranks, see `soft_rank`.
    max_epochs : int, default=10
        Passes over the training eras.
    lr : float, default=1e-3
        Learning rate.
    optimizer : str, default="Adam"
        Name of a class of ``torch.optim``.
    validation_eras : int, float or list of labels, default=None
        Eras to validate on after every epoch, and not to train on: number or share of the last
        eras, or the eras themselves. Eras whose targets overlap with theirs are not used at all.
    patience : int, default=None
        Stop after so many epochs in a row without a new lowest validation loss, and keep the
        weights of the epoch that had it. Needs ``validation_eras``.
    device : str, default="cpu"
        Where torch computes: "cpu", "cuda", or "auto" for "cuda" if there is one. Features are
        put there one era at a time, int8 ones as int8.
    random_state : int, RandomState instance or None, default=None
        Initial weights, order of eras and dropout. Pass an int for reproducible output. torch's
        own random state is left as it was.
    verbose : int, default=0
        Whether to show a progress bar.
    callbacks : list, default=None
        Callbacks of skorch, each an instance or a tuple (name, instance), such as
        ``LRScheduler`` and ``Checkpoint``. Copies of them are used, which are in
        ``net_.callbacks_``. They can monitor "train_loss", "valid_loss" and the other columns of
        ``history_`` under the names that these have in ``net_.history``. What they are shown of a
        batch is valid until the next one, which takes its memory.
    warm_start : bool, default=False
        Whether `fit` continues the training of the fit before, rather than starting anew: with the
        network, the state of the optimizer and the random numbers of then, and the learning rate,
        the loss, the data and the callbacks of now.
    horizon : int, default=20
        Horizon of the target in trading days; eras are weekly. It decides which eras overlap with
        validation eras: ``ceil(horizon / 5) - 1`` on each side, 3 for 20 days and 11 for 60.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained network. Its ``module_`` takes features as they are in X.
    history_ : DataFrame of shape (n_epochs, n_losses)
        Means over eras, for every epoch: train_loss and, without their weights and signs, its
        parts train_corr, train_fnc, train_tb, train_exposure and train_tb_exposure, those whose
        weight is not 0; the same of validation eras as validation_loss and so on. The training
        values are those of the steps, taken with dropout while weights change; the
        validation values are taken without dropout at the end of the epoch.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, where it had any.

    See Also
    --------
    fnc_loss : One of the parts.
    EraNeutralizer : What neutralizes the predictions.
    sknumerai.metrics.get_era_scorer : Scorers for a search.

    Notes
    -----
    Features that all lie in [0, 4] enter the network as x / 4 - 1/2, and as x - 1/2 if they all
    lie in [0, 1]; those are the integers and the floats of the tournament. All others enter as
    they are: standardize them first. The training data of the first fit decides.

    Predictions have an order and no scale, so that ``score``, which is R², says little: use the
    scorers of `sknumerai.metrics`. Rows do not interact in the network, hence `predict` takes no
    eras, unless a module of your own makes them interact.

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

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"eras": True}
    __metadata_request__partial_fit: ClassVar[dict[str, bool]] = {"eras": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", _AT_LEAST_1],
        "dropout": [Interval(Real, 0, 1, closed="left")],
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
        "max_epochs": [_AT_LEAST_1],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [str],
        "validation_eras": [
            _AT_LEAST_1,
            Interval(Real, 0, 1, closed="neither"),
            "array-like",
            None,
        ],
        "patience": [_AT_LEAST_1, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "callbacks": [list, None],
        "warm_start": ["boolean"],
        "horizon": [_AT_LEAST_1],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100, 30),
        *,
        dropout: float = 0.5,
        module: Callable[..., Any] | None = None,
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
        validation_eras: Any = None,
        patience: int | None = None,
        device: str = "cpu",
        random_state: Any = None,
        verbose: int = 0,
        callbacks: list[Any] | None = None,
        warm_start: bool = False,
        horizon: int = 20,
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

    def fit(self, X: ArrayLike, y: ArrayLike, *, eras: ArrayLike | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
            With the features. Frames are read one era at a time.
        y : array-like of shape (n_samples,)
            Targets, all finite.
        eras : array-like of shape (n_samples,) or scalar, optional
            Era of every row. All rows are one era by default.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If torch or skorch is not installed.
        MissingErasError
            If validation eras are asked for and no eras are given.
        ValueError
            If a parameter is out of range, a value is NaN or infinite, an era has a single row,
            or the module returns something other than one finite prediction for each row.
        """
        return self._train(X, y, eras, continued=self.warm_start and hasattr(self, "net_"))

    def partial_fit(self, X: ArrayLike, y: ArrayLike, *, eras: ArrayLike | None = None) -> Self:
        """Train for one more epoch, without validation.

        Parameters
        ----------
        X, y, eras
            As in `fit`. Later calls may bring other eras than earlier ones.

        Returns
        -------
        self : object
        """
        return self._train(X, y, eras, continued=hasattr(self, "net_"), partial=True)

    def predict(self, X: ArrayLike) -> Array:
        """Predict.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_columns)
            The columns that `fit` got.

        Returns
        -------
        predictions : ndarray of shape (n_samples,), float32
        """
        check_is_fitted(self)
        torch = import_optional("torch", extra="torch")
        from sknumerai.neural_network._fnc_batches import as_features

        table = self._read(X, reset=False)
        module = self.net_.module_.eval()
        if self.module is None:
            # In single precision a prediction depends, in its last digits, on how many rows are
            # predicted with it. A module of one's own need not work in any other.
            module = deepcopy(module).double()
        predictions = np.empty(table.n_rows, dtype=np.float32)
        with torch.no_grad():
            for start in range(0, table.n_rows, PREDICTED_ROWS):
                rows = slice(start, min(start + PREDICTED_ROWS, table.n_rows))
                features = as_features(table.rows(rows)).to(self.net_.device)
                predictions[rows] = module(features).reshape(-1).cpu().numpy()
        return predictions

    def save_params(self, path: str | PathLike[str]) -> None:
        """Write the weights of the network to a file in the safetensors format.

        Unlike a pickle, it can be read without running any code that it may hold.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        """
        check_is_fitted(self)
        import_optional("safetensors", extra="torch")
        self.net_.save_params(f_params=fspath(path), use_safetensors=True)

    def load_params(self, path: str | PathLike[str]) -> Self:
        """Take the weights of a file that `save_params` has written, instead of a fit.

        The parameters that shape the network must be those it was saved with. Names of columns
        are not in the file: X must have its columns in the same order. Training can go on from
        these weights, with an optimizer that starts anew.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If the package safetensors is not installed.
        """
        self._validate_params()
        safetensors = import_optional("safetensors", extra="torch")
        with safetensors.safe_open(fspath(path), framework="pt") as file:
            n_features = len(file.get_tensor("scale"))
        for name in ("feature_names_in_", "n_features_in_", "history_", "_random_numbers"):
            if hasattr(self, name):
                delattr(self, name)
        device = _resolve_device(self.device)
        with torch_seed(self.random_state, device):
            self.net_ = self._make_net(n_features, 1.0, 0.0, device)
        self.net_.load_params(f_params=fspath(path), use_safetensors=True)
        if self.feature_columns is None:
            self.n_features_in_ = n_features
        return self

    def _train(self, X: Any, y: Any, eras: Any, *, continued: bool, partial: bool = False) -> Self:
        self._validate_params()
        import_optional("torch", extra="torch")
        import_optional("skorch", extra="torch")
        from sknumerai.neural_network._era_neutralizer import EraNeutralizer
        from sknumerai.neural_network._fnc_batches import EraDataset, feature_scaling, read_targets
        from sknumerai.neural_network._fnc_net import (
            get_random_numbers,
            history_frame,
            set_random_numbers,
            train_net,
        )

        if self.patience is not None and self.validation_eras is None:
            raise ValueError(
                f"patience={self.patience} needs validation eras; pass validation_eras, such as "
                "0.2 for the last fifth."
            )
        device = _resolve_device(self.device)
        table = self._read(X, y, reset=not continued)
        groups = group_eras(eras, table.n_rows)
        targets = read_targets(y, groups)
        validation_eras = None if partial else self.validation_eras
        train, validation = split_eras(groups, validation_eras, self.horizon)
        data = (table, targets, groups)
        neutralizer = EraNeutralizer()
        held_out = EraDataset(*data, validation, neutralizer) if len(validation) else None
        dataset = EraDataset(*data, train, neutralizer, held_out)
        with torch_seed(self.random_state, device):
            if continued:
                self.net_.set_params(lr=self.lr)
                self.net_.criterion_ = self._make_loss()
                set_random_numbers(device, getattr(self, "_random_numbers", []))
            else:
                scale, offset = feature_scaling(table, groups)
                self.net_ = self._make_net(table.n_columns, scale, offset, device)
            train_net(
                self.net_,
                dataset,
                epochs=1 if partial else self.max_epochs,
                callbacks=self.callbacks,
                patience=self.patience,
                verbose=self.verbose,
            )
            self._random_numbers = get_random_numbers(device)
        self.history_ = history_frame(self.net_)
        return self

    def _make_loss(self) -> Any:
        from sknumerai.neural_network._fnc_loss import SIGNS, MultiPartLoss

        weights = {name: getattr(self, f"{name}_weight") for name in SIGNS}
        if not any(weights.values()):
            raise ValueError("All weights of the loss are 0; set at least one, such as fnc_weight.")
        return MultiPartLoss(
            weights,
            self.top_bottom,
            gaussianize=self.gaussianize,
            regularization_strength=self.regularization_strength,
            backend=self.soft_rank,
        )

    def _make_net(self, n_features: int, scale: float, offset: float, device: str) -> Any:
        from sknumerai.neural_network._fnc_net import make_fnc_net

        return make_fnc_net(
            n_features,
            module=self.module,
            hidden_layer_sizes=layer_sizes(self.hidden_layer_sizes),
            dropout=self.dropout,
            scale=scale,
            offset=offset,
            loss=self._make_loss(),
            optimizer=optimizer_class(self.optimizer),
            lr=self.lr,
            device=device,
        )

    def _read(self, X: Any, y: Any = "no_validation", *, reset: bool) -> Table:
        """The features in X, which stays as it is if a frame."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        frame = nw.from_native(X, eager_only=True, pass_through=True)
        if isinstance(frame, nw.DataFrame):
            header = pd.DataFrame(columns=frame.columns)
            validate_data(self, header, reset=reset, skip_check_array=True)
            if 0 in frame.shape:
                raise ValueError(
                    f"Found array with {frame.shape[0]} sample(s) and {frame.shape[1]} feature(s) "
                    f"(shape={frame.shape}) while a minimum of 1 of each is required."
                )
        else:
            X = validate_data(self, X, dtype="numeric", reset=reset)
        if not isinstance(y, str):
            check_consistent_length(X, y)
        table = Table(X, "X")
        table = table.subset(select_features(table, self.feature_columns, all_by_default=True))
        if not reset and table.n_columns != len(self.net_.module_.scale):
            raise ValueError(
                f"X has {table.n_columns} feature columns and the network takes "
                f"{len(self.net_.module_.scale)}; pass the columns it was trained on."
            )
        return table

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # predictions have no scale
        return tags


def _resolve_device(device: str) -> str:
    torch = import_optional("torch", extra="torch")
    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"device={device!r} is none; pass 'cpu', 'cuda' or 'auto'.") from error
    if kind == "cuda" and not available:
        raise ValueError(
            f"device={device!r} needs a GPU that torch can use, and there is none; pass 'cpu', or "
            "'auto' for whichever there is."
        )
    return device
