"""The audit's figures as a whole: each question answers from a file of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.auditing.census import census
from stages.auditing.costs import costs
from stages.auditing.figures import UNDELIVERED, by_split, usable
from stages.auditing.groups import groups
from stages.auditing.shortcuts import shortcuts
from stages.auditing.twins import duplicates
from stages.columns import set_aside, tallied, where_ok
from stages.films.frame import Frame

EXAMPLES = 200


def summarize(rows: pa.Table, facts: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    """Return the summary that `reports/audit.json` holds and the page shows: numbers and short texts only."""
    films = usable(rows)
    return {
        **facts,
        "frame": {"height": frame.height, "width": frame.width},
        "files": len(rows),
        "usable": len(films),
        "set_aside": set_aside(rows.column("status")),
        "warnings": _warnings(rows),
        "groups": groups(films),
        **census(films),
        **costs(films),
        **shortcuts(films, facts["classes"]),
        "duplicates": duplicates(rows, facts),
        "set_aside_films": _examples(rows.select(["path", "status", "reason"]), pc.invert(where_ok(rows))),
    }


def lines(rows: pa.Table, facts: Mapping[str, Any]) -> list[str]:
    """Return what the terminal should say beyond the counts."""
    text = [f"labels from {facts['label_source_reason']}", f"patients: {facts['group_source']}"]
    for split, films in by_split(usable(rows)).items():
        shown = Counter(tallied(films.column("label")))
        of_class = ", ".join(f"{shown[name]:,} {name}" for name in facts["classes"])
        patients = pc.count_distinct(films.column("group_id")).as_py()
        where = "in no delivered split" if split == UNDELIVERED else f"delivered as {split}"
        text.append(f"{len(films):,} films of {patients:,} patients {where}: {of_class}")
    text += [f"{n:,} films: {warning}" for warning, n in _warnings(rows).items()]
    near = len(rows) - rows.column("near_duplicate_of").null_count
    if near:
        text.append(f"{near:,} films are near duplicates (details agree by {facts['near_threshold']:.3f} or more)")
    return text


def _examples(rows: pa.Table, which: pa.ChunkedArray) -> list[dict[str, Any]]:
    examples: list[dict[str, Any]] = rows.take(np.flatnonzero(which)[:EXAMPLES]).to_pylist()
    return examples


def _warnings(rows: pa.Table) -> dict[str, int]:
    """Return how many films have each kind of warning; the part after a colon is a film's own."""
    found: Counter[str] = Counter()
    for warning, films in tallied(rows.column("warning")).items():
        for text in warning.split("; "):
            found[text.split(":")[0]] += films
    return dict(found.most_common())
