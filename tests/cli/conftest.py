import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sknumerai.cli import main
from sknumerai.datasets import make_market, write_tournament
from tests.cli._tc_files import ABSENT, ABSENT_ERA


@pytest.fixture
def run(capsys):
    """Run the command in this process; gives exit code, stdout and stderr."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return call


@pytest.fixture
def refused(run):
    """Run the command, which must refuse with one sentence; gives that."""

    def call(*arguments):
        result = run(*arguments)
        assert result.code == 2, result
        assert result.out == ""
        assert "Traceback" not in result.err
        message = result.err.rsplit("\r", 1)[-1]  # a progress bar may stand before
        lines = [line for line in message.splitlines() if line.strip()]
        assert lines[-1].startswith("error: "), result.err
        return lines[-1]

    return call


@pytest.fixture(scope="session")
def tournament(tmp_path_factory):
    """Files of a small tournament with 4 training and 4 validation eras."""
    folder = tmp_path_factory.mktemp("tournament")
    return write_tournament(
        folder, n_eras=8, n_stocks=60, n_features=9, n_validation_eras=4, random_state=0
    )


@pytest.fixture(scope="session")
def validation(tournament):
    return pd.read_parquet(tournament.validation)


@pytest.fixture(scope="session")
def features(validation):
    return validation[[name for name in validation if name.startswith("feature")]]


@pytest.fixture(scope="session")
def predictions(validation, features):
    """Two predictions of the validation rows, in another order than theirs."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(features.shape[1], 2))
    values = features.to_numpy() @ weights + 3.0 * rng.normal(size=(len(features), 2))
    frame = pd.DataFrame(values, index=features.index, columns=["linear", "other"])
    return frame.sample(frac=1.0, random_state=1)


@pytest.fixture
def write(tmp_path):
    """Write predictions to a file, ids as index or as column."""

    def call(frame, name="predictions.parquet", id_as="index"):
        path = tmp_path / name
        if id_as == "column":
            frame = frame.reset_index()
        if path.suffix == ".csv":
            frame.to_csv(path, index=id_as == "index")
        else:
            frame.to_parquet(path)
        return path

    return call


@pytest.fixture
def no_output(tmp_path):
    """Check that the command left no file named like its output."""
    yield
    assert [path.name for path in tmp_path.iterdir() if "output" in path.name] == []


# --- the files of ``tc`` --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def market():
    """Three eras of 40 stocks; one of 24 users is absent in one era."""
    market = make_market(40, 3, 24, n_eras=3, n_features=5, n_sectors=4, random_state=0)
    users = market.user_predictions.copy()
    users.loc[market.eras == ABSENT_ERA, ABSENT] = np.nan
    weights = np.random.default_rng(0).normal(scale=0.02, size=len(users))
    previous = pd.Series(weights, index=users.index, name="held")
    return market | {"user_predictions": users, "previous": previous}


@pytest.fixture(scope="session")
def tables(market):
    """The content of the files, by option."""
    covariances = [
        pd.DataFrame(matrix, columns=market["factor_names"]).assign(era=era)
        for era, matrix in market["factor_covariance"].items()
    ]
    return {
        "users": market["user_predictions"].assign(era=market["eras"]),
        "stakes": market["stakes"].rename("stake").to_frame(),
        "returns": market["returns"].to_frame(),
        "exposures": market["exposures"].assign(era=market["eras"]),
        "loadings": market["factor_loadings"].assign(
            era=market["eras"],
            variance=market["specific_variance"],
            sector=market["sectors"],
            held=market["previous"],
        ),
        "covariance": pd.concat(covariances).set_index("era"),
    }


def write_table(table, folder, name):
    path = folder / f"{name}.{'csv' if name in ('stakes', 'covariance') else 'parquet'}"
    table.to_csv(path) if path.suffix == ".csv" else table.to_parquet(path)
    return path


@pytest.fixture(scope="session")
def good_files(tmp_path_factory, tables):
    """The paths of the tables, by option."""
    folder = tmp_path_factory.mktemp("tc")
    return {name: write_table(table, folder, name) for name, table in tables.items()}


@pytest.fixture
def save(tmp_path, good_files):
    """Put tables into files, by default the good ones; gives the options that name the files."""

    def call(*options, **changed):
        words = []
        for name in options:
            if name in changed:
                path = write_table(changed[name], tmp_path, name)
            else:
                path = Path(shutil.copy(good_files[name], tmp_path))
            words += [f"--{name}", path]
        return words

    return call
