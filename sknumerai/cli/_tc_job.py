"""The work of ``tc``: contributions era by era, and the report."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sknumerai._era_loop import naming_era, stream_eras
from sknumerai._eras import name_era
from sknumerai._typing import Array, EraLabel
from sknumerai._warnings import warn_of_eras
from sknumerai.cli._errors import CommandError
from sknumerai.cli._features import FeatureChoice
from sknumerai.cli._files import list_some, write_frame
from sknumerai.cli._numbers import describe_unusable, unusable
from sknumerai.cli._paths import check_output
from sknumerai.cli._report import format_table
from sknumerai.cli._tc_inputs import Users, read_covariance, read_returns, read_stakes, read_users
from sknumerai.cli._tc_risk import OPTIONS, open_risk
from sknumerai.contribution._true_contribution import FEW_FREE, Rounds, contributions_of_era
from sknumerai.exceptions import (
    ConstantPredictionWarning,
    FewFreeAssetsWarning,
    InfeasiblePortfolioError,
    SolverError,
)
from sknumerai.metrics import score_summary
from sknumerai.portfolio import PortfolioOptimizer
from sknumerai.portfolio._interface import RiskData, RiskTables

HEADER = ("user", "mean", "std", "Sharpe", "hit rate", "eras")
N_SHOWN = 10  # at either end of the ranking
MAX_CONFLICTS = 5


@dataclass(frozen=True)
class Job:
    """What the command line asks of ``tc``."""

    users: Path
    stakes: Path
    returns: Path
    output: Path | None
    return_column: str | None
    exposures: Path | None
    choice: FeatureChoice
    loadings: Path | None
    covariance: Path | None
    specific_column: str | None
    sector_column: str | None
    previous_column: str | None
    program: dict[str, Any]
    rounds: dict[str, Any]
    era_column: str
    n_jobs: int
    quiet: bool
    overwrite: bool

    def inputs(self) -> dict[str, Path]:
        """Files to read, by option."""
        files = {
            "--users": self.users,
            "--stakes": self.stakes,
            "--returns": self.returns,
            "--exposures": self.exposures,
            "--features-json": self.choice.features_json,
            "--loadings": self.loadings,
            "--covariance": self.covariance,
        }
        return {option: path for option, path in files.items() if path is not None}

    def risk_columns(self) -> dict[str, str]:
        """Columns of single risk data, by the library's names."""
        columns = {
            "specific_variance": self.specific_column,
            "sectors": self.sector_column,
            "previous_weights": self.previous_column,
        }
        return {name: column for name, column in columns.items() if column is not None}


@dataclass(frozen=True)
class EraResult:
    """Contributions in one era, shape (n_users,), and how much they can be relied on."""

    contributions: Array
    free_share: float
    few_free: bool
    any_constant: bool


def contributions(
    predictions: Array,
    stakes: Array,
    returns: Array,
    risk: RiskData,
    *,
    optimizer: PortfolioOptimizer,
    rounds: Rounds,
) -> EraResult:
    """Contributions of one era, without the portfolios of all rounds, which are large."""
    values, result, _, any_constant = contributions_of_era(
        predictions,
        stakes,
        returns,
        risk,
        optimizer=optimizer,
        rounds=rounds,
        gaussianize=True,
        with_spread=False,
    )
    free = np.median([count for count in result.n_free if count is not None])
    return EraResult(values, float(free) / len(returns), result.few_free, any_constant)


def compute(job: Job) -> str:
    """Compute the contributions of users, and write them; returns the report.

    Raises
    ------
    CommandError
        If files cannot be read or written or do not fit together, or no portfolio meets the
        limits in some era.
    """
    start = time.perf_counter()
    _check_options(job)
    if job.output is not None:
        check_output("--output", job.output, job.inputs(), overwrite=job.overwrite)
    users = read_users(job.users, job.era_column)
    stakes = read_stakes(job.stakes, users, job.era_column)
    returns = read_returns(job.returns, job.return_column, users, job.era_column)
    covariance = None
    if job.covariance is not None:
        covariance = read_covariance(job.covariance, users, job.era_column)
    risk_files = open_risk(
        job.exposures, job.choice, job.loadings, covariance, job.risk_columns(), job.era_column
    )

    def tasks() -> Iterator[tuple[EraLabel, tuple[Any, ...]]]:
        frames = users.file.frames(users.names, users.groups.labels)
        parts = [item.eras(users) for item in risk_files]
        for i, (label, frame, *era_parts) in enumerate(
            zip(users.groups.labels, frames, *parts, strict=True)
        ):
            predictions = frame.to_numpy()
            _check_predictions(predictions, frame, label, users)
            data: dict[str, Any] = {}
            for part in era_parts:
                data |= part
            if covariance is not None:
                data["factor_covariance"] = covariance.era(label)
            tables = RiskTables(len(predictions), **data)
            with naming_era(label):
                risk = tables.era(label, slice(0, len(frame)))
            yield label, (predictions, stakes[i], returns[users.groups.rows[i], None], risk)

    kernel = partial(
        contributions, optimizer=PortfolioOptimizer(**job.program), rounds=Rounds(**job.rounds)
    )
    try:
        stream = stream_eras(
            kernel, tasks(), total=len(users.groups), n_jobs=job.n_jobs, verbose=not job.quiet
        )
        results = list(stream)
    except (ValueError, SolverError) as error:
        raise CommandError(_in_options(error, job)) from error
    labels = [users.groups.labels[i] for i in users.order]
    results = [results[i] for i in users.order]
    _warn(labels, results)
    table = pd.DataFrame(
        np.array([result.contributions for result in results]),
        index=pd.Index(labels, name="era"),
        columns=users.names,
    )
    if job.output is not None:
        write_frame(table, job.output)
    seconds = time.perf_counter() - start
    return f"{_summary(table)}\n{_last_lines(job, users, table, results, seconds)}"


def _check_options(job: Job) -> None:
    """Insist that every option has the one that it belongs to."""
    choice, program = job.choice, job.program
    sector_neutral = program["sector_neutral"] or None
    costs = program["transaction_costs"] or None
    exposures = "--exposures", job.exposures
    either = "--loadings or --exposures", job.loadings or job.exposures
    previous = "--previous-column", job.previous_column
    for option, value, (needs, given) in (
        ("--feature-set", choice.feature_set, exposures),
        ("--features-json", choice.features_json, exposures),
        ("--feature-columns", choice.pattern, exposures),
        ("--max-exposure", program["max_exposure"], exposures),
        ("--covariance", job.covariance, ("--loadings", job.loadings)),
        ("--specific-column", job.specific_column, either),
        ("--sector-column", job.sector_column, either),
        ("--previous-column", job.previous_column, either),
        ("--sector-neutral", sector_neutral, ("--sector-column", job.sector_column)),
        ("--sector-column", job.sector_column, ("--sector-neutral", sector_neutral)),
        ("--transaction-costs", costs, previous),
        ("--max-turnover", program["max_turnover"], previous),
    ):
        if value is not None and given is None:
            raise CommandError(f"{option} is of use with {needs} only; pass that, too.")
    if job.loadings is not None and job.specific_column is None:
        raise CommandError(
            "--loadings without --specific-column leaves every specific variance at 1, far above "
            "those of returns; name the column."
        )
    if job.quiet and job.output is None:
        raise CommandError("--quiet leaves nothing to see; pass --output, too.")


def _check_predictions(
    predictions: Array, frame: pd.DataFrame, label: EraLabel, users: Users
) -> None:
    """Insist on predictions of all or no stocks of an era, which the library says less well."""
    if predictions.dtype.kind != "f":
        return
    missing = np.isnan(predictions)
    bad = (unusable(predictions) & ~missing) | (missing & ~missing.all(axis=0))
    if bad.any():
        user = int(np.argmax(bad.any(axis=0)))
        row = int(np.argmax(bad[:, user]))
        raise CommandError(
            f"{users.file.source} has {describe_unusable(predictions[bad])} predictions in "
            f"{name_era(label)}, first {int(bad[:, user].sum())} of {len(bad)} of user "
            f"{users.names[user]!r}, at id {frame.index[row]!r}; a user has predictions for all "
            "stocks of an era, or NaN for all."
        )


def _in_options(error: Exception, job: Job) -> str:
    """An error of the library in the words of the command line."""
    text = str(error)
    if isinstance(error, InfeasiblePortfolioError) and len(error.conflict) > MAX_CONFLICTS:
        some = ", ".join(error.conflict[:MAX_CONFLICTS])
        more = len(error.conflict) - MAX_CONFLICTS
        text = text.replace(", ".join(error.conflict), f"{some} and {more} more")
    names = {name: f"--{name.replace('_', '-')}" for name in [*job.program, *job.rounds]}
    names |= OPTIONS | {"factor_covariance": "--covariance", "factor_loadings": "--loadings"}
    # Others of one word are words of prose, too.
    names = {name: option for name, option in names.items() if "_" in name or name == "budget"}
    return re.sub(r"\b(" + "|".join(names) + r")\b", lambda found: names[found[0]], text)


def _warn(labels: list[EraLabel], results: list[EraResult]) -> None:
    warn_of_eras(
        f"fewer than {FEW_FREE:.0%} of the assets are free to move within the binding limits, "
        "in the median round, so that contributions depend on the dropout; lower "
        "--signal-scale, or widen the limits.",
        [label for label, result in zip(labels, results, strict=True) if result.few_free],
        FewFreeAssetsWarning,
    )
    warn_of_eras(
        "a user's prediction is constant, so that the contribution is NaN there.",
        [label for label, result in zip(labels, results, strict=True) if result.any_constant],
        ConstantPredictionWarning,
    )


def _summary(table: pd.DataFrame) -> str:
    """Statistics of the users that contribute most and least, over the eras they took part in."""
    ranking = table.mean().dropna().sort_values(ascending=False, kind="stable").index
    chosen = list(ranking)
    if len(ranking) > 2 * N_SHOWN:
        chosen = [*ranking[:N_SHOWN], None, *ranking[-N_SHOWN:]]
    rows = []
    for user in chosen:
        if user is None:
            rows.append(["...", *[""] * (len(HEADER) - 1)])
            continue
        summary = score_summary(table[user].dropna())
        small = [f"{summary[name]:.2e}" for name in ("mean", "std")]
        others = [summary["sharpe"], summary["hit_rate"], int(summary["n_eras"])]
        rows.append([user, *small, *others])
    return format_table(HEADER, rows)


def _last_lines(
    job: Job, users: Users, table: pd.DataFrame, results: list[EraResult], seconds: float
) -> str:
    shares = np.array([result.free_share for result in results])
    lowest = int(np.argmin(shares))
    text = (
        f"free assets in the median round: {shares.mean():.1%}, least {shares[lowest]:.1%} in "
        f"{name_era(table.index[lowest])}\n"
    )
    silent = table.columns[table.isna().all()]
    if len(silent):
        text += f"without a contribution: {len(silent)} users ({list_some(silent, 3)})\n"
    text += (
        f"{_count(len(table), 'era')}, {len(users.ids)} rows, {_count(table.shape[1], 'user')}, "
        f"{_count(job.rounds['n_rounds'], 'round')} in {seconds:.1f} s"
    )
    return text + (f" -> {job.output}" if job.output else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
