"""Training on the tournament's metrics against the post's loop, and soft ranks."""

import time
from functools import partial
from unittest.mock import patch

import numpy as np

from sknumerai.datasets import make_tournament
from tests.benchmarks._measure import Table, alternately, pretty, seconds
from tests.benchmarks._peers import post_training_loop

STEPS = 20
REPETITIONS = 9


def _era(n, k):
    era = make_tournament(1, n, k, as_frame=False, missing_features=0.0, random_state=0)
    return np.ascontiguousarray(era.data), era.target


def _seconds_per_step(features, target, device):
    """Time that an epoch of one era takes, without what a fit does once.

    With neutralization, and of the same net and loss in which nothing is projected out: by turns,
    as the machine gets faster and slower.
    """
    from sknumerai.neural_network import EraNeutralizer, FNCRegressor

    def fit(n_epochs):
        model = FNCRegressor(max_epochs=n_epochs, random_state=0, device=device)
        model.fit(features, target, eras="0001")

    def plain(n_epochs):
        with patch.object(EraNeutralizer, "for_era", lambda self, era, features: lambda p: p):
            fit(n_epochs)

    few, many = (
        np.array(alternately(partial(fit, n), partial(plain, n), REPETITIONS))
        for n in (2, 2 + STEPS)
    )
    return (many - few) / STEPS


def training_step_against_the_post():
    """One step of the multi-part loss."""
    import torch

    table = Table(
        "Training step: the post's net and loss, one era",
        ["era", "device", "ours", "without neutralization", "ratio", "the post's loop", "ratio"],
    )
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for n, k in ((5000, 1050), (5000, 310)):
        features, target = _era(n, k)
        for device in devices:
            ours, plain = _seconds_per_step(features, target, device)
            theirs = post_training_loop(features, target, 7, device)
            table.add(
                f"{n:,} × {k:,}", device, pretty(ours), pretty(plain), f"{ours / plain:.2f}",
                pretty(theirs), f"{theirs / ours:.1f}",
            )  # fmt: skip
    table.notes.append(
        "A step forward and backward, without what a fit does once (the factor of the era among "
        "it). The post's loop computes a pseudo-inverse and three soft ranks, by torchsort, in "
        "every step."
    )
    if len(devices) == 1:
        table.notes.append("No GPU was there; with one, rows for it are added.")
    return table


def training_epoch():
    """Epochs over a tournament from an int8 frame, and what of them is moving data."""
    from sknumerai._frames import Table as Rows
    from sknumerai.neural_network import FNCRegressor
    from sknumerai.neural_network._fnc_batches import as_features

    n_eras, n, k = 100, 5000, 310
    table = Table(
        f"Training: an epoch over {n_eras} eras of {n:,} × {k:,} from an int8 frame",
        ["", "time", "share of an epoch"],
    )
    data = make_tournament(n_eras, n, k, missing_features=0.0, random_state=0)

    def fit(n_epochs):
        start = time.perf_counter()
        FNCRegressor(max_epochs=n_epochs, random_state=0).fit(
            data.data, data.target, eras=data.eras
        )
        return time.perf_counter() - start

    one, three = fit(1), fit(3)
    epoch = (three - one) / 2
    rows = Rows(data.data, "X")
    start = time.perf_counter()
    for i in range(n_eras):
        as_features(rows.rows(slice(i * n, (i + 1) * n)))
    moving = time.perf_counter() - start
    table.add("epoch, factors of all eras kept", pretty(epoch), "")
    table.add("first epoch, which factorizes them", pretty(one), "")
    table.add("reading eras from the frame", pretty(moving), f"{moving / epoch:.1%}")
    return table


def soft_rank_backends():
    """Time and accuracy of soft ranks in single precision."""
    import torch

    from sknumerai.neural_network import soft_rank

    table = Table(
        "soft_rank: float32, strength 5 / n, forward and backward",
        ["n", "backend", "time", "ratio", "rank error", "gradient error"],
    )
    try:
        import torchsort  # noqa: F401

        backends = ("scipy", "torchsort")
    except ImportError:
        backends = ("scipy",)
        table.notes.append("torchsort is not installed.")
    for n in (1000, 5000, 20000):
        generator = torch.Generator().manual_seed(0)
        values = torch.randn(n, dtype=torch.float64, generator=generator)
        values = (values - values.mean()) / values.std(correction=0)
        direction = torch.randn(n, dtype=torch.float64, generator=generator)

        def run(backend, dtype, values=values, direction=direction, n=n):
            point = values.to(dtype).requires_grad_()
            ranks = soft_rank(point, regularization_strength=5.0 / n, backend=backend)
            (ranks @ direction.to(dtype)).backward()
            return ranks.detach().double(), point.grad.double()

        ranks, slope = run("scipy", torch.float64, values=values.float().double())
        times = {}
        for backend in backends:
            times[backend], (near, near_slope) = seconds(partial(run, backend, torch.float32), 15)
            table.add(
                f"{n:,}", backend, pretty(times[backend]),
                f"{times[backend] / times['scipy']:.2f}",
                f"{(near - ranks).abs().max():.0e}",
                f"{(near_slope - slope).norm() / slope.norm():.0e}",
            )  # fmt: skip
    table.notes.append("Errors against float64: largest of a rank, relative of the gradient.")
    return table


BENCHMARKS = [training_step_against_the_post, training_epoch, soft_rank_backends]
