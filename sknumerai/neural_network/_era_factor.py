"""Kernel: differentiable neutralization by a factor of one era's features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import solve_triangular

from sknumerai._kernels.linalg import check_finite, one_thread, pivoted_cholesky
from sknumerai._kernels.projection import (
    OFFICIAL_RCOND,
    SAFE_PIVOT,
    ZERO_RESIDUAL,
    official_design,
)
from sknumerai._kernels.standardized_features import BLOCK_SIZE, StandardizedFeatures
from sknumerai._typing import Array

CUDA_BLOCK_SIZE = 2**25  # values; a launch costs more than a cache saves
SINGLE_LEFTOVER = 2e-5  # what one step may leave, for single precision to be used
ZERO_SINGLE_RESIDUAL = 2e-5  # relative, of single-precision predictions: less is rounding noise
PROBES = 4  # random predictions of a trial
POWERS = 3  # of the correlation matrix, for what its features have most and least in common
TINY = 1e-300  # in place of a norm of zero


class EraFactor(ABC):
    """What the projection onto one era's features and a constant needs besides the features."""

    shape: tuple[int, int]  # of the features

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, torch.Tensor))

    @property
    @abstractmethod
    def single(self) -> bool:
        """Whether a step in single precision is accurate enough."""

    @abstractmethod
    def step(self, values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """The values less what the features explain, nearly: a symmetric function of them.

        Parameters
        ----------
        values : tensor of shape (n, m), float64, or float32 if `single`
        features : tensor of shape (n, k)
            Those that the factor was made from.
        """

    def project(self, predictions: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """What the features do not explain of the predictions.

        Parameters
        ----------
        predictions : tensor of shape (n, m), float32 or float64
        features : tensor of shape (n, k)
            Those that the factor was made from.

        Returns
        -------
        neutral : tensor of shape (n, m)
            In the dtype of the predictions. Zero where nothing but rounding noise is left.
        """
        double = predictions.dtype == torch.float64
        values = predictions if self.single else predictions.double()
        # lest norms overflow or vanish
        size = values.abs().amax(0).clamp_min(torch.finfo(values.dtype).tiny)
        values = values / size
        neutral = values
        for _ in range(2 if double else 1):
            neutral = self.step(neutral, features)
        noise = ZERO_RESIDUAL if double else ZERO_SINGLE_RESIDUAL
        nothing = neutral.norm(dim=0) <= noise * values.norm(dim=0)
        return (torch.where(nothing, 0.0, neutral) * size).to(predictions.dtype)


@dataclass(frozen=True)
class CholeskyFactor(EraFactor):
    """Cholesky factor of the correlation matrix of an era's independent features.

    A step is p - X M⁻¹ Xᵀ p, p centred, X the standardized features and M = UᵀU.

    Attributes
    ----------
    shape : tuple of int
        (n, k) of the features.
    means, scales : tensor of shape (k,), float64
        Column means, and reciprocal norms of the centred columns (0 for constant features).
    independent : tensor of shape (r,), int64
        Features that span all others.
    upper : tensor of shape (r, r)
        U; float32 where single precision is accurate enough, else float64.
    """

    shape: tuple[int, int]
    means: torch.Tensor
    scales: torch.Tensor
    independent: torch.Tensor
    upper: torch.Tensor

    @property
    def single(self) -> bool:
        """As in `EraFactor`."""
        return bool(self.upper.dtype == torch.float32)

    def step(self, values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """As in `EraFactor`; the products are in the precision of the values."""
        values = values - values.mean(0)
        rows = len(values)
        if features.dtype != values.dtype:  # convert a few at a time, which then are in the cache
            block_size = CUDA_BLOCK_SIZE if values.is_cuda else BLOCK_SIZE
            rows = max(1, block_size // features.shape[1])
        blocks, parts = features.split(rows), values.split(rows)
        products = (p.mT @ self._rows(b, values.dtype) for b, p in zip(blocks, parts, strict=True))
        gradient = self.scales[:, None] * sum(product.double() for product in products).mT
        weights = torch.zeros_like(gradient)
        weights[self.independent] = self._solve(gradient[self.independent])
        weights *= self.scales[:, None]
        near = weights.to(values.dtype)
        explained = torch.cat([self._rows(block, values.dtype) @ near for block in blocks])
        if not self._centres(features, values.dtype):
            explained -= (self.means @ weights).to(values.dtype)
        return values - explained

    def _rows(self, block: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Rows of the features in a precision, centred or not."""
        rows = block.to(dtype)
        return rows - self.means if self._centres(block, dtype) else rows

    @staticmethod
    def _centres(features: torch.Tensor, dtype: torch.dtype) -> bool:
        """Floats in double precision are centred, lest large means cost digits."""
        return bool(dtype == torch.float64 and features.is_floating_point())

    def _solve(self, gradient: torch.Tensor) -> torch.Tensor:
        size = gradient.norm(dim=0).clamp_min(TINY)  # single precision has a small range
        right = (gradient / size).to(self.upper.dtype)
        half = torch.linalg.solve_triangular(self.upper.mT, right, upper=False)
        solution = torch.linalg.solve_triangular(self.upper, half, upper=True)
        return solution.double() * size


@dataclass(frozen=True)
class BasisFactor(EraFactor):
    """Orthonormal basis of what is projected out, for features that have no safe factor.

    Attributes
    ----------
    shape : tuple of int
        (n, k) of the features.
    basis : tensor of shape (n, r), float64
    """

    shape: tuple[int, int]
    basis: torch.Tensor
    single = False

    def step(self, values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """As in `EraFactor`; the features are not used."""
        return values - self.basis @ (self.basis.mT @ values)


class NeutralPart(torch.autograd.Function):
    """The projection of an `EraFactor`; symmetric, so that its backward is its forward."""

    @staticmethod
    def forward(ctx, predictions, features, factor):  # type: ignore[no-untyped-def]
        """Shapes (n, m) and (n, k)."""
        ctx.save_for_backward(features)
        ctx.factor = factor
        return factor.project(predictions, features)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        """As forward; itself differentiable."""
        (features,) = ctx.saved_tensors
        return NeutralPart.apply(gradient, features, ctx.factor), None, None


def factorize_features(features: torch.Tensor) -> EraFactor:
    """Factor of one era's features, computed on the CPU and kept on their device.

    Parameters
    ----------
    features : tensor of shape (n, k)
        Integers or finite floats.

    Returns
    -------
    factor : EraFactor

    Notes
    -----
    n k² flops for the Gram matrix, exact for small integers, and k³/3 for its pivoted Cholesky
    factorization. Which features count as dependent, and when the rule of the official tool
    decides, is as in `sknumerai.neutralization.neutralize`.
    """
    with one_thread():  # several, still spinning, would take the processors from torch's
        factor = _factorize(features.detach())
    # Copied where there was a gap already: what was allocated on the way, and is free by now, would
    # stay in pieces around the factors of hundreds of eras.
    tensors = {n: value.clone() for n, value in vars(factor).items() if torch.is_tensor(value)}
    return replace(factor, **tensors)


def _factorize(features: torch.Tensor) -> CholeskyFactor | BasisFactor:
    x = StandardizedFeatures(features.cpu().numpy())
    found = _pivoted_factor(x) if x.n > x.k + 1 else None

    def on_device(array: Array) -> torch.Tensor:
        return torch.from_numpy(array).to(features.device)

    if found is None:
        return BasisFactor((x.n, x.k), on_device(_official_basis(x)))
    upper, independent = found
    means = x.means * x.unit
    scales = np.where(x.constant, 0.0, 1.0 / (x.norms * x.unit))
    arrays = map(on_device, (means, scales, independent, upper))
    double = CholeskyFactor((x.n, x.k), *arrays)
    single = replace(double, upper=double.upper.float())
    return single if _leftover(single, features, x, upper) <= SINGLE_LEFTOVER else double


def _pivoted_factor(features: StandardizedFeatures) -> tuple[Array, Array] | None:
    """Upper Cholesky factor of the correlations of independent features, and their numbers.

    None where independence is in doubt.
    """
    factor, independent = pivoted_cholesky(features.gram().T, overwrite=True)
    if len(factor) and np.diag(factor).min() ** 2 < SAFE_PIVOT:
        return None
    return np.triu(factor.T), independent  # the lower factor by columns is the upper one by rows


def _leftover(
    single: CholeskyFactor, features: torch.Tensor, x: StandardizedFeatures, upper: Array
) -> float:
    """What the features explain, at most, of what one step in single precision leaves.

    Of predictions that they explain half of, relative to that half; it should be nothing. Some of
    these are random, some are along what the features have most, and least, in common.

    Parameters
    ----------
    single : CholeskyFactor
    features : tensor of shape (n, k)
    x : StandardizedFeatures
        The same features.
    upper : ndarray of shape (r, r), float64
        The factor in double precision.
    """
    rng = np.random.default_rng(0)
    random = most = least = rng.normal(size=(len(upper), PROBES))
    for _ in range(POWERS):
        most = upper @ (upper.T @ most)
        least = solve_triangular(upper, solve_triangular(upper, least), trans=1)
        most, least = _unit(most), _unit(least)
    explained = np.hstack([_unit(random), most, least])
    weights = np.zeros((x.k, explained.shape[1]))
    independent = single.independent.cpu().numpy()
    weights[independent] = solve_triangular(upper, explained)
    predictions = x.matmul(weights) + _unit(rng.normal(size=(x.n, explained.shape[1])))
    values = torch.from_numpy(predictions.astype(np.float32)).to(features.device)
    left = single.step(values, features).cpu().numpy().astype(np.float64)
    if not np.isfinite(left).all():  # features beyond the range of single precision
        return np.inf
    gradient = x.rmatmul(left - left.mean(axis=0))[independent]
    return float(np.linalg.norm(solve_triangular(upper, gradient, trans=1), axis=0).max())


def _unit(columns: Array) -> Array:
    """Columns of unit norm."""
    unit: Array = columns / np.linalg.norm(columns, axis=0)
    return unit


def _official_basis(features: StandardizedFeatures) -> Array:
    """Orthonormal basis of what numerai-tools (``lstsq(rcond=1e-6)``) projects out."""
    design = official_design(features)
    check_finite(design)
    left, singular, _ = np.linalg.svd(design, full_matrices=False)
    return np.ascontiguousarray(left[:, singular > OFFICIAL_RCOND * singular[0]])
