"""Labels, patients and splits of NIH ChestX-ray14, as `Data_Entry_2017.csv` and the lists beside it give them.

Wang et al. 2017, "ChestX-ray8". A film has none, one or several of 14 findings; this tool's classes exclude each other.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from manifests.places import AnyPath, at_hand, names_that_fit
from manifests.rows import DeliveredSplit
from stages.contract import StageError
from stages.films import identity
from stages.labels import LabelSource
from stages.labels_csv import LARGEST_CSV
from stages.named import Named, delivered_split, oddity

IMAGE, FINDINGS, PATIENT = "Image Index", "Finding Labels", "Patient ID"
DATA_ENTRY = "Data_Entry_2017*.csv"
NO_FINDING, OTHER = "No Finding", "other finding"
LISTS: Mapping[str, DeliveredSplit] = {"train_val_list.txt": "train", "test_list.txt": "test"}
SHOWN = 20  # findings in an error


@dataclass(frozen=True)
class NihLabels:
    """Classes by finding, patients by hashed id, splits by the lists; a film is found by its name in any folder."""

    reason: str
    rows: Mapping[str, Named]
    splits: Mapping[str, DeliveredSplit]
    group_reason: str
    beside: tuple[str, ...]
    source: str = "nih"
    classes: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    def name(self, path: str) -> Named:
        """Return the CSV's row of a file's name; a list's split, else the folder's."""
        name = PurePosixPath(path).name
        split = self.splits.get(name) or delivered_split(path)
        row = self.rows.get(name)
        if row is None:
            return Named(None, None, split, "unlabelled", "the NIH CSV does not list the file's name")
        return Named(row.label, row.group, split, row.status, row.reason)


def labels(
    source: LabelSource, files: Sequence[str], raw: AnyPath, *, labels_csv: str, finding: str, key: bytes
) -> NihLabels | None:
    """Return the way to name films by NIH's CSV: where it is asked for, or where such a CSV is the one to take.

    Raises:
        StageError: where it is asked for and not there, or cannot be used.
    """
    if source not in ("auto", "csv", "nih"):
        return None
    takes_named = source == "csv" or (source == "auto" and (raw / labels_csv).is_file())
    candidates = [labels_csv] if takes_named else [labels_csv, *names_that_fit(raw, DATA_ENTRY)]
    name = next((name for name in candidates if has_form(raw / name)), None)
    if name is not None:
        return read(raw, name, files, finding=finding, key=key)
    if source == "nih":
        raise StageError(f"{raw}: found no CSV with the columns '{IMAGE}' and '{FINDINGS}'; expected {DATA_ENTRY}")
    return None


def has_form(path: AnyPath) -> bool:
    """Return whether a file is a CSV with NIH's columns."""
    if not path.is_file():
        return False
    try:
        with at_hand(path).open(newline="", encoding="utf-8-sig") as file:
            return {IMAGE, FINDINGS} <= set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def read(raw: AnyPath, csv_name: str, files: Sequence[str], *, finding: str, key: bytes) -> NihLabels:
    """Return the labels of a CSV of NIH's form.

    Args:
        raw: the raw folder.
        csv_name: the CSV, relative to it; the lists of the splits lie beside the CSV, if they are there.
        files: the raw files, to count which of the CSV's are among them.
        finding: the one that makes a class of the films that have it; empty: each finding makes a class.
        key: of the hash that stands for a patient.

    Raises:
        StageError: where it cannot be read, or no film has the finding.
    """
    path = raw / csv_name
    rows, findings = _rows(path, finding, key)
    if finding and finding not in findings:
        raise StageError(f"{path}: no film has the finding '{finding}'; found {', '.join(sorted(findings)[:SHOWN])}")
    splits = {name: split for listed, split in LISTS.items() for name in _names(path.with_name(listed))}
    here = sum(PurePosixPath(file).name in rows for file in files)
    own = PurePosixPath(csv_name)
    lists = [own.with_name(name).as_posix() for name in LISTS if path.with_name(name).is_file()]
    return NihLabels(
        reason=f"the CSV {path.name} (NIH): {here:,} of its {len(rows):,} films are here; {_rule(finding)}",
        rows=rows,
        splits=splits,
        group_reason=f"the CSV's column '{PATIENT}', {'keyed' if key else 'unkeyed'} hash",
        beside=(own.as_posix(), *lists),
    )


def _rule(finding: str) -> str:
    if finding:
        return f"classes {NO_FINDING}, {finding}, and {OTHER} where a film has others alone"
    return "a class for each finding; films of several findings are set aside"


def _rows(path: AnyPath, finding: str, key: bytes) -> tuple[dict[str, Named], set[str]]:
    """Return the films of a CSV by their names, and all findings."""
    rows, seen, known = dict[str, Named](), set[str](), dict[Named, Named]()
    try:
        if (size := path.stat().st_size) > LARGEST_CSV:
            raise StageError(f"{path}: has {size:,} bytes; expected at most {LARGEST_CSV:,}")
        with at_hand(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            for line in reader:
                where = f"{path}: line {reader.line_num}"
                name, told = (str(line.get(column) or "").strip() for column in (IMAGE, FINDINGS))
                found = tuple(dict.fromkeys(part.strip() for part in told.split("|") if part.strip()))
                if not name or not found:
                    raise StageError(f"{where} has no {FINDINGS if name else IMAGE}; expected one, or no such line")
                if name in rows:
                    raise StageError(f"{where} names a film a second time; expected each once")
                row = _named(found, finding, identity.group_of(str(line.get(PATIENT) or ""), key=key), where)
                rows[name] = known.setdefault(row, row)  # a patient's films of the same findings share one object
                seen.update(found)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StageError(f"{path}: cannot be read as CSV ({type(error).__name__}); expected NIH's columns") from error
    return rows, seen


def _named(findings: Sequence[str], finding: str, group: str | None, where: str) -> Named:
    if odd := next((odd for one in findings if (odd := oddity(one)) is not None), None):
        raise StageError(f"{where} has a finding that {odd}")
    if finding:
        label = finding if finding in findings else findings[0] if list(findings) == [NO_FINDING] else OTHER
        return Named(label, group, None)
    if len(findings) == 1:
        return Named(findings[0], group, None)
    told = f"found {len(findings)} findings ({', '.join(findings)}); expected one, or the parameter finding to choose"
    return Named(None, group, None, "unlabelled", told)


def _names(path: AnyPath) -> list[str]:
    """Return the names that a list holds, one a line; none where it is not there.

    Raises:
        StageError: where it cannot be read.
    """
    if not path.is_file():
        return []
    try:
        return [line.strip() for line in at_hand(path).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise StageError(f"{path}: cannot be read ({type(error).__name__}); expected a film's name a line") from error
