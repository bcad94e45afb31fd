"""``score`` on real tournament data, against independent computations era by era."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, pearsonr, rankdata


def gaussianized(values):
    return norm.ppf((rankdata(values) - 0.5) / len(values))


def power(values):
    return np.sign(values) * np.abs(values) ** 1.5


def residual(values, others):
    design = np.column_stack([others, np.ones(len(values))])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def test_real_data(run, shared_data, tmp_path):
    """Several columns of one file serve as predictions, meta model and benchmark."""
    source = shared_data / "numerai_2018_08.parquet"
    rows = pd.read_parquet(source)
    rng = np.random.default_rng(0)
    names = [f"x{j}" for j in range(1, 11)]
    noise = rng.normal(size=(len(rows), 3))
    frame = pd.DataFrame(
        {
            "prediction": rows[names] @ rng.normal(size=10) + noise[:, 0],
            "meta": norm.cdf(rows["x11"] + noise[:, 1]),
            "benchmark": noise[:, 2] + 3 * rows["x12"],
        },
        index=rows.index,
    )
    path = tmp_path / "p.parquet"
    frame.sample(frac=1.0, random_state=0).to_parquet(path)
    output = tmp_path / "output.csv"
    result = run(
        *("score", "--predictions", path, "--prediction-column", "prediction"),
        *("--targets", source, "--target-column", "bernie", "--per-era", output),
        *("--features", source, "--feature-columns", r"^x(\d|10)$"),
        *("--meta-model", path, "--meta-model-column", "meta"),
        *("--benchmark", path, "--benchmark-column", "benchmark"),
    )
    assert result.code == 0, result.err
    with_target = rows[rows["bernie"].notna()]
    n_eras = with_target["era"].nunique()
    assert f"{n_eras} eras, {len(with_target)} rows, 10 features" in result.out
    assert f"left out {rows['era'].nunique() - n_eras} eras without targets" in result.out
    written = pd.read_csv(output).set_index("era")
    assert written.index.is_monotonic_increasing
    assert len(written) == n_eras
    for era, part in with_target.groupby("era"):
        own, X, target = frame.loc[part.index], part[names].to_numpy(), part["bernie"].to_numpy()
        p = gaussianized(own["prediction"])
        neutral = gaussianized(residual(p, X))
        expected = {
            "numerai_corr": pearsonr(power(target - target.mean()), power(p))[0],
            "fnc": pearsonr(power(target - target.mean()), power(neutral))[0],
            "cwmm": pearsonr(power(p), own["meta"])[0],
            "max_exposure": max(abs(pearsonr(own["prediction"], x)[0]) for x in X.T),
        }
        for name, other in (("mmc", "meta"), ("bmc", "benchmark")):
            reference = gaussianized(own[other])
            left = p - reference * (reference @ p) / (reference @ reference)
            expected[name] = np.mean(4 * (target - target.mean()) * left)
        for name, value in expected.items():
            assert written.loc[era, name] == pytest.approx(value, abs=1e-9), (era, name)
