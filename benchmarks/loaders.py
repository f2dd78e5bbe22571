"""A set read through other people's libraries, every pixel and label compared with our own reader; and its exports.

python benchmarks/loaders.py ROOT    a root on which the stages have run up to augment; writes ROOT/data/exports

Every image is read by our own reader first, then by `datasets`, DuckDB, pyarrow, torchvision, webdataset and torch, of
the shards and of each kind of export. How fast an export goes is told beside a bare copy of the shards' bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]  # started as a script, Python sees this folder alone

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import finish, stage_command
from manifests import store
from manifests.columns import Schema
from manifests.rows import NORMALIZED
from manifests.shards import ImageFolder
from stages import paths
from stages.drawn import AUGMENTED
from stages.films.codec import decode

Key = tuple[str, int]  # film, number of the copy; -1 for a normalized film
Known = dict[Key, tuple[NDArray[np.uint8], str]]  # pixels and class
Found = Iterator[tuple[Key, NDArray[np.uint8], str]]


def ours(root: Path) -> Known:
    """Return every image by our own reader: train from the augmented, all splits from the normalized."""
    known: Known = {}
    places: tuple[tuple[Schema[Any], str], ...] = (
        (AUGMENTED, paths.AUGMENTED_MANIFEST),
        (NORMALIZED, paths.NORMALIZED_MANIFEST),
    )
    for schema, place in places:
        folder = ImageFolder((root / place).parent, store.read_footer(root / place).params["layout"])
        rows = [row for row in store.read(schema, root / place) if row.status == "ok"]
        for row, data in folder.read_images(rows):
            known[row.film_id, getattr(row, "copy", -1)] = decode(data), str(row.label)
    return known


def key_of(row: dict[str, Any]) -> Key:
    """Return which image a row tells of."""
    copy = row.get("copy")
    return row["film_id"], -1 if copy is None else int(copy)


def by_datasets(root: Path) -> Found:
    """Yield the shards' images as `datasets` streams them."""
    import datasets

    for name in ("augmented", "normalized"):
        files = str(root / f"data/{name}/shards/*.parquet")
        for row in datasets.load_dataset("parquet", data_files=files, split="train", streaming=True):
            yield key_of(row), np.asarray(row["image"]), row["label"]


def by_duckdb(root: Path) -> Found:
    """Yield the shards' images as DuckDB finds them."""
    import duckdb

    for name, copy in (("augmented", "copy"), ("normalized", "-1")):
        files = root / f"data/{name}/shards/*.parquet"
        query = f"select film_id, {copy}, image.bytes, label from '{files}'"  # noqa: S608 - our own path
        found = duckdb.execute(query)
        while rows := found.fetchmany(500):
            for film, number, data, label in rows:
                yield (film, number), pillow(data), label


def by_pyarrow(root: Path) -> Found:
    """Yield the shards' images as pyarrow.dataset finds them."""
    import pyarrow.dataset

    for name in ("augmented", "normalized"):
        for batch in pyarrow.dataset.dataset(root / f"data/{name}/shards").to_batches():
            for row in batch.to_pylist():
                yield key_of(row), pillow(row["image"]["bytes"]), row["label"]


def by_image_folder(root: Path) -> Found:
    """Yield the images of the exported tree as torchvision's ImageFolder finds them."""
    import pyarrow.parquet as pq
    from torchvision.datasets import ImageFolder as Tree

    out = root / "data/exports/both-folder"
    rows = {row["path"]: row for row in pq.read_table(out / "manifest.parquet").to_pylist()}
    classes = json.loads((out / "export.json").read_text())["label_index_of_folder"]
    names = json.loads((out / "export.json").read_text())["classes"]
    for split in sorted({path.split("/")[0] for path in rows}):
        tree = Tree(str(out / split), allow_empty=True)
        for (path, _), (image, target) in zip(tree.samples, tree, strict=True):
            row = rows[Path(path).relative_to(out).as_posix()]
            yield key_of(row), np.asarray(image.convert("L")), names[classes[tree.classes[target]]]


def by_webdataset(root: Path) -> Found:
    """Yield the images of the exported tars as webdataset finds them."""
    import webdataset

    out = root / "data/exports/both-webdataset"
    index = json.loads((out / "export.json").read_text())
    for split in index["splits"].values():
        sets = webdataset.WebDataset(f"{out}/{split['urls']}", shardshuffle=False).decode("pil")
        for sample in sets:
            image = next(sample[ending] for ending in ("jpg", "png", "pgm") if ending in sample)
            yield key_of(sample["json"]), np.asarray(image.convert("L")), index["classes"][sample["cls"]]


def by_hugging_face(root: Path) -> Found:
    """Yield the images of the exported folder as `load_dataset(folder)` gives them."""
    import datasets

    for of_split in datasets.load_dataset(str(root / "data/exports/both-hf")).values():
        name = of_split.features["label"].int2str
        for row in of_split:
            yield key_of(row), np.asarray(row["image"]), name(row["label"])


def by_film_dataset(root: Path) -> Found:
    """Yield the images as our own Dataset gives them through DataLoader's workers."""
    import torch

    from stages.learning.dataset import FilmDataset

    for of, splits in (("augmented", ("train",)), ("normalized", ("train", "leak_probe", "val", "test"))):
        for split in splits:
            films = FilmDataset(root, of=of, split=split)  # type: ignore[arg-type]  # its words
            loader = torch.utils.data.DataLoader(films, batch_size=64, num_workers=2)
            keys = (key_of(films.row(number)) for number in range(len(films)))
            pairs = ((grey, int(label)) for batch in loader for grey, label in zip(*batch, strict=True))
            for key, (grey, label) in zip(keys, pairs, strict=True):
                yield key, grey[0].numpy(), films.classes[label]


READERS: dict[str, tuple[str, Callable[[Path], Found]]] = {
    "shards, datasets (streaming)": ("datasets", by_datasets),
    "shards, DuckDB": ("duckdb", by_duckdb),
    "shards, pyarrow.dataset": ("pyarrow", by_pyarrow),
    "export --to folder, ImageFolder": ("torchvision", by_image_folder),
    "export --to webdataset, webdataset": ("webdataset", by_webdataset),
    "export --to hf, load_dataset": ("datasets", by_hugging_face),
    "FilmDataset, DataLoader": ("torch", by_film_dataset),
}


def pillow(data: bytes) -> NDArray[np.uint8]:
    """Return an image's grey levels by another decoder than ours."""
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def compared(known: Known, found: Found) -> dict[str, int]:
    """Return how many images were found, and how many of them equal ours in pixels and label."""
    counts = {"images": 0, "pixels": 0, "labels": 0, "levels": 0}  # levels: the largest difference of a pixel
    seen: set[Key] = set()
    for key, pixels, label in found:
        mine, name = known[key]
        assert key not in seen, f"{key} comes twice"
        seen.add(key)
        counts["images"] += 1
        counts["pixels"] += bool(np.array_equal(pixels, mine))
        counts["levels"] = max(counts["levels"], int(np.abs(pixels.astype(int) - mine).max()))
        counts["labels"] += label == name
    return counts


def timed(root: Path, to: str, jobs: int) -> float:
    """Return the seconds that an export takes, the whole process."""
    shutil.rmtree(root / f"data/exports/both-{to}", ignore_errors=True)
    return finish([*stage_command("export", root, jobs=jobs), "--to", to]).wall_s


def bare(root: Path) -> tuple[float, int]:
    """Return the seconds that a bare copy of the shards takes, flushed file by file, and their bytes."""
    with tempfile.TemporaryDirectory(dir=root) as place:
        started = time.perf_counter()
        size = 0
        for path in sorted((root / "data").glob("*/shards/*.parquet")):
            copied = Path(place) / f"{path.parents[1].name}-{path.name}"
            shutil.copyfile(path, copied)
            with copied.open("rb") as file:
                os.fsync(file.fileno())
            size += path.stat().st_size
        return time.perf_counter() - started, size


def main() -> None:
    """Export, read back, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder on which the stages have run up to augment")
    root: Path = parser.parse_args().root
    known = ours(root)
    sent = sum(1 for film, copy in known if copy >= 0 or (film, 0) not in known)
    seconds, size = bare(root)
    print(f"bare copy of {size / 1e6:,.0f} MB: {seconds:.2f} s, {len(known) / seconds:,.0f} images/s")
    for to in ("folder", "webdataset", "hf"):
        for jobs in (1, 2):
            seconds = timed(root, to, jobs)
            out = root / f"data/exports/both-{to}"
            written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
            print(
                f"export --to {to}, {jobs} workers: {sent:,} images, {written / 1e6:,.0f} MB, {seconds:.2f} s, "
                f"{sent / seconds:,.0f} images/s"
            )
    print("| how | version | images | pixels equal | labels equal | most levels apart | s |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name, (library, reader) in READERS.items():
        started = time.perf_counter()
        found = compared(known, reader(root))
        print(
            f"| {name} | {version(library)} | {found['images']:,} | {found['pixels']:,} | {found['labels']:,} "
            f"| {found['levels']} | {time.perf_counter() - started:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
