"""Errors taken apart: a film is called healthy when it is not, or ill when it is not, or its illness is misnamed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stages.statistics.scores import Confusion

NORMAL_NAMES = ("normal", "no finding", "healthy")  # in any case; "_" and "-" read as spaces


def normal_class(classes: Sequence[str]) -> int | None:
    """Return the index of the class that means nothing was found, by its name; None where no class or several do."""
    found = [index for index, name in enumerate(classes) if _plain(name) in NORMAL_NAMES]
    return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def split_errors(table: Confusion, *, normal: int) -> dict[str, Any]:
    """Return how many errors are of detection and how many of cause; the two are all errors.

    An error of detection is a normal film that is given another class (a false alarm) or another film that is
    called normal (a miss). An error of cause is a film that is rightly found to be no normal one and is then given
    the wrong class among the others; with two classes there is none.

    Args:
        table: the films' confusion, rows the truth.
        normal: index of the class that means nothing was found.

    Returns:
        Counts, and three shares, None where there is no film to count: `specificity` of the normal films that are
        called so, `found` of the others that are called anything but normal, `named` of those found that are given
        their own class.
    """
    films, errors = int(table.sum()), int(table.sum() - table.trace())
    normals, right_normals = int(table[normal].sum()), int(table[normal, normal])
    missed = int(table[:, normal].sum()) - right_normals
    others = films - normals
    found = others - missed
    named = int(table.trace()) - right_normals
    return {
        "films": films,
        "errors": errors,
        "detection": normals - right_normals + missed,
        "false_alarms": normals - right_normals,
        "missed": missed,
        "cause": found - named,
        "specificity": _share(right_normals, normals),
        "found": _share(found, others),
        "named": _share(named, found),
    }


def split_errors_by_class(table: Confusion, classes: Sequence[str], *, normal: int) -> dict[str, dict[str, Any]]:
    """Return for each class how many of its films are errors of detection and of cause (`split_errors`)."""
    by_class = {}
    for index, name in enumerate(classes):
        films, right, as_normal = int(table[index].sum()), int(table[index, index]), int(table[index, normal])
        detection = films - right if index == normal else as_normal
        by_class[name] = {"films": films, "detection": detection, "cause": films - right - detection}
    return by_class


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
