"""What the post promises to users, what nothing depends on, and the whole on real data."""

import tracemalloc
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from sknumerai.contribution import true_contribution
from sknumerai.portfolio import PortfolioOptimizer
from tests.contribution._case import USERS, Case, assert_close


class TestFairness:
    """What the post promises to users."""

    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_identical_signals_score_identically_whatever_their_stakes(self, gradient):
        case = Case()
        first = case.predictions[:, :1]
        copies = np.hstack([case.predictions, first, np.exp(3.0 * first)])
        table = case(
            user_predictions=copies, stakes=np.append(case.stakes, [0.0, 7.0]), gradient=gradient
        )
        scores = table.loc["0001"]
        assert scores[0] != 0.0
        assert scores[6] == pytest.approx(scores[0], rel=1e-12)
        assert scores[7] == pytest.approx(scores[0], rel=1e-12)

    @pytest.mark.parametrize("gradient", ["raw", "stake_weighted"])
    def test_a_stake_of_zero_is_the_limit_of_small_stakes(self, gradient):
        case = Case()
        zero = case(gradient=gradient).loc["0001"]
        assert case.stakes[1] == 0.0
        assert abs(zero[1]) > 0.01 * np.abs(zero).max()
        errors = []
        for stake in (1e-3, 1e-5):
            stakes = case.stakes.copy()
            stakes[1] = stake
            difference = case(stakes=stakes, gradient=gradient).loc["0001"] - zero
            errors.append(np.abs(difference).max() / np.abs(zero).max())
        assert errors[1] < 1e-4
        assert errors[1] < 0.02 * errors[0]

    def test_units_of_stakes(self):
        """Return per unit of stake, or of total stake."""
        case = Case()
        assert_close(case(stakes=1e6 * case.stakes), 1e-6 * case(), 1e-9)
        weighted = partial(case, gradient="stake_weighted")
        assert_close(weighted(stakes=1e6 * case.stakes), weighted(), 1e-9)

    @pytest.mark.parametrize("unit", [1e-250, 1e250])
    def test_stakes_of_any_size(self, unit):
        case = Case()
        weighted = partial(case, dropout=0.0)
        assert_close(unit * weighted(stakes=unit * case.stakes), weighted(), 1e-9)

    def test_opposite_signals_score_opposite(self):
        case = Case()
        both = np.hstack([case.predictions, -case.predictions])
        scores = case(user_predictions=both, stakes=np.append(case.stakes, np.zeros(USERS)))
        values = scores.loc["0001"].to_numpy()
        np.testing.assert_allclose(values[USERS:], -values[:USERS], rtol=1e-9)


class TestInvariance:
    def test_only_ranks_matter(self):
        case = Case()
        expected = case()
        assert_close(case(user_predictions=np.exp(case.predictions)), expected, 1e-12)
        assert_close(case(user_predictions=rankdata(case.predictions, axis=0)), expected, 1e-12)
        assert np.abs(
            case(user_predictions=np.exp(case.predictions), gaussianize=False) - expected
        ).max(axis=None) > 1e-3 * expected.abs().max(axis=None)

    def test_permuted_rows(self, rng):
        case = Case(n_eras=3)
        expected = case()
        order = rng.permutation(len(case.eras))
        risk = {
            name: values if name == "factor_covariance" else values[order]
            for name, values in case.risk.items()
        }
        shuffled, info = case(
            user_predictions=case.predictions[order],
            returns=case.returns[order],
            eras=case.eras[order],
            return_info=True,
            **risk,
        )
        assert shuffled.index.tolist() == ["0001", "0002", "0003"]
        assert_close(shuffled, expected, 1e-9)
        # portfolios have the rows of their era in the order of the caller
        for label, whole in case(return_info=True)[1].items():
            rows = order[case.eras[order] == label] - np.flatnonzero(case.eras == label)[0]
            np.testing.assert_allclose(
                info[label].portfolios, whole.portfolios[:, rows], atol=1e-10
            )

    def test_permuted_users(self, rng):
        case = Case(n_users=12)
        order = rng.permutation(12)
        permuted = case(
            user_predictions=case.predictions[:, order], stakes=case.stakes[order], dropout=0.0
        )
        assert_close(permuted, case(dropout=0.0).to_numpy()[:, order], 1e-9)

    def test_eras_do_not_depend_on_one_another(self):
        case = Case(n_eras=3)
        together = case()
        for label in together.index:
            rows = case.eras == label
            risk = {
                name: values if name == "factor_covariance" else values[rows]
                for name, values in case.risk.items()
            }
            alone = partial(
                case, user_predictions=case.predictions[rows], returns=case.returns[rows], **risk
            )
            np.testing.assert_array_equal(alone(eras=label).loc[label], together.loc[label])
            np.testing.assert_array_equal(alone(eras=None).iloc[0], together.loc[label])
            np.testing.assert_array_equal(alone(eras=case.eras[rows]), together.loc[[label]])

    @pytest.mark.parametrize(
        "relabel",
        [
            int,
            lambda label: f"era{label}",
            lambda label: pd.Timestamp("2020-01-03") - 7 * int(label) * pd.Timedelta("1D"),
        ],
        ids=["numbers", "names", "dates backwards"],
    )
    def test_labels(self, relabel):
        case = Case(n_eras=3)
        labels = [relabel(label) for label in case.eras]
        found, expected = case(eras=pd.Series(labels)), case()
        by_label = {relabel(label): scores for label, scores in expected.iterrows()}
        assert found.index.tolist() == sorted(by_label)
        assert found.index.name == "era"
        for label, scores in found.iterrows():
            np.testing.assert_array_equal(scores, by_label[label])

    def test_n_jobs(self):
        case = Case(n_eras=3)
        alone, info = case(return_info=True)
        parallel, parallel_info = case(n_jobs=2, return_info=True)
        pd.testing.assert_frame_equal(parallel, alone, check_exact=True)
        for label in info:
            np.testing.assert_array_equal(parallel_info[label].gradient, info[label].gradient)

    def test_verbose_shows_progress(self, capsys):
        Case(n_eras=2)(verbose=True, n_rounds=1)
        assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_memory(layout):
    """Predictions of many users are never copied to double precision."""
    n, n_users = 1000, 2000
    rng = np.random.default_rng(0)
    predictions = layout(rng.random((n, n_users), dtype=np.float32))
    stakes, returns = rng.random(n_users), rng.normal(size=n)
    tracemalloc.start()
    try:
        true_contribution(
            predictions,
            stakes,
            returns,
            optimizer=PortfolioOptimizer(),
            n_rounds=10,
            random_state=0,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.65 * 8 * n * n_users


def test_real_data(shared_data):
    pytest.importorskip("pyarrow", reason="needs pyarrow to read the real data")
    frame = pd.read_parquet(shared_data / "numerai_2018_08.parquet")
    eras = sorted(frame.loc[frame.region == 0, "era"].unique())[:6]
    frame = frame[frame.era.isin(eras)]
    exposures = frame[[f"x{j}" for j in range(1, 11)]]
    returns = frame.bernie - frame.bernie.groupby(frame.era).transform("mean")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(frame), 12))
    skill = np.linspace(-1.0, 1.0, 12)
    users = 0.2 * noise + np.outer(returns, skill)
    table, info = true_contribution(
        pd.DataFrame(users, index=frame.index).add_prefix("user_"),
        np.ones(12),
        returns,
        optimizer=PortfolioOptimizer(),
        eras=frame.era,
        exposures=exposures,
        n_rounds=10,
        random_state=0,
        return_info=True,
    )
    assert table.shape == (6, 12)
    assert np.isfinite(table).all(axis=None)
    assert np.corrcoef(table.mean(), skill)[0, 1] > 0.9
    for era, rows in exposures.groupby(frame.era):
        assert (info[era].kkt_residual <= 1e-9).all()
        held = np.abs(info[era].portfolios).max()
        assert np.abs(info[era].portfolios @ rows.to_numpy()).max() < 1e-8 * held * len(rows)
