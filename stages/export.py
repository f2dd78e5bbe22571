"""export: the trained network for other tools, checked on films before it is written."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from manifests import store
from manifests.places import joined, place_of
from manifests.rows import NORMALIZED
from stages import paths
from stages.contract import Machine, Params, ParamsError, Report, Root, Stage, StageError
from stages.scoring import Images, read_images, require_fit

LARGEST_DIFFERENCE = 1e-4  # of a probability: rounding of other kernels in another order is a thousandth of it


class ExportParams(Params):
    """What is exported, where to, and on how many films it is checked."""

    onnx: str = Field("", description="ONNX file to write: uint8 films in, probabilities out (extra onnx).")
    model: str = Field(paths.MODEL, description="The trained network, under the root.")
    films: int = Field(256, ge=1, description="Films of val and test, at most, that both must answer alike.")


def run(params: ExportParams, root: Root, machine: Machine) -> Report:
    """Write the network as ONNX, if it answers as PyTorch does."""
    from stages.learning import batches, checkpoint, devices, portable, prediction  # noqa: PLC0415 - torch is slow

    if not params.onnx:
        raise ParamsError("export: names nothing to write; expected --onnx FILE")
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
    store.write_bytes(place_of(params.onnx), data)
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


STAGE = Stage("export", ExportParams, reads=(paths.MODEL, paths.NORMALIZED), writes=(), run=run)
