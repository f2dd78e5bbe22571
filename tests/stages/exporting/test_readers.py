"""Other people's libraries read what we write: every pixel, class and split of every image, by the real library."""

from __future__ import annotations

import gc
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from PIL import Image

from manifests import store
from stages import paths
from stages.contract import Machine
from stages.films.frame import Gray
from stages.normalize import NormalizeParams
from tests.stages.exporting.conftest import CLASSES
from tests.stages.exporting.made import Key, export, key_of, known, of_both, require_same

LAYOUTS = ("shards", "folder")
Found = dict[Key, tuple[Gray, str, str]]


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return Hugging Face's library, with a cache of its own and no network."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hugging-face")))
    patch.setenv("HF_HUB_OFFLINE", "1")
    import datasets  # noqa: PLC0415 - it reads the environment once

    datasets.disable_progress_bars()
    yield datasets
    patch.undo()


@pytest.fixture(scope="session")
def webdataset() -> Any:
    """Return WebDataset's library."""
    import webdataset  # noqa: PLC0415 - slow

    return webdataset


def decoded(data: bytes) -> Gray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def all_of(rows: list[Any], image: Callable[[Any], Gray]) -> Found:
    found = {key_of(row): (image(row), row["label"], row["split"]) for row in rows}
    assert len(found) == len(rows)
    return found


# --- the shards as they are ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["augmented", "normalized"])
@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_the_shards_as_images(
    roots: dict[str, Path], datasets: Any, of: str, *, streaming: bool
) -> None:
    files = str(roots["shards"] / f"data/{of}/shards/*.parquet")

    rows = datasets.load_dataset("parquet", data_files=files, split="train", streaming=streaming)

    assert rows.features["image"] == datasets.Image()
    assert rows.features["encoded_bytes"] == datasets.Value("int64")
    require_same(all_of([*rows], lambda row: np.asarray(row["image"])), known(roots["shards"], of))


def test_datasets_gives_the_classes_our_numbers_once_it_is_told_their_names(
    roots: dict[str, Path], datasets: Any
) -> None:
    """Left to itself (`class_encode_column`) it numbers them by the alphabet."""
    root = roots["shards"]
    classes = store.read_footer(root / paths.NORMALIZED_MANIFEST).facts["classes"]
    files = str(root / "data/normalized/shards/*.parquet")
    rows = datasets.load_dataset("parquet", data_files=files, split="train")

    labelled = rows.cast_column("label", datasets.ClassLabel(names=classes))

    assert labelled.features["label"].names == classes != sorted(classes)
    assert labelled["label"] == labelled["label_index"]


def test_datasets_leaves_out_the_splits_that_are_not_asked_for(roots: dict[str, Path], datasets: Any) -> None:
    files = str(roots["shards"] / "data/normalized/shards/*.parquet")
    found = datasets.load_dataset("parquet", data_files=files, split="train", filters=[("split", "==", "test")])
    expected = {key for key, (_, _, split) in known(roots["shards"], "normalized").items() if split == "test"}
    assert {key_of(row) for row in found.remove_columns("image")} == expected


@pytest.mark.parametrize("of", ["augmented", "normalized"])
def test_duckdb_reads_the_shards(roots: dict[str, Path], of: str) -> None:
    files = roots["shards"] / f"data/{of}/shards/*.parquet"
    with duckdb.connect() as base:
        rows = base.sql(f"select *, image.bytes as data from '{files}'").to_arrow_table().to_pylist()  # noqa: S608
        ((counted,),) = base.execute(f"select count(*) from '{files}' where label = 'viral'").fetchall()  # noqa: S608
    expected = known(roots["shards"], of)
    require_same(all_of(rows, lambda row: decoded(row["data"])), expected)
    assert counted == sum(label == "viral" for _, label, _ in expected.values())


@pytest.mark.parametrize("of", ["augmented", "normalized"])
def test_pyarrow_reads_the_shards(roots: dict[str, Path], of: str) -> None:
    rows = pyarrow.dataset.dataset(roots["shards"] / f"data/{of}/shards").to_table().to_pylist()
    require_same(all_of(rows, lambda row: decoded(row["image"]["bytes"])), known(roots["shards"], of))


# --- export --to folder --------------------------------------------------------------------------------------------


def by_image_folder(out: Path) -> Found:
    """Read an exported tree by torchvision's ImageFolder, and the rows beside it."""
    from torchvision.datasets import ImageFolder  # noqa: PLC0415 - slow

    index = json.loads((out / "export.json").read_text())
    rows = {row["path"]: row for row in pq.read_table(out / "manifest.parquet").to_pylist()}
    found: Found = {}
    for split in index["splits"]:
        tree = ImageFolder(str(out / split), allow_empty=True)
        for (path, target), (image, _) in zip(tree.samples, tree, strict=True):
            row = rows.pop(Path(path).relative_to(out).as_posix())
            label = index["classes"][index["label_index_of_folder"][tree.classes[target]]]
            assert (label, split) == (row["label"], row["split"])
            found[key_of(row)] = np.asarray(image.convert("L")), label, split
    assert not rows
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_image_folder_reads_the_exported_tree(
    roots: dict[str, Path], machine: Machine, tmp_path: Path, layout: str
) -> None:
    out, report = export(roots[layout], machine, to="folder", out=str(tmp_path / "out"))
    expected = of_both(roots[layout])
    require_same(by_image_folder(out), expected)
    assert report.done == len(expected)


def test_a_class_that_a_split_lacks_has_an_empty_folder_there_so_that_no_class_changes_its_number(
    odd_names: Path, machine: Machine, tmp_path: Path
) -> None:
    from torchvision.datasets import ImageFolder  # noqa: PLC0415 - slow

    out, report = export(odd_names, machine, to="folder", of="normalized", out=str(tmp_path / "out"))

    require_same(by_image_folder(out), known(odd_names, "normalized"))
    train, test = (ImageFolder(str(out / split), allow_empty=True) for split in ("train", "test"))
    assert train.class_to_idx == test.class_to_idx
    assert len(train.classes) == 30
    with pytest.raises(FileNotFoundError, match="Found no valid file for the classes"):
        ImageFolder(str(out / "test"))
    assert any("test holds no image of " in line and "allow_empty=True" in line for line in report.lines)


def test_the_csv_beside_the_tree_says_what_the_parquet_says_and_runs_in_no_spreadsheet(
    odd_names: Path, machine: Machine, tmp_path: Path
) -> None:
    import csv  # noqa: PLC0415 - here alone

    out, _ = export(odd_names, machine, to="folder", of="normalized", out=str(tmp_path / "out"))

    with (out / "manifest.csv").open(newline="", encoding="utf-8") as file:
        told = {row["path"]: row for row in csv.DictReader(file)}
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    assert {"shard", "index"}.isdisjoint(rows[0])
    assert len(told) == len(rows)
    for row in rows:
        assert told[row["path"]]["sha256"] == row["sha256"]
        assert told[row["path"]]["label"] == ("'=1+2" if row["label"] == "=1+2" else row["label"])


# --- export --to webdataset ----------------------------------------------------------------------------------------


def samples_of(urls: str, webdataset: Any) -> list[Any]:
    """Return the samples of some tars; webdataset 1.0 leaves the files to the garbage collector, which warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed file .*tar", ResourceWarning)
        samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
        gc.collect()
    return samples


def by_webdataset(out: Path, webdataset: Any) -> Found:
    """Read exported tars by webdataset."""
    index = json.loads((out / "export.json").read_text())
    found: Found = {}
    for split, told in index["splits"].items():
        samples = samples_of(f"{out}/{told['urls']}", webdataset)
        assert len(samples) == told["images"]
        for sample in samples:
            (image,) = (sample[ending] for ending in ("jpg", "png", "pgm") if ending in sample)
            row = sample["json"]
            assert (row["split"], row["label_index"]) == (split, sample["cls"])
            found[key_of(row)] = np.asarray(image.convert("L")), index["classes"][sample["cls"]], split
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_webdataset_reads_the_exported_tars(
    roots: dict[str, Path], machine: Machine, tmp_path: Path, webdataset: Any, layout: str
) -> None:
    out, _ = export(roots[layout], machine, to="webdataset", files=3, out=str(tmp_path / "out"))
    require_same(by_webdataset(out, webdataset), of_both(roots[layout]))


def test_webdataset_reads_classes_of_any_name(
    odd_names: Path, machine: Machine, tmp_path: Path, webdataset: Any
) -> None:
    out, _ = export(odd_names, machine, to="webdataset", of="normalized", out=str(tmp_path / "out"))
    found = by_webdataset(out, webdataset)
    require_same(found, known(odd_names, "normalized"))
    assert {label for _, label, _ in found.values()} == set(CLASSES)


# --- export --to hf ------------------------------------------------------------------------------------------------


def by_load_dataset(out: Path, datasets: Any, *, streaming: bool = False) -> Found:
    """Read an exported folder by `load_dataset(folder)`."""
    found: Found = {}
    for name, of_split in datasets.load_dataset(str(out), streaming=streaming).items():
        for row in of_split:
            assert row["split"] == {"validation": "val"}.get(name, name)
            label = of_split.features["label"].int2str(row["label"])
            found[key_of(row)] = np.asarray(row["image"]), label, row["split"]
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_load_dataset_reads_the_exported_folder(
    roots: dict[str, Path], machine: Machine, tmp_path: Path, datasets: Any, layout: str
) -> None:
    root = roots[layout]
    out, _ = export(root, machine, to="hf", files=2, licence="cc-by-4.0", out=str(tmp_path / "out"))

    found = datasets.load_dataset(str(out))

    assert set(found) == {"train", "leak_probe", "validation", "test"}
    assert found["train"].features["image"] == datasets.Image()
    classes = store.read_footer(root / paths.NORMALIZED_MANIFEST).facts["classes"]
    assert found["test"].features["label"] == datasets.ClassLabel(names=classes)
    require_same(by_load_dataset(out, datasets), of_both(root))


def test_load_dataset_streams_the_exported_folder_with_classes_of_any_name(
    odd_names: Path, machine: Machine, tmp_path: Path, datasets: Any
) -> None:
    out, _ = export(odd_names, machine, to="hf", of="normalized", files=2, out=str(tmp_path / "out"))
    found = by_load_dataset(out, datasets, streaming=True)
    require_same(found, known(odd_names, "normalized"))
    assert {label for _, label, _ in found.values()} == set(CLASSES)


def test_a_file_of_the_exported_folder_opens_by_itself_with_the_names_of_the_classes(
    roots: dict[str, Path], machine: Machine, tmp_path: Path, datasets: Any
) -> None:
    out, _ = export(roots["shards"], machine, to="hf", split="train", out=str(tmp_path / "out"))
    files = str(out / "data/train-*.parquet")
    rows = datasets.load_dataset("parquet", data_files=files, split="train")
    assert rows.features["label"].names == ["normal", "bacterial", "viral"]


@pytest.mark.real
def test_real_films_come_back_through_load_dataset_and_webdataset(
    machine: Machine,
    normalized_real_films: Callable[[NormalizeParams], Path],
    datasets: Any,
    webdataset: Any,
) -> None:
    root = normalized_real_films(NormalizeParams())
    expected = known(root, "normalized")
    out, _ = export(root, machine, to="hf", of="normalized")
    require_same(by_load_dataset(out, datasets), expected)
    out, _ = export(root, machine, to="webdataset", of="normalized")
    require_same(by_webdataset(out, webdataset), expected)
