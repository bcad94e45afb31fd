"""The command on real tournament data, against independent computations era by era."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata
from sklearn.linear_model import Ridge

FEATURES = [f"x{j}" for j in range(1, 11)]
ALL_FEATURES = [f"x{j}" for j in range(1, 51)]


@pytest.fixture(scope="module")
def rows_of_2018(shared_data):
    return pd.read_parquet(shared_data / "numerai_2018_08.parquet")


@pytest.fixture(scope="module")
def predictions(rows_of_2018):
    """Of all regions but the first, by a model trained on that; rows shuffled."""
    train = rows_of_2018[rows_of_2018["region"] == 0]
    rest = rows_of_2018[rows_of_2018["region"] != 0]
    model = Ridge(alpha=1.0).fit(train[ALL_FEATURES], train["bernie"])
    values = model.predict(rest[ALL_FEATURES])
    return pd.DataFrame({"prediction": values}, index=rest.index).sample(frac=1, random_state=0)


def gaussianized(values):
    return norm.ppf((rankdata(values) - 0.5) / len(values))


def standardized(values):
    centred = values - values.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)


def eras_of(result, rows):
    """Written predictions and features of every era, as arrays."""
    joined = result.join(rows)
    assert len(joined) == len(result)
    for _, part in joined.groupby("era"):
        yield part["prediction"].to_numpy(), part[FEATURES].to_numpy(), part.index


def command(run, name, predictions, shared_data, tmp_path, *options):
    path, output = tmp_path / "predictions.csv", tmp_path / "output.parquet"
    predictions.to_csv(path)
    result = run(
        *(name, "--predictions", path, "--features", shared_data / "numerai_2018_08.parquet"),
        *("--output", output, "--feature-columns", r"^x(\d|10)$", *options),
    )
    assert result.code == 0, result.err
    written = pd.read_parquet(output)
    assert written.index.tolist() == predictions.index.tolist()
    return written, result


@pytest.mark.parametrize("limit", [0.1, 0.3])
def test_clip_equals_a_cone_program(run, rows_of_2018, predictions, shared_data, tmp_path, limit):
    cvxpy = pytest.importorskip("cvxpy")
    result, report = command(
        run, "clip", predictions, shared_data, tmp_path, "--max-exposure", limit
    )
    assert "58 eras, 2407 rows, 10 features" in report.out
    for values, features, ids in eras_of(result, rows_of_2018):
        assert values.min() == 0.0
        assert values.max() == 1.0
        p = standardized(gaussianized(predictions.loc[ids, "prediction"].to_numpy()))
        X, q = standardized(features), standardized(values)
        assert np.abs(X.T @ q).max() <= limit + 1e-8
        u = cvxpy.Variable(len(p))
        constraints = [cvxpy.norm(u) <= 1, X.T @ u <= limit, X.T @ u >= -limit]
        problem = cvxpy.Problem(cvxpy.Maximize(p @ u), constraints)
        problem.solve(solver="CLARABEL")
        assert p @ q == pytest.approx(problem.value, abs=1e-6)
        np.testing.assert_allclose(q, standardized(u.value), rtol=0, atol=1e-3)


@pytest.mark.parametrize("proportion", [0.5, 1.0])
def test_neutralize_equals_least_squares(
    run, rows_of_2018, predictions, shared_data, tmp_path, proportion
):
    result, _ = command(
        run, "neutralize", predictions, shared_data, tmp_path, "--proportion", proportion
    )
    for values, features, ids in eras_of(result, rows_of_2018):
        p = gaussianized(predictions.loc[ids, "prediction"].to_numpy())
        design = np.column_stack([features, np.ones(len(p))])
        weights = np.linalg.lstsq(design, p, rcond=None)[0]
        expected = p - proportion * design @ weights
        expected = (expected - expected.min()) / np.ptp(expected)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)


def test_all_features_of_few_rows_leave_nothing(
    run, rows_of_2018, predictions, shared_data, tmp_path
):
    path, output = tmp_path / "predictions.parquet", tmp_path / "output.parquet"
    predictions.to_parquet(path)
    result = run(
        *("clip", "--predictions", path, "--output", output, "--feature-columns", r"^x\d+$"),
        *("--features", shared_data / "numerai_2018_08.parquet", "--max-exposure", 0.01),
    )
    assert result.code == 2
    assert "leave nothing of the prediction" in result.err
    assert "--on-infeasible warn" in result.err
    assert not output.exists()


def test_float32_features_and_columns_of_2021(run, shared_data, tmp_path):
    """Ten rows of ten eras, taken as one; the features are few enough to leave something."""
    source = shared_data / "numerai_v2_ten_rows.parquet"
    rows = pd.read_parquet(source)
    names = [name for name in rows if name.startswith("feature_")][:400]
    chosen = [name for name in names if rows[name].nunique() > 2][:3]
    rng = np.random.default_rng(0)
    values = rng.normal(size=10).astype(np.float32) + 4 * rows[chosen[0]].to_numpy()
    predictions = pd.DataFrame({"prediction": values}, index=rows.index)[::-1]
    path, output = tmp_path / "predictions.parquet", tmp_path / "output.parquet"
    predictions.to_parquet(path)
    arguments = ["--predictions", path, "--features", source, "--output", output]
    arguments += ["--feature-columns", f"^({'|'.join(chosen)})$", "--overwrite"]
    result = run("clip", *arguments, "--single-era")
    assert result.code == 0, result.err
    assert "1 era, 10 rows, 3 features" in result.out
    written = pd.read_parquet(output)
    assert written.index.tolist() == predictions.index.tolist()
    assert written["prediction"].dtype == np.float32
    X = standardized(rows.loc[written.index, chosen].to_numpy(dtype=np.float64))
    exposures = X.T @ standardized(written["prediction"].to_numpy(dtype=np.float64))
    assert np.abs(exposures).max() <= 0.1 + 1e-6

    # Every row is an era of its own in the file: one row has no correlation with anything.
    result = run("clip", *arguments, "--quiet")
    assert result.code == 0
    assert result.err.startswith("warning: In 10 eras (0297, 0003, ")
    assert pd.read_parquet(output)["prediction"].isna().all()
