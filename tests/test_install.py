"""The base install suffices, and says what to install where it does not."""

import importlib
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
BASE_INSTALL = Path(__file__).with_name("_base_install.py")

MODULES = ["sknumerai", *(f"sknumerai.{name}" for name in (*sknumerai._SUBPACKAGES, "cli"))]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one fresh interpreter finds in which nothing optional can be imported."""
    done = subprocess.run(
        [sys.executable, BASE_INSTALL, *MODULES],
        cwd=tmp_path_factory.mktemp("nowhere"),
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestImport:
    def test_of_the_package_loads_no_subpackage(self, found):
        assert found["subpackages"] == []

    def test_asks_for_no_optional_dependency(self, found):
        """On top of the base: pandas itself loads pyarrow where it is installed."""
        names = [*MODULES, "sknumerai.portfolio.PortfolioOptimizer"]
        assert found["asked for"] == {name: [] for name in names}


# What is called, the package that it asks for first, and the extra that brings it.
CALLS = [
    ("EraScoresDisplay.plot", "matplotlib", "plot"),
    ("FeatureExposureDisplay.plot", "matplotlib", "plot"),
    ("TCProxyDisplay.plot", "matplotlib", "plot"),
    ("fit_tc_proxies", "interpret", "interpret"),
    ("fetch_tournament", "numerapi", "data"),
    ("read_tournament", "pyarrow", "data"),
    ("clip_files", "pyarrow", "data"),
    ("write_tournament", "pyarrow", "data"),
    ("PortfolioOptimizer(engine='cvxpylayers')", "cvxpy", "cvxpy"),
    ("portfolio.PortfolioLayer", "torch", "torch"),
    ("portfolio.StakeWeightedPortfolio", "torch", "torch"),
    ("neural_network.fnc_loss", "torch", "torch"),
    ("neural_network.soft_rank", "torch", "torch"),
    ("FNCRegressor.fit", "torch", "torch"),
    ("NeuralTrader.fit", "torch", "torch"),
]


class TestWithoutOptionalDependencies:
    @pytest.mark.parametrize(("call", "package", "extra"), CALLS)
    def test_an_error_names_the_extra(self, found, call, package, extra):
        message = found["errors"][call]
        assert message.startswith(f"{package} could not be imported ")
        assert message.endswith(f"install it with pip install 'sknumerai[{extra}]'.")

    def test_all_calls_are_checked(self, found):
        assert sorted(found["errors"]) == sorted(call for call, *_ in CALLS)

    @pytest.mark.parametrize("package", ["typer", "pyarrow"])
    def test_the_command_says_so_in_one_sentence(self, found, package):
        code, out, err = found["command without"][package]
        assert code == 2
        assert out == ""
        assert err.startswith(f"error: {package} could not be imported")
        assert err.endswith("install it with pip install 'sknumerai[cli]'.\n")
        assert len(err.splitlines()) == 1

    def test_neutralization_works(self, found):
        exposures = found["exposures"]
        assert exposures["prediction"] > 0.5
        assert exposures["neutralize"] < 1e-9
        assert exposures["clip_exposure"] < 0.1 + 1e-6


@pytest.mark.parametrize("name", ["sknumerai", "sknumerai.portfolio", "sknumerai.neural_network"])
class TestNamesImportedOnFirstUse:
    def test_are_listed_and_no_others_exist(self, name):
        module = importlib.import_module(name)
        assert dir(module) == sorted(module.__all__)
        with pytest.raises(AttributeError, match="has no attribute 'PortfolioLayers'"):
            _ = module.PortfolioLayers

    def test_are_there_with_torch(self, name):
        pytest.importorskip("torch", reason="needs the extra torch")
        module = importlib.import_module(name)
        for attribute in module.__all__:
            assert getattr(module, attribute) is not None


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
