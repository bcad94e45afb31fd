"""The functions mmc_loss(), tc_loss() and portfolio_return_loss()."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sknumerai._kernels.contribution import BUCKETS
from sknumerai._kernels.ranks import normalize_columns
from sknumerai._sklearn import validate_params
from sknumerai.neural_network._net_parameters import SOFT_RANK_OPTIONS, Backend, Strength
from sknumerai.neural_network._rank_correlation import as_vector, unit_ranks


@validate_params(SOFT_RANK_OPTIONS, prefer_skip_nested_validation=True)
def mmc_loss(
    predictions: torch.Tensor,
    targets: torch.Tensor,
    meta_model: torch.Tensor,
    *,
    regularization_strength: Strength = "auto",
    backend: Backend = "auto",
) -> torch.Tensor:
    """Negative contribution of the predictions to the meta model's correlation, in one era.

    Parameters
    ----------
    predictions : tensor of shape (n,) or (n, 1), float32 or float64
        Finite predictions of one era.
    targets : tensor of shape (n,) or (n, 1)
        Finite. Multiplied by 4 if all lie in [0, 1], as the metric does.
    meta_model : tensor of shape (n,) or (n, 1)
        Finite prediction to contribute to; of a benchmark model, the loss is that of BMC. It is
        ranked hard and gets no gradient.
    regularization_strength, backend
        As in `corr_loss`.

    Returns
    -------
    loss : tensor of shape ()
        Minus the covariance of the targets with what is left of the predictions' gaussianized
        soft ranks after projecting out the gaussianized meta model. 0, with gradient 0, where
        predictions are constant.

    Raises
    ------
    ValueError
        If the meta model is constant.
    TypeError, ValueError
        As in `corr_loss`.

    Notes
    -----
    The limit, as the strength goes to 0, is minus
    `sknumerai.metrics.meta_model_contribution`, exactly. Unlike a correlation this depends on the
    spread of the soft ranks, which is smaller than that of the ranks: with "auto" the loss of
    normal predictions is about 0.6 times its limit.

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import mmc_loss
    >>> generator = torch.manual_seed(0)
    >>> meta_model, own = torch.randn(2, 500, generator=generator)
    >>> mmc_loss(own, own + meta_model, meta_model) < -0.5
    tensor(True)
    >>> abs(mmc_loss(meta_model, own + meta_model, meta_model)) < 0.01
    tensor(True)
    """
    scores = as_vector(predictions, "predictions")
    truth = as_vector(targets, "targets", n=len(scores)).to(scores.dtype)
    reference = _gaussian(as_vector(meta_model, "meta_model", n=len(scores))).to(scores)
    size = reference.square().sum()
    if size == 0.0:
        raise ValueError(
            f"All {len(scores)} values of meta_model are equal; leave out eras without one."
        )
    if ((truth >= 0.0) & (truth <= 1.0)).all():
        truth = BUCKETS * truth
    truth = truth - truth.mean()
    # instead of the predictions, whose residual this is the covariance with, project the target
    truth = truth - reference * ((reference @ truth) / size)
    ranks = unit_ranks(
        scores,
        gaussianize=True,
        regularization_strength=regularization_strength,
        backend=backend,
    )
    return -(truth @ ranks) / len(scores)


@validate_params(SOFT_RANK_OPTIONS, prefer_skip_nested_validation=True)
def tc_loss(
    predictions: torch.Tensor,
    tc_gradient: torch.Tensor,
    *,
    regularization_strength: Strength = "auto",
    backend: Backend = "auto",
) -> torch.Tensor:
    """Negative True Contribution of the predictions, linear in their gaussianized soft ranks.

    Parameters
    ----------
    predictions : tensor of shape (n,) or (n, 1), float32 or float64
        Finite predictions of one era.
    tc_gradient : tensor of shape (n,) or (n, 1)
        Derivative of the era's portfolio return with respect to the meta model, averaged over
        rounds. It does not depend on the predictions.
    regularization_strength, backend
        As in `corr_loss`.

    Returns
    -------
    loss : tensor of shape ()
        Minus the dot product. 0, with gradient 0, where predictions are constant.

    Raises
    ------
    TypeError, ValueError
        As in `corr_loss`.

    Notes
    -----
    The limit, as the strength goes to 0, is minus the True Contribution of a user who submits
    the predictions, under ``gradient="raw"`` and ``gaussianize=True``, at the meta model that the
    gradient was taken at. It depends on the spread of the soft ranks as `mmc_loss` does.

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import tc_loss
    >>> gradient = torch.tensor([0.1, -0.2, 0.1, 0.0])
    >>> tc_loss(torch.tensor([3.0, 1.0, 4.0, 2.0]), gradient) < 0
    tensor(True)
    """
    scores = as_vector(predictions, "predictions")
    direction = as_vector(tc_gradient, "tc_gradient", n=len(scores)).to(scores.dtype)
    ranks = unit_ranks(
        scores,
        gaussianize=True,
        regularization_strength=regularization_strength,
        backend=backend,
    )
    return -(ranks @ direction)


@validate_params({"layer": [callable]}, prefer_skip_nested_validation=True)
def portfolio_return_loss(
    signal: torch.Tensor,
    returns: torch.Tensor,
    layer: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Negative return of the portfolio that a layer makes of the signal, in one era.

    Parameters
    ----------
    signal : tensor of shape (n,) or (n, 1)
        Finite signal of one era.
    returns : tensor of shape (n,) or (n, 1)
        Finite returns of the stocks, in the unit of the loss.
    layer : callable
        Differentiable, such as a ``torch.nn.Module``: from the signal of shape (n,) to weights
        of shape (n,) or (n, 1).

    Returns
    -------
    loss : tensor of shape ()
        -returnsᵀ layer(signal); there are no ranks in it, but for those that the layer takes.

    Raises
    ------
    TypeError, ValueError
        As in `corr_loss`, and if the layer returns another number of weights.

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import portfolio_return_loss
    >>> def long_short(signal):
    ...     return signal - signal.mean()
    >>> portfolio_return_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.1]), long_short)
    tensor(-0.0500)
    """
    scores = as_vector(signal, "signal")
    gains = as_vector(returns, "returns", n=len(scores)).to(scores.dtype)
    weights = as_vector(layer(scores), "weights returned by layer", n=len(scores))
    return -(gains @ weights)


def _gaussian(values: torch.Tensor) -> torch.Tensor:
    """Normal quantiles of the hard ranks, shape (n,), without a gradient."""
    column = values.detach().cpu().double().numpy()[:, None]
    return torch.from_numpy(normalize_columns(column, "gaussian")[:, 0])
