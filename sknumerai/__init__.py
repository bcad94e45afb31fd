"""scikit-learn compatible estimators, transformers, scorers and splitters for Numerai.

Subpackages are imported on first use, so that ``import sknumerai`` stays light: it loads
neither torch, cvxpy nor matplotlib.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBPACKAGES = (
    "boosting",
    "contribution",
    "datasets",
    "ensemble",
    "exceptions",
    "inspection",
    "metrics",
    "model_selection",
    "neural_network",
    "neutralization",
    "portfolio",
    "preprocessing",
    "staking",
    "streaming",
    "upload",
)

__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
