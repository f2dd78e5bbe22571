"""Manifests on disk: Parquet, written aside and renamed, checked on write and on read."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests import bounds
from manifests.checks import ManifestError, not_found
from manifests.columns import Schema
from manifests.footers import refuse_odd
from manifests.objects import ObjectPath
from manifests.places import AnyPath, at_hand, pinned, put_when_done
from manifests.row_groups import ROWS_PER_GROUP, row_groups
from manifests.seal import UNSEALED, seal

Row = TypeVar("Row")

MANIFEST = "manifest.parquet"
FOOTER_KEY = b"cxr_pipeline"
SPARE_KEY = b"cxr_pipeline_spare"  # the footer again, without the shards' seals: read where the first one is spoilt
PARTIAL = re.compile(r"\..+\.\d+\.partial")  # what `written_aside` and `stages/ahead.py` call what is unfinished
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
        recipes: the parameters of every stage before this one, by its name.
        versions: of all beside parameters and films that decides an image's bytes: the codecs, and our own.
        files: the seal of each shard, by its name (see `manifests/seal.py`).
    """

    schema: str = ""
    schema_version: int = 0
    tool_version: str = TOOL_VERSION
    params: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    recipes: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def recipes_with(self, stage: str) -> dict[str, Any]:
        """Return the parameters of the stage that wrote this manifest, and of every stage before it."""
        return {**self.recipes, stage: self.params}


@contextmanager
def written_aside(path: AnyPath, *, flushed: bool = True) -> Iterator[Path]:
    """Yield a path beside `path`; on success its bytes are flushed and it takes the name of `path`.

    A reader sees the old file or the new one, never a part: rename is atomic within a folder. An object is written
    on this machine and put into its store at the end, which is atomic too.

    Args:
        path: where the file shall lie.
        flushed: whether to wait for the disk; if not, whoever claims the file must (`flush`).

    Raises:
        OSError: where the disk is full or the folder may not be written; it names `path`, as Arrow's own does not.
    """
    if isinstance(path, ObjectPath):
        with put_when_done(path) as aside:
            yield aside
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # two machines may have a process of one number, and a job that was thought lost may go on beside its second try
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.randbelow(10**9)}.partial")
    try:
        yield aside
        if flushed:
            flush(aside)
        aside.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def flush(path: AnyPath) -> None:
    """Wait until the disk has a file's bytes: after a loss of power they are there. A store has an object's at once."""
    if isinstance(path, ObjectPath):
        return
    with path.open("rb") as written:
        os.fsync(written.fileno())


def remove_partials(path: AnyPath) -> None:
    """Delete what killed runs left unfinished at or under a path that runs write: files, and folders of them; uploads.

    Only for whoever holds the root's lock: to a run that lives, its unfinished files are no rubbish.
    """
    if isinstance(path, ObjectPath):
        path.abort_uploads()
        return
    if path.is_dir():
        found = [Path(under, name) for under, folders, files in os.walk(path) for name in (*folders, *files)]
    else:
        found = list(path.parent.glob(".*"))
    for unfinished in [each for each in found if PARTIAL.fullmatch(each.name)]:
        if unfinished.is_dir() and not unfinished.is_symlink():
            rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)


def write_bytes(path: AnyPath, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all."""
    with written_aside(path) as aside:
        aside.write_bytes(data)


def write_json(path: AnyPath, value: Any) -> None:
    """Put `value` at `path` as indented JSON; NaN is refused, since no JSON reader knows it."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def file_sha256(path: AnyPath) -> str:
    """Return the sha256 of a file's bytes, hex."""
    with at_hand(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(rows: Sequence[Row] | pa.Table, schema: Schema[Row], path: AnyPath, footer: Footer) -> None:
    """Write rows, or a table of their columns, as the manifest at `path`.

    Raises:
        ManifestError: where a value breaks the schema; nothing is written then.
    """
    write_tables([rows if isinstance(rows, pa.Table) else schema.table(rows)], schema, path, lambda: footer)


def write_tables(tables: Iterable[pa.Table], schema: Schema[Any], path: AnyPath, footer: Callable[[], Footer]) -> None:
    """Write tables of rows, one after the other, as the manifest at `path`: memory holds a row group and no more.

    How the rows are divided among the tables leaves no trace in the file.

    Args:
        tables: asked for one by one, once what came before is on its way to the disk.
        schema: of all of them.
        path: the manifest's.
        footer: asked for when the last table has come.

    Raises:
        ManifestError: where a value breaks the schema; nothing is written then.
    """
    with written_aside(path) as aside:
        with pq.ParquetWriter(aside, schema.arrow, compression="zstd") as writer:
            for group in row_groups(tables, schema, path):
                writer.write_table(group, row_group_size=ROWS_PER_GROUP)
                del group  # or it would be there until the next is
            said = footer()
            spare = _footer_json(replace(said, files={}), schema)
            writer.add_key_value_metadata({FOOTER_KEY: _footer_json(said, schema), SPARE_KEY: spare, **UNSEALED})
        seal(aside)


def _footer_json(footer: Footer, schema: Schema[Any]) -> bytes:
    """Return a footer as a manifest holds it, stamped with the schema of its rows."""
    stamped = {**asdict(footer), "schema": schema.name, "schema_version": schema.version}
    return json.dumps(stamped, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def read_table(schema: Schema[Row], path: AnyPath) -> pa.Table:
    """Return the manifest at `path` as a checked Arrow table: the columns that are asked for, in one piece each.

    Raises:
        ManifestError: where the file is missing, is no manifest of this schema, or breaks it.
    """
    with _one_copy(path):
        footer = read_footer(path)
        require(footer, schema, path)
        schema.only().check_columns(pq.read_schema(at_hand(path)), where=str(path))  # before a column is read
        try:
            columns = [*bounds.columns(path, schema.arrow.names)]
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"{path}: cannot be read ({error}); run the stage that writes it again") from error
    table = pa.Table.from_arrays(columns, schema=schema.arrow)
    schema.check(table, where=str(path))
    _refuse_unknown_classes(table, footer, path)
    return table


def require(footer: Footer, schema: Schema[Any], path: AnyPath) -> None:
    """Refuse a manifest of another schema, or of another version of it.

    Raises:
        ManifestError: where the footer names one.
    """
    if (footer.schema, footer.schema_version) != (schema.name, schema.version):
        raise ManifestError(
            f"{path}: holds {footer.schema or 'no'} rows of version {footer.schema_version}; "
            f"expected {schema.name} of version {schema.version}; run the stage that writes it again"
        )


def _refuse_unknown_classes(table: pa.Table, footer: Footer, path: AnyPath) -> None:
    """Refuse a `label_index` that is none of the footer's classes: whoever looks it up would fail, or learn wrong."""
    classes = footer.facts.get("classes")
    if classes is None or "label_index" not in table.schema.names:
        return
    highest = pc.max(table.column("label_index")).as_py()
    if highest is not None and highest >= len(classes):
        raise ManifestError(
            f"{path}: column 'label_index' holds {highest}; expected one of the footer's {len(classes)} classes"
        )


def read(schema: Schema[Row], path: AnyPath) -> list[Row]:
    """Return the rows of the manifest at `path`.

    Raises:
        ManifestError: as `read_table` does.
    """
    return schema.rows(read_table(schema, path))


@contextmanager
def _one_copy(path: AnyPath) -> Iterator[None]:
    """Let all that is read of a manifest within be read of one copy, where it is an object.

    Raises:
        ManifestError: where it is missing.
    """
    try:
        with pinned(path):
            yield
    except FileNotFoundError as error:
        raise not_found(path) from error


def read_footer(path: AnyPath) -> Footer:
    """Return what the manifest at `path` says of itself.

    Raises:
        ManifestError: where the file is missing, is not Parquet, or has a footer of another kind.
    """
    with _one_copy(path):
        if not at_hand(path).exists():
            raise not_found(path)
        try:
            bounds.refuse_vast_footer(path)
            metadata = pq.read_metadata(at_hand(path)).metadata or {}
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"{path}: not a Parquet file ({error}); run the stage that writes it again") from error
    try:
        footer = Footer(**json.loads(metadata.get(FOOTER_KEY, b"{}")))
        refuse_odd(footer)
    except (ValueError, TypeError, RecursionError) as error:
        raise ManifestError(f"{path}: its footer is not ours ({error}); run the stage that writes it again") from error
    facts, params = (_Known(part, where=str(path)) for part in (footer.facts, footer.params))
    return replace(footer, facts=facts, params=params)


class _Known(dict[str, Any]):
    """A part of a footer, which a stage may ask by name: what it does not say is an error of the manifest."""

    def __init__(self, part: Any, where: str = "") -> None:
        super().__init__(part)
        self.where = where

    def __missing__(self, key: str) -> Any:
        raise ManifestError(f"{self.where}: its footer says nothing of '{key}'; run the stage that writes it again")
