"""export: the set for other people's loaders, or the trained network for other tools."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from manifests import store
from manifests.places import joined
from manifests.rows import NORMALIZED
from stages import paths
from stages.contract import Machine, Params, ParamsError, Report, Root, Stage, StageError
from stages.exporting.data_set import export
from stages.exporting.origin import Of
from stages.exporting.wanted import Asked, To
from stages.scoring import Images, read_images, require_fit

EXPORTS = "data/exports"
LARGEST_DIFFERENCE = 1e-4  # of a probability: rounding of other kernels in another order is a thousandth of it


class ExportParams(Params):
    """What is exported, and where to."""

    to: To | None = Field(
        None,
        description="Write the images for other people's loaders; folder: split/class/name, for ImageFolder; "
        "webdataset: tars, shuffled; hf: Parquet and a card, for load_dataset(FOLDER).",
    )
    of: Of = Field(
        "both",
        description="Which images: augmented (train alone), normalized (all splits, lossless), or both: train from "
        "the augmented, the other splits from the normalized.",
    )
    split: Literal["all", "train", "leak_probe", "val", "test"] = Field("all", description="One split alone, or all.")
    out: str = Field(
        "",
        description=f"Folder to write, under the root or anywhere; empty: {EXPORTS}/OF-TO. What no export wrote is "
        "never written over.",
    )
    file_mb: int = Field(
        100, ge=1, le=10_000, description="Size of a tar or Parquet file in MB, about; hf holds one in each worker."
    )
    files: int = Field(
        0, ge=0, le=1_000_000, description="Files of each split, such as a multiple of your loaders; 0: by file-mb."
    )
    seed: int = Field(0, ge=0, description="Another seed shuffles webdataset and hf otherwise.")
    licence: str = Field(
        "", max_length=200, description="The films' licence for the card of hf, such as cc-by-4.0; empty: left to you."
    )
    onnx: str = Field(
        "",
        description="Write the network instead, as this ONNX file under the root: uint8 films in, probabilities out "
        "(extra onnx).",
    )
    model: str = Field(paths.MODEL, description="The trained network for --onnx, under the root.")
    films: int = Field(256, ge=1, description="Films of val and test, at most, that --onnx is checked on.")


def run(params: ExportParams, root: Root, machine: Machine) -> Report:
    """Write the images, or the network."""
    asked = asked_of(params)
    if asked is None:
        return export_network(params, root, machine)
    return export(asked, root, out_of(params), machine)


def asked_of(params: ExportParams) -> Asked | None:
    """Return which images are asked for, and in which form; None where it is the network.

    Raises:
        ParamsError: where both are asked for, or neither.
    """
    if params.to is not None and params.onnx:
        raise ParamsError("export: is asked for images (--to) and a network (--onnx); expected one of them")
    if params.to is None:
        if not params.onnx:
            raise ParamsError("export: names nothing to write; expected --onnx FILE, or --to folder, webdataset or hf")
        return None
    return Asked(
        to=params.to,
        of=params.of,
        split=params.split,
        file_bytes=params.file_mb * 1_000_000,
        files=params.files,
        seed=params.seed,
        licence=params.licence,
    )


def out_of(params: ExportParams) -> str:
    """Return the folder of images, as it is named or by default."""
    return params.out or f"{EXPORTS}/{params.of}-{params.to}"


def export_network(params: ExportParams, root: Root, machine: Machine) -> Report:
    """Write the network as ONNX, if it answers as PyTorch does."""
    from stages.learning import batches, checkpoint, devices, portable, prediction  # noqa: PLC0415 - torch is slow

    portable.require_extra()
    cpu = devices.device_for("cpu")
    known = checkpoint.load(joined(root, params.model), cpu)
    films = held_out(read_images(root, paths.NORMALIZED, NORMALIZED), params.films)
    require_fit(known, films, model=params.model)
    data = portable.exported(known, sha256=store.file_sha256(joined(root, params.model)))
    pixels = batches.resident(films.folder, films.rows, known.frame, machine.track).numpy()
    difference = np.abs(portable.answers_of(data, pixels) - prediction.probabilities(known, pixels, cpu)).max()
    if not difference <= LARGEST_DIFFERENCE:  # so that NaN is refused
        raise StageError(
            f"{params.onnx}: not written: onnxruntime and PyTorch differ by {difference:.2g} in a probability over "
            f"{len(pixels):,} films; expected {LARGEST_DIFFERENCE:g} at most"
        )
    store.write_bytes(joined(root, params.onnx), data)
    return Report(
        done=len(pixels),
        unit="films",
        lines=[
            f"{known.network_name} of {params.model}: {len(data):,} bytes; over {len(pixels):,} films of val and test, "
            f"probabilities differ from PyTorch's by {difference:.2g} at most"
        ],
        written=(params.onnx,),
        verdict="both answer alike",
    )


def held_out(films: Images, number: int) -> Images:
    """Return so many films of val and test, chosen by their hashes.

    Raises:
        StageError: where there is none.
    """
    rows = sorted((row for row in films.rows if row.split in ("val", "test")), key=lambda row: str(row.film_id))
    if not rows:
        raise StageError(
            f"{films.folder.manifest}: holds no film of val or test to check on; give them a share in split"
        )
    return Images(films.folder, rows[:number], films.facts)


STAGE = Stage(
    "export",
    ExportParams,
    reads=(paths.NORMALIZED, paths.AUGMENTED, paths.MODEL),
    writes=(EXPORTS,),
    run=run,
    writes_if="to",
    goes_on="it starts anew",
)
