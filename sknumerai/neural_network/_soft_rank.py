"""The function soft_rank()."""

from __future__ import annotations

from importlib.util import find_spec
from math import isfinite

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from sknumerai._optional import import_optional
from sknumerai._sklearn import validate_params
from sknumerai._typing import Array
from sknumerai.neural_network._net_parameters import SOFT_RANK_OPTIONS, Backend, Strength

AUTO_STRENGTH = 5.0  # over n: see the Notes of soft_rank


@validate_params(SOFT_RANK_OPTIONS, prefer_skip_nested_validation=True)
def soft_rank(
    values: torch.Tensor,
    *,
    regularization_strength: Strength = "auto",
    backend: Backend = "auto",
) -> torch.Tensor:
    """Differentiable ranks, ascending from 1 to n.

    The soft ranks of x are the point nearest to x / ε among all weighted means of orderings of
    (1, ..., n), the Euclidean projection onto the permutahedron [1]_, with ε the regularization
    strength. As ε goes to 0 they become the ranks, ties sharing their average; as it grows they
    come closer to each other and, in the end, linear in x.

    Parameters
    ----------
    values : tensor of shape (..., n), float32 or float64
        Finite. Each row along the last dimension is ranked by itself.
    regularization_strength : float or "auto", default="auto"
        A number is ε in units of the values as they are, as in ``torchsort``. "auto" first
        standardizes each row, to mean 0 and standard deviation (ddof=0) 1, and takes ε = 5 / n.
        Shifting and scaling of the values then changes nothing, and the standardization is part
        of the function that is differentiated.
    backend : {"auto", "scipy", "torchsort"}, default="auto"
        "scipy" finds the isotonic regression on the CPU in float64, whatever the dtype and
        device of the values, with derivatives of all orders. "torchsort" is the package of that
        name, in the dtype and on the device of the values, with first derivatives. "auto" takes
        "torchsort" for CUDA tensors if it is installed, else "scipy".

    Returns
    -------
    ranks : tensor of shape (..., n)
        In the dtype and on the device of the values. All ranks of a constant row are (n + 1) / 2;
        their gradient is 0 under "auto", and the derivative under a number.

    Raises
    ------
    TypeError
        If values is not a tensor of float32 or float64.
    ValueError
        If values is empty or has no dimension, or some are NaN or infinite.
    ImportError
        If the backend is "torchsort" and that package is not installed.

    Notes
    -----
    In ascending order x / ε minus (1, ..., n) is fitted by a nondecreasing sequence, which
    divides the rows into blocks. The soft rank is the mean rank of a block, plus the distance of
    x / ε to its mean in the block. Hence a row alone in its block has a gradient of exactly 0:
    two values affect each other's rank only when they are within about ε. A strength of 1e-4
    gives a gradient to a quarter of 5,000 standard normal values, and to one in fifty of 500. The
    default, 5 / n, gives one to nearly all values at any n. The price is that soft ranks of normal
    values are then nearly linear in the values, cut off at 1 and n. They correlate .98 with the
    hard ranks and differ from them by 0.09 n on average; at 3 / n these figures are .998 and
    0.013 n, and one value in eight has no gradient.
    Cost per row: n log n, about a millisecond for 5,000 values, forward and backward.

    References
    ----------
    .. [1] M. Blondel, O. Teboul, Q. Berthet and J. Djolonga, "Fast Differentiable Sorting and
       Ranking", ICML 2020.

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import soft_rank
    >>> values = torch.tensor([0.3, 2.0, -1.0, 0.4])
    >>> soft_rank(values, regularization_strength=0.01)
    tensor([2., 4., 1., 3.])
    >>> soft_rank(values, regularization_strength=0.2)
    tensor([2.2500, 4.0000, 1.0000, 2.7500])
    """
    _check_values(values)
    n = values.shape[-1]
    if backend == "auto":
        installed = values.is_cuda and find_spec("torchsort") is not None
        backend = "torchsort" if installed else "scipy"
    work = values if backend == "torchsort" else values.cpu().double()
    strength = regularization_strength
    if strength == "auto":
        work, strength = _standardized(work), AUTO_STRENGTH / n
    rank = _torchsort_rank if backend == "torchsort" else _scipy_rank
    ranks = rank(work.reshape(-1, n), float(strength)).reshape(values.shape)
    return ranks.to(device=values.device, dtype=values.dtype)


def _check_values(values: torch.Tensor) -> None:
    if not isinstance(values, torch.Tensor) or values.dtype not in (torch.float32, torch.float64):
        found = values.dtype if isinstance(values, torch.Tensor) else type(values).__name__
        raise TypeError(f"values must be a tensor of float32 or float64; found {found}.")
    if values.ndim == 0 or values.numel() == 0:
        raise ValueError(
            f"values must have at least one dimension and one value; found shape "
            f"{tuple(values.shape)}."
        )
    finite = torch.isfinite(values)
    if not finite.all():
        bad = torch.nonzero(~finite)
        raise ValueError(
            f"{len(bad)} of {values.numel()} values are NaN or infinite, first at index "
            f"{tuple(bad[0].tolist())}; soft_rank needs finite values, and a network that does not "
            "return them has diverged (lower its learning rate)."
        )


def _standardized(values: torch.Tensor) -> torch.Tensor:
    """Rows of mean 0 and standard deviation 1; constant rows become 0, with gradient 0."""
    centred = values - values.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    spread = values.amax(-1, keepdim=True) - values.amin(-1, keepdim=True)
    constant = (spread == 0.0) | (variance == 0.0)
    # Constant rows take the root of 1, since the derivative of the root of 0 is infinite.
    scale = torch.where(constant, 1.0, variance).sqrt()
    return torch.where(constant, 0.0, centred / scale)


def _scipy_rank(values: torch.Tensor, strength: float) -> torch.Tensor:
    """Soft ranks of every row of (m, n) float64 values on the CPU.

    Only the division into blocks comes from numpy. Given the blocks, ranks are linear in the
    values, which torch differentiates.
    """
    rows = values.detach().numpy()
    span = float((rows.max(axis=1) - rows.min(axis=1)).max())
    if not isfinite(span / strength):
        raise ValueError(
            f"regularization_strength={strength} is too small for values that span {span:.3g}: "
            "their ratio overflows; pass a larger one, or 'auto'."
        )
    block, middles, lowest = map(torch.from_numpy, _isotonic_blocks(rows, strength))
    # Distances within a block keep more digits. The shift cancels, so it needs no derivative.
    values = values - lowest
    sizes = torch.zeros_like(values).scatter_add(-1, block, torch.ones_like(values))
    means = torch.zeros_like(values).scatter_add(-1, block, values) / sizes.clamp_min(1.0)
    return middles + (values - means.gather(-1, block)) / strength


def _isotonic_blocks(values: Array, strength: float) -> tuple[Array, Array, Array]:
    """Blocks of the isotonic regression behind the soft ranks.

    Parameters
    ----------
    values : ndarray of shape (m, n), float64
    strength : float

    Returns
    -------
    blocks : ndarray of shape (m, n), int64
        Number of the block that each value belongs to, ascending within a row.
    middles, lowest : ndarray of shape (m, n), float64
        Mean of the ranks, and the lowest of the values, in that block.
    """
    order = np.argsort(values, axis=1)
    ranks = np.arange(1.0, values.shape[1] + 1)
    blocks = np.empty(values.shape, dtype=np.int64)
    middles, lowest = np.empty(values.shape), np.empty(values.shape)
    for row, places in enumerate(order):
        ascending = values[row, places]
        starts = isotonic_regression((ascending - ascending[0]) / strength - ranks).blocks
        sizes = np.diff(starts)
        blocks[row, places] = np.repeat(np.arange(len(sizes)), sizes)
        middles[row, places] = np.repeat((starts[:-1] + starts[1:] + 1) / 2, sizes)
        lowest[row, places] = np.repeat(ascending[starts[:-1]], sizes)
    return blocks, middles, lowest


def _torchsort_rank(values: torch.Tensor, strength: float) -> torch.Tensor:
    """Soft ranks of every row of (m, n) values by torchsort."""
    torchsort = import_optional("torchsort", extra="torchsort")
    return torchsort.soft_rank(values, regularization="l2", regularization_strength=strength)
