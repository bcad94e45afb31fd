import numpy as np
import pytest
from scipy.stats import norm, rankdata

from sknumerai.contribution._users import BLOCK, UserSignals


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def reference(predictions, gaussianize):
    """Signals of shape (n, n_users), in one piece and in double precision."""
    values = np.asarray(predictions, dtype=np.float64)
    if not gaussianize:
        return values
    return norm.ppf((rankdata(values, axis=0) - 0.5) / len(values))


def make_predictions(rng, dtype, n=40, n_users=7):
    """Predictions with ties; of floats no more than a few."""
    if np.dtype(dtype).kind == "f":
        return rng.integers(-200, 200, (n, n_users)).astype(dtype) / dtype(8)
    if np.dtype(dtype).kind == "b":
        return rng.random((n, n_users)) < 0.4
    return rng.integers(0, 5, (n, n_users)).astype(dtype)


@pytest.mark.parametrize("gaussianize", [True, False])
@pytest.mark.parametrize(
    "dtype", [np.float64, np.float32, np.float16, np.int8, np.uint16, np.bool_]
)
def test_signals_and_their_products(rng, dtype, gaussianize):
    predictions = make_predictions(rng, dtype)
    expected = reference(predictions, gaussianize)
    for layout in (np.ascontiguousarray, np.asfortranarray):
        users = UserSignals(layout(predictions), gaussianize=gaussianize)
        block = users.block(slice(0, 7))
        assert block.dtype == np.float64
        np.testing.assert_allclose(block, expected.T, rtol=0, atol=1e-14)
        weights, vectors = rng.normal(size=(7, 3)), rng.normal(size=(40, 2))
        np.testing.assert_allclose(users.weighted_sums(weights), expected @ weights, atol=1e-12)
        np.testing.assert_allclose(users.products(vectors), expected.T @ vectors, atol=1e-12)


@pytest.mark.parametrize("n_users", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
@pytest.mark.parametrize("gaussianize", [True, False])
def test_users_come_in_blocks(rng, n_users, gaussianize):
    predictions = rng.normal(size=(9, n_users))
    expected = reference(predictions, gaussianize)
    users = UserSignals(predictions, gaussianize=gaussianize)
    weights, vectors = rng.normal(size=(n_users, 2)), rng.normal(size=(9, 2))
    np.testing.assert_allclose(users.weighted_sums(weights), expected @ weights, atol=1e-12)
    np.testing.assert_allclose(users.products(vectors), expected.T @ vectors, atol=1e-12)


def test_signals_are_symmetric(rng):
    """A reversed prediction has the opposite signal, a signal the mean zero, both to the bit."""
    predictions = rng.integers(0, 6, (31, 1)).astype(float)
    distinct = rng.permutation(31)[:, None]
    for values in (predictions, distinct):
        users = UserSignals(np.hstack([values, -values]), gaussianize=True)
        there, back = users.block(slice(0, 2))
        np.testing.assert_allclose(back, -there, atol=1e-15)
    assert abs(there.sum()) < 1e-12


@pytest.mark.parametrize("gaussianize", [True, False])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_absent_users_take_no_part(rng, layout, gaussianize, dtype):
    predictions = layout(rng.normal(size=(12, BLOCK + 3)).astype(dtype))
    absent = [0, 5, BLOCK - 1, BLOCK + 2]
    predictions[:, absent] = np.nan
    before = predictions.copy()
    users = UserSignals(predictions, gaussianize=gaussianize)
    assert np.flatnonzero(~users.present).tolist() == absent
    vectors, weights = np.ones((12, 1)) + rng.normal(size=(12, 1)), rng.normal(size=(BLOCK + 3, 1))
    assert (users.products(vectors)[absent] == 0.0).all()
    others = np.delete(np.arange(BLOCK + 3), absent)
    expected = reference(predictions[:, others], gaussianize)
    np.testing.assert_allclose(
        users.weighted_sums(weights), expected @ weights[others], rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(predictions, before)  # the caller's array is left alone
    frozen = predictions.copy(order="K")
    frozen.flags.writeable = False
    UserSignals(frozen, gaussianize=gaussianize)


def test_constant_users(rng):
    predictions = rng.normal(size=(12, BLOCK + 2))
    predictions[:, [1, BLOCK]] = 7.0
    predictions[:, 2] = np.repeat([0.0, 1.0], [11, 1])
    users = UserSignals(predictions, gaussianize=True)
    assert np.flatnonzero(users.constant & users.present).tolist() == [1, BLOCK]
    assert (users.block(slice(1, 2)) == 0.0).all()


def test_one_stock():
    users = UserSignals(np.array([[3.0, -1.0]]), gaussianize=True)
    assert users.constant.all()
    assert (users.block(slice(0, 2)) == 0.0).all()


def test_sums_that_overflow_are_no_missing_values():
    predictions = np.float32([[3e38, 1.0], [2e38, 0.0], [1e38, 2.0]])
    users = UserSignals(predictions, gaussianize=True)
    assert users.present.all()
    np.testing.assert_allclose(users.block(slice(0, 2)), reference(predictions, True).T)


@pytest.mark.parametrize(
    ("bad", "row", "user"),
    [
        ({(4, 2): np.nan}, 4, 2),
        ({(0, 3): np.inf, (1, 2): np.nan, (2, 2): -np.inf}, 0, 3),
        ({(2, 1): np.inf, (2, 2): -np.inf}, 2, 1),
        ({(i, 3): np.nan for i in range(1, 6)}, 1, 3),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bad_predictions(rng, bad, row, user, dtype):
    """All bad values are counted, the first is that of the topmost row."""
    predictions = rng.normal(size=(6, 4)).astype(dtype)
    predictions[:, 0] = np.nan  # an absent user is not counted
    for place, value in bad.items():
        predictions[place] = value
    message = (
        rf"contains {len(bad)} values that are NaN or infinite, first at row {row} of the era, "
        rf"column {user};"
    )
    with pytest.raises(ValueError, match=f"^user_predictions {message}"):
        UserSignals(predictions, gaussianize=True)
    with pytest.raises(ValueError, match=f"^meta_model {message}"):
        UserSignals(predictions, gaussianize=False, name="meta_model")


@pytest.mark.parametrize("gaussianize", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
def test_the_largest_signal(rng, dtype, gaussianize):
    """Its size, which says what is rounding in a sum; absent users have none."""
    predictions = make_predictions(rng, dtype, n_users=BLOCK + 3)
    predictions[:, 2] = rng.permutation(40)  # without ties, so with the extreme quantiles
    predictions[7, 1] = -100 if dtype == np.int8 else -1000  # not in the last block
    expected = np.abs(reference(predictions, gaussianize)).max()
    if np.dtype(dtype).kind == "f":
        predictions[:, 0] = np.nan
    users = UserSignals(predictions, gaussianize=gaussianize)
    assert users.largest == pytest.approx(expected, rel=1e-12)


def test_signals_are_kept_as_small_integers(rng):
    predictions = rng.normal(size=(1000, 3)).astype(np.float32)
    users = UserSignals(predictions, gaussianize=True)
    assert users._ranks.nbytes == predictions.nbytes // 2
