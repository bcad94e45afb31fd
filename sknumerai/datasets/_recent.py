"""What a download of today holds beside the rows of an older one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sknumerai._kernels.horizons import horizon_of
from sknumerai._kernels.purging import DAYS_PER_ERA
from sknumerai.datasets._generator import Era, TournamentGenerator

MAIN_TARGET = "target_ender_60"  # of which "target" is another name


class RecentEra(NamedTuple):
    """Columns of an era by name, and what is known of it."""

    data_type: str
    targets: dict[str, np.ndarray]
    benchmark_models: dict[str, np.ndarray]
    has_meta_model: bool


def recent_era(generator: TournamentGenerator, number: int, era: Era) -> RecentEra:
    """Targets, benchmark models and data type of an era as version v5.3 has them.

    Targets of the last validation eras are not known yet, whose number follows from the horizon;
    the meta model begins in the middle of the validation eras.
    """
    targets, models = generator.auxiliary(number, era)
    is_validation = generator.n_train_eras <= number < generator.n_eras
    for name, target in targets.items():
        horizon = horizon_of([name])
        if is_validation and number >= generator.n_eras - horizon // DAYS_PER_ERA:
            targets[name] = np.full_like(target, np.nan)
    targets = {"target": targets[MAIN_TARGET]} | targets
    unknown = is_validation and bool(np.isnan(targets["target"]).all())
    first = generator.n_train_eras + generator.n_validation_eras // 2
    return RecentEra(
        data_type="test" if unknown else era.data_type,
        targets=targets,
        benchmark_models=models,
        has_meta_model=is_validation and number >= first,
    )
