"""What is to be exported: what the user asked for, where its images lie, and what decides every byte of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from manifests import store
from stages import paths
from stages.contract import Root, StageError
from stages.exporting.origin import MANIFESTS, STAGES, Of, Origin, Part, origins, parts_of

To = Literal["folder", "webdataset", "hf"]
EXPORT_VERSION = 1  # raised whenever the same images and parameters come to give other files


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be exported.

    Attributes:
        to: the form.
        of: the set.
        split: its name, or all.
        file_bytes: that a file shall have, about.
        files: how many a split shall have; 0 for as many as its bytes take.
        seed: of the shuffle.
        licence: for the card.
    """

    to: To
    of: Of
    split: str
    file_bytes: int
    files: int
    seed: int
    licence: str

    def told(self) -> dict[str, object]:
        """Return what decides the bytes of this form, as JSON has it."""
        of_form: dict[str, dict[str, object]] = {
            "folder": {},
            "webdataset": {"file_bytes": self.file_bytes, "files": self.files, "seed": self.seed},
            "hf": {"file_bytes": self.file_bytes, "files": self.files, "seed": self.seed, "licence": self.licence},
        }
        return {"to": self.to, "of": self.of, "split": self.split, **of_form[self.to]}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What goes out, and what holds for all of it.

    Attributes:
        asked: by the user.
        origins: where the images lie.
        parts: of their manifests.
        classes: in the order of the labels.
        facts: of the set.
        made_from: what decides every byte of the export.
    """

    asked: Asked
    origins: tuple[Origin, ...]
    parts: list[Part]
    classes: list[str]
    facts: Mapping[str, Any]
    made_from: dict[str, Any]


def looked_up(asked: Asked, root: Root) -> Wanted:
    """Return what is known of the images before one is read.

    Raises:
        StageError: where the two sets have other classes, or one was made before the other changed.
        ManifestError: where a manifest is missing or spoilt.
    """
    found = origins(root, asked.of, asked.split)
    footers = [store.read_footer(root / MANIFESTS[origin.name]) for origin in found]
    facts = footers[0].facts
    if any(footer.facts["classes"] != facts["classes"] for footer in footers):
        raise StageError(f"{root / paths.AUGMENTED_MANIFEST}: has other classes than the films; run augment again")
    recipes: dict[str, Any] = {}
    for origin, footer in zip(found, footers, strict=True):
        recipes |= footer.recipes_with(STAGES[origin.name])
    return Wanted(
        asked,
        found,
        [part for origin in found for part in parts_of(origin)],
        list(facts["classes"]),
        facts,
        {
            "export_version": EXPORT_VERSION,
            "asked": asked.told(),
            "manifests": {MANIFESTS[each.name]: store.file_sha256(root / MANIFESTS[each.name]) for each in found},
            "parameters": json.loads(json.dumps(recipes)),
            "versions": {name: value for footer in footers for name, value in footer.versions.items()},
        },
    )
