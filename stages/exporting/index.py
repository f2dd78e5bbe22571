"""What an export says of itself: in its index, and in the lines of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from manifests import store
from stages.contract import Report
from stages.exporting import published
from stages.exporting.dealing import OfSplit
from stages.exporting.survey import Survey
from stages.exporting.wanted import Wanted
from stages.folder import label_folder
from stages.reporting import text


def counts_of(wanted: Wanted, survey: Survey, plan: Sequence[OfSplit]) -> dict[str, dict[str, Any]]:
    """Return of each split images, films, patients, and images of each class."""
    return {
        of_split.split: {
            **survey.counts(of_split.split),
            "classes": dict(zip(wanted.classes, survey.of_classes(of_split.split, len(wanted.classes)), strict=True)),
        }
        for of_split in plan
    }


def index_of(
    wanted: Wanted, survey: Survey, plan: Sequence[OfSplit], files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the export says of itself."""
    index: dict[str, Any] = {
        "tool_version": store.TOOL_VERSION,
        "made_from": wanted.made_from,
        "classes": wanted.classes,
        "splits": counts_of(wanted, survey, plan),
        "left_out": dict(sorted(survey.left_out.items())),
    }
    if wanted.asked.to == "folder":
        index["label_index_of_folder"] = {label_folder(name): number for number, name in enumerate(wanted.classes)}
    else:
        for of_split in plan:
            images_per_file = [int(of_split.counts.min()), int(of_split.counts.max())]
            index["splits"][of_split.split] |= {"files": len(of_split), "images_per_file": images_per_file}
    if wanted.asked.to == "webdataset":
        for of_split in plan:
            last = len(of_split) - 1
            name = f"{of_split.split}-{{000000..{last:06d}}}.tar" if last else f"{of_split.split}-000000.tar"
            index["splits"][of_split.split]["urls"] = name
    return {**index, "files": dict(files)}


def report(index: Mapping[str, Any], out: str, lines: Sequence[str]) -> Report:
    """Return what the command prints: a table of the splits, and what a user should know."""
    splits = index["splits"]
    head = ["split", "images", "films", "patients", *index["classes"]]
    dealt_out = any("files" in of_split for of_split in splits.values())
    rows = [[*head, *(["files", "images each"] if dealt_out else [])]]
    for name, found in splits.items():
        numbers = [found["images"], found["films"], found["patients"], *found["classes"].values()]
        cells = [name, *(text.count(number) for number in numbers)]
        if dealt_out:
            low, high = found["images_per_file"]
            cells += [text.count(found["files"]), text.count(low) if low == high else f"{low:,} to {high:,}"]
        rows.append(cells)
    return Report(
        done=sum(found["images"] for found in splits.values()),
        unit="images",
        set_aside=index["left_out"],
        lines=[*text.aligned(rows), *absent_classes(index), *lines],
        written=(f"{out}/{published.INDEX}",),
    )


def absent_classes(index: Mapping[str, Any]) -> list[str]:
    """Return a line for each split that lacks a class."""
    is_folder = "label_index_of_folder" in index
    hint = "; ImageFolder(..., allow_empty=True) keeps the classes' numbers" if is_folder else ""
    found = []
    for split, of_split in index["splits"].items():
        absent = [name for name, images in of_split["classes"].items() if not images]
        if absent:
            found.append(f"{split} holds no image of {', '.join(absent[:10])}{' ...' if absent[10:] else ''}{hint}")
    return found
