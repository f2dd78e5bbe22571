import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.films import decode
from stages.films.chain import Chain
from stages.films.frame import Frame, Gray
from stages.films.geometry import Interpolation, Margins
from stages.films.operations import OPERATIONS, Brightness, Contrast, Flip, Gamma, Operation, Rotate, Shift
from stages.films.placement import fit, place
from stages.learning import online
from stages.learning.online import OnlineSource, draws_of, first_copy

EVERYTHING: tuple[Operation, ...] = (Contrast(), Rotate(), Gamma(), Shift(), Brightness(), Flip())
ONE_EACH = [(operation(),) for operation in OPERATIONS]
SMALL = Frame(height=14, width=18)
COPIES = 3
EVERY_MARGIN = pytest.mark.parametrize("margins", get_args(Margins))
EVERY_INTERPOLATION = pytest.mark.parametrize("interpolation", get_args(Interpolation))


def ids_of(films: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(films)]


def noise(films: int, frame: Frame, seed: int = 0) -> NDArray[np.uint8]:
    """Return films on which every neighbour differs: what is read a pixel off shows."""
    words = np.random.default_rng(seed)
    return words.integers(0, 256, (films, frame.height, frame.width), dtype=np.uint8)


def a_chain(
    operations: tuple[Operation, ...] = EVERYTHING,
    margins: Margins = "cover",
    interpolation: Interpolation = "bilinear",
    frame: Frame = SMALL,
    seed: int = 0,
) -> Chain:
    return Chain(operations, margins, interpolation, frame, seed)


def a_source(chain: Chain | None = None, images: NDArray[np.uint8] | None = None) -> OnlineSource:
    """Return a source of four films, unless told, whose classes are 0, 1, 2, 0, ..."""
    images = noise(4, SMALL) if images is None else images
    chain = a_chain() if chain is None else chain
    labels = torch.arange(len(images)) % 3
    return OnlineSource(torch.from_numpy(images), labels, ids_of(len(images)), chain=chain, copies=COPIES)


def shown(source: OnlineSource, *batches: list[int], epoch: int = 1) -> Gray:
    chosen = [np.array(places, np.int64) for places in batches or [list(range(len(source)))]]
    return np.concatenate([grey.numpy() for grey, _ in source.batches(chosen, epoch=epoch)])


def as_augment_makes_them(images: NDArray[np.uint8], chain: Chain, *, epoch: int = 1) -> Gray:
    """Return the films and their copies by `augment`'s own code, a copy at a time."""
    made_anew: list[Gray] = []
    for film_id, image in zip(ids_of(len(images)), images, strict=True):
        drawn = chain.draws(film_id, COPIES, first=first_copy(epoch, COPIES))
        made_anew.append(image)
        for copy in range(COPIES):
            numbers: Mapping[str, Any] = {name: values[copy] for name, values in drawn.items()}
            made_anew.append(chain.copy(image, chain.matrix(numbers), chain.table(numbers)))
    return np.stack(made_anew)


def differences(one: Gray, other: Gray) -> NDArray[np.int64]:
    return np.asarray(np.abs(one.astype(np.int64) - other), np.int64)


def assert_equal_but_for_rounding(found: Gray, expected: Gray, interpolation: str) -> None:
    """Both read the same places, 1e-5 pixels apart, ours in single precision: at most one pixel in 500 differs.

    A bilinear level may be the next one; a nearest pixel that lies by the border of two may be the other of them.
    OpenCV 5 reads between pixels exactly; OpenCV 4 to the next 1/32, which moves levels by up to 7 on noise.
    """
    off = differences(found, expected)
    assert (off > 0).mean() <= 0.002
    if interpolation == "bilinear":
        assert off.max() <= 1


@settings(max_examples=60)
@given(
    operations=st.sampled_from([EVERYTHING, EVERYTHING[::-1], *ONE_EACH, ()]),
    margins=st.sampled_from(get_args(Margins)),
    interpolation=st.sampled_from(get_args(Interpolation)),
    frame=st.builds(Frame, height=st.integers(8, 40), width=st.integers(8, 40)),
    seed=st.integers(0, 2**32),
    epoch=st.integers(1, 50),
)
def test_what_is_made_on_the_device_is_what_augment_makes(
    operations: tuple[Operation, ...],
    margins: Margins,
    interpolation: Interpolation,
    frame: Frame,
    seed: int,
    epoch: int,
) -> None:
    chain, images = a_chain(operations, margins, interpolation, frame, seed), noise(6, frame, seed)

    found = shown(a_source(chain, images), epoch=epoch)

    assert_equal_but_for_rounding(found, as_augment_makes_them(images, chain, epoch=epoch), interpolation)
    np.testing.assert_array_equal(found[:: 1 + COPIES], images)


@pytest.mark.real
@EVERY_MARGIN
@EVERY_INTERPOLATION
def test_real_films_are_made_as_augment_makes_them(
    real_films: Path, margins: Margins, interpolation: Interpolation
) -> None:
    """At the size of the recipe: fewer than one pixel in 1,000 differs, none by more than a level if bilinear."""
    frame = Frame(height=256, width=300)
    images = []
    for path in sorted((real_films / "kermany-raw").rglob("*.jpeg"))[::48]:
        header, image = decode.decode(path.read_bytes())
        images.append(fit(image, place(header.frame, frame=frame, policy="cover")))
    films, chain = np.stack(images), a_chain(EVERYTHING, margins, interpolation, frame)

    off = differences(shown(a_source(chain, films), epoch=2), as_augment_makes_them(films, chain, epoch=2))

    assert (off > 0).mean() < 0.001
    assert off.mean() < 0.002
    assert off.max() <= (1 if interpolation == "bilinear" else 255)


@EVERY_INTERPOLATION
def test_originals_come_back_as_they_are(interpolation: Interpolation) -> None:
    images = noise(5, SMALL)
    source = a_source(a_chain(margins="black", interpolation=interpolation), images)

    np.testing.assert_array_equal(shown(source, list(range(0, 20, 1 + COPIES)), epoch=3), images)


def test_an_image_depends_on_its_place_and_the_epoch_not_on_the_batch() -> None:
    source = a_source()
    everything = shown(source, epoch=2)

    mixed = np.random.default_rng(0).permutation(len(source)).tolist()

    np.testing.assert_array_equal(shown(source, mixed[:7], mixed[7:8], mixed[8:], epoch=2), everything[mixed])
    np.testing.assert_array_equal(shown(source, [5, 5, 0], epoch=2), everything[[5, 5, 0]])
    np.testing.assert_array_equal(shown(a_source(), epoch=2), everything)


def test_every_epoch_shows_other_copies_of_the_same_films() -> None:
    source = a_source()
    first, second, other = shown(source), shown(source, epoch=2), shown(a_source(a_chain(seed=1)))
    copies = np.arange(len(source)) % (1 + COPIES) > 0

    for one, another in ((first, second), (first, other)):
        assert ((differences(one, another).max(axis=(1, 2)) > 0) == copies).all()
    np.testing.assert_array_equal(shown(source), first)


def test_nothing_is_drawn_twice() -> None:
    chain = a_chain()
    epochs = [
        draws_of(ids_of(5), chain, COPIES, first=first_copy(epoch, COPIES)).maps.reshape(5, 1 + COPIES, 6)[:, 1:]
        for epoch in range(1, 9)
    ]

    assert len(np.unique(torch.cat(epochs).reshape(-1, 6).numpy(), axis=0)) == 8 * 5 * COPIES


def test_labels_are_those_of_the_films() -> None:
    source = a_source()

    (_, labels), *others = list(source.batches([np.array([15, 0, 4, 7])]))

    assert not others
    assert labels.tolist() == [0, 0, 1, 1]
    assert labels.dtype == source.labels.dtype == torch.int64
    assert source.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [0] * 4
    assert len(source) == 16


def test_batches_are_grey_levels_of_the_batchs_shape() -> None:
    """An empty one too: the last batch of an epoch may be too small for all devices."""
    source = a_source()

    shapes = [(grey.shape, grey.dtype) for grey, _ in source.batches([np.arange(5), np.arange(1), np.arange(0)])]

    assert shapes == [((5, 14, 18), torch.uint8), ((1, 14, 18), torch.uint8), ((0, 14, 18), torch.uint8)]


def test_no_copies_and_no_operations_are_the_films() -> None:
    images = noise(3, SMALL)
    alone = OnlineSource(
        torch.from_numpy(images), torch.zeros(3, dtype=torch.int64), ids_of(3), chain=a_chain(), copies=0
    )

    np.testing.assert_array_equal(shown(alone), images)
    np.testing.assert_array_equal(shown(a_source(a_chain((), "black"), images)), images.repeat(1 + COPIES, axis=0))


def test_an_epoch_is_drawn_once_and_ahead_of_its_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, bool]] = []

    def watched(*told: Any, first: int) -> online.Draws:
        drawn.append((first, threading.current_thread() is threading.main_thread()))
        return draws_of(*told, first=first)

    monkeypatch.setattr(online, "draws_of", watched)
    source = a_source()
    for epoch in (1, 2, 3):
        shown(source, epoch=epoch)

    assert drawn == [(1, True), (4, False), (7, False), (10, False)]


def test_what_fails_in_the_thread_fails_in_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*told: Any, first: int) -> online.Draws:
        if first > 1:
            raise ValueError("no such draw")
        return draws_of(*told, first=first)

    monkeypatch.setattr(online, "draws_of", failing)

    with pytest.raises(ValueError, match="no such draw"):
        shown(a_source())


def test_an_abandoned_iterator_ends_its_thread_and_the_next_epoch_is_drawn_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where much is left to be drawn: the thread looks up between blocks of films."""
    expected = shown(a_source(), epoch=2)
    monkeypatch.setattr(online, "FILMS_AT_ONCE", 1)
    started, go_on = threading.Event(), threading.Event()
    drawn: list[int] = []

    def waiting(film_ids: list[str], *told: Any, first: int) -> online.Draws:
        if threading.current_thread() is not threading.main_thread():
            drawn.append(first)
            started.set()
            assert go_on.wait(60)
        return draws_of(film_ids, *told, first=first)

    monkeypatch.setattr(online, "draws_of", waiting)
    source = a_source()
    batches = source.batches([np.arange(3), np.arange(3)])
    next(batches)
    assert started.wait(60)
    threading.Timer(0.05, go_on.set).start()
    batches.close()

    assert drawn == [4]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("draws")]
    np.testing.assert_array_equal(shown(source, epoch=2), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EVERY_MARGIN
@EVERY_INTERPOLATION
def test_cuda_makes_the_images_that_the_cpu_makes(margins: Margins, interpolation: Interpolation) -> None:
    frame = Frame(height=256, width=300)
    images, chain = noise(8, frame), a_chain(EVERYTHING, margins, interpolation, frame)
    labels = torch.zeros(8, dtype=torch.int64)
    source = OnlineSource(torch.from_numpy(images).cuda(), labels, ids_of(8), chain=chain, copies=COPIES)

    ((grey, classes),) = source.batches([np.arange(len(source))], epoch=2)

    assert grey.device.type == classes.device.type == "cuda"
    assert_equal_but_for_rounding(grey.cpu().numpy(), as_augment_makes_them(images, chain, epoch=2), interpolation)
