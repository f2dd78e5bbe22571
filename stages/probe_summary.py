"""What the probes' figures say, in a table and in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stages.probing import BORDER, MAJORITY, METADATA, RIDGE
from stages.reporting import text

SHORTCUT = 0.10  # a probe of what is no lung is pointed at where it beats the most frequent class by so much
SHIFTED = 0.70  # an AUC of train against test from which a class is pointed at


def callout(network_val_accuracy: float | None, probes: Mapping[str, Any]) -> str | None:
    """Return the sentence that says so where the network does not beat the ridge on val, else None.

    Args:
        network_val_accuracy: None where val was not scored.
        probes: what `stages.probing.summary` returned.
    """
    ridge = _accuracy(probes, RIDGE, "val")
    if network_val_accuracy is None or ridge is None or network_val_accuracy > ridge:
        return None
    network = text.percent(network_val_accuracy)
    return f"the network does not beat the ridge on val: {network} against {text.percent(ridge)}"


def lines(probes: Mapping[str, Any], splits: Sequence[str]) -> list[str]:
    """Return what the terminal shows: accuracies by probe and split, AUCs by class, and what they mean."""
    table = [["accuracy", *splits]]
    table += [
        [_spoken(name), *(text.percent(_accuracy(probes, name, split)) for split in splits)]
        for name in probes["models"]
    ]
    shown = text.aligned(table)
    if probes["adversarial"]:
        told = [["train against test", "AUC", "95 % interval", "within train"]]
        for name, found in probes["adversarial"].items():
            known = found or {}
            ends = f"[{text.number(known['low'])}, {text.number(known['high'])}]" if known else text.UNKNOWN
            told.append([name, text.number(known.get("auc")), ends, text.number(known.get("control"))])
        shown += text.aligned(told)
    return shown + meaning(probes, splits)


def meaning(probes: Mapping[str, Any], splits: Sequence[str]) -> list[str]:
    """Return in sentences what the figures mean for whoever trains a network on these films."""
    held_out = [split for split in ("val", "test") if split in splits] or list(splits)[:1]
    said = [_shortcut(probes, name, held_out) for name in (METADATA, BORDER)]
    shifted = {
        name: found["auc"]
        for name, found in probes["adversarial"].items()
        if found is not None and found["auc"] >= SHIFTED and found["low"] > 0.5
    }
    if shifted:
        named = ", ".join(f"{name} ({text.number(found)})" for name, found in shifted.items())
        said.append(
            f"test films can be told from train's: {named}; a loss on test may be the films', not the network's"
        )
    ridge = text.percent(_accuracy(probes, RIDGE, held_out[0]))
    return [line for line in said if line] + [f"a network has to beat the ridge: {ridge} on {held_out[0]}"]


def _shortcut(probes: Mapping[str, Any], name: str, held_out: Sequence[str]) -> str:
    """Return a sentence where a probe of what is no lung tells the class, else nothing."""
    first = held_out[0]
    found, chance = _accuracy(probes, name, first), _accuracy(probes, MAJORITY, first)
    if found is None or chance is None or found < chance + SHORTCUT:
        return ""
    what = {METADATA: "the file alone (metadata)", BORDER: "the border alone"}[name]
    tells = " and ".join(f"in {split} with {text.percent(_accuracy(probes, name, split))}" for split in held_out)
    least = f"the most frequent class scores {text.percent(chance)} in {first}"
    return f"{what} tells the class {tells} ({least}): a network can learn that shortcut"


def _accuracy(probes: Mapping[str, Any], name: str, split: str) -> float | None:
    found: float | None = probes["models"].get(name, {}).get("splits", {}).get(split, {}).get("accuracy")
    return found


def _spoken(name: str) -> str:
    return name.replace("_", " ")
