"""Manifests of strangers: what a small file would unfold to is counted before it is read, so that memory is bounded.

Parquet packs a column of two gigabytes of zeros into some kilobytes, and a text of a megabyte that a million rows
share into one. So all bounds grow with the file, and are far above what our own manifests need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.checks import ManifestError
from manifests.places import AnyPath, at_hand
from manifests.seal import MAGIC

MOST_FOOTER_BYTES = 16_000_000  # ours have some thousands
FLOOR = 64_000_000  # bytes that any manifest may unfold to
RATIO = 100  # bytes for each of the file's; ours unfold to 3 to 20
FLOOR_ROWS = 100_000  # rows that any manifest may have, beside one for each of the file's bytes
NO_STAGES = "no stage wrote it; run the stage that should again"

Values = TypeVar("Values", pa.Array, pa.ChunkedArray)


def refuse_vast_footer(path: AnyPath) -> None:
    """Refuse a file whose footer would take more memory than any manifest's.

    Raises:
        ManifestError: where it has more than MOST_FOOTER_BYTES; whatever else is wrong is Parquet's to say.
        OSError: where the file cannot be read.
    """
    _refuse_vast_footer(at_hand(path), path)


def _refuse_vast_footer(local: Path, path: AnyPath) -> None:
    if not local.is_file():  # reading a pipe would wait for ever
        raise ManifestError(f"{path}: is no plain file; run the stage that writes it again")
    with local.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    found = int.from_bytes(tail[:4], "little")
    if tail[4:] == MAGIC and found > MOST_FOOTER_BYTES:
        raise ManifestError(
            f"{path}: its footer has {found:,} bytes; expected at most {MOST_FOOTER_BYTES:,}; {NO_STAGES}"
        )


@dataclass(slots=True)
class Bounded:
    """A Parquet file whose texts come as dictionaries: what many rows share is in memory once, until it is `plain`.

    Attributes:
        path: what errors name.
        file: the open file.
        file_bytes: its size, which decides how far it may unfold.
        text_bytes: what the texts made plain so far have unfolded to.
    """

    path: AnyPath
    file: pq.ParquetFile
    file_bytes: int
    text_bytes: int = field(default=0, init=False)

    def plain(self, column: Values) -> Values:
        """Return a column of the file with its texts plain, each row having its own.

        Raises:
            ManifestError: where the file's texts so far would unfold beyond bounds.
        """
        self.text_bytes += _text_bytes(column)
        self.refuse_beyond(self.text_bytes)
        return column.cast(_plain_type(column.type))

    def plain_table(self, found: pa.Table | pa.RecordBatch) -> pa.Table:
        """Return some rows of the file as a table without metadata, their texts plain.

        Raises:
            ManifestError: as `plain` does.
        """
        columns = [self.plain(column) for column in found.columns]
        fields = [
            pa.field(each.name, column.type, each.nullable) for each, column in zip(found.schema, columns, strict=True)
        ]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    def refuse_beyond(self, unfolded_bytes: int) -> None:
        """Refuse to unfold the file to so many bytes where its size does not explain them.

        Raises:
            ManifestError: where it does not.
        """
        if unfolded_bytes > (most := FLOOR + RATIO * self.file_bytes):
            raise ManifestError(
                f"{self.path}: {self.file_bytes:,} bytes unfold to {unfolded_bytes:,}; expected {most:,} at most; "
                f"{NO_STAGES}"
            )


@contextmanager
def opened(path: AnyPath, local: Path | None = None) -> Iterator[Bounded]:
    """Yield the Parquet file at `path`, which says of itself that it unfolds within bounds.

    Args:
        path: where it lies, for the errors.
        local: the same at hand, where the caller has asked for that: of an object, each asking is a request.

    Raises:
        ManifestError: where it says that it unfolds beyond them.
    """
    local = at_hand(path) if local is None else local
    _refuse_vast_footer(local, path)
    metadata = pq.read_metadata(local)
    texts = _text_columns(metadata)
    # pre_buffer=False, or Arrow would keep all of the file in memory
    with pq.ParquetFile(local, metadata=metadata, read_dictionary=texts, pre_buffer=False) as file:
        size = local.stat().st_size
        if metadata.num_rows > (most := FLOOR_ROWS + size):
            raise ManifestError(
                f"{path}: {size:,} bytes hold {metadata.num_rows:,} rows; expected {most:,} at most; {NO_STAGES}"
            )
        bounded = Bounded(path, file, size)
        bounded.refuse_beyond(sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups)))
        yield bounded


def columns(path: AnyPath, names: Sequence[str]) -> Iterator[pa.Array]:
    """Yield some columns of the Parquet file at `path`, each whole, texts plain; one at a time is in memory twice.

    Raises:
        ManifestError: where the file says that it unfolds beyond bounds, or the texts of its columns so far do.
    """
    with opened(path) as bounded:
        for name in names:
            column = bounded.file.read(columns=[name], use_threads=False).column(0)
            yield bounded.plain(column).combine_chunks()


def _text_columns(metadata: pq.FileMetaData) -> list[str]:
    """Return the paths of the columns that hold texts, those within lists among them."""
    found = (metadata.schema.column(number) for number in range(metadata.num_columns))
    return [column.path for column in found if column.logical_type.type == "STRING"]


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column without dictionaries."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_list(kind) and pa.types.is_dictionary(kind.value_type):
        return pa.list_(kind.value_type.value_type)
    return kind


def _text_bytes(column: pa.Array | pa.ChunkedArray) -> int:
    """Return how many bytes a column's texts have when each row has its own."""
    if pa.types.is_list(column.type):
        return _text_bytes(pc.list_flatten(column))
    if not pa.types.is_dictionary(column.type):
        return 0
    return sum(
        pc.sum(pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)).as_py() or 0
        for chunk in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])
    )
