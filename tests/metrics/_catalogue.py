"""Every metric of eras, called on a table of ``_tournament``, with what makes it official."""

import pandas as pd
from numerai_tools import scoring

from sknumerai import metrics

STAKES = {"model_0": 3.0, "model_1": 1.0, "model_2": 2.0}

# name: what calls our metric on a table
OURS = {
    "corr": lambda t, **k: metrics.numerai_corr(t.target, t.predictions, **k),
    "corr_tb": lambda t, **k: metrics.numerai_corr(t.target, t.predictions, top_bottom=12, **k),
    "corr_returns": lambda t, **k: metrics.numerai_corr(
        t.target, t.predictions, target_power=1, **k
    ),
    "fnc": lambda t, **k: metrics.feature_neutral_corr(
        t.target, t.predictions, features=t.features, **k
    ),
    "fnc_tb": lambda t, **k: metrics.feature_neutral_corr(
        t.target, t.predictions, features=t.features, top_bottom=12, **k
    ),
    "mmc": lambda t, **k: metrics.meta_model_contribution(
        t.target, t.predictions, meta_model=t.meta_model, **k
    ),
    "mmc_tb": lambda t, **k: metrics.meta_model_contribution(
        t.target, t.predictions, meta_model=t.meta_model, top_bottom=12, **k
    ),
    "neutral_corr": lambda t, **k: metrics.neutral_corr(
        t.target, t.predictions, features=t.features, **k
    ),
    "neutral_corr_tb": lambda t, **k: metrics.neutral_corr(
        t.target, t.predictions, features=t.features, top_bottom=12, **k
    ),
    "neutral_contribution": lambda t, **k: metrics.neutral_contribution(
        t.target, t.predictions, meta_model=t.meta_model, features=t.features, **k
    ),
    "neutral_contribution_tb": lambda t, **k: metrics.neutral_contribution(
        t.target, t.predictions, meta_model=t.meta_model, features=t.features, top_bottom=12, **k
    ),
    "cwmm": lambda t, **k: metrics.corr_with(t.predictions, t.meta_model, **k),
    "pearson": lambda t, **k: metrics.corr_with(t.predictions, t.meta_model, method="pearson", **k),
    "spearman": lambda t, **k: metrics.corr_with(
        t.predictions, t.meta_model, method="spearman", **k
    ),
    "max_exposure": lambda t, **k: metrics.max_feature_exposure(
        t.predictions, features=t.features, **k
    ),
    "max_exposure_tb": lambda t, **k: metrics.max_feature_exposure(
        t.predictions, features=t.features, top_bottom=12, **k
    ),
    "dissimilarity": lambda t, **k: metrics.exposure_dissimilarity(
        t.predictions, example_predictions=t.example, features=t.features, **k
    ),
    "alpha": lambda t, **k: metrics.alpha(
        t.target, t.predictions, neutralizers=t.neutralizers, sample_weights=t.weights, **k
    ),
    "mpc": lambda t, **k: metrics.meta_portfolio_contribution(
        t.target,
        t.predictions,
        stakes=list(STAKES.values())[: t.predictions.shape[1]],
        neutralizers=t.neutralizers,
        sample_weights=t.weights,
        **k,
    ),
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


# name: numerai-tools on one era's table, its index sorted
OFFICIAL = {
    "corr": lambda t: scoring.numerai_corr(t.predictions, t.target),
    "corr_tb": lambda t: scoring.numerai_corr(t.predictions, t.target, top_bottom=12),
    "corr_returns": lambda t: scoring.numerai_corr(t.predictions, t.target, target_pow15=False),
    "fnc": lambda t: scoring.feature_neutral_corr(t.predictions, t.features, t.target),
    "fnc_tb": lambda t: scoring.feature_neutral_corr(
        t.predictions, t.features, t.target, top_bottom=12
    ),
    "mmc": lambda t: scoring.correlation_contribution(t.predictions, t.meta_model, t.target),
    "mmc_tb": lambda t: scoring.correlation_contribution(
        t.predictions, t.meta_model, t.target, top_bottom=12
    ),
    "neutral_corr": lambda t: scoring.neutral_correlation(t.predictions, t.features, t.target),
    "neutral_corr_tb": lambda t: scoring.neutral_correlation(
        t.predictions, t.features, t.target, top_bottom=12
    ),
    "neutral_contribution": lambda t: scoring.neutral_contribution(
        t.predictions, t.meta_model, t.features, t.target
    ),
    "neutral_contribution_tb": lambda t: scoring.neutral_contribution(
        t.predictions, t.meta_model, t.features, t.target, top_bottom=12
    ),
    "cwmm": _cwmm,
    "pearson": lambda t: _columns(lambda c: scoring.pearson_correlation(t.meta_model, c), t),
    "spearman": lambda t: _columns(lambda c: scoring.spearman_correlation(t.meta_model, c), t),
    "max_exposure": lambda t: _columns(
        lambda c: scoring.max_feature_correlation(c, t.features)[1], t
    ),
    "max_exposure_tb": lambda t: _columns(
        lambda c: scoring.max_feature_correlation(c, t.features, top_bottom=12)[1], t
    ),
    "dissimilarity": _dissimilarity,
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
