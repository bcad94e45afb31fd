"""The subcommands about uploads: ``export``, ``check-upload``, ``predict`` and ``submit``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sknumerai._atomic import complete_or_absent
from sknumerai._optional import import_optional
from sknumerai.cli._errors import CommandError
from sknumerai.cli._options import FeatureSetOption, FeaturesJsonOption, OverwriteOption

# The libraries are imported by the subcommand that needs them: --help must not wait for scipy.


class Runtime(StrEnum):
    """Versions of Python that the tournament runs."""

    python_3_11 = "3.11"
    python_3_12 = "3.12"
    python_3_13 = "3.13"


UploadArgument = Annotated[
    Path, typer.Argument(metavar="PREDICT.PKL", help="The upload.", show_default=False)
]
LiveOption = Annotated[
    Path, typer.Option(help="Parquet of the live features, such as live.parquet.")
]
BenchmarksOption = Annotated[
    Path | None, typer.Option(help="Parquet of the live benchmark models, with the same ids.")
]
RuntimeOption = Annotated[
    Runtime | None,
    typer.Option(
        help="Version of Python that is to run it, the one that wrote it.  [default: this one]"
    ),
]


def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.JOBLIB", help="A fitted model, saved by joblib.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option(help="The upload to write, a .pkl.", show_default=False)],
    feature_set: FeatureSetOption = None,
    features_json: FeaturesJsonOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Make an upload from a saved model.

    A model that was trained on an array needs --feature-set with --features-json, the names of
    its columns in their order.
    """
    import joblib

    from sknumerai.datasets import read_feature_sets
    from sknumerai.upload import make_predict, save_upload

    if output.suffix != ".pkl":
        raise CommandError(f"--output {output} does not end in .pkl.")
    if not overwrite and output.exists():
        raise CommandError(f"--output {output} exists; pass --overwrite to replace it.")
    names = None
    if (feature_set is None) != (features_json is None):
        raise CommandError("--feature-set and --features-json go together; pass both or neither.")
    if feature_set is not None and features_json is not None:
        sets = read_feature_sets(features_json)
        if feature_set not in sets:
            raise CommandError(f"--feature-set {feature_set}: there are {', '.join(sets)}.")
        names = sets[feature_set]
    if not model.is_file():
        raise CommandError(f"There is no file {model}.")
    try:
        fitted = joblib.load(model)
    except Exception as error:
        raise CommandError(f"{model} cannot be read ({type(error).__name__}: {error}).") from error
    path = save_upload(make_predict(fitted, feature_names=names), output)
    typer.echo(f"{type(fitted).__name__}, {path.stat().st_size / 1e6:.1f} MB -> {path}")


def check_upload(
    upload: UploadArgument,
    live: Annotated[
        Path | None,
        typer.Option(help="Parquet of live features.  [default: 7,000 rows that are made up]"),
    ] = None,
    benchmarks: BenchmarksOption = None,
    runtime: RuntimeOption = None,
    memory: Annotated[str, typer.Option(help="Limit on resident memory.")] = "4GB",
    seconds: Annotated[float, typer.Option(help="Limit on the time.")] = 600.0,
    python: Annotated[
        Path | None,
        typer.Option(help="Interpreter to run it with.  [default: the one of this command]"),
    ] = None,
) -> None:
    """Run an upload as the tournament does, and say what would go wrong there.

    It runs the code in the file: do not check a file of unknown origin. The exit code is 2 where
    it is refused.
    """
    from sknumerai.upload import check_upload

    report = check_upload(
        upload,
        live,
        benchmarks,
        runtime=runtime,
        memory=memory,
        seconds=seconds,
        python=python,
    )
    typer.echo(str(report))
    if not report.passed:
        raise typer.Exit(2)


def predict(
    upload: UploadArgument,
    live: LiveOption,
    output: Annotated[Path, typer.Option(help="CSV of predictions to write.")],
    benchmarks: BenchmarksOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Predict with an upload here, for submitting a file of predictions."""
    pd = import_optional("pandas", extra="cli")

    from sknumerai.upload import run_upload

    if output.suffix != ".csv":
        raise CommandError(f"--output {output} does not end in .csv.")
    if not overwrite and output.exists():
        raise CommandError(f"--output {output} exists; pass --overwrite to replace it.")
    if not output.parent.is_dir():
        raise CommandError(f"--output {output}: there is no folder {output.parent}; make it.")
    for option, path in (("--live", live), ("--benchmarks", benchmarks)):
        if path is not None and not path.is_file():
            raise CommandError(f"{option} {path}: there is no such file.")
    table = None if benchmarks is None else pd.read_parquet(benchmarks)
    predictions = run_upload(upload, pd.read_parquet(live), table)
    with complete_or_absent(output) as temporary:
        predictions.to_csv(temporary, index_label="id")
    typer.echo(f"{len(predictions)} predictions -> {output}")


def submit(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Predictions (.csv) or an upload (.pkl).", show_default=False
        ),
    ],
    model_name: Annotated[
        str, typer.Option("--model", help="Name of one of your models.", show_default=False)
    ],
    runtime: RuntimeOption = None,
    data_version: Annotated[
        str | None, typer.Option(metavar="NAME", help="Data that an upload is to get, as 'v5.3'.")
    ] = None,
) -> None:
    """Send predictions or an upload to the tournament.

    numerapi reads your keys from NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY.
    """
    from sknumerai.upload import submit

    number = submit(
        path,
        model_name,
        runtime=runtime,
        data_version=data_version,
    )
    typer.echo(f"{path} -> {model_name}: {number}")
