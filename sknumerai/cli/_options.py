"""The options that subcommands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sknumerai.cli._errors import CommandError


class Bounds(StrEnum):
    """Rules of clipping."""

    symmetric = "symmetric"
    shrink = "shrink"


class Normalize(StrEnum):
    """What is done to the predictions of an era before."""

    gaussian = "gaussian"
    rank = "rank"
    none = "none"


class Scale(StrEnum):
    """What is done to the predictions of an era after."""

    minmax = "minmax"
    std = "std"
    none = "none"


class OnInfeasible(StrEnum):
    """What to do where limits cannot be met."""

    error = "raise"
    warn = "warn"


def _as_jobs(n_jobs: int) -> int:
    """Insist on a number of jobs, and lower it to the processors: each job takes memory."""
    import joblib  # slow, and of no use to --help

    if n_jobs == 0:
        raise CommandError("--n-jobs is 0; pass 1 or more, or -1 for all processors.")
    return min(n_jobs, int(joblib.cpu_count()))


def _share(parameter: typer.CallbackParam, value: float) -> float:
    """Insist on a number between 0 and 1."""
    if not 0.0 <= value <= 1.0:
        raise CommandError(f"{parameter.opts[0]} is {value}; pass a number between 0 and 1.")
    return value


def _shares(parameter: typer.CallbackParam, values: list[float]) -> list[float]:
    return [_share(parameter, value) for value in values]


PredictionsOption = Annotated[
    Path,
    typer.Option(
        help="CSV or parquet with the ids as column 'id' (or as index) and numeric columns.",
        show_default=False,
    ),
]
FeaturesOption = Annotated[
    Path,
    typer.Option(
        help="Parquet with ids, eras and features, such as validation.parquet. It is read era by "
        "era; eras without predictions are skipped.",
        show_default=False,
    ),
]
OutputOption = Annotated[
    Path,
    typer.Option(
        help="CSV or parquet to write: the ids and the prediction columns, in the order of the "
        "predictions. Other columns are not kept.",
        show_default=False,
    ),
]
NormalizeOption = Annotated[
    Normalize, typer.Option(help="Before, per era: normal quantiles of the ranks, ranks, nothing.")
]
MaxExposureOption = Annotated[
    float,
    typer.Option(help="Largest absolute correlation with a feature in an era.", callback=_share),
]
ProportionOption = Annotated[
    float,
    typer.Option(help="Share to remove of what the features explain linearly.", callback=_share),
]
BoundsOption = Annotated[
    Bounds,
    typer.Option(
        help="symmetric: exposures within the limit. shrink: besides, none may grow or change "
        "its sign."
    ),
]
OnInfeasibleOption = Annotated[
    OnInfeasible,
    typer.Option(help="Where the limit leaves nothing of a prediction: stop, or widen it."),
]
ScaleOption = Annotated[
    Scale,
    typer.Option(
        help="After, per era: onto [0, 1] as uploads need, unit standard deviation, nothing."
    ),
]
PredictionColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Column of predictions; repeat for several.  [default: 'prediction' if there is one, "
        "else all numeric columns but the era]",
    ),
]
FeatureSetOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Feature set or group of features.json: small, medium, ..."),
]
FeaturesJsonOption = Annotated[
    Path | None, typer.Option(help="The features.json.  [default: the one beside the features]")
]
FeatureColumnsOption = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Regular expression that feature columns match.  [default: names that start with "
        "'feature']",
    ),
]
EraColumnOption = Annotated[str, typer.Option(metavar="NAME", help="Column of the eras.")]
SingleEraOption = Annotated[
    bool,
    typer.Option(
        "--single-era", help="Take all rows as one era, as in a live file; it is read whole."
    ),
]
NJobsOption = Annotated[
    int,
    typer.Option(
        help="Eras computed in parallel, at most one per processor; -1 is all processors.",
        callback=_as_jobs,
    ),
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Scheduler of a dask cluster, such as tcp://host:8786, whose workers read the files "
        "by the same paths.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress bar and no report.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]

TargetsOption = Annotated[
    Path,
    typer.Option(
        help="Parquet with ids, eras and targets, such as validation.parquet; its features are "
        "not read.",
        show_default=False,
    ),
]
TargetColumnOption = Annotated[
    str, typer.Option(metavar="NAME", help="Column of the targets; NaN where there is none.")
]
ScoredFeaturesOption = Annotated[
    Path | None,
    typer.Option(
        help="Parquet with ids, eras and features, for FNC and exposures; it may be the file of "
        "the targets. It is read era by era, which takes a while."
    ),
]
MetaModelOption = Annotated[
    Path | None,
    typer.Option(
        help="CSV or parquet of the meta model, for MMC. Eras that it lacks have none; other rows "
        "are ignored."
    ),
]
MetaModelColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Column of the meta model.  [default: 'prediction', else the only numeric one]",
    ),
]
BenchmarkOption = Annotated[
    Path | None, typer.Option(help="CSV or parquet of a benchmark model, for BMC; likewise.")
]
BenchmarkColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Column of the benchmark.  [default: 'prediction', else the only numeric one]",
    ),
]
PerEraOption = Annotated[
    Path | None,
    typer.Option(help="CSV to write: a row for every era and prediction, a column per metric."),
]
PlotOption = Annotated[
    Path | None, typer.Option(help="PNG to write: the cumulative CORR, and MMC if there is one.")
]

ProportionsOption = Annotated[
    list[float],
    typer.Option(
        metavar="SHARE",
        help="Share of the linear part to remove; repeat for several.",
        callback=_shares,
    ),
]
LimitsOption = Annotated[
    list[float],
    typer.Option(
        metavar="LIMIT",
        help="Largest exposure to clip at; repeat for several.",
        callback=_shares,
    ),
]
ScoringOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="Metric of an era: numerai_corr, fnc, mmc, bmc, payout, ..."),
]
NSplitsOption = Annotated[
    int | None,
    typer.Option(
        help="Choose the setting of the best Sharpe ratio on the other parts of so many, purged, "
        "and score it on each part.  [default: no choice]",
    ),
]
FrontierOption = Annotated[
    Path | None, typer.Option(help="PNG to write: the Sharpe ratio against the mean exposure.")
]
TableOption = Annotated[Path | None, typer.Option(help="CSV to write: the table.")]
