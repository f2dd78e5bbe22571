"""Encoded images on disk: Parquet shards of bytes beside their rows, or a tree of image files."""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from manifests.checks import ManifestError
from manifests.columns import Schema
from manifests.objects import ObjectPath
from manifests.places import AnyPath, at_hand, pinned
from manifests.rows import ImageRow
from manifests.seal import UNSEALED, is_whole, seal
from manifests.store import MANIFEST, flush, write_bytes, written_aside
from manifests.unclaimed import files_under, names_besides, remove_files


class Stored(Protocol):
    """Whatever says where an image's bytes lie: a row of a manifest, or a part of one."""

    @property
    def path(self) -> str:
        """Where it lies in the folder layout, or would lie."""

    @property
    def shard(self) -> str | None:
        """The file under shards/ that holds it; None in the folder layout."""

    @property
    def index(self) -> int | None:
        """Its row within the shard."""


Row = TypeVar("Row", bound=ImageRow)
Place = TypeVar("Place", bound=Stored)

SHARDS = "shards"
IMAGES_PER_SHARD = 1000  # at most; hash prefixes fill a shard to about 700
GROUP_BYTES = 2_500_000  # about what a reader gets at once: 32 normalized films, 128 JPEG copies of the same frame
# Nullable, though no image is missing: Hugging Face `datasets` takes a column for an Image feature only where its
# Arrow field is the one that an Image would have, and that is a nullable one.
IMAGE = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
SHARD_BYTES = 100_000_000  # the most, were no image to shrink: a worker holds a shard two or three times
RECIPE_KEY = b"cxr_pipeline_recipe"


def shard_name(prefix: str, key: Any) -> str:
    """Return a shard's file name: its place among the hashes, and a digest of all that decides its bytes.

    Args:
        prefix: the shard's hash prefix in bits.
        key: JSON value of everything that decides the bytes.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"{prefix or 'all'}-{digest[:16]}.parquet"


def films_per_shard(images_per_film: int, image_bytes: int, *, at_most: int) -> int:
    """Return how many films a shard may hold, so that a worker's memory is bounded whatever the frame.

    Args:
        images_per_film: how many images are made of each.
        image_bytes: size of an image that no codec shrinks.
        at_most: the most images that a shard shall hold.
    """
    return max(1, min(at_most, SHARD_BYTES // image_bytes) // images_per_film)


def rows_per_group(images: Sequence[bytes]) -> int:
    """Return how many of a shard's images a reader gets at once: a power of two that holds GROUP_BYTES or less."""
    fit = GROUP_BYTES * len(images) // (sum(map(len, images)) or 1)
    return 1 << max(4, min(10, fit.bit_length() - 1))


def prefix_of(shard: str) -> str:
    """Return the hash prefix of a shard's name, as `shard_name` takes it."""
    return shard.partition("-")[0].removeprefix("all")


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A stage's folder of encoded images, in one of the two layouts.

    Attributes:
        path: of the folder.
        layout: shards or folder.
        recipe: the parameters that the images are written by; each shard keeps them, so that a manifest that is
            lost can be made again from its shards alone.
    """

    path: AnyPath
    layout: str
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def manifest(self) -> AnyPath:
        """The manifest's path."""
        return self.path / MANIFEST

    def write(self, shard: str, table: pa.Table, images: Sequence[bytes]) -> None:
        """Write a job's images beside the checked table of their rows; `shard` names the file in the shards layout.

        A shard is not flushed: no manifest claims it yet, and one that a loss of power spoils breaks its seal. Workers
        go on in place of waiting for the disk; whoever claims shards in a manifest calls `flush_shard` first.
        """
        if self.layout == "folder":
            for path, image in zip(table.column("path").to_pylist(), images, strict=True):
                write_bytes(self.path / path, image)
            return
        struct = pa.StructArray.from_arrays(
            [_binary(images), table.column("path").combine_chunks()], fields=list(IMAGE.type)
        )
        shard_table = table.add_column(0, IMAGE, struct).replace_schema_metadata(
            {**_hugging_face(table.schema), RECIPE_KEY: json.dumps(self.recipe, sort_keys=True), **UNSEALED}
        )
        with written_aside(self.path / SHARDS / shard, flushed=False) as aside:
            # Encoded images do not shrink: leaving them plain saves the codec's time on write and on read. Snappy
            # for the rest: zstd sets up a context per column and row group, 15 us an image for 0.3 % of the bytes.
            compression = {
                "image.bytes": "none",
                **dict.fromkeys(["image.path", *table.schema.names], "snappy"),
            }
            pq.write_table(
                shard_table,
                aside,
                row_group_size=rows_per_group(images),
                compression=compression,
                use_dictionary=[name for name in table.schema.names if name != "sha256"],
                write_statistics=False,
            )
            seal(aside)

    def flush_shard(self, shard: str) -> None:
        """Wait until the disk has a shard.

        Raises:
            OSError: where the disk refuses it, full perhaps; the shard is deleted, for it may be read from memory as
                if it were whole.
        """
        path = self.path / SHARDS / shard
        try:
            flush(path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from error

    def finished(self, shard: str, schema: Schema[Row]) -> pa.Table | None:
        """Return the rows of a shard that an earlier run finished, or None where it must be written.

        A shard's name carries the key of all that decides its bytes and it was renamed into place when it was
        whole, so that a shard which exists is right; one that a disk has spoilt breaks its seal and is written again.
        """
        path = self.path / SHARDS / shard
        if self.layout == "folder":
            return None
        try:
            with pinned(path):
                if not is_whole(path):
                    return None
                table = pq.read_table(at_hand(path), columns=schema.arrow.names)
            return table.replace_schema_metadata(None).cast(schema.arrow)
        except (OSError, ValueError, pa.ArrowException):  # cast: a file of that name with other columns
            return None

    def recipe_of(self, shard: str) -> dict[str, Any] | None:
        """Return the parameters that a shard was written by; None where it is spoilt or tells none."""
        path = self.path / SHARDS / shard
        if not is_whole(path):
            return None
        try:
            metadata = pq.read_schema(at_hand(path)).metadata or {}
            recipe = json.loads(metadata.get(RECIPE_KEY, b"{}"))
        except (OSError, ValueError, pa.ArrowException):  # whole, and sealed by a stranger
            return None
        return recipe if isinstance(recipe, dict) and recipe else None

    def shards_on_disk(self) -> dict[str, int | str]:
        """Return each shard's file number (inode) or tag, by its name: a shard that is written anew gets another."""
        folder = self.path / SHARDS
        if isinstance(folder, ObjectPath):
            return {name: told.tag for name, told in folder.under()}
        if not folder.is_dir():
            return {}
        with os.scandir(folder) as entries:
            return {entry.name: entry.inode() for entry in entries}

    def read_images(self, rows: Sequence[Place]) -> Iterator[tuple[Place, bytes]]:
        """Yield each row with its encoded bytes, shard by shard, reading only the row groups that hold them.

        Raises:
            ManifestError: where a file or a row that the manifest names is missing.
        """
        for shard, of_shard in groupby(sorted(rows, key=lambda row: (row.shard or "", row.index or 0)), _shard_of):
            if shard is None:
                yield from ((row, self._read_file(row)) for row in of_shard)
            else:
                yield from self._read_shard(shard, list(of_shard))

    def _read_file(self, row: Stored) -> bytes:
        try:
            return (self.path / row.path).read_bytes()
        except OSError as error:
            raise ManifestError(f"{self.path / row.path}: cannot be read ({error}); run the stage again") from error

    def _read_shard(self, shard: str, rows: Sequence[Place]) -> Iterator[tuple[Place, bytes]]:
        path = self.path / SHARDS / shard
        try:
            with pq.ParquetFile(at_hand(path)) as file:
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                ends = list(accumulate(sizes))
                for group, of_group in groupby(rows, lambda row: bisect_right(ends, int(row.index or 0))):
                    images = _one_piece(file.read_row_group(group, columns=["image.bytes"]).column("image"))
                    first = ends[group] - sizes[group]
                    for row in of_group:
                        yield row, images[int(row.index or 0) - first]["bytes"].as_py()
        except (OSError, pa.ArrowException, IndexError, KeyError) as error:
            raise ManifestError(f"{path}: cannot be read ({error}); run the stage that writes it again") from error

    def others(self, keep: pa.ChunkedArray) -> list[str]:
        """Return every file that a manifest which claims the paths `keep` does not claim, itself left out."""
        kept = pa.chunked_array([*keep.cast(pa.binary()).chunks, pa.array([MANIFEST.encode()])], pa.binary())
        if isinstance(self.path, ObjectPath):
            return names_besides(kept, (name for name, _ in self.path.under()))
        return names_besides(kept, files_under(self.path))

    def remove_others(self, keep: pa.ChunkedArray) -> int:
        """Delete the files that `others` names, and folders that are empty then; return how many files there were."""
        doomed = self.others(keep)
        if isinstance(self.path, ObjectPath):
            self.path.remove(doomed)
        else:
            remove_files(self.path, doomed)
        return len(doomed)


def _one_piece(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; copied only where it is not one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _binary(values: Sequence[bytes]) -> pa.Array:
    """Return bytes as an Arrow array: joined once, where `pa.array` grows its buffer again and again."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int64)
    if ends[-1] >= 2**31:
        raise ManifestError(
            f"a shard of {len(values)} images holds {ends[-1]:,} bytes; expected less than 2 GiB; shrink the frame"
        )
    return pa.Array.from_buffers(
        pa.binary(), len(values), [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(values))]
    )


def _shard_of(row: Stored) -> str | None:
    return row.shard


def _hugging_face(schema: pa.Schema) -> Mapping[bytes, bytes]:
    """Return the metadata by which Hugging Face `datasets` reads `image` as an Image feature."""
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    for column in schema:
        features[column.name] = {"dtype": str(column.type).replace("double", "float64"), "_type": "Value"}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
