"""Feature sets and groups named in the tournament's features.json."""

from __future__ import annotations

import json
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

__all__ = ["read_feature_sets"]


def read_feature_sets(path: str | PathLike[str]) -> dict[str, list[str]]:
    """Read the feature sets and groups of a data version.

    Parameters
    ----------
    path : str or path-like
        A ``features.json``, or the folder that holds it.

    Returns
    -------
    feature_sets : dict of str to list of str
        Feature names by set ("small", "medium", "all", ...) and group ("wisdom", ...).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not JSON or has no feature sets.

    Examples
    --------
    >>> import tempfile
    >>> from sknumerai.datasets import read_feature_sets, write_tournament
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_tournament(folder, n_eras=3, n_stocks=20, n_features=30, random_state=0)
    ...     feature_sets = read_feature_sets(folder)
    >>> len(feature_sets["all"]), len(feature_sets["wisdom"])
    (30, 3)
    """
    path = Path(path)
    if path.is_dir():
        path = path / "features.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no feature metadata at {path}; pass features_json= the path of "
            "features.json, or name the columns."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); download it again.") from error
    feature_sets = content.get("feature_sets") if isinstance(content, dict) else None
    if not isinstance(feature_sets, dict) or not feature_sets:
        raise ValueError(
            f"{path} has no 'feature_sets'; pass the features.json of a tournament data version."
        )
    for name, features in feature_sets.items():
        if not isinstance(features, list) or not all(isinstance(each, str) for each in features):
            raise ValueError(
                f"{path} has the feature set {name!r}, which is not a list of names; download it "
                "again."
            )
    return feature_sets


def get_feature_set(path: str | PathLike[str], name: str) -> list[str]:
    """Feature names of one set; an unknown name is an error that lists the known ones."""
    feature_sets = read_feature_sets(path)
    if name not in feature_sets:
        close = get_close_matches(str(name), feature_sets, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(
            f"feature_set={name!r} is not in {path}{hint}; it has "
            f"{', '.join(map(repr, feature_sets))}."
        )
    if not feature_sets[name]:
        raise ValueError(f"feature_set={name!r} of {path} has no features; name another one.")
    return list(dict.fromkeys(feature_sets[name]))
