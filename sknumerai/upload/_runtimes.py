"""What the tournament's runtimes have, by version of Python: facts with their date and source."""

from __future__ import annotations

import platform

SOURCE = "the images of numerai/numerai-predict, as of September 2026"
CPUS = 1
MEMORY = "4GB"
SECONDS = 600

_COMMON = {
    "numpy": "2.1.3",
    "scipy": "1.16.0",
    "pandas": "2.3.1",
    "scikit-learn": "1.6.1",
    "joblib": "1.5.1",
    "threadpoolctl": "3.6.0",
    "narwhals": "1.47.1",
    "tqdm": "4.67.1",
    "polars": "1.31.0",
    "pyarrow": "21.0.0",
    "cloudpickle": "3.1.1",
    "torch": "2.7.1",
    "skorch": "1.1.0",
    "lightgbm": "4.6.0",
    "xgboost": "3.0.2",
    "catboost": "1.2.8",
    "numba": "0.61.2",
    "statsmodels": "0.14.5",
    "numerai-tools": "0.4.0",
}
PACKAGES = {
    "3.11": _COMMON,
    "3.12": _COMMON | {"pyarrow": "18.1.0", "lightgbm": "4.5.0"},
    "3.13": {
        "numpy": "2.2.6",
        "scipy": "1.17.1",
        "pandas": "2.3.3",
        "scikit-learn": "1.6.1",
        "joblib": "1.5.3",
        "threadpoolctl": "3.6.0",
        "narwhals": "2.17.0",
        "tqdm": "4.67.3",
        "polars": "1.38.1",
        "pyarrow": "18.1.0",
        "cloudpickle": "3.1.2",
        "torch": "2.10.0",
        "skorch": "1.3.1",
        "lightgbm": "4.5.0",
        "xgboost": "3.0.5",
        "catboost": "1.2.10",
        "numba": "0.61.2",
        "statsmodels": "0.14.6",
        "numerai-tools": "0.4.3",
    },
}
# Where a package is imported by another name than it is installed by.
MODULES = {"scikit-learn": "sklearn", "numerai-tools": "numerai_tools"}


def own_runtime() -> str:
    """The version of Python that runs this, as runtimes are named.

    Raises
    ------
    ValueError
        If the tournament has none of it.
    """
    version = ".".join(platform.python_version_tuple()[:2])
    if version not in PACKAGES:
        raise ValueError(
            f"This is Python {version}, and the tournament runs {', '.join(PACKAGES)}; write the "
            "file with one of these."
        )
    return version
