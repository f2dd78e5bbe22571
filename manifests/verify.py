"""Do the bytes on disk match the rows? One file at a time; what the rows must be is the stages' affair."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests import bounds, seal, source, store
from manifests.checks import ManifestError
from manifests.columns import Schema
from manifests.places import AnyPath, at_hand, fetched, files_in
from manifests.shards import IMAGE, SHARDS

Kind = Literal["raw", "manifest", "other", "shard", "image", "extra"]
Look = Callable[[bytes], str]  # an encoded image to what is wrong with it; empty where nothing is
ROWS_AT_ONCE = 1 << 15  # of a manifest: 10 MB, and as much again as dictionaries, however long it is
IMAGE_COLUMNS = ("path", "sha256", "encoded_bytes")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as the manifests say.

    Attributes:
        kind: what would have to be mended: a raw film, a manifest that is spoilt, a whole manifest of another run
            ("other"), a shard, an image file, a file too many ("extra").
        where: POSIX path, under the root or the raw folder.
        found, expected: what is there and what should be.
    """

    kind: Kind
    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        """Return the finding as a sentence, without what to do."""
        return f"{self.where}: {self.found}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of looking at some files.

    Attributes:
        findings: what is wrong with them.
        files: how many were read.
        images: how many images they hold.
        size: of the files, bytes.
    """

    findings: tuple[Finding, ...] = ()
    files: int = 0
    images: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class ShardClaim:
    """What a manifest says of one shard.

    Attributes:
        name: file under shards/.
        seal: the digest that the footer names; empty where it names none.
        rows: how many.
        digest: of the rows, see `rows_digest`.
    """

    name: str
    seal: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class FileClaim:
    """What a manifest says of one file: its POSIX path under the folder, and the sha256 of its bytes, hex."""

    path: str
    sha256: str


def check_manifest(path: AnyPath, where: str) -> seal.Seal | Finding:
    """Return a manifest's seal, or what is wrong with its bytes: it must be there, and its seal unbroken."""
    try:
        with fetched(path) as file:
            found = seal.examine(file)
    except FileNotFoundError:
        return Finding("manifest", where, "missing", "the manifest")
    except OSError as error:
        return Finding("manifest", where, f"cannot be read ({error.strerror})", "the manifest")
    return found if found.whole else Finding("manifest", where, _broken(found), "the bytes that its seal was made of")


def _broken(found: seal.Seal) -> str:
    if found.claimed is None:
        return f"{found.size:,} bytes that end in no seal: cut off, changed, or not written by this version"
    return f"bytes were changed: its seal says {found.claimed[:12]}, the bytes say {found.found[:12]}"


def tables_of(schema: Schema[Any], path: AnyPath) -> Iterator[pa.Table]:
    """Yield a manifest's rows, checked, some at a time, so that a long manifest fills no memory.

    Raises:
        ManifestError: where the manifest breaks its schema, or unfolds to more than its size explains.
    """
    store.require(store.read_footer(path), schema, path)
    local = at_hand(path)
    schema.check_columns(pq.read_schema(local), where=str(path))
    try:
        with bounds.opened(path, local) as bounded:
            for batch in bounded.file.iter_batches(ROWS_AT_ONCE):
                table = bounded.plain_table(batch)
                schema.check(table, where=str(path))
                yield table.cast(schema.arrow)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); run the stage that writes it again") from error


def by_shard(tables: Iterator[pa.Table]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each shard, which lie together in a manifest."""
    name: str | None = None
    parts: list[pa.Table] = []
    for table in tables:
        if not len(table):
            continue
        shards = table.column("shard").combine_chunks()
        starts = _starts(shards)
        for first, last in zip(starts, [*starts[1:], len(table)], strict=True):
            of_part = shards[first].as_py()
            if of_part != name and parts:
                yield str(name), pa.concat_tables(parts)
                parts = []
            name = of_part
            parts.append(table.slice(first, last - first))
    if parts:
        yield str(name), pa.concat_tables(parts)


def _starts(shards: pa.Array) -> list[int]:
    codes = shards.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist()]


def rows_digest(table: pa.Table) -> str:
    """Return a digest of a table's values, the same however its buffers lie in memory; of columns without lists."""
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        array = column.combine_chunks()
        digest.update(f"{name}/{array.type}/{len(array)}/".encode())
        digest.update(np.packbits(array.is_null().to_numpy(zero_copy_only=False)).tobytes())
        present = array.drop_null()
        if pa.types.is_string(present.type):
            digest.update(np.asarray(pc.binary_length(present)).astype("<i4").tobytes())
            digest.update("".join(present.to_pylist()).encode())
        else:
            digest.update(np.asarray(present.to_numpy(zero_copy_only=False)).tobytes())
    return digest.hexdigest()


def check_shard(claim: ShardClaim, *, folder: AnyPath, where: str, schema: Schema[Any], look: Look) -> Checked:
    """Read a shard, all of it, and return what differs from what the manifest claims.

    Args:
        claim: the manifest's.
        folder: of the stage.
        where: the same, under the root, for the findings.
        schema: of its rows.
        look: judges an encoded image.
    """
    path, place = folder / SHARDS / claim.name, f"{where}/{SHARDS}/{claim.name}"
    try:
        with fetched(path) as file:
            return _check_shard(file, claim, place=place, schema=schema, look=look)
    except FileNotFoundError:
        return Checked((Finding("shard", place, "missing", f"a shard of {claim.rows:,} images"),))
    except OSError as error:
        return Checked((Finding("shard", place, f"cannot be read ({error.strerror})", "a shard"),))


def _check_shard(file: Path, claim: ShardClaim, *, place: str, schema: Schema[Any], look: Look) -> Checked:
    sealed = seal.examine(file)
    if not sealed.whole:
        finding = Finding("shard", place, _broken(sealed), "the bytes that its seal was made of")
        return Checked((finding,), files=1, size=sealed.size)
    findings: list[Finding] = []
    if sealed.found != claim.seal:
        told = f"seal {claim.seal[:12]}, as the manifest's footer says" if claim.seal else "a seal in the footer"
        findings.append(Finding("shard", place, f"a whole shard, but another one (seal {sealed.found[:12]})", told))
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:  # a shard that was sealed so
        finding = Finding("shard", place, f"no shard ({error})", f"a shard of {claim.rows:,} images")
        return Checked((*findings, finding), files=1, size=sealed.size)
    if problem := _shard_problem(table, claim, schema, look):
        findings.append(Finding(problem[0], place, *problem[1:]))
    return Checked(tuple(findings), files=1, images=len(table), size=sealed.size)


Problem = tuple[Kind, str, str]  # kind, found, expected


def _shard_problem(table: pa.Table, claim: ShardClaim, schema: Schema[Any], look: Look) -> Problem | None:
    """Return what is wrong with a shard's columns, images and rows, the first thing that is."""
    if table.column_names != [IMAGE.name, *schema.arrow.names]:
        return "shard", f"the columns {table.column_names}", f"image and those of {schema.name}"
    if table.schema.types != [IMAGE.type, *schema.arrow.types]:
        return "shard", "columns of other types", f"the types of image and of {schema.name}"
    rows = table.select(schema.arrow.names).replace_schema_metadata(None).cast(schema.arrow)
    if problem := _image_problem(table.column(IMAGE.name).combine_chunks(), rows, look):
        return problem
    if rows_digest(rows) != claim.digest:
        return "shard", f"{len(rows):,} rows that are not the manifest's", f"the manifest's {claim.rows:,} rows"
    return None


def _image_problem(images: pa.StructArray, rows: pa.Table, look: Look) -> Problem | None:
    """Return what is wrong with the first image that is not as its row says."""
    told = zip(*(rows.column(name).to_pylist() for name in IMAGE_COLUMNS), strict=True)
    for index, (path, sha256, size) in enumerate(told):
        data = memoryview(images.field("bytes")[index].as_buffer() or b"")
        digest = hashlib.sha256(data).hexdigest()
        if (digest, len(data)) != (sha256, size):
            return "shard", f"row {index}: {len(data):,} bytes of sha256 {digest[:12]}", f"{size:,} of {sha256[:12]}"
        if images.field("path")[index].as_py() != path:
            return "shard", f"row {index}: image.path {images.field('path')[index].as_py()}", path
        if wrong := look(bytes(data)):
            return "shard", f"row {index} ({path}): {wrong}", "an image of the set's frame"
    return None


def check_files(claims: Sequence[FileClaim], *, folder: AnyPath, where: str, kind: Kind, look: Look | None) -> Checked:
    """Read files and return what differs from what their rows claim; `look` judges an encoded image."""
    findings, files, size = [], 0, 0
    for claim in claims:
        place = f"{where}/{claim.path}"
        expected = f"the file of sha256 {claim.sha256[:12]}"
        try:
            data = source.read(folder / claim.path)
        except source.SourceError as error:
            why = "missing" if error.status == "missing" else f"cannot be read ({error})"
            findings.append(Finding(kind, place, why, expected))
            continue
        files, size = files + 1, size + len(data)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != claim.sha256:
            findings.append(Finding(kind, place, f"{len(data):,} bytes of sha256 {sha256[:12]}", expected))
        elif look is not None and (wrong := look(data)):
            findings.append(Finding(kind, place, wrong, "an image of the set's frame"))
    return Checked(tuple(findings), files=files, images=files if look is not None else 0, size=size)


def extra_files(folder: AnyPath, claimed: set[str], where: str) -> list[Finding]:
    """Return the files under a folder that no row claims.

    Args:
        folder: to look through.
        claimed: POSIX paths under it that belong there.
        where: the folder, under the root, for the findings.
    """
    found = sorted(files_in(folder), key=lambda name: name.split("/"))
    return [_extra(name, where) for name in found if name not in claimed and not name.endswith(".gitignore")]


def _extra(name: str, where: str) -> Finding:
    if name.endswith(".partial"):
        return Finding("extra", f"{where}/{name}", "left behind by a run that was killed", "no such file")
    return Finding("extra", f"{where}/{name}", "a file that no row claims", "no such file")
