"""The functions corr_loss(), top_bottom_corr_loss(), fnc_loss() and exposure_penalty()."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import torch

from sknumerai._sklearn import Interval, validate_params
from sknumerai.neural_network._net_parameters import SOFT_RANK_OPTIONS, Backend, Strength
from sknumerai.neural_network._rank_correlation import (
    as_vector,
    end_rows,
    pearson,
    squared_exposure,
    unit_ranks,
)

GAUSSIANIZE: dict[str, Any] = {"gaussianize": ["boolean"]}
TOP_BOTTOM = Interval(Integral, 1, None, closed="left")


@validate_params({**SOFT_RANK_OPTIONS, **GAUSSIANIZE}, prefer_skip_nested_validation=True)
def corr_loss(
    predictions: torch.Tensor,
    targets: torch.Tensor,
    *,
    gaussianize: bool = False,
    regularization_strength: Strength = "auto",
    backend: Backend = "auto",
) -> torch.Tensor:
    """Negative correlation of the predictions' soft ranks with the targets, in one era.

    Parameters
    ----------
    predictions : tensor of shape (n,) or (n, 1), float32 or float64
        Finite predictions of one era.
    targets : tensor of shape (n,) or (n, 1)
        Finite.
    gaussianize : bool, default=False
        Whether to correlate the normal quantiles of (soft rank - 1/2) / n instead of these values.
    regularization_strength : float or "auto", default="auto"
        As in `soft_rank`; "auto" ignores the mean and the scale of the predictions.
    backend : {"auto", "scipy", "torchsort"}, default="auto"
        As in `soft_rank`.

    Returns
    -------
    loss : tensor of shape ()
        Between -1 and 1, in the dtype of the predictions. It is 0, with gradient 0, where
        predictions or targets are constant or n is 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a tensor of one era, or holds NaN or infinite values.

    Notes
    -----
    As the strength goes to 0, the loss goes to minus the Pearson correlation of the predictions'
    ranks with the targets. If the targets are ranks themselves, that is minus Spearman's, as in
    ``corr_with(..., method="spearman")``. With ``gaussianize`` the limit is minus
    `sknumerai.metrics.numerai_corr`, except that the metric raises both sides to the power 1.5.

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import corr_loss
    >>> predictions = torch.tensor([0.1, 0.4, 0.2, 0.9], requires_grad=True)
    >>> loss = corr_loss(predictions, torch.tensor([0.0, 0.5, 0.25, 1.0]))
    >>> loss.backward()
    >>> -1.0 < loss.item() < -0.9, predictions.grad.shape
    (True, torch.Size([4]))

    A criterion with its options bound, for a training loop:

    >>> from functools import partial
    >>> criterion = partial(corr_loss, gaussianize=True)
    >>> criterion(torch.arange(9.0), torch.arange(9.0)) < -0.9
    tensor(True)
    """
    scores = as_vector(predictions, "predictions")
    truth = as_vector(targets, "targets", n=len(scores)).to(scores.dtype)
    ranks = unit_ranks(
        scores,
        gaussianize=gaussianize,
        regularization_strength=regularization_strength,
        backend=backend,
    )
    return -pearson(ranks, truth)


@validate_params(
    {**SOFT_RANK_OPTIONS, **GAUSSIANIZE, "top_bottom": [TOP_BOTTOM]},
    prefer_skip_nested_validation=True,
)
def top_bottom_corr_loss(
    predictions: torch.Tensor,
    targets: torch.Tensor,
    *,
    top_bottom: int = 200,
    gaussianize: bool = False,
    regularization_strength: Strength = "auto",
    backend: Backend = "auto",
) -> torch.Tensor:
    """`corr_loss` over only the lowest and the highest predictions of one era.

    Parameters
    ----------
    predictions : tensor of shape (n,) or (n, 1), float32 or float64
        Finite predictions of one era. All are ranked before some are selected.
    targets : tensor of shape (n,) or (n, 1)
        Finite.
    top_bottom : int, default=200
        Number of rows at each end, by hard ranks; the order of the rows decides ties at the cut.
        Eras with fewer than twice as many rows use all of them.
    gaussianize, regularization_strength, backend
        As in `corr_loss`.

    Returns
    -------
    loss : tensor of shape ()
        As in `corr_loss`.

    Raises
    ------
    TypeError, ValueError
        As in `corr_loss`.

    Notes
    -----
    The limit, as the strength goes to 0, is minus the Pearson correlation of ranks and targets
    within these rows: with ``gaussianize``, `sknumerai.metrics.numerai_corr` with ``top_bottom``,
    except for its powers of 1.5. The loss is not continuous where two predictions swap places at
    the cut, since the rows change there. For FNC TB200 pass predictions that are neutralized
    (`EraNeutralizer`).

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import top_bottom_corr_loss
    >>> targets = torch.linspace(0.0, 1.0, 50)
    >>> top_bottom_corr_loss(targets.square(), targets, top_bottom=5) < -0.99
    tensor(True)
    """
    scores = as_vector(predictions, "predictions")
    truth = as_vector(targets, "targets", n=len(scores)).to(scores.dtype)
    ranks = unit_ranks(
        scores,
        gaussianize=gaussianize,
        regularization_strength=regularization_strength,
        backend=backend,
    )
    rows = end_rows(scores, top_bottom)
    return -pearson(ranks[rows], truth[rows])


@validate_params({"neutralizer": [callable]}, prefer_skip_nested_validation=True)
def fnc_loss(
    predictions: torch.Tensor,
    targets: torch.Tensor,
    *,
    neutralizer: Callable[[torch.Tensor], torch.Tensor],
    gaussianize: bool = False,
    regularization_strength: Strength = "auto",
    backend: Backend = "auto",
) -> torch.Tensor:
    """`corr_loss` of feature-neutralized predictions of one era.

    Parameters
    ----------
    predictions : tensor of shape (n,) or (n, 1), float32 or float64
        Finite predictions of one era.
    targets : tensor of shape (n,) or (n, 1)
        Finite.
    neutralizer : callable
        Maps predictions to the part that the era's features do not explain, such as
        ``EraNeutralizer().for_era(era, features)``.
    gaussianize, regularization_strength, backend
        As in `corr_loss`.

    Returns
    -------
    loss : tensor of shape ()
        As in `corr_loss`; also 0, with gradient 0, where the features explain the predictions
        completely.

    Raises
    ------
    TypeError, ValueError
        As in `corr_loss`.

    Notes
    -----
    The limit is that of `corr_loss` for the neutralized predictions. It differs from
    `sknumerai.metrics.feature_neutral_corr` in its sign and in two steps of the metric, which
    turns predictions into normal quantiles before it neutralizes them, and raises both sides to
    the power 1.5.

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import EraNeutralizer, fnc_loss
    >>> generator = torch.manual_seed(0)
    >>> features = torch.randint(0, 5, (400, 10), generator=generator)
    >>> own = torch.randn(400, generator=generator)
    >>> neutralizer = EraNeutralizer().for_era("0001", features)
    >>> fnc_loss(own + features[:, 0], own, neutralizer=neutralizer) < -0.9
    tensor(True)
    """
    return corr_loss(
        neutralizer(as_vector(predictions, "predictions")),
        targets,
        gaussianize=gaussianize,
        regularization_strength=regularization_strength,
        backend=backend,
    )


@validate_params(
    {**SOFT_RANK_OPTIONS, **GAUSSIANIZE, "top_bottom": [TOP_BOTTOM, None]},
    prefer_skip_nested_validation=True,
)
def exposure_penalty(
    predictions: torch.Tensor,
    features: torch.Tensor,
    *,
    top_bottom: int | None = None,
    gaussianize: bool = False,
    regularization_strength: Strength = "auto",
    backend: Backend = "auto",
) -> torch.Tensor:
    """Sum over features f of (pᵀf)², with p the centred soft ranks at unit norm.

    Parameters
    ----------
    predictions : tensor of shape (n,) or (n, 1), float32 or float64
        Finite predictions of one era.
    features : tensor of shape (n, k), floating
        As they enter the network: tournament features x in 0 to 4 as x / 4 - 1/2. The penalty
        grows with the square of their scale: the integers themselves make it 16 times as large.
    top_bottom : int, optional
        Use only the lowest and the highest ``top_bottom`` predictions, as in
        `top_bottom_corr_loss`.
    gaussianize, regularization_strength, backend
        As in `corr_loss`.

    Returns
    -------
    penalty : tensor of shape ()
        At least 0; it is 0, with gradient 0, where predictions are constant. It grows with the
        number of features and of rows: the forum post gives it a weight of 1e-4 for 1,050
        features, or 1e-3 over the top and bottom [1]_.

    Raises
    ------
    TypeError, ValueError
        If features are integers or not of shape (n, k), and as in `corr_loss`.

    Notes
    -----
    The limit, as the strength goes to 0, is the sum over features of (e_j ‖f_j - mean f_j‖)²,
    with e_j the `sknumerai.metrics.feature_exposure` of the ranks to feature j.

    References
    ----------
    .. [1] "Optimizing for FNC and TB scores",
       https://forum.numer.ai/t/optimizing-for-fnc-and-tb-scores/5132

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import exposure_penalty
    >>> x = torch.linspace(-0.5, 0.5, 5).repeat(20)
    >>> exposure_penalty(x, x[:, None]) > 12.0
    tensor(True)
    >>> exposure_penalty(x, (x[:, None] ** 2)) < 1e-9
    tensor(True)
    """
    scores = as_vector(predictions, "predictions")
    if features.ndim != 2 or len(features) != len(scores):
        raise ValueError(
            f"features must have shape (n, k) with the {len(scores)} rows of predictions; found "
            f"{tuple(features.shape)}."
        )
    if not features.is_floating_point():
        raise TypeError(
            f"features must be floating-point; found {features.dtype}; pass tournament features "
            "as x / 4 - 0.5, the scale for which weights of the penalty are chosen."
        )
    ranks = unit_ranks(
        scores,
        gaussianize=gaussianize,
        regularization_strength=regularization_strength,
        backend=backend,
    )
    rows = end_rows(scores, top_bottom)
    return squared_exposure(ranks[rows], features[rows].to(ranks.dtype))
