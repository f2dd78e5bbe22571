"""What a raw film shows, whose it is and which split it came in: read from its name, its folder or a CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from manifests.rows import DeliveredSplit, Status
from stages.contract import StageError
from stages.films import identity

LabelSource = Literal["auto", "kermany", "folder", "csv", "nih"]
SPLIT_FOLDERS: Mapping[str, DeliveredSplit] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
KERMANY_CLASSES = ("normal", "bacterial", "viral")
# Names of Kermany et al. 2018 as Kaggle and Mendeley ship them. Numbers restart per class and per series, so
# a patient is (class, series, number).
KERMANY_NAMES = (
    (re.compile(r"^(?P<series>person)(?P<number>\d+)_(?P<word>bacteria|virus)_\d+"), None),
    (re.compile(r"^(?P<series>(?:NORMAL\d*-)?IM)-(?P<number>\d+)-\d+"), "normal"),
    (re.compile(r"^(?P<series>(?P<word>BACTERIA|VIRUS|NORMAL))-(?P<number>\d+)-\d+"), None),
)
KERMANY_FORMS = "person1_bacteria_2, person1_virus_2, IM-0001-0001, NORMAL2-IM-0001-0001"
KERMANY_WORDS = {
    "bacteria": "bacterial",
    "BACTERIA": "bacterial",
    "virus": "viral",
    "VIRUS": "viral",
    "NORMAL": "normal",
}
LONGEST_NAME = 255  # letters of a class or a group: as many as a folder's name has bytes
LARGEST_CSV = 100_000_000  # bytes; a million films of 100 bytes a line
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
KERMANY_FOLDERS = {"NORMAL": {"normal"}, "PNEUMONIA": {"bacterial", "viral"}}


@dataclass(frozen=True, slots=True)
class CsvNames:
    """What a CSV calls the columns `path`, `label`, `group` and `split`.

    Attributes:
        names: its names for them, where they are others; a group of another name is a patient's id, and is hashed.
        key: of the hash.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    key: bytes = b""


OWN_NAMES = CsvNames()


@dataclass(frozen=True, slots=True)
class Named:
    """What is known of a film beside its pixels; `status` and `reason` say why it cannot be labelled."""

    label: str | None
    group: str | None
    delivered_split: DeliveredSplit | None
    status: Status = "ok"
    reason: str | None = None


class Labels(Protocol):
    """A way to name films.

    Attributes:
        source: one of `LabelSource`, never `auto`.
        reason: a sentence for the audit's summary: where the labels come from, and why.
        group_reason: a sentence: what makes a patient group.
        classes: in the order of `label_index`; empty where the files decide.
        listed: paths that must be there.
        beside: files of the raw folder that tell of films, and are none.
    """

    @property
    def source(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def reason(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def group_reason(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102 - the class says it
    @property
    def listed(self) -> tuple[str, ...]: ...  # noqa: D102 - the class says it
    @property
    def beside(self) -> tuple[str, ...]: ...  # noqa: D102 - the class says it

    def name(self, path: str) -> Named:
        """Return what is known of the film at a POSIX path under the raw folder."""


def delivered_split(path: str) -> DeliveredSplit | None:
    """Return the split that a folder on the path names, the outermost one first."""
    folders = PurePosixPath(path).parts[:-1]
    return next((SPLIT_FOLDERS[part.lower()] for part in folders if part.lower() in SPLIT_FOLDERS), None)


def kermany_name(path: str) -> tuple[str, str] | None:
    """Return class and patient group by a Kermany file name, or None where it is no such name."""
    name = PurePosixPath(path).name
    for pattern, fixed in KERMANY_NAMES:
        if found := pattern.match(name):
            label = fixed or KERMANY_WORDS[found["word"]]
            return label, f"{label}/{found['series']}/{int(found['number'])}"
    return None


@dataclass(frozen=True)
class KermanyLabels:
    """Three classes and patient groups, read from Kermany's file names."""

    reason: str
    source: str = "kermany"
    group_reason: str = "a patient is (class, series, number) of the file name: numbers restart per class"
    classes: tuple[str, ...] = KERMANY_CLASSES
    listed: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def name(self, path: str) -> Named:
        """Return class, group and split; a folder that contradicts the name is a conflict."""
        found = kermany_name(path)
        split = delivered_split(path)
        if found is None:
            return Named(None, None, split, "unlabelled", f"the file name is none of {KERMANY_FORMS}")
        label, group = found
        folder = PurePosixPath(path).parent.name
        if label not in KERMANY_FOLDERS.get(folder.upper(), {label}):
            return Named(label, group, split, "label_conflict", f"the name says {label}, the folder {folder}")
        return Named(label, group, split)


@dataclass(frozen=True)
class FolderLabels:
    """Classes by folder, `split/class/...` or `class/...`; groups by a regular expression, if there is one."""

    reason: str
    group_pattern: re.Pattern[str] | None
    source: str = "folder"
    classes: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def group_reason(self) -> str:
        """What makes a group."""
        return group_reason(self.group_pattern)

    def name(self, path: str) -> Named:
        """Return the folder after the split's, or the first folder where there is no split."""
        folders = list(PurePosixPath(path).parts[:-1])
        split = delivered_split(path)
        names = [part.lower() in SPLIT_FOLDERS for part in folders]
        inside = folders[names.index(True) + 1 :] if split else folders
        if not inside:
            return Named(None, None, split, "unlabelled", "the file lies in no folder split/class/ or class/")
        label = inside[0]
        if (odd := oddity(label)) is not None:
            return Named(None, None, split, "unlabelled", f"the folder's name {odd}; rename it")
        return Named(label, matched_group(self.group_pattern, path, label), split)


@dataclass(frozen=True)
class CsvLabels:
    """Labels, and where given groups and splits, from a CSV of `path,label[,group][,split]`."""

    reason: str
    rows: Mapping[str, Named]
    group_pattern: re.Pattern[str] | None
    has_groups: bool
    source: str = "csv"
    classes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def listed(self) -> tuple[str, ...]:
        """Every path of the CSV."""
        return tuple(self.rows)

    @property
    def group_reason(self) -> str:
        """What makes a group."""
        return "the CSV's column 'group'" if self.has_groups else group_reason(self.group_pattern)

    def name(self, path: str) -> Named:
        """Return the CSV's row, its gaps filled from the folders."""
        row = self.rows.get(path)
        if row is None:
            return Named(None, None, delivered_split(path), "unlabelled", "the labels CSV does not list the file")
        group = row.group or matched_group(self.group_pattern, path, str(row.label))
        return Named(row.label, group, row.delivered_split or delivered_split(path))


def oddity(name: str) -> str | None:
    """Return what keeps a name from being a class or a group, or None where nothing does."""
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} letters; expected at most {LONGEST_NAME}"
    return "holds a control character; expected letters" if CONTROL.search(name) else None


def group_reason(pattern: re.Pattern[str] | None) -> str:
    """Return the sentence that says what makes a group."""
    if pattern is None:
        return "none known (group_pattern is empty): every film counts as a patient of its own"
    return f"the path's match of {pattern.pattern}"


def matched_group(pattern: re.Pattern[str] | None, path: str, label: str) -> str | None:
    """Return the group that a pattern finds in the path, or None where each film is its own.

    Where the pattern has capturing groups, they alone make the name. The label is no part of it: the same
    patient may have films of two classes.
    """
    found = pattern.search(path) if pattern is not None else None
    if found is None:
        return None
    return "/".join(part or "" for part in found.groups()) if found.groups() else found.group() or label


def choose(
    source: LabelSource,
    paths: Sequence[str],
    raw: Path,
    *,
    labels_csv: str,
    group_pattern: str,
    called: CsvNames = OWN_NAMES,
) -> Labels:
    """Return the way to name films: the one asked for, or the first of csv, kermany, folder that fits.

    Raises:
        StageError: where the CSV is missing or cannot be used.
    """
    pattern = re.compile(group_pattern) if group_pattern else None
    if source == "csv" or (source == "auto" and (raw / labels_csv).is_file()):
        return replace(read_csv(raw / labels_csv, pattern, called), beside=(labels_csv,))
    # hidden files do not vote: a zip packed on a Mac holds a `._name` beside every name
    names = [path for path in paths if not PurePosixPath(path).name.startswith(".")]
    matching = sum(kermany_name(path) is not None for path in names)
    if source == "kermany":
        return KermanyLabels("file names (kermany), as asked for")
    if source == "auto" and names and matching * 2 >= len(names):
        return KermanyLabels(f"file names (kermany): {matching:,} of {len(names):,} have Kermany's form")
    why = "as asked for" if source == "folder" else f"{matching:,} of {len(names):,} names have Kermany's form"
    return FolderLabels(f"folder names: {why}", pattern)


def read_csv(path: Path, pattern: re.Pattern[str] | None, called: CsvNames = OWN_NAMES) -> CsvLabels:
    """Return the labels of a CSV of `path,label[,group][,split]`, or of columns of other names.

    Raises:
        StageError: where the file is missing, lacks a column, or has a line that cannot be used.
    """
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise StageError(f"{path}: is no plain file; expected a CSV of path,label[,group][,split]")
    try:
        if (size := path.stat().st_size) > LARGEST_CSV:
            raise StageError(f"{path}: has {size:,} bytes; expected at most {LARGEST_CSV:,}; is it the labels CSV?")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = columns = _renamed(list(reader.fieldnames or []), called, path)
            rows = _csv_rows(reader, columns, path, called)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StageError(f"{path}: cannot be read as CSV ({error}); expected path,label[,group][,split]") from error
    return CsvLabels(f"the CSV {path.name}: {len(rows):,} rows", rows, pattern, "group" in columns)


def _renamed(columns: Sequence[str], called: CsvNames, path: Path) -> list[str]:
    """Return a CSV's columns by our names for them; one that has such a name and is not meant loses it."""
    ours = {theirs: name for name, theirs in called.names.items()}
    if missing := sorted(set(ours) - set(columns)):
        raise StageError(
            f"{path}: has the columns {str(columns)[:LONGEST_NAME]}; expected {', '.join(missing)} as well"
        )
    return [ours.get(name, f"not {name}" if name in called.names else name) for name in columns]


def _csv_rows(reader: csv.DictReader[str], columns: Sequence[str], path: Path, called: CsvNames) -> dict[str, Named]:
    if not {"path", "label"} <= set(columns):
        raise StageError(f"{path}: has the columns {str(columns)[:LONGEST_NAME]}; expected path,label[,group][,split]")
    rows: dict[str, Named] = {}
    for line in reader:
        where = f"{path}: line {reader.line_num}"
        film = _csv_path(line, where)
        if film in rows:
            raise StageError(f"{where} names '{film}' a second time; expected each path once")
        row = _csv_row(line, where)
        if row.group is not None and "group" in called.names:
            row = replace(row, group=identity.group_of(row.group, key=called.key))
        rows[film] = row
    return rows


def _csv_path(line: Mapping[str, str | None], where: str) -> str:
    text = (line["path"] or "").strip().replace("\\", "/")
    if not text:
        raise StageError(f"{where} has no path; expected one, or no such line")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\0" in text:
        raise StageError(f"{where} names {text[:LONGEST_NAME]!r}; expected a path under the raw folder")
    return path.as_posix()


def _csv_row(line: Mapping[str, str | None], where: str) -> Named:
    label = (line["label"] or "").strip()
    split = (line.get("split") or "").strip().lower()
    if not label:
        raise StageError(f"{where} has no label; expected one, or no such line")
    if split and split not in SPLIT_FOLDERS:
        raise StageError(f"{where} has the split '{split[:LONGEST_NAME]}'; expected one of {', '.join(SPLIT_FOLDERS)}")
    group = (line.get("group") or "").strip() or None
    for column, name in (("label", label), ("group", group or "")):
        if (odd := oddity(name)) is not None:
            raise StageError(f"{where} has a {column} that {odd}")
    return Named(label, group, SPLIT_FOLDERS.get(split))
