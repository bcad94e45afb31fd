"""The losses as torch modules, for criteria and for sums of them."""

from collections.abc import Callable
from typing import Any

import torch

from sknumerai.neural_network._contribution_losses import (
    mmc_loss,
    portfolio_return_loss,
    tc_loss,
)
from sknumerai.neural_network._losses import (
    corr_loss,
    exposure_penalty,
    fnc_loss,
    top_bottom_corr_loss,
)
from sknumerai.neural_network._net_parameters import Backend, Strength


class _Loss(torch.nn.Module):
    """A loss function with its options bound; shown with those options."""

    def __init__(self, **options: Any):
        super().__init__()
        self.options = options

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class CorrLoss(_Loss):
    """`corr_loss` as a module.

    Parameters
    ----------
    gaussianize : bool, default=False
        As in `corr_loss`, and so are the others.
    regularization_strength : float or "auto", default="auto"
    backend : {"auto", "scipy", "torchsort"}, default="auto"

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import CorrLoss
    >>> loss = CorrLoss(gaussianize=True)
    >>> loss(torch.arange(9.0), torch.arange(9.0)) < -0.9
    tensor(True)
    """

    def __init__(
        self,
        *,
        gaussianize: bool = False,
        regularization_strength: Strength = "auto",
        backend: Backend = "auto",
    ):
        super().__init__(
            gaussianize=gaussianize,
            regularization_strength=regularization_strength,
            backend=backend,
        )

    def forward(self, predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of the (n,) or (n, 1) predictions of one era."""
        return corr_loss(predictions, targets, **self.options)


class TopBottomCorrLoss(_Loss):
    """`top_bottom_corr_loss` as a module.

    Parameters
    ----------
    top_bottom : int, default=200
        As in `top_bottom_corr_loss`, and so are the others.
    gaussianize : bool, default=False
    regularization_strength : float or "auto", default="auto"
    backend : {"auto", "scipy", "torchsort"}, default="auto"

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import TopBottomCorrLoss
    >>> loss = TopBottomCorrLoss(top_bottom=3)
    >>> loss(torch.arange(9.0), torch.arange(9.0)) < -0.9
    tensor(True)
    """

    def __init__(
        self,
        *,
        top_bottom: int = 200,
        gaussianize: bool = False,
        regularization_strength: Strength = "auto",
        backend: Backend = "auto",
    ):
        super().__init__(
            top_bottom=top_bottom,
            gaussianize=gaussianize,
            regularization_strength=regularization_strength,
            backend=backend,
        )

    def forward(self, predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of the (n,) or (n, 1) predictions of one era."""
        return top_bottom_corr_loss(predictions, targets, **self.options)


class FNCLoss(_Loss):
    """`fnc_loss` as a module.

    Parameters
    ----------
    gaussianize : bool, default=False
        As in `fnc_loss`, and so are the others.
    regularization_strength : float or "auto", default="auto"
    backend : {"auto", "scipy", "torchsort"}, default="auto"

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import EraNeutralizer, FNCLoss
    >>> generator = torch.manual_seed(0)
    >>> features = torch.randint(0, 5, (400, 10), generator=generator)
    >>> own = torch.randn(400, generator=generator)
    >>> neutralizer = EraNeutralizer().for_era("0001", features)
    >>> FNCLoss()(own + features[:, 0], own, neutralizer) < -0.9
    tensor(True)
    """

    def __init__(
        self,
        *,
        gaussianize: bool = False,
        regularization_strength: Strength = "auto",
        backend: Backend = "auto",
    ):
        super().__init__(
            gaussianize=gaussianize,
            regularization_strength=regularization_strength,
            backend=backend,
        )

    def forward(
        self,
        predictions: torch.Tensor,
        targets: torch.Tensor,
        neutralizer: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Loss of the (n,) or (n, 1) predictions of one era, given its neutralization."""
        return fnc_loss(predictions, targets, neutralizer=neutralizer, **self.options)


class ExposurePenalty(_Loss):
    """`exposure_penalty` as a module.

    Parameters
    ----------
    top_bottom : int, optional
        As in `exposure_penalty`, and so are the others.
    gaussianize : bool, default=False
    regularization_strength : float or "auto", default="auto"
    backend : {"auto", "scipy", "torchsort"}, default="auto"

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import ExposurePenalty
    >>> x = torch.linspace(-0.5, 0.5, 5).repeat(20)
    >>> ExposurePenalty()(x, x[:, None]) > 12.0
    tensor(True)
    """

    def __init__(
        self,
        *,
        top_bottom: int | None = None,
        gaussianize: bool = False,
        regularization_strength: Strength = "auto",
        backend: Backend = "auto",
    ):
        super().__init__(
            top_bottom=top_bottom,
            gaussianize=gaussianize,
            regularization_strength=regularization_strength,
            backend=backend,
        )

    def forward(self, predictions: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Penalty of the (n,) or (n, 1) predictions of one era with its (n, k) features."""
        return exposure_penalty(predictions, features, **self.options)


class MMCLoss(_Loss):
    """`mmc_loss` as a module.

    Parameters
    ----------
    regularization_strength : float or "auto", default="auto"
        As in `mmc_loss`, and so is the other.
    backend : {"auto", "scipy", "torchsort"}, default="auto"

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import MMCLoss
    >>> own, meta_model = torch.randn(2, 500, generator=torch.manual_seed(0))
    >>> MMCLoss()(own, own + meta_model, meta_model) < -0.5
    tensor(True)
    """

    def __init__(self, *, regularization_strength: Strength = "auto", backend: Backend = "auto"):
        super().__init__(regularization_strength=regularization_strength, backend=backend)

    def forward(
        self, predictions: torch.Tensor, targets: torch.Tensor, meta_model: torch.Tensor
    ) -> torch.Tensor:
        """Loss of the (n,) or (n, 1) predictions of one era."""
        return mmc_loss(predictions, targets, meta_model, **self.options)


class TCLoss(_Loss):
    """`tc_loss` as a module.

    Parameters
    ----------
    regularization_strength : float or "auto", default="auto"
        As in `tc_loss`, and so is the other.
    backend : {"auto", "scipy", "torchsort"}, default="auto"

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import TCLoss
    >>> TCLoss()(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0.1, -0.1, 0.0])) < 0
    tensor(True)
    """

    def __init__(self, *, regularization_strength: Strength = "auto", backend: Backend = "auto"):
        super().__init__(regularization_strength=regularization_strength, backend=backend)

    def forward(self, predictions: torch.Tensor, tc_gradient: torch.Tensor) -> torch.Tensor:
        """Loss of the (n,) or (n, 1) predictions of one era."""
        return tc_loss(predictions, tc_gradient, **self.options)


class PortfolioReturnLoss(torch.nn.Module):
    """`portfolio_return_loss` as a module; parameters of the layer are parameters of the loss.

    Parameters
    ----------
    layer : torch.nn.Module
        From the signal of shape (n,) to weights of shape (n,) or (n, 1).

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import PortfolioReturnLoss
    >>> loss = PortfolioReturnLoss(torch.nn.Softmax(dim=0))
    >>> loss(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 0.1]))
    tensor(-0.0500)
    """

    def __init__(self, layer: torch.nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, signal: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
        """Loss of the (n,) or (n, 1) signal of one era."""
        return portfolio_return_loss(signal, returns, self.layer)
