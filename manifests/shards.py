"""Encoded images on disk: Parquet shards of bytes beside their rows, or a tree of image files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.columns import ManifestError, Schema
from manifests.rows import ImageRow
from manifests.store import MANIFEST, write_bytes, written_aside

Row = TypeVar("Row", bound=ImageRow)

SHARDS = "shards"
IMAGES_PER_SHARD = 1000  # at most; hash prefixes fill a shard to about 700
ROWS_PER_GROUP = 64  # images a reader gets at once: 5 MB of normalized films, 1.3 MB of JPEG copies
IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]), nullable=False)
PREFIX_BITS = 256


def plan(film_ids: Iterable[str], *, films_per_shard: int) -> dict[str, list[str]]:
    """Return the films of each shard, by the shard's prefix of the films' hash in bits.

    A shard is the shortest prefix that at most `films_per_shard` films share, so a new film changes the
    shard it falls into and no other.

    Args:
        film_ids: hex digests, each once.
        films_per_shard: the most films that a shard holds, at least 1.

    Raises:
        ValueError: where a film is named twice.
    """
    ids = sorted(film_ids)
    bits = {f"{int(film_id, 16):0{PREFIX_BITS}b}": film_id for film_id in ids}
    if len(bits) < len(ids):
        twice = next(one for one, other in pairwise(ids) if one == other)
        raise ValueError(f"{len(ids)} films have {len(bits)} hashes, {twice} more than once; expected each film once")
    shards: dict[str, list[str]] = {}
    pending = [("", sorted(bits))]
    while pending:
        prefix, inside = pending.pop()
        if len(inside) <= films_per_shard:
            if inside:
                shards[prefix] = [bits[key] for key in inside]
        else:
            pending += [(prefix + bit, [key for key in inside if key[len(prefix)] == bit]) for bit in "01"]
    return dict(sorted(shards.items()))


def shard_name(prefix: str, key: Any) -> str:
    """Return a shard's file name: its place among the hashes, and a digest of all that decides its bytes.

    Args:
        prefix: the shard's hash prefix in bits.
        key: JSON value of everything that decides the bytes.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"{prefix or 'all'}-{digest[:16]}.parquet"


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A stage's folder of encoded images, in one of the two layouts."""

    path: Path
    layout: str

    @property
    def manifest(self) -> Path:
        """The manifest's path."""
        return self.path / MANIFEST

    def write(self, shard: str, rows: Sequence[Row], images: Sequence[bytes], schema: Schema[Row]) -> pa.Table:
        """Write a job's images and return its rows' table; `shard` names the file in the shards layout.

        Raises:
            ManifestError: where a row breaks the schema; nothing is written then.
        """
        table = schema.table(rows)
        if self.layout == "folder":
            for row, image in zip(rows, images, strict=True):
                write_bytes(self.path / row.path, image)
            return table
        struct = pa.StructArray.from_arrays(
            [pa.array(images, pa.binary()), table.column("path").combine_chunks()], fields=list(IMAGE.type)
        )
        shard_table = table.add_column(0, IMAGE, struct).replace_schema_metadata(_hugging_face(table.schema))
        with written_aside(self.path / SHARDS / shard) as aside:
            # encoded images do not shrink: leaving them plain saves the codec's time on write and on read
            compression = {
                "image.bytes": "none",
                **dict.fromkeys(["image.path", *table.schema.names], "zstd"),
            }
            pq.write_table(
                shard_table,
                aside,
                row_group_size=ROWS_PER_GROUP,
                compression=compression,
                use_dictionary=[name for name in table.schema.names if name != "sha256"],
                write_statistics=False,
            )
        return table

    def finished(self, shard: str, schema: Schema[Row]) -> pa.Table | None:
        """Return the rows of a shard that an earlier run finished, or None where it must be written.

        A shard's name carries the key of all that decides its bytes and it was renamed into place when it was
        whole, so that a shard which exists is right; one that a disk has spoilt is written again.
        """
        path = self.path / SHARDS / shard
        if self.layout == "folder" or not path.exists():
            return None
        try:
            table = pq.read_table(path, columns=schema.arrow.names)
        except (OSError, pa.ArrowInvalid):
            return None
        return table.replace_schema_metadata(None).cast(schema.arrow)

    def read_images(self, rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
        """Yield each row with its encoded bytes, shard by shard, reading only the row groups that hold them.

        Raises:
            ManifestError: where a file or a row that the manifest names is missing.
        """
        for shard, of_shard in groupby(sorted(rows, key=lambda row: (row.shard or "", row.index or 0)), _shard_of):
            if shard is None:
                yield from ((row, self._read_file(row)) for row in of_shard)
            else:
                yield from self._read_shard(shard, list(of_shard))

    def _read_file(self, row: ImageRow) -> bytes:
        try:
            return (self.path / row.path).read_bytes()
        except OSError as error:
            raise ManifestError(f"{self.path / row.path}: cannot be read ({error}); run the stage again") from error

    def _read_shard(self, shard: str, rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
        path = self.path / SHARDS / shard
        try:
            with pq.ParquetFile(path) as file:
                for group, of_group in groupby(rows, _group_of):
                    images = file.read_row_group(group, columns=["image.bytes"]).column("image")
                    for row in of_group:
                        yield row, images[int(row.index or 0) % ROWS_PER_GROUP]["bytes"].as_py()
        except (OSError, pa.ArrowInvalid, IndexError) as error:
            raise ManifestError(f"{path}: cannot be read ({error}); run the stage that writes it again") from error

    def remove_others(self, keep: Iterable[str]) -> int:
        """Delete every file that the manifest does not claim and return how many there were.

        Args:
            keep: POSIX paths under the folder: shards, or image files.
        """
        kept = {self.path / name for name in keep} | {self.manifest}
        others = [path for path in self.path.rglob("*") if path.is_file() and path not in kept]
        for path in others:
            path.unlink()
        for folder in sorted((path for path in self.path.rglob("*") if path.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()
        return len(others)


def _shard_of(row: ImageRow) -> str | None:
    return row.shard


def _group_of(row: ImageRow) -> int:
    return int(row.index or 0) // ROWS_PER_GROUP


def _hugging_face(schema: pa.Schema) -> Mapping[bytes, bytes]:
    """Return the metadata by which Hugging Face `datasets` reads `image` as an Image feature."""
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    for field in schema:
        features[field.name] = {"dtype": str(field.type).replace("double", "float64"), "_type": "Value"}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
