"""Which films the audit's page shows: those that its figures name as the most, the worst, or the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 300  # pictures of 4 kB each, and as many films to decode again
WORST = 5  # films of a policy


def paths_of(summary: Mapping[str, Any]) -> list[str]:
    """Return the paths of the films that the page shows, each once; of very many classes or flags, the first MOST."""
    return list(dict.fromkeys(_named(summary)))[:MOST]


def _named(summary: Mapping[str, Any]) -> Iterator[str]:
    for group in summary["duplicates"]["groups"]:
        yield from (film["path"] for film in group["films"])
    for flagged in summary["quality"]["flags"].values():
        yield from flagged["examples"]
    for policy in summary["costs"]["policies"].values():
        yield from (film["path"] for film in policy["worst"][:WORST])
    for ends in summary["extremes"].values():
        yield from (film["path"] for film in ends.values())
