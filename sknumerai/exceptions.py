"""Errors and warnings of sknumerai."""

from __future__ import annotations

__all__ = [
    "ConstantPredictionWarning",
    "FewFreeAssetsWarning",
    "InfeasibleExposureError",
    "InfeasibleExposureWarning",
    "InfeasiblePortfolioError",
    "LostWorkersError",
    "MissingErasError",
    "SingleEraWarning",
    "SolverError",
    "UnscoredErasWarning",
]


class MissingErasError(ValueError):
    """Eras are needed and were not given; the message shows the line to write."""


class InfeasibleExposureError(ValueError):
    """No prediction meets the exposure limits in some era.

    Attributes
    ----------
    multiple : float
        Smallest multiple of the limits that can be met; infinite if none can.
    """

    def __init__(self, message: str, multiple: float = float("inf")):
        super().__init__(message, multiple)
        self.multiple = multiple

    def __str__(self) -> str:
        return str(self.args[0])


class InfeasiblePortfolioError(ValueError):
    """No portfolio meets the limits of a program.

    Attributes
    ----------
    conflict : list of str
        The limits that cannot be met together.
    """

    def __init__(self, message: str, conflict: list[str]):
        super().__init__(message, conflict)
        self.conflict = conflict

    def __str__(self) -> str:
        return str(self.args[0])


class LostWorkersError(RuntimeError):
    """An executor lost its workers, or its scheduler, and the tasks that were theirs."""


class SolverError(RuntimeError):
    """A solver could not verify its solution and therefore returns none."""


class InfeasibleExposureWarning(UserWarning):
    """Exposure limits were widened in some eras because they could not be met."""


class FewFreeAssetsWarning(UserWarning):
    """In some eras most assets sit at a bound or kink, so that a gradient says little."""


class ConstantPredictionWarning(UserWarning):
    """A prediction is constant in some eras, where the result is therefore NaN."""


class SingleEraWarning(UserWarning):
    """A table without eras, large or to be trained on, is treated as one era."""


class UnscoredErasWarning(UserWarning):
    """Eras without a target, or without what they are compared to, were left out of scores."""
