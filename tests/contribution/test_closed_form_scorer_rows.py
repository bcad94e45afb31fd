"""Hessians with one value per row: cut by era, and refused where the rows are those of a fold."""

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_validate

from sknumerai.contribution import ClosedFormTC, closed_form_tc
from sknumerai.model_selection import PurgedEraKFold

N_ERAS, N = 6, 20
RNG = np.random.default_rng(0)
ERAS = RNG.permutation(np.repeat([f"{era:04d}" for era in range(1, N_ERAS + 1)], N))
X = RNG.normal(size=(N_ERAS * N, 3))
Y = X[:, 0] + RNG.normal(size=N_ERAS * N)
META_MODEL = 0.3 * Y + RNG.normal(size=N_ERAS * N)
DIAGONAL = np.exp(0.3 * RNG.normal(size=N_ERAS * N))
HESSIANS = {"diagonal": DIAGONAL, "low rank": (DIAGONAL, X[:, :2])}


@pytest.mark.parametrize("name", HESSIANS)
def test_rows_of_an_era(name):
    model, hessian = Ridge().fit(X, Y), HESSIANS[name]
    expected = closed_form_tc(model.predict(X), META_MODEL, Y, hessian=hessian, eras=ERAS)
    score = ClosedFormTC(hessian=hessian)(model, X, Y, eras=ERAS, meta_model=META_MODEL)
    assert score == pytest.approx(expected.mean())


@pytest.mark.parametrize("name", HESSIANS)
def test_rows_of_a_fold(name):
    sklearn.set_config(enable_metadata_routing=True)

    def scores(hessian):
        return cross_validate(
            Ridge(),
            X,
            Y,
            cv=PurgedEraKFold(3, purge=0),
            scoring=ClosedFormTC(hessian=hessian),
            params={"eras": ERAS, "meta_model": META_MODEL},
            error_score="raise",
        )["test_score"]

    hessian = HESSIANS[name]
    with pytest.raises(ValueError, match=r"has 120 rows for 40; .* dict of era to Hessian \(in cr"):
        scores(hessian)
    parts = hessian if isinstance(hessian, tuple) else (hessian,)
    by_era = {era: tuple(part[era == ERAS] for part in parts) for era in np.unique(ERAS)}
    if name == "diagonal":
        by_era = {era: part for era, (part,) in by_era.items()}
    assert np.isfinite(scores(by_era)).all()
