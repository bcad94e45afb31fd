"""The base install suffices, and says what to install where it does not."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sknumerai
from sknumerai._optional import import_optional

PACKAGE = Path(sknumerai.__file__).parent
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

# What only an extra brings, and what nobody should wait for who does not use it.
OPTIONAL = ("cvxpy", "cvxpylayers", "interpret", "matplotlib", "numerapi", "polars", "pyarrow")
OPTIONAL += ("safetensors", "skorch", "torch", "torchsort", "typer")

BLOCK_OPTIONAL = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked)", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run_in_clean_interpreter(code):
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["sknumerai", "sknumerai.neutralization", "sknumerai.datasets"])
def test_import_loads_no_optional_dependency(module):
    # pandas itself loads pyarrow where it is installed: count only what comes on top of the base
    loaded = run_in_clean_interpreter(
        "import json, sys, narwhals, numpy, pandas, scipy, sklearn, tqdm\n"
        "base = set(sys.modules)\n"
        f"import {module}\n"
        f"print(json.dumps(sorted((set(sys.modules) - base) & set({OPTIONAL}))))"
    )
    assert json.loads(loaded) == []


def test_import_of_the_package_loads_no_subpackage():
    loaded = run_in_clean_interpreter(
        "import sys, sknumerai\nprint('sknumerai.neutralization' in sys.modules)"
    )
    assert loaded.strip() == "False"


@pytest.mark.parametrize("module", ["sknumerai", "sknumerai.neutralization", "sknumerai.datasets"])
def test_import_without_optional_dependencies(module):
    run_in_clean_interpreter(BLOCK_OPTIONAL + f"import {module}")


def test_neutralization_without_optional_dependencies():
    run_in_clean_interpreter(
        BLOCK_OPTIONAL
        + """
import numpy as np
import pandas as pd
from sknumerai.neutralization import clip_exposure, neutralize

rng = np.random.default_rng(0)
features = pd.DataFrame(rng.integers(0, 5, size=(60, 3)), columns=["a", "b", "c"], dtype="int8")
predictions = pd.Series(rng.normal(size=60) + features["a"], name="prediction")
eras = np.repeat(["0001", "0002"], 30)

def max_exposure(result):
    return max(
        abs(np.corrcoef(result[eras == era], features.loc[eras == era, name])[0, 1])
        for era in np.unique(eras)
        for name in features
    )

assert max_exposure(predictions) > 0.5
assert max_exposure(neutralize(predictions, features, eras=eras)) < 1e-9
assert max_exposure(clip_exposure(predictions, features, 0.1, eras=eras)) < 0.1 + 1e-6
"""
    )


def test_import_optional_returns_the_module():
    assert import_optional("os.path", extra="torch") is os.path


def test_import_optional_names_package_and_extra():
    with pytest.raises(ImportError, match=r"no_such_package .*pip install 'sknumerai\[torch\]'"):
        import_optional("no_such_package.part", extra="torch")


def test_extras_named_in_errors_exist():
    named = {
        extra
        for path in PACKAGE.rglob("*.py")
        for extra in re.findall(r'extra="([^"]+)"', path.read_text(encoding="utf-8"))
    }
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    assert named <= set(project["optional-dependencies"])
