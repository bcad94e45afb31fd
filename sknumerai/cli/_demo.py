"""The subcommand ``demo``: a whole tournament in miniature, from data to scores."""

import shlex
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from sknumerai._atomic import complete_or_absent
from sknumerai._columns import FEATURE_PREFIX
from sknumerai.cli._errors import CommandError
from sknumerai.cli._outputs import plot_cumulative
from sknumerai.datasets import read_tournament, write_tournament
from sknumerai.metrics import corr_with, era_table, score_summary
from sknumerai.neutralization import clip_exposure, neutralize
from sknumerai.streaming._text_table import format_table
from sknumerai.streaming._whole_table import write_frame

MAX_EXPOSURE = 0.1
NEXT_MAX_EXPOSURE = 0.05
PROPORTIONS = (0.5, 1.0)
STATISTICS = ["mean", "std", "sharpe", "max_drawdown"]
WITH_RAW = "with_raw"
MARKER = "README.txt"
TITLE = "Files of `sknumerai demo`"
DESCRIPTION = f"""{TITLE}: a synthetic tournament, and a model's predictions of it.

train.parquet, validation.parquet, live.parquet    ids, eras, features (int8, 0..4) and targets
*_example_preds.parquet, meta_model.parquet        predictions that come with the data
features.json                                      feature sets and groups
predictions.parquet                                the demo's: raw, clipped and neutralized
cumulative_corr.png                                their scores, added up over the validation eras

The next `sknumerai demo` into this folder replaces these files.
"""


def run(
    folder: Path, *, n_eras: int, n_stocks: int, n_features: int, seed: int, n_jobs: int
) -> None:
    """Run the demo into a folder, telling what it does.

    Raises
    ------
    CommandError
        If the folder cannot be made or written to, or holds files of somebody else.
    """
    start = time.perf_counter()
    try:
        _prepare(folder)
        _say(f"Writing a tournament: {n_eras} eras, {n_stocks} stocks, {n_features} features ...")
        paths = write_tournament(
            folder,
            n_eras=n_eras,
            n_stocks=n_stocks,
            n_features=n_features,
            n_validation_eras=n_eras // 2,
            # stronger signals than the real ones, of which a real model learns from many times
            # as many rows
            nonlinear_corr=0.08,
            linear_risk=0.06,
            random_state=seed,
            overwrite=True,
        )
        _say("  (with stronger signals than the real one, since it has far fewer rows)")
        _say("Training gradient boosting on the training eras ...")
        model = _train(paths, seed)
        _say("Predicting the validation eras ...")
        validation = read_tournament(paths.validation)
        features = _features(validation)
        raw = pd.Series(model.predict(features), index=validation.index, name="prediction")
        _say(f"Clipping exposures to {MAX_EXPOSURE}, and neutralizing by {PROPORTIONS} ...")
        variants = _variants(raw, features, validation["era"], n_jobs)
        _say("Scoring ...\n")
        with_raw = partial(corr_with, other=raw, method="spearman", aggregate=None)
        per_era = era_table(
            validation["target"],
            variants,
            eras=validation["era"],
            features=features,
            metrics={
                "numerai_corr": "numerai_corr",
                "max_exposure": "max_exposure",
                WITH_RAW: with_raw,
            },
        )
        print(_table(per_era))
        predictions = folder / "predictions.parquet"
        write_frame(variants.assign(era=validation["era"]), predictions)
        picture = folder / "cumulative_corr.png"
        with complete_or_absent(picture) as temporary:
            corr = pd.DataFrame(per_era.xs("numerai_corr", axis=1, level="metric"))
            plot_cumulative({"CORR": corr}, temporary)
    except OSError as error:
        raise CommandError(
            f"--output-dir {folder} cannot be written to ({error.strerror or error}); name "
            "another folder."
        ) from error
    print(f"\nDone in {time.perf_counter() - start:.0f} s; all files are in {folder}:")
    print("  predictions.parquet   all four predictions of the validation eras")
    print("  cumulative_corr.png   their scores, added up over the eras")
    print("\nNext, clip the predictions harder, as you would your own:")
    print(f"  {_next_command(predictions, paths.validation, folder / 'clipped.parquet')}")


def _say(text: str) -> None:
    print(text, flush=True)


def _prepare(folder: Path) -> None:
    """Make the folder, and mark it as one that the next demo may write to."""
    marker = folder / MARKER
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--output-dir {folder} is not a folder; name another one.")
    if folder.exists() and any(folder.iterdir()):
        own = marker.is_file() and marker.read_text(encoding="utf-8").startswith(TITLE)
        if not own:
            raise CommandError(
                f"--output-dir {folder} holds files that no demo wrote, which this one could "
                "replace; name a new folder."
            )
    folder.mkdir(parents=True, exist_ok=True)
    with complete_or_absent(marker) as temporary:
        temporary.write_text(DESCRIPTION, encoding="utf-8")


def _train(paths: Any, seed: int) -> HistGradientBoostingRegressor:
    train = read_tournament(paths.train)
    model = HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.03, max_leaf_nodes=16, min_samples_leaf=100, random_state=seed
    )
    return model.fit(_features(train), train["target"])


def _features(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[:, frame.columns.str.startswith(FEATURE_PREFIX)]


def _variants(raw: pd.Series, features: pd.DataFrame, eras: pd.Series, n_jobs: int) -> pd.DataFrame:
    options: dict[str, Any] = {
        "eras": eras,
        "normalize": "gaussian",
        "scale": "minmax",
        "n_jobs": n_jobs,
    }
    clipped: pd.Series = clip_exposure(raw, features, MAX_EXPOSURE, **options)
    neutral: pd.DataFrame = neutralize(raw, features, proportion=PROPORTIONS, **options)
    return pd.concat(
        [
            raw,
            clipped.rename(f"clipped_{MAX_EXPOSURE}"),
            neutral.rename(columns=lambda name: name.replace("prediction", "neutralized")),
        ],
        axis=1,
    )


def _table(per_era: pd.DataFrame) -> str:
    """Statistics of every variant over the validation eras."""
    summary: Any = score_summary(per_era)  # the stubs do not know rows of a MultiIndex
    rows = [
        [
            name,
            *map(float, summary.loc[(name, "numerai_corr"), STATISTICS]),
            *(float(summary.loc[(name, metric), "mean"]) for metric in ("max_exposure", WITH_RAW)),
        ]
        for name in per_era.columns.unique("prediction")
    ]
    header = ["variant", "mean", "std", "Sharpe", "drawdown", "mean over eras", "with raw"]
    above = [("", 1), (f"CORR over {len(per_era)} eras", 4), ("max exposure", 1), ("corr.", 1)]
    return format_table(header, rows, above=above)


def _next_command(predictions: Path, features: Path, output: Path) -> str:
    # `make demo` runs the command of an environment that is not activated
    program = "sknumerai" if shutil.which("sknumerai") else sys.argv[0]
    words = [program, "clip", "--max-exposure", NEXT_MAX_EXPOSURE]
    words += ["--predictions", predictions, "--features", features, "--output", output]
    return shlex.join(map(str, words))
