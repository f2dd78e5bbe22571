"""What training reads: the images that it may use, as columns, and what holds for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from manifests import store
from manifests.rows import NORMALIZED
from manifests.shards import ImageFolder
from stages import paths
from stages.contract import Root, StageError
from stages.drawn import AUGMENTED
from stages.films.frame import Frame
from stages.leaks import how_divided
from stages.stored import COLUMNS, StoredImages, usable

READ = (*COLUMNS, "status", "split")  # columns of a manifest: a third of the memory that all of them would take


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What training reads: the images that it may use, and what holds for all of them.

    Attributes:
        classes: in the order of `label_index`.
        frame: of every image.
        augmented: the images to learn from; None where copies are drawn anew for every epoch.
        train: their films, un-augmented.
        val: the films that choose the epoch.
        digests: sha256 of the manifests, by path under the root.
        split: what was drawn, and how val was held out.
        normalization: the parameters by which the films came into the frame.
        augmentation: those by which the augmented images were made; None where none are there.
    """

    classes: tuple[str, ...]
    frame: Frame
    augmented: StoredImages | None
    train: StoredImages
    val: StoredImages
    digests: Mapping[str, str]
    split: Mapping[str, str]
    normalization: Mapping[str, Any]
    augmentation: Mapping[str, Any] | None


def read_sources(root: Root, *, online: bool = False) -> Sources:
    """Return the usable images of the normalized and the augmented manifest.

    Args:
        root: the folder of the data set.
        online: whether the augmented images themselves are not needed, nor their manifest.

    Raises:
        StageError: where they cannot be trained on.
        ManifestError: where a manifest is missing or broken.
    """
    films = store.read_table(NORMALIZED.only(*READ), root / paths.NORMALIZED_MANIFEST)
    normalized = store.read_footer(root / paths.NORMALIZED_MANIFEST)
    folder = ImageFolder(root / paths.NORMALIZED, normalized.params["layout"])
    manifests = [paths.NORMALIZED_MANIFEST]
    augmented, augmentation = None, None
    if not online or (root / paths.AUGMENTED_MANIFEST).exists():
        augmentation = store.read_footer(root / paths.AUGMENTED_MANIFEST).params
        manifests.insert(0, paths.AUGMENTED_MANIFEST)
    if not online and augmentation is not None:
        images = store.read_table(AUGMENTED.only(*READ), root / paths.AUGMENTED_MANIFEST)
        augmented = usable(ImageFolder(root / paths.AUGMENTED, augmentation["layout"]), images, "train")
    sources = Sources(
        classes=tuple(normalized.facts["classes"]),
        frame=Frame(**normalized.facts["frame"]),
        augmented=augmented,
        train=usable(folder, films, "train"),
        val=usable(folder, films, "val"),
        digests={path: store.file_sha256(root / path) for path in manifests},
        split=how_divided(normalized.facts),
        normalization=normalized.params,
        augmentation=augmentation,
    )
    check(sources)
    return sources


def check(sources: Sources) -> None:
    """Refuse sets from which nothing can be learned, and copies of films that are not in train.

    Raises:
        StageError: saying which set, what it holds and what is expected.
    """
    named = (
        (f"{paths.NORMALIZED}: split train", sources.train, "split and normalize"),
        (f"{paths.NORMALIZED}: split val", sources.val, "split and normalize"),
        (paths.AUGMENTED, sources.augmented, "augment"),
    )
    for name, images, stage in named:
        if images is not None and not len(images):
            raise StageError(f"{name} holds no good film; training needs at least one; run {stage} again")
    if missing := absent(sources.train, sources.classes):
        raise StageError(
            f"{paths.NORMALIZED}: split train holds no film of class {', '.join(missing)}; expected some of each, for "
            "a class without films is not learned; add films, or leave the class out, and run all stages again"
        )
    if sources.augmented is not None:
        _refuse_strangers(sources.augmented, sources.train)
        if missing := absent(sources.augmented, sources.classes):
            raise StageError(
                f"{paths.AUGMENTED}: holds no image of class {', '.join(missing)}, of which "
                f"{paths.NORMALIZED} has training films; run augment again"
            )


def _refuse_strangers(augmented: StoredImages, films: StoredImages) -> None:
    """Refuse images of films that are not among the training films, or have another label there.

    Raises:
        StageError: saying how many there are, and one of them.
    """
    film = pc.index_in(augmented.table.column("film_id"), value_set=films.table.column("film_id"))
    label = films.table.column("label_index").take(film)
    same = pc.fill_null(pc.equal(label, augmented.table.column("label_index")), fill_value=False)
    strangers = augmented.table.filter(pc.invert(same))
    if strangers.num_rows:
        raise StageError(
            f"{paths.AUGMENTED}: {strangers.num_rows} images, such as {strangers.column('path')[0]}, show films that "
            f"{paths.NORMALIZED} has under another split or label; run augment again"
        )


def absent(images: StoredImages, classes: tuple[str, ...]) -> list[str]:
    """Return the classes that no image shows."""
    present = set(np.unique(images.labels).tolist())
    return [name for index, name in enumerate(classes) if index not in present]


def majority_share(images: StoredImages) -> float:
    """Return the share of the most frequent class: what naming it always would score."""
    return max(Counter(images.labels.tolist()).values()) / len(images)
