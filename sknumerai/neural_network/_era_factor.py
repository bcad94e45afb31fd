"""Kernel: differentiable neutralization by a factor of one era's features."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import cho_solve, lapack

from sknumerai._typing import Array
from sknumerai.neutralization._linalg import BLOCK_SIZE, StandardizedFeatures
from sknumerai.neutralization._projection import (
    DEPENDENT_PIVOT,
    OFFICIAL_RCOND,
    SAFE_PIVOT,
    ZERO_RESIDUAL,
)

CUDA_BLOCK_SIZE = 2**25  # values; a launch costs more than a cache saves
SINGLE_CONTRACTION = 1e-5  # what one step may leave, for a factor in single precision to be kept
ZERO_SINGLE_RESIDUAL = 2e-5  # relative, of single-precision predictions: less is rounding noise
PROBES = 8
TINY = 1e-300  # in place of a norm of zero


class EraFactor(ABC):
    """What the projection onto one era's features and a constant needs besides the features."""

    shape: tuple[int, int]  # of the features

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, torch.Tensor))

    @abstractmethod
    def step(self, values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """The values less what the features explain, nearly: a symmetric function of them.

        Parameters
        ----------
        values : tensor of shape (n, m), float64
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
        values = predictions.double()
        neutral = values
        for _ in range(2 if double else 1):
            neutral = self.step(neutral, features)
        noise = ZERO_RESIDUAL if double else ZERO_SINGLE_RESIDUAL
        nothing = neutral.norm(dim=0) <= noise * values.norm(dim=0)
        return torch.where(nothing, 0.0, neutral).to(predictions.dtype)


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
        U; float32 where that is accurate enough, else float64.
    """

    shape: tuple[int, int]
    means: torch.Tensor
    scales: torch.Tensor
    independent: torch.Tensor
    upper: torch.Tensor

    def step(self, values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """As in `EraFactor`."""
        values = values - values.mean(0)
        # Products in double precision straight from the features, a few rows at a time: in
        # single precision their error is amplified by the condition number of the features.
        block_size = CUDA_BLOCK_SIZE if values.is_cuda else BLOCK_SIZE
        rows = max(1, block_size // features.shape[1])
        blocks = features.split(rows)
        parts = zip(blocks, values.split(rows), strict=True)
        gradient = sum(self._centred(block).mT @ part for block, part in parts)
        gradient *= self.scales[:, None]
        weights = torch.zeros_like(gradient)
        weights[self.independent] = self._solve(gradient[self.independent])
        weights *= self.scales[:, None]
        explained = torch.cat([self._centred(block) @ weights for block in blocks])
        if not features.is_floating_point():
            explained -= self.means @ weights
        return values - explained

    def _centred(self, block: torch.Tensor) -> torch.Tensor:
        """Rows in float64; floats are centred, lest large means cost digits."""
        if not block.is_floating_point():
            return block.double()
        return block.double() - self.means

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
    x = StandardizedFeatures(features.detach().cpu().numpy())
    found = _pivoted_factor(x) if x.n > x.k + 1 else None

    def on_device(array: Array) -> torch.Tensor:
        return torch.from_numpy(array).to(features.device)

    if found is None:
        return BasisFactor((x.n, x.k), on_device(_official_basis(x)))
    upper, independent = found
    scales = np.where(x.constant, 0.0, 1.0 / x.norms)
    arrays = (x.means, scales, independent, upper)
    return CholeskyFactor((x.n, x.k), *map(on_device, arrays))


def _pivoted_factor(features: StandardizedFeatures) -> tuple[Array, Array] | None:
    """Upper Cholesky factor of the correlations of independent features, and their numbers.

    None where independence is in doubt.
    """
    # the lower factor by columns is the upper one by rows
    factor, pivots, rank, _ = lapack.dpstrf(
        features.gram().T, tol=DEPENDENT_PIVOT, lower=1, overwrite_a=1
    )
    if rank and np.diag(factor)[:rank].min() ** 2 < SAFE_PIVOT:
        return None
    upper, independent = np.triu(factor.T[:rank, :rank]), pivots[:rank].astype(np.int64) - 1
    single = upper.astype(np.float32)
    if rank and _contraction(upper, single) <= SINGLE_CONTRACTION:
        upper = single
    return upper, independent


def _contraction(upper: Array, single: Array) -> float:
    """Share that one step with a factor in single precision leaves of what it should remove.

    The largest for random parts of predictions in the span of the features, and for what is left
    of these, which lies where the factor is worst.

    Parameters
    ----------
    upper, single : ndarray of shape (r, r)
        The factor in double and in single precision.
    """
    explained = np.random.default_rng(0).normal(size=(len(upper), PROBES))
    share = 0.0
    for _ in range(2):
        explained /= np.maximum(np.linalg.norm(explained, axis=0), TINY)
        gradient = (upper.T @ explained).astype(np.float32)
        weights = cho_solve((single, False), gradient, check_finite=False)
        explained -= upper @ weights
        share = max(share, float(np.linalg.norm(explained, axis=0).max()))
    return share


def _official_basis(features: StandardizedFeatures) -> Array:
    """Orthonormal basis of what numerai-tools (``lstsq(rcond=1e-6)``) projects out."""
    design = np.column_stack([features.features.astype(np.float64), np.ones(features.n)])
    left, singular, _ = np.linalg.svd(design, full_matrices=False)
    return np.ascontiguousarray(left[:, singular > OFFICIAL_RCOND * singular[0]])
