"""Metrics against numerai-tools."""

import numpy as np
import pandas as pd
from numerai_tools import scoring

from sknumerai.metrics import (
    feature_neutral_corr,
    max_feature_exposure,
    meta_model_contribution,
    numerai_corr,
)
from tests.benchmarks._measure import Table, alternately, pretty

ROWS, FEATURES = 5000, 310


def _era(n_predictions, n_rows=ROWS):
    rng = np.random.default_rng(0)
    names = [f"p{j}" for j in range(n_predictions)]
    target = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], n_rows, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    values = 0.1 * target[:, None] + rng.normal(size=(n_rows, n_predictions))
    features = pd.DataFrame(rng.integers(0, 5, (n_rows, FEATURES), dtype=np.int8))
    return (
        pd.Series(target, name="target"),
        pd.DataFrame(values, columns=names),
        pd.Series(rng.random(n_rows), name="meta_model"),
        features.add_prefix("feature_"),
    )


def _calls(target, predictions, meta_model, features):
    """Calls here and there of every metric."""
    return {
        "numerai_corr": (
            lambda: numerai_corr(target, predictions, eras="X"),
            lambda: scoring.numerai_corr(predictions, target),
        ),
        "MMC": (
            lambda: meta_model_contribution(target, predictions, meta_model=meta_model, eras="X"),
            lambda: scoring.correlation_contribution(predictions, meta_model, target),
        ),
        "FNC": (
            lambda: feature_neutral_corr(target, predictions, features=features, eras="X"),
            lambda: scoring.feature_neutral_corr(predictions, features, target),
        ),
        "max exposure": (
            lambda: max_feature_exposure(predictions, features=features, eras="X"),
            lambda: scoring.max_feature_correlation(predictions.iloc[:, 0], features),
        ),
    }


def metrics():
    """One era, one prediction and a thousand."""
    table = Table(
        f"Metrics: one era of {ROWS:,} rows, {FEATURES} int8 features",
        ["metric", "predictions", "here", "numerai-tools", "ratio", "largest difference"],
    )
    for n_predictions in (1, 1000):
        for name, (ours, theirs) in _calls(*_era(n_predictions)).items():
            if name == "max exposure" and n_predictions > 1:
                continue  # which is for one prediction there
            here, there = alternately(ours, theirs, 5)
            difference = ""
            if name != "max exposure":
                difference = f"{np.abs(np.asarray(ours()) - np.asarray(theirs())).max():.0e}"
            table.add(
                name, n_predictions, pretty(here), pretty(there), f"{there / here:.3g}", difference
            )
    return table


def metrics_of_eras():
    """Many eras of one prediction."""
    table = Table(
        f"Metrics: 200 eras of {ROWS:,} rows, one prediction",
        ["metric", "here", "numerai-tools in a loop", "ratio"],
    )
    target, predictions, meta_model, _ = _era(1, 200 * ROWS)
    eras = pd.Series(np.repeat([f"{era:04d}" for era in range(200)], ROWS))
    own = predictions["p0"]

    def loop(score):
        frame = predictions.assign(target=target, meta_model=meta_model)
        return [score(part) for _, part in frame.groupby(eras)]

    for name, ours, theirs in (
        (
            "numerai_corr",
            lambda: numerai_corr(target, own, eras=eras),
            lambda: loop(lambda part: scoring.numerai_corr(part[["p0"]], part["target"])),
        ),
        (
            "MMC",
            lambda: meta_model_contribution(target, own, meta_model=meta_model, eras=eras),
            lambda: loop(
                lambda part: scoring.correlation_contribution(
                    part[["p0"]], part["meta_model"], part["target"]
                )
            ),
        ),
    ):
        here, there = alternately(ours, theirs, 3)
        table.add(name, pretty(here), pretty(there), f"{there / here:.3g}")
    return table


BENCHMARKS = [metrics, metrics_of_eras]
