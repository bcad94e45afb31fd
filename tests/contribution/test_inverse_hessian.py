"""All ways to give a Hessian agree with the dense one, and with none a bad one passes."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.base import clone

from sknumerai.contribution import closed_form_tc
from sknumerai.contribution._inverse_hessian import inverse_hessian
from sknumerai.exceptions import SolverError
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._risk_data import RiskData
from tests.contribution._objectives import FORMS, make_hessian, make_program, make_users

N, K = 12, 3
AVERSION, L2 = 1.7, 0.4


def make_risk(seed=0, n=N):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(K, K))
    return {
        "specific_variance": np.exp(rng.normal(size=n)),
        "factor_loadings": rng.normal(size=(n, K)),
        "factor_covariance": root @ root.T,
    }


def representations(risk):
    """One Hessian, γ(D + BΩBᵀ) + λI, in every form; the first is dense."""
    variance, loadings, covariance = risk.values()
    diagonal = AVERSION * variance + L2
    dense = np.diag(diagonal) + AVERSION * loadings @ covariance @ loadings.T
    optimizer = PortfolioOptimizer(budget=None, risk_aversion=AVERSION, l2_coef=L2)
    n = len(diagonal)
    return {
        "dense": dense,
        "frame": pd.DataFrame(dense),
        "float32": dense.astype(np.float32),
        "list": dense.tolist(),
        "loadings": (diagonal, np.sqrt(AVERSION) * loadings @ np.linalg.cholesky(covariance)),
        "covariance": (diagonal, loadings, AVERSION * covariance),
        "sparse array": sparse.csr_array(dense),
        "sparse matrix": sparse.csc_matrix(dense),
        "operator": aslinearoperator(dense),
        "product": LinearOperator(
            (n, n),
            matvec=lambda v: diagonal * v + AVERSION * loadings @ (covariance @ (loadings.T @ v)),
        ),
        "fitted": clone(optimizer).fit(np.zeros(n), **risk),
        "dict": {None: dense},
        "dict of tuple": {None: (diagonal, loadings, AVERSION * covariance)},
    }


REPRESENTATIONS = list(representations(make_risk()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_representations_agree(name, form):
    users, forms = make_users(), representations(make_risk())
    args = users.predictions, users.meta_model, users.returns
    expected = closed_form_tc(*args, hessian=forms["dense"], form=form)
    found = closed_form_tc(*args, hessian=forms[name], form=form)
    tolerance = 1e-5 if name == "float32" else 1e-10
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "hessian",
    [
        2.5,
        np.float32(2.5),
        np.full(N, 2.5),
        [2.5] * N,
        pd.Series(np.full(N, 2.5)),
        2.5 * np.eye(N),
        (np.full(N, 2.5), np.zeros((N, 0))),
        (np.full(N, 2.5), np.ones((N, 2)), np.zeros((2, 2))),
        sparse.eye_array(N, format="csr") * 2.5,
        PortfolioOptimizer(budget=None, risk_aversion=2.5),
    ],
    ids=lambda hessian: type(hessian).__name__,
)
def test_multiples_of_the_identity_agree(hessian, form):
    users = make_users()
    args = users.predictions, users.meta_model, users.returns
    expected = closed_form_tc(*args, hessian=2.5 * np.eye(N), form=form)
    found = closed_form_tc(*args, hessian=hessian, form=form)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_representations_agree_on_several_eras(form):
    """Arrays with a row per sample are cut; the rest comes in a dict, keyed by era."""
    rng = np.random.default_rng(1)
    labels = ["0002", "0001", "0003"]
    eras = rng.permutation(np.repeat(labels, [7, 10, 8]))
    risk = make_risk(1, len(eras))
    covariances = {label: (1.0 + i) * risk["factor_covariance"] for i, label in enumerate(labels)}
    rows = {label: np.flatnonzero(eras == label) for label in labels}
    per_era = {
        label: representations(
            {
                "specific_variance": risk["specific_variance"][rows[label]],
                "factor_loadings": risk["factor_loadings"][rows[label]],
                "factor_covariance": covariances[label],
            }
        )
        for label in labels
    }
    predictions, (model, returns) = rng.normal(size=(25, 4)), rng.normal(size=(2, 25))

    def score(hessian, **risk):
        return closed_form_tc(
            predictions, model, returns, hessian=hessian, form=form, eras=eras, **risk
        )

    expected = score({label: per_era[label]["dense"] for label in labels})
    assert list(expected.index) == sorted(labels)
    mixed = {
        "0001": per_era["0001"]["sparse array"],
        "0002": per_era["0002"]["fitted"],
        "0003": per_era["0003"]["covariance"],
    }
    roots = np.empty((25, K))
    for label in labels:
        roots[rows[label]] = risk["factor_loadings"][rows[label]] @ np.linalg.cholesky(
            AVERSION * covariances[label]
        )
    optimizer = PortfolioOptimizer(budget=None, risk_aversion=AVERSION, l2_coef=L2)
    for found in (
        score(mixed),
        score((AVERSION * risk["specific_variance"] + L2, roots)),
        score(optimizer, **(risk | {"factor_covariance": covariances})),
    ):
        pd.testing.assert_frame_equal(found, expected, rtol=1e-10)

    diagonal = np.exp(rng.normal(size=25))
    by_era = {label: np.diag(diagonal[rows[label]]) for label in labels}
    pd.testing.assert_frame_equal(score(diagonal), score(by_era), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("program", ["bounds", "leverage", "all"])
def test_fitted_optimizer_is_used_where_it_was_fitted(program, form):
    users = make_users()
    optimizer, risk = make_program(program)
    model = users.meta_model
    args = users.predictions, model, users.returns
    normalized = form in ("current", "aligned_normalized")
    points = {True: model / np.linalg.norm(model), False: model}
    fitted = clone(optimizer).fit(points[normalized], **risk)
    expected = closed_form_tc(*args, hessian=optimizer, form=form, **risk)
    found = closed_form_tc(*args, hessian=fitted, form=form)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-10)
    elsewhere = clone(optimizer).fit(-2.0 * model, **risk)
    other = closed_form_tc(*args, hessian=elsewhere, form=form)
    assert np.abs(other - expected).to_numpy().max() > 1e-3


def test_unfitted_optimizer_is_left_unfitted():
    users = make_users()
    optimizer = PortfolioOptimizer()
    before = optimizer.get_params()
    closed_form_tc(users.predictions, users.meta_model, users.returns, hessian=optimizer)
    assert not hasattr(optimizer, "weights_")
    assert optimizer.get_params() == before


@pytest.mark.parametrize("name", [n for n in REPRESENTATIONS if not n.startswith("dict")])
def test_solves_the_system(name):
    forms = representations(make_risk())
    solve = inverse_hessian(forms[name], N, np.zeros(N), RiskData(N))
    for vector in np.random.default_rng(0).normal(size=(3, N)):
        kept = vector.copy()
        tolerance = 1e-5 if name == "float32" else 1e-10
        np.testing.assert_allclose(
            forms["dense"] @ solve(vector), vector, rtol=tolerance, atol=tolerance
        )
        np.testing.assert_array_equal(vector, kept)
    np.testing.assert_array_equal(solve(np.zeros(N)), np.zeros(N))


def test_badly_conditioned_but_regular():
    """Condition 1e8: six digits are left, from any representation."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(N, N)))[0]
    values = np.geomspace(1e-4, 1e4, N)
    dense = (axes * values) @ axes.T
    dense = (dense + dense.T) / 2
    vector = rng.normal(size=N)
    expected = axes @ ((axes.T @ vector) / values)
    for hessian in (dense, sparse.csr_array(dense), aslinearoperator(dense)):
        found = inverse_hessian(hessian, N, vector)(vector)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


# --- what is refused ------------------------------------------------------------------------------

DIAGONAL, LOADINGS = np.linspace(0.5, 2.0, N), np.random.default_rng(0).normal(size=(N, K))
DENSE = make_hessian()
INDEFINITE = DENSE - 2.0 * np.eye(N)
SINGULAR = np.ones((N, N))


def with_nan(values):
    values = np.array(values, dtype=float)
    values.flat[0] = np.nan
    return values


def refused(hessian, message, error=ValueError):
    users = make_users()
    for form in FORMS:
        with pytest.raises(error, match=message):
            closed_form_tc(
                users.predictions, users.meta_model, users.returns, hessian=hessian, form=form
            )


@pytest.mark.parametrize("hessian", [0.0, -1.0, np.r_[0.0, DIAGONAL[1:]], -DIAGONAL])
def test_numbers_that_are_not_positive(hessian):
    count = int((np.asarray(hessian) <= 0.0).sum())
    refused(hessian, f"not positive definite: {count} values of its diagonal are not positive")


@pytest.mark.parametrize("hessian", [np.nan, np.inf, with_nan(DENSE)])
def test_numbers_that_are_not_finite(hessian):
    refused(hessian, "hessian contains 1 values that are NaN or infinite")


@pytest.mark.parametrize(
    ("hessian", "message"),
    [
        (with_nan(DIAGONAL), "hessian contains 1 NaN of 12"),
        ((with_nan(DIAGONAL), LOADINGS), "hessian's diagonal contains 1 NaN of 12"),
        ((DIAGONAL, with_nan(LOADINGS)), "hessian's loadings contains 1 NaN of 36"),
        ((DIAGONAL, LOADINGS, with_nan(np.eye(K))), "hessian's covariance contains 1 values"),
        (DIAGONAL[:5], "hessian has 5 rows for 12"),
        (DENSE[:5, :5], r"hessian has shape \(5, 5\) for 12 stocks; it must be \(12, 12\)"),
        (DENSE[:5], r"hessian has shape \(5, 12\) for 12 stocks"),
        (np.ones((2, N, N)), r"hessian has shape \(2, 12, 12\)"),
        (sparse.csr_array(DENSE[:5]), r"hessian has shape \(5, 12\) for 12 stocks"),
        (aslinearoperator(DENSE[:5, :5]), r"hessian has shape \(5, 5\) for 12 stocks"),
        (PortfolioOptimizer().fit(np.arange(5.0)), r"hessian has shape \(5, 5\) for 12 stocks"),
        ((DIAGONAL[:5], LOADINGS), "hessian's diagonal has 5 rows for 12"),
        ((DIAGONAL, LOADINGS[:5]), "hessian's loadings has 5 rows for 12"),
        ((DIAGONAL, LOADINGS[:, 0]), r"hessian's loadings have shape \(12,\) for 12 stocks"),
        ((DIAGONAL, LOADINGS, np.eye(5)), r"hessian's covariance has shape \(5, 5\) for 3"),
        ((DIAGONAL, LOADINGS, np.ones(K)), r"hessian's covariance has shape \(3,\) for 3"),
        ((DIAGONAL, LOADINGS, np.eye(K), 1.0), "hessian is a tuple of 4; pass"),
        ({"0001": DENSE}, "hessian has no entry for None; it has 1 .*key it by the eras' labels"),
    ],
)
def test_shapes_and_values(hessian, message):
    refused(hessian, message)


@pytest.mark.parametrize("as_form", [np.asarray, sparse.csr_array, aslinearoperator])
@pytest.mark.parametrize("matrix", [SINGULAR, np.zeros((N, N)), INDEFINITE, -DENSE])
def test_matrices_that_are_not_positive_definite(matrix, as_form):
    refused(as_form(matrix), "hessian is singular or indefinite")


def test_matrix_that_is_singular_to_working_precision():
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0]
    matrix = (axes * np.r_[1e-15, np.ones(N - 1)]) @ axes.T
    refused((matrix + matrix.T) / 2, "hessian is singular")


def test_parts_that_are_not_positive():
    refused((np.r_[0.0, DIAGONAL[1:]], LOADINGS), "1 values of its diagonal are not positive")
    covariance = np.diag([1.0, 1.0, -0.1])
    refused((DIAGONAL, LOADINGS, covariance), "hessian's covariance has a negative eigenvalue")


def test_asymmetric():
    asymmetric = DENSE + np.triu(np.ones((N, N)), 1)
    refused(asymmetric, r"hessian is not symmetric; pass \(H \+ H.T\) / 2")
    for form in (sparse.csr_array, aslinearoperator):
        refused(form(asymmetric), "not symmetric", SolverError)
    rounding = DENSE + 1e-14 * np.triu(np.ones((N, N)), 1)
    assert np.isfinite(inverse_hessian(rounding, N, np.zeros(N))(np.ones(N))).all()


def test_eras_without_their_hessian():
    users = make_users()
    args = users.predictions, users.meta_model, users.returns
    eras = np.repeat(["0001", "0002"], N // 2)
    with pytest.raises(ValueError, match=r"In era 0001: hessian has shape \(12, 12\) for 6 stocks"):
        closed_form_tc(*args, hessian=DENSE, eras=eras)
    with pytest.raises(ValueError, match=r"In era 0002: hessian has no entry for 0002; it has 1"):
        closed_form_tc(*args, hessian={"0001": np.eye(6)}, eras=eras)
    bad = {"0001": np.eye(6), "0002": -np.eye(6)}
    with pytest.raises(ValueError, match="In era 0002: hessian is singular or indefinite"):
        closed_form_tc(*args, hessian=bad, eras=eras)


@pytest.mark.parametrize(
    ("hessian", "message"),
    [
        ((DIAGONAL,), "hessian is a tuple of 1; pass"),
        ((DIAGONAL, LOADINGS, np.eye(K) + np.triu(np.ones((K, K)), 1)), "covariance is not symm"),
        (sparse.csr_array(with_nan(DENSE)), "hessian contains 1 values that are NaN or infinite"),
        (aslinearoperator(with_nan(DENSE)), "hessian's product with a vector is NaN"),
        (None, "hessian is None; pass a number, an array"),
        ("identity", "hessian is 'identity'; pass a number, an array"),
        (PortfolioOptimizer(risk_aversion=-1.0), "'risk_aversion' parameter"),
    ],
)
def test_sentences(hessian, message):
    refused(hessian, message)


def test_ids_of_a_diagonal_in_another_order():
    users = make_users()
    ids = pd.Index([f"id{i}" for i in range(N)])
    with pytest.raises(ValueError, match="indexes of predictions and hessian share"):
        closed_form_tc(
            pd.DataFrame(users.predictions, index=ids),
            pd.Series(users.meta_model, index=ids),
            pd.Series(users.returns, index=ids),
            hessian=pd.Series(DIAGONAL, index=ids[::-1]),
        )


def test_risk_data_beside_a_hessian():
    users = make_users()
    with pytest.raises(ValueError, match="specific_variance: risk data were given beside a Hess"):
        closed_form_tc(
            users.predictions,
            users.meta_model,
            users.returns,
            hessian=DENSE,
            specific_variance=DIAGONAL,
        )
