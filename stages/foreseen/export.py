"""What export would write, keep and delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.contract import Machine, ParamsError, Root
from stages.export import ExportParams, asked_of, out_of
from stages.exporting import published
from stages.exporting.data_set import images_beside, stands, surveyed
from stages.exporting.wanted import To, looked_up
from stages.foreseen.amounts import Amount, Foreseen, Verb, room

BESIDE: Mapping[To, str] = {
    "folder": "the images; beside them, the rows in two files and an index",
    "webdataset": "beside them, an index",
    "hf": "the images; their rows take a little more; beside them, a card and an index",
}


def foresee(params: ExportParams, root: Root, machine: Machine) -> Foreseen:
    """Return what a run would do.

    Raises:
        StageError: where the run would, before its first image.
        ManifestError: where a manifest or an image cannot be read.
        ParamsError: where the run would, and where a network is to be exported, which is one file.
    """
    asked, out = asked_of(params), out_of(params)
    if asked is None:
        raise ParamsError(f"export: --dry-run tells of --to; --onnx writes one file, {params.onnx}")
    folder = published.target(root, out)
    before = published.earlier(folder)
    wanted = looked_up(asked, root)
    if before is not None and stands(folder, before, wanted, machine):
        return Foreseen(unit="images", amounts=[_there("keep", out, before)])
    survey, plan = surveyed(wanted, machine)
    size = int(survey.sizes.sum())
    write = Amount(
        verb="write",
        where=out,
        units=len(survey),
        files=len(survey) if asked.to == "folder" else sum(map(len, plan)),
        bytes=size,
        known_by=BESIDE[asked.to],
    )
    delete = [] if before is None else [_there("delete", out, before)]
    return Foreseen(unit="images", amounts=[write, *delete], lines=room(folder, size))


def _there(verb: Verb, out: str, index: Mapping[str, Any]) -> Amount:
    """Return what an earlier export holds, as its index says."""
    images = sum(int(of_split["images"]) for of_split in index["splits"].values())
    files = images_beside(index)
    named = sum(int(told["bytes"]) for told in index["files"].values())
    return Amount(verb=verb, where=out, units=images, files=files + len(index["files"]), bytes=None if files else named)
