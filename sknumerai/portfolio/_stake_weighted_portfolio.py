"""The class StakeWeightedPortfolio."""

from __future__ import annotations

from collections.abc import Hashable
from numbers import Real
from typing import Any

import numpy as np
import torch

from sknumerai._sklearn import Interval, StrOptions, validate_params
from sknumerai._typing import ArrayLike
from sknumerai.portfolio._portfolio_layer import PortfolioLayer


class StakeWeightedPortfolio(torch.nn.Module):
    r"""From the predictions of users and their stakes to a portfolio, end to end.

    .. math::
        m = P w \;\text{ or }\; P w / \textstyle\sum_j w_j, \qquad
        s = \sigma \, \frac{\mathrm{sign}(m) |m|^{p}}{\mathrm{rms}(\mathrm{sign}(m) |m|^{p})},
        \qquad x = \mathrm{layer}(s)

    with predictions :math:`P` and stakes :math:`w`, the only parameter. The gradient of the
    portfolio's return by the stakes is the True Contribution of one round.

    Parameters
    ----------
    layer : PortfolioLayer
        From the signal s to the portfolio x.
    stakes : array-like of shape (n_users,)
        Starting value of the parameter. A tensor keeps its dtype and device, anything else
        becomes float64.
    power : float, default=1.5
        p, 1 or more.
    signal_scale : float or None, default=1e-3
        :math:`\sigma`, the root mean square of the signal: the larger, the fewer stocks are off
        their limits. None means that the signal is not scaled.
    gradient : {"raw", "stake_weighted"}, default="raw"
        Whether m is the sum of the users' predictions times their stakes, or that over the sum of
        the stakes. A signal that is scaled is the same either way, and so is its gradient.

    Attributes
    ----------
    stakes : torch.nn.Parameter of shape (n_users,)
        Set ``stakes.data`` for another round, for example to
        ``torch.nn.functional.dropout(stakes, 0.5)``.

    See Also
    --------
    PortfolioLayer : The last step on its own.
    sknumerai.contribution.true_contribution : The mean over rounds of dropout, in much less time.

    Notes
    -----
    Predictions are used as given. `sknumerai.contribution.true_contribution` turns them into
    normal quantiles of their ranks first; to get the same numbers, do so, too. With
    ``gradient="stake_weighted"`` its contributions are those of this module times the sum of the
    stakes.

    Users with the same predictions get the same gradient whatever their stakes, and one without a
    stake gets what the first unit of it would earn.

    References
    ----------
    The post "True Contribution Details" on the forum of Numerai: the module ``SWMModel``.

    Examples
    --------
    Two users with the same predictions, the second without a stake, and a third one:

    >>> import torch
    >>> from sknumerai.portfolio import PortfolioLayer, PortfolioOptimizer, StakeWeightedPortfolio
    >>> first = torch.tensor([1.0, 0.5, -0.5, -1.0])
    >>> predictions = torch.stack([first, first, torch.tensor([-0.3, 0.8, 0.1, -0.6])], dim=1)
    >>> returns = torch.tensor([0.03, 0.01, 0.0, -0.01])
    >>> layer = PortfolioLayer(PortfolioOptimizer(max_leverage=1.0))
    >>> model = StakeWeightedPortfolio(layer, stakes=torch.tensor([2.0, 0.0, 1.0]))
    >>> weights, signal = model(predictions)
    >>> (weights @ returns).backward()
    >>> contribution = model.stakes.grad
    >>> bool(torch.isclose(contribution[0], contribution[1]))
    True
    >>> bool(contribution[0] > 0 > contribution[2])
    True
    """

    @validate_params(
        {
            "layer": [PortfolioLayer],
            "power": [Interval(Real, 1, None, closed="left")],
            "signal_scale": [Interval(Real, 0, None, closed="neither"), None],
            "gradient": [StrOptions({"raw", "stake_weighted"})],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        layer: PortfolioLayer,
        stakes: ArrayLike,
        *,
        power: float = 1.5,
        signal_scale: float | None = 1e-3,
        gradient: str = "raw",
    ):
        super().__init__()
        self.layer = layer
        self.stakes = torch.nn.Parameter(_read_stakes(stakes))
        self.power = power
        self.signal_scale = signal_scale
        self.gradient = gradient

    def forward(
        self, user_predictions: torch.Tensor, era: Hashable = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The portfolio of one era, and the signal it was made from.

        Parameters
        ----------
        user_predictions : tensor of shape (n_stocks, n_users)
            Of the dtype and on the device of the stakes. Centred on zero, or else most of what is
            raised to the power is the mean.
        era : hashable, default=None
            The era, where the layer has several.

        Returns
        -------
        weights : tensor of shape (n_stocks,)
        signal : tensor of shape (n_stocks,)
            The stake-weighted meta model as the optimizer gets it: s.

        Raises
        ------
        ValueError
            If the predictions are of the wrong shape or dtype or not finite, or the meta model is
            zero for all stocks.
        """
        self._check(user_predictions, era)
        meta_model = user_predictions @ self.stakes
        if self.gradient == "stake_weighted":
            total = self.stakes.sum()
            if not total > 0.0:
                raise ValueError(
                    f"The stakes have a sum of {total:g}, so there is no stake-weighted mean; "
                    "give some user a positive stake."
                )
            meta_model = meta_model / total
        signal = self._signal(meta_model)
        return self.layer(signal, era), signal

    def _signal(self, meta_model: torch.Tensor) -> torch.Tensor:
        if self.signal_scale is None:
            return meta_model.sign() * meta_model.abs() ** self.power
        # The size of the meta model makes no difference and so gets no gradient: large stakes
        # must not overflow in float32, nor small ones vanish.
        largest = meta_model.detach().abs().max()
        if largest == 0.0:
            raise ValueError(
                "The stake-weighted meta model is zero for all stocks (no stakes, or users that "
                "cancel); it has no scale."
            )
        unit = meta_model / largest
        signal = unit.sign() * unit.abs() ** self.power
        return signal * (self.signal_scale / signal.square().mean().sqrt())

    def _check(self, user_predictions: Any, era: Hashable) -> None:
        if not isinstance(user_predictions, torch.Tensor):
            raise TypeError(
                f"user_predictions must be a tensor; found {type(user_predictions).__name__}."
            )
        shape, n_users = tuple(user_predictions.shape), len(self.stakes)
        if len(shape) != 2 or shape[1] != n_users or not shape[0]:
            raise ValueError(
                f"user_predictions has shape {shape} for {n_users} stakes; pass "
                f"(n_stocks, {n_users})."
            )
        if user_predictions.dtype != self.stakes.dtype:
            raise ValueError(
                f"user_predictions are {user_predictions.dtype} and the stakes "
                f"{self.stakes.dtype}; convert one of them, for example by "
                f"user_predictions.to({self.stakes.dtype})."
            )
        bad = int((~torch.isfinite(user_predictions)).sum())
        if bad:
            raise ValueError(
                f"user_predictions contain {bad} NaN or infinite values of "
                f"{user_predictions.numel()}; fill them, or leave those users out."
            )
        if era is None and self.layer.n_eras > 1:
            raise ValueError(
                f"The layer has {self.layer.n_eras} eras and a meta model is one era's; pass "
                "era=..."
            )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"n_users={len(self.stakes)}, power={self.power}, "
            f"signal_scale={self.signal_scale}, gradient={self.gradient!r}"
        )


def _read_stakes(stakes: Any) -> torch.Tensor:
    """Stakes as a tensor of their own."""
    if not isinstance(stakes, torch.Tensor):
        stakes = torch.tensor(np.asarray(stakes, dtype=np.float64))
    if stakes.ndim != 1 or not len(stakes):
        raise ValueError(
            f"stakes has shape {tuple(stakes.shape)}; pass one number per user, (n_users,)."
        )
    if not stakes.is_floating_point():
        stakes = stakes.double()
    bad = int((~torch.isfinite(stakes)).sum())
    if bad:
        raise ValueError(
            f"stakes contain {bad} NaN or infinite values of {len(stakes)}; a user without a stake "
            "has 0."
        )
    return stakes.detach().clone()
