"""From what a run told to what is wrong with an upload, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sknumerai.upload._runtimes import PACKAGES
from sknumerai.upload._supervised import Outcome
from sknumerai.upload._upload_report import UploadReport

NAN = float("nan")
STAGES = {
    "load": "The file cannot be read",
    "signature": "The file holds no function",
    "run": "The function fails",
    "result": "What the function returns cannot be looked at",
    "second run": "The function fails when it is called again",
    "shuffled rows": "The function fails when the rows are in another order",
    "no era": "The function fails where the live features have no column 'era'",
}
ATTEMPTS = {
    "file": "It writes a file ({}), and nothing is kept there: leave that out.",
    "read": "It reads the file {}, which is not there: put what it needs into the function.",
    "network": "It opens a connection, and there is no network: put what it needs into the file.",
}


def read_findings(
    outcome: Outcome, path: Path, *, runtime: str, memory: int, seconds: float
) -> UploadReport:
    """The report on a run.

    Raises
    ------
    ValueError
        If the file does not say which features it needs, and none were given.
    """
    if outcome.stage("features") and not outcome.stage("features")["known"]:
        raise ValueError(
            "live_features is needed, since the file is none of make_predict, which would say "
            "what its features are; pass live rows."
        )
    python = outcome.stage("ready").get("python", "")
    ran, loaded = outcome.stage("ran"), outcome.stage("loaded")
    result = ran.get("result", {})
    problems = [*_version(python, runtime), *_end(outcome, memory, seconds), *_signature(outcome)]
    if ran:
        problems += [*_result(result), *_consistency(outcome)]
    problems += _attempts(outcome)
    if not outcome.stage("ready"):
        reason = {"memory": "too much memory", "time": "too much time"}.get(outcome.ended, "")
        problems = [f"The interpreter did not start: {reason or _last_line(outcome.output)}."]
    return UploadReport(
        path=path,
        problems=tuple(dict.fromkeys(problems)),
        notes=tuple(_notes(outcome, result, PACKAGES[runtime])),
        runtime=runtime,
        python=python,
        size=path.stat().st_size,
        n_rows=outcome.stage("rows").get("n_rows", 0),
        load_seconds=loaded.get("seconds", NAN),
        run_seconds=ran.get("seconds", NAN),
        peak_memory=max([outcome.peak, *(line.get("peak", 0) for line in outcome.told)]),
        predictions=_predictions(outcome.stage("values")),
    )


def _version(python: str, runtime: str) -> list[str]:
    if not python or python.rpartition(".")[0] == runtime:
        return []
    own = python.rpartition(".")[0]
    return [
        f"It was run by Python {own} and is to run on {runtime}, which cannot read what {own} "
        f"wrote: choose {own} at the upload and pass runtime={own!r}, or make the file there and "
        "pass python=."
    ]


def _end(outcome: Outcome, memory: int, seconds: float) -> list[str]:
    stage = outcome.stage("begin").get("name", "load")
    doing = {"load": "being read", "signature": "being read"}.get(stage, "predicting")
    if outcome.ended == "memory":
        return [
            f"It takes more than {memory / 1e9:g} GB of memory while {doing}: keep the features "
            "int8, choose the columns that the model needs, or use a smaller model."
        ]
    if outcome.ended == "time":
        return [
            f"It takes more than {seconds:g} seconds while {doing}: use a smaller model, and train "
            "nothing there."
        ]
    error = outcome.stage("error")
    if error:
        return [_error(error)]
    if not outcome.stage("done") and outcome.stage("signature").get("n_parameters") in (None, 1, 2):
        signal = f"signal {-outcome.code}" if outcome.code < 0 else f"exit code {outcome.code}"
        return [
            f"The process ended by {signal} while {doing}, as it does where compiled libraries "
            f"fail, or byte code of another version of Python. {_last_line(outcome.output)}".strip()
        ]
    return []


def _error(error: dict[str, Any]) -> str:
    stage = STAGES.get(error["name"], error["name"])
    text = f"{stage}: {error['type']}: {error['message']}"
    top = (error["module"] or "").partition(".")[0]
    if error["type"] == "ModuleNotFoundError" and top in error["missing"]:
        return (
            f"{stage}: it imports {top!r}, which the runtime does not have; write the file with "
            "save_upload after importing a module of your own at the top of your script, or do "
            "without."
        )
    if error["name"] == "no era":
        return f"{text} ({error['line']}); live rows may lack it, so do not rely on it."
    return f"{text} (at {error['line']})"


def _signature(outcome: Outcome) -> list[str]:
    n_parameters = outcome.stage("signature").get("n_parameters")
    if n_parameters in (None, 1, 2):
        return []
    return [
        f"The function has {n_parameters} parameters; it must take the live features, and may take "
        "the live benchmark models as the second one."
    ]


def _result(result: dict[str, Any]) -> list[str]:
    if not result["is_frame"]:
        return [f"It returns a {result['type']}; return a pandas DataFrame with one column."]
    if not result["n_rows"] or not result["columns"]:
        return ["It returns an empty frame; return one prediction for each live row."]
    problems = []
    if result["n_missing"]:
        problems.append(
            f"{result['n_missing']} of its values are NaN; fill in missing features, or look at "
            "the model."
        )
    if not result.get("is_numeric"):
        problems.append(f"Its first column, {result['columns'][0]!r}, holds no numbers.")
    elif result["minimum"] < 0.0 or result["maximum"] > 1.0:
        problems.append(
            f"Its predictions lie in [{result['minimum']:.4g}, {result['maximum']:.4g}] and must "
            "lie in [0, 1]; rank them, as make_predict does."
        )
    elif result["minimum"] == result["maximum"]:
        problems.append(f"All of its predictions are {result['minimum']:.4g}.")
    if not result["same_ids"]:
        found = f"{result['repeated']} repeated ids" if result["repeated"] else "other ids"
        problems.append(
            f"Its index has {found} for {result['n_rows']} rows; return the index of live_features."
        )
    if result["columns"] != ["prediction"]:
        names = ", ".join(map(repr, result["columns"][:3]))
        problems.append(f"Its columns are {names}; return the one column 'prediction'.")
    return problems


def _consistency(outcome: Outcome) -> list[str]:
    found = {
        "repeated": "Two runs on the same rows differ; set the seeds of all random numbers.",
        "shuffled": (
            "Predictions depend on the order of the rows; join tables by id, and use no positions."
        ),
        "no era": "Predictions differ where the column 'era' is missing; do not rely on it.",
    }
    unlike = [text for name, text in found.items() if not outcome.stage(name).get("alike", True)]
    return unlike[:1]  # the others follow from it


def _attempts(outcome: Outcome) -> list[str]:
    attempts = [tuple(each) for line in outcome.told for each in line.get("attempts", [])]
    attempts += [("file", name) for name in outcome.written]
    return [ATTEMPTS[kind].format(detail) for kind, detail in dict.fromkeys(attempts)]


def _predictions(values: dict[str, Any]) -> pd.Series | None:
    if not values:
        return None
    index = pd.Index(values["ids"], name="id")
    return pd.Series(values["values"], index=index, name="prediction")


def _notes(outcome: Outcome, result: dict[str, Any], packages: dict[str, str]) -> list[str]:
    notes = []
    found = outcome.stage("versions").get("versions", {})
    others = [
        f"{name} {version} ({packages[name]} there)"
        for name, version in found.items()
        if version != packages[name]
    ]
    if others:
        notes.append(
            f"It was run with other versions than those of the runtime: {', '.join(others)}; "
            "python= of an environment that has these makes sure."
        )
    if result.get("same_ids") and not result.get("same_index"):
        notes.append("The rows come back in another order, which is allowed.")
    name = result.get("index_name")
    if result.get("same_ids") and name != "id":
        notes.append(
            f"Its index is named {name!r} and not 'id', as the column of the CSV would be."
        )
    if outcome.output.strip():
        notes.append(f"It prints, such as: {_last_line(outcome.output)}")
    return notes


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
