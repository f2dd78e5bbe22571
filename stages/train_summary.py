"""What `reports/train.json` says of a training run, and what the user should read at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stages.train_sources import Sources, majority_share

if TYPE_CHECKING:
    from stages.learning.plan import Fitted


def summary(
    params: Mapping[str, Any], sources: Sources, fitted: Fitted, used: Mapping[str, Any], *, images: int
) -> dict[str, Any]:
    """Return what `reports/train.json` says.

    Args:
        params: of the stage.
        sources: what was learned from.
        fitted: how it went.
        used: what it ran on, by name.
        images: shown in an epoch.
    """
    best = fitted.best
    return {
        "network": params["network"],
        "parameters": used["parameters"],
        "epochs": len(fitted.log),
        "best_epoch": best.epoch,
        "updates": fitted.log[-1].updates,
        "train_accuracy": best.train_accuracy,
        "augmented_accuracy": best.augmented_accuracy,
        "val_accuracy": best.val_accuracy,
        "val_loss": best.val_loss,
        "majority_val_accuracy": majority_share(sources.val),
        "images": images,
        "split": dict(sources.split),
        "films": {"train": len(sources.train), "val": len(sources.val)},
        "images_per_s": round(len(fitted.log) * images / fitted.train_s, 1),
        **used,
        "params": dict(params),
        "sources": dict(sources.digests),
    }


def remarks(facts: Mapping[str, Any], fitted: Fitted, classes_not_in_val: Sequence[str]) -> list[str]:
    """Return what the user should read: the result, and what to doubt about it."""
    percent = {name: f"{100 * value:.1f} %" for name, value in facts.items() if name.endswith("accuracy")}
    what = f"{facts['network']} ({facts['parameters']:,} weights, {facts['device']}, images: {facts['residence']})"
    when = f"best epoch {facts['best_epoch']} of {facts['epochs']}"
    lines = [f"{what}: {when}, val {percent['val_accuracy']}, train {percent['train_accuracy']}"]
    if fitted.went_on_from is not None:
        lines.append(f"went on from update {fitted.went_on_from:,} of a run that was stopped")
    if facts["epochs"] < facts["params"]["epochs"]:
        lines.append(f"stopped early: {facts['params']['patience']} epochs in a row were no better on val")
    if facts["val_accuracy"] <= facts["majority_val_accuracy"]:
        lines.append(
            f"warning: val {percent['val_accuracy']} is no better than always naming the most frequent class "
            f"({percent['majority_val_accuracy']})"
        )
    if classes_not_in_val:
        lines.append(
            f"warning: split val holds no film of class {', '.join(classes_not_in_val)}; "
            "the best epoch is chosen without it"
        )
    return lines
