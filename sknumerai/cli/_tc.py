"""The options of the subcommand ``tc``."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sknumerai.cli._errors import CommandError
from sknumerai.cli._options import (
    DaskOption,
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
    dask: DaskOption = None,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """True Contribution of users: what a portfolio's return gains per unit of their stakes.

    In every era and round of dropout the stakes make a signal of the predictions, and an
    optimizer makes a portfolio of that, neutral to the exposures given.
    """
    options = locals()
    _check_numbers({name: options[name] for name in (*PROGRAM, *ROUNDS)})
    _check_options(options)
    overwritten = {name: options.pop(name) for name in ("output", "overwrite")}
    program = {name: options.pop(name) for name in PROGRAM}
    for argument, option in ARGUMENTS.items():
        options[argument] = options.pop(option)
    from sknumerai.cli import _tc_report

    report = _tc_report.contributions(options, program, **overwritten)
    if not quiet:
        typer.echo(report)


PROGRAM = (
    *("risk_aversion", "min_weights", "max_weights", "budget", "max_leverage", "max_exposure"),
    *("sector_neutral", "l1_coef", "l2_coef", "transaction_costs", "max_turnover"),
)
ROUNDS = ("n_rounds", "dropout", "gradient", "signal_scale", "power", "seed")
ARGUMENTS = {  # of the library, whose options have other names
    "user_predictions": "users",
    "factor_loadings": "loadings",
    "factor_covariance": "covariance",
    "specific_variance": "specific_column",
    "sectors": "sector_column",
    "previous_weights": "previous_column",
    "random_state": "seed",
}
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


def _check_options(options: dict[str, Any]) -> None:
    """Insist that every option has the one that it belongs to."""
    for option, needed in (
        ("max_exposure", "exposures"),
        ("sector_neutral", "sector_column"),
        ("sector_column", "sector_neutral"),
        ("transaction_costs", "previous_column"),
        ("max_turnover", "previous_column"),
    ):
        given = options[option] not in (None, False) and (option, options[option]) != (
            "transaction_costs",
            0.0,
        )
        if given and options[needed] in (None, False):
            names = [f"--{name.replace('_', '-')}" for name in (option, needed)]
            raise CommandError(f"{names[0]} is of use with {names[1]} only; pass that, too.")
    if options["quiet"] and options["output"] is None:
        raise CommandError("--quiet leaves nothing to see; pass --output, too.")
