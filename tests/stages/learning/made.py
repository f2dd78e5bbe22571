"""Normalized films in a folder, as training reads them."""

import hashlib
from pathlib import Path

from manifests.rows import NORMALIZED, NormalizedRow
from manifests.shards import ImageFolder
from stages.films.frame import Frame
from stages.films.placement import place
from stages.normalize import placement_columns

FRAME = Frame(height=6, width=8)
OF_SHARD = 4


def row_of(number: int, data: bytes, layout: str) -> NormalizedRow:
    """Return the row of a film; its class is its number's rest by three."""
    return NormalizedRow(
        film_id=hashlib.sha256(bytes([number])).hexdigest(),
        path=f"train/{number}.pgm",
        label="normal",
        label_index=number % 3,
        group_id=str(number),
        split="train",
        status="ok",
        reason=None,
        shard=f"part-{number // OF_SHARD}.parquet" if layout == "shards" else None,
        index=number % OF_SHARD if layout == "shards" else None,
        sha256=hashlib.sha256(data).hexdigest(),
        encoded_bytes=len(data),
        **placement_columns(place(FRAME, frame=FRAME, policy="squeeze")),
    )


def written(root: Path, layout: str, images: list[bytes]) -> tuple[ImageFolder, list[NormalizedRow]]:
    """Write images, four to a shard in the layout that has shards, and return where they lie and their rows."""
    folder = ImageFolder(root, layout)
    rows = [row_of(number, image, layout) for number, image in enumerate(images)]
    for start in range(0, len(rows), OF_SHARD):
        part = slice(start, start + OF_SHARD)
        folder.write(f"part-{start // OF_SHARD}.parquet", NORMALIZED.table(rows[part]), images[part])
    return folder, rows
