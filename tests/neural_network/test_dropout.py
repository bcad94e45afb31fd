import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sknumerai.neural_network._dropout import Dropout  # noqa: E402


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_share_is_zeroed_and_the_rest_scaled(share, dtype):
    torch.manual_seed(0)
    values = torch.rand(499, 401, dtype=dtype) + 1.0  # no multiple of four
    result = Dropout(share)(values)
    assert result.dtype == dtype
    kept = result != 0.0
    noise = np.sqrt(share * (1.0 - share) / values.numel())
    assert abs(1.0 - kept.double().mean() - share) < 4 * noise
    # every unit and every row has its own share, within four standard deviations of it
    for axis in (0, 1):
        spread = np.sqrt(share * (1.0 - share) / values.shape[axis])
        errors = (1.0 - kept.double().mean(axis) - share) / spread
        assert errors.abs().max() < 4.5
        assert 0.8 < errors.std() < 1.2
    factors = (result / values)[kept]
    torch.testing.assert_close(
        factors, torch.full_like(factors, 1.0 / (1.0 - share)), rtol=1e-4, atol=0
    )
    assert factors.unique().numel() <= 3  # one number, but for rounding


def test_the_expectation_is_kept_exactly():
    """The scale is that of the rounded share, not of the one asked for."""
    share = 0.3
    scale = Dropout(share)(torch.ones(1000, dtype=torch.float64)).max().item()
    assert scale == 2**16 / (2**16 - round(share * 2**16)) != 1.0 / (1.0 - share)


def test_neighbours_are_independent():
    """Four random numbers come from one draw."""
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(400_000)) != 0.0).double().reshape(-1, 4).numpy()
    correlations = np.corrcoef(kept.T) - np.eye(4)
    assert np.abs(correlations).max() < 4 / np.sqrt(len(kept))


def test_seed_and_gradient():
    values = torch.randn(50, 7, requires_grad=True)
    layer = Dropout(0.4)
    torch.manual_seed(3)
    first = layer(values)
    torch.manual_seed(3)
    assert torch.equal(first, layer(values))
    assert not torch.equal(first, layer(values))
    first.sum().backward()
    torch.testing.assert_close(values.grad, (first / values).detach())


@pytest.mark.parametrize("share", [0.0, 1e-9, 1.0])
def test_limits(share):
    values = torch.rand(100, 3) + 1.0
    expected = torch.zeros_like(values) if share == 1.0 else values
    torch.testing.assert_close(Dropout(share)(values), expected)


def test_predictions_drop_nothing():
    values = torch.rand(100, 3)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert Dropout(0.5)(values[:0]).shape == (0, 3)
