"""Whole eras as batches of tensors, read from a table when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_array, column_or_1d

from sknumerai._era_loop import naming_era
from sknumerai._eras import EraGroups, name_era
from sknumerai._frames import Table, _count_bad
from sknumerai._typing import Array, ArrayLike, EraLabel
from sknumerai.neural_network._era_neutralizer import EraNeutralizer
from sknumerai.neural_network._era_source import EraSource

PLAIN_TARGET = 1e6  # targets of such sizes are used as they are
TOLERANCE = 1e-6  # relative to the range of features: a scaler may round its largest value up


def as_features(block: Array) -> torch.Tensor:
    """Rows of features as a tensor: int8 stays int8, everything else becomes single precision.

    It may share memory with the rows, so it must not be written to.
    """
    if block.dtype != np.int8:
        with np.errstate(over="ignore"):
            single = block.astype(np.float32, copy=False)
        if not np.isfinite(single).all():
            raise ValueError(
                f"X holds values of up to {np.abs(block).max():.3g}, too large for float32; "
                "scale them first."
            )
        block = single
    return torch.from_numpy(np.require(block, requirements=["C", "W"]))


class EraTarget(NamedTuple):
    """Targets of an era, its label, and what neutralizes its predictions."""

    values: torch.Tensor
    era: EraLabel
    neutralizer: EraNeutralizer


class EraDataset(torch.utils.data.Dataset):
    """Whole eras, read from a table when they are asked for.

    Parameters
    ----------
    table : Table or EraSource
        The features.
    targets : ndarray of shape (n_samples,)
    groups : EraGroups
    positions : ndarray of int
        Eras to hand out, as positions in ``groups.labels``.
    neutralizer : EraNeutralizer
        Keeps the factors of the eras for as long as the dataset lives.
    validation : EraDataset, optional
        Eras to validate on after every epoch.
    """

    def __init__(
        self,
        table: Table | EraSource,
        targets: Array,
        groups: EraGroups,
        positions: Array,
        neutralizer: EraNeutralizer,
        validation: EraDataset | None = None,
    ):
        self.table = table
        self.targets = targets
        self.groups = groups
        self.positions = positions
        self.neutralizer = neutralizer
        self.validation = validation
        self._memory = torch.empty(0)

    def memory(self, features: torch.Tensor) -> torch.Tensor:
        """The same memory each time, for single-precision features of that shape and device.

        Allocating it for every era would take longer than filling it.
        """
        if len(self._memory) < features.numel():
            self._memory = torch.empty(features.numel(), device=features.device)
        return self._memory[: features.numel()].view(features.shape)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, EraTarget]:
        """Features of shape (n, k) and the target of one era."""
        position = self.positions[number]
        era, rows = self.groups.labels[position], self.groups.rows[position]
        with naming_era(era):
            features = as_features(self.table.era(era, rows))
        targets = torch.tensor(self.targets[rows], dtype=torch.float32)
        return features, EraTarget(targets, era, self.neutralizer)

    def read(self, numbers: Iterable[int]) -> Iterator[tuple[torch.Tensor, EraTarget]]:
        """Some eras one by one; from a file, the next one is read while one is in use."""
        if isinstance(self.table, EraSource):
            return self.table.ahead(self.__getitem__, numbers)
        return map(self.__getitem__, numbers)


class EraBatches:
    """The eras of a dataset one by one, on a device, as they enter a network.

    Features are valid until the next era is asked for, which reuses their memory.

    Parameters
    ----------
    dataset : EraDataset
    device : str
    scaled : callable
        Scales features, into memory of their shape.
    shuffle : bool
        Whether to draw a new order for every pass.
    """

    def __init__(
        self,
        dataset: EraDataset,
        device: str,
        scaled: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        shuffle: bool,
    ):
        self.dataset = dataset
        self.device = device
        self.scaled = scaled
        self.shuffle = shuffle

    def __iter__(self) -> Iterator[tuple[torch.Tensor, EraTarget]]:
        n_eras = len(self.dataset)
        order = torch.randperm(n_eras).tolist() if self.shuffle else range(n_eras)
        for features, target in self.dataset.read(order):
            features = features.to(self.device)
            yield (
                self.scaled(features, self.dataset.memory(features)),
                target._replace(values=target.values.to(self.device)),
            )


def read_targets(y: ArrayLike, groups: EraGroups) -> Array:
    """Targets of shape (n_samples,), finite, at least two in every era."""
    targets = check_array(
        y,
        dtype=[np.float64, np.float32],
        ensure_2d=False,
        ensure_all_finite=False,
        input_name="y",
    )
    targets = column_or_1d(targets, warn=True)
    bad = np.flatnonzero(~np.isfinite(targets))
    if len(bad):
        raise ValueError(
            f"y contains {_count_bad(targets)}, first at row {bad[0]}, "
            f"{name_era(groups.label_of_row(bad[0]))}; leave out rows without a target."
        )
    # correlations do not mind the unit, in which single precision can square the targets
    largest = float(np.abs(targets).max())
    if largest > 0.0 and not 1.0 / PLAIN_TARGET < largest < PLAIN_TARGET:
        targets = targets / 2.0 ** (np.frexp(largest)[1] - 1)
    single: Array = targets.astype(np.float32)
    for label, rows in zip(groups.labels, groups.rows, strict=True):
        n_rows = len(targets[rows])
        if n_rows == 1:
            raise ValueError(
                f"There is 1 sample in {name_era(label)} and a correlation needs two or more; "
                "leave out eras of a single row."
            )
    return single


def feature_scaling(table: Table | EraSource, groups: EraGroups) -> tuple[float, float]:
    """Scale and offset with which features enter the network."""
    blocks = (
        table.eras() if isinstance(table, EraSource) else map(table.era, groups.labels, groups.rows)
    )
    lowest, highest = np.inf, -np.inf
    for label in groups.labels:
        with naming_era(label):
            block = next(blocks)
        lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
    if lowest >= -TOLERANCE and highest <= 1.0 + TOLERANCE:
        return 1.0, -0.5
    if lowest >= -TOLERANCE and highest <= 4.0 * (1.0 + TOLERANCE):
        return 0.25, -0.5
    return 1.0, 0.0
