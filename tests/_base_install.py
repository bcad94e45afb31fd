"""Run by test_install.py in an interpreter of its own, where nothing optional can be imported.

``python _base_install.py MODULE...`` imports the modules one after the other, calls what needs
more than the base install, and prints as JSON what came of it.
"""

import contextlib
import importlib
import io
import json
import sys
from types import ModuleType

# What only an extra brings, and what nobody should wait for who does not use it.
OPTIONAL = "cvxpy cvxpylayers interpret matplotlib numerapi polars pyarrow requests safetensors"
OPTIONAL = {*OPTIONAL.split(), "skorch", "torch", "torchsort", "typer"}


class Blocker:
    """Finds nothing optional, and keeps what it was asked for."""

    def __init__(self):
        self.asked_for = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in OPTIONAL:
            self.asked_for.append(name)
            raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)

    def take(self):
        asked_for, self.asked_for = self.asked_for, []
        return asked_for


def imports(names, blocker):
    """Import the modules; gives what each asked for on top of the base and those before."""
    for name in ("narwhals", "numpy", "pandas", "scipy", "sklearn", "sklearn.utils", "tqdm"):
        importlib.import_module(name)
    blocker.take()  # pandas looks for pyarrow by itself
    importlib.import_module("sknumerai")
    subpackages = sorted(name for name in sys.modules if name.startswith("sknumerai."))
    asked_for = {}
    for name in names:
        importlib.import_module(name)
        asked_for[name] = blocker.take()
    assert sys.modules["sknumerai"].portfolio.PortfolioOptimizer
    asked_for["sknumerai.portfolio.PortfolioOptimizer"] = blocker.take()
    return {"subpackages": subpackages, "asked for": asked_for}


def errors():
    """What calls say that need more than the base install."""
    import numpy as np
    import pandas as pd

    from sknumerai import contribution, datasets, inspection, neural_network, portfolio, streaming

    rng = np.random.default_rng(0)
    scores = pd.DataFrame({"a": [1.0]})
    index = pd.MultiIndex.from_product([range(5), range(40)], names=["era", "user"])
    proxies = pd.DataFrame(rng.normal(size=(200, 2)), index=index, columns=["fnc", "tc"])
    X, y, eras = rng.normal(size=(60, 4)), rng.normal(size=60), np.repeat([1, 2], 30)
    calls = {
        "EraScoresDisplay.plot": lambda: inspection.EraScoresDisplay(scores).plot(),
        "FeatureExposureDisplay.plot": lambda: inspection.FeatureExposureDisplay.from_predictions(
            y, X, eras=eras
        ),
        "TCProxyDisplay.plot": lambda: inspection.TCProxyDisplay(scores.iloc[0], {}).plot(),
        "fit_tc_proxies": lambda: contribution.fit_tc_proxies(proxies),
        "fetch_tournament": lambda: datasets.fetch_tournament(data_home="nowhere"),
        "read_tournament": lambda: datasets.read_tournament("nowhere.parquet"),
        "clip_files": lambda: streaming.clip_files(*["nowhere.parquet"] * 2, "output.parquet"),
        "write_tournament": lambda: datasets.write_tournament("nowhere"),
        "PortfolioOptimizer(engine='cvxpylayers')": lambda: portfolio.PortfolioOptimizer(
            engine="cvxpylayers"
        ).fit(y),
        "portfolio.PortfolioLayer": lambda: portfolio.PortfolioLayer,
        "portfolio.StakeWeightedPortfolio": lambda: portfolio.StakeWeightedPortfolio,
        "neural_network.fnc_loss": lambda: neural_network.fnc_loss,
        "neural_network.soft_rank": lambda: neural_network.soft_rank,
        "FNCRegressor.fit": lambda: neural_network.FNCRegressor().fit(X, y, eras=eras),
        "NeuralTrader.fit": lambda: neural_network.NeuralTrader().fit(X, y),
    }
    messages = {}
    for name, call in calls.items():
        try:
            call()
        except ImportError as error:
            messages[name] = str(error)
    return messages


def command_without(package):
    """Exit code, stdout and stderr of the command."""
    from sknumerai.cli import main

    if package == "pyarrow":
        sys.modules["typer"] = ModuleType("typer")  # the one that is looked for before
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["--version"])
    return code, out.getvalue(), err.getvalue()


def largest_exposures():
    """Of a prediction before and after neutralization, over eras and features."""
    import numpy as np
    import pandas as pd

    from sknumerai.neutralization import clip_exposure, neutralize

    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.integers(0, 5, size=(60, 3)), columns=["a", "b", "c"], dtype="int8")
    prediction = pd.Series(rng.normal(size=60) + features["a"], name="prediction")
    eras = np.repeat(["0001", "0002"], 30)

    def largest(values):
        return max(
            abs(np.corrcoef(values[eras == era], features.loc[eras == era, name])[0, 1])
            for era in np.unique(eras)
            for name in features
        )

    return {
        "prediction": largest(prediction),
        "neutralize": largest(neutralize(prediction, features, eras=eras)),
        "clip_exposure": largest(clip_exposure(prediction, features, 0.1, eras=eras)),
    }


if __name__ == "__main__":
    blocker = Blocker()
    sys.meta_path.insert(0, blocker)
    results = imports(sys.argv[1:], blocker)
    results["errors"] = errors()
    results["exposures"] = largest_exposures()
    results["command without"] = {name: command_without(name) for name in ("typer", "pyarrow")}
    print(json.dumps(results))
