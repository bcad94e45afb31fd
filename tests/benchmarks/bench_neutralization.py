"""Clipping and neutralization against their peers, and how they scale."""

import contextlib
import io
import warnings
from functools import partial

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from sknumerai.datasets import make_tournament
from sknumerai.neutralization import clip_exposure, neutralize
from tests.benchmarks._measure import Table, alternately, pretty, seconds
from tests.benchmarks._peers import notebook_clip, numerblox_neutralize, official_neutralize

NOTEBOOK_CAP = 90.0  # seconds


def one_era(n, k):
    """Features (int8, row-major) and a gaussianized prediction of a realistic exposure."""
    era = make_tournament(1, n, k, as_frame=False, missing_features=0.0, random_state=0)
    ranks = rankdata(era.example_predictions)
    return np.ascontiguousarray(era.data), ndtri((ranks - 0.5) / n)


def _exposures(prediction, features):
    centred = features - features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=0)
    left = prediction - prediction.mean()
    return centred.T @ left / np.linalg.norm(left)


def _correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def _linear_model(features):
    """What a linear model of all features predicts, and a little noise, gaussianized."""
    rng = np.random.default_rng(0)
    explained = (features - 2.0) @ rng.normal(size=features.shape[1])
    prediction = 0.95 * explained / explained.std()
    prediction += np.sqrt(1 - 0.95**2) * rng.normal(size=len(features))
    return ndtri((rankdata(prediction) - 0.5) / len(features))


def clip_against_the_notebook():
    """The community notebook's loop, on the same era."""
    table = Table(
        "Clip: 5,000 × 310, limit 0.1, against the notebook's loop",
        ["prediction", "max exposure", "", "time", "ratio", "max exposure after", "corr kept",
         "gap"],
    )  # fmt: skip
    limit = 0.1
    features, example = one_era(5000, 310)
    for name, prediction in (
        ("example predictions", example),
        ("linear model", _linear_model(features)),
    ):

        def clip(bounds, prediction=prediction):
            return clip_exposure(prediction, features, limit, bounds=bounds, return_info=True)

        times = {}
        for bounds in ("symmetric", "shrink"):
            times[bounds], (clipped, (record,)) = seconds(partial(clip, bounds), repeats=15)
            table.add(
                name,
                f"{np.abs(record.exposures_before).max():.3f}",
                f"ours, {bounds}",
                pretty(times[bounds]),
                "",
                f"{np.abs(_exposures(clipped, features)).max():.10f}",
                f"{_correlation(clipped, prediction):.4f}",
                f"{record.gap:.0e}",
            )
        theirs, steps, elapsed = notebook_clip(prediction, features, limit, NOTEBOOK_CAP)
        table.add(
            name,
            "",
            f"the loop, {steps:,} steps",
            f"{'> ' * (elapsed > NOTEBOOK_CAP)}{pretty(elapsed)}",
            f"{elapsed / times['symmetric']:,.0f}",
            f"{np.abs(_exposures(theirs, features)).max():.5f}",
            f"{_correlation(theirs, prediction):.4f}",
            "",
        )
    table.notes.append(
        f"The loop (Adamax, float32, torch) runs until its loss is below 1e-7, at most "
        f'{NOTEBOOK_CAP:.0f} s; its rule is that of "shrink". How long it takes depends on how '
        "many exposures it has to bring down. The ratio is that of its time to ours."
    )
    return table


def clip_many_features():
    """The large feature set, against one single-precision product of the features."""
    table = Table(
        "Clip: 5,000 × 2,376 int8, against one float32 X.T @ X of that matrix",
        ["bounds", "limit", "ours", "float32 X.T @ X", "ratio", "active", "passes", "violation",
         "gap", "corr kept"],
    )  # fmt: skip
    features, prediction = one_era(5000, 2376)

    def product():
        single = features.astype(np.float32)
        return single.T @ single

    cases = [("symmetric", 0.1), ("symmetric", 0.02), ("symmetric", 0.005), ("shrink", 0.1),
             ("shrink", 0.02)]  # fmt: skip
    for bounds, limit in cases:

        def clip(bounds=bounds, limit=limit):
            return clip_exposure(prediction, features, limit, bounds=bounds, return_info=True)

        ours, theirs = alternately(clip, product)
        _, (record,) = clip()
        table.add(
            bounds, limit, pretty(ours), pretty(theirs), f"{ours / theirs:.2f}", record.n_active,
            record.n_iter, f"{record.violation:.0e}", f"{record.gap:.0e}",
            f"{record.correlation:.4f}",
        )  # fmt: skip
    table.notes.append(
        "The product's time includes the conversion from int8. At 0.1 the clip is bound by its "
        "passes over the features (one conversion of every value to float64 each), at 0.005 by "
        "the Cholesky factorizations of pivoting."
    )
    return table


def neutralize_against_peers():
    """numerai-tools and numerblox, on the same era."""
    table = Table(
        "Neutralize: 6,000 × 2,376 int8",
        ["task", "ours", "peer", "peer's time", "ratio", "largest difference"],
    )
    features, prediction = one_era(6000, 2376)
    time, ours = seconds(lambda: neutralize(prediction, features), repeats=9)
    peer, theirs = seconds(lambda: official_neutralize(prediction, features), repeats=3)
    difference = np.abs(ours - theirs.to_numpy()[:, 0]).max()
    table.add(
        "1 column", pretty(time), "numerai-tools", pretty(peer), f"{peer / time:.1f}",
        f"{difference:.0e}",
    )  # fmt: skip

    rng = np.random.default_rng(0)
    predictions = prediction[:, None] + rng.normal(size=(6000, 10))
    proportions = [0.2, 0.4, 0.6, 0.8, 1.0]
    time, ours = seconds(
        lambda: neutralize(
            predictions, features, proportion=proportions, normalize="gaussian", scale="minmax"
        ),
        repeats=5,
    )
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        peer, theirs = seconds(
            lambda: numerblox_neutralize(predictions, features, proportions), repeats=1, warm_up=0
        )
    table.add(
        "10 columns × 5 proportions", pretty(time), "numerblox", pretty(peer),
        f"{peer / time:.0f}", f"{np.abs(ours - theirs).max():.0e}",
    )  # fmt: skip
    table.notes.append(
        "numerblox fits no intercept; its numbers are those of the same work without."
    )
    return table


def scaling():
    """Both kernels over rows and features."""
    table = Table(
        "Scaling: one era, one column", ["rows", "features", "neutralize", "clip 0.1", "active"]
    )
    shapes = [(1000, 310), (2000, 310), (5000, 310), (10000, 310), (5000, 42), (5000, 705),
              (5000, 1050), (5000, 2376), (10000, 2376)]  # fmt: skip
    for n, k in shapes:
        features, prediction = one_era(n, k)
        neutral, _ = seconds(lambda f=features, p=prediction: neutralize(p, f), repeats=5)
        clip, (_, (record,)) = seconds(
            lambda f=features, p=prediction: clip_exposure(p, f, 0.1, return_info=True), repeats=5
        )
        table.add(f"{n:,}", f"{k:,}", pretty(neutral), pretty(clip), record.n_active)
    return table


BENCHMARKS = [
    clip_against_the_notebook,
    clip_many_features,
    neutralize_against_peers,
    scaling,
]
