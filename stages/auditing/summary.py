"""The audit's figures as a whole: each question answers from a file of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.auditing.borders import borders
from stages.auditing.census import census
from stages.auditing.costs import costs
from stages.auditing.figures import UNDELIVERED, by_class, by_split
from stages.auditing.groups import groups
from stages.auditing.quality import quality
from stages.auditing.radiographs import duplicates
from stages.auditing.sample import Sample
from stages.auditing.shortcuts import shortcuts
from stages.columns import ok_rows, set_aside, tallied, where_ok
from stages.films.specimen import Aim

EXAMPLES = 200
KERMANY_NAME = "person12_virus_30.jpeg"
NO_GROUPS = "none known"  # how `labels.group_reason` begins where nothing tells who is a patient
SAY_PATIENTS = "--group-pattern or a labels.csv can name them (docs/howto-split.md)"
TWO_FOLDERS = "expected a folder of films for each class, two or more, within the one that --raw names"
DEFAULT = "cover"  # normalize's policy where nothing is said


def summarize(
    rows: pa.Table, films: pa.Table, facts: Mapping[str, Any], aim: Aim, sample: Sample, *, group_pattern: str = ""
) -> dict[str, Any]:
    """Return the summary that `reports/audit.json` holds and the page shows: numbers and short texts only.

    Args:
        rows: of all files.
        films: the usable ones of them (`figures.usable`).
        facts: what the manifest's footer says.
        aim: the frame that normalization is judged by.
        sample: what was seen of the films that were searched for shortcuts.
        group_pattern: by which patients were found, if any.
    """
    return {
        **facts,
        "frame": {"height": aim.frame.height, "width": aim.frame.width},
        "policy": aim.policy,
        "files": len(rows),
        "usable": len(films),
        "set_aside": set_aside(rows.column("status")),
        "warnings": _warnings(rows),
        "warnings_by_class": _warnings_by_class(ok_rows(rows.select(["label", "label_index", "warning", "status"]))),
        "groups": groups(films, facts["label_source"], group_pattern),
        **census(films),
        **costs(films, aim.frame),
        **borders(films),
        **shortcuts(films, sample),
        **quality(films, facts),
        "duplicates": duplicates(rows, facts),
        "set_aside_films": _examples(rows.select(["path", "status", "reason"]), pc.invert(where_ok(rows))),
    }


def lines(films: pa.Table, summary: Mapping[str, Any]) -> list[str]:
    """Return what the terminal should say beyond the counts."""
    text = [f"labels from {_sourced(summary)}", f"patients: {_grouped(summary)}", *_classless(summary)]
    for split, of_split in by_split(films).items():
        shown = Counter(tallied(of_split.column("label")))
        of_class = ", ".join(f"{shown[name]:,} {name}" for name in summary["classes"])
        patients = pc.count_distinct(of_split.column("group_id")).as_py()
        where = "in no delivered split" if split == UNDELIVERED else f"delivered as {split}"
        text.append(f"{len(of_split):,} films of {patients:,} patients {where}: {of_class}")
    text += [f"{n:,} {'film' if n == 1 else 'films'}: {warning}" for warning, n in summary["warnings"].items()]
    if near := summary["duplicates"]["near"]:
        which = "film is a near duplicate" if near == 1 else "films are near duplicates"
        text.append(f"{near:,} {which} (details agree by {summary['near_threshold']:.3f} or more)")
    return text


def _sourced(summary: Mapping[str, Any]) -> str:
    """Return where labels come from, with an example of Kermany's names for whoever never saw one."""
    reason: str = summary["label_source_reason"]
    return reason.replace("Kermany's form", f"Kermany's form ({KERMANY_NAME})")


def _grouped(summary: Mapping[str, Any]) -> str:
    """Return where patients come from, and what to do where nothing tells them."""
    source: str = summary["group_source"]
    return f"{source}; {SAY_PATIENTS}" if source.startswith(NO_GROUPS) else source


def _classless(summary: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the raw folder where its folders make less than two classes."""
    if summary["label_source"] != "folder" or len(summary["classes"]) > 1:
        return []
    if summary["classes"]:
        return [f"one class alone, {summary['classes'][0]}: a network has nothing to tell apart; {TWO_FOLDERS}"]
    if "unlabelled" in summary["set_aside"]:
        return [f"no film has a class; {TWO_FOLDERS}. If {summary['raw']} is one of them, give the folder above it"]
    return []


def findings(summary: Mapping[str, Any]) -> list[str]:
    """Return what the terminal should say of normalization, shortcuts and shift: a line each, the page has the rest."""
    advice = summary["costs"]["recommendation"]
    default = ", the default," if advice and advice["policy"] == DEFAULT else ""
    text = [f"normalize by policy {advice['policy']}{default} is advised: {advice['why'][0]}"] if advice else []
    return [*text, *summary["shortcuts"]["said"][:1], *summary["shift"]["said"][:1]]


def _examples(rows: pa.Table, which: pa.ChunkedArray) -> list[dict[str, Any]]:
    examples: list[dict[str, Any]] = rows.take(np.flatnonzero(which)[:EXAMPLES]).to_pylist()
    return examples


def _warnings_by_class(films: pa.Table) -> dict[str, dict[str, int]]:
    """Return for each kind of warning how many usable films of each class have it, none of a class left out."""
    of_class = by_class(films, _warnings)
    kinds = dict.fromkeys(kind for found in of_class.values() for kind in found)
    return {kind: {label: found.get(kind, 0) for label, found in of_class.items()} for kind in kinds}


def _warnings(rows: pa.Table) -> dict[str, int]:
    """Return how many films have each kind of warning; the part after a colon is a film's own."""
    found: Counter[str] = Counter()
    for warning, films in tallied(rows.column("warning")).items():
        for text in warning.split("; "):
            found[text.split(":")[0]] += films
    return dict(found.most_common())
