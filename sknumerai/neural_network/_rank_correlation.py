"""Kernels: differentiable correlations of soft ranks on the tensors of one era."""

from __future__ import annotations

import torch

from sknumerai.neural_network._net_parameters import Backend, Strength
from sknumerai.neural_network._soft_rank import soft_rank


def as_vector(values: torch.Tensor, name: str, *, n: int | None = None) -> torch.Tensor:
    """A tensor of shape (n,) or (n, 1) as one of shape (n,), checked.

    Parameters
    ----------
    values : tensor
    name : str
        Of the argument, for messages.
    n : int, optional
        Number of rows it must have, that of the predictions.

    Raises
    ------
    TypeError
        If it is not a tensor.
    ValueError
        If it has another shape, or values are NaN or infinite.
    """
    if not isinstance(values, torch.Tensor):
        raise TypeError(f"{name} must be a tensor; found {type(values).__name__}.")
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 1):
        raise ValueError(
            f"{name} must hold one era in shape (n,) or (n, 1); found {tuple(values.shape)}."
        )
    if len(values) == 0:
        raise ValueError(f"{name} is empty; leave out eras without rows.")
    if n is not None and len(values) != n:
        raise ValueError(
            f"{name} has {len(values)} rows and predictions have {n}; pass the rows of one era."
        )
    finite = torch.isfinite(values)
    if not finite.all():
        bad = torch.nonzero(~finite)[:, 0]
        raise ValueError(
            f"{len(bad)} of {len(values)} {name} are NaN or infinite, first at row "
            f"{bad[0].item()}; leave such rows out."
        )
    return values.reshape(-1)


def unit_ranks(
    predictions: torch.Tensor,
    *,
    gaussianize: bool = False,
    regularization_strength: Strength = "auto",
    backend: Backend = "auto",
) -> torch.Tensor:
    """Soft ranks of the predictions of one era, mapped into (0, 1) or to normal quantiles.

    Parameters
    ----------
    predictions : tensor of shape (n,)
    gaussianize : bool
        False: (soft rank - 1/2) / n. True: the normal quantile of that.
    regularization_strength, backend
        As in `soft_rank`.

    Returns
    -------
    ranks : tensor of shape (n,)
        Constant predictions get the middle rank, with gradient 0 at any strength.
    """
    n = len(predictions)
    if predictions.amax() == predictions.amin():
        uniform = 0.5 + 0.0 * predictions
    else:
        ranks = soft_rank(
            predictions, regularization_strength=regularization_strength, backend=backend
        )
        uniform = (ranks - 0.5) / n
    if not gaussianize:
        return uniform
    # Exact ranks lie in [1, n], inside these limits; torchsort's in single precision may not.
    return torch.special.ndtri(uniform.clamp(0.25 / n, 1.0 - 0.25 / n))


def pearson(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Pearson correlation of two tensors of shape (n,); 0, with gradient 0, if one is constant."""
    if left.amax() == left.amin() or right.amax() == right.amin():
        return (0.0 * left).sum()
    left, right = left - left.mean(), right - right.mean()
    return (left / left.norm()) @ (right / right.norm())


def end_rows(predictions: torch.Tensor, top_bottom: int | None) -> torch.Tensor | slice:
    """Rows of the ``top_bottom`` lowest and highest predictions, or all if there are too few.

    Chosen by hard ranks: a threshold on soft ranks selects any number of rows, from none to all.
    The order of the rows decides ties at the cut.
    """
    if top_bottom is None or 2 * top_bottom >= len(predictions):
        return slice(None)
    order = torch.argsort(predictions.detach(), stable=True)
    return torch.cat([order[:top_bottom], order[-top_bottom:]])


def squared_exposure(ranks: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Sum over features f of (pᵀf)², with p the centred ranks at unit norm; 0 if constant.

    Parameters
    ----------
    ranks : tensor of shape (n,)
    features : tensor of shape (n, k)
        In the dtype of the ranks.
    """
    if ranks.amax() == ranks.amin():
        return (0.0 * ranks).sum()
    centred = ranks - ranks.mean()
    return ((centred / centred.norm()) @ features).square().sum()
