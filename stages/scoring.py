"""What is scored, and by which network: the images of a manifest, split by split, and their probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests import store
from manifests.columns import Schema
from manifests.places import names_that_fit
from manifests.rows import IMAGES, SPLITS, ImageRow, Split
from manifests.shards import ImageFolder
from stages import paths
from stages.columns import where_ok
from stages.contract import Root, StageError

if TYPE_CHECKING:
    import torch

    from stages.learning.checkpoint import Checkpoint

IMAGES_AT_ONCE = 1024  # decoded: 79 MB, however large the set

Probabilities = NDArray[np.float32]  # (images, classes)


@dataclass(frozen=True, slots=True)
class Images:
    """A stage's images that can be scored, and what its manifest says of them as a whole."""

    folder: ImageFolder
    rows: Sequence[ImageRow]
    facts: Mapping[str, Any]

    def of(self, split: str) -> Images:
        """Return those of one split."""
        return Images(self.folder, [row for row in self.rows if row.split == split], self.facts)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The index of each image's class."""
        return np.array([row.label_index for row in self.rows], np.int64)


@dataclass(frozen=True, slots=True)
class Judge:
    """The network, where it runs, and how it tells how far it is."""

    checkpoint: Checkpoint
    device: torch.device
    advance: Callable[..., None]

    def score(self, images: Images) -> Probabilities:
        """Return the classes' probabilities for each image, in the order of the rows.

        Raises:
            StageError: where an image cannot be decoded or has another frame.
        """
        from stages.learning import batches, prediction  # noqa: PLC0415  # torch

        known = self.checkpoint
        probabilities = np.empty((len(images.rows), len(known.classes)), np.float32)
        # in the order of the shards, so that each is read once however many parts there are
        order = sorted(range(len(images.rows)), key=lambda place: _storage_place(images.rows[place]))
        for start in range(0, len(order), IMAGES_AT_ONCE):
            part = order[start : start + IMAGES_AT_ONCE]
            rows = [images.rows[place] for place in part]
            pixels = batches.resident(images.folder, rows, known.frame, _untracked).numpy()
            probabilities[part] = prediction.probabilities(known, pixels, self.device)
            self.advance(len(part))
        return probabilities


def _storage_place(row: ImageRow) -> tuple[str, int, str]:
    return row.shard or "", row.index or 0, row.path


def _untracked(total: int, *, unit: str) -> nullcontext[Callable[..., None]]:  # noqa: ARG001  # as Track
    """Track a part of what is tracked as a whole."""
    return nullcontext(lambda *_done: None)


def read_images(root: Root, folder: str, schema: Schema[Any], *, shared: bool = False) -> Images:
    """Return a stage's images, those that are set aside left out.

    Args:
        root: of the data set.
        folder: of the stage.
        schema: of its manifest.
        shared: whether the columns that all images have will do: of millions of images, half the memory.

    Raises:
        ManifestError: where its manifest is missing or breaks the schema.
        StageError: where it holds none.
    """
    manifest = root / folder / store.MANIFEST
    footer = store.read_footer(manifest)
    table = store.read_table(schema, manifest)
    named = pc.and_(*(pc.not_equal(pc.fill_null(table.column(name), ""), "") for name in ("split", "label")))
    known = pc.and_(named, pc.is_valid(table.column("label_index")))
    table = table.filter(pc.and_(where_ok(table), known))
    rows = (IMAGES if shared else schema).rows(table)
    if not rows:
        raise StageError(f"{manifest}: holds no image that can be scored; run the stage that writes it again")
    return Images(ImageFolder(root / folder, footer.params["layout"]), rows, footer.facts)


def find_models(root: Root, pattern: str) -> list[str]:
    """Return the files of the models to score, relative to the root, by name; the one that train writes by default.

    Raises:
        StageError: where no file fits the pattern.
    """
    if not pattern:
        return [paths.MODEL]
    found = names_that_fit(root, pattern)
    if not found:
        raise StageError(
            f"{root}: no file fits --models '{pattern}'; train models and keep each under a name of its own, "
            "such as models/seed-1.safetensors"
        )
    return found


def choose_splits(rows: Sequence[ImageRow], wanted: str, *, where: str) -> tuple[list[str], list[str]]:
    """Return which splits to score, train first, and which of those that were asked for have no films.

    The parts of a gap need every set between its ends: so the test brings all other splits with it, and val the leak
    probe.

    Raises:
        StageError: where train has no films, or the one split that was asked for has none.
    """
    films: dict[str, int] = {split: sum(row.split == split for row in rows) for split in SPLITS}
    for needed in ("train",) if wanted == "all" else ("train", wanted):
        if not films[needed]:
            found = ", ".join(f"{split} {count:,}" for split, count in films.items())
            raise StageError(
                f"{where}: split {needed} has no films (found: {found}); "
                f"choose another --split, or give {needed} a share in split's parameters and run again"
            )
    last = len(SPLITS) - 1 if wanted == "all" else SPLITS.index(cast("Split", wanted))
    asked = SPLITS[: last + 1]
    return [split for split in asked if films[split]], [split for split in asked if not films[split]]


def require_fit(checkpoint: Checkpoint, images: Images, *, model: str) -> None:
    """Check that the network was made for such images.

    Raises:
        StageError: where its classes or its frame differ from the images'.
    """
    classes, frame = tuple(images.facts["classes"]), images.facts["frame"]
    if checkpoint.classes != classes:
        raise StageError(
            f"{model}: its classes are {', '.join(checkpoint.classes)}; "
            f"{images.folder.manifest} has {', '.join(classes)}; run train again"
        )
    found = checkpoint.frame.height, checkpoint.frame.width
    if found != (frame["height"], frame["width"]):
        raise StageError(
            f"{model}: takes {found[0]}x{found[1]} pixels; "
            f"{images.folder.manifest} has {frame['height']}x{frame['width']}; run train again"
        )
