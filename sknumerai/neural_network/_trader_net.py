"""The network of `NeuralTrader`, its loss and its mini-batches, in torch and skorch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from skorch import NeuralNet
from torch import nn


class TraderModule(nn.Module):
    """Positions in [0, 1] from windows of returns.

    Every hidden layer is linear, sigmoid, dropout; the output is the sigmoid of one linear unit.

    Parameters
    ----------
    window : int
        Number of returns in a window.
    hidden_layer_sizes : list of int
        Units of the hidden layers.
    dropout : float
        Share of hidden units that are zeroed at random in training.
    """

    def __init__(self, window: int, hidden_layer_sizes: list[int], dropout: float):
        super().__init__()
        sizes = [window, *hidden_layer_sizes]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.Sigmoid(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.Sigmoid())

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Positions of shape (n_samples,) for windows of shape (n_samples, window)."""
        return self.layers(windows).squeeze(-1)


class NegativeReturn(nn.Module):
    """Minus the mean of position times next return."""

    def forward(self, positions: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
        """Loss of positions (n_samples,) and returns (n_samples,)."""
        return -(positions * returns).mean()


class TensorBatches:
    """Mini-batches of a dataset of tensors, each taken by one indexing.

    A DataLoader collects a batch row by row, which takes a hundred times as long.

    Parameters
    ----------
    dataset : Dataset
        Indexable by slices and by tensors of integers.
    batch_size : int
        Rows per batch; the last one may have fewer.
    shuffle : bool, default=False
        Whether to draw a new order for every pass.
    """

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool = False):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __iter__(self) -> Iterator[Any]:
        n_samples = len(self.dataset)
        order = torch.randperm(n_samples) if self.shuffle else None
        for start in range(0, n_samples, self.batch_size):
            rows = slice(start, min(start + self.batch_size, n_samples))
            yield self.dataset[rows if order is None else order[rows]]


def make_trader_net(
    window: int,
    *,
    hidden_layer_sizes: list[int],
    dropout: float,
    lr: float,
    batch_size: int,
    optimizer: type[torch.optim.Optimizer],
    device: str,
) -> NeuralNet:
    """Initialized skorch net that predicts positions; parameters as in `NeuralTrader`."""
    net = NeuralNet(
        TraderModule,
        criterion=NegativeReturn,
        module__window=window,
        module__hidden_layer_sizes=hidden_layer_sizes,
        module__dropout=dropout,
        optimizer=optimizer,
        lr=lr,
        batch_size=batch_size,
        iterator_train=TensorBatches,
        iterator_train__shuffle=True,
        iterator_valid=TensorBatches,
        iterator_valid__batch_size=max(batch_size, 10_000),  # for predictions only
        train_split=None,
        callbacks="disable",  # they take half of the time, and NeuralTrader records a history
        device=device,
        verbose=0,
    )
    return net.initialize()
