"""``tc`` writes what `true_contribution` gives, and reports it."""

import re

import numpy as np
import pandas as pd
import pytest

from sknumerai.contribution import true_contribution
from sknumerai.exceptions import FewFreeAssetsWarning
from sknumerai.metrics import score_summary
from sknumerai.portfolio import PortfolioOptimizer
from tests.cli._tc_files import ABSENT, ABSENT_ERA, BASIC, FEW_ROUNDS, RISK, RISK_OPTIONS


def expected(market, optimizer=None, stakes=None, **options):
    return true_contribution(
        market["user_predictions"],
        market["stakes"] if stakes is None else stakes,
        market["returns"],
        optimizer=optimizer or PortfolioOptimizer(),
        eras=market["eras"],
        **{"n_rounds": 4, "random_state": 0} | options,
    )


def assert_same(path, table):
    if path.suffix == ".csv":
        written = pd.read_csv(path, dtype={"era": str}).set_index("era")
    else:
        written = pd.read_parquet(path)
    pd.testing.assert_frame_equal(written, table, check_index_type=False, rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("name", ["output.csv", "output.parquet"])
def test_equals_true_contribution(run, save, tmp_path, market, name):
    result = run("tc", *save(*BASIC), *FEW_ROUNDS, "--output", tmp_path / name)
    assert result.code == 0, result.err
    assert "3/3" in result.err  # the progress bar
    table = expected(market)
    assert table.isna().sum().sum() == 1
    assert np.isnan(table.loc[ABSENT_ERA, ABSENT])
    assert_same(tmp_path / name, table)


def test_all_options_of_the_program_and_the_rounds(run, save, tmp_path, market):
    program = {
        "risk_aversion": 20.0,
        "min_weights": -0.2,
        "max_weights": 0.15,
        "budget": 0.01,
        "max_leverage": 1.5,
        "max_exposure": 0.02,
        "l1_coef": 1e-5,
        "l2_coef": 1e-4,
        "transaction_costs": 1e-4,
        "max_turnover": 1.9,
    }
    rounds = {"n_rounds": 3, "dropout": 0.3, "signal_scale": 2e-3, "power": 1.2}
    words = [("--" + name.replace("_", "-"), value) for name, value in (program | rounds).items()]
    risk = ("--specific-column", "variance", "--previous-column", "held")
    result = run(
        *("tc", *save(*BASIC, *RISK), *risk, *(word for pair in words for word in pair)),
        *("--gradient", "stake_weighted", "--seed", 7, "--output", tmp_path / "output.csv"),
    )
    assert result.code == 0, result.err
    names = ("exposures", "factor_loadings", "factor_covariance", "specific_variance")
    table = expected(
        market,
        PortfolioOptimizer(**program),
        **{name: market[name] for name in names},
        previous_weights=market["previous"],
        gradient="stake_weighted",
        **rounds | {"random_state": 7},
    )
    assert_same(tmp_path / "output.csv", table)


def test_sectors(run, save, tmp_path, market):
    bounds = ("--max-leverage", 1.0, "--max-weights", 0.1, "--min-weights", -0.1)
    result = run(
        *("tc", *save(*BASIC, *RISK), *RISK_OPTIONS, *FEW_ROUNDS, *bounds),
        *("--signal-scale", 1e-4, "--output", tmp_path / "output.csv"),
    )
    assert result.code == 0, result.err
    assert "warning" not in result.err
    names = ("exposures", "factor_loadings", "factor_covariance", "specific_variance", "sectors")
    optimizer = PortfolioOptimizer(
        max_leverage=1.0, max_weights=0.1, min_weights=-0.1, sector_neutral=True
    )
    risk = {name: market[name] for name in names}
    assert_same(tmp_path / "output.csv", expected(market, optimizer, signal_scale=1e-4, **risk))


def test_few_free_assets(run, save, tables, market):
    """Binding limits count: more than a tenth of the assets are off their bounds."""
    bounds = ("--max-leverage", 1.0, "--max-weights", 0.1, "--min-weights", -0.1)
    result = run("tc", *save(*BASIC, *RISK), *RISK_OPTIONS, *FEW_ROUNDS, *bounds)
    assert result.code == 0, result.err
    assert "warning: In 3 eras (0001, 0002, 0003) fewer than 10% of the assets" in result.err
    least = float(re.search(r"least (\d+\.\d)% in era", result.out)[1])
    assert 10.0 < least < 50.0
    names = ("exposures", "factor_loadings", "factor_covariance", "specific_variance", "sectors")
    optimizer = PortfolioOptimizer(
        max_leverage=1.0, max_weights=0.1, min_weights=-0.1, sector_neutral=True
    )
    with pytest.warns(FewFreeAssetsWarning, match=r"In 3 eras \(0001, 0002, 0003\) fewer"):
        expected(market, optimizer, **{name: market[name] for name in names})


def test_stakes_by_era(run, save, tmp_path, market):
    """In a CSV and in a parquet, eras and users in another order and with more eras than needed."""
    values = np.random.default_rng(0).uniform(1.0, 9.0, size=(4, 24))
    index = pd.Index(["0003", "0001", "0002", "0004"], name="era")
    stakes = pd.DataFrame(values, index, market["user_names"][::-1])
    table = expected(market, stakes=stakes[market["user_names"]])
    stakes.to_parquet(tmp_path / "stakes.parquet")
    output = ("--output", tmp_path / "output.csv", "--overwrite")
    users = save("users", "returns")
    for stake_file in (save("stakes", stakes=stakes)[1], tmp_path / "stakes.parquet"):
        result = run("tc", *users, "--stakes", stake_file, *FEW_ROUNDS, *output)
        assert result.code == 0, result.err
        assert_same(tmp_path / "output.csv", table)


def test_order_of_rows_and_eras_and_the_writer_do_not_matter(run, save, tmp_path, tables, market):
    """Shuffled rows, more rows than needed, no eras, ids as column, files of polars."""
    polars = pytest.importorskip("polars")
    more = tables["exposures"].iloc[:7].rename(index=lambda name: f"{name}_of_nobody")
    shuffled = pd.concat([tables["exposures"], more]).sample(frac=1.0, random_state=1)
    # eras one after the other, but the last first
    backward = tables["users"].sort_values("era", ascending=False, kind="stable")
    whole = tables["loadings"].drop(columns="era").sample(frac=1.0, random_state=2)
    files = {"users": backward, "exposures": shuffled}
    for name, frame in files.items():
        content = {column: frame[column].to_numpy() for column in frame}
        polars.DataFrame({"id": frame.index.to_numpy()} | content).write_parquet(
            tmp_path / f"{name}.parquet"
        )
    returns = tables["returns"].sample(frac=1.0, random_state=3).rename(columns={"returns": "r"})
    returns.to_csv(tmp_path / "returns.csv")
    names = ("exposures", "factor_loadings", "factor_covariance", "specific_variance")
    table = expected(market, **{name: market[name] for name in names})
    for loadings in (tables["loadings"], whole):
        result = run(
            *("tc", "--users", tmp_path / "users.parquet", "--returns", tmp_path / "returns.csv"),
            *("--exposures", tmp_path / "exposures.parquet", "--specific-column", "variance"),
            *save("stakes", "covariance", "loadings", loadings=loadings),
            *(*FEW_ROUNDS, "--output", tmp_path / "output.csv", "--overwrite"),
        )
        assert result.code == 0, result.err
        assert_same(tmp_path / "output.csv", table)


def test_eras_are_read_one_at_a_time(run, save, monkeypatch):
    from sknumerai.datasets._parquet import BlockBuilder, FrameBuilder

    shapes = []
    for builder in (BlockBuilder, FrameBuilder):

        def finish(self, rows, finish=builder.finish):
            table = finish(self, rows)
            shapes.append(table.shape)
            return table

        monkeypatch.setattr(builder, "finish", finish)
    result = run("tc", *save(*BASIC, "exposures"), *FEW_ROUNDS)
    assert result.code == 0, result.err
    assert shapes == [(40, 24), (40, 5)] * 3


def test_one_covariance_and_its_names_of_rows(run, save, tmp_path, market):
    names = market["factor_names"]
    covariance = pd.DataFrame(market["factor_covariance"]["0001"], names, names)
    options = ("--specific-column", "variance", *FEW_ROUNDS, "--output", tmp_path / "output.csv")
    files = save(*BASIC, "loadings", "covariance", covariance=covariance)
    assert run("tc", *files, *options).code == 0
    table = expected(
        market,
        factor_loadings=market["factor_loadings"],
        factor_covariance=covariance.to_numpy(),
        specific_variance=market["specific_variance"],
    )
    assert_same(tmp_path / "output.csv", table)


def test_seed_determines_the_result(run, save, tmp_path):
    files = save(*BASIC)
    texts = []
    for options in (("--seed", 3), ("--seed", 3, "--n-jobs", 2), ("--seed", 4)):
        output = tmp_path / f"output_{len(texts)}.csv"
        result = run("tc", *files, *FEW_ROUNDS, *options, "--output", output, "--quiet")
        assert (result.code, result.out, result.err) == (0, "", "")
        texts.append(output.read_text())
    assert texts[0] == texts[1] != texts[2]


def test_report(run, save, market):
    result = run("tc", *save(*BASIC), *FEW_ROUNDS)
    header, *lines, free, last = result.out.splitlines()
    assert header.split() == "user mean std Sharpe hit rate eras".split()
    assert free.startswith("free assets in the median round: 100.0%, least 100.0% in era 0001")
    assert re.fullmatch(r"3 eras, 120 rows, 24 users, 4 rounds in \d+\.\d s", last)
    table = expected(market)
    ranking = table.mean().sort_values(ascending=False).index.tolist()
    assert [line.split()[0] for line in lines] == [*ranking[:10], "...", *ranking[-10:]]
    for line in lines:
        user, *cells = line.split()
        if cells:
            summary = score_summary(table[user].dropna())
            assert float(cells[0]) == pytest.approx(summary["mean"], rel=6e-3)
            assert float(cells[1]) == pytest.approx(summary["std"], rel=6e-3)
            assert float(cells[2]) == pytest.approx(summary["sharpe"], abs=6e-5)
            assert float(cells[3]) == pytest.approx(summary["hit_rate"], abs=6e-5)
            assert int(cells[4]) == (2 if user == ABSENT else 3)


def test_warnings_and_users_without_contribution(run, save, tables):
    users = tables["users"].assign(user_0001=0.5)
    bounds = ("--signal-scale", 1.0, "--max-weights", 1e-3, "--min-weights", -1e-3)
    result = run("tc", *save(*BASIC, users=users), *FEW_ROUNDS, *bounds)
    assert result.code == 0
    few, constant = [line for line in result.err.splitlines() if line.startswith("warning: ")]
    assert few.startswith("warning: In 3 eras (0001, 0002, 0003) fewer than 10% of the assets")
    assert "lower --signal-scale" in few
    assert "(0001, 0002, 0003) a user's prediction is constant" in constant
    assert "without a contribution: 1 users ('user_0001')" in result.out


def test_help(run):
    assert "tc " in run().out
    text = run("tc", "--help").out
    options = "users stakes returns output exposures feature-columns loadings covariance"
    columns = "return-column specific-column sector-column previous-column era-column"
    program = "risk-aversion min-weights max-weights budget max-leverage max-exposure"
    penalties = "sector-neutral l1-coef l2-coef transaction-costs max-turnover"
    rounds = "n-rounds dropout gradient signal-scale power seed n-jobs quiet overwrite"
    for option in " ".join([options, columns, program, penalties, rounds]).split():
        assert f"--{option} " in text
