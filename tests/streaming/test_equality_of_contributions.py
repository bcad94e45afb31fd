"""`contribution_files` gives what `true_contribution` gives."""

import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config

from sknumerai.contribution import true_contribution
from sknumerai.datasets import make_market
from sknumerai.exceptions import ConstantPredictionWarning
from sknumerai.portfolio import PortfolioOptimizer

pytest.importorskip("pyarrow", reason="needs the extra 'data'")
from sknumerai.streaming import contribution_files

ROUNDS = {"n_rounds": 3, "random_state": 0, "signal_scale": 1e-4}
RISK = {"specific_variance": "variance", "previous_weights": "held", "sectors": "sector"}


@pytest.fixture(scope="module")
def market():
    """Four eras of 30 stocks; two of six users are absent in one era each."""
    market = make_market(30, 3, 6, n_eras=4, n_features=5, n_sectors=4, random_state=0)
    users = market.user_predictions.copy()
    users.loc[market.eras == "0002", "user_0003"] = np.nan
    users.loc[market.eras == "0004", "user_0001"] = np.nan
    weights = np.random.default_rng(0).normal(scale=0.02, size=len(users))
    held = pd.Series(weights, index=users.index, name="held")
    return market | {"user_predictions": users, "previous_weights": held}


@pytest.fixture
def tables(market):
    """The contents of the files, by argument."""
    covariances = [
        pd.DataFrame(matrix, columns=market["factor_names"]).assign(era=era)
        for era, matrix in market["factor_covariance"].items()
    ]
    return {
        "user_predictions": market["user_predictions"].assign(era=market["eras"]),
        "stakes": market["stakes"].rename("stake").to_frame(),
        "returns": market["returns"].to_frame("return"),
        "exposures": market["exposures"].assign(era=market["eras"]),
        "factor_loadings": market["factor_loadings"].assign(
            era=market["eras"],
            variance=market["specific_variance"],
            sector=market["sectors"],
            held=market["previous_weights"],
        ),
        "factor_covariance": pd.concat(covariances).set_index("era"),
    }


@pytest.fixture
def save(tmp_path, tables):
    """Write tables; gives the arguments of `contribution_files` that name them."""

    def call(*names, **changed):
        paths = {}
        for name in ("user_predictions", "stakes", "returns", *names):
            table = changed.get(name, tables[name])
            text = name in ("stakes", "factor_covariance")
            paths[name] = tmp_path / f"{name}.{'csv' if text else 'parquet'}"
            table.to_csv(paths[name]) if text else table.to_parquet(paths[name], row_group_size=25)
        return paths

    return call


def in_memory(market, *risk, optimizer=None, **changed):
    given = market | changed
    return true_contribution(
        *(given[name] for name in ("user_predictions", "stakes", "returns")),
        optimizer=optimizer or PortfolioOptimizer(),
        eras=market["eras"],
        **{name: given[name] for name in risk},
        **ROUNDS,
    )


def assert_close(result, expected, tolerance=1e-12):
    """Relative to the largest contribution: all are of its unit."""
    options = {"check_index_type": False, "rtol": 0}
    largest = expected.abs().max(axis=None)
    pd.testing.assert_frame_equal(result, expected, atol=tolerance * largest, **options)


@pytest.fixture
def program():
    return PortfolioOptimizer(max_leverage=1.5, max_turnover=1.9, sector_neutral=True)


def test_to_the_last_bit(save, market):
    table = contribution_files(**save(), **ROUNDS)
    pd.testing.assert_frame_equal(table, in_memory(market), check_exact=True)
    assert table.isna().sum().sum() == 2
    assert np.isnan(table.loc["0002", "user_0003"])
    assert np.isnan(table.loc["0004", "user_0001"])
    assert table.attrs == {"n_rows": 120, "free_share": [1.0] * 4}


@pytest.mark.parametrize("name", [None, "threads", "processes"])
def test_risk(save, market, program, pools, small_tasks, name):
    files = ("exposures", "factor_loadings", "factor_covariance")
    result = contribution_files(
        **save(*files), **RISK, **ROUNDS, optimizer=program, executor=name and pools[name]
    )
    expected = in_memory(market, *files, *RISK, optimizer=program)
    assert_close(result, expected)
    assert expected.notna().sum().sum() == 22


def test_jobs(save, market, small_tasks):
    with parallel_config("threading"):
        result = contribution_files(**save("exposures"), **ROUNDS, executor=2)
    assert_close(result, in_memory(market, "exposures"))


@pytest.mark.parametrize("order", ["backward", "scattered"])
@pytest.mark.parametrize("name", [None, "threads"])
def test_order_of_rows(save, market, tables, pools, small_tasks, order, name):
    """Each file in an order of its own, with rows of other stocks; some without eras."""
    more = pd.concat(
        [tables["exposures"], tables["exposures"].iloc[:7].rename(index=lambda id: f"{id}_other")]
    )
    shuffled = {
        "user_predictions": tables["user_predictions"][::-1]
        if order == "backward"
        else tables["user_predictions"].sample(frac=1.0, random_state=1),
        "exposures": more.sample(frac=1.0, random_state=2).drop(columns="era"),
        "factor_loadings": tables["factor_loadings"].sample(frac=1.0, random_state=3),
        "returns": tables["returns"].sample(frac=1.0, random_state=4),
    }
    paths = save("exposures", "factor_loadings", **shuffled)
    result = contribution_files(
        **paths, **ROUNDS, specific_variance="variance", executor=name and pools[name]
    )
    # other columns of numbers would count as factors
    names = [*tables["factor_loadings"].columns.drop(["era", "variance", "sector"])]
    loadings = market["factor_loadings"].assign(held=market["previous_weights"])[names]
    index = shuffled["user_predictions"].index
    aligned = {
        name: market[name].loc[index]
        for name in ("user_predictions", "returns", "exposures", "specific_variance", "eras")
    }
    risk = ("exposures", "factor_loadings", "specific_variance")
    expected = in_memory(market | aligned, *risk, factor_loadings=loadings.loc[index])
    assert_close(result, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_types_of_predictions(save, market, tables, dtype):
    users = market["user_predictions"]
    if dtype is np.int8:
        users = (10 * users.rank(pct=True)).round()
        stored = users.astype("Int8")
    else:
        stored = users = users.astype(dtype)
    table = contribution_files(**save(user_predictions=stored.assign(era=market["eras"])), **ROUNDS)
    assert_close(table, in_memory(market, user_predictions=users))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_stakes_by_era(save, tmp_path, market, suffix):
    values = np.random.default_rng(0).uniform(1.0, 9.0, size=(5, 6))
    index = pd.Index(["0003", "0001", "0004", "0002", "0005"], name="era")
    stakes = pd.DataFrame(values, index, market["user_names"][::-1])
    paths = save() | {"stakes": tmp_path / f"by_era{suffix}"}
    stakes.to_parquet(paths["stakes"]) if suffix == ".parquet" else stakes.to_csv(paths["stakes"])
    table = contribution_files(**paths, **ROUNDS)
    assert_close(table, in_memory(market, stakes=stakes[market["user_names"]]))


def write_stakes(market, folder, suffix):
    """Eras and stakes, in two parts."""
    values = np.random.default_rng(0).uniform(1.0, 9.0, size=(4, 6))
    index = pd.Index(["0001", "0002", "0003", "0004"], name="era")
    stakes = pd.DataFrame(values, index, market["user_names"])
    paths = [folder / f"part{i}{suffix}" for i in range(2)]
    for path, part in zip(paths, (stakes[:1], stakes[1:]), strict=True):
        part.to_csv(path) if suffix == ".csv" else part.to_parquet(path)
    return stakes, paths


def test_stakes_in_several_parquet_files(save, tmp_path, market):
    stakes, paths = write_stakes(market, tmp_path, ".parquet")
    table = contribution_files(**save() | {"stakes": paths}, **ROUNDS)
    assert_close(table, in_memory(market, stakes=stakes))


def test_stakes_in_several_csv_files(save, tmp_path, market):
    stakes, paths = write_stakes(market, tmp_path, ".csv")
    table = contribution_files(**save() | {"stakes": paths}, **ROUNDS)
    assert_close(table, in_memory(market, stakes=stakes))


def test_users_whose_names_are_numbers(save, tmp_path, market):
    names = [f"{number:03d}" for number in range(6)]
    users = market["user_predictions"].set_axis(names, axis=1)
    stakes = market["stakes"].set_axis(pd.Index(names, name="user"))
    paths = save(user_predictions=users.assign(era=market["eras"]))
    paths["stakes"] = [tmp_path / f"part{i}.csv" for i in range(2)]
    for path, part in zip(paths["stakes"], (stakes[:3], stakes[3:]), strict=True):
        part.rename("stake").to_csv(path)
    expected = in_memory(market, user_predictions=users, stakes=stakes)
    assert_close(contribution_files(**paths, **ROUNDS), expected)


def test_stakes_by_numbers_of_eras(save, tmp_path, market):
    eras = market["eras"].astype(int)
    stakes = pd.DataFrame(
        np.random.default_rng(0).uniform(1.0, 9.0, size=(4, 6)),
        pd.RangeIndex(1, 5, name="era"),
        market["user_names"],
    )
    paths = save(user_predictions=market["user_predictions"].assign(era=eras))
    stakes.to_parquet(tmp_path / "by_era.parquet")
    table = contribution_files(**paths | {"stakes": tmp_path / "by_era.parquet"}, **ROUNDS)
    assert_close(table, in_memory(market | {"eras": eras}, stakes=stakes))


def test_covariances_in_several_files(save, tmp_path):
    paths = save("factor_loadings", "factor_covariance")
    folder = tmp_path / "covariances"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_bytes(paths["factor_covariance"].read_bytes())
    paths["factor_covariance"] = folder
    with pytest.raises((ValueError, OSError), match="factor_covariance="):
        contribution_files(**paths, specific_variance="variance", **ROUNDS)


@pytest.mark.parametrize("name", [None, "threads", "processes"])
def test_constant_predictions(save, market, tables, pools, small_tasks, name):
    users = tables["user_predictions"].copy()
    users.loc[users["era"] == "0003", "user_0005"] = 0.5
    paths = save(user_predictions=users)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = contribution_files(**paths, **ROUNDS, executor=name and pools[name])
    with pytest.warns(ConstantPredictionWarning) as expected:
        in_memory(market, user_predictions=users.drop(columns="era"))
    assert [str(warning.message) for warning in caught] == [str(expected[0].message)]
    assert caught[0].filename == __file__
    assert np.isnan(table.loc["0003", "user_0005"])
    assert table.isna().sum().sum() == 3


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order",
    [
        "forward",
        pytest.param(
            "backward",
            marks=pytest.mark.xfail(
                strict=True, reason="all eras are read, and kept, before the first is computed"
            ),
        ),
    ],
)
def test_few_eras_are_held(save, tables, monkeypatch, order):
    """Whatever the order of the eras in the file."""
    from sknumerai.datasets._parquet import BlockBuilder
    from sknumerai.streaming import _contribution_files

    events = []
    finish, kernel = BlockBuilder.finish, _contribution_files.contributions_of_era

    def read(self, rows):
        events.append("read")
        return finish(self, rows)

    def computed(*arguments, **options):
        events.append("computed")
        return kernel(*arguments, **options)

    monkeypatch.setattr(BlockBuilder, "finish", read)
    monkeypatch.setattr(_contribution_files, "contributions_of_era", computed)
    users = tables["user_predictions"]
    if order == "backward":
        users = users.sort_values("era", ascending=False, kind="stable")
    contribution_files(**save(user_predictions=users), **ROUNDS)
    assert events.count("read") == events.count("computed") == 4
    held = np.cumsum([1 if event == "read" else -1 for event in events])
    assert held.max() <= 2
