"""Parameters that the networks of the package share, checked."""

from numbers import Integral, Real
from typing import Any, Literal

from sknumerai._optional import import_optional
from sknumerai._sklearn import Interval, StrOptions

Strength = float | Literal["auto"]
Backend = Literal["auto", "scipy", "torchsort"]

# of soft_rank, and of everything that passes them on to it
SOFT_RANK_OPTIONS = {
    "regularization_strength": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "backend": [StrOptions({"auto", "scipy", "torchsort"})],
}


def layer_sizes(sizes: Any) -> list[int]:
    """Units of the hidden layers, from a number or a sequence of them."""
    as_list = [sizes] if isinstance(sizes, Integral) else list(sizes)
    if not all(isinstance(size, Integral) and int(size) >= 1 for size in as_list):
        raise ValueError(
            f"hidden_layer_sizes must be positive integers, one for each layer; found {as_list}."
        )
    return [int(size) for size in as_list]


def optimizer_class(name: str) -> Any:
    """The class of ``torch.optim`` of that name."""
    optim = import_optional("torch.optim", extra="torch")
    found = getattr(optim, name, None)
    if isinstance(found, type) and issubclass(found, optim.Optimizer) and found != optim.Optimizer:
        return found
    raise ValueError(
        f"optimizer={name!r} is no optimizer of torch.optim; name one, such as 'RMSprop', 'Adam' "
        "or 'SGD'."
    )
