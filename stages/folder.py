"""What the stages that write images share: names, keys of shards, and how a folder is published."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Literal, TypeVar

import pyarrow as pa

from manifests import store
from manifests.columns import Schema
from manifests.rows import FilmRow, ImageRow
from manifests.shards import SHARDS, ImageFolder
from stages.contract import Params, Root, StageError

Row = TypeVar("Row", bound=ImageRow)
Layout = Literal["shards", "folder"]

BYTES_VERSION = 1  # raised whenever the same parameters and films come to give other bytes
CODECS = ("numpy", "opencv-python-headless", "pillow")  # their versions may change bytes as well
UNSAFE = re.compile(r"[^\w.-]+")
LONGEST_NAME = 120  # bytes: leaves room for hash, copy and the suffix of an unfinished file within 255


def image_path(film: FilmRow, stem: str, suffix: str) -> str:
    """Return where a film's image lies, or would lie, in the folder layout: split/label/name.

    The start of the film's hash keeps films apart that have the same name in two raw folders.
    """
    folder = f"{film.split}/{label_folder(str(film.label))}"
    return f"{folder}/{safe(stem)}-{film.film_id[:12]}{suffix}"


def safe(name: str) -> str:
    """Return a name as every file system takes it: letters, digits, `_`, `-` and `.`, not too long."""
    cleaned = UNSAFE.sub("_", name).encode()[:LONGEST_NAME].decode(errors="ignore")
    return cleaned.strip(".") or "_"


def label_folder(label: str) -> str:
    """Return the folder of a class: its name, or a safe one that no other class has."""
    cleaned = safe(label)
    return cleaned if cleaned == label else f"{cleaned}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def refuse_stale(manifest: str, source: str, *, root: Root, stage: str) -> None:
    """Refuse a manifest that was made before one of its sources changed.

    Raises:
        StageError: where the source that lies there is not the one the manifest was made from.
    """
    if store.read_footer(root / manifest).sources.get(source) != store.file_sha256(root / source):
        raise StageError(f"{root / manifest}: was made from another {source}; run {stage} again")


def image_columns(
    film: FilmRow, *, path: str, encoded: bytes, stored_at: tuple[str | None, int | None]
) -> dict[str, Any]:
    """Return the columns that an image's row shares with every other's: whose it is, where it lies, its bytes.

    Args:
        film: the row of the film that the image was made from.
        path: the image's own.
        encoded: its bytes.
        stored_at: shard and index within it; None twice in the folder layout.
    """
    return {
        "film_id": film.film_id,
        "path": path,
        "label": film.label,
        "label_index": film.label_index,
        "group_id": film.group_id,
        "split": film.split,
        "status": "ok",
        "reason": None,
        "shard": stored_at[0],
        "index": stored_at[1],
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "encoded_bytes": len(encoded),
    }


def key_of(params: Params, films: Sequence[FilmRow]) -> Any:
    """Return all that decides a shard's bytes, as a JSON value: recipe, films, version of tool and codecs."""
    return {
        "bytes_version": BYTES_VERSION,
        "codecs": {name: version(name) for name in CODECS},
        "params": params.model_dump(mode="json"),
        "films": [[film.film_id, film.path, film.label, film.label_index, film.group_id, film.split] for film in films],
    }


def publish(folder: ImageFolder, tables: Sequence[pa.Table], schema: Schema[Row], footer: store.Footer) -> pa.Table:
    """Write the manifest of the jobs' rows, then delete what it does not claim; return the rows' table.

    In this order, a run that is killed between the two leaves files too many and none too few. The rows are in
    the order of the jobs, and so of the films' hashes; one chunk, so that kept shards and new ones give one file.
    """
    table = (pa.concat_tables(tables) if tables else schema.table([])).combine_chunks()
    store.write(table, schema, folder.manifest, footer)
    if folder.layout == "shards":
        keep = {f"{SHARDS}/{name}" for name in table.column("shard").unique().to_pylist()}
    else:
        keep = set(table.column("path").to_pylist())
    folder.remove_others(keep)
    return table
