import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sknumerai.contribution import true_contribution  # noqa: E402
from sknumerai.portfolio import (  # noqa: E402
    PortfolioLayer,
    PortfolioOptimizer,
    StakeWeightedPortfolio,
)

N, USERS = 24, 5
rng = np.random.default_rng(0)
PREDICTIONS = torch.tensor(rng.normal(size=(N, USERS)))
STAKES = torch.tensor([3.0, 0.0, 1.0, 0.5, 2.0], dtype=torch.float64)
RETURNS = torch.tensor(rng.normal(size=N))
LOADINGS, EXPOSURES = rng.normal(size=(N, 2)), rng.normal(size=(N, 2))
VARIANCE = rng.uniform(0.5, 2.0, N)
LIMITS = {"max_leverage": 4.0, "min_weights": -0.4, "max_weights": 0.5, "max_exposure": 0.1}
OPTIONS = [
    {"signal_scale": 0.8},
    {"signal_scale": 0.8, "power": 1.0},
    {"signal_scale": 0.8, "gradient": "stake_weighted"},
    {"signal_scale": None, "power": 1.0, "gradient": "stake_weighted"},
    {"signal_scale": None, "power": 2, "gradient": "stake_weighted"},
    {"signal_scale": None, "power": 1.0},
]


def make_layer(**options):
    return PortfolioLayer(
        PortfolioOptimizer(**(LIMITS | options)),
        factor_loadings=LOADINGS,
        specific_variance=VARIANCE,
        exposures=EXPOSURES,
    )


def stake_gradient(model, predictions=PREDICTIONS, returns=RETURNS):
    model.zero_grad()
    weights, _ = model(predictions)
    (weights @ returns).backward()
    return model.stakes.grad.clone()


def portfolio_return(stakes, options):
    """By numpy and the optimizer."""
    predictions = PREDICTIONS.numpy()
    meta_model = predictions @ stakes
    if options.get("gradient") == "stake_weighted":
        meta_model = meta_model / stakes.sum()
    signal = np.sign(meta_model) * np.abs(meta_model) ** options.get("power", 1.5)
    if options["signal_scale"] is not None:
        signal *= options["signal_scale"] / np.sqrt(np.mean(signal**2))
    optimizer = PortfolioOptimizer(**LIMITS).fit(
        signal, factor_loadings=LOADINGS, specific_variance=VARIANCE, exposures=EXPOSURES
    )
    return optimizer.weights_ @ RETURNS.numpy(), optimizer, signal


@pytest.mark.parametrize("options", OPTIONS)
def test_gradient_equals_finite_differences(options):
    stakes = STAKES.numpy()
    value, optimizer, signal = portfolio_return(stakes, options)
    assert optimizer.n_weakly_active_ == 0
    assert 5 < optimizer.n_free_ < N
    model = StakeWeightedPortfolio(make_layer(), STAKES, **options)
    weights, given = model(PREDICTIONS)
    assert float(weights.detach() @ RETURNS) == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(given.detach(), signal, rtol=1e-12)
    step = 1e-5
    differences = [
        portfolio_return(stakes + step * unit, options)[0]
        - portfolio_return(stakes - step * unit, options)[0]
        for unit in np.eye(USERS)
    ]
    gradient = stake_gradient(model).numpy()
    expected = np.array(differences) / (2 * step)
    assert np.abs(gradient - expected).max() < 1e-6 * np.abs(expected).max()


def test_gradient_equals_that_of_the_posts_module():
    """The module of the post, its program written in cvxpy and differentiated by cvxpylayers."""
    cp = pytest.importorskip("cvxpy")
    layers = pytest.importorskip("cvxpylayers.torch")

    class SWMModel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lin1 = torch.nn.Linear(USERS, 1, bias=False, dtype=torch.float64)

        def forward(self, user_predictions):
            x1 = self.lin1(user_predictions)[:, 0]
            alpha = cp.Parameter(N)
            longs, shorts = cp.Variable(N, nonneg=True), cp.Variable(N, nonneg=True)
            weights, factors = longs - shorts, cp.Variable(2)
            risk = cp.sum_squares(cp.multiply(np.sqrt(VARIANCE), weights)) + cp.sum_squares(factors)
            # a touch of curvature in longs + shorts, without which the two are not unique
            objective = alpha @ weights - 0.5 * risk - 1e-6 * cp.sum_squares(longs + shorts)
            constraints = [
                factors == LOADINGS.T @ weights,
                cp.sum(weights) == 0.0,
                cp.sum(longs + shorts) <= LIMITS["max_leverage"],
                weights >= LIMITS["min_weights"],
                weights <= LIMITS["max_weights"],
                cp.abs(EXPOSURES.T @ weights) <= LIMITS["max_exposure"],
            ]
            problem = cp.Problem(cp.Maximize(objective), constraints)
            assert problem.is_dpp()
            layer = layers.CvxpyLayer(problem, parameters=[alpha], variables=[longs, shorts])
            solution = layer(x1, solver_args={"solve_method": "CLARABEL"})
            return solution[0] - solution[1], x1

    theirs = SWMModel()
    theirs.lin1.weight.data = STAKES[None]
    weights, signal = theirs(PREDICTIONS)
    (weights @ RETURNS).backward()
    ours = StakeWeightedPortfolio(make_layer(), STAKES, power=1, signal_scale=None)
    our_weights, our_signal = ours(PREDICTIONS)
    torch.testing.assert_close(our_signal, signal)
    torch.testing.assert_close(our_weights, weights, atol=1e-4, rtol=0)
    expected = theirs.lin1.weight.grad[0]
    difference = (stake_gradient(ours) - expected).abs().max()
    assert difference < 5e-3 * expected.abs().max()


def test_a_program_without_limits_has_the_gradient_of_the_textbook():
    layer = PortfolioLayer(PortfolioOptimizer(risk_aversion=2.0, budget=None))
    model = StakeWeightedPortfolio(layer, STAKES, power=1, signal_scale=None)
    torch.testing.assert_close(stake_gradient(model), PREDICTIONS.T @ RETURNS / 2.0)


@pytest.mark.parametrize("options", OPTIONS)
def test_same_predictions_get_the_same_gradient_whatever_the_stakes(options):
    predictions = torch.cat([PREDICTIONS, PREDICTIONS[:, :1], PREDICTIONS[:, :1]], dim=1)
    stakes = torch.cat([STAKES, torch.tensor([0.0, 7.0])])
    gradient = stake_gradient(StakeWeightedPortfolio(make_layer(), stakes, **options), predictions)
    assert gradient[0] != 0.0
    torch.testing.assert_close(gradient[[5, 6]], gradient[[0, 0]], rtol=1e-9, atol=0)


def test_size_of_stakes_makes_no_difference_to_a_scaled_signal():
    weights = [
        StakeWeightedPortfolio(make_layer(), factor * STAKES, gradient=gradient)(PREDICTIONS)
        for factor in (1.0, 1e-200, 1e200)
        for gradient in ("raw", "stake_weighted")
    ]
    for others in weights[1:]:
        torch.testing.assert_close(others[0], weights[0][0])
        assert float(others[1].detach().square().mean().sqrt()) == pytest.approx(1e-3)
    # moving along the stakes changes nothing
    gradient = stake_gradient(StakeWeightedPortfolio(make_layer(), STAKES))
    assert abs(float(gradient @ STAKES)) < 1e-9 * float(gradient.abs() @ STAKES)


def test_era_is_that_of_the_layer():
    eras = np.array(["0001", "0002"] * (N // 2))
    whole = PortfolioLayer(PortfolioOptimizer(), eras=eras, specific_variance=VARIANCE)
    part = PortfolioLayer(PortfolioOptimizer(), specific_variance=VARIANCE[1::2])
    model, expected = (StakeWeightedPortfolio(layer, STAKES) for layer in (whole, part))
    for result, of_part in zip(
        model(PREDICTIONS[1::2], era="0002"), expected(PREDICTIONS[1::2]), strict=True
    ):
        torch.testing.assert_close(result, of_part)
    with pytest.raises(ValueError, match=r"layer has 2 eras .* pass era="):
        model(PREDICTIONS)


def test_float32():
    double = StakeWeightedPortfolio(make_layer(), STAKES, signal_scale=0.8)
    single = copy.deepcopy(double).float()
    weights, signal = single(PREDICTIONS.float())
    assert weights.dtype == signal.dtype == torch.float32
    gradient = stake_gradient(single, PREDICTIONS.float(), RETURNS.float())
    assert gradient.dtype == torch.float32
    expected = stake_gradient(double)
    assert (gradient - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies(copied):
    model = StakeWeightedPortfolio(make_layer(), STAKES, power=1.0, gradient="stake_weighted")
    gradient = stake_gradient(model)
    other = copied(model)
    model.stakes.data.zero_()
    torch.testing.assert_close(stake_gradient(other), gradient)


def test_module():
    model = StakeWeightedPortfolio(make_layer(), STAKES.tolist())
    assert list(model.state_dict()) == ["stakes"]
    assert model.stakes.dtype == torch.float64
    assert "n_users=5, power=1.5, signal_scale=0.001, gradient='raw'" in repr(model)
    stakes = STAKES.clone()
    StakeWeightedPortfolio(make_layer(), stakes).stakes.data.zero_()
    torch.testing.assert_close(stakes, STAKES)  # the caller's tensor is left alone


@pytest.mark.parametrize(
    ("predictions", "error", "message"),
    [
        (PREDICTIONS.numpy(), TypeError, "found ndarray"),
        (PREDICTIONS.T, ValueError, rf"shape \({USERS}, {N}\) for {USERS} stakes"),
        (PREDICTIONS[:, 0], ValueError, rf"shape \({N},\) for {USERS} stakes"),
        (PREDICTIONS[:0], ValueError, r"shape \(0, 5\)"),
        (PREDICTIONS[:3], ValueError, rf"signal has shape \(3,\) for {N} stocks"),
        (PREDICTIONS.float(), ValueError, r"are torch.float32 and the stakes torch.float64"),
        (PREDICTIONS.log(), ValueError, rf"contain \d+ NaN or infinite values of {N * USERS}"),
        (0.0 * PREDICTIONS, ValueError, "zero for all stocks"),
    ],
)
def test_bad_predictions(predictions, error, message):
    with pytest.raises(error, match=message):
        StakeWeightedPortfolio(make_layer(), STAKES)(predictions)


@pytest.mark.parametrize(
    ("stakes", "message"),
    [
        (STAKES[None], r"stakes has shape \(1, 5\)"),
        ([], r"stakes has shape \(0,\)"),
        ([1.0, np.nan, np.inf], "contain 2 NaN or infinite values of 3"),
    ],
)
def test_bad_stakes(stakes, message):
    with pytest.raises(ValueError, match=message):
        StakeWeightedPortfolio(make_layer(), stakes)


@pytest.mark.parametrize(
    "options", [{"power": 0.5}, {"signal_scale": 0.0}, {"gradient": "mean"}, {"power": None}]
)
def test_bad_options(options):
    with pytest.raises(ValueError, match=f"The '{next(iter(options))}' parameter"):
        StakeWeightedPortfolio(make_layer(), STAKES, **options)


def test_no_stakes_have_no_mean():
    model = StakeWeightedPortfolio(make_layer(), 0.0 * STAKES, gradient="stake_weighted")
    with pytest.raises(ValueError, match="stakes have a sum of 0"):
        model(PREDICTIONS)


def test_layer_is_needed():
    with pytest.raises(ValueError, match="The 'layer' parameter"):
        StakeWeightedPortfolio(PortfolioOptimizer(), STAKES)


@pytest.mark.filterwarnings("ignore::sknumerai.exceptions.FewFreeAssetsWarning")
@pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
@pytest.mark.parametrize("signal_scale", [None, 0.8])
def test_gradient_is_the_true_contribution_of_one_round(gradient, signal_scale):
    options = {"gradient": gradient, "signal_scale": signal_scale, "power": 1.0}
    expected = true_contribution(
        PREDICTIONS.numpy(),
        STAKES.numpy(),
        RETURNS.numpy(),
        optimizer=PortfolioOptimizer(**LIMITS),
        n_rounds=1,
        dropout=0.0,
        gaussianize=False,
        factor_loadings=LOADINGS,
        specific_variance=VARIANCE,
        exposures=EXPOSURES,
        **options,
    )
    result = stake_gradient(StakeWeightedPortfolio(make_layer(), STAKES, **options)).numpy()
    if gradient == "stake_weighted":
        result = result * STAKES.sum().item()
    np.testing.assert_allclose(result, np.ravel(expected), rtol=1e-8)
