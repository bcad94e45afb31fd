"""Degenerate problems end in numbers with a certificate or in one sentence, never in an abort.

They run in a process of their own: a routine of LAPACK that gets an empty or non-finite operand
may end the process, which must be a failed test and not the end of all tests.
"""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from sknumerai._kernels import linalg
from sknumerai.exceptions import ConstantPredictionWarning, SolverError
from sknumerai.neutralization import clip_exposure

FAMILIES = """
    import warnings
    import numpy as np
    from sknumerai.exceptions import InfeasibleExposureError, SolverError
    from sknumerai.metrics import feature_neutral_corr, max_feature_exposure, numerai_corr
    from sknumerai.neutralization import clip_exposure, neutralize

    warnings.simplefilter("ignore")
    counts = {"solved": 0, "infeasible": 0, "unsolved": 0}

    def wild(r):
        F = r.normal(size=(12, 15)) * 10.0 ** r.uniform(-6, 6, 15) + 10.0 ** r.uniform(-3, 4, 15)
        return r.normal(size=12), F

    def tiny(r):
        return r.normal(size=30) * 1e-170, r.integers(0, 5, (30, 4)).astype(np.int8)

    def copies(r):
        F = r.normal(size=(20, 4))
        return r.normal(size=20), np.hstack([F, F, -F, F[:, :1] + 1e-9 * r.normal(size=(20, 1))])

    def constant(r):
        return r.normal(size=15), np.ones((15, 3)) * r.integers(0, 5, 3)

    def explained(r):
        F = r.normal(size=(40, 5))
        return F @ r.normal(size=5), F

    def one_row(r):
        return r.normal(size=1), r.normal(size=(1, 3))

    def huge(r):
        return r.normal(size=25) * 1e160, r.normal(size=(25, 6)) * 10.0 ** r.uniform(-150, 150, 6)

    for family in (wild, tiny, copies, constant, explained, one_row, huge):
        for seed in (0, 2, 4, 5, 7, 9):
            r = np.random.default_rng(seed)
            p, F = family(r)
            for limit in (0.0, 1e-3, 0.1):
                for bounds in ("symmetric", "shrink"):
                    for mode in ("warn", "raise"):
                        try:
                            _, info = clip_exposure(
                                p, F, limit, bounds=bounds, on_infeasible=mode, return_info=True
                            )
                            bad = [i for i in info if i.violation > 1e-9 or abs(i.gap) > 1e-9]
                            assert not bad, (family.__name__, seed, limit, bounds, bad)
                            counts["solved"] += 1
                        except InfeasibleExposureError as error:
                            assert "exposure limits leave nothing" in str(error)
                            assert not (limit == 0.0 and np.isfinite(error.multiple))
                            counts["infeasible"] += 1
                        except SolverError:
                            counts["unsolved"] += 1
            neutralize(p, F)
            max_feature_exposure(p, features=F)
            if len(p) > 1:
                feature_neutral_corr(np.arange(len(p)), p, features=F)
    print(counts)
"""


def run(code):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )


def test_no_abort_and_no_uncertified_number():
    done = run(FAMILIES)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-2000:]
    counts = eval(done.stdout)
    assert counts["solved"] > 300
    assert counts["infeasible"] > 60
    assert counts["unsolved"] == 0


@pytest.mark.parametrize("operand", [np.zeros((0, 0)), np.zeros((5, 0)), np.zeros((0, 5))])
def test_empty_operands_do_not_reach_lapack(operand, monkeypatch):
    for library in ("syrk", "potrf", "lapack"):
        monkeypatch.delattr(linalg, library)
    square = operand[:0, :0]
    linalg.lower_gram(operand)
    linalg.cholesky_factor(square)
    linalg.pivoted_cholesky(square)
    linalg.independent_columns(operand)
    linalg.triangular_factor(operand)
    assert linalg.cholesky_solve(square, np.zeros((0, 3))).shape == (0, 3)
    assert linalg.solve_upper(square, np.zeros((0, 2))).shape == (0, 2)
    assert linalg.least_squares(operand, np.zeros((len(operand), 2)), rcond=1e-6).shape[1] == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_operands_that_are_not_finite_are_refused(value):
    matrix = np.eye(4)
    matrix[2, 1] = value
    right = np.ones(4)
    for call in (
        lambda: linalg.lower_gram(matrix),
        lambda: linalg.cholesky_factor(matrix),
        lambda: linalg.pivoted_cholesky(matrix),
        lambda: linalg.independent_columns(matrix),
        lambda: linalg.triangular_factor(matrix),
        lambda: linalg.cholesky_solve(np.eye(4), matrix),
        lambda: linalg.solve_upper(np.eye(4), matrix),
        lambda: linalg.least_squares(matrix, right, rcond=1e-6),
        lambda: linalg.nonnegative_least_squares(matrix, right),
    ):
        with pytest.raises(SolverError, match="beyond the range of double precision"):
            call()


def test_large_finite_operands_are_finite():
    linalg.check_finite(np.full(10, 1e308))  # whose sum is not


def test_the_record_of_what_cannot_be_clipped():
    rng = np.random.default_rng(0)
    predictions, features = (
        np.column_stack([np.ones(30), rng.normal(size=30)]),
        rng.normal(size=(30, 3)),
    )
    with pytest.warns(ConstantPredictionWarning):
        clipped, (constant, other) = clip_exposure(predictions, features, 0.1, return_info=True)
    assert np.isnan(clipped[:, 0]).all()
    assert np.isfinite(clipped[:, 1]).all()
    for name in ("weights", "exposures_after"):
        assert np.isnan(getattr(constant, name)).all()
        assert getattr(constant, name).shape == (3,)
    assert (constant.exposures_before == 0.0).all()
    for name in ("correlation", "violation", "gap", "multiple"):
        assert np.isnan(getattr(constant, name))
    assert (constant.n_iter, constant.n_active) == (0, 0)
    assert (constant.prediction, other.prediction, other.multiple) == (0, 1, 1.0)
