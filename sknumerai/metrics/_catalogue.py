"""The catalogue of metrics: one row for each, from which everything that lists metrics is made.

`era_table`, the scorers by name, the command, the tables of the documentation and the tests of
invariants read it. To add a metric, write its file, a row here, and its name in ``__init__`` and
on the API page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sknumerai._kernels import contribution, correlation, exposure
from sknumerai._typing import Array, NamedAggregate
from sknumerai.metrics import (
    _alpha,
    _churn,
    _corr_with,
    _exposure_dissimilarity,
    _feature_exposure,
    _feature_neutral_corr,
    _meta_model_contribution,
    _numerai_corr,
    _payout_score,
    _turnover,
    _weights,
)
from sknumerai.staking import get_payout_rules

SMALLER_IS_BETTER = ("std", "max_drawdown")  # of aggregates, whatever the metric
TARGET, PREDICTION = "y_true", "y_pred"


@dataclass(frozen=True)
class Metric:
    """A metric of eras.

    Attributes
    ----------
    name : str
        Column of `era_table`, and of scorers' names.
    title : str
        What people call it.
    summary : str
        What it is.
    function : callable
        The public function.
    tables : dict of str to str
        The tables of a call that it needs, in the order of the kernel's arguments, and the
        arguments of the function that they become.
    kernel : callable or None
        The same for one era's arrays, returning shape (n_predictions,); None where more is
        needed than arrays of one era.
    official : str or None
        Counterpart in ``numerai_tools``.
    options : dict
        Further arguments, of function and kernel alike.
    aggregates : tuple of str
        Those that there are scorers for.
    smaller_is_better : bool
    is_score : bool
        Whether its sum over eras, and its sign, mean something.
    default : bool
        Whether `era_table` and the command show it without being asked.
    """

    name: str
    title: str
    summary: str
    function: Callable[..., Any]
    tables: Mapping[str, str]
    kernel: Callable[..., Array] | None = None
    official: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    aggregates: tuple[NamedAggregate, ...] = ()
    smaller_is_better: bool = False
    is_score: bool = True
    default: bool = False

    def needs_only(self, tables: Iterable[str]) -> bool:
        """Whether these tables, and predictions, are all that it needs."""
        return set(self.tables) <= {PREDICTION, *tables}

    def score(self, tables: Mapping[str, Any], **arguments: Any) -> Any:
        """What the public function makes of the tables of a call."""
        given = {argument: tables[table] for table, argument in self.tables.items()}
        return self.function(**given, **self.options, **arguments)

    def score_era(self, tables: Mapping[str, Array]) -> Array:
        """What the kernel makes of the tables of one era."""
        assert self.kernel is not None
        return self.kernel(*(tables[table] for table in self.tables), **self.options)

    def scorer_name(self, aggregate: str) -> str:
        """The name of the scorer that aggregates its scores."""
        negative = self.smaller_is_better or aggregate in SMALLER_IS_BETTER
        suffix = "" if aggregate == "mean" else f"_{aggregate}"
        return f"{'neg_' if negative else ''}{self.name}{suffix}"


def _tables(*names: str, **others: str) -> dict[str, str]:
    """Tables that become arguments of their own name, and others that become one of another."""
    return {name: name for name in names} | others


_SCORE: tuple[NamedAggregate, ...] = ("mean", "sharpe")
_RISK: tuple[NamedAggregate, ...] = ("std", "max_drawdown")
_CORR: dict[str, Any] = {
    "function": _numerai_corr.numerai_corr,
    "kernel": correlation.numerai_correlation,
    "tables": _tables(TARGET, PREDICTION),
    "official": "scoring.numerai_corr",
}
_FNC: dict[str, Any] = {
    "function": _feature_neutral_corr.feature_neutral_corr,
    "kernel": correlation.feature_neutral_correlation,
    "tables": _tables(TARGET, PREDICTION, "features"),
    "official": "scoring.feature_neutral_corr",
    "aggregates": _SCORE,
}
_CONTRIBUTION: dict[str, Any] = {
    "function": _meta_model_contribution.meta_model_contribution,
    "kernel": contribution.correlation_contribution,
    "official": "scoring.correlation_contribution",
    "aggregates": _SCORE,
    "default": True,
}

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "numerai_corr",
            "CORR",
            "correlation with the target",
            aggregates=(*_SCORE, *_RISK),
            default=True,
            **_CORR,
        ),
        Metric(
            "numerai_corr_tb200",
            "CORR TB200",
            "the same of the 200 lowest and highest predictions",
            options={"top_bottom": 200},
            aggregates=_SCORE,
            **_CORR,
        ),
        Metric(
            "fnc",
            "FNC",
            "CORR of what is left after neutralizing to the features",
            default=True,
            **_FNC,
        ),
        Metric(
            "fnc_tb200",
            "FNC TB200",
            "the same of the 200 lowest and highest of what is left",
            options={"top_bottom": 200},
            **_FNC,
        ),
        Metric(
            "mmc",
            "MMC",
            "contribution to the meta model",
            tables=_tables(TARGET, PREDICTION, "meta_model"),
            **_CONTRIBUTION,
        ),
        Metric(
            "bmc",
            "BMC",
            "contribution to a benchmark",
            tables=_tables(TARGET, PREDICTION, benchmark="meta_model"),
            **_CONTRIBUTION,
        ),
        Metric(
            "neutral_corr",
            "neutral CORR",
            "Pearson correlation of neutralized predictions with the target",
            function=_feature_neutral_corr.neutral_corr,
            kernel=correlation.neutral_correlation,
            tables=_tables(TARGET, PREDICTION, "features"),
            official="scoring.neutral_correlation",
            aggregates=_SCORE,
        ),
        Metric(
            "neutral_contribution",
            "neutral MMC",
            "contribution of neutralized predictions to the neutralized meta model",
            function=_meta_model_contribution.neutral_contribution,
            kernel=contribution.neutral_contribution,
            tables=_tables(TARGET, PREDICTION, "meta_model", "features"),
            official="scoring.neutral_contribution",
            aggregates=_SCORE,
        ),
        Metric(
            "alpha",
            "alpha",
            "what neutral portfolio weights earn",
            function=_alpha.alpha,
            kernel=_weights.alpha_scores,
            tables=_tables(TARGET, PREDICTION, "neutralizers", "sample_weights"),
            official="scoring.alpha",
            aggregates=_SCORE,
        ),
        Metric(
            "mpc",
            "MPC",
            "contribution to the portfolio of all users; columns interact",
            function=_alpha.meta_portfolio_contribution,
            tables=_tables(TARGET, PREDICTION, "stakes", "neutralizers", "sample_weights"),
            official="scoring.meta_portfolio_contribution",
        ),
        Metric(
            "payout",
            "payout",
            "what the newest rules pay for CORR and MMC, of the stake",
            function=_payout_score.payout_score,
            kernel=partial(_payout_score.era_payouts, rules=get_payout_rules()),
            tables=_tables(TARGET, PREDICTION, "meta_model"),
            aggregates=_SCORE,
        ),
        Metric(
            "cwmm",
            "corr. with meta model",
            "CWMM, correlation with the meta model",
            function=_corr_with.corr_with,
            kernel=partial(correlation.correlation_with, method="numerai"),
            tables=_tables(PREDICTION, meta_model="other"),
            aggregates=("mean",),
            is_score=False,
            default=True,
        ),
        Metric(
            "max_exposure",
            "max exposure",
            "largest absolute correlation with a feature",
            function=_feature_exposure.max_feature_exposure,
            kernel=exposure.max_exposures,
            tables=_tables(PREDICTION, "features"),
            official="scoring.max_feature_correlation",
            aggregates=("mean",),
            smaller_is_better=True,
            is_score=False,
            default=True,
        ),
        Metric(
            "exposure_dissimilarity",
            "exposure dissimilarity",
            "how unlike the example's exposures",
            function=_exposure_dissimilarity.exposure_dissimilarity,
            kernel=exposure.dissimilarities,
            tables=_tables(PREDICTION, "example_predictions", "features"),
            aggregates=("mean",),
            is_score=False,
            default=True,
        ),
        Metric(
            "churn",
            "churn",
            "change of the order from one era to the next",
            function=_churn.churn,
            tables=_tables(PREDICTION, "ids"),
            official="signals.churn",
            aggregates=("mean",),
            smaller_is_better=True,
            is_score=False,
        ),
        Metric(
            "neutral_churn",
            "neutral churn",
            "the same of what the features do not explain",
            function=_churn.neutral_churn,
            tables=_tables(PREDICTION, "features", "ids"),
            official="signals.neutral_churn",
            aggregates=("mean",),
            smaller_is_better=True,
            is_score=False,
        ),
        Metric(
            "turnover",
            "turnover",
            "change of portfolio weights from one era to the next",
            function=_turnover.turnover,
            tables=_tables("ids", y_pred="weights"),
            official="signals.turnover",
            smaller_is_better=True,
            is_score=False,
        ),
    )
}
