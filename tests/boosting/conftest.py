from types import SimpleNamespace

import numpy as np
import pytest

from sknumerai.datasets import make_tournament


@pytest.fixture(scope="package")
def data():
    """Training eras, and evaluation eras whose rows are in mixed order."""
    tournament = make_tournament(
        30, 200, 12, nonlinear_corr=0.1, random_state=0, as_frame=False, missing_features=0.0
    )
    X, y, eras = tournament.data.astype(np.float32), tournament.target, tournament.eras
    late = eras > "0018"
    order = np.random.default_rng(0).permutation(int(late.sum()))

    def rows(values):
        return np.ascontiguousarray(values[late][order])

    return SimpleNamespace(
        X=X[~late],
        y=y[~late],
        eras=eras[~late],
        X_valid=rows(X),
        y_valid=rows(y),
        eras_valid=rows(eras),
        meta_model=rows(tournament.meta_model),
    )
