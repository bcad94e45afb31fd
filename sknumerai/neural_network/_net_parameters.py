"""Parameters that the networks of the package share: their constraints, and what they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from sknumerai._optional import import_optional
from sknumerai._sklearn import Interval, StrOptions

if TYPE_CHECKING:
    import torch

Strength = float | Literal["auto"]
Backend = Literal["auto", "scipy", "torchsort"]

# Constraints of the parameters that every network has.
NET_PARAMETERS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "optimizer": [str],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

# Constraints of the options of soft_rank, and of everything that passes them on to it.
SOFT_RANK_OPTIONS: dict[str, list[Any]] = {
    "regularization_strength": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "backend": [StrOptions({"auto", "scipy", "torchsort"})],
}


def layer_sizes(sizes: int | Sequence[int]) -> list[int]:
    """Units of the hidden layers, from a number or a sequence of them."""
    as_list = [sizes] if isinstance(sizes, int | Integral) else list(sizes)
    if not all(isinstance(size, Integral) and int(size) >= 1 for size in as_list):
        raise ValueError(
            f"hidden_layer_sizes must be positive integers, one for each layer; found {as_list}."
        )
    return [int(size) for size in as_list]


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The class of ``torch.optim`` of that name."""
    optim = import_optional("torch.optim", extra="torch")
    found = getattr(optim, name, None)
    if isinstance(found, type) and issubclass(found, optim.Optimizer) and found != optim.Optimizer:
        return found
    raise ValueError(
        f"optimizer={name!r} is not an optimizer of torch.optim; name one of them, such as "
        "'RMSprop', 'Adam' or 'SGD'."
    )
