"""train: a network learns from the augmented images; the epoch best on the validation films is kept."""

from __future__ import annotations

import csv
import io
import json
import platform
import resource
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from manifests import store
from manifests.rows import NORMALIZED, ImageRow
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Machine, Params, Report, Root, Stage, StageError
from stages.drawn import AUGMENTED
from stages.films.frame import Frame
from stages.leaks import how_divided, leak_warning

if TYPE_CHECKING:
    from stages.learning.checkpoint import Checkpoint
    from stages.learning.loop import Epoch, Fitted

MANIFESTS = (paths.AUGMENTED_MANIFEST, paths.NORMALIZED_MANIFEST)


class TrainParams(Params):
    """Which network learns, and how."""

    network: Literal["alexnet", "cifar", "residual"] = Field(
        "alexnet",
        description="alexnet: network B of 2020; cifar: network A of 2020 (312 million weights at 256x300, "
        "over 5 GB of memory); residual: a small residual network with batch norm.",
    )
    epochs: int = Field(5, ge=1, description="How often each augmented image is seen.")
    batch_size: int = Field(35, ge=1, description="Images per update of the weights.")
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="adamw, or sgd: gradient descent with Nesterov momentum."
    )
    learning_rate: float = Field(
        3e-4, gt=0, description="Highest learning rate; adamw wants about 0.0003, sgd about 0.01."
    )
    weight_decay: float = Field(
        0.01, ge=0, description="Pull of the weights to 0; adamw wants about 0.01, sgd about 0.0005."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Share of the last step that sgd adds to the next.")
    initialisation: Literal["he", "default"] = Field(
        "he",
        description="First weights: he keeps the signal's strength from layer to layer; default is "
        "PyTorch's, with which alexnet begins by giving all films the same answer.",
    )
    schedule: Literal["one_cycle", "constant"] = Field(
        "one_cycle",
        description="one_cycle: the learning rate rises over the first fifth of the updates, then falls to "
        "0; constant: it stays.",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of each label that is spread over all classes.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides the first weights and the order of the images.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What training reads: the rows that it may use, and what holds for all of them.

    Attributes:
        classes: in the order of `label_index`.
        frame: of every image.
        augmented: the images to learn from.
        train: their films, un-augmented.
        val: the films that choose the epoch.
        augmented_folder: where the augmented images lie.
        normalized_folder: where the films lie.
        digests: sha256 of both manifests, by path under the root.
        split: what was drawn, and how val was held out.
        normalization: the parameters by which the films came into the frame.
    """

    classes: tuple[str, ...]
    frame: Frame
    augmented: Sequence[ImageRow]
    train: Sequence[ImageRow]
    val: Sequence[ImageRow]
    augmented_folder: ImageFolder
    normalized_folder: ImageFolder
    digests: Mapping[str, str]
    split: Mapping[str, str]
    normalization: Mapping[str, Any]


def read_sources(root: Root) -> Sources:
    """Return the usable rows of the augmented and the normalized manifest.

    Raises:
        StageError: where they cannot be trained on.
        ManifestError: where a manifest is missing or broken.
    """
    images = store.read(AUGMENTED, root / paths.AUGMENTED_MANIFEST)
    films = store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
    augmented, normalized = (store.read_footer(root / path) for path in MANIFESTS)
    sources = Sources(
        classes=tuple(normalized.facts["classes"]),
        frame=Frame(**normalized.facts["frame"]),
        augmented=usable(images, "train"),
        train=usable(films, "train"),
        val=usable(films, "val"),
        augmented_folder=ImageFolder(root / paths.AUGMENTED, augmented.params["layout"]),
        normalized_folder=ImageFolder(root / paths.NORMALIZED, normalized.params["layout"]),
        digests={path: store.file_sha256(root / path) for path in MANIFESTS},
        split=how_divided(normalized.facts),
        normalization=normalized.params,
    )
    check(sources)
    return sources


def usable(rows: Iterable[ImageRow], split: str) -> list[ImageRow]:
    """Return the good rows of a split."""
    return [row for row in rows if row.status == "ok" and row.split == split and row.label_index is not None]


def check(sources: Sources) -> None:
    """Refuse sets from which nothing can be learned, and copies of films that are not in train.

    Raises:
        StageError: saying which set, what it holds and what is expected.
    """
    for name, rows, stage in (
        (f"{paths.NORMALIZED}: split train", sources.train, "split and normalize"),
        (f"{paths.NORMALIZED}: split val", sources.val, "split and normalize"),
        (paths.AUGMENTED, sources.augmented, "augment"),
    ):
        if not rows:
            raise StageError(f"{name} holds no good film; training needs at least one; run {stage} again")
    missing = absent(sources.train, sources.classes) or absent(sources.augmented, sources.classes)
    if missing:
        raise StageError(
            f"split train holds no film of class {', '.join(missing)}; a class without films is not learned"
        )
    labels = {row.film_id: row.label_index for row in sources.train}
    strangers = [row for row in sources.augmented if labels.get(row.film_id) != row.label_index]
    if strangers:
        raise StageError(
            f"{paths.AUGMENTED}: {len(strangers)} images, such as {strangers[0].path}, show films that "
            f"{paths.NORMALIZED} has under another split or label; run augment again"
        )


def absent(rows: Iterable[ImageRow], classes: Sequence[str]) -> list[str]:
    """Return the classes that no row has."""
    present = {row.label_index for row in rows}
    return [name for index, name in enumerate(classes) if index not in present]


def majority_share(rows: Sequence[ImageRow]) -> float:
    """Return the share of the most frequent class: what naming it always would score."""
    return max(Counter(row.label_index for row in rows).values()) / len(rows)


def log_csv(lines: Sequence[Epoch]) -> bytes:
    """Return the training log as CSV, a line per epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.name for column in fields(lines[0])], lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(
            {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in asdict(line).items()}
        )
    return text.getvalue().encode()


def peak_memory_mb() -> float:
    """Return the most memory that this process held."""
    unit = 1024 if platform.system() == "Darwin" else 1  # macOS counts bytes, Linux KiB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit / 1024, 1)


def learn(params: TrainParams, sources: Sources, machine: Machine) -> tuple[Checkpoint, Fitted, dict[str, Any]]:
    """Return the trained network, how training went, and what it ran on."""
    from stages.learning import batches, checkpoint, loop, networks  # noqa: PLC0415 - torch is slow to import

    device = loop.device_for(machine.device)
    frame, track = sources.frame, machine.track
    augmented = batches.load(sources.augmented_folder, sources.augmented, frame, track)
    train = batches.load(sources.normalized_folder, sources.train, frame, track)
    val = batches.load(sources.normalized_folder, sources.val, frame, track)
    mean, std = batches.pixel_statistics(train.images)
    network = networks.initialised(
        params.network, frame, len(sources.classes), how=params.initialisation, seed=params.seed
    )
    sets = loop.Sets(
        augmented=batches.placed(augmented, device),
        train=batches.placed(train, device),
        val=batches.placed(val, device),
    )
    recipe = loop.Recipe(**params.model_dump(exclude={"network", "initialisation"}))
    with track(recipe.epochs * (len(augmented) + len(train) + len(val)), unit="images") as advance:
        fitted = loop.fit(network, sets, recipe, mean=mean, std=std, device=device, advance=advance)
    trained = checkpoint.Checkpoint(
        network_name=params.network,
        classes=sources.classes,
        frame=frame,
        mean=mean,
        std=std,
        network=network,
        facts={
            "initialisation": params.initialisation,
            "epoch": str(fitted.best.epoch),
            "val_accuracy": repr(fitted.best.val_accuracy),
            "params": params.model_dump_json(),
            "sources": json.dumps(sources.digests),
            "normalization": json.dumps(sources.normalization, sort_keys=True),
        },
    )
    return trained, fitted, {"parameters": networks.count_parameters(network), **loop.used(device)}


def summary(params: TrainParams, sources: Sources, fitted: Fitted, used: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `reports/train.json` says."""
    best = fitted.best
    return {
        "network": params.network,
        "parameters": used["parameters"],
        "epochs": len(fitted.log),
        "best_epoch": best.epoch,
        "updates": fitted.log[-1].updates,
        "train_accuracy": best.train_accuracy,
        "augmented_accuracy": best.augmented_accuracy,
        "val_accuracy": best.val_accuracy,
        "val_loss": best.val_loss,
        "majority_val_accuracy": majority_share(sources.val),
        "images": len(sources.augmented),
        "split": dict(sources.split),
        "films": {"train": len(sources.train), "val": len(sources.val)},
        "images_per_s": round(len(fitted.log) * len(sources.augmented) / fitted.train_s, 1),
        "peak_memory_mb": peak_memory_mb(),
        **used,
        "params": params.model_dump(),
        "sources": dict(sources.digests),
    }


def remarks(facts: Mapping[str, Any], classes_not_in_val: Sequence[str]) -> list[str]:
    """Return what the user should read: the result, and what to doubt about it."""
    percent = {name: f"{100 * value:.1f} %" for name, value in facts.items() if name.endswith("accuracy")}
    what = f"{facts['network']} ({facts['parameters']:,} weights, {facts['device']})"
    when = f"best epoch {facts['best_epoch']} of {facts['epochs']}"
    lines = [f"{what}: {when}, val {percent['val_accuracy']}, train {percent['train_accuracy']}"]
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


def run(params: TrainParams, root: Root, machine: Machine) -> Report:
    """Train the network on the augmented images; write its best weights, the log and a summary."""
    from stages.learning import checkpoint  # noqa: PLC0415 - torch is slow to import

    sources = read_sources(root)
    trained, fitted, used = learn(params, sources, machine)
    facts = summary(params, sources, fitted, used)
    checkpoint.save(root / paths.MODEL, trained)
    store.write_bytes(root / paths.TRAIN_LOG, log_csv(fitted.log))
    store.write_json(root / paths.TRAIN_SUMMARY, facts)
    return Report(
        done=len(fitted.log) * len(sources.augmented),
        unit="images",
        lines=[*remarks(facts, absent(sources.val, sources.classes)), *leak_warning(sources.split)],
        written=(paths.MODEL, paths.TRAIN_SUMMARY, paths.TRAIN_LOG),
    )


STAGE = Stage(
    "train",
    TrainParams,
    reads=(paths.AUGMENTED, paths.NORMALIZED),
    writes=(paths.MODEL, paths.TRAIN_SUMMARY, paths.TRAIN_LOG),
    run=run,
)
