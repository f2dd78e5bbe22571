"""A Hugging Face folder: Parquet files of Image and ClassLabel features, by split, for `load_dataset(folder)`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from manifests.shards import IMAGE, rows_per_group
from manifests.store import file_sha256, flush
from stages.contract import Machine, Made
from stages.exporting.dealing import OfSplit
from stages.exporting.origin import Origin, Part, images_of, in_columns_of, order_keys, rows_of
from stages.exporting.published import naming
from stages.exporting.survey import Survey
from stages.memory import give_back

SPLIT_NAMES: Mapping[str, str] = {"val": "validation"}  # as Hugging Face calls it; the others keep their names
LEFT_OUT = ("label", "label_index", "status", "reason", "shard", "index")  # said by `label`, or true of no file here
LABEL = pa.field("label", pa.int64())


@dataclass(frozen=True, slots=True)
class FileJob:
    """A file, and whose images make it.

    Attributes:
        name: of the file under `data/`.
        takes: parts, and of each the numbers of its rows.
    """

    name: str
    takes: tuple[tuple[Part, NDArray[np.int64]], ...]


def schema_of(origins: Sequence[Origin], classes: Sequence[str]) -> pa.Schema:
    """Return the columns of every file, and the features by which `datasets` reads them."""
    told = {field.name: field for origin in origins for field in origin.schema.arrow if field.name not in LEFT_OUT}
    fields = [IMAGE, LABEL, *(field.with_nullable(True) for field in told.values())]
    features: dict[str, Any] = {field.name: feature_of(field, classes) for field in fields}
    return pa.schema(fields, metadata={b"huggingface": json.dumps({"info": {"features": features}}).encode()})


def feature_of(field: pa.Field, classes: Sequence[str]) -> dict[str, Any]:
    """Return what `datasets` calls a column's feature."""
    if field.name == IMAGE.name:
        return {"_type": "Image"}
    if field.name == LABEL.name:
        return {"names": list(classes), "_type": "ClassLabel"}
    return {"dtype": dtype_of(field), "_type": "Value"}


def dtype_of(field: pa.Field) -> str:
    """Return what `datasets` calls a column's type."""
    return str(field.type).replace("double", "float64")


def names_of_files(plan: Sequence[OfSplit]) -> list[str]:
    """Return the names of all files, split by split."""
    return [
        f"{SPLIT_NAMES.get(of_split.split, of_split.split)}-{number:05d}-of-{len(of_split):05d}.parquet"
        for of_split in plan
        for number in range(len(of_split))
    ]


def write_one(job: FileJob, *, folder: Path, schema: pa.Schema, seed: int) -> dict[str, object]:
    """Write a file of images, shuffled within it, and return how many it holds, its size and digest.

    Raises:
        StageError: where an image is not what its row says.
        OSError: where the disk is full.
    """
    tables, images, keys = [], [], []
    for part, numbers in job.takes:
        rows = rows_of(part)[0].take(pa.array(numbers))
        of_part = dict(images_of(part, rows))
        images += [of_part[number] for number in range(len(rows))]
        keys.append(order_keys(rows, seed))
        tables.append(columns_of(rows, schema))
    order = np.argsort(np.concatenate(keys), kind="stable")
    table = pa.concat_tables(tables).take(pa.array(order))
    path = folder / "data" / job.name
    with naming(path):
        _write(path, table, [images[number] for number in order], schema)
        flush(path)
    del images, of_part
    give_back()  # or the next file's images come to lie beside the room that these have left
    return {"samples": len(order), "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def columns_of(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows in the columns of the files, but for the images; the label is the class's index there."""
    at = rows.schema.get_field_index(LABEL.name)
    labelled = rows.set_column(at, LABEL.name, rows.column("label_index"))
    return in_columns_of(pa.schema([field for field in schema if field.name != IMAGE.name]), labelled)


def _write(path: Path, table: pa.Table, images: Sequence[bytes], schema: pa.Schema) -> None:
    """Write a row group at a time: of the images, one group's are in memory twice."""
    step = rows_per_group(images)
    compression = {"image.bytes": "none", "image.path": "zstd", **dict.fromkeys(table.column_names, "zstd")}
    with pq.ParquetWriter(
        path,
        schema,
        compression=compression,
        use_dictionary=[name for name in table.column_names if name != "sha256"],
        write_statistics=[name for name in table.column_names if name != "sha256"],
    ) as writer:
        for start in range(0, len(images), step):
            rows = table.slice(start, step).combine_chunks()
            encoded = [pa.array(images[start : start + step], pa.binary()), rows.column("path").combine_chunks()]
            image = pa.StructArray.from_arrays(encoded, fields=list(IMAGE.type))
            writer.write_table(rows.add_column(0, IMAGE, image).cast(schema), row_group_size=step)


def write(
    folder: Path,
    parts: Sequence[Part],
    survey: Survey,
    plan: Sequence[OfSplit],
    machine: Machine,
    *,
    schema: pa.Schema,
    seed: int,
) -> dict[str, dict[str, object]]:
    """Write the files and return samples, bytes and digest of each, by its path under the folder."""
    (folder / "data").mkdir()
    names = names_of_files(plan)
    chosen = [images for of_split in plan for images in of_split.files()]
    firsts = np.cumsum(survey.of_parts) - survey.of_parts

    def made(number: int) -> FileJob:
        return FileJob(names[number], tuple(_takes(chosen[number], parts, firsts)))

    done = machine.fan_out(
        partial(write_one, folder=folder, schema=schema, seed=seed),
        Made(made, len(names)),
        unit="images",
        weigh=lambda job: sum(len(numbers) for _, numbers in job.takes),
        total=len(survey),
    )
    return {f"data/{name}": told for name, told in zip(names, done, strict=True)}


def _takes(
    images: NDArray[np.int64], parts: Sequence[Part], firsts: NDArray[np.int64]
) -> Iterator[tuple[Part, NDArray[np.int64]]]:
    """Yield the parts that hold some images, in order, with the numbers that their rows have there."""
    of_part = np.searchsorted(firsts, images, side="right") - 1
    for part in np.unique(of_part):
        yield parts[part], images[of_part == part] - firsts[part]
