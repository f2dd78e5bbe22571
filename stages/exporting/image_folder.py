"""An ImageFolder tree, split/class/name, with the rows of all its images beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from manifests.store import file_sha256
from stages.contract import Machine
from stages.exporting.origin import Origin, Part, images_of, in_columns_of, rows_of
from stages.exporting.published import naming
from stages.exporting.survey import Survey
from stages.folder import label_folder

ROWS = "manifest.parquet"
ROWS_CSV = "manifest.csv"
ELSEWHERE = ("shard", "index")  # columns that say where an image lies in the set, not here
FORMULA_STARTS = r"^[=+\-@\t\r]"  # what spreadsheets take for a formula
MAY_BEGIN_SO = ("label", "group_id")  # columns whose texts are the user's own


def schema_of(origins: Sequence[Origin]) -> pa.Schema:
    """Return the columns of the rows beside the images."""
    told = {field.name: field for origin in origins for field in origin.schema.arrow if field.name not in ELSEWHERE}
    return pa.schema([field.with_nullable(True) for field in told.values()])


def folders_of(splits: Iterable[str], classes: Sequence[str]) -> list[str]:
    """Return the folder of every class in every split.

    A split that lacks a class gets its folder all the same: `ImageFolder` numbers the folders that it finds, and
    would give the classes other numbers there without a word. An empty folder it refuses, unless it is told
    `allow_empty=True`, and then the numbers are those of the other splits.
    """
    return [f"{split}/{label_folder(name)}" for split in splits for name in classes]


def write_one(job: tuple[Part, int], *, folder: Path) -> pa.Table:
    """Write the images of a part and return their rows.

    Args:
        job: the part, and how many images it has, by which the job is weighed.
        folder: of the export.

    Raises:
        StageError: where an image is not what its row says.
        OSError: where the disk is full.
    """
    part, _ = job
    rows, _ = rows_of(part)
    paths = rows.column("path").to_pylist()
    for number, data in images_of(part, rows):
        write_file(folder / paths[number], data)
    return rows


def write_file(path: Path, data: bytes) -> None:
    """Write a file that is not there yet; nobody sees it before the whole folder is published."""
    with naming(path), path.open("xb", buffering=0) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


def whole_one(part: Part, *, folder: Path) -> bool:
    """Return whether a part's images lie in a folder that was exported earlier, every byte as its row says."""
    rows, _ = rows_of(part)
    told = zip(*(rows.column(name).to_pylist() for name in ("path", "encoded_bytes", "sha256")), strict=True)
    return all(_is(folder / path, size, sha256) for path, size, sha256 in told)


def _is(path: Path, size: int, sha256: str) -> bool:
    """Return whether a file is there and has these bytes."""
    try:
        return path.stat().st_size == size and file_sha256(path) == sha256
    except OSError:
        return False


def write(
    folder: Path, parts: Sequence[Part], survey: Survey, machine: Machine, *, schema: pa.Schema, folders: Sequence[str]
) -> dict[str, dict[str, object]]:
    """Write the tree and the rows, and return samples, bytes and digest of the files of rows, by name."""
    for name in folders:
        (folder / name).mkdir(parents=True)
    jobs = [(part, images) for part, images in zip(parts, survey.of_parts.tolist(), strict=True) if images]
    tables = machine.fan_out(
        partial(write_one, folder=folder),
        jobs,
        unit="images",
        weigh=itemgetter(1),
        total=len(survey),
    )
    with rows_beside(folder, schema) as beside:
        for table in tables:
            beside(table)
    os.sync()  # of a hundred thousand files, once: to wait for each would take the disk many minutes
    return {
        name: {"samples": len(survey), "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for name in (ROWS, ROWS_CSV)
        for path in [folder / name]
    }


@contextmanager
def rows_beside(folder: Path, schema: pa.Schema) -> Iterator[Any]:
    """Yield what appends rows to the Parquet file and the CSV, part by part."""
    with (
        naming(folder / ROWS),
        pq.ParquetWriter(folder / ROWS, schema, compression="zstd") as parquet,
        pa.csv.CSVWriter(folder / ROWS_CSV, schema) as text,
    ):

        def append(rows: pa.Table) -> None:
            table = in_columns_of(schema, rows)
            parquet.write_table(table)
            text.write_table(harmless(table))

        yield append


def harmless(table: pa.Table) -> pa.Table:
    """Return rows with an apostrophe before a class or patient that a spreadsheet would take for a formula."""
    for name in MAY_BEGIN_SO:
        column = table.column(name)
        quoted = pc.binary_join_element_wise("'", column, "")
        chosen = pc.if_else(pc.match_substring_regex(column, FORMULA_STARTS), quoted, column)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), chosen)
    return table
