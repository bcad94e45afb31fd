"""Small tables, and files of them by several writers."""

import numpy as np
import pandas as pd

FEATURES = [f"feature_{name}" for name in "amber brisk coral dusky early frank".split()]
SIZES = (23, 40, 31, 57, 29)  # rows of the eras
WRITERS = ("pandas", "pandas column", "polars", "arrow", "arrow large")


def make_rows(sizes=SIZES, dtype=np.int8, seed=0):
    """Eras, features and targets, era after era, with ids in no order."""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    ids = pd.Index([f"n{number:08x}" for number in rng.permutation(10 * n)[:n]], name="id")
    rows = pd.DataFrame(rng.integers(0, 5, (n, len(FEATURES))).astype(dtype), ids, FEATURES)
    labels = [f"{number:04d}" for number in range(1, len(sizes) + 1)]
    rows.insert(0, "era", np.repeat(labels, sizes))
    return rows.assign(target=rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], n).astype(np.float32))


def make_predictions(rows, n_predictions=1, dtype=np.float64, seed=1):
    """Predictions that depend on the features, rows in another order than theirs."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(len(FEATURES), n_predictions))
    values = rows[FEATURES].to_numpy(dtype=float) @ weights
    values += 3.0 * rng.normal(size=values.shape)
    names = ["prediction"] if n_predictions == 1 else [f"p{j}" for j in range(n_predictions)]
    return pd.DataFrame(values.astype(dtype), rows.index, names).sample(frac=1.0, random_state=seed)


def write_parquet(table, path, writer="pandas", row_group_size=None):
    """Write a frame with the ids as index, by one of several writers."""
    if writer == "pandas":
        table.to_parquet(path, row_group_size=row_group_size or len(table))
        return path
    if writer == "pandas column":
        table.reset_index().to_parquet(path, row_group_size=row_group_size or len(table))
        return path
    if writer == "polars":
        import polars as pl

        columns = {name: _plain(column) for name, column in table.reset_index().items()}
        pl.DataFrame(columns).write_parquet(path, row_group_size=row_group_size)
        return path
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.large_string() if writer == "arrow large" else pa.string()
    columns = {
        name: pa.array(_plain(column), text if _is_text(column) else None)
        for name, column in table.reset_index().items()
    }
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def _is_text(column):
    return not pd.api.types.is_numeric_dtype(column)


def _plain(column):
    return column.tolist() if _is_text(column) else column.to_numpy()


def read(path):
    """Predictions as they were written, with the ids as index."""
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, index_col="id")
