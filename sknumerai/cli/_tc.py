"""The options of the subcommand ``tc``."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sknumerai.cli._errors import CommandError
from sknumerai.cli._options import (
    EraColumnOption,
    FeatureColumnsOption,
    FeatureSetOption,
    FeaturesJsonOption,
    NJobsOption,
    OverwriteOption,
    QuietOption,
)


class Gradient(StrEnum):
    """What the gradient is taken by."""

    raw = "raw"
    stake_weighted = "stake_weighted"


def tc(
    users: Annotated[
        Path,
        typer.Option(
            help="Parquet with ids, eras and one numeric column of predictions per user. It is "
            "read era by era; a user that did not take part in an era is NaN in all of its rows.",
            show_default=False,
        ),
    ],
    stakes: Annotated[
        Path,
        typer.Option(
            help="CSV or parquet with the columns user and stake, or with the eras as a column and "
            "one column per user.",
            show_default=False,
        ),
    ],
    returns: Annotated[
        Path,
        typer.Option(
            help="CSV or parquet with ids and realised returns; other rows are ignored.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="CSV or parquet to write: a row per era, a column per user."),
    ] = None,
    return_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of the returns.  [default: 'return', else the only numeric one]",
        ),
    ] = None,
    exposures: Annotated[
        Path | None,
        typer.Option(
            help="Parquet with ids and features that the portfolio must not be exposed to. If it "
            "has eras, it is read era by era; other rows are ignored."
        ),
    ] = None,
    feature_set: FeatureSetOption = None,
    features_json: FeaturesJsonOption = None,
    feature_columns: FeatureColumnsOption = None,
    loadings: Annotated[
        Path | None,
        typer.Option(
            help="Parquet with ids and factor loadings, likewise: the columns that --covariance "
            "names, else all numeric ones that no other option names."
        ),
    ] = None,
    covariance: Annotated[
        Path | None,
        typer.Option(
            help="CSV of the factors' covariance, with their names as header; with the eras as a "
            "column if there is one matrix per era.  [default: the identity]"
        ),
    ] = None,
    specific_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of specific variances, of --loadings or else of --exposures.  "
            "[default: all are 1]",
        ),
    ] = None,
    sector_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of sectors, likewise.")
    ] = None,
    previous_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of the weights held before each era, likewise."),
    ] = None,
    risk_aversion: Annotated[float, typer.Option(help="Aversion to variance.")] = 1.0,
    min_weights: Annotated[
        float | None, typer.Option(help="Smallest weight of a stock.  [default: any]")
    ] = None,
    max_weights: Annotated[
        float | None, typer.Option(help="Largest weight of a stock.  [default: any]")
    ] = None,
    budget: Annotated[float, typer.Option(help="Net weight; 0 is dollar neutral.")] = 0.0,
    max_leverage: Annotated[
        float | None, typer.Option(help="Largest gross weight.  [default: any]")
    ] = None,
    max_exposure: Annotated[
        float | None,
        typer.Option(help="Largest absolute exposure to a feature.  [default: 0]"),
    ] = None,
    sector_neutral: Annotated[
        bool, typer.Option("--sector-neutral", help="Make the net weight of every sector zero.")
    ] = False,
    l1_coef: Annotated[float, typer.Option(help="Penalty on gross weight.")] = 0.0,
    l2_coef: Annotated[float, typer.Option(help="Penalty on half the squared weights.")] = 0.0,
    transaction_costs: Annotated[
        float, typer.Option(help="Cost per unit of weight bought or sold.")
    ] = 0.0,
    max_turnover: Annotated[
        float | None,
        typer.Option(help="Largest weight bought and sold together.  [default: any]"),
    ] = None,
    n_rounds: Annotated[int, typer.Option(help="Rounds of dropout.")] = 100,
    dropout: Annotated[
        float, typer.Option(help="Probability that a stake is dropped in a round.")
    ] = 0.5,
    gradient: Annotated[
        Gradient,
        typer.Option(help="By the sum of signals times stakes, or by their weighted mean."),
    ] = Gradient.raw,
    signal_scale: Annotated[
        float, typer.Option(help="Root mean square of the optimizer's signal, a typical return.")
    ] = 1e-3,
    power: Annotated[float, typer.Option(help="Power of the stake-weighted signal.")] = 1.5,
    seed: Annotated[int, typer.Option(help="Seed of the dropout.")] = 0,
    era_column: EraColumnOption = "era",
    n_jobs: NJobsOption = 1,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """True Contribution of users: what a portfolio's return gains per unit of their stakes.

    In every era and round of dropout the stakes make a signal of the predictions, and an
    optimizer makes a portfolio of that, neutral to the exposures given.
    """
    program = {
        "risk_aversion": risk_aversion,
        "min_weights": min_weights,
        "max_weights": max_weights,
        "budget": budget,
        "max_leverage": max_leverage,
        "max_exposure": max_exposure,
        "sector_neutral": sector_neutral,
        "l1_coef": l1_coef,
        "l2_coef": l2_coef,
        "transaction_costs": transaction_costs,
        "max_turnover": max_turnover,
    }
    rounds: dict[str, Any] = {
        "n_rounds": n_rounds,
        "dropout": dropout,
        "gradient": gradient.value,
        "signal_scale": signal_scale,
        "power": power,
        "seed": seed,
    }
    _check_numbers(program | rounds)
    from sknumerai.cli import _tc_job

    report = _tc_job.compute(
        _tc_job.Job(
            users=users,
            stakes=stakes,
            returns=returns,
            output=output,
            return_column=return_column,
            exposures=exposures,
            choice=_tc_job.FeatureChoice(feature_set, features_json, feature_columns),
            loadings=loadings,
            covariance=covariance,
            specific_column=specific_column,
            sector_column=sector_column,
            previous_column=previous_column,
            program=program,
            rounds=rounds,
            era_column=era_column,
            n_jobs=n_jobs,
            quiet=quiet,
            overwrite=overwrite,
        )
    )
    if not quiet:
        typer.echo(report)


SMALLEST = 1e-30  # of the sizes that can be computed with
POSITIVE = ("risk_aversion", "max_leverage", "max_turnover", "signal_scale")
# The others of the numbers, but for those of any sign.
LEAST = {
    "max_exposure": 0,
    "l1_coef": 0,
    "l2_coef": 0,
    "transaction_costs": 0,
    "n_rounds": 1,
    "power": 1,
    "seed": 0,
}


def _check_numbers(numbers: dict[str, Any]) -> None:
    for name, value in numbers.items():
        if value is None or isinstance(value, str):
            continue
        if not math.isfinite(value):
            needed = "a finite number"
        elif isinstance(value, float) and value and not SMALLEST <= abs(value) <= 1 / SMALLEST:
            needed = f"0 or a number between {SMALLEST:g} and {1 / SMALLEST:g} in size"
        elif name in POSITIVE and value <= 0:
            needed = "a number above 0"
        elif name in LEAST and value < LEAST[name]:
            needed = f"{LEAST[name]} or more"
        elif name == "dropout" and not 0 <= value < 1:
            needed = "a number from 0 to below 1"
        else:
            continue
        raise CommandError(f"--{name.replace('_', '-')} is {value}; pass {needed}.")
    low, high = numbers["min_weights"], numbers["max_weights"]
    if low is not None and high is not None and low > high:
        raise CommandError(f"--min-weights {low} is above --max-weights {high}; swap them.")
