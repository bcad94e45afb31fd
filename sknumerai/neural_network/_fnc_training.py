"""The training of an `FNCRegressor`: from its parameters and data to a net and a history."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pandas as pd
from skorch.callbacks import BatchScoring, EarlyStopping, EpochScoring, LRScheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from sknumerai._eras import EraGroups
from sknumerai._frames import Table
from sknumerai._kernels.horizons import horizon_of
from sknumerai._typing import ArrayLike
from sknumerai.neural_network._device import resolve_device
from sknumerai.neural_network._era_neutralizer import EraNeutralizer
from sknumerai.neural_network._era_source import EraSource
from sknumerai.neural_network._fnc_batches import EraDataset, read_targets
from sknumerai.neural_network._fnc_loss import SIGNS, MultiPartLoss
from sknumerai.neural_network._fnc_net import EpochProgress, EraNet, make_fnc_net
from sknumerai.neural_network._net_parameters import layer_sizes, optimizer_class
from sknumerai.neural_network._torch_seed import (
    continued_torch_state,
    get_torch_state,
    torch_seed,
)
from sknumerai.neural_network._validation_eras import split_eras

if TYPE_CHECKING:
    from sknumerai.neural_network._fnc_regressor import FNCRegressor


def make_dataset(
    regressor: FNCRegressor,
    table: Table | EraSource,
    y: ArrayLike,
    groups: EraGroups,
    *,
    validate: bool,
) -> EraDataset:
    """The eras to train on, with those to validate on if asked for.

    Parameters
    ----------
    regressor : FNCRegressor
        Its ``validation_eras`` and ``horizon`` decide which eras are which.
    table : Table or EraSource
        The features.
    y : array-like of shape (n_samples,)
        The targets.
    groups : EraGroups
    validate : bool
        Whether to set validation eras apart.
    """
    if regressor.patience is not None and regressor.validation_eras is None:
        raise ValueError(
            f"patience={regressor.patience} needs validation eras; pass validation_eras, such as "
            "0.2 for the last fifth."
        )
    _check_callbacks(regressor.callbacks)
    targets = read_targets(y, groups)
    validation_eras = regressor.validation_eras if validate else None
    horizon = regressor.horizon
    if horizon == "auto":
        horizon = horizon_of([getattr(y, "name", None)])
    train, validation = split_eras(groups, validation_eras, horizon)
    data = (table, targets, groups)
    neutralizer = EraNeutralizer()
    held_out = EraDataset(*data, validation, neutralizer) if len(validation) else None
    return EraDataset(*data, train, neutralizer, held_out)


def make_loss(regressor: FNCRegressor) -> MultiPartLoss:
    """The loss that the parameters of a regressor describe."""
    weights = {name: getattr(regressor, f"{name}_weight") for name in SIGNS}
    if not any(weights.values()):
        raise ValueError("All weights of the loss are 0; set at least one, such as fnc_weight.")
    return MultiPartLoss(
        weights,
        regressor.top_bottom,
        gaussianize=regressor.gaussianize,
        regularization_strength=regressor.regularization_strength,
        backend=regressor.soft_rank,
    )


def make_net(regressor: FNCRegressor, n_features: int, scale: float, offset: float) -> EraNet:
    """The net that the parameters of a regressor describe, with its initial weights.

    Parameters
    ----------
    regressor : FNCRegressor
    n_features : int
    scale, offset : float
        With which features enter the network, see `feature_scaling`.
    """
    device = resolve_device(regressor.device)
    with torch_seed(regressor.random_state, device):
        net = make_fnc_net(
            n_features,
            module=regressor.module,
            hidden_layer_sizes=layer_sizes(regressor.hidden_layer_sizes),
            dropout=regressor.dropout,
            scale=scale,
            offset=offset,
            loss=make_loss(regressor),
            optimizer=optimizer_class(regressor.optimizer),
            lr=regressor.lr,
            device=device,
        )
        net.torch_state = get_torch_state(device)
    return net


def train_net(regressor: FNCRegressor, dataset: EraDataset, *, epochs: int) -> pd.DataFrame:
    """Train the net of a regressor for some more epochs.

    Weights, optimizer and random numbers go on from where they are. The learning rate, the loss
    and the callbacks are those that the parameters of the regressor describe now.

    Returns
    -------
    history : DataFrame
        Losses and their parts, of all epochs so far.
    """
    net = regressor.net_
    net.check_columns(dataset.table)
    net.set_params(lr=regressor.lr)
    for group in net.optimizer_.param_groups:
        group.pop("initial_lr", None)  # of an earlier schedule
    net.criterion_ = make_loss(regressor)
    callbacks = deepcopy(regressor.callbacks or [])
    _restart_schedules(callbacks)
    if regressor.patience is not None and dataset.validation is not None:
        # Losses are negative, where a relative threshold would take a worse loss for a better one.
        options = {"threshold": 0.0, "threshold_mode": "abs", "load_best": True}
        callbacks.append(("early_stopping", EarlyStopping(patience=regressor.patience, **options)))
    if regressor.verbose:
        callbacks.append(("progress", EpochProgress()))
    net.callbacks = callbacks
    net.initialize_callbacks()
    net.max_epochs = epochs
    with continued_torch_state(net.torch_state, net.device):
        net.partial_fit(dataset)
        net.torch_state = get_torch_state(net.device)
    for epoch in net.history:
        epoch["batches"].clear()  # values of every step, which would outgrow the weights
    return _history_frame(net)


def _each(callbacks: list[Any]) -> list[Any]:
    """Callbacks without their names."""
    return [item[1] if isinstance(item, tuple) else item for item in callbacks]


def _check_callbacks(callbacks: list[Any] | None) -> None:
    """Check that no callback scores batches as if they were rows and targets."""
    for callback in _each(callbacks or []):
        if not isinstance(callback, EpochScoring | BatchScoring):
            continue
        scoring = callback.scoring
        plain = callable(scoring) and not hasattr(scoring, "get_metadata_routing")
        if isinstance(callback, BatchScoring) or callback.use_caching or not plain:
            raise ValueError(
                f"callbacks holds {type(callback).__name__}({scoring!r}), which scores rows, and "
                "batches are eras here; monitor what is recorded for every epoch, such as "
                "'valid_fnc' or 'valid_corr' (with validation_eras), or pass EpochScoring a "
                "function of the net, with use_caching=False."
            )


def _restart_schedules(callbacks: list[Any]) -> None:
    """Let schedules of the learning rate begin with the one of the regressor, as other callbacks.

    skorch would start them at the last epoch of the history, but not from its learning rate.
    """
    for callback in _each(callbacks):
        if (
            isinstance(callback, LRScheduler)
            and callback.policy not in ("ReduceLROnPlateau", ReduceLROnPlateau)
            and "last_epoch" not in callback.kwargs
        ):
            callback.last_epoch = -1


def _history_frame(net: EraNet) -> pd.DataFrame:
    """Losses and their parts by epoch."""
    records = [
        {
            name.replace("valid_", "validation_", 1): value
            for name, value in epoch.items()
            if name.startswith(("train_", "valid_")) and not name.endswith(("_best", "_count"))
        }
        for epoch in net.history
    ]
    return pd.DataFrame(records, index=pd.RangeIndex(1, len(records) + 1, name="epoch"))
