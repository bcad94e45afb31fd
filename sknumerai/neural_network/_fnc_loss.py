"""Kernel: the parts of the loss that `FNCRegressor` minimizes, on the tensors of one era."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from sknumerai.neural_network._rank_correlation import (
    end_rows,
    pearson,
    squared_exposure,
    unit_ranks,
)

# Sign of every part in the loss: correlations are rewarded, exposures are penalized.
SIGNS = {"corr": -1.0, "fnc": -1.0, "tb": -1.0, "exposure": 1.0, "tb_exposure": 1.0}


def loss_parts(
    predictions: torch.Tensor,
    targets: torch.Tensor,
    features: torch.Tensor,
    neutralize: Callable[[torch.Tensor], torch.Tensor],
    *,
    names: Collection[str],
    top_bottom: int,
    **rank_options: Any,
) -> dict[str, torch.Tensor]:
    """Correlations and exposures of the predictions of one era.

    All five parts come from two soft ranks, of the predictions and of their neutral part.

    Parameters
    ----------
    predictions, targets : tensor of shape (n,)
    features : tensor of shape (n, k), floating
        As they enter the network.
    neutralize : callable
        Maps predictions to the part that the features do not explain.
    names : collection of str
        Parts to compute: "corr" and "exposure" of the predictions, "fnc" of their neutral part,
        "tb" and "tb_exposure" of its lowest and highest rows.
    top_bottom : int
        Number of rows at each end.
    **rank_options
        As in `unit_ranks`.

    Returns
    -------
    parts : dict of str to tensor of shape ()
        Pearson correlations of soft ranks and targets, and sums of squared exposures. Each is 0,
        with gradient 0, where predictions are constant.
    """
    parts = {}
    if not {"corr", "exposure"}.isdisjoint(names):
        ranks = unit_ranks(predictions, **rank_options)
        if "corr" in names:
            parts["corr"] = pearson(ranks, targets)
        if "exposure" in names:
            parts["exposure"] = squared_exposure(ranks, features)
    if not {"fnc", "tb", "tb_exposure"}.isdisjoint(names):
        neutral = neutralize(predictions)
        ranks = unit_ranks(neutral, **rank_options)
        if "fnc" in names:
            parts["fnc"] = pearson(ranks, targets)
        rows = end_rows(neutral, top_bottom)
        if "tb" in names:
            parts["tb"] = pearson(ranks[rows], targets[rows])
        if "tb_exposure" in names:
            parts["tb_exposure"] = squared_exposure(ranks[rows], features[rows])
    return parts


class MultiPartLoss(torch.nn.Module):
    """Weighted sum of the parts of `loss_parts`.

    Parameters
    ----------
    weights : dict of str to float
        Weight of every part, at least 0. A part of weight 0 is not computed.
    top_bottom : int
        Number of rows at each end.
    **rank_options
        As in `unit_ranks`.
    """

    def __init__(self, weights: Mapping[str, float], top_bottom: int, **rank_options: Any):
        super().__init__()
        self.weights = {name: weights[name] for name in SIGNS if weights[name] > 0.0}
        self.top_bottom = top_bottom
        self.rank_options = rank_options

    def forward(
        self,
        predictions: torch.Tensor,
        targets: torch.Tensor,
        features: torch.Tensor,
        neutralize: Callable[[torch.Tensor], torch.Tensor],
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of one era, and its parts without weights and signs."""
        parts = loss_parts(
            predictions,
            targets.to(predictions.dtype),
            features,
            neutralize,
            names=self.weights,
            top_bottom=self.top_bottom,
            **self.rank_options,
        )
        loss = sum(SIGNS[name] * weight * parts[name] for name, weight in self.weights.items())
        return loss, parts
