"""Where the images of an export come from: rows of manifests, and bytes that are what the rows say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests import seal, store
from manifests.columns import Schema
from manifests.places import AnyPath
from manifests.rows import NORMALIZED, SPLITS
from manifests.shards import SHARDS, ImageFolder
from manifests.slices import rows_between, slices
from stages import paths
from stages.contract import Root, StageError
from stages.drawn import AUGMENTED
from stages.folder import refuse_stale

Of = Literal["augmented", "normalized", "both"]
SCHEMAS: Mapping[str, Schema[Any]] = {"augmented": AUGMENTED, "normalized": NORMALIZED}
MANIFESTS: Mapping[str, str] = {"augmented": paths.AUGMENTED_MANIFEST, "normalized": paths.NORMALIZED_MANIFEST}
STAGES: Mapping[str, str] = {"augmented": "augment", "normalized": "normalize"}


@dataclass(frozen=True, slots=True)
class Origin:
    """A stage's folder of images, and the splits of it that go out.

    Attributes:
        name: `augmented` or `normalized`.
        folder: of its images.
        splits: those that go out.
    """

    name: str
    folder: ImageFolder
    splits: tuple[str, ...]

    @property
    def schema(self) -> Schema[Any]:
        """The columns of its manifest."""
        return SCHEMAS[self.name]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a manifest whose images lie together.

    Attributes:
        origin: whose they are.
        first: number of the first row in the manifest.
        last: one past the last row's.
        shard: the file that holds them; None in the folder layout.
        seal: the shard's, as the manifest's footer names it.
    """

    origin: Origin
    first: int
    last: int
    shard: str | None
    seal: str


def origins(root: Root, of: Of, split: str) -> tuple[Origin, ...]:
    """Return the folders that images are taken from: where both are meant, train comes from the augmented alone.

    Raises:
        ManifestError: where a manifest is missing or spoilt.
        StageError: where one was made before another changed.
    """
    wanted = SPLITS if split == "all" else (split,)
    of_each: Mapping[str, tuple[str, ...]] = {
        "augmented": tuple(name for name in wanted if name == "train" or of != "both"),
        "normalized": tuple(name for name in wanted if name != "train" or of != "both"),
    }
    if of == "both" and split in ("all", "train"):
        refuse_stale(paths.AUGMENTED_MANIFEST, paths.NORMALIZED_MANIFEST, root=root, stage="augment")
    return tuple(
        Origin(name, ImageFolder((root / MANIFESTS[name]).parent, layout_of(root, name)), splits)
        for name, splits in of_each.items()
        if splits and of in (name, "both")
    )


def layout_of(root: Root, name: str) -> str:
    """Return how a stage's images lie."""
    return str(store.read_footer(root / MANIFESTS[name]).params["layout"])


def parts_of(origin: Origin) -> list[Part]:
    """Return all rows of a manifest, part by part."""
    seals = store.read_footer(origin.folder.manifest).files
    return [
        Part(origin, part.first, part.last, part.shard, str(seals.get(part.shard or "", "")))
        for part in slices(origin.schema, origin.folder.manifest)
    ]


def rows_of(part: Part) -> tuple[pa.Table, dict[str, int]]:
    """Return a part's rows that go out, and how many of those splits are left out, by their status."""
    rows = rows_between(part.origin.schema, part.origin.folder.manifest, part.first, part.last)
    rows = rows.filter(pc.is_in(rows.column("split"), value_set=pa.array(part.origin.splits)))
    good = pc.and_(pc.equal(rows.column("status"), "ok"), pc.is_valid(rows.column("label_index")))
    left = pc.value_counts(rows.filter(pc.invert(good)).column("status"))
    return rows.filter(good), {each["values"].as_py(): each["counts"].as_py() for each in left}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An image that goes out: where it lies, and what its bytes must be.

    Attributes:
        path: in the folder layout, or what it would be there.
        shard: the file that holds it; None in the folder layout.
        index: its row in the shard.
        sha256: of its bytes.
        number: of its row among those that were asked for.
    """

    path: str
    shard: str | None
    index: int | None
    sha256: str
    number: int


def images_of(part: Part, rows: pa.Table) -> Iterator[tuple[int, bytes]]:
    """Yield the images of a part's rows, each with its row's number in the table; a row group is held at a time.

    Raises:
        ManifestError: where a file cannot be read.
        StageError: where an image's bytes are not those of its row.
    """
    columns = (rows.column(name).to_pylist() for name in ("path", "shard", "index", "sha256"))
    outgoing = [Outgoing(*each) for each in zip(*columns, range(len(rows)), strict=True)]
    for image, data in part.origin.folder.read_images(outgoing):
        if (found := hashlib.sha256(data).hexdigest()) != image.sha256:
            raise StageError(
                f"{where_of(part, image.path)}: image {image.path} has the sha256 {found[:12]}; expected "
                f"{image.sha256[:12]}, as its row says; `cxr-pipeline verify --repair` makes it anew"
            )
        yield image.number, data


def where_of(part: Part, path: str) -> AnyPath:
    """Return the file that holds an image of a part."""
    folder = part.origin.folder.path
    return folder / path if part.shard is None else folder / SHARDS / part.shard


def require_sealed(part: Part) -> None:
    """Refuse a shard of which any byte is another than when its manifest was written.

    Raises:
        StageError: where one is, or the shard is gone.
    """
    if part.shard is None:
        return
    path = where_of(part, "")
    try:
        sealed = seal.examine(path)
    except OSError as error:
        stage = STAGES[part.origin.name]
        raise StageError(f"{path}: cannot be read ({error.strerror or error}); run {stage} again") from error
    if not sealed.whole or sealed.found != part.seal:
        raise StageError(
            f"{path}: its bytes are not those that the manifest knows: seal {sealed.found[:12]}; expected "
            f"{part.seal[:12]}; `cxr-pipeline verify --repair` makes it anew"
        )


def in_columns_of(schema: pa.Schema, rows: pa.Table) -> pa.Table:
    """Return rows in the columns of a schema: one that they do not have is null."""
    columns = [
        rows.column(field.name).cast(field.type) if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def names_of(rows: pa.Table) -> list[str]:
    """Return a name for each image that no other of its manifest has, without a dot: film, and number of the copy."""
    films: list[str] = rows.column("film_id").to_pylist()
    if "copy" not in rows.column_names:
        return films
    return [f"{film}-{copy:04d}" for film, copy in zip(films, rows.column("copy").to_pylist(), strict=True)]


def order_keys(rows: pa.Table, seed: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return a number for each image that its name and the seed alone decide: sorted by them, images are shuffled."""
    key = f"cxr-pipeline export {seed}".encode()
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names_of(rows))
    return np.frombuffer(digests, "<u8")
