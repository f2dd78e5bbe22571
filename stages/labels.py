"""What a raw film shows, whose it is and which split it came in: read from its name, its folder or a CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, Protocol

from manifests.places import AnyPath
from stages.labels_csv import OWN_NAMES, CsvNames, read_rows
from stages.named import SPLIT_FOLDERS, Named, delivered_split, oddity

LabelSource = Literal["auto", "kermany", "folder", "csv", "nih"]
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
KERMANY_FOLDERS = {"NORMAL": {"normal"}, "PNEUMONIA": {"bacterial", "viral"}}


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
    """Three classes and patient groups, read from Kermany's file names; a regular expression overrides the groups."""

    reason: str
    group_pattern: re.Pattern[str] | None = None
    source: str = "kermany"
    classes: tuple[str, ...] = KERMANY_CLASSES
    listed: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def group_reason(self) -> str:
        """What makes a group."""
        own = "a patient is (class, series, number) of the file name: numbers restart per class"
        return own if self.group_pattern is None else group_reason(self.group_pattern)

    def name(self, path: str) -> Named:
        """Return class, group and split; a folder that contradicts the name is a conflict."""
        found = kermany_name(path)
        split = delivered_split(path)
        if found is None:
            return Named(None, None, split, "unlabelled", f"the file name is none of {KERMANY_FORMS}")
        label, own = found
        group = own if self.group_pattern is None else matched_group(self.group_pattern, path)
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
        return Named(label, matched_group(self.group_pattern, path), split)


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
    groups_from: str = "the CSV's column 'group'"

    @property
    def listed(self) -> tuple[str, ...]:
        """Every path of the CSV."""
        return tuple(self.rows)

    @property
    def group_reason(self) -> str:
        """What makes a group."""
        if not self.has_groups:
            return group_reason(self.group_pattern)
        gaps = f"; where it is empty, {group_reason(self.group_pattern)}" if self.group_pattern else ""
        return f"{self.groups_from}{gaps}"

    def name(self, path: str) -> Named:
        """Return the CSV's row, its gaps filled from the folders."""
        row = self.rows.get(path)
        if row is None:
            return Named(None, None, delivered_split(path), "unlabelled", "the labels CSV does not list the file")
        group = row.group or matched_group(self.group_pattern, path)
        return Named(row.label, group, row.delivered_split or delivered_split(path))


def group_reason(pattern: re.Pattern[str] | None) -> str:
    """Return the sentence that says what makes a group."""
    if pattern is None:
        return "none known (group_pattern is empty): every film counts as a patient of its own"
    return f"the path's match of {pattern.pattern}"


def matched_group(pattern: re.Pattern[str] | None, path: str) -> str | None:
    """Return the group that a pattern finds in the path, or None where it finds none: the film is its own patient then.

    Where the pattern has capturing groups, they alone make the name; where some of them have names, such as
    `(?P<patient>...)`, these alone. A match of no letters, as of `x*`, names nobody. The label is no part of the
    name: the same patient may have films of two classes.
    """
    found = pattern.search(path) if pattern is not None else None
    if found is None:
        return None
    parts = tuple(found.groupdict().values()) or found.groups() or (found.group(),)
    return "/".join(part or "" for part in parts) if any(parts) else None


def choose(
    source: LabelSource,
    paths: Sequence[str],
    raw: AnyPath,
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
        beside = PurePosixPath(labels_csv).as_posix()  # as the raw folder's files are called: `./labels.csv` is not
        return replace(read_csv(raw / labels_csv, pattern, called), beside=(beside,))
    # hidden files do not vote: a zip packed on a Mac holds a `._name` beside every name
    names = [path for path in paths if not PurePosixPath(path).name.startswith(".")]
    matching = sum(kermany_name(path) is not None for path in names)
    if source == "kermany":
        return KermanyLabels("file names (kermany), as asked for", pattern)
    if source == "auto" and names and matching * 2 >= len(names):
        return KermanyLabels(f"file names (kermany): {matching:,} of {len(names):,} have Kermany's form", pattern)
    why = "as asked for" if source == "folder" else f"{matching:,} of {len(names):,} names have Kermany's form"
    return FolderLabels(f"folder names: {why}", pattern)


def read_csv(path: AnyPath, pattern: re.Pattern[str] | None, called: CsvNames = OWN_NAMES) -> CsvLabels:
    """Return the labels of a CSV of `path,label[,group][,split]`, or of columns of other names.

    Raises:
        StageError: where the file is missing, lacks a column, or has a line that cannot be used.
    """
    rows, has_groups = read_rows(path, called)
    labels = CsvLabels(f"the CSV {path.name}: {len(rows):,} rows", rows, pattern, has_groups)
    return replace(labels, groups_from=called.groups_from)
