"""The network of `FNCRegressor`, whose batches are whole eras, in torch and skorch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from torch import nn
from tqdm import tqdm

from sknumerai._era_loop import naming_era
from sknumerai._frames import Table
from sknumerai._typing import Array
from sknumerai.neural_network._dropout import Dropout
from sknumerai.neural_network._era_source import EraSource
from sknumerai.neural_network._fnc_batches import EraBatches, EraDataset, EraTarget, as_features
from sknumerai.neural_network._fnc_loss import MultiPartLoss

PREDICTED_ROWS = 5_000  # at a time: bounds the memory of the hidden layers


class FNCModule(nn.Module):
    """Predictions from features: hidden layers of linear, mish, dropout; a batch-normalized output.

    Parameters
    ----------
    n_features : int
    hidden_layer_sizes : list of int
        Units of the hidden layers.
    dropout : float
        Share of hidden units that are zeroed at random in training.
    """

    def __init__(self, n_features: int, hidden_layer_sizes: list[int], dropout: float):
        super().__init__()
        sizes = [n_features, *hidden_layer_sizes]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.Mish(), Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.BatchNorm1d(1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Predictions of shape (n, 1) for features of shape (n, n_features)."""
        return self.layers(features)


class ScaledFeatures(nn.Module):
    """A module whose input is features times a scale plus an offset, in single precision.

    The state of this module is then all that a prediction needs, and features can stay small
    integers until they are on the device.

    Parameters
    ----------
    module : nn.Module
    n_features : int
    scale, offset : float
    """

    def __init__(self, module: nn.Module, n_features: int, scale: float, offset: float):
        super().__init__()
        self.module = module
        # One number for each feature, so that a file of weights tells how many there are.
        self.register_buffer("scale", torch.full((n_features,), scale))
        self.register_buffer("offset", torch.full((n_features,), offset))

    def scaled(self, features: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Features as the module gets them, written to ``out`` if given."""
        values = features.to(self.scale.dtype) if out is None else out.copy_(features)
        return torch.addcmul(self.offset, values, self.scale, out=out)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Predictions of shape (n, 1) or (n,), as the module returns them."""
        return self.of_scaled(self.scaled(features))

    def of_scaled(self, values: torch.Tensor) -> torch.Tensor:
        """Predictions as in `forward`, from features that are already scaled."""
        predictions = self.module(values)
        if tuple(predictions.shape) not in ((len(values),), (len(values), 1)):
            raise ValueError(
                f"module returned shape {tuple(predictions.shape)} for features of shape "
                f"{tuple(values.shape)}; it must return one prediction for each row."
            )
        return predictions


def build_module(
    n_features: int,
    module: Callable[..., nn.Module] | None,
    hidden_layer_sizes: list[int],
    dropout: float,
    scale: float,
    offset: float,
) -> ScaledFeatures:
    """The module to train: a copy of an instance, or what a class makes for ``n_features``."""
    if module is None:
        inner: nn.Module = FNCModule(n_features, hidden_layer_sizes, dropout)
    elif isinstance(module, nn.Module):
        inner = deepcopy(module)
    else:
        inner = module(n_features)
    if not isinstance(inner, nn.Module):
        raise ValueError(
            f"module must be a torch.nn.Module, or return one when called with the number of "
            f"features; found {type(inner).__name__}."
        )
    return ScaledFeatures(inner, n_features, scale, offset)


class EraMeans(Callback):
    """Records the means over eras of the loss and its parts, after every epoch."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record means over the batches, and whether the loss is the best so far."""
        values = defaultdict(list)
        for batch in net.history[-1]["batches"]:
            for name, value in batch.items():
                if not name.endswith("_batch_size"):
                    values[name].append(value)
        for name, batches in values.items():
            mean = float(np.mean(batches))
            if name.endswith("_loss"):  # what skorch's Checkpoint looks at
                earlier = [epoch[name] for epoch in net.history[:-1] if name in epoch]
                net.history.record(f"{name}_best", all(mean < loss for loss in earlier))
            net.history.record(name, mean)


class EpochProgress(Callback):
    """A progress bar over epochs that shows the losses."""

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Start the bar."""
        self.bar_ = tqdm(total=net.max_epochs, desc="epochs")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Advance by one epoch."""
        last = net.history[-1]
        self.bar_.set_postfix({k: last[k] for k in ("train_loss", "valid_loss") if k in last})
        self.bar_.update()

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Close the bar and drop it, since it cannot be pickled."""
        self.bar_.close()
        del self.bar_


class EraNet(NeuralNet):
    """A skorch net whose batches are the eras of an `EraDataset`.

    Attributes
    ----------
    torch_state : tuple of tensor
        State of torch's random numbers from which training goes on.
    """

    torch_state: tuple[torch.Tensor, ...] = ()

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        # skorch's own callbacks take means over rows and print.
        return [("epoch_timer", EpochTimer()), ("era_means", EraMeans())]

    def get_split_datasets(self, X: Any, y: Any = None, **kwargs: Any) -> tuple[Any, Any]:
        """Training and validation eras."""
        if isinstance(X, EraDataset):
            return X, X.validation
        split: tuple[Any, Any] = super().get_split_datasets(X, y, **kwargs)
        return split

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Scaled features and targets by era, in random order for training; else by rows."""
        scaled = self.module_.scaled
        if isinstance(dataset, EraDataset):
            return EraBatches(dataset, self.device, scaled, shuffle=training)
        batches = super().get_iterator(dataset, training)
        return ((scaled(features.to(self.device)), target) for features, target in batches)

    def check_columns(self, table: Table | EraSource) -> None:
        """Check that a table has as many feature columns as the network takes."""
        n_features = len(self.module_.scale)
        if table.n_columns != n_features:
            raise ValueError(
                f"X has {table.n_columns} feature columns and the network takes {n_features}; "
                "pass the columns it was trained on."
            )

    def infer(self, x: torch.Tensor, **fit_params: Any) -> torch.Tensor:
        """Predictions of shape (n,) from scaled features."""
        version = None if x.is_inference() else x._version  # inference tensors have none
        predictions = self.module_.of_scaled(x).reshape(-1)
        if version is not None and x._version != version:
            raise ValueError(
                "module changed its features in place, and the loss needs them too; let its first "
                "layer return a new tensor (inplace=False)."
            )
        return predictions

    def get_loss(
        self, y_pred: torch.Tensor, y_true: EraTarget, X: Any = None, training: bool = False
    ) -> torch.Tensor:
        """Loss of one era; its parts go into the history."""
        targets, era, neutralizer = y_true

        def neutralize(predictions: torch.Tensor) -> torch.Tensor:
            return neutralizer.for_era(era, X)(predictions)

        with naming_era(era):
            loss, parts = self.criterion_(y_pred, targets, X, neutralize)
        for name, value in parts.items():
            prefix = "train" if training else "valid"
            self.history.record_batch(f"{prefix}_{name}", value.item())
        return loss


def make_fnc_net(
    n_features: int,
    *,
    module: Callable[..., nn.Module] | None,
    hidden_layer_sizes: list[int],
    dropout: float,
    scale: float,
    offset: float,
    loss: MultiPartLoss,
    optimizer: type[torch.optim.Optimizer],
    lr: float,
    device: str,
) -> EraNet:
    """Initialized net; parameters as in `FNCRegressor` and `ScaledFeatures`."""
    net = EraNet(
        build_module,
        module__n_features=n_features,
        module__module=module,
        module__hidden_layer_sizes=hidden_layer_sizes,
        module__dropout=dropout,
        module__scale=scale,
        module__offset=offset,
        criterion=loss,
        optimizer=optimizer,
        lr=lr,
        train_split=None,
        device=device,
        verbose=0,
    )
    initialized: EraNet = net.initialize()
    return initialized


def predict_rows(net: EraNet, table: Table, *, double: bool) -> Array:
    """Predictions of shape (n_rows,), float32, for the rows of a table, in chunks.

    Parameters
    ----------
    net : EraNet
    table : Table
        The features.
    double : bool
        Whether to compute in double precision. In single precision the last digits of a
        prediction depend on how many rows are predicted with it.
    """
    net.check_columns(table)
    module = net.module_.eval()
    if double:
        module = deepcopy(module).double()
    predictions = np.empty(table.n_rows, dtype=np.float32)
    with torch.no_grad():
        for start in range(0, table.n_rows, PREDICTED_ROWS):
            rows = slice(start, min(start + PREDICTED_ROWS, table.n_rows))
            features = as_features(table.rows(rows)).to(net.device)
            predictions[rows] = module(features).reshape(-1).cpu().numpy()
    return predictions
