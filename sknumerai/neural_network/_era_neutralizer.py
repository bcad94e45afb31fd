"""The class EraNeutralizer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from numbers import Integral

import torch

from sknumerai._sklearn import Interval, validate_params
from sknumerai.neural_network._era_factor import EraFactor, NeutralPart, factorize_features

MAX_BYTES = 2 * 2**30


class EraNeutralizer:
    """Differentiable neutralization that factorizes the features of each era once.

    In training the features of an era stay the same from epoch to epoch, while the predictions
    change at every step. What depends on the features alone is kept, so that a step costs two
    products with the features and two triangular solves, and the same again in the backward pass;
    a pseudo-inverse would cost thousands of products.

    Parameters
    ----------
    max_bytes : int, default=2147483648
        Memory for the factors, 2 GiB by default. When they need more, those unused for longest
        are dropped, and computed again when needed.

    Attributes
    ----------
    nbytes : int
        Memory that the factors take now.

    Notes
    -----
    The factor of an era with k features is the Cholesky factor of their correlation matrix:
    4 k² bytes in single precision (4.4 MB for 1,050 features, 22.6 MB for 2,376), twice as many
    where single precision would not be accurate. With at most k + 1 rows, or with features that
    are nearly dependent, it is an orthonormal basis of 8 n min(n, k + 1) bytes. The features
    themselves are not kept. When eras are visited in random order and only a share of their
    factors fits, about that share of the steps finds its factor; every other step computes one,
    in n k² + k³/3 flops on the CPU.

    Constant, duplicated and collinear features are treated as by
    `sknumerai.neutralization.neutralize`; float64 predictions agree with it to 1e-8. For float32
    predictions the relative error is about 2e-5 or less: products with the features are in single
    precision where a trial has shown them to be that accurate, and in double precision elsewhere.
    Where only rounding error is left (1e-10 of the prediction in float64, 2e-5 in float32) the
    result is exactly zero.

    Examples
    --------
    >>> import torch
    >>> from sknumerai.neural_network import EraNeutralizer
    >>> features = torch.randint(0, 5, (500, 20), generator=torch.manual_seed(0))
    >>> predictions = torch.randn(500, dtype=torch.float64, requires_grad=True)
    >>> neutralizer = EraNeutralizer()
    >>> neutral = neutralizer.for_era("0001", features)(predictions)
    >>> bool((features.double().T @ neutral).abs().max() < 1e-9)
    True
    """

    @validate_params(
        {"max_bytes": [Interval(Integral, 0, None, closed="left")]},
        prefer_skip_nested_validation=True,
    )
    def __init__(self, max_bytes: int = MAX_BYTES):
        self.max_bytes = max_bytes
        self._factors: OrderedDict[tuple[Hashable, str], EraFactor] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Memory that the factors take now."""
        return sum(factor.nbytes for factor in self._factors.values())

    def __len__(self) -> int:
        """Number of eras whose factors are held."""
        return len(self._factors)

    def for_era(
        self, era: Hashable, features: torch.Tensor
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """The neutralization of predictions of one era; factorizes its features if they are new.

        Parameters
        ----------
        era : hashable
            Label under which the factor is kept. One era must always come with the same features.
        features : tensor of shape (n, k)
            Integers or finite floats, on the device of the predictions. Shifting or scaling them
            does not change the result. For float32 predictions, float32 features in quarters,
            such as x / 4 - 1/2, are fastest, since they need no conversion.

        Returns
        -------
        neutralize : callable
            Takes predictions of shape (n,) or (n, m), float32 or float64, and returns what the
            features and a constant do not explain of them, differentiably. For the argument
            ``neutralizer`` of `fnc_loss`.

        Raises
        ------
        ValueError
            If the features are not of shape (n, k), hold NaN or infinite values, or have another
            shape than this era's features had before.
        """
        if features.ndim != 2 or 0 in features.shape:
            raise ValueError(
                f"features must have shape (n, k), at least (1, 1); found {tuple(features.shape)}."
            )
        key = (era, str(features.device))
        factor = self._factors.get(key)
        if factor is None:
            factor = self._factorize(key, features)
        elif factor.shape != tuple(features.shape):
            raise ValueError(
                f"features of era {era} have shape {tuple(features.shape)} and had "
                f"{factor.shape} when they were factorized; give each era a label of its own."
            )
        else:
            self._factors.move_to_end(key)
        return partial(_neutralize, features=features, factor=factor)

    def _factorize(self, key: tuple[Hashable, str], features: torch.Tensor) -> EraFactor:
        finite = torch.isfinite(features)
        if not finite.all():
            raise ValueError(
                f"{int((~finite).sum())} of {features.numel()} features of era {key[0]} are NaN "
                "or infinite; fill or leave them out first."
            )
        factor = factorize_features(features)
        self._factors[key] = factor
        total = self.nbytes
        while total > self.max_bytes:
            total -= self._factors.popitem(last=False)[1].nbytes
        return factor

    def __repr__(self) -> str:
        return f"EraNeutralizer(max_bytes={self.max_bytes})"


def _neutralize(
    predictions: torch.Tensor, *, features: torch.Tensor, factor: EraFactor
) -> torch.Tensor:
    if predictions.ndim not in (1, 2) or len(predictions) != len(features):
        raise ValueError(
            f"predictions must have shape (n,) or (n, m) with the n = {len(features)} rows of "
            f"the features; found {tuple(predictions.shape)}."
        )
    if predictions.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"predictions must be float32 or float64; found {predictions.dtype}; cast them."
        )
    columns = predictions.reshape(len(predictions), -1)
    return NeutralPart.apply(columns, features, factor).reshape(predictions.shape)
