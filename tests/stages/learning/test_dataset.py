"""Our own Dataset for people with their own loop: every image, by number and as a stream, in workers of both kinds."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed
from torch.utils.data import DataLoader

from manifests import store
from manifests.checks import ManifestError
from manifests.rows import NORMALIZED
from stages import paths
from stages.contract import StageError
from stages.drawn import AUGMENTED
from stages.learning.dataset import EpochSampler, FilmDataset, FilmStream
from tests.stages.exporting.made import key_of, known

SPLITS = ("train", "leak_probe", "val", "test")
LAYOUTS = ("shards", "folder")


def named(_grey: torch.Tensor) -> int:
    """Stand in for a transform: pickled to spawned workers, it must lie in a module."""
    return int(_grey.sum())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("of", ["augmented", "normalized"])
def test_it_gives_every_image_of_every_split_with_its_class_and_row(
    roots: dict[str, Path], layout: str, of: Any
) -> None:
    expected = known(roots[layout], of)
    found = {}
    for split in SPLITS if of == "normalized" else SPLITS[:1]:
        films = FilmDataset(roots[layout], of=of, split=split)  # type: ignore[arg-type]  # a split
        for number in range(len(films)):
            grey, label = films[number]
            row = films.row(number)
            assert films.labels[number] == label == row["label_index"]
            assert films.groups[number] == row["group_id"]
            assert grey.shape == (1, films.frame.height, films.frame.width)
            found[key_of(row)] = grey[0].numpy(), films.classes[label], row["split"]
    assert found.keys() == expected.keys()
    for key, (pixels, label_name, split) in expected.items():
        np.testing.assert_array_equal(found[key][0], pixels)
        assert found[key][1:] == (label_name, split)


@pytest.mark.parametrize(("how", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_of_both_kinds_give_what_the_process_itself_gives(
    roots: dict[str, Path], how: str, workers: int
) -> None:
    films = FilmDataset(roots["shards"], transform=named)
    expected = [films[number] for number in range(len(films))]  # the files are open when the workers are forked
    loader: DataLoader[Any] = DataLoader(films, batch_size=16, num_workers=workers, multiprocessing_context=how)
    assert [(int(each), int(label)) for batch in loader for each, label in zip(*batch, strict=True)] == expected


def test_a_forked_process_opens_files_of_its_own(roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    films = FilmDataset(roots["shards"])
    own = films.own_shelf()
    assert films.own_shelf() is own
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert films.own_shelf() is not own


def test_a_batch_comes_in_the_order_in_which_it_is_asked_for(roots: dict[str, Path]) -> None:
    films = FilmDataset(roots["shards"])
    numbers = [40, 0, -1, 41, 0, 7]
    for (grey, label), number in zip(films.__getitems__(numbers), numbers, strict=True):
        assert torch.equal(grey, films[number][0])
        assert label == films[number][1]


def test_what_a_process_holds_of_the_files_is_bounded_and_changes_nothing(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.learning.shelf.FILES_OPEN", 1)
    held, bare = FilmDataset(roots["shards"]), FilmDataset(roots["shards"], held_bytes=0)
    for number in (0, len(held) - 1, 5, len(held) - 2, 0):
        assert torch.equal(held[number][0], bare[number][0])
    assert bare.own_shelf().held == {"files": 1, "groups": 1}
    assert held.own_shelf().held["groups"] > 1
    assert pickle.loads(pickle.dumps(held)).own_shelf().held == {"files": 0, "groups": 0}  # noqa: S301 - our own


@pytest.mark.parametrize("of", ["augmented", "normalized"])
def test_an_epoch_shows_every_image_once_in_another_order_than_the_next(roots: dict[str, Path], of: Any) -> None:
    films = FilmDataset(roots["shards"], of=of)
    sampler = EpochSampler(films, window=8)
    orders = []
    for epoch in (1, 2, 1):
        sampler.set_epoch(epoch)
        orders.append([*sampler])
        assert sorted(orders[-1]) == [*range(len(films))]
        assert len(sampler) == len(films)
    assert orders[0] == orders[2] != orders[1]


def test_an_epoch_of_one_copy_a_film_shows_each_film_once_and_other_copies_in_the_next(roots: dict[str, Path]) -> None:
    films = FilmDataset(roots["shards"])
    sampler = EpochSampler(films, copies="one")
    shown: Counter[int] = Counter()
    for epoch in range(1, 31):
        sampler.set_epoch(epoch)
        order = [*sampler]
        assert len(order) == len(sampler) == len(films) // 3
        assert len({films.row(number)["film_id"] for number in order}) == len(order)
        shown.update(int(films.row(number)["copy"]) for number in order)
    of_each = sum(shown.values()) / 3
    assert all(abs(shown[copy] - of_each) < 5 * (of_each * 2 / 3) ** 0.5 for copy in (0, 1, 2))  # five deviations


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("copies", ["all", "one"])
def test_a_stream_shows_an_epochs_images_once_however_many_workers_read_it(
    roots: dict[str, Path], workers: int, copies: Any
) -> None:
    films, stream = FilmDataset(roots["shards"]), FilmStream(roots["shards"], copies=copies, window=20)
    stream.set_epoch(3)
    loader: DataLoader[Any] = DataLoader(stream, batch_size=8, num_workers=workers)
    found = [(grey[0].numpy().tobytes(), int(label)) for batch in loader for grey, label in zip(*batch, strict=True)]
    expected = [films[number] for number in films.chosen(copies, seed=0, epoch=3)]
    assert sorted(found) == sorted((grey[0].numpy().tobytes(), label) for grey, label in expected)
    assert found != [(grey[0].numpy().tobytes(), label) for grey, label in expected]


def test_processes_that_train_together_share_an_epoch_out(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 4)
    films, orders, streamed = FilmDataset(roots["shards"]), [], 0
    for rank in range(4):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        orders.append([*EpochSampler(films)])
        streamed += len([*FilmStream(roots["shards"])])
    assert {len(order) for order in orders} == {len(films) // 4}
    together = [number for order in orders for number in order]
    assert len(set(together)) == len(together) > len(films) - 4
    assert streamed == len(films)


def test_images_that_cannot_be_read_are_named(roots: dict[str, Path], tmp_path: Path) -> None:
    root = shutil.copytree(roots["shards"], tmp_path / "root")
    films = FilmDataset(root, of="normalized", split="test")
    shard = next((root / "data/normalized/shards").iterdir())
    shard.write_bytes(b"PAR1 and no more")
    with pytest.raises(ManifestError, match=rf"{shard.name}: cannot be read .* run the stage"):
        films.__getitems__([*range(len(films))])
    with pytest.raises(IndexError):
        films[len(films)]
    with pytest.raises(StageError, match=r"augmented/manifest\.parquet: holds no usable image of split val"):
        FilmDataset(root, split="val")
    with pytest.raises(ManifestError, match="not found; run the stage that writes it first"):
        FilmStream(tmp_path / "nowhere")


def test_films_without_an_image_are_no_part_of_the_set(roots: dict[str, Path], tmp_path: Path) -> None:
    from dataclasses import replace  # noqa: PLC0415 - here alone

    root = shutil.copytree(roots["shards"], tmp_path / "root")
    path = root / paths.AUGMENTED_MANIFEST
    footer, rows = store.read_footer(path), store.read(AUGMENTED, path)
    nothing: dict[str, Any] = dict.fromkeys(field.name for field in AUGMENTED.fields if field.column.if_ok)
    rows[4] = replace(rows[4], status="crashed", reason="ended", shard=None, index=None, **nothing)
    store.write(rows, AUGMENTED, path, footer)
    films = FilmDataset(root)
    assert len(films) == len(rows) - 1
    assert [films.row(number)["path"] for number in (3, 4)] == [rows[3].path, rows[5].path]
    assert store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
