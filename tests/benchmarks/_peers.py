"""What the package is measured against."""

import time

import numpy as np


def notebook_clip(prediction, features, max_exposure, cap):
    """The community notebook's exposure reduction: Adamax until the loss is below 1e-7.

    A port to torch, with its learning rate, start (zeros) and loss; features enter as there,
    scaled to [0, 1] and centred by 0.5, in float32. Its target exposures are the start
    exposures clipped to the limit, so that no exposure may grow or change sign either.

    Returns the clipped prediction, the number of steps, and the seconds; stops at ``cap``.
    """
    import torch

    x = torch.from_numpy(features.astype(np.float32) / 4 - 0.5)
    y = torch.from_numpy(prediction.astype(np.float32))[:, None]
    weights = torch.zeros((x.shape[1], 1), requires_grad=True)
    optimizer = torch.optim.Adamax([weights], lr=1e-3, eps=1e-7)

    def exposures(left):
        centred = x - x.mean(dim=0)
        centred = centred / centred.norm(dim=0)
        left = left - left.mean(dim=0)
        return centred.T @ (left / left.norm(dim=0))

    start = time.perf_counter()
    target = exposures(y).clip(-max_exposure, max_exposure)
    steps = 0
    while True:
        optimizer.zero_grad()
        e = exposures(y - x @ weights)
        loss = torch.sum(
            torch.relu(torch.relu(e) - torch.relu(target))
            + torch.relu(torch.relu(-e) - torch.relu(-target))
        )
        loss.backward()
        optimizer.step()
        steps += 1
        elapsed = time.perf_counter() - start
        if loss < 1e-7 or elapsed > cap:
            break
    return (y - x @ weights).detach().numpy()[:, 0].astype(float), steps, elapsed


def official_neutralize(predictions, features, proportion=1.0):
    """numerai-tools' neutralize."""
    import pandas as pd
    from numerai_tools.scoring import neutralize

    return neutralize(pd.DataFrame(predictions), pd.DataFrame(features), proportion)


def numerblox_neutralize(predictions, features, proportions):
    """numerblox' FeatureNeutralizer on several columns and proportions of one era."""
    import pandas as pd
    from numerblox.neutralizers import FeatureNeutralizer

    names = [f"p{j}" for j in range(predictions.shape[1])]
    neutralizer = FeatureNeutralizer(pred_name=names, proportion=list(proportions), num_cores=1)
    return neutralizer.transform(
        predictions,
        features=pd.DataFrame(features).add_prefix("feature_"),
        era_series=pd.Series(["0001"] * len(predictions)),
    )


def cvxpy_solution(program, signal, solver):
    """Seconds and weights of one of cvxpy's solvers on a portfolio program."""
    from sknumerai.portfolio._library import cvxpy_problem

    problem, parameter, weights, _ = cvxpy_problem(program)
    parameter.value = signal
    problem.solve(solver=solver)
    start = time.perf_counter()
    problem.solve(solver=solver, warm_start=False)
    elapsed = time.perf_counter() - start
    return problem.solver_stats.solve_time or elapsed, weights.value


def cvxpylayers_times(problem, signal, returns, solver, options):
    """Seconds that cvxpylayers builds, solves and differentiates, the portfolio, its gradient."""
    import torch
    from cvxpylayers.torch import CvxpyLayer

    program, parameter, weights, _ = problem
    start = time.perf_counter()
    layer = CvxpyLayer(program, parameters=[parameter], variables=[weights])
    build = time.perf_counter() - start
    inputs = torch.tensor(signal, requires_grad=True)
    start = time.perf_counter()
    (portfolio,) = layer(inputs, solver_args={"solve_method": solver, **options})
    forward = time.perf_counter() - start
    start = time.perf_counter()
    (portfolio @ torch.from_numpy(returns)).backward()
    backward = time.perf_counter() - start
    return build, forward, backward, portfolio.detach().numpy(), inputs.grad.numpy()


def post_training_loop(features, target, steps, device="cpu"):
    """Seconds per step of the loop in Numerai's post on optimizing FNC and TB scores.

    A port with its net, loss, pseudo-inverse in every step and three soft ranks; without torchsort,
    ours take its place.
    """
    import torch
    from torch import nn

    try:
        from torchsort import soft_rank

        def ranks_of(values):
            return soft_rank(values, regularization_strength=1e-4)
    except ImportError:
        from sknumerai.neural_network import soft_rank

        def ranks_of(values):
            return soft_rank(values, regularization_strength=1e-4)

    def score(prediction, truth, x, tb=None):
        ranks = ranks_of(prediction.reshape(1, -1))[0]
        n = len(ranks)
        uniform, rows = (ranks - 0.5) / n, slice(None)
        if tb is not None:
            rows = (ranks <= tb) ^ (ranks > n - tb)
        p, t, f = uniform[rows], truth[rows], x[rows]
        p = p - p.mean()
        p = p / p.norm()
        t = t - t.mean()
        return (p * (t / t.norm())).sum(), ((p @ f) ** 2).sum()

    torch.manual_seed(0)
    k = features.shape[1]
    net = nn.Sequential(
        nn.Linear(k, 100), nn.Mish(), nn.Dropout(0.5), nn.Linear(100, 30), nn.Mish(),
        nn.Dropout(0.5), nn.Linear(30, 1), nn.BatchNorm1d(1),
    ).to(device)  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        x = torch.tensor(features.astype(np.float32) / 4, device=device) - 0.5
        truth = torch.tensor(target, device=device)
        optimizer.zero_grad()
        output = net(x)
        neutral = output - x @ (x.pinverse(rcond=1e-6) @ output)
        tb_score, tb_exposure = score(neutral, truth, x, 500)
        neutral_score, _ = score(neutral, truth, x)
        raw_score, raw_exposure = score(output, truth, x)
        loss = -tb_score - neutral_score - raw_score + tb_exposure / 1e3 + raw_exposure / 1e4
        loss.backward()
        optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))
