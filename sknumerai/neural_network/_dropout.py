"""The dropout layer of the package's own networks."""

from __future__ import annotations

import torch
from torch import nn

LEVELS = 2**16  # number of values that a random number may take
PER_WORD = 4  # number of random numbers drawn at once


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` with cheaper random numbers on the CPU.

    There torch draws one number for each unit, which takes a quarter of a training step. Here
    four units share a draw, with 16 bits each. The share of units that are dropped is rounded to
    a multiple of 2⁻¹⁶, and the others are scaled to match the rounded share.
    """

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Values of any shape, some of them zeroed in training."""
        n_dropped = round(self.p * LEVELS)
        if values.device.type != "cpu" or not self.training or n_dropped in (0, LEVELS):
            return super().forward(values)
        n_words = -(-values.numel() // PER_WORD)
        words = torch.empty(n_words, dtype=torch.int64).random_(-(2**63), None)
        levels = words.view(torch.int16)[: values.numel()].view(values.shape)
        kept = (levels >= n_dropped - LEVELS // 2).to(values.dtype)
        return values * kept.mul_(LEVELS / (LEVELS - n_dropped))
