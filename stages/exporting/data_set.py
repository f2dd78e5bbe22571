"""A data set for other people's loaders: looked through, dealt to files, written aside, published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from manifests import store
from stages.contract import Machine, Report, Root, StageError
from stages.exporting import card, hugging_face, image_folder, published, web_dataset
from stages.exporting.dealing import OfSplit, dealt
from stages.exporting.index import counts_of, index_of, report
from stages.exporting.survey import Survey, encoded_sizes, joined, survey_one
from stages.exporting.wanted import Asked, Wanted, looked_up


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
    if before is not None and stands(folder, before, wanted, machine):
        return report(before, out, ["nothing to write: the export that lies there is of this set, byte for byte"])
    index = written(wanted, folder, machine)
    return report(index, out, ["an earlier export was replaced"] if before is not None else [])


def stands(folder: Path, before: Mapping[str, Any], wanted: Wanted, machine: Machine) -> bool:
    """Return whether an earlier export is what is wanted, whole; if it is another, it may be replaced.

    Raises:
        StageError: where somebody has added files to another, or written on its card.
    """
    if before.get("made_from") == wanted.made_from and is_whole(folder, before, wanted, machine):
        return True
    published.refuse_edited(folder, before, images_beside(before))
    return False


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


def surveyed(wanted: Wanted, machine: Machine) -> tuple[Survey, list[OfSplit]]:
    """Return the images that go out, and how they are dealt to files.

    Raises:
        StageError: where there is no image.
    """
    asked = wanted.asked
    sizes = web_dataset.sample_sizes if asked.to == "webdataset" else encoded_sizes
    look = partial(survey_one, seed=asked.seed, sizes=sizes)
    survey = joined(machine.fan_out(look, wanted.parts, unit="parts"))
    if not len(survey):
        where = " and ".join(str(origin.folder.manifest) for origin in wanted.origins)
        raise StageError(f"{where}: no image of split {asked.split} that can go out; expected some")
    return survey, dealt(
        survey.splits,
        survey.sizes,
        survey.keys if asked.to == "webdataset" else None,
        file_bytes=asked.file_bytes,
        files=asked.files,
    )


def written(wanted: Wanted, folder: Path, machine: Machine) -> dict[str, Any]:
    """Write the export and return its index.

    Raises:
        StageError: where there is no image, or one is not what its row says.
    """
    survey, plan = surveyed(wanted, machine)
    published.require_room(folder, int(survey.sizes.sum()), len(survey) if wanted.asked.to == "folder" else 0)
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


def images_beside(before: Mapping[str, Any]) -> int:
    """Return how many images an earlier export holds as files of their own."""
    if before.get("made_from", {}).get("asked", {}).get("to") != "folder":
        return 0
    return sum(int(of_split["images"]) for of_split in before["splits"].values())
