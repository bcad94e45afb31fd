"""The class PortfolioLayer."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch.autograd.function import once_differentiable

from sknumerai._typing import Array, ArrayLike, ArraysByEra, Eras
from sknumerai.portfolio._era_programs import EraPrograms, has_rows, jacobian_product
from sknumerai.portfolio._portfolio_optimizer import PortfolioOptimizer


class PortfolioLayer(torch.nn.Module):
    r"""From a signal to the best portfolio, as a differentiable layer of a network.

    Forward solves the program of `PortfolioOptimizer`. Backward multiplies the gradient that
    arrives by the derivative of the weights by the signal, which is symmetric:

    .. math::
        \frac{\partial f}{\partial s} = J \, \frac{\partial f}{\partial x}, \quad
        J = \frac{\partial x}{\partial s} = J^T

    Parameters
    ----------
    optimizer : PortfolioOptimizer
        With any engine. The layer keeps a copy: later changes have no effect.
    eras : array-like of shape (n_rows,) or scalar, default=None
        The era of every row, in any order; every era is a program of its own. None means that all
        rows are one era.
    factor_loadings : array-like of shape (n_rows, n_factors), default=None
        As in :meth:`PortfolioOptimizer.fit`, and so are the others; with one row per stock and
        era. Tensors without gradient are allowed.
    factor_covariance : array-like of shape (n_factors, n_factors) or dict, default=None
        One matrix for all eras, or a dict from the label of an era to its matrix.
    specific_variance : array-like of shape (n_rows,) or float, default=None
    exposures : array-like of shape (n_rows, n_exposures), default=None
    sectors : array-like of shape (n_rows,), default=None
    previous_weights : array-like of shape (n_rows,), default=None

    Raises
    ------
    TypeError
        If `optimizer` is no `PortfolioOptimizer`.
    ValueError
        If data do not fit together, or a parameter of the optimizer is out of range.

    See Also
    --------
    PortfolioOptimizer : The program.
    StakeWeightedPortfolio : From the stakes of users to the portfolio.

    Notes
    -----
    The layer has no parameters. The program of an era is built when it is first needed, and is
    kept; every signal after the first one starts from the solution before it, so that small steps
    of training are cheap. A signal gives the same weights after any other, up to rounding
    errors. Copies and pickles leave the programs behind and build them again.

    All is computed in float64 on the CPU. Weights come in the dtype and on the device of the
    signal.

    There is no second derivative, and no gradient by risk data or limits. Where a limit is
    weakly active (`PortfolioOptimizer.n_weakly_active_`), the gradient is one of several
    one-sided ones. A stock at a bound or kink gets no gradient of its own: if a signal so large
    that most stocks are there is to be trained, begin with a smaller one.

    Until the graph is freed, every round keeps 8 bytes for each free asset times each factor and
    binding limit; under ``torch.no_grad`` nothing is kept.

    References
    ----------
    Agrawal, A. et al. (2019), "Differentiable convex optimization layers", NeurIPS.

    Examples
    --------
    >>> import torch
    >>> from sknumerai.portfolio import PortfolioLayer, PortfolioOptimizer
    >>> layer = PortfolioLayer(PortfolioOptimizer(min_weights=-1.0, max_weights=1.0))
    >>> signal = torch.tensor([3.0, 1.0, 0.5, -0.5], requires_grad=True)
    >>> weights = layer(signal)
    >>> weights.detach()
    tensor([ 1.0000,  0.2500, -0.2500, -1.0000])

    The stocks at a bound do not move, and the other two only against each other:

    >>> returns = torch.tensor([0.01, 0.03, -0.02, 0.0])
    >>> (weights @ returns).backward()
    >>> signal.grad
    tensor([ 0.0000,  0.0250, -0.0250,  0.0000])
    """

    def __init__(
        self,
        optimizer: PortfolioOptimizer,
        *,
        eras: Eras | None = None,
        factor_loadings: ArrayLike | None = None,
        factor_covariance: ArrayLike | ArraysByEra | None = None,
        specific_variance: ArrayLike | None = None,
        exposures: ArrayLike | None = None,
        sectors: ArrayLike | None = None,
        previous_weights: ArrayLike | None = None,
    ):
        super().__init__()
        if not isinstance(optimizer, PortfolioOptimizer):
            raise TypeError(
                f"optimizer must be a PortfolioOptimizer; found {type(optimizer).__name__}."
            )
        self.optimizer = clone(optimizer)
        self.optimizer._validate_params()
        risk = {
            "factor_loadings": factor_loadings,
            "factor_covariance": factor_covariance,
            "specific_variance": specific_variance,
            "exposures": exposures,
            "sectors": sectors,
            "previous_weights": previous_weights,
        }
        self._risk = {name: _as_data(data) for name, data in risk.items() if data is not None}
        self._eras = _as_data(eras)
        tables = [data for name, data in self._risk.items() if has_rows(name, data)]
        if np.ndim(self._eras) > 0:
            tables.append(self._eras)
        self._programs: EraPrograms | None = None
        self._any_length = not tables
        if tables:
            self._programs = self._build(len(tables[0]))

    def _build(self, n_rows: int) -> EraPrograms:
        return EraPrograms(self.optimizer, n_rows, self._eras, self._risk)

    @property
    def n_eras(self) -> int:
        """Number of eras."""
        return 1 if self._programs is None else len(self._programs.groups)

    def forward(self, signal: torch.Tensor, era: Hashable = None) -> torch.Tensor:
        """The best portfolio.

        Parameters
        ----------
        signal : tensor of shape (n_rows,) or (n_rounds, n_rows), floating point
            One value per row of the risk data; without any, of any length. All rounds have the
            same program.
        era : hashable, default=None
            Label of one era; `signal` then holds its rows only, in the order they have in the
            table. None means all eras.

        Returns
        -------
        weights : tensor of the shape, dtype and device of the signal
            Each era has a portfolio of its own.

        Raises
        ------
        TypeError
            If `signal` is no tensor of floating point numbers.
        ValueError
            If its shape is wrong, it holds NaN or infinite values, or `era` is unknown.
        InfeasiblePortfolioError
            If no portfolio meets the limits.
        SolverError
            If no solution can be verified.
        """
        if not (isinstance(signal, torch.Tensor) and signal.is_floating_point()):
            found = signal.dtype if isinstance(signal, torch.Tensor) else type(signal).__name__
            raise TypeError(f"signal must be a tensor of floating point numbers; found {found}.")
        programs = self._programs_for(signal, era)
        bad = int((~torch.isfinite(signal)).sum())
        if bad:
            raise ValueError(
                f"signal contains {bad} NaN or infinite values of {signal.numel()}; every stock "
                "needs a number."
            )
        rounds = signal.reshape(-1, signal.shape[-1])
        return _Portfolios.apply(rounds, programs, era).reshape(signal.shape)

    def _programs_for(self, signal: torch.Tensor, era: Hashable) -> EraPrograms:
        """The programs, if the signal has a shape that fits them."""
        shape = tuple(signal.shape)
        if self._any_length:
            # a network's output of one column is no batch of portfolios of one stock
            if len(shape) not in (1, 2) or not shape[-1] or (len(shape) == 2 and shape[1] == 1):
                raise ValueError(
                    f"signal has shape {shape}; pass (n_stocks,) or (n_rounds, n_stocks)."
                )
            if self._programs is None or self._programs.n_stocks() != shape[-1]:
                self._programs = self._build(shape[-1])
        assert self._programs is not None
        n = self._programs.n_stocks(era)
        if len(shape) not in (1, 2) or shape[-1] != n:
            where = "" if era is None else f" of era {era}"
            raise ValueError(
                f"signal has shape {shape} for {n} stocks{where}; pass ({n},) or (n_rounds, {n})."
            )
        return self._programs

    def extra_repr(self) -> str:
        """The optimizer, and the size of the data."""
        parts = [repr(self.optimizer)]
        if not self._any_length and self._programs is not None:
            parts += [f"n_rows={self._programs.n_stocks()}", f"n_eras={self.n_eras}"]
        return ", ".join(parts)


class _Portfolios(torch.autograd.Function):
    """Rounds of signals to rounds of weights."""

    @staticmethod
    def forward(ctx, signals, programs, era):  # type: ignore[no-untyped-def]
        """Signals of shape (n_rounds, n_stocks)."""
        weights, solutions = programs.solve(_to_numpy(signals), era)
        if ctx.needs_input_grad[0]:
            ctx.solutions = solutions
        return torch.from_numpy(weights).to(signals)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients):  # type: ignore[no-untyped-def]
        """Gradients of the shape of the signals."""
        products = jacobian_product(ctx.solutions, _to_numpy(gradients))
        return torch.from_numpy(products).to(gradients), None, None


def _to_numpy(tensor: torch.Tensor) -> Array:
    values: Array = tensor.detach().to("cpu", torch.float64).numpy()
    return values


def _as_data(data: Any) -> Any:
    """Data as other parts of the package take them; a tensor that needs a gradient is refused."""
    return data.cpu().numpy() if isinstance(data, torch.Tensor) else data
