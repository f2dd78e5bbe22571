"""A CSV of labels, line by line: what it must hold, and what its columns are called."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from manifests.places import AnyPath, at_hand
from stages.contract import StageError
from stages.films import identity
from stages.named import LONGEST_NAME, SPLIT_FOLDERS, Named, oddity

LARGEST_CSV = 100_000_000  # bytes; a million films of 100 bytes a line


@dataclass(frozen=True, slots=True)
class CsvNames:
    """What a CSV calls the columns `path`, `label`, `group` and `split`.

    Attributes:
        names: its names for them, where they are others; a group of another name is a patient's id, and is hashed.
        key: of the hash.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    key: bytes = b""

    @property
    def groups_from(self) -> str:
        """What makes a patient group, in words."""
        if "group" not in self.names:
            return "the CSV's column 'group'"
        return f"the CSV's column '{self.names['group']}', {'keyed' if self.key else 'unkeyed'} hash"


OWN_NAMES = CsvNames()


def read_rows(path: AnyPath, called: CsvNames) -> tuple[dict[str, Named], bool]:
    """Return the films of a CSV by their paths, and whether it has a column of groups.

    Raises:
        StageError: where the file is missing, lacks a column, or has a line that cannot be used.
    """
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise StageError(f"{path}: is no plain file; expected a CSV of path,label[,group][,split]")
    try:
        if (size := path.stat().st_size) > LARGEST_CSV:
            raise StageError(f"{path}: has {size:,} bytes; expected at most {LARGEST_CSV:,}; is it the labels CSV?")
        with at_hand(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = columns = _renamed(list(reader.fieldnames or []), called, path)
            rows = _csv_rows(reader, columns, path, called)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StageError(f"{path}: cannot be read as CSV ({error}); expected path,label[,group][,split]") from error
    return rows, "group" in columns


def _renamed(columns: Sequence[str], called: CsvNames, path: AnyPath) -> list[str]:
    """Return a CSV's columns by our names for them; one that has such a name and is not meant loses it."""
    ours = {theirs: name for name, theirs in called.names.items()}
    if len(ours) < len(called.names):
        raise StageError(f"{path}: csv_columns takes one column for two ({dict(called.names)}); expected one for each")
    if missing := sorted(set(ours) - set(columns)):
        raise StageError(
            f"{path}: has the columns {str(columns)[:LONGEST_NAME]}; expected {', '.join(missing)} as well"
        )
    return [ours.get(name, f"not {name}" if name in called.names else name) for name in columns]


def _csv_rows(reader: csv.DictReader[str], columns: Sequence[str], path: AnyPath, called: CsvNames) -> dict[str, Named]:
    """Return the films of the lines by their paths; `columns` are the CSV's, by our names."""
    if not {"path", "label"} <= set(columns):
        raise StageError(f"{path}: has the columns {str(columns)[:LONGEST_NAME]}; expected path,label[,group][,split]")
    if twice := [name for name in ("path", "label", "group", "split") if columns.count(name) > 1]:
        raise StageError(f"{path}: has more than one column '{twice[0]}'; expected one: which is meant?")
    rows: dict[str, Named] = {}
    known: dict[Named, Named] = {}
    for line in reader:
        where = f"{path}: line {reader.line_num}"
        film = _csv_path(line, where)
        if film in rows:
            raise StageError(f"{where} names '{film}' a second time; expected each path once")
        row = _csv_row(line, where)
        if row.group is not None and "group" in called.names:
            row = replace(row, group=identity.group_of(row.group, key=called.key))
        rows[film] = known.setdefault(row, row)  # a patient's films share one object
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
