import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sknumerai.exceptions import InfeasiblePortfolioError  # noqa: E402
from sknumerai.portfolio import PortfolioLayer, PortfolioOptimizer  # noqa: E402

N, FACTORS = 16, 3
LIMITS = {  # each program has what its name says, besides factors and a budget
    "box": {"min_weights": -0.3, "max_weights": 0.4},
    "leverage": {"max_leverage": 2.0},
    "exposures": {"max_exposure": 0.1},
    "sectors": {"sector_neutral": True},
    "l1": {"l1_coef": 0.3},
    "costs": {"transaction_costs": 0.3},
    "turnover": {"max_turnover": 1.5},
}
LIMITS["all"] = {name: value for part in LIMITS.values() for name, value in part.items()}


def make_risk(seed, n=N):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(FACTORS, FACTORS))
    previous = rng.normal(size=n) * (rng.random(n) < 0.7)
    return {
        "factor_loadings": rng.normal(size=(n, FACTORS)),
        "factor_covariance": root @ root.T / 10,
        "specific_variance": rng.uniform(0.5, 2.0, n),
        "exposures": rng.integers(-2, 3, (n, 2)),
        "sectors": np.array(["a", "b", "c"])[np.arange(n) % 3],
        "previous_weights": 0.05 * (previous - previous.mean()),
    }


def make_program(limits, seed=0):
    risk = make_risk(seed)
    if limits not in ("exposures", "all"):
        del risk["exposures"]
    return PortfolioOptimizer(**LIMITS[limits]), risk


def random_signal(seed, *shape, **options):
    values = np.random.default_rng(1000 + seed).normal(size=shape)
    return torch.tensor(values, dtype=torch.float64, **options)


def fit(optimizer, signal, risk):
    return optimizer.fit(signal.detach().numpy(), **risk)


def stacked(n_eras=3):
    """Risk data of several eras of different sizes, one below the other, and their labels."""
    parts = [make_risk(seed, N + seed) for seed in range(n_eras)]
    labels = [f"000{seed}" for seed in range(n_eras)]
    risk = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    risk["factor_covariance"] = {
        label: part["factor_covariance"] for label, part in zip(labels, parts, strict=True)
    }
    return risk, np.repeat(labels, [N + seed for seed in range(n_eras)]), parts, labels


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("seed", range(3))
def test_gradient_equals_finite_differences(limits, seed):
    optimizer, risk = make_program(limits, seed)
    signal = random_signal(seed, N, requires_grad=True)
    fit(optimizer, signal, risk)
    assert optimizer.n_weakly_active_ == 0
    assert optimizer.n_free_ > 3
    assert torch.autograd.gradcheck(PortfolioLayer(optimizer, **risk), signal)


@pytest.mark.parametrize("limits", LIMITS)
def test_limits_of_these_programs_matter(limits):
    optimizer, risk = make_program(limits)
    signal = random_signal(0, N)
    free, limited = PortfolioOptimizer(), fit(optimizer, signal, risk)
    risk.pop("exposures", None)
    assert np.abs(fit(free, signal, risk).weights_ - limited.weights_).max() > 0.01


def test_gradient_of_a_batch_equals_finite_differences():
    optimizer, risk = make_program("all")
    signal = random_signal(1, 3, N, requires_grad=True)
    assert torch.autograd.gradcheck(PortfolioLayer(optimizer, **risk), signal)


def test_batch_equals_separate_solves():
    optimizer, risk = make_program("all")
    signals = random_signal(0, 5, N, requires_grad=True)
    upstream = random_signal(1, 5, N)
    weights = PortfolioLayer(optimizer, **risk)(signals)
    weights.backward(upstream)
    for r in range(5):
        fit(optimizer, signals[r], risk)
        np.testing.assert_allclose(weights[r].detach(), optimizer.weights_, atol=1e-11)
        expected = optimizer.gradient(upstream[r].numpy())
        np.testing.assert_allclose(signals.grad[r], expected, atol=1e-10)


def test_batch_of_no_rounds():
    weights = PortfolioLayer(PortfolioOptimizer())(torch.zeros(0, 4))
    assert weights.shape == (0, 4)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_eras_equal_separate_layers_in_any_order_of_rows(shuffled, batch):
    optimizer = PortfolioOptimizer(**LIMITS["all"])
    risk, eras, parts, labels = stacked()
    n = len(eras)
    order = np.random.default_rng(0).permutation(n) if shuffled else np.arange(n)
    rows = {name: data[order] for name, data in risk.items() if name != "factor_covariance"}
    layer = PortfolioLayer(
        optimizer, eras=eras[order], factor_covariance=risk["factor_covariance"], **rows
    )
    signal, upstream = random_signal(0, *batch, n), random_signal(1, *batch, n)
    mixed = signal[..., order].requires_grad_()
    weights = layer(mixed)
    weights.backward(upstream[..., order])
    assert layer.n_eras == 3
    for part, label in zip(parts, labels, strict=True):
        alone = signal[..., eras == label].requires_grad_()
        expected = PortfolioLayer(optimizer, **part)(alone)
        expected.backward(upstream[..., eras == label])
        here = np.argsort(order)[eras == label]
        torch.testing.assert_close(weights[..., here], expected, atol=1e-11, rtol=0)
        torch.testing.assert_close(mixed.grad[..., here], alone.grad, atol=1e-10, rtol=0)


def test_one_era_chosen_equals_its_part_of_all():
    risk, eras, _, labels = stacked()
    layer = PortfolioLayer(PortfolioOptimizer(**LIMITS["all"]), eras=eras, **risk)
    signal, upstream = random_signal(0, len(eras), requires_grad=True), random_signal(1, len(eras))
    weights = layer(signal)
    weights.backward(upstream)
    for label in labels:
        rows = eras == label
        alone = signal.detach()[rows].requires_grad_()
        chosen = layer(alone, era=label)
        chosen.backward(upstream[rows])
        torch.testing.assert_close(chosen, weights[rows], atol=1e-11, rtol=0)
        torch.testing.assert_close(alone.grad, signal.grad[rows], atol=1e-10, rtol=0)


def test_scalar_era_finds_its_covariance():
    optimizer, risk = make_program("box")
    signal = random_signal(0, N)
    expected = PortfolioLayer(optimizer, **risk)(signal)
    risk["factor_covariance"] = {"0001": risk["factor_covariance"], "0002": np.eye(FACTORS)}
    torch.testing.assert_close(PortfolioLayer(optimizer, eras="0001", **risk)(signal), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_and_gradient_come_in_the_dtype_of_the_signal(dtype):
    optimizer, risk = make_program("all")
    layer = PortfolioLayer(optimizer, **risk)
    signal = random_signal(0, N).to(dtype).requires_grad_()
    double = signal.detach().double().requires_grad_()
    upstream = random_signal(1, N).to(dtype)
    weights, expected = layer(signal), layer(double)
    weights.backward(upstream)
    expected.backward(upstream.double())
    assert weights.dtype == signal.grad.dtype == dtype
    torch.testing.assert_close(weights, expected.to(dtype))
    torch.testing.assert_close(signal.grad, double.grad.to(dtype))


def test_risk_data_may_be_tensors():
    optimizer, risk = make_program("all")
    signal = random_signal(0, N)
    tensors = {
        name: data if name == "sectors" else torch.tensor(data) for name, data in risk.items()
    }
    weights = PortfolioLayer(optimizer, **tensors)(signal)
    torch.testing.assert_close(weights, PortfolioLayer(optimizer, **risk)(signal))
    tensors["factor_loadings"].requires_grad_()
    with pytest.raises(RuntimeError, match="detach"):
        PortfolioLayer(optimizer, **tensors)


def test_without_risk_data_any_length():
    layer = PortfolioLayer(PortfolioOptimizer())
    for n in (5, 3, 5):
        signal = random_signal(n, n)
        torch.testing.assert_close(layer(signal), signal - signal.mean())


def test_library_engine_gives_the_same():
    pytest.importorskip("cvxpylayers")
    optimizer, risk = make_program("leverage")
    signal, upstream = random_signal(0, 2, N, requires_grad=True), random_signal(1, 2, N)
    expected = PortfolioLayer(optimizer, **risk)(signal)
    expected.backward(upstream)
    gradient, signal.grad = signal.grad, None
    optimizer.set_params(engine="cvxpylayers")
    weights = PortfolioLayer(optimizer, **risk)(signal)
    weights.backward(upstream)
    torch.testing.assert_close(weights, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(signal.grad, gradient, atol=1e-3, rtol=0)


def test_program_of_ones_own():
    cp = pytest.importorskip("cvxpy")
    pytest.importorskip("cvxpylayers")
    parameter, weights = cp.Parameter(N), cp.Variable(N)
    objective = cp.Maximize(parameter @ weights - 0.5 * cp.sum_squares(weights))
    problem = cp.Problem(objective, [cp.sum(weights) == 0.0])
    layer = PortfolioLayer(PortfolioOptimizer.from_cvxpy(problem, parameter, weights))
    signal, upstream = random_signal(0, N, requires_grad=True), random_signal(1, N)
    result = layer(signal)
    result.backward(upstream)
    torch.testing.assert_close(result, signal - signal.mean(), atol=1e-5, rtol=0)
    torch.testing.assert_close(signal.grad, upstream - upstream.mean(), atol=1e-3, rtol=0)


def test_training_on_the_portfolio_return_raises_it():
    rng = np.random.default_rng(0)
    features = torch.tensor(rng.normal(size=(60, 4)), dtype=torch.float32)
    returns = features @ torch.tensor([0.5, -0.3, 0.0, 0.2]) + 0.5 * torch.randn(
        60, generator=torch.manual_seed(0)
    )
    risk = {**make_risk(0, 60), "exposures": None}
    layer = PortfolioLayer(PortfolioOptimizer(max_leverage=1.0, max_weights=0.1), **risk)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    descent = torch.optim.Adam(network.parameters(), lr=0.02)
    history = []
    for _ in range(20):
        gain = layer(network(features)[:, 0]) @ returns
        descent.zero_grad()
        (-gain).backward()
        descent.step()
        history.append(float(gain.detach()))
    assert history[-1] > history[0] + 0.1
    assert history[-1] > max(history[:10])


def test_warm_starts_leave_no_trace():
    optimizer, risk = make_program("all")
    signals = random_signal(0, 4, N)
    layer = PortfolioLayer(optimizer, **risk)
    for _ in range(2):
        for signal in (*signals, 100.0 * signals[0]):
            fresh = PortfolioLayer(optimizer, **risk)(signal)
            torch.testing.assert_close(layer(signal), fresh, atol=1e-11, rtol=0)


def test_graphs_are_separate():
    optimizer, risk = make_program("all")
    layer = PortfolioLayer(optimizer, **risk)
    first, second = (random_signal(seed, N, requires_grad=True) for seed in (0, 1))
    returns = random_signal(2, N)
    gains = [layer(first) @ returns, layer(second) @ returns]  # both before either backward
    for gain in gains:
        gain.backward()
    for signal in (first, second):
        fit(optimizer, signal, risk)
        np.testing.assert_allclose(signal.grad, optimizer.gradient(returns.numpy()), atol=1e-10)
    gradient = first.grad.clone()
    (layer(first) @ returns).backward()
    torch.testing.assert_close(first.grad, 2 * gradient)


def test_no_graph_without_need():
    layer = PortfolioLayer(PortfolioOptimizer())
    assert not layer(random_signal(0, N)).requires_grad
    with torch.no_grad():
        assert not layer(random_signal(0, N, requires_grad=True)).requires_grad


def test_no_second_derivative():
    signal = random_signal(0, N, requires_grad=True)
    weights = PortfolioLayer(PortfolioOptimizer())(signal)
    (gradient,) = torch.autograd.grad(weights @ weights, signal, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("used", [False, True])
def test_copies(copied, used):
    optimizer, risk = make_program("all")
    layer = PortfolioLayer(optimizer, **risk)
    signal, returns = random_signal(0, N, requires_grad=True), random_signal(1, N)
    size = len(pickle.dumps(layer))
    if used:
        layer(signal)
    assert len(pickle.dumps(layer)) == size  # programs are left behind
    other = copied(layer)
    for module in (layer, other):
        (module(signal) @ returns).backward()
    weights = layer(signal)
    torch.testing.assert_close(other(signal), weights, atol=1e-12, rtol=0)
    gradient, signal.grad = signal.grad, None
    (weights @ returns).backward()
    torch.testing.assert_close(gradient, 2 * signal.grad, atol=1e-10, rtol=0)


def test_module_has_no_parameters_and_says_what_it_is():
    optimizer, risk = make_program("box")
    layer = PortfolioLayer(optimizer, **risk)
    assert not layer.state_dict()
    assert not list(layer.parameters())
    text = repr(layer)
    assert "PortfolioOptimizer(" in text
    assert f"n_rows={N}, n_eras=1" in text
    assert "n_rows" not in repr(PortfolioLayer(optimizer))


def test_later_changes_of_the_optimizer_have_no_effect():
    optimizer = PortfolioOptimizer()
    layer = PortfolioLayer(optimizer)
    signal = random_signal(0, N)
    before = layer(signal)
    optimizer.set_params(risk_aversion=5.0)
    torch.testing.assert_close(PortfolioLayer(optimizer)(signal), before / 5.0)
    torch.testing.assert_close(copy.deepcopy(layer)(signal), before)


@pytest.mark.parametrize(
    ("signal", "error", "message"),
    [
        (np.zeros(N), TypeError, "found ndarray"),
        (torch.zeros(N, dtype=torch.int64), TypeError, "found torch.int64"),
        (torch.tensor([np.nan, np.inf] * (N // 2)), ValueError, f"contains {N} NaN or infinite"),
        (torch.zeros(N + 1), ValueError, rf"shape \({N + 1},\) for {N} stocks"),
        (torch.zeros(N, 1), ValueError, rf"shape \({N}, 1\) for {N} stocks"),
        (torch.zeros(2, 3, N), ValueError, r"pass \(16,\) or \(n_rounds, 16\)"),
        (torch.tensor(0.0), ValueError, r"shape \(\)"),
    ],
)
def test_bad_signals(signal, error, message):
    optimizer, risk = make_program("box")
    with pytest.raises(error, match=message):
        PortfolioLayer(optimizer, **risk)(signal)


@pytest.mark.parametrize("shape", [(), (0,), (N, 1), (2, 2, N)])
def test_bad_shapes_without_risk_data(shape):
    with pytest.raises(ValueError, match=r"pass \(n_stocks,\) or \(n_rounds, n_stocks\)"):
        PortfolioLayer(PortfolioOptimizer())(torch.zeros(shape))


def test_bad_eras():
    risk, eras, _, _ = stacked()
    layer = PortfolioLayer(PortfolioOptimizer(max_exposure=1.0), eras=eras, **risk)
    with pytest.raises(ValueError, match="era='0009' is none of the 3 eras"):
        layer(torch.zeros(N), era="0009")
    with pytest.raises(ValueError, match=rf"for {N} stocks of era 0000; pass \({N},\)"):
        layer(torch.zeros(len(eras)), era="0000")
    with pytest.raises(ValueError, match="built without eras"):
        PortfolioLayer(PortfolioOptimizer())(torch.zeros(4), era="0001")
    with pytest.raises(ValueError, match="eras has 3 labels"):
        PortfolioLayer(PortfolioOptimizer(), eras=eras[:3], **risk)


def test_bad_risk_data_and_parameters():
    optimizer, risk = make_program("box")
    with pytest.raises(TypeError, match="optimizer must be a PortfolioOptimizer; found str"):
        PortfolioLayer("newton")
    with pytest.raises(ValueError, match="'risk_aversion' parameter"):
        PortfolioLayer(PortfolioOptimizer(risk_aversion=-1.0))
    with pytest.raises(ValueError, match="specific_variance has 3 rows"):
        PortfolioLayer(optimizer, **(risk | {"specific_variance": np.ones(3)}))
    layer = PortfolioLayer(optimizer, **(risk | {"specific_variance": np.full(N, np.nan)}))
    with pytest.raises(ValueError, match=f"contains {N} NaN"):
        layer(torch.zeros(N))


def test_infeasible_era_is_named():
    eras = np.repeat(["0001", "0002"], 4)
    layer = PortfolioLayer(
        PortfolioOptimizer(max_weights=0.3, budget=1.0), eras=eras, exposures=np.arange(8) - 4.0
    )
    with pytest.raises(InfeasiblePortfolioError, match="In era 0001: No portfolio meets"):
        layer(torch.zeros(8))
