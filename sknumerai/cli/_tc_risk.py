"""The risk data of ``tc``: which columns of which file, and their rows era by era."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sknumerai.cli._errors import CommandError
from sknumerai.cli._features import FeatureChoice, FeatureFile
from sknumerai.cli._files import list_some
from sknumerai.cli._tc_inputs import Covariance, Users
from sknumerai.cli._tc_rows import RowFile, check_numbers, matched_frames


@dataclass
class RiskFile:
    """A file with risk data.

    Attributes
    ----------
    file : RowFile
    tables : dict of str to list of str
        Columns of the tables "exposures" and "factor_loadings", if they are in this file.
    columns : dict of str to str
        Columns of "specific_variance", "sectors" and "previous_weights", likewise.
    """

    file: RowFile
    tables: dict[str, list[str]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)

    def eras(self, users: Users) -> Iterator[dict[str, Any]]:
        """The data of every era, in the order of the users' file, by the library's names.

        Raises
        ------
        CommandError
            If ids are missing, or something is missing or no finite number.
        """
        names = [name for table in self.tables.values() for name in table]
        names = list(dict.fromkeys([*names, *self.columns.values()]))
        frames = matched_frames(self.file, names, users.ids, users.groups, users.file.source)
        for label, frame in zip(users.groups.labels, frames, strict=True):
            for name, column in self.columns.items():
                if name != "sectors":
                    check_numbers(frame[[column]], label, self.file.source)
                elif frame[column].isna().any():
                    missing = frame.index[frame[column].isna()]
                    raise CommandError(
                        f"{self.file.source} has {len(missing)} of {len(frame)} rows without "
                        f"{column!r} in era {label}, first {missing[0]!r}; label every row."
                    )
            for columns in self.tables.values():
                check_numbers(frame[columns], label, self.file.source)
            # Ids may be of another type in each file, and the rows are matched already.
            rows = frame.reset_index(drop=True)
            yield {name: rows[columns] for name, columns in self.tables.items()} | {
                name: rows[column] for name, column in self.columns.items()
            }


def open_risk(
    exposures: Path | None,
    choice: FeatureChoice,
    loadings: Path | None,
    covariance: Covariance | None,
    columns: Mapping[str, str],
    era_column: str,
) -> list[RiskFile]:
    """Find the columns of the risk data.

    Parameters
    ----------
    exposures, loadings : Path or None
    choice : FeatureChoice
        Of the exposures.
    covariance : Covariance or None
        Names the factors, if given.
    columns : mapping of str to str
        Columns of "specific_variance", "sectors" and "previous_weights".
    era_column : str

    Raises
    ------
    CommandError
        If files cannot be read or lack columns, or these hold no numbers.
    """
    risk: list[RiskFile] = []
    if loadings is not None:
        risk.append(RiskFile(RowFile("--loadings", loadings, era_column)))
    if exposures is not None:
        file = RowFile("--exposures", exposures, era_column)
        risk.append(RiskFile(file, {"exposures": _features(file, choice)}))
    for name, column in columns.items():
        owner = next((item for item in risk if column in item.file.columns), None)
        option = OPTIONS[name]
        if owner is None:
            available = [other for item in risk for other in item.file.columns]
            close = get_close_matches(column, available, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise CommandError(
                f"{option} {column!r} is not in "
                f"{' and not in '.join(item.file.source for item in risk)}{hint}; name another one."
            )
        if name != "sectors" and column not in owner.file.numeric:
            raise CommandError(
                f"{option} {column!r} of {owner.file.source} does not hold numbers; name another "
                "one."
            )
        owner.columns[name] = column
    if loadings is not None:
        factors = _factors(risk[0].file, covariance, list(columns.values()))
        risk[0].tables["factor_loadings"] = factors
    return risk


OPTIONS = {
    "specific_variance": "--specific-column",
    "sectors": "--sector-column",
    "previous_weights": "--previous-column",
}


def _features(file: RowFile, choice: FeatureChoice) -> list[str]:
    era_column = file.era_column if file.has_eras else None
    try:
        return FeatureFile(file.path, choice, era_column).names
    except CommandError as error:
        raise CommandError(str(error).replace("--features ", "--exposures ")) from error


def _factors(file: RowFile, covariance: Covariance | None, taken: list[str]) -> list[str]:
    if covariance is None:
        names = [name for name in file.numeric if name not in taken]
        if not names:
            raise CommandError(
                f"{file.source} has no numeric column but those that other options name (columns: "
                f"{list_some(file.columns)}); write one column per factor."
            )
        return names
    lost = [name for name in covariance.names if name not in file.numeric]
    if lost:
        raise CommandError(
            f"{len(lost)} of {len(covariance.names)} factors in the header of --covariance are no "
            f"numeric columns of {file.source} ({list_some(lost, 3)}); write the names of the "
            "loadings as header."
        )
    return covariance.names
