"""The options of the command, and its exit codes."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import sknumerai
from sknumerai.cli._calls import call
from sknumerai.cli._errors import USERS_ERRORS, CommandError, sentence, warnings_on_one_line
from sknumerai.cli._options import (
    BenchmarkColumnOption,
    BenchmarkOption,
    Bounds,
    BoundsOption,
    DaskOption,
    EraColumnOption,
    FeatureColumnsOption,
    FeatureSetOption,
    FeaturesJsonOption,
    FeaturesOption,
    FrontierOption,
    LimitsOption,
    MaxExposureOption,
    MetaModelColumnOption,
    MetaModelOption,
    NJobsOption,
    Normalize,
    NormalizeOption,
    NSplitsOption,
    OnInfeasible,
    OnInfeasibleOption,
    OutputOption,
    OverwriteOption,
    PerEraOption,
    PlotOption,
    PredictionColumnOption,
    PredictionsOption,
    ProportionOption,
    ProportionsOption,
    QuietOption,
    Scale,
    ScaleOption,
    ScoredFeaturesOption,
    ScoringOption,
    SingleEraOption,
    TableOption,
    TargetColumnOption,
    TargetsOption,
)
from sknumerai.cli._tc import tc
from sknumerai.cli._upload import check_upload, export, predict, submit

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
    max_exposure: MaxExposureOption = 0.1,
    bounds: BoundsOption = Bounds.symmetric,
    normalize: NormalizeOption = Normalize.gaussian,
    scale: ScaleOption = Scale.minmax,
    on_infeasible: OnInfeasibleOption = OnInfeasible.error,
    feature_set: FeatureSetOption = None,
    features_json: FeaturesJsonOption = None,
    feature_columns: FeatureColumnsOption = None,
    prediction_column: PredictionColumnOption = None,
    era_column: EraColumnOption = "era",
    single_era: SingleEraOption = False,
    n_jobs: NJobsOption = 1,
    dask: DaskOption = None,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Clip the feature exposures of predictions, changing the predictions least."""
    _tell(call("clip_files", locals()), quiet)


@app.command()
def neutralize(
    predictions: PredictionsOption,
    features: FeaturesOption,
    output: OutputOption,
    proportion: ProportionOption = 1.0,
    normalize: NormalizeOption = Normalize.gaussian,
    scale: ScaleOption = Scale.minmax,
    feature_set: FeatureSetOption = None,
    features_json: FeaturesJsonOption = None,
    feature_columns: FeatureColumnsOption = None,
    prediction_column: PredictionColumnOption = None,
    era_column: EraColumnOption = "era",
    single_era: SingleEraOption = False,
    n_jobs: NJobsOption = 1,
    dask: DaskOption = None,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Neutralize predictions to the features, by a proportion.

    The defaults of --normalize and --scale are those of clip, so that the results of both can be
    compared, and uploaded.
    """
    _tell(call("neutralize_files", locals()), quiet)


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
    dask: DaskOption = None,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Score predictions era by era, with all metrics that the files given allow.

    CORR always; FNC and the largest feature exposure with --features; MMC and the correlation
    with the meta model with --meta-model; BMC with --benchmark. Eras without predictions, or
    without targets, are left out.
    """
    options = locals()
    outputs = {name: options.pop(name) for name in ("per_era", "plot", "overwrite")}
    from sknumerai.cli import _score

    _tell(_score.score(options, **outputs), quiet)


@app.command()
def tune(
    predictions: PredictionsOption,
    targets: TargetsOption,
    features: FeaturesOption,
    proportion: ProportionsOption = [0.25, 0.5, 0.75, 1.0],  # noqa: B006
    limit: LimitsOption = [0.2, 0.1, 0.05],  # noqa: B006
    scoring: ScoringOption = "numerai_corr",
    n_splits: NSplitsOption = None,
    bounds: BoundsOption = Bounds.symmetric,
    normalize: NormalizeOption = Normalize.gaussian,
    on_infeasible: OnInfeasibleOption = OnInfeasible.error,
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
    output: TableOption = None,
    plot: FrontierOption = None,
    n_jobs: NJobsOption = 1,
    dask: DaskOption = None,
    quiet: QuietOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Compare what proportions of neutralization and limits of clipping do to predictions.

    For each of them: scores over eras, the largest exposure of an era, and the correlation with
    the unchanged predictions.
    """
    options = locals()
    outputs = {name: options.pop(name) for name in ("n_splits", "output", "plot", "overwrite")}
    from sknumerai.cli import _tune

    _tell(_tune.tune(options, **outputs), quiet)


app.command()(tc)
app.command()(export)
app.command(name="check-upload")(check_upload)
app.command()(predict)
app.command()(submit)


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


def _tell(report: object, quiet: bool) -> None:
    if not quiet:
        typer.echo(str(report))


def run(arguments: Sequence[str] | None) -> int:
    """Run the command and return its exit code; errors of use become one line."""
    usage_error = typer.BadParameter.__bases__[0]  # typer does not export click's UsageError
    command: Any = typer.main.get_command(app)
    given = sys.argv[1:] if arguments is None else list(arguments)
    verb = command.commands.get(next((word for word in given if word in command.commands), ""))
    parameters = [] if verb is None else verb.params
    options = sorted(p.name for p in parameters if p.param_type_name == "option")
    try:
        with warnings_on_one_line(options):
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
    except USERS_ERRORS as error:
        print(f"error: {sentence(error, options)}", file=sys.stderr)
        return USAGE_ERROR
    except typer.Abort:
        raise KeyboardInterrupt from None
    if code == 130:  # typer's way of telling of Ctrl-C
        raise KeyboardInterrupt
    return int(code or 0)
