"""All scores equal those of numerai-tools, which wants one era, sorted by id."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sknumerai.metrics._catalogue import METRICS
from tests.metrics._catalogue import OFFICIAL, OURS, STAKES
from tests.metrics._tournament import make_table, reorder, select


def by_era(table, score):
    """Official score of every era; rows sorted by id, as numerai-tools asks for."""
    scores = {}
    for era in sorted(table.eras.unique()):
        rows = select(table, (table.eras == era).to_numpy())
        scores[era] = score(reorder(rows, np.argsort(rows.target.index)))
    return pd.DataFrame(scores).T


def assert_same(ours, official):
    np.testing.assert_allclose(ours, official, rtol=0, atol=1e-9)
    assert ours.index.tolist() == official.index.tolist()
    assert ours.columns.tolist() == official.columns.tolist()


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("seed", range(2))
def test_equals_the_official_score(name, seed):
    table = make_table(seed=seed)
    # ties at a cut go by the order of rows, which numerai-tools has sorted
    table = reorder(table, np.argsort(table.target.index)) if name.endswith("_tb") else table
    ours = OURS[name](table, eras=table.eras, aggregate=None)
    assert_same(ours, by_era(table, OFFICIAL[name]))


@pytest.mark.parametrize("name", ["mmc", "neutral_contribution", "mmc_tb"])
def test_targets_beyond_one_are_not_rescaled(name):
    table = make_table(scale=4.0, n_eras=1)
    table = reorder(table, np.argsort(table.target.index))
    ours = OURS[name](table)
    np.testing.assert_allclose(ours, OFFICIAL[name](table), rtol=0, atol=1e-9)
    within = SimpleNamespace(**vars(table) | {"target": table.target / 4})
    np.testing.assert_allclose(ours, OURS[name](within), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in OURS if not n.endswith("_tb")])
def test_equals_the_official_score_on_real_rows(name, shared_data):
    pytest.importorskip("pyarrow", reason="needs pyarrow to read the real data")
    real = pd.read_parquet(shared_data / "numerai_2018_08.parquet")
    real = real[real["region"] < 2]
    real = real[real["era"] <= 25]
    eras = real["era"]
    columns = ["x1", "x2", "x3", "x4", "x5"]
    rng = np.random.default_rng(0)
    table = SimpleNamespace(
        target=real["bernie"].astype(float),
        predictions=real[["x11", "x12", "x13"]].set_axis(list(STAKES), axis=1),
        features=real[columns],
        meta_model=real["x20"],
        example=real["x21"],
        neutralizers=real[["x22", "x23"]],
        weights=pd.Series(rng.uniform(0.5, 1.5, len(real)), real.index),
        eras=eras,
        stocks=eras,
    )
    ours = OURS[name](table, eras=eras, aggregate=None)
    assert_same(ours, by_era(table, OFFICIAL[name]))


def test_every_metric_with_a_counterpart_is_compared():
    counterparts = {
        name
        for name, metric in METRICS.items()
        if (metric.official or "").startswith("scoring.") and not metric.options
    }
    assert counterparts <= OFFICIAL.keys() == OURS.keys()
