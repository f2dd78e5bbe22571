"""Manifests on disk: Parquet, written aside and renamed, checked on write and on read."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.columns import ManifestError, Schema

Row = TypeVar("Row")

MANIFEST = "manifest.parquet"
FOOTER_KEY = b"cxr_pipeline"
TOOL_VERSION = importlib.metadata.version("cxr-pipeline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What a manifest says of itself as a whole.

    Attributes:
        schema: name of the row class.
        schema_version: version of its columns.
        tool_version: version of cxr-pipeline that wrote the manifest.
        params: the stage's parameters.
        sources: sha256 of each manifest this one was made from, by its path under the root.
        facts: what holds for every row, such as the classes in the order of `label_index`.
    """

    schema: str = ""
    schema_version: int = 0
    tool_version: str = TOOL_VERSION
    params: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; on success its bytes are flushed and it takes the name of `path`.

    A reader sees the old file or the new one, never a part: rename is atomic within a folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all."""
    with written_aside(path) as aside:
        aside.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Put `value` at `path` as indented JSON; NaN is refused, since no JSON reader knows it."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(rows: Sequence[Row] | pa.Table, schema: Schema[Row], path: Path, footer: Footer) -> None:
    """Write rows, or a table of their columns, as the manifest at `path`.

    Raises:
        ManifestError: where a value breaks the schema; nothing is written then.
    """
    if isinstance(rows, pa.Table):
        table = rows
        schema.check(table, where=str(path))
    else:
        table = schema.table(rows)
    stamped = {**asdict(footer), "schema": schema.name, "schema_version": schema.version}
    metadata = {FOOTER_KEY: json.dumps(stamped, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()}
    with written_aside(path) as aside:
        pq.write_table(table.replace_schema_metadata(metadata), aside, compression="zstd")


def read_table(schema: Schema[Row], path: Path) -> pa.Table:
    """Return the manifest at `path` as a checked Arrow table.

    Raises:
        ManifestError: where the file is missing, is no manifest of this schema, or breaks it.
    """
    footer = read_footer(path)
    if (footer.schema, footer.schema_version) != (schema.name, schema.version):
        raise ManifestError(
            f"{path}: holds {footer.schema or 'no'} rows of version {footer.schema_version}; "
            f"expected {schema.name} of version {schema.version}; run the stage that writes it again"
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); run the stage that writes it again") from error
    schema.check(table, where=str(path))
    return table


def read(schema: Schema[Row], path: Path) -> list[Row]:
    """Return the rows of the manifest at `path`.

    Raises:
        ManifestError: as `read_table` does.
    """
    return schema.rows(read_table(schema, path))


def read_footer(path: Path) -> Footer:
    """Return what the manifest at `path` says of itself.

    Raises:
        ManifestError: where the file is missing, is not Parquet, or has a footer of another kind.
    """
    if not path.exists():
        raise ManifestError(f"{path}: not found; run the stage that writes it first")
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise ManifestError(f"{path}: not a Parquet file ({error}); run the stage that writes it again") from error
    try:
        return Footer(**json.loads(metadata.get(FOOTER_KEY, b"{}")))
    except (ValueError, TypeError) as error:
        raise ManifestError(f"{path}: its footer is not ours ({error}); run the stage that writes it again") from error
