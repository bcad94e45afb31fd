"""The estimator NeuralTrader."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from tqdm import tqdm

from sknumerai._optional import import_optional
from sknumerai._rows import check_same_labels
from sknumerai._sklearn import Interval
from sknumerai._typing import Array, ArrayLike, RandomState
from sknumerai.neural_network._device import resolve_device
from sknumerai.neural_network._net_parameters import (
    NET_PARAMETERS,
    layer_sizes,
    optimizer_class,
)
from sknumerai.neural_network._torch_seed import torch_seed

if TYPE_CHECKING:
    import torch

_FLOATS = [np.float64, np.float32]


class NeuralTrader(RegressorMixin, BaseEstimator):
    r"""A network that holds long positions, trained on the return they earn.

    It maps the last returns of one asset to a position between 0 and 1, the share of the money
    to hold until the next return, and maximizes

    .. math:: \frac{1}{n} \sum_i s(x_i) \, y_i

    over mini-batches, where :math:`s(x_i)` is the position for the window of returns :math:`x_i`
    and :math:`y_i` is the return that follows. Nothing is forecast in between, and trading is
    free of costs.

    The network has sigmoid units throughout. It is trained on windows and next returns that are
    each divided by their root mean square, so that the same learning rate suits daily returns of
    one percent and standard normal ones. Returns are not centred: their sign carries information.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(5,)
        Units of each hidden layer.
    dropout : float, default=0.0
        Share of hidden units that are zeroed at random in training, in [0, 1). It reduces
        overfitting.
    max_epochs : int, default=25
        Passes over the training data.
    lr : float, default=0.01
        Learning rate.
    batch_size : int, default=1000
        Rows per step of the optimizer.
    optimizer : str, default="RMSprop"
        Name of a class of ``torch.optim``, such as "Adam" or "SGD".
    device : str, default="cpu"
        Where torch computes: "cpu", "cuda", or "auto" for "cuda" where there is a GPU. All
        training data is moved there at once.
    random_state : int, RandomState instance or None, default=None
        Initial weights, order of rows and dropout. Pass an int for reproducible output. torch's
        own random state is left as it was.
    verbose : int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained network. It takes windows divided by ``scale_``; its own history is empty.
    scale_ : float
        Root mean square of the training windows.
    history_ : DataFrame of shape (n_epochs, 2 or 4)
        Mean return, in units of y, and mean position after every epoch: columns train_return
        and train_position and, with validation data, validation_return and validation_position.
        All are taken at the end of the epoch and without dropout, so that they can be compared.
        Ctrl-C ends the training before ``max_epochs`` and keeps what was learned.
    n_features_in_ : int
        Length of the windows.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, where it had any.

    See Also
    --------
    sliding_windows : Makes X and y of a series of returns.
    sknumerai.datasets.make_momentum_returns : Returns that can be learned from.

    Examples
    --------
    >>> from sknumerai.datasets import make_momentum_returns
    >>> from sknumerai.neural_network import NeuralTrader, sliding_windows
    >>> X, y = sliding_windows(make_momentum_returns(200, 54, 0.5, random_state=0), 4)
    >>> X_new, y_new = sliding_windows(make_momentum_returns(200, 54, 0.5, random_state=1), 4)
    >>> trader = NeuralTrader(random_state=0).fit(X, y)
    >>> rising, falling = trader.predict([[0, 0, 0, 1], [0, 0, 0, -1]])
    >>> bool(rising > 0.9), bool(falling < 0.1)
    (True, True)
    >>> bool(trader.score(X_new, y_new) > 0.9 * 0.5 / (2 * 3.14159) ** 0.5)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NET_PARAMETERS,
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (5,),
        *,
        dropout: float = 0.0,
        max_epochs: int = 25,
        lr: float = 0.01,
        batch_size: int = 1000,
        optimizer: str = "RMSprop",
        device: str = "cpu",
        random_state: RandomState = None,
        verbose: int = 0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, window)
            The last returns, as `sliding_windows` makes them.
        y : array-like of shape (n_samples,)
            The return that follows each window.
        X_val, y_val : array-like, optional
            Validation data for ``history_``. The training does not use it.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            If torch or skorch is not installed.
        ValueError
            If a parameter is out of range, or data is NaN, infinite or of the wrong shape.
        """
        self._validate_params()
        device = resolve_device(self.device)
        check_same_labels(X=X, y=y)
        check_same_labels(X_val=X_val, y_val=y_val)
        inputs, outcomes = validate_data(self, X, y, dtype=_FLOATS, y_numeric=True)
        data: dict[str, tuple[Array, Array]] = {"train": (inputs, outcomes)}
        if X_val is not None or y_val is not None:
            data["validation"] = self._check_validation(X_val, y_val)
        torch = import_optional("torch", extra="torch")
        import_optional("skorch", extra="torch")
        from sknumerai.neural_network._trader_net import make_trader_net

        self.scale_ = _root_mean_square(inputs)
        windows = {name: _to_tensor(x / self.scale_).to(device) for name, (x, _) in data.items()}
        returns = _to_tensor(outcomes / _root_mean_square(outcomes)).to(device)
        dataset = torch.utils.data.TensorDataset(windows["train"], returns)
        with torch_seed(self.random_state, device):
            self.net_ = make_trader_net(
                self.n_features_in_,
                hidden_layer_sizes=layer_sizes(self.hidden_layer_sizes),
                dropout=self.dropout,
                lr=self.lr,
                batch_size=self.batch_size,
                optimizer=optimizer_class(self.optimizer),
                device=device,
            )
            records = []
            epochs = tqdm(range(self.max_epochs), desc="epochs", disable=not self.verbose)
            try:
                for _ in epochs:
                    self.net_.fit_loop(dataset, epochs=1)
                    record = {}
                    for name, (_, realized) in data.items():
                        positions = self.net_.predict(windows[name])
                        record[f"{name}_return"] = _mean_return(positions, realized)
                        record[f"{name}_position"] = float(positions.mean(dtype=np.float64))
                    epochs.set_postfix(record)
                    records.append(record)
            except KeyboardInterrupt:  # what was learned is kept, as FNCRegressor does
                epochs.close()
        self.net_.history.clear()  # records of all mini-batches, which would outgrow the weights
        index = pd.RangeIndex(1, len(records) + 1, name="epoch")
        self.history_ = pd.DataFrame(records, index=index)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Positions for windows of returns.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, window)
            The last returns.

        Returns
        -------
        positions : ndarray of shape (n_samples,), float32
            From 0, all in cash, to 1, all invested.
        """
        check_is_fitted(self)
        return self._positions(validate_data(self, X, dtype=_FLOATS, reset=False))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean of position times next return, in units of y.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, window)
            The last returns.
        y : array-like of shape (n_samples,)
            The return that follows each window.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the mean.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        check_same_labels(X=X, y=y, sample_weight=sample_weight)
        windows, returns = validate_data(self, X, y, dtype=_FLOATS, y_numeric=True, reset=False)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, windows)
        return _mean_return(self._positions(windows), returns, weights)

    def _positions(self, X: Array) -> Array:
        positions: Array = self.net_.predict(_to_tensor(X / self.scale_))  # skorch knows the device
        return positions

    def _check_validation(self, X_val: Any, y_val: Any) -> tuple[Array, Array]:
        if X_val is None or y_val is None:
            given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
            raise ValueError(f"{given} is given and {missing} is not; pass both or neither.")
        windows = check_array(X_val, dtype=_FLOATS, input_name="X_val")
        if windows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X_val has {windows.shape[1]} columns and X has {self.n_features_in_}; pass "
                "windows of one length."
            )
        validate_data(self, X_val, reset=False, skip_check_array=True)  # the columns' names
        y_val = column_or_1d(
            check_array(y_val, dtype=_FLOATS, ensure_2d=False, input_name="y_val"), warn=True
        )
        if len(windows) != len(y_val):
            raise ValueError(
                f"X_val has {len(windows)} rows and y_val has {len(y_val)}; pass the return that "
                "follows each window."
            )
        return windows, y_val

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # positions are not estimates of y
        return tags


def _to_tensor(values: Array) -> torch.Tensor:
    """Torch tensor, float32, on the CPU."""
    torch = import_optional("torch", extra="torch")
    return torch.from_numpy(values.astype(np.float32, copy=False))


def _root_mean_square(values: Array) -> float:
    """Root mean square, or 1 if all values are zero, so that it can be divided by."""
    largest = float(np.abs(values).max()) or 1.0  # squares must neither overflow nor vanish
    return largest * float(np.sqrt(np.mean(np.square(values / largest), dtype=np.float64))) or 1.0


def _mean_return(positions: Array, returns: Array, weights: Array | None = None) -> float:
    return float(np.average(positions.astype(np.float64) * returns, weights=weights))
