"""What the parts of a gap are called, and what each lays the loss to."""

from __future__ import annotations

from collections.abc import Mapping

from stages.statistics.gap import JOINT

BLAMED: Mapping[str, str] = {
    "augmentation": "the copies",
    "fit": "films learned",
    "leakage": "patients learned",
    "prior": "class shares",
    "shift": "other films",
    "threshold": "class cut-offs",
}
MEANINGS: Mapping[str, str] = {
    "augmentation": "Blames the copies: they are named rightly more often than the plain films they were made of. "
    "Below 0 they are the harder ones, as augmentation intends.",
    "fit": "Blames memorisation: films that were trained on, against films held out one by one.",
    "leakage": "Blames leakage: films whose patients may be known from train, against patients held out whole. "
    "It is what a careless split would have hidden.",
    "prior": "Blames class shares: the same films of val, weighed as train's classes are and as the test's are.",
    "shift": "Blames another hospital, time or machine: val against the test at the same class shares, each class's "
    "threshold refitted on the other half of the test.",
    "threshold": "Blames the threshold: what the test would gain if the class cut-offs suited it. The network ranks "
    "these films better than it names them.",
}


def title(part: str) -> str:
    """Return a part's name as a reader meets it: parts that cannot be told apart are named together."""
    return part.replace(JOINT, " and ")


def short_meaning(part: str) -> str:
    """Return a part's name with what it blames in two words."""
    return f"{part}: {BLAMED[part]}" if part in BLAMED else title(part)


def meaning(part: str) -> str:
    """Return what a part blames, in a sentence or two."""
    if part in MEANINGS:
        return MEANINGS[part]
    blamed = [BLAMED.get(name, name) for name in part.split(JOINT)]
    return f"Not told apart, for want of a set of films between them: {', '.join(blamed)}."
