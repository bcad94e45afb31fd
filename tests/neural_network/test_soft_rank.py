import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

torch = pytest.importorskip("torch")

from sknumerai.neural_network import soft_rank  # noqa: E402


def reference_ranks(values, strength):
    """Pool adjacent violators as in the textbook, one value at a time."""
    order = np.argsort(values, kind="stable")
    ascending = values[order] / strength
    blocks = []  # sum and length of what isotonic regression fits
    for i, value in enumerate(ascending):
        blocks.append([value - (i + 1), 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            total, length = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += length
    fit = np.concatenate([np.full(length, total / length) for total, length in blocks])
    ranks = np.empty(len(values))
    ranks[order] = ascending - fit
    return ranks


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 10**6), st.integers(1, 40), st.floats(1e-4, 1e2), st.booleans())
def test_agrees_with_pool_adjacent_violators(seed, n, strength, ties):
    values = np.random.default_rng(seed).normal(size=n)
    if ties:
        values = values.round(0)
    ranks = soft_rank(torch.from_numpy(values), regularization_strength=strength).numpy()
    np.testing.assert_allclose(ranks, reference_ranks(values, strength), rtol=0, atol=1e-9)


@pytest.mark.parametrize("strength", [0.03, 0.4, 5.0])
def test_is_the_projection_onto_the_permutahedron(strength):
    """No vertex lies in the direction from the projection to the point (the variational law)."""
    values = draw(50)
    ranks = soft_rank(values, regularization_strength=strength)
    towards = values / strength - ranks
    farthest = torch.empty_like(ranks)  # the vertex farthest in that direction
    farthest[towards.argsort()] = torch.arange(1.0, 51.0, dtype=torch.float64)
    assert towards @ (farthest - ranks) < 1e-8 * towards.norm()
    # and inside: sums of the k smallest are at least those of (1, ..., k), all sum to the same
    excess = ranks.sort().values.cumsum(0) - torch.arange(1.0, 51.0).double().cumsum(0)
    assert excess.min() > -1e-9
    assert abs(excess[-1]) < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hard_ranks_are_the_limit(dtype):
    values = (3 * draw(200, dtype=dtype)).round(decimals=1)  # with ties
    ranks = soft_rank(values, regularization_strength=1e-9)
    assert ranks.dtype == dtype
    np.testing.assert_array_equal(ranks.numpy(), rankdata(values.numpy()))


def test_large_strengths_are_linear():
    values = draw(30)
    ranks = soft_rank(values, regularization_strength=1e3)
    expected = 15.5 + (values - values.mean()) / 1e3
    torch.testing.assert_close(ranks, expected, rtol=0, atol=1e-12)


def test_ties_share_their_rank():
    values = torch.tensor([1.0, 3.0, 1.0, 2.0])
    ranks = soft_rank(values, regularization_strength=0.1)
    assert ranks.tolist() == [1.5, 4.0, 1.5, 3.0]


@pytest.mark.parametrize("strength", [0.02, 0.3, 10.0, "auto"])
@pytest.mark.parametrize("shape", [(9,), (3, 7), (2, 2, 5)])
def test_derivatives(shape, strength):
    values = draw(*shape, seed=3).requires_grad_()

    def ranks(values):
        return soft_rank(values, regularization_strength=strength)

    assert torch.autograd.gradcheck(ranks, values)
    assert torch.autograd.gradgradcheck(ranks, values)


def test_jacobian_is_a_symmetric_projection():
    values = draw(40)
    jacobian = 0.05 * torch.autograd.functional.jacobian(
        lambda x: soft_rank(x, regularization_strength=0.05), values
    )
    torch.testing.assert_close(jacobian, jacobian.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(jacobian @ jacobian, jacobian, rtol=0, atol=1e-13)
    assert 0 < jacobian.trace() < 39


def test_auto_ignores_shift_and_scale():
    values = draw(100)
    expected = soft_rank(
        (values - values.mean()) / values.std(correction=0), regularization_strength=0.05
    )
    for moved in (values, 1e-3 * values + 5.0, 1e6 * values):
        torch.testing.assert_close(soft_rank(moved), expected, rtol=0, atol=1e-8)
    values.requires_grad_()
    (soft_rank(values) @ draw(100, seed=1)).backward()
    assert abs(values.grad.sum()) < 1e-10
    assert abs(values.grad @ values) < 1e-10
    assert values.grad.abs().max() > 0.1


def test_auto_gives_nearly_all_rows_a_gradient():
    for n in (100, 2000):
        values = draw(n).requires_grad_()
        (soft_rank(values) @ draw(n, seed=1)).backward()
        assert (values.grad != 0).double().mean() > 0.95
    values.grad = None
    (soft_rank(values, regularization_strength=1e-4) @ draw(2000, seed=1)).backward()
    assert (values.grad != 0).double().mean() < 0.2


def test_single_precision_is_computed_in_double():
    values = draw(5000, dtype=torch.float32)
    single = soft_rank(values).double()
    double = soft_rank(values.double())
    torch.testing.assert_close(single, double, rtol=1e-7, atol=0)
    values.requires_grad_()
    weights = draw(5000, seed=1, dtype=torch.float32)
    (soft_rank(values) @ weights).backward()
    exact = values.detach().double().requires_grad_()
    (soft_rank(exact) @ weights.double()).backward()
    assert (values.grad - exact.grad).norm() < 1e-6 * exact.grad.norm()


def test_rows_are_independent():
    values = draw(4, 3, 20)
    ranks = soft_rank(values)
    for i in range(4):
        for j in range(3):
            torch.testing.assert_close(ranks[i, j], soft_rank(values[i, j]), rtol=0, atol=0)
    torch.testing.assert_close(soft_rank(values.mT), soft_rank(values.mT.contiguous()))


@pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constants(value, dtype):
    values = torch.full((2, 7), value, dtype=dtype, requires_grad=True)
    ranks = soft_rank(values)
    assert (ranks == 4.0).all()
    assert (soft_rank(values, regularization_strength=1e-4) == 4.0).all()
    (ranks * draw(2, 7).to(dtype)).sum().backward()
    assert (values.grad == 0.0).all()


def test_constant_beside_others_in_a_batch():
    values = draw(2, 6)
    values[0] = 1.0
    values.requires_grad_()
    (soft_rank(values) * draw(2, 6, seed=1)).sum().backward()
    assert (values.grad[0] == 0.0).all()
    assert values.grad[1].abs().max() > 0.0
    assert torch.isfinite(values.grad).all()


def test_one_value():
    values = torch.tensor([5.0], requires_grad=True)
    for strength in ("auto", 0.1):
        ranks = soft_rank(values, regularization_strength=strength)
        assert ranks.tolist() == [1.0]
        values.grad = None
        ranks.sum().backward()
        assert values.grad.tolist() == [0.0]


def test_values_that_are_not_finite():
    values = torch.ones(2, 5)
    values[0, 3], values[1, 1] = torch.nan, torch.inf
    with pytest.raises(ValueError, match=r"2 of 10 values .* first at index \(0, 3\)"):
        soft_rank(values)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_no_values(shape):
    with pytest.raises(ValueError, match="one dimension and one value"):
        soft_rank(torch.ones(shape))


@pytest.mark.parametrize("values", [[1.0, 2.0], torch.arange(4), torch.ones(3).half()])
def test_other_types(values):
    with pytest.raises(TypeError, match=r"values must be a tensor of float32 or float64; found"):
        soft_rank(values)


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), float("inf"), "small"])
def test_other_strengths(strength):
    with pytest.raises(ValueError, match="regularization_strength"):
        soft_rank(torch.ones(3), regularization_strength=strength)


def test_strength_that_overflows():
    with pytest.raises(ValueError, match="too small for values that span 1e"):
        soft_rank(torch.tensor([0.0, 1e10]).double(), regularization_strength=1e-300)


def test_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchsort", None)
    with pytest.raises(ImportError, match=r"pip install 'sknumerai\[torchsort\]'"):
        soft_rank(torch.ones(3), backend="torchsort")
    assert soft_rank(torch.ones(3), backend="auto").tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("strength", [1e-3, 0.1, 3.0, "auto"])
def test_parity_with_torchsort(strength):
    pytest.importorskip("torchsort")
    gradients, ranks = [], []
    for backend in ("scipy", "torchsort"):
        values = draw(2, 3, 200).requires_grad_()
        ranks.append(soft_rank(values, regularization_strength=strength, backend=backend))
        (ranks[-1] * draw(2, 3, 200, seed=1)).sum().backward()
        gradients.append(values.grad)
    torch.testing.assert_close(*ranks, rtol=0, atol=1e-6)
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_tensors():
    values = draw(3, 500).cuda().requires_grad_()
    ranks = soft_rank(values, backend="scipy")
    assert ranks.is_cuda
    ranks.square().sum().backward()
    assert values.grad.is_cuda
    torch.testing.assert_close(ranks.cpu(), soft_rank(values.cpu()))


@pytest.mark.parametrize("backend", ["scipy"])
def test_values_that_vanish_beside_their_range_tie(backend):
    """Their differences underflow: no rank may be NaN, and order is kept where there is any."""
    row = torch.tensor([0.0, 1e-200, 3e-200], dtype=torch.float64)
    ranks = soft_rank(row, regularization_strength=1e-3, backend=backend)
    assert torch.isfinite(ranks).all()
    assert (ranks.diff() >= 0).all()
    assert ranks.sum() == pytest.approx(6.0)
