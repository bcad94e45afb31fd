"""Numbers of any size, limits that move with their multiple, records of what is returned."""

import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from sknumerai._kernels.linalg import one_thread
from sknumerai.exceptions import InfeasibleExposureError, SolverError
from sknumerai.metrics import corr_with, max_feature_exposure, numerai_corr
from sknumerai.neutralization import ExposureClipper, clip_exposure, neutralize
from tests._reference import make_era

SCALES = [1e-200, 1e-100, 1e-30, 1e30, 1e80, 1e155, 1e160, 1e200]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.int8, np.float64])
def test_the_scale_of_a_prediction_does_not_matter(scale, dtype):
    prediction, features = make_era(np.random.default_rng(0), 200, 8)
    features = features.astype(dtype) * (1 if dtype == np.int8 else np.pi)
    target = np.random.default_rng(1).normal(size=200)
    scaled = prediction * scale
    np.testing.assert_allclose(
        neutralize(scaled, features) / scale, neutralize(prediction, features), atol=1e-12
    )
    clipped = clip_exposure(scaled, features, 0.05)
    np.testing.assert_allclose(
        clipped / scale, clip_exposure(prediction, features, 0.05), atol=1e-10
    )
    assert max_feature_exposure(clipped, features=features) <= 0.05 + 1e-9
    expected = max_feature_exposure(prediction, features=features)
    assert max_feature_exposure(scaled, features=features) == pytest.approx(expected, rel=1e-12)
    for method in ("numerai", "pearson", "spearman"):
        expected = corr_with(prediction, target, method=method)
        assert corr_with(scaled, target, method=method) == pytest.approx(expected, rel=1e-9)
        other = corr_with(prediction, target * scale, method=method)
        assert other == pytest.approx(expected, rel=1e-9)
    expected = numerai_corr(target, prediction)
    assert numerai_corr(target * scale, prediction) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e11])
@pytest.mark.parametrize("scale", [2.0**-500, 2.0**-10, 1.0, 2.0**500])
def test_the_scale_and_offset_of_features_do_not_matter(offset, scale):
    prediction, features = make_era(np.random.default_rng(0), 200, 8)
    plain = features + np.random.default_rng(2).normal(size=features.shape)
    moved = (plain + offset) * scale
    given_back = moved / scale - offset  # with the digits that the offset leaves
    expected = max_feature_exposure(prediction, features=given_back)
    found = max_feature_exposure(prediction, features=moved)
    assert found == pytest.approx(expected, abs=1e-9)
    clipped = clip_exposure(prediction, moved, 0.05)
    np.testing.assert_allclose(clipped, clip_exposure(prediction, given_back, 0.05), atol=1e-8)
    residual = clip_exposure(prediction, moved, 0.0)
    assert max_feature_exposure(residual, features=given_back) < 1e-9


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 60),
    k=st.integers(1, 20),
    exponent=st.integers(-200, 200),
    limit=st.sampled_from([0.0, 1e-3, 0.05, 0.3]),
    bounds=st.sampled_from(["symmetric", "shrink"]),
    spread=st.sampled_from([0.0, 3.0, 100.0]),
)
def test_what_is_returned_is_inside_its_limits_or_refused(
    seed, n, k, exponent, limit, bounds, spread
):
    """The certificate, from the numbers returned, by plain numpy."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(n, k))
    if k > 2:
        base[:, -1] = base[:, 0] - base[:, 1]
    features = base * 10.0 ** rng.uniform(-spread, spread, k)
    prediction = rng.normal(size=n) * 10.0**exponent
    try:
        clipped, info = clip_exposure(prediction, features, limit, bounds=bounds, return_info=True)
    except InfeasibleExposureError:
        assert n <= k + 2 or limit == 0.0 or n < 25
        return
    q = clipped / np.abs(clipped).max()
    q = q - q.mean()
    x = base - base.mean(axis=0)
    exposures = (x / np.linalg.norm(x, axis=0)).T @ (q / np.linalg.norm(q))
    assert np.abs(exposures).max() <= limit + 1e-8
    np.testing.assert_allclose(info[0].exposures_after, exposures, atol=1e-8)
    if bounds == "shrink":
        before = info[0].exposures_before
        assert (exposures * np.sign(before) >= -1e-8).all()
        assert (np.abs(exposures) <= np.abs(before) + 1e-8).all()


def _works(prediction, features, limit):
    try:
        clip_exposure(prediction, features, limit, bounds="shrink")
    except InfeasibleExposureError:
        return False
    except SolverError:  # close to the smallest multiple what is left has few digits
        pass
    return True


def test_smallest_multiple_of_limits_that_move_with_it():
    n_infeasible = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(6, 14))
        prediction, features = rng.normal(size=n), rng.normal(size=(n, n + int(rng.integers(0, 4))))
        limit = 10.0 ** rng.uniform(-2.5, -0.3)
        try:
            clip_exposure(prediction, features, limit, bounds="shrink")
            continue
        except InfeasibleExposureError as error:
            found = error.multiple
        if np.isinf(found):
            continue
        n_infeasible += 1
        assert _works(prediction, features, limit * found * 1.001)
        smaller = np.geomspace(1.0, found * 0.999, 12)
        assert not any(_works(prediction, features, limit * multiple) for multiple in smaller)
        with pytest.warns(UserWarning, match="were widened"):
            _, info = clip_exposure(
                prediction,
                features,
                limit,
                bounds="shrink",
                on_infeasible="warn",
                return_info=True,
            )
        assert info[0].multiple == pytest.approx(1.01 * found, rel=1e-9)
    assert n_infeasible > 20


@pytest.mark.parametrize(
    ("dtype", "mean"), [(np.float32, 0.5), (np.float64, 1e6), (np.float64, 1e11), (np.float32, 1e3)]
)
def test_the_record_is_of_what_is_returned(dtype, mean):
    prediction, features = make_era(np.random.default_rng(3), 300, 10)
    given_dtype = (prediction / prediction.std() + mean).astype(dtype)
    clipped, info = clip_exposure(given_dtype, features, 0.05, return_info=True)
    assert clipped.dtype == dtype
    values = clipped.astype(np.float64)
    values -= values.mean()
    x = features - features.mean(axis=0)
    exposures = (x / np.linalg.norm(x, axis=0)).T @ values / np.linalg.norm(values)
    np.testing.assert_allclose(info[0].exposures_after, exposures, atol=2e-10)
    assert info[0].violation == pytest.approx(max(np.abs(exposures).max() - 0.05, 0), abs=2e-10)


def test_limits_of_a_series_go_by_label():
    prediction, features = make_era(np.random.default_rng(4), 300, 3)
    frame = pd.DataFrame(features, columns=["a", "b", "c"])
    limits = {"c": 0.01, "a": 0.2, "b": 0.0}
    expected = clip_exposure(prediction, frame, limits)
    np.testing.assert_array_equal(clip_exposure(prediction, frame, pd.Series(limits)), expected)
    clipper = ExposureClipper(pd.Series(limits), normalize=None, scale=None)
    found = clipper.fit_transform(prediction[:, None], features=frame)[:, 0]
    np.testing.assert_array_equal(found, expected)
    for changed, message in [
        ({"a": 0.1, "b": 0.1, "d": 0.1}, r"1 unknown, first 'd'; 1 of 3 missing, first 'c'"),
        ({"a": 0.1, "b": 0.1}, r"1 of 3 missing, first 'c'"),
    ]:
        with pytest.raises(ValueError, match=message):
            clip_exposure(prediction, frame, pd.Series(changed))
    twice = pd.Series([0.1] * 4, index=list("abca"))
    with pytest.raises(ValueError, match="some twice"):
        clip_exposure(prediction, frame, twice)


def _threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_threads_of_blas_are_as_before():
    """The limit belongs to the process: calls that overlap must not leave it behind."""
    prediction, features = make_era(np.random.default_rng(5), 400, 20)
    before = _threads()

    def work():
        for _ in range(5):
            neutralize(prediction, features)
            clip_exposure(prediction, features, 0.05)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _threads() == before


def test_the_last_to_leave_lifts_the_limit():
    with threadpool_limits(2, user_api="blas"):
        before = _threads()
        first, second = one_thread(), one_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert set(_threads()) == {1}
        second.__exit__(None, None, None)
        assert _threads() == before
