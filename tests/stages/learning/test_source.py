from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.checks import ManifestError
from manifests.rows import NORMALIZED
from stages.contract import StageError
from stages.films.codec import encode
from stages.learning import residence, streamed
from stages.learning.order import batches, epoch_order
from stages.learning.residence import Residence, choose, placed
from stages.learning.room import Room
from stages.learning.source import Source
from stages.stored import StoredImages, usable
from tests.stages.learning.made import FRAME, written

CPU = torch.device("cpu")
COUNT = 50


@contextmanager
def silent(_total: int, *, unit: str) -> Iterator[Callable[..., None]]:
    assert unit == "images"
    yield lambda *_: None


def write(root: Path, layout: str, images: list[bytes]) -> StoredImages:
    folder, rows = written(root, layout, images)
    return usable(folder, NORMALIZED.table(rows), "train")


@pytest.fixture(scope="module", params=["shards", "folder"])
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoredImages:
    """Fifty films, each of one grey level, in thirteen shards or as files."""
    images = [encode(np.full((6, 8), 5 * number, np.uint8), encoding="pgm") for number in range(COUNT)]
    return write(tmp_path_factory.mktemp("films"), request.param, images)


def source(stored: StoredImages, where: Residence, *, window: int = 1000) -> Source:
    return placed(stored, FRAME, where, CPU, window=window, track=silent)


def shown(of: Source, chosen: list[np.ndarray[tuple[int], np.dtype[np.int64]]]) -> list[tuple[list[int], list[int]]]:
    return [((grey[:, 0, 0] // 5).tolist(), labels.tolist()) for grey, labels in of.batches(chosen)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(window=st.integers(1, 60), batch_size=st.integers(1, 20), first=st.integers(0, 3), epoch=st.integers(1, 5))
def test_the_same_batches_come_in_the_same_order_wherever_the_images_lie(
    stored: StoredImages, window: int, batch_size: int, first: int, epoch: int
) -> None:
    order = epoch_order(stored.shards, window=window, seed=1, epoch=epoch)
    chosen = batches(order, batch_size, first=first)

    expected = [(places.tolist(), (places % 3).tolist()) for places in chosen]
    for where in ("device", "host", "stream"):
        assert shown(source(stored, where, window=window), chosen) == expected


def test_a_stream_holds_no_more_encoded_images_than_a_window_and_a_batch(
    stored: StoredImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, most = 0, 0

    class Counted(streamed.Held):
        def take(self) -> bool:
            nonlocal held, most
            taken = super().take()
            held += 1
            most = max(most, held)
            return taken

        def give(self, count: int) -> None:
            nonlocal held
            held -= count
            super().give(count)

    monkeypatch.setattr(streamed, "Held", Counted)
    order = epoch_order(stored.shards, window=12, seed=1, epoch=1)

    assert len(shown(source(stored, "stream", window=12), batches(order, 4))) == 13
    assert 12 <= most <= 12 + 4
    assert held == 0


def test_a_stream_that_nobody_reads_to_its_end_leaves_no_thread(stored: StoredImages) -> None:
    import threading  # noqa: PLC0415 - here alone

    before = threading.active_count()
    stream = source(stored, "stream", window=10).batches(batches(np.arange(COUNT), 4))
    next(stream)
    assert threading.active_count() > before
    stream.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("where", ["device", "stream"])
def test_an_image_of_another_frame_is_named(tmp_path: Path, where: Residence) -> None:
    images = [encode(np.zeros((5 if number == 7 else 6, 8), np.uint8), encoding="pgm") for number in range(9)]
    films = write(tmp_path, "shards", images)

    with pytest.raises(StageError, match=r"train/7\.pgm: 5x8 pixels; expected 6x8"):
        shown(source(films, where), [np.arange(9)])


@pytest.mark.parametrize("where", ["device", "stream"])
def test_a_shard_that_is_gone_is_named(tmp_path: Path, where: Residence) -> None:
    films = write(tmp_path, "shards", [encode(np.zeros((6, 8), np.uint8), encoding="pgm")] * 20)
    (tmp_path / "shards/part-1.parquet").unlink()

    with pytest.raises(ManifestError, match=r"part-1\.parquet"):
        shown(source(films, where), [np.arange(20)])


@pytest.mark.parametrize(
    ("asked", "free", "expected"),
    [("auto", 201, "device"), ("auto", 199, "stream"), ("host", 101, "host"), ("stream", 1, "stream")],
)
def test_the_residence_follows_from_the_memory_at_hand(
    monkeypatch: pytest.MonkeyPatch, asked: str, free: int, expected: str
) -> None:
    monkeypatch.setattr(residence, "free_on", lambda _device: Room(free, "a machine"))

    assert choose(asked, 100, CPU) == expected


def test_processes_of_one_host_share_its_memory_and_each_has_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residence, "free_on", lambda _device: Room(1000, "a machine"))

    assert [choose("auto", 200, CPU, sharing=processes) for processes in (1, 2, 3)] == ["device", "device", "stream"]
    assert choose("auto", 200, torch.device("cuda"), sharing=8) == "device"
    with pytest.raises(StageError, match="residence host"):
        choose("host", 200, torch.device("cuda"), sharing=8)


def test_a_device_with_no_room_leaves_the_images_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residence, "free_on", lambda device: Room({"cuda": 10, "cpu": 1000}[device.type], "a machine"))

    assert choose("auto", 100, torch.device("cuda")) == "host"
    with pytest.raises(StageError, match=r"residence device: the images need .* GB .*use --residence stream"):
        choose("device", 100, torch.device("cuda"))
