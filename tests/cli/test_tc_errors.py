"""``tc`` says in one sentence why it cannot, and leaves no incomplete file."""

import numpy as np
import pandas as pd
import pytest

from tests.cli._tc_files import BASIC, FEW_ROUNDS, RISK, RISK_OPTIONS


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
            (
                ("--sector-column", "s", "--sector-neutral"),
                "--sector-column is of use with --loadings or --exposures",
            ),
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
            assert "In era 0002: --" in message
            assert f"first in column {bad.columns[column]!r} at id" in message
        bad = tables["loadings"].copy()
        bad.iloc[:2, bad.columns.get_loc("sector")] = None
        message = tc(*options, files=files, loadings=bad)
        assert "In era 0001: --loadings" in message
        assert "2 of 40 rows without 'sector'" in message
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
        assert "has no numeric column but those that other arguments name" in message

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


@pytest.mark.parametrize(
    "where", ["streaming._contribution_files.contributions_of_era", "cli._process.os.replace"]
)
def test_interrupt_leaves_nothing(run, save, tmp_path, monkeypatch, where):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    files = save(*BASIC)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(f"sknumerai.{where}", interrupt)
    result = run("tc", *files, *FEW_ROUNDS, "--output", tmp_path / "output.csv")
    assert result.code == 130
    assert result.out == ""
    assert result.err.splitlines()[-1] == "interrupted: no incomplete file was left behind"
    assert sorted(tmp_path.iterdir()) == before
