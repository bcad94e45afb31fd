"""``tc`` writes what `true_contribution` gives, or says in one sentence why it cannot."""

import re

import numpy as np
import pandas as pd
import pytest

from sknumerai.contribution import true_contribution
from sknumerai.datasets import make_market
from sknumerai.exceptions import FewFreeAssetsWarning
from sknumerai.metrics import score_summary
from sknumerai.portfolio import PortfolioOptimizer

FEW_ROUNDS = ("--n-rounds", 4)
ABSENT, ABSENT_ERA = "user_0003", "0002"


@pytest.fixture(scope="module")
def market():
    """Three eras of 40 stocks; one of 24 users is absent in one era."""
    market = make_market(40, 3, 24, n_eras=3, n_features=5, n_sectors=4, random_state=0)
    users = market.user_predictions.copy()
    users.loc[market.eras == ABSENT_ERA, ABSENT] = np.nan
    weights = np.random.default_rng(0).normal(scale=0.02, size=len(users))
    previous = pd.Series(weights, index=users.index, name="held")
    return market | {"user_predictions": users, "previous": previous}


@pytest.fixture(scope="module")
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


@pytest.fixture
def save(tmp_path, tables):
    """Write tables, by default the good ones; gives the options that name the files."""

    def call(*options, **changed):
        words = []
        for name in options:
            path = tmp_path / f"{name}.{'csv' if name in ('stakes', 'covariance') else 'parquet'}"
            table = changed.get(name, tables[name])
            table.to_csv(path) if path.suffix == ".csv" else table.to_parquet(path)
            words += [f"--{name}", path]
        return words

    return call


BASIC = ("users", "stakes", "returns")
RISK = ("exposures", "loadings", "covariance")
RISK_OPTIONS = ("--specific-column", "variance", "--sector-column", "sector", "--sector-neutral")


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
    from sknumerai.cli import _tc_rows
    from sknumerai.datasets import EraReader

    whole, streamed = [], []

    class Reader(EraReader):
        def read(self):
            whole.append(self.columns)
            return super().read()

        def __iter__(self):
            for era, frame in super().__iter__():
                streamed.append((era, frame.shape[1]))
                yield era, frame

    monkeypatch.setattr(_tc_rows, "EraReader", Reader)
    result = run("tc", *save(*BASIC, "exposures"), *FEW_ROUNDS)
    assert result.code == 0, result.err
    assert whole == [["era"], ["era"]]
    assert streamed == [(f"000{era}", width) for era in (1, 2, 3) for width in (24, 5)]


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


@pytest.mark.usefixtures("no_output")
class TestErrors:
    @pytest.fixture
    def tc(self, refused, save, tmp_path):
        """Refuses, with some options and some files other than the good ones."""

        def call(*options, files=BASIC, **changed):
            output = ("--output", tmp_path / "output.csv")
            return refused("tc", *save(*files, **changed), *FEW_ROUNDS, *output, *options)

        return call

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--risk-aversion", "0"), "--risk-aversion is 0.0; pass a number above 0."),
            (("--max-leverage", "nan"), "--max-leverage is nan; pass a finite number."),
            (("--l1-coef", "-1"), "--l1-coef is -1.0; pass 0 or more."),
            (("--dropout", "1"), "--dropout is 1.0; pass a number from 0 to below 1."),
            (("--power", "0.5"), "--power is 0.5; pass 1 or more."),
            (("--n-rounds", "0"), "--n-rounds is 0; pass 1 or more."),
            (("--n-jobs", "0"), "--n-jobs is 0; pass 1 or more"),
            (("--seed", "-1"), "--seed is -1; pass 0 or more."),
            (("--min-weights", "1", "--max-weights", "0"), "--min-weights 1.0 is above --max"),
            (("--max-exposure", "0.1"), "--max-exposure is of use with --exposures only"),
            (("--feature-set", "small"), "--feature-set is of use with --exposures only"),
            (("--covariance", "c.csv"), "--covariance is of use with --loadings only"),
            (("--sector-neutral",), "--sector-neutral is of use with --sector-column only"),
            (("--sector-column", "s"), "--sector-column is of use with --loadings or --exposures"),
            (("--max-turnover", "1"), "--max-turnover is of use with --previous-column only"),
            (("--transaction-costs", "1"), "is of use with --previous-column only"),
            (("--era-column", "week"), "has no era column 'week'"),
            (("--return-column", "retruns"), "(did you mean 'returns'?)"),
            (("--gradient", "cooked"), "Invalid value for '--gradient'"),
        ],
    )
    def test_options(self, tc, options, message):
        assert message in tc(*options)

    def test_options_that_belong_together(self, tc, refused, save):
        message = tc("--sector-column", "sector", files=(*BASIC, "loadings"))
        assert "--sector-column is of use with --sector-neutral only" in message
        message = tc(files=(*BASIC, "loadings"))
        assert "--loadings without --specific-column leaves" in message
        message = refused("tc", *save(*BASIC), "--quiet")
        assert "--quiet leaves nothing to see; pass --output, too." in message

    @pytest.mark.parametrize("option", [*BASIC, *RISK])
    def test_unreadable_files(self, tc, tmp_path, option):
        others = [name for name in (*BASIC, *RISK) if name != option]
        suffix = "csv" if option == "covariance" else "parquet"
        for content, text in (
            (None, "does not exist"),
            (b"", "is empty"),
            (b"PAR1\xff\n", " is no"),
        ):
            path = tmp_path / f"bad.{suffix}"
            if content is not None:
                path.write_bytes(content)
            message = tc(f"--{option}", path, *RISK_OPTIONS, files=others)
            assert message.startswith(f"error: --{option} {path}")
            assert text in message

    def test_existing_output(self, refused, save, tmp_path):
        path = tmp_path / "kept.csv"
        path.write_text("kept")
        assert "exists already" in refused("tc", *save(*BASIC), "--output", path)
        files = save(*BASIC)
        message = refused("tc", *files, "--output", files[3], "--overwrite")
        assert "is the same file as --stakes" in message
        assert path.read_text() == "kept"

    def test_users(self, tc, tables):
        users = tables["users"]
        message = tc(users=users.drop(columns="era"))
        assert "has no era column 'era' (columns: 'user_0001', " in message
        assert "has no numeric column but" in tc(users=users[["era"]])
        assert "2 repeated ids" in tc(users=pd.concat([users, users.iloc[:2]]))
        assert "has no column 'id'" in tc(users=users.reset_index(drop=True))
        assert "Eras such as 'early' have no known order" in tc(users=users.assign(era="early"))
        assert "has no rows" in tc(users=users.iloc[:0])
        for value in (np.nan, np.inf):
            bad = users.copy()
            bad.iloc[3:5, 1] = value
            message = tc(users=bad)
            assert "has 2 NaN or infinite predictions in era 0001, first 2 of 40" in message
            assert f"of user 'user_0002', at id '{users.index[3]}'" in message

    def test_stakes(self, tc, tables):
        stakes = tables["stakes"]
        message = tc(stakes=stakes.iloc[2:].rename(index={"user_0009": "nemo"}))
        assert "3 of 24 users have no stake ('user_0001', 'user_0002', 'user_0009')" in message
        assert "1 of 22 stakes belong to nobody ('nemo')" in message
        message = tc(stakes=pd.concat([stakes, stakes.iloc[:1]]))
        assert "has 1 rows with a user that another row has, first 'user_0001'" in message
        for value in (-1.0, np.nan, np.inf, "much"):
            bad = stakes.astype(object)
            bad.iloc[4, 0] = value
            message = tc(stakes=bad)
            assert "has the stake " in message
            assert "of user 'user_0005'; a stake is a number, zero or more" in message
        message = tc(stakes=stakes.T.set_axis(["0001"]).rename_axis("era").iloc[:, [0, 0, 1]])
        assert "has 1 columns with a name that another column has, first 'user_0001'" in message
        wide = stakes.T.set_axis(pd.Index(["0001"], name="era"))
        message = tc(stakes=wide)
        assert "lacks 2 of the 3 eras of --users, first '0002' (it has '0001')" in message
        message = tc(stakes=stakes.rename_axis("who"))
        assert "has neither a column 'user' nor 'era' (columns: 'who', 'stake')" in message
        message = tc(stakes=stakes * 0.0)
        assert "In era 0001: None of the 24 users that took part has a positive stake" in message

    def test_returns(self, tc, tables):
        returns = tables["returns"]
        message = tc(returns=returns.iloc[5:])
        assert "5 of 120 ids of --users" in message
        assert f"first '{returns.index[0]}', '{returns.index[1]}'" in message
        bad = returns.copy()
        bad.iloc[[2, 4]] = [[np.nan], [np.inf]]
        message = tc(returns=bad)
        assert "has 2 NaN or infinite of the 120 returns that belong to --users" in message
        assert f"first at id '{returns.index[2]}'" in message
        message = tc(returns=returns.assign(other=0.0))
        assert "no column 'return' and 2 other numeric ones" in message
        message = tc("--return-column", "returns", returns=returns.astype(str))
        assert "Column 'returns' of --returns" in message

    def test_exposures_and_loadings(self, tc, tables):
        files = (*BASIC, *RISK)
        options = RISK_OPTIONS
        message = tc(*options, files=files, exposures=tables["exposures"].iloc[3:])
        assert "3 of 120 ids of --users" in message
        assert "are not in --exposures" in message
        for table, column in (("exposures", 2), ("loadings", 1), ("loadings", 4)):
            bad = tables[table].copy()
            bad = bad.astype({bad.columns[column]: float})
            bad.iloc[50, column] = np.nan
            message = tc(*options, files=files, **{table: bad})
            assert "1 NaN or infinite of " in message
            assert f"in era 0002, first in column {bad.columns[column]!r} at id" in message
        bad = tables["loadings"].copy()
        bad.iloc[:2, bad.columns.get_loc("sector")] = None
        message = tc(*options, files=files, loadings=bad)
        assert "2 of 40 rows without 'sector' in era 0001" in message
        message = tc(*options, files=files, loadings=tables["loadings"].assign(variance=0.0))
        assert "In era 0001: --specific-column must be positive; 40 of 40" in message
        bad = tables["exposures"].assign(era=np.tile(["1", "2", "3"], 40))
        assert "disagree on the eras: the 40 rows" in tc(*options, files=files, exposures=bad)
        message = tc("--feature-columns", "^f", files=(*BASIC, "exposures"), exposures=bad * 1)
        assert "disagree" in message
        message = tc("--feature-columns", "^g", files=(*BASIC, "exposures"))
        assert "--exposures" in message
        assert "has no feature column that matches '^g'" in message
        message = tc("--specific-column", "varianse", files=(*BASIC, "loadings"))
        assert "--specific-column 'varianse' is not in --loadings" in message
        assert "(did you mean 'variance'?)" in message
        message = tc("--specific-column", "sector", files=(*BASIC, "loadings"))
        assert "--specific-column 'sector' of --loadings" in message
        bad = tables["loadings"][["era", "variance"]]
        message = tc("--specific-column", "variance", files=(*BASIC, "loadings"), loadings=bad)
        assert "has no numeric column but those that other options name" in message

    def test_covariance(self, tc, tables):
        options, files = RISK_OPTIONS, (*BASIC, *RISK)
        covariance = tables["covariance"]

        def message(table):
            return tc(*options, files=files, covariance=table)

        text = message(covariance.drop(index="0003"))
        assert "lacks 1 of the 3 eras of --users, first '0003'" in text
        text = message(covariance.rename(columns={"factor_02": "factor_20"}))
        assert "1 of 3 factors in the header of --covariance are no numeric columns" in text
        text = message(covariance.iloc[:-1])
        assert "has 2 rows and 3 factors ('factor_01', 'factor_02', 'factor_03') in era" in text
        text = message(covariance.assign(name="x"))
        assert "column 'name' does not name the factors of the header row by row" in text
        text = message(covariance.where(covariance > 1e-4))
        assert "NaN or infinite values in era 0001" in text
        assert "In era 0001: --covariance is not symmetric" in message(
            covariance.assign(factor_01=1.0)
        )

    def test_infeasible_program(self, tc):
        message = tc("--budget", 1, "--max-leverage", 0.5)
        assert "In era 0001: No portfolio meets these limits together: --budget, --max-" in message


@pytest.mark.parametrize("where", ["_tc_job.contributions_of_era", "_process.os.replace"])
def test_interrupt_leaves_nothing(run, save, tmp_path, monkeypatch, where):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    files = save(*BASIC)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(f"sknumerai.cli.{where}", interrupt)
    result = run("tc", *files, *FEW_ROUNDS, "--output", tmp_path / "output.csv")
    assert result.code == 130
    assert result.out == ""
    assert result.err.splitlines()[-1] == "interrupted: no incomplete file was left behind"
    assert sorted(tmp_path.iterdir()) == before
