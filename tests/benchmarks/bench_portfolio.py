"""The portfolio optimizer, its derivative and True Contribution against their peers."""

import time
import tracemalloc
from functools import partial

import numpy as np
import pandas as pd

from sknumerai.contribution import closed_form_tc, tc_proxies, true_contribution
from sknumerai.datasets import make_market
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._engines import make_engine
from sknumerai.portfolio._library import cvxpy_problem
from tests.benchmarks._measure import Table, pretty, seconds
from tests.benchmarks._peers import cvxpy_solution, cvxpylayers_times

N_FACTORS, N_ROWS, N_SECTORS = 50, 60, 11
RISK = ("factor_loadings", "factor_covariance", "specific_variance", "exposures", "sectors")


def market(n, n_users=2, n_rows=N_ROWS):
    """One era of a market and the risk data of a program."""
    era = make_market(
        n,
        N_FACTORS,
        n_users,
        n_features=n_rows,
        n_sectors=N_SECTORS,
        as_frame=False,
        random_state=0,
    )
    return era, {name: era[name] for name in RISK}


def fund(n):
    """A program of binding leverage, box and exposures, of the same shape for every n."""
    return PortfolioOptimizer(
        risk_aversion=0.2 * n,
        min_weights=-10.0 / n,
        max_weights=10.0 / n,
        max_leverage=1.0,
        max_exposure=0.02,
        sector_neutral=True,
    )


def signals(n, count, correlation=0.9, rms=1e-3):
    """Signals as those of consecutive rounds: gaussian to the power 1.5."""
    random = np.random.default_rng(0)
    base = random.normal(size=n)
    rounds = []
    for _ in range(count):
        mixed = correlation * base + np.sqrt(1 - correlation**2) * random.normal(size=n)
        shaped = np.sign(mixed) * np.abs(mixed) ** 1.5
        rounds.append(shaped * rms / np.sqrt(np.mean(shaped**2)))
    return rounds


def engine_of(n):
    from sknumerai.portfolio._risk_data import RiskTables

    era, risk = market(n)
    tables = RiskTables(len(era.returns), **risk)
    return make_engine(fund(n), tables.era(None, slice(0, n))), era.returns


def optimizer_against_solvers():
    """Cold and warm solves and the adjoint, against QP solvers on the same program."""
    table = Table(
        f"Portfolio: {N_FACTORS} factors, {N_ROWS} exposures, {N_SECTORS} sectors, binding "
        "leverage",
        ["n", "solver", "solve", "ratio", "adjoint", "iterations", "free", "KKT residual",
         "largest difference"],
    )  # fmt: skip
    for n in (500, 2000, 5000):
        engine, returns = engine_of(n)
        first, *rounds = signals(n, 21)
        cold, solution = seconds(partial(engine.solve, first), 5)
        state, times, iterations = solution.state, [], []
        for signal in rounds:
            start = time.perf_counter()
            warm = engine.solve(signal, state)
            times.append(time.perf_counter() - start)
            state = warm.state
            iterations.append(warm.n_iter)
        adjoint, _ = seconds(partial(solution.matvec, returns[:, None]), 20)
        table.add(n, "ours, cold", pretty(cold), "", pretty(adjoint), solution.n_iter,
                  solution.n_free, f"{solution.kkt_residual:.0e}", "")  # fmt: skip
        table.add(
            n, "ours, warm", pretty(np.median(times)), "", pretty(adjoint),
            f"{np.mean(iterations):.1f}", warm.n_free, f"{warm.kkt_residual:.0e}", "",
        )  # fmt: skip
        for solver in ("PIQP", "CLARABEL", "OSQP"):
            elapsed, weights = cvxpy_solution(engine.program, first, solver)
            difference = np.abs(weights - solution.weights).max() / np.abs(solution.weights).max()
            table.add(n, solver, pretty(elapsed), f"{elapsed / cold:.0f}", "", "", "", "",
                      f"{difference:.0e}")  # fmt: skip
    table.notes.append(
        "Warm: a signal that correlates 0.9 with the one before, as under dropout. Peers: the "
        "solver's own time, or for PIQP, which tells none, that of a second solve of a compiled "
        "problem; at their default tolerances. Differences are relative to the largest weight, "
        "ratios to our cold start."
    )
    return table


def few_free_assets():
    """Ever larger signals against the same limits, which leave fewer and fewer assets free."""
    n = 5000
    table = Table(
        f"Portfolio: {n:,} stocks, signals that limits hold back more and more",
        ["signal", "solver", "solve", "ratio", "iterations", "free", "KKT residual",
         "largest difference"],
    )  # fmt: skip
    engine, _ = engine_of(n)
    for rms in (1e-3, 1e-2, 1e-1, 1.0, 10.0):
        (signal,) = signals(n, 1, rms=rms)
        cold, solution = seconds(partial(engine.solve, signal), 5)
        table.add(rms, "ours, cold", pretty(cold), "", solution.n_iter, solution.n_free,
                  f"{solution.kkt_residual:.0e}", "")  # fmt: skip
        elapsed, weights = cvxpy_solution(engine.program, signal, "CLARABEL")
        difference = np.abs(weights - solution.weights).max() / np.abs(solution.weights).max()
        table.add(rms, "CLARABEL", pretty(elapsed), f"{elapsed / cold:.0f}", "", "", "",
                  f"{difference:.0e}")  # fmt: skip
    table.notes.append("The program of the table above; Clarabel as there.")
    return table


def derivative_against_cvxpylayers():
    """Forward and backward of one round, against cvxpylayers."""
    table = Table(
        "One round: portfolio and gradient, against cvxpylayers",
        ["n", "peer", "build", "forward", "backward", "ours", "ratio", "portfolio off by",
         "gradient off by"],
    )  # fmt: skip
    for n, solver, options in (
        (500, "CLARABEL", {}),
        (2000, "CLARABEL", {}),
        (5000, "SCS", {"max_iters": 1500}),
    ):
        engine, returns = engine_of(n)
        previous, signal = signals(n, 2)
        state = engine.solve(previous).state

        def ours(engine=engine, signal=signal, state=state, returns=returns):
            solution = engine.solve(signal, state)
            return solution.weights, solution.matvec(returns[:, None])[:, 0]

        elapsed, (weights, gradient) = seconds(ours, 9)
        problem = cvxpy_problem(engine.program)
        build, forward, backward, theirs, slope = cvxpylayers_times(
            problem, signal, returns, solver, options
        )
        table.add(
            n, f"{solver} {options or ''}".strip(), pretty(build), pretty(forward),
            pretty(backward), pretty(elapsed), f"{(forward + backward) / elapsed:,.0f}",
            f"{np.abs(theirs - weights).max() / np.abs(weights).max():.0e}",
            f"{np.linalg.norm(slope - gradient) / np.linalg.norm(gradient):.0e}",
        )  # fmt: skip
    table.notes.append(
        "The layer is built once, outside of the ratio: (forward + backward) over our warm solve "
        "and adjoint. The last row is the setting of Numerai's post."
    )
    return table


def contribution_at_full_scale():
    """True Contribution of a whole tournament."""
    table = Table(
        "True Contribution: one era",
        ["stocks", "users", "rounds", "exposures", "time", "users/s", "free", "iterations",
         "peak memory over the data"],
    )  # fmt: skip
    for n, n_users, n_rounds, n_rows in (
        (5000, 5000, 100, 60),
        (2000, 5000, 100, 60),
        (500, 5000, 100, 60),
        (5000, 1000, 100, 60),
        (5000, 10000, 100, 60),
        (5000, 5000, 25, 60),
        (5000, 5000, 400, 60),
        (5000, 5000, 100, 20),
        (5000, 5000, 100, 200),
    ):
        era, risk = market(n, n_users, n_rows)

        def contribution(n_rounds=n_rounds, era=era, risk=risk, n=n, **options):
            return true_contribution(
                era.user_predictions,
                era.stakes,
                era.returns,
                optimizer=fund(n),
                n_rounds=n_rounds,
                random_state=0,
                **risk,
                **options,
            )

        elapsed, _ = seconds(contribution, 3, 1 if n_rounds <= 100 else 0)
        tracemalloc.start()
        _, info = contribution(return_info=True)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        table.add(
            f"{n:,}", f"{n_users:,}", n_rounds, n_rows, pretty(elapsed),
            f"{n_users / elapsed:,.0f}", f"{np.mean(info[None].n_free):,.0f}",
            f"{np.mean(info[None].n_iter):.1f}", f"{peak:.0f} MiB",
        )  # fmt: skip
    table.notes.append(
        "float32 predictions in memory (95 MiB at 5,000 × 5,000). Memory with return_info, "
        "which keeps the portfolios of all rounds."
    )
    return table


def closed_form_against_the_dense_inverse():
    """Closed form for all users, against the post's inverse."""
    n, n_users = 5000, 5000
    table = Table(
        f"Closed-form TC: {n:,} stocks × {n_users:,} users, diagonal + {N_FACTORS} factors",
        ["", "time per era", "ratio", "largest difference"],
    )
    era, _ = market(n, n_users)
    model = era.meta_model - 0.5
    predictions = era.user_predictions - np.float32(0.5)
    cost = (era.specific_variance, era.factor_loadings, era.factor_covariance)

    def ours():
        return closed_form_tc(predictions, model, era.returns, hessian=cost).to_numpy()[0]

    def dense():
        hessian = np.diag(cost[0]) + cost[1] @ cost[2] @ cost[1].T
        inverse = np.linalg.inv(hessian)
        scaled = inverse @ era.returns
        gradient = scaled - (model @ scaled) / (model @ model) * model
        return (predictions - model[:, None]).T @ gradient / np.linalg.norm(model)

    elapsed, scores = seconds(ours, 5)
    theirs, reference = seconds(dense, 1, 0)
    table.add("ours", pretty(elapsed), "", "")
    table.add("dense inverse, as in the post", pretty(theirs), f"{theirs / elapsed:,.0f}",
              f"{np.abs(scores - reference).max() / np.abs(reference).max():.0e}")  # fmt: skip
    return table


def proxies_of_contribution():
    """All scores that may stand in for TC, one era."""
    n, n_users, n_features = 5000, 1000, 310
    table = Table(
        f"tc_proxies: {n:,} stocks × {n_users:,} users × {n_features} features",
        ["", "time per era"],
    )
    era, _ = market(n, n_users, n_features)
    data = {
        "features": era.exposures,
        "example_predictions": era.example_predictions,
        "meta_model": era.meta_model,
    }
    known = pd.DataFrame(np.zeros((1, n_users)), index=[None])
    users = era.user_predictions, era.stakes, era.returns
    scores, _ = seconds(partial(tc_proxies, *users, contributions=known, **data), 3)
    both, _ = seconds(partial(tc_proxies, *users, random_state=0, **data), 3)
    table.add("scores", pretty(scores))
    table.add("scores and TC of 100 rounds, default optimizer", pretty(both))
    return table


BENCHMARKS = [
    optimizer_against_solvers,
    few_free_assets,
    derivative_against_cvxpylayers,
    contribution_at_full_scale,
    closed_form_against_the_dense_inverse,
    proxies_of_contribution,
]
