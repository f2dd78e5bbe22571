"""Manifests of strangers: what a small file would unfold to is counted before it is read, so that memory is bounded.

Parquet packs a column of two gigabytes of zeros into some kilobytes, and a text of a megabyte that a million rows
share into one. So all bounds grow with the file, and are far above what our own manifests need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.checks import ManifestError
from manifests.places import AnyPath, at_hand

MOST_FOOTER_BYTES = 16_000_000  # ours have some thousands
FLOOR = 64_000_000  # bytes that any manifest may unfold to
RATIO = 100  # bytes for each of the file's; ours unfold to 3 to 20
FLOOR_ROWS = 100_000  # rows that any manifest may have, beside one for each of the file's bytes
MAGIC = b"PAR1"


def refuse_vast_footer(path: AnyPath) -> None:
    """Refuse a file whose footer would take more memory than any manifest's.

    Raises:
        ManifestError: where it has more than MOST_FOOTER_BYTES; whatever else is wrong is Parquet's to say.
        OSError: where the file cannot be read.
    """
    local = at_hand(path)
    if not local.is_file():  # reading a pipe would wait for ever
        raise ManifestError(f"{path}: is no plain file; run the stage that writes it again")
    with local.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    found = int.from_bytes(tail[:4], "little")
    if tail[4:] == MAGIC and found > MOST_FOOTER_BYTES:
        raise ManifestError(f"{path}: its footer has {found:,} bytes; expected at most {MOST_FOOTER_BYTES:,}")


@contextmanager
def opened(path: AnyPath) -> Iterator[pq.ParquetFile]:
    """Yield the Parquet file at `path`, which says of itself that it unfolds within bounds; texts as dictionaries.

    Raises:
        ManifestError: where it says that it unfolds beyond them.
    """
    refuse_vast_footer(path)
    local = at_hand(path)
    schema = pq.read_schema(local)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    with pq.ParquetFile(local, read_dictionary=texts) as file:
        size = local.stat().st_size
        if file.metadata.num_rows > (most := FLOOR_ROWS + size):
            raise ManifestError(
                f"{path}: {size:,} bytes hold {file.metadata.num_rows:,} rows; expected {most:,} at most"
            )
        groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
        _refuse_beyond(sum(group.total_byte_size for group in groups), size, path)
        yield file


def columns(path: AnyPath, names: Sequence[str]) -> Iterator[pa.Array]:
    """Yield some columns of the Parquet file at `path`, each whole, texts plain; one at a time is in memory twice.

    Raises:
        ManifestError: where the file says that it unfolds beyond bounds, or the texts of its columns so far do.
    """
    size, texts = at_hand(path).stat().st_size, 0
    with opened(path) as file:
        for name in names:
            column = file.read(columns=[name], use_threads=False).column(0)
            texts += _text_bytes(column)
            _refuse_beyond(texts, size, path)
            plain = pa.string() if pa.types.is_dictionary(column.type) else column.type
            yield column.cast(plain).combine_chunks()


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Return how many bytes a column's texts have when each row has its own."""
    if not pa.types.is_dictionary(column.type):
        return 0
    return sum(
        pc.sum(pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)).as_py() or 0
        for chunk in column.chunks
    )


def _refuse_beyond(unfolded_bytes: int, size: int, path: AnyPath) -> None:
    if unfolded_bytes > (most := FLOOR + RATIO * size):
        raise ManifestError(
            f"{path}: {size:,} bytes unfold to {unfolded_bytes:,}; expected {most:,} at most; no stage wrote it"
        )
