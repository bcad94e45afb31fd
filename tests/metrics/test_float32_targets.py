"""Targets of the real files are float32. numerai-tools counts in that; here it is float64."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.metrics._catalogue import OFFICIAL, OURS
from tests.metrics._tournament import make_table, reorder

DOCUMENTED = 2e-8  # in eras of a hundred rows and more; docs/user_guide/scoring.rst
OTHERS = {"alpha": 1e-6, "payout": 1e-6}  # sums of products: not on the scale of a correlation
SCORES = ["numerai_corr", "fnc", "mmc", "neutral_corr", "neutral_contribution", *OTHERS]


def with_targets(table, dtype):
    return SimpleNamespace(**vars(table) | {"target": table.target.astype(dtype)})


@pytest.fixture(params=range(3))
def tables(request):
    """The same rows with targets of both types, in the order that numerai-tools wants."""
    table = make_table(n_eras=1, n=120, seed=request.param)
    table = reorder(table, np.argsort(table.target.index))
    return with_targets(table, np.float32), with_targets(table, np.float64)


@pytest.mark.parametrize("name", SCORES)
def test_scores_do_not_depend_on_the_type_of_targets(name, tables):
    narrow, wide = tables
    assert OURS[name](narrow).tolist() == OURS[name](wide).tolist()


@pytest.mark.parametrize("name", SCORES)
def test_official_scores_do_by_as_much_as_is_documented(name, tables):
    narrow, wide = tables
    ours = OURS[name](narrow)
    tolerance = OTHERS.get(name, DOCUMENTED)
    np.testing.assert_allclose(ours, OFFICIAL[name](narrow), rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours, OFFICIAL[name](wide), rtol=0, atol=1e-12)


def test_official_scores_are_less_exact():
    """Else the documentation need not speak of it."""
    differences = []
    for seed in range(5):
        table = make_table(n_eras=1, n=120, seed=seed)
        table = reorder(table, np.argsort(table.target.index))
        official = OFFICIAL["numerai_corr"](with_targets(table, np.float32))
        differences.append(np.abs(official - OFFICIAL["numerai_corr"](table)).max())
    assert max(differences) > 1e-9
