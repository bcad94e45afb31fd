"""A file of features: which columns, which rows belong to which predictions, era by era."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sknumerai._columns import FEATURE_PREFIX
from sknumerai._eras import EraGroups, group_eras, name_era
from sknumerai._typing import Array, EraLabel
from sknumerai.cli._errors import CommandError, naming_option
from sknumerai.cli._files import ID, check_ids, list_some, read_columns, read_head
from sknumerai.cli._numbers import describe_unusable, unusable
from sknumerai.datasets import EraReader
from sknumerai.datasets._feature_sets import get_feature_set


@dataclass(frozen=True)
class FeatureChoice:
    """How the command line names the feature columns."""

    feature_set: str | None = None
    features_json: Path | None = None
    pattern: str | None = None


class FeatureFile:
    """The features of a parquet file, read era by era.

    Parameters
    ----------
    path : Path
    choice : FeatureChoice
    era_column : str or None
        None takes the whole file, read at once, as a single era.

    Attributes
    ----------
    names : list of str
        Feature columns.

    Raises
    ------
    CommandError
        If the file cannot be read, or has no ids, no eras or not the features chosen.
    """

    def __init__(self, path: Path, choice: FeatureChoice, era_column: str | None):
        self.path, self.era_column = path, era_column
        head = read_head("--features", path)
        self._schema, self._id, index = head.schema, head.id, head.index
        if head.n_rows == 0:
            raise CommandError(f"--features {path} has no rows; download or write it again.")
        if era_column is not None and era_column in index:
            raise CommandError(
                f"--features {path} has the era column {era_column!r} as its index; write it with "
                "the ids as index and the eras as a column."
            )
        if not self._id and len(index) != 1:
            raise CommandError(
                f"--features {path} has no column {ID!r} and no index of ids; write the file with "
                "the ids of the rows."
            )
        if era_column is not None and era_column not in self._schema.names:
            raise CommandError(
                f"--features {path} has no era column {era_column!r} (columns: "
                f"{list_some(self._schema.names)}); name it with --era-column, or pass "
                "--single-era if all its rows are of one era."
            )
        self.names = self._choose(choice, index)

    def _choose(self, choice: FeatureChoice, index: list[str]) -> list[str]:
        available = [
            name
            for name in self._schema.names
            if name not in index and name not in (ID, self.era_column)
        ]
        if choice.feature_set is not None and choice.pattern is not None:
            raise CommandError("--feature-set and --feature-columns exclude each other; pass one.")
        if choice.features_json is not None and choice.feature_set is None:
            raise CommandError("--features-json is of use with --feature-set only; pass that, too.")
        if choice.feature_set is not None:
            source = choice.features_json or self.path.parent / "features.json"
            with naming_option("--feature-set", Path(choice.feature_set)):
                names = get_feature_set(source, choice.feature_set)
            lost = sorted(set(names) - set(available))
            if lost:
                raise CommandError(
                    f"--feature-set {choice.feature_set}: {len(lost)} of its {len(names)} features "
                    f"are not in --features {self.path}, first {lost[0]!r}; name another set, or "
                    "another --features-json."
                )
        else:
            option = "" if choice.pattern is None else f" that matches {choice.pattern!r}"
            names = _matching(available, choice.pattern)
            if not names:
                raise CommandError(
                    f"--features {self.path} has no feature column{option} (columns: "
                    f"{list_some(available)}); name them with --feature-columns, a regular "
                    "expression."
                )
        for name in names:
            kind = self._schema.field(name).type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                raise CommandError(
                    f"Column {name!r} of --features {self.path} does not hold numbers (type "
                    f"{kind}); choose others with --feature-columns or --feature-set."
                )
        return names

    def match(self, ids: pd.Index, source: str) -> "Matched":
        """Find the rows of predictions in the file.

        Parameters
        ----------
        ids : Index
            Ids of the predictions.
        source : str
            What messages call them.

        Returns
        -------
        matched : Matched

        Raises
        ------
        CommandError
            If ids are repeated or not in the file, or an era is predicted in part.
        """
        own, labels, groups = self._read_ids()
        check_ids(own, f"--features {self.path}")
        # As text, since a CSV does not say whether its ids are numbers.
        rows = ids.astype(str).get_indexer(own.astype(str))
        found = np.zeros(len(ids), dtype=bool)
        found[rows[rows >= 0]] = True
        if not found.all():
            lost = ids[~found]
            raise CommandError(
                f"{len(lost)} of {len(ids)} ids of {source} are not in --features {self.path}, "
                f"first {list_some(lost, 3)}; pass the features of these rows."
            )
        parts = [rows[selector] for selector in groups.rows]
        chosen = [i for i, part in enumerate(parts) if (part >= 0).any()]
        partial = [i for i in chosen if (parts[i] < 0).any()]
        if partial:
            first = partial[0]
            lacking = parts[first] < 0
            where = name_era(labels[first])
            raise CommandError(
                f"{len(partial)} of {len(chosen)} eras are predicted in part: {source} lacks "
                f"{int(lacking.sum())} of the {len(lacking)} rows of {where}, first "
                f"{own[groups.rows[first]][lacking][0]!r}; predict all rows of an era or none."
            )
        return Matched([labels[i] for i in chosen], [parts[i] for i in chosen])

    def _read_ids(self) -> tuple[pd.Index, Sequence[EraLabel], EraGroups]:
        """Ids in the order of the file, labels of the eras, and their rows."""
        with naming_option("--features", self.path):
            if self.era_column is None:
                own = self._ids_of(self._read_whole([]))
                return own, [None], EraGroups([None], [slice(0, len(own))], len(own))
            columns = [self.era_column, *self._id]
            reader = EraReader(self.path, columns, era_column=self.era_column)
            frame = reader.read()
            # The reader's labels, since pandas may hold them in another type.
            groups = group_eras(frame[self.era_column], len(frame))
            return self._ids_of(frame), reader.eras, groups

    def blocks(self, labels: Sequence[EraLabel]) -> Iterator[Array]:
        """The features of some eras, in the order of the file, one array after the other.

        Parameters
        ----------
        labels : list
            Of `Matched`.

        Yields
        ------
        features : ndarray of shape (n, n_features)
            In their own dtype.
        """
        columns = [*self.names, *self._id]
        with naming_option("--features", self.path):
            if self.era_column is None:
                yield self._block(self._read_whole(columns), None)
                return
            reader = EraReader(self.path, columns, era_column=self.era_column, eras=labels)
            for label, frame in reader:
                yield self._block(frame, label)

    def _block(self, frame: pd.DataFrame, label: EraLabel) -> Array:
        block = frame[self.names].to_numpy()
        if block.dtype.kind == "f" and (bad := unusable(block)).any():
            row, column = (int(v) for v in np.argwhere(bad)[0])
            raise CommandError(
                f"--features {self.path} has {describe_unusable(block)} of "
                f"{block.size} values in {name_era(label)}, first in column "
                f"{self.names[column]!r} at id {self._ids_of(frame)[row]!r}; fill them, or choose "
                "features without."
            )
        return block

    def _ids_of(self, frame: pd.DataFrame) -> pd.Index:
        return pd.Index(frame[ID]) if self._id else frame.index

    def _read_whole(self, columns: list[str]) -> Any:
        return read_columns(self.path, [*columns, *self._id])


@dataclass(frozen=True)
class Matched:
    """The eras that are predicted, in the order of the file of features.

    Attributes
    ----------
    labels : list of length n_eras
    rows : list of ndarray
        For every row of the era, in the order of the features, its row among the predictions.
    """

    labels: list[EraLabel]
    rows: list[Array]


def _matching(names: list[str], pattern: str | None) -> list[str]:
    if pattern is None:
        return [name for name in names if name.startswith(FEATURE_PREFIX)]
    try:
        return [name for name in names if re.search(pattern, name)]
    except (re.error, RecursionError, OverflowError) as error:
        raise CommandError(
            f"--feature-columns {pattern!r} is no regular expression ({error}); write one such as "
            "'^feature_'."
        ) from error
