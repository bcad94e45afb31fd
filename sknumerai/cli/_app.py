"""The options of the command, and its exit codes."""

import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import sknumerai
from sknumerai.cli._errors import CommandError, sentence, warnings_on_one_line
from sknumerai.cli._options import (
    BenchmarkColumnOption,
    BenchmarkOption,
    Bounds,
    EraColumnOption,
    FeatureColumnsOption,
    FeatureSetOption,
    FeaturesJsonOption,
    FeaturesOption,
    MetaModelColumnOption,
    MetaModelOption,
    NJobsOption,
    Normalize,
    NormalizeOption,
    OnInfeasible,
    OutputOption,
    OverwriteOption,
    PerEraOption,
    PlotOption,
    PredictionColumnOption,
    PredictionsOption,
    QuietOption,
    Scale,
    ScaleOption,
    ScoredFeaturesOption,
    SingleEraOption,
    TargetColumnOption,
    TargetsOption,
    check_share,
)
from sknumerai.cli._tc import tc

# The jobs are imported by the subcommand that does them: --help must not wait for scipy.

USAGE_ERROR = 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"sknumerai {sknumerai.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _sknumerai(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Tools for the Numerai tournament, on files."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def clip(
    predictions: PredictionsOption,
    features: FeaturesOption,
    output: OutputOption,
    max_exposure: Annotated[
        float, typer.Option(help="Largest absolute correlation with a feature in an era.")
    ] = 0.1,
    bounds: Annotated[
        Bounds,
        typer.Option(
            help="symmetric: exposures within the limit. shrink: besides, none may grow or change "
            "its sign."
        ),
    ] = Bounds.symmetric,
    normalize: NormalizeOption = Normalize.gaussian,
    scale: ScaleOption = Scale.minmax,
    on_infeasible: Annotated[
        OnInfeasible,
        typer.Option(help="Where the limit leaves nothing of a prediction: stop, or widen it."),
    ] = OnInfeasible.error,
    feature_set: FeatureSetOption = None,
    features_json: FeaturesJsonOption = None,
    feature_columns: FeatureColumnsOption = None,
    prediction_column: PredictionColumnOption = None,
    era_column: EraColumnOption = "era",
    single_era: SingleEraOption = False,
    n_jobs: NJobsOption = 1,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Clip the feature exposures of predictions, changing the predictions least."""
    check_share("--max-exposure", max_exposure)
    from sknumerai.cli import _stream

    job = _stream.Job(
        predictions=predictions,
        features=features,
        output=output,
        prediction_columns=prediction_column or [],
        choice=_stream.FeatureChoice(feature_set, features_json, feature_columns),
        era_column=era_column,
        single_era=single_era,
        n_jobs=n_jobs,
        quiet=quiet,
        overwrite=overwrite,
    )
    report = _stream.clip(
        job,
        max_exposure=max_exposure,
        bounds=bounds.value,
        normalize=_or_none(normalize),
        scale=_or_none(scale),
        on_infeasible=on_infeasible.value,
    )
    if not quiet:
        typer.echo(report)


@app.command()
def neutralize(
    predictions: PredictionsOption,
    features: FeaturesOption,
    output: OutputOption,
    proportion: Annotated[
        float, typer.Option(help="Share to remove of what the features explain linearly.")
    ] = 1.0,
    normalize: NormalizeOption = Normalize.gaussian,
    scale: ScaleOption = Scale.minmax,
    feature_set: FeatureSetOption = None,
    features_json: FeaturesJsonOption = None,
    feature_columns: FeatureColumnsOption = None,
    prediction_column: PredictionColumnOption = None,
    era_column: EraColumnOption = "era",
    single_era: SingleEraOption = False,
    n_jobs: NJobsOption = 1,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Neutralize predictions to the features, by a proportion.

    The defaults of --normalize and --scale are those of clip, so that the results of both can be
    compared, and uploaded.
    """
    check_share("--proportion", proportion)
    from sknumerai.cli import _stream

    job = _stream.Job(
        predictions=predictions,
        features=features,
        output=output,
        prediction_columns=prediction_column or [],
        choice=_stream.FeatureChoice(feature_set, features_json, feature_columns),
        era_column=era_column,
        single_era=single_era,
        n_jobs=n_jobs,
        quiet=quiet,
        overwrite=overwrite,
    )
    report = _stream.neutralize(
        job, proportion=proportion, normalize=_or_none(normalize), scale=_or_none(scale)
    )
    if not quiet:
        typer.echo(report)


@app.command()
def score(
    predictions: PredictionsOption,
    targets: TargetsOption,
    features: ScoredFeaturesOption = None,
    feature_set: FeatureSetOption = None,
    features_json: FeaturesJsonOption = None,
    feature_columns: FeatureColumnsOption = None,
    meta_model: MetaModelOption = None,
    meta_model_column: MetaModelColumnOption = None,
    benchmark: BenchmarkOption = None,
    benchmark_column: BenchmarkColumnOption = None,
    prediction_column: PredictionColumnOption = None,
    target_column: TargetColumnOption = "target",
    era_column: EraColumnOption = "era",
    per_era: PerEraOption = None,
    plot: PlotOption = None,
    n_jobs: NJobsOption = 1,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Score predictions era by era, with all metrics that the files given allow.

    CORR always; FNC and the largest feature exposure with --features; MMC and the correlation
    with the meta model with --meta-model; BMC with --benchmark. Eras without predictions, or
    without targets, are left out.
    """
    from sknumerai.cli import _score

    report = _score.score(
        _score.Job(
            predictions=predictions,
            prediction_columns=prediction_column or [],
            targets=targets,
            target_column=target_column,
            era_column=era_column,
            features=features,
            choice=_score.FeatureChoice(feature_set, features_json, feature_columns),
            meta_model=meta_model,
            meta_model_column=meta_model_column,
            benchmark=benchmark,
            benchmark_column=benchmark_column,
            per_era=per_era,
            plot=plot,
            n_jobs=n_jobs,
            quiet=quiet,
            overwrite=overwrite,
        )
    )
    if not quiet:
        typer.echo(report)


app.command()(tc)


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option(help="Folder for the files; made if absent.")] = Path(
        "sknumerai-demo"
    ),
    n_eras: Annotated[int, typer.Option(help="Weekly eras; half of them for training.")] = 120,
    n_stocks: Annotated[int, typer.Option(help="Stocks in each era.")] = 1000,
    n_features: Annotated[int, typer.Option(help="Features.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the data and of the model.")] = 0,
    n_jobs: NJobsOption = 1,
) -> None:
    """Make a synthetic tournament, train a model, and show what clipping does to it."""
    for option, value, least, most in (
        ("--n-eras", n_eras, 4, 9999),
        ("--n-stocks", n_stocks, 20, 1_000_000),
        ("--n-features", n_features, 2, 1_000_000),
        ("--seed", seed, 0, 2**32 - 1),
    ):
        if not least <= value <= most:
            bound = f"{least} or more" if value < least else f"{most} or less"
            raise CommandError(f"{option} is {value}; pass {bound}.")
    from sknumerai.cli import _demo

    _demo.run(
        output_dir,
        n_eras=n_eras,
        n_stocks=n_stocks,
        n_features=n_features,
        seed=seed,
        n_jobs=n_jobs,
    )


def _or_none(choice: StrEnum) -> Any:
    return None if choice.value == "none" else choice.value


def run(arguments: Sequence[str] | None) -> int:
    """Run the command and return its exit code; errors of use become one line."""
    usage_error = typer.BadParameter.__bases__[0]  # typer does not export click's UsageError
    command = typer.main.get_command(app)
    try:
        with warnings_on_one_line():
            code = command.main(
                args=None if arguments is None else list(arguments),
                prog_name="sknumerai",
                standalone_mode=False,
            )
        sys.stdout.flush()
    except usage_error as error:
        message = " ".join(error.format_message().split())
        print(f"error: {message} (see sknumerai --help)", file=sys.stderr)
        return USAGE_ERROR
    except (CommandError, BrokenExecutor, MemoryError) as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return USAGE_ERROR
    except typer.Abort:
        raise KeyboardInterrupt from None
    if code == 130:  # typer's way of telling of Ctrl-C
        raise KeyboardInterrupt
    return int(code or 0)
