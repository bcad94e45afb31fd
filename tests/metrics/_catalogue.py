"""Every metric of eras, called on a table of ``_tournament``, with what makes it official."""

from functools import partial
from inspect import signature

import numpy as np
import pandas as pd
from numerai_tools import scoring

from sknumerai.metrics._catalogue import METRICS
from sknumerai.staking import get_payout_rules

STAKES = {"model_0": 3.0, "model_1": 1.0, "model_2": 2.0}
TOP_BOTTOM = 12


def _score(metric, t, *, options=(), **arguments):
    """Our metric on a table."""
    tables = {
        "y_true": t.target,
        "y_pred": t.predictions,
        "features": t.features,
        "meta_model": t.meta_model,
        "benchmark": t.meta_model,
        "example_predictions": t.example,
        "neutralizers": t.neutralizers,
        "sample_weights": t.weights,
        "stakes": list(STAKES.values())[: t.predictions.shape[-1]],
    }
    return metric.score(tables, **dict(options), **arguments)


def _with_options(name, **options):
    return partial(_score, METRICS[name], options=tuple(options.items()))


# those that compare eras, and those of 200 rows, are tested apart
OURS = {
    name: _with_options(name)
    for name, metric in METRICS.items()
    if "ids" not in metric.tables and not metric.options
}
OURS |= {
    f"{name}_tb": _with_options(name, top_bottom=TOP_BOTTOM)
    for name in OURS
    if "top_bottom" in signature(METRICS[name].function).parameters
}
OURS |= {
    "corr_returns": _with_options("numerai_corr", target_power=1),
    "pearson": _with_options("cwmm", method="pearson"),
    "spearman": _with_options("cwmm", method="spearman"),
}


def _columns(score, t, *arguments, **options):
    return t.predictions.apply(lambda column: score(column, *arguments, **options))


def _cwmm(t):
    ranked = scoring.tie_kept_rank__gaussianize__pow_1_5(t.predictions)
    return ranked.apply(lambda column: scoring.pearson_correlation(t.meta_model, column))


def _dissimilarity(t):
    exposures = t.features.apply(
        lambda f: pd.concat([t.predictions, t.example], axis=1).corrwith(f)
    )
    example = exposures.iloc[-1]
    return 1 - exposures.iloc[:-1] @ example / (example @ example)


def _payout(t):
    rules = get_payout_rules()
    corr = scoring.numerai_corr(t.predictions, t.target)
    mmc = scoring.correlation_contribution(t.predictions, t.meta_model, t.target)
    total = rules.multipliers["numerai_corr"] * corr + rules.multipliers["mmc"] * mmc
    return np.clip(rules.payout_factor * total, -rules.clip, rules.clip)


# name: numerai-tools on one era's table, its index sorted
OFFICIAL = {
    "numerai_corr": lambda t: scoring.numerai_corr(t.predictions, t.target),
    "numerai_corr_tb": lambda t: scoring.numerai_corr(
        t.predictions, t.target, top_bottom=TOP_BOTTOM
    ),
    "corr_returns": lambda t: scoring.numerai_corr(t.predictions, t.target, target_pow15=False),
    "fnc": lambda t: scoring.feature_neutral_corr(t.predictions, t.features, t.target),
    "fnc_tb": lambda t: scoring.feature_neutral_corr(
        t.predictions, t.features, t.target, top_bottom=TOP_BOTTOM
    ),
    **dict.fromkeys(
        ("mmc", "bmc"),
        lambda t: scoring.correlation_contribution(t.predictions, t.meta_model, t.target),
    ),
    **dict.fromkeys(
        ("mmc_tb", "bmc_tb"),
        lambda t: scoring.correlation_contribution(
            t.predictions, t.meta_model, t.target, top_bottom=TOP_BOTTOM
        ),
    ),
    "neutral_corr": lambda t: scoring.neutral_correlation(t.predictions, t.features, t.target),
    "neutral_corr_tb": lambda t: scoring.neutral_correlation(
        t.predictions, t.features, t.target, top_bottom=TOP_BOTTOM
    ),
    "neutral_contribution": lambda t: scoring.neutral_contribution(
        t.predictions, t.meta_model, t.features, t.target
    ),
    "neutral_contribution_tb": lambda t: scoring.neutral_contribution(
        t.predictions, t.meta_model, t.features, t.target, top_bottom=TOP_BOTTOM
    ),
    "payout": _payout,
    "cwmm": _cwmm,
    "pearson": lambda t: _columns(lambda c: scoring.pearson_correlation(t.meta_model, c), t),
    "spearman": lambda t: _columns(lambda c: scoring.spearman_correlation(t.meta_model, c), t),
    "max_exposure": lambda t: _columns(
        lambda c: scoring.max_feature_correlation(c, t.features)[1], t
    ),
    "max_exposure_tb": lambda t: _columns(
        lambda c: scoring.max_feature_correlation(c, t.features, top_bottom=TOP_BOTTOM)[1], t
    ),
    "exposure_dissimilarity": _dissimilarity,
    "alpha": lambda t: scoring.alpha(t.predictions, t.neutralizers, t.weights, t.target),
    "mpc": lambda t: scoring.meta_portfolio_contribution(
        t.predictions,
        pd.Series(STAKES)[t.predictions.columns],
        t.neutralizers,
        t.weights,
        t.target,
    ),
}

# scores whose value depends on the order of rows where predictions tie at the cut
CUT = [name for name in OURS if name.endswith("_tb")]
COLUMNS_INTERACT = ["mpc"]
