import numpy as np
import pytest

from tests._reference import make_era


@pytest.fixture
def tournament():
    """Predictions, features and eras of three eras in mixed order."""
    rng = np.random.default_rng(0)
    parts = [make_era(rng, n, 8) for n in (120, 90, 150)]
    predictions = np.concatenate([part[0] for part in parts])
    predictions = np.column_stack([predictions, rng.normal(size=360)])
    features = np.concatenate([part[1] for part in parts])
    eras = np.repeat(["0001", "0002", "0003"], [120, 90, 150])
    order = rng.permutation(360)
    return predictions[order], features[order], eras[order]
