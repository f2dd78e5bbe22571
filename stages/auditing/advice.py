"""Which policy to normalize with, and why: the rule, and its answer in sentences made of the figures.

A policy's score is what it costs a film plus what it lets a network read of the class; the least is recommended.

- cost: the mean over the classes of each delivered split, each counting the same, of the share of a film that is lost
  (beyond a quarter, twice), the share of the frame that is padded, and for a squeeze the distortion;
- marks: for each mark of the policy (`stages.auditing.costs`) how far it surely tells a class from the rest, from 0 to
  1 (2 |AUC - 0.5| at the nearer end of the 95 % interval), the largest of all classes and splits. Padding and shape
  count whole: a black bar or a flattened heart shows in every film. Framing counts half: to read it, one has to know
  how large a chest is. Size is left out, since every policy scales a film by what its size asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import mean
from typing import Any

from stages.auditing.figures import UNDELIVERED
from stages.films.placement import Policy
from stages.statistics.tells import surely, upwards

READ = {"padding": 1.0, "shape": 1.0, "framing": 0.5}
ORDER: tuple[Policy, ...] = ("cover", "letterbox", "crop", "squeeze")
AS_GOOD = 0.01  # as the least score: the first in ORDER is taken. Into a square frame, crop is cover but for rounding
DOES: Mapping[Policy, str] = {
    "crop": "scales the shorter side, cuts what stands over and leaves black what is missing",
    "cover": "fills the frame and cuts what stands over",
    "letterbox": "shows the whole film with black beside it",
    "squeeze": "shows the whole film, its aspect lost",
}
MARKS = {
    "padding": "the black it leaves",
    "shape": "how it stretches a film",
    "framing": "how tightly it frames a film",
}

Figures = Mapping[str, Any]


def advice(policies: Mapping[Policy, Figures]) -> dict[str, Any]:
    """Return the recommended policy, the runner-up, the scores of all and the reasons."""
    scores = {policy: _score(found) for policy, found in policies.items()}
    best = _least(scores)
    second = _least({policy: score for policy, score in scores.items() if policy != best})
    return {
        "policy": best,
        "runner_up": second,
        "scores": scores,
        "why": [
            f"{best} {_does(best, policies[best])}",
            *_reads(policies[best]),
            f"The runner-up, {second}, {_does(second, policies[second])}",
            *_reads(policies[second]),
            *_size(policies[best]),
        ],
    }


def _least(scores: Mapping[Policy, Figures]) -> Policy:
    """Return the policy of the least score, and of those that are as good the first in ORDER."""
    least = min(score["score"] for score in scores.values())
    return next(policy for policy in ORDER if policy in scores and scores[policy]["score"] <= least + AS_GOOD)


def _score(found: Figures) -> dict[str, float]:
    """Return what a policy costs a film, what it lets a network read of the class, and the sum of both."""
    cost = mean(cell["cost"] for cell in _cells(found))
    marks = sum(price * _surest(found, mark)[0] for mark, price in READ.items())
    return {"cost": round(cost, 4), "marks": round(marks, 4), "score": round(cost + marks, 4)}


def _cells(found: Figures) -> Iterator[Figures]:
    """Yield a policy's figures of each class in each delivered split."""
    for by_class in found["by_class"].values():
        yield from by_class.values()


def _surest(found: Figures, mark: str) -> tuple[float, str, str, float]:
    """Return how far a mark surely tells a class at most, from 0 to 1, and that class, the split and the AUC."""
    told = [
        (round(surely(one["low"], one["high"]), 4), name, split, one["auc"])
        for split, marks in found["marks"].items()
        for name, one in marks.get(mark, {}).get("auc", {}).items()
    ]
    return max(told, key=lambda one: one[0], default=(0.0, "", "", 0.5))


def _does(policy: Policy, found: Figures) -> str:
    """Return what a policy does and what that costs, as the end of a sentence that its name begins."""
    cells = list(_cells(found))
    parts = []
    for name, what in (("lost", "{} of a film's area is lost"), ("padded", "{} of the frame is black")):
        if (share := mean(cell[name] for cell in cells)) > 0:
            parts.append(what.format(f"{100 * share:.1f} %"))
    if policy == "squeeze":
        parts.append(f"a film is {100 * mean(cell['distortion'] for cell in cells):.0f} % too long one way")
    costs = f"on average {', '.join(parts)}" if parts else "and costs nothing"
    return f"{DOES[policy]}: {costs}."


def _reads(found: Figures) -> list[str]:
    """Return a sentence for each mark of a policy: how far a network can read the class in it."""
    said = []
    for mark in (one for one in READ if any(one in marks for marks in found["marks"].values())):
        sure, name, split, auc = _surest(found, mark)
        if not sure:
            said.append(f"{MARKS[mark].capitalize()} tells no class for sure.")
            continue
        told = f"{MARKS[mark].capitalize()} tells {name} from the rest with an AUC of"
        said.append(f"{told} {upwards(auc):.2f}{_where(split)}.")
        if mark == "padding":
            said.append(_padded(found["by_class"][split]))
    return said


def _padded(by_class: Mapping[str, Figures]) -> str:
    shares = ", ".join(f"{100 * cell['padded_films']:.0f} % of {name}" for name, cell in by_class.items())
    return f"It leaves black beside {shares}."


def _size(found: Figures) -> list[str]:
    """Return a sentence on what the films' scaling tells of the class, where it surely tells anything."""
    sure, name, split, auc = _surest(found, "size")
    if not sure:
        return []
    return [
        f"No policy hides how much a film was scaled, which blurs it more or less: it tells {name} from the rest with "
        f"an AUC of {upwards(auc):.2f}{_where(split)}."
    ]


def _where(split: str) -> str:
    return "" if split == UNDELIVERED else f" in {split}"
