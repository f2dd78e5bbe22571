"""A data set for other people's loaders: looked through, dealt to files, written aside, published."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from manifests import store
from stages import paths
from stages.contract import Machine, Report, Root, StageError
from stages.exporting import card, hugging_face, image_folder, published, web_dataset
from stages.exporting.dealing import OfSplit, dealt
from stages.exporting.origin import MANIFESTS, STAGES, Of, Origin, Part, origins, parts_of
from stages.exporting.survey import Survey, encoded_sizes, joined, survey_one
from stages.folder import label_folder
from stages.reporting import text

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


def export(asked: Asked, root: Root, out: str, machine: Machine) -> Report:
    """Write a set in the form that is asked for, unless it lies there already.

    Raises:
        StageError: where the set cannot go out, or the folder is another's.
        ManifestError: where a manifest or an image cannot be read.
    """
    folder = published.target(root, out)
    before = published.earlier(folder)
    wanted = looked_up(asked, root)
    published.remove_unfinished(folder)
    if before is not None:
        if before.get("made_from") == wanted.made_from and is_whole(folder, before, wanted, machine):
            return _report(before, out, ["nothing to write: the export that lies there is of this set, byte for byte"])
        published.refuse_edited(folder, before, _images_beside(before))
    index = written(wanted, folder, machine)
    return _report(index, out, ["an earlier export was replaced"] if before is not None else [])


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


def is_whole(folder: Path, before: Mapping[str, Any], wanted: Wanted, machine: Machine) -> bool:
    """Return whether every file of an earlier export is there, and its bytes are those that it had."""
    files = list(before["files"].items())
    whole = machine.fan_out(partial(_file_is_whole, folder=folder), files, unit="files")
    if not all(list(whole)):
        return False
    if wanted.asked.to != "folder":
        return True
    return all(list(machine.fan_out(partial(image_folder.whole_one, folder=folder), wanted.parts, unit="parts")))


def _file_is_whole(file: tuple[str, Mapping[str, Any]], *, folder: Path) -> bool:
    return published.is_whole(folder, *file)


def written(wanted: Wanted, folder: Path, machine: Machine) -> dict[str, Any]:
    """Write the export and return its index.

    Raises:
        StageError: where there is no image, or one is not what its row says.
    """
    asked = wanted.asked
    sizes = web_dataset.sample_sizes if asked.to == "webdataset" else encoded_sizes
    look = partial(survey_one, seed=asked.seed, sizes=sizes)
    survey = joined(machine.fan_out(look, wanted.parts, unit="parts"))
    if not len(survey):
        where = " and ".join(str(origin.folder.manifest) for origin in wanted.origins)
        raise StageError(f"{where}: no image of split {asked.split} that can go out; expected some")
    plan = dealt(
        survey.splits,
        survey.sizes,
        survey.keys if asked.to == "webdataset" else None,
        file_bytes=asked.file_bytes,
        files=asked.files,
    )
    published.require_room(folder, int(survey.sizes.sum()), len(survey) if asked.to == "folder" else 0)
    with published.made_aside(folder) as aside:
        files = _files(wanted, aside, survey, plan, machine)
        index = index_of(wanted, survey, plan, files)
        published.write_index(aside, index)
    return index


def _files(
    wanted: Wanted, aside: Path, survey: Survey, plan: Sequence[OfSplit], machine: Machine
) -> dict[str, dict[str, object]]:
    """Write all files but the index, and return what it says of them."""
    if wanted.asked.to == "webdataset":
        return web_dataset.write(aside, wanted.parts, survey, plan, machine)
    if wanted.asked.to == "folder":
        folders = image_folder.folders_of([of_split.split for of_split in plan], wanted.classes)
        schema = image_folder.schema_of(wanted.origins)
        return image_folder.write(aside, wanted.parts, survey, machine, schema=schema, folders=folders)
    schema = hugging_face.schema_of(wanted.origins, wanted.classes)
    files = hugging_face.write(aside, wanted.parts, survey, plan, machine, schema=schema, seed=wanted.asked.seed)
    told = card.Told(
        classes=wanted.classes,
        counts=counts_of(wanted, survey, plan),
        bytes=_bytes_of_splits(files, plan),
        schema=schema,
        facts=wanted.facts,
        made_by=wanted.made_from["parameters"],
        versions=wanted.made_from["versions"],
        sources=wanted.made_from["manifests"],
        licence=wanted.asked.licence,
    )
    path = aside / published.CARD
    store.write_bytes(path, card.card(told).encode())
    return {**files, published.CARD: {"bytes": path.stat().st_size, "sha256": store.file_sha256(path)}}


def _bytes_of_splits(files: Mapping[str, Mapping[str, Any]], plan: Sequence[OfSplit]) -> dict[str, int]:
    """Return the bytes of each split's files, which stand in `files` split by split."""
    sizes = iter([int(told["bytes"]) for told in files.values()])
    return {of_split.split: sum(next(sizes) for _ in range(len(of_split))) for of_split in plan}


def counts_of(wanted: Wanted, survey: Survey, plan: Sequence[OfSplit]) -> dict[str, dict[str, Any]]:
    """Return of each split images, films, patients, and images of each class."""
    return {
        of_split.split: {
            **survey.counts(of_split.split),
            "classes": dict(zip(wanted.classes, survey.of_classes(of_split.split, len(wanted.classes)), strict=True)),
        }
        for of_split in plan
    }


def index_of(
    wanted: Wanted, survey: Survey, plan: Sequence[OfSplit], files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the export says of itself."""
    index: dict[str, Any] = {
        "tool_version": store.TOOL_VERSION,
        "made_from": wanted.made_from,
        "classes": wanted.classes,
        "splits": counts_of(wanted, survey, plan),
        "left_out": dict(sorted(survey.left_out.items())),
    }
    if wanted.asked.to == "folder":
        index["label_index_of_folder"] = {label_folder(name): number for number, name in enumerate(wanted.classes)}
    else:
        for of_split in plan:
            images_per_file = [int(of_split.counts.min()), int(of_split.counts.max())]
            index["splits"][of_split.split] |= {"files": len(of_split), "images_per_file": images_per_file}
    if wanted.asked.to == "webdataset":
        for of_split in plan:
            last = len(of_split) - 1
            name = f"{of_split.split}-{{000000..{last:06d}}}.tar" if last else f"{of_split.split}-000000.tar"
            index["splits"][of_split.split]["urls"] = name
    return {**index, "files": dict(files)}


def _images_beside(before: Mapping[str, Any]) -> int:
    """Return how many images an earlier export holds as files of their own."""
    if before.get("made_from", {}).get("asked", {}).get("to") != "folder":
        return 0
    return sum(int(of_split["images"]) for of_split in before["splits"].values())


def _report(index: Mapping[str, Any], out: str, lines: Sequence[str]) -> Report:
    """Return what the command prints: a table of the splits, and what a user should know."""
    splits = index["splits"]
    head = ["split", "images", "films", "patients", *index["classes"]]
    dealt_out = any("files" in of_split for of_split in splits.values())
    rows = [[*head, *(["files", "images each"] if dealt_out else [])]]
    for name, found in splits.items():
        numbers = [found["images"], found["films"], found["patients"], *found["classes"].values()]
        cells = [name, *(text.count(number) for number in numbers)]
        if dealt_out:
            low, high = found["images_per_file"]
            cells += [text.count(found["files"]), text.count(low) if low == high else f"{low:,} to {high:,}"]
        rows.append(cells)
    return Report(
        done=sum(found["images"] for found in splits.values()),
        unit="images",
        set_aside=index["left_out"],
        lines=[*text.aligned(rows), *_absent(index), *lines],
        written=(f"{out}/{published.INDEX}",),
    )


def _absent(index: Mapping[str, Any]) -> list[str]:
    """Return a line for each split that lacks a class."""
    found = []
    for split, of_split in index["splits"].items():
        absent = [name for name, images in of_split["classes"].items() if not images]
        if absent:
            hint = "; ImageFolder(..., allow_empty=True) keeps the classes' numbers" if _is_folder(index) else ""
            found.append(f"{split} holds no image of {', '.join(absent[:10])}{' ...' if absent[10:] else ''}{hint}")
    return found


def _is_folder(index: Mapping[str, Any]) -> bool:
    return "label_index_of_folder" in index
