"""Neural networks trained on the tournament's own metrics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sknumerai._optional import import_optional
from sknumerai.neural_network._fnc_regressor import FNCRegressor
from sknumerai.neural_network._neural_trader import NeuralTrader
from sknumerai.neural_network._sliding_windows import sliding_windows

if TYPE_CHECKING:
    from sknumerai.neural_network._contribution_losses import (
        mmc_loss,
        portfolio_return_loss,
        tc_loss,
    )
    from sknumerai.neural_network._era_neutralizer import EraNeutralizer
    from sknumerai.neural_network._losses import (
        corr_loss,
        exposure_penalty,
        fnc_loss,
        top_bottom_corr_loss,
    )
    from sknumerai.neural_network._soft_rank import soft_rank

__all__ = [
    "EraNeutralizer",
    "FNCRegressor",
    "NeuralTrader",
    "corr_loss",
    "exposure_penalty",
    "fnc_loss",
    "mmc_loss",
    "portfolio_return_loss",
    "sliding_windows",
    "soft_rank",
    "tc_loss",
    "top_bottom_corr_loss",
]

# Modules that need torch, with their public names. They are imported on first use, so that the
# rest of the subpackage works without torch.
_NEED_TORCH = {
    "_contribution_losses": ("mmc_loss", "portfolio_return_loss", "tc_loss"),
    "_era_neutralizer": ("EraNeutralizer",),
    "_losses": ("corr_loss", "exposure_penalty", "fnc_loss", "top_bottom_corr_loss"),
    "_soft_rank": ("soft_rank",),
}
_MODULE_OF = {name: module for module, names in _NEED_TORCH.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_optional("torch", extra="torch")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
