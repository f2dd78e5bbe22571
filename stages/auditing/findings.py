"""What the figures of shortcuts and shift mean for a network, in sentences: the worst first, and few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stages.auditing.figures import UNDELIVERED
from stages.statistics.tells import surely

SURE = 0.5  # of 1: a feature that surely tells so much of a class is named (an AUC of 0.75 at the nearer end)
APART = 0.05  # what an AUC of test against train must surely be above that of patients drawn from train
MOST = 3  # of a kind
IN_WORDS = {
    "file": "the file's features together",
    "border": "the border alone",
    "traces": "fine texture (what compression, rescaling and processing left in the pixels)",
    "blocks": "what a codec's blocks and a table of grey levels left in the pixels",
    "scale": "how much a film was scaled",
    "traces at equal scale": "fine texture at equal scale",
    "pixels": "28 x 28 pixels",
}

Figures = Mapping[str, Any]


def of_shortcuts(shortcuts: Figures) -> list[str]:
    """Return what tells a class without a look at the lungs, and whether it holds in the test."""
    said = [*_features(shortcuts), *_sources(shortcuts["joint"])]
    return said or ["Nothing that was looked at tells a class from the rest for sure."]


def of_shift(shift: Figures) -> list[str]:
    """Return which classes are of another kind in the test than in train."""
    said = [sentence for name, found in shift.items() for sentence in _apart(name, found)]
    if not said and shift:
        return ["The test's films of no class are told from train's for sure."]
    return said


def _features(shortcuts: Figures) -> Iterator[str]:
    features, drops = shortcuts["features"], shortcuts["feature_drops"]
    for split in features if "train" not in features else ("train",):
        told = [
            (_sure(tell), feature, name, tell)
            for feature, by_class in features[split].items()
            for name, tell in by_class.items()
            if _sure(tell) >= SURE
        ]
        for _, feature, name, tell in sorted(told, key=lambda one: (-one[0], one[1], one[2]))[:MOST]:
            fall = drops.get(feature, {}).get(name)
            yield f"{_where(split)}{feature} alone tells {name} from the rest: {_auc(tell)}.{_holds(fall)}"


def _sources(joint: Figures) -> Iterator[str]:
    for source in ("border", "traces", "traces at equal scale", "blocks"):
        found = joint.get(source, {"within": {}})
        split = "train" if "train" in found["within"] else next(iter(found["within"]), "")
        told = [(_sure(tell), name, tell) for name, tell in found["within"].get(split, {}).items()]
        sure, name, tell = max(told, default=(0.0, "", {}), key=lambda one: one[0])
        if sure >= SURE:
            yield (
                f"{_where(split)}{IN_WORDS[source]} tells {name} from the rest: {_auc(tell)}."
                f"{_holds(found['drop'].get(name))}"
            )


def _holds(fall: Figures | None) -> str:
    if fall is None:
        return ""
    if fall["low"] > 0:
        by = f"{fall['drop']:.2f} ({fall['low']:.2f} to {fall['high']:.2f})"
        return f" In the test it falls by {by}: a network that rests on it does worse there."
    return " It does not surely fall in the test, so that scores there may rest on it, too."


def _apart(name: str, found: Figures) -> Iterator[str]:
    told = [(one["low"], source, one) for source in ("pixels", "traces", "file") if (one := found.get(source))]
    sure = [one for one in told if one[0] > max(0.5, one[2]["control"] or 0) + APART]
    if sure:
        by = "; ".join(f"by {IN_WORDS[source]}, {_auc(one)}" for _, source, one in sure)
        yield (
            f"{name}: the test's films can be told from train's {by}. They are of another kind, so scores on the test "
            "also measure how well a network bears that."
        )


def _sure(tell: Figures) -> float:
    return surely(float(tell["low"]), float(tell["high"]))


def _auc(tell: Figures) -> str:
    """Return an AUC and its interval, told upwards (`tells.upwards`)."""
    value, low, high = (tell[name] for name in ("auc", "low", "high"))
    if value < 0.5:
        value, low, high = 1 - value, 1 - high, 1 - low
    return f"AUC {value:.2f} ({low:.2f} to {high:.2f})"


def _where(split: str) -> str:
    return "" if split == UNDELIVERED else f"In {split}, "
