"""Fresh copies in every epoch, drawn ahead on the host and made on the device: a batch is an index and one warp."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from stages.films import geometry
from stages.films.chain import Chain
from stages.films.frame import Frame, Matrix
from stages.films.geometry import Margins
from stages.films.operations import LEVELS
from stages.learning.order import Places
from stages.learning.prefetch import Batch

FILMS_AT_ONCE = 256  # whose tables are made in one go: 10 MB at 20 copies, in double precision
PADDING: Mapping[Margins, str] = {  # OpenCV's borders by the names of `grid_sample`, corners being pixels' centres
    "black": "zeros",
    "cover": "zeros",
    "reflect": "reflection",
    "replicate": "border",
}


@dataclass(frozen=True, slots=True)
class Draws:
    """What makes the images of one epoch, in the order of their places.

    Attributes:
        maps: float32 (images, 2, 3), from output to input, both -1 to 1 from the first pixel's centre to the last's.
        tables: uint8 (images, 256), the new grey level of each grey level.
    """

    maps: torch.Tensor
    tables: torch.Tensor

    def to(self, device: torch.device) -> Draws:
        """Return them on the device."""
        return Draws(self.maps.to(device), self.tables.to(device))


def first_copy(epoch: int, copies: int) -> int:
    """Return the number, among all copies of a film, of an epoch's first; epoch 1 has those of the augmented set."""
    return (epoch - 1) * copies + 1


def draws_of(film_ids: Sequence[str], chain: Chain, copies: int, *, first: int) -> Draws:
    """Return what makes each film's original and as many copies of it, from the first on; numbers as `augment`'s."""
    shape = (len(film_ids), copies)
    drawn = chain.draws_of_films(film_ids, copies, first=first)
    matrices = np.empty((len(film_ids), 1 + copies, 2, 3))
    matrices[:, 0] = geometry.identity()
    matrices[:, 1:] = np.broadcast_to(chain.matrix(drawn), (*shape, 2, 3))
    tables = np.empty((len(film_ids), 1 + copies, len(LEVELS)), np.uint8)
    tables[:, 0] = LEVELS
    tables[:, 1:] = np.broadcast_to(chain.table(drawn), (*shape, len(LEVELS)))
    maps = normalised(matrices.reshape(-1, 2, 3), chain.frame)
    return Draws(torch.from_numpy(maps), torch.from_numpy(tables.reshape(-1, len(LEVELS))))


def normalised(matrices: Matrix, frame: Frame) -> NDArray[np.float32]:
    """Return matrices, (images, 2, 3), for places that run from -1 to 1 instead of from 0 to the last pixel."""
    half = np.array([frame.width - 1, frame.height - 1]) / 2
    linear = matrices[..., :2] * half / half[:, None]
    offset = ((matrices[..., :2] @ half) + matrices[..., 2]) / half - 1
    return np.concatenate([linear, offset[..., None]], axis=-1).astype(np.float32)


def made(films: torch.Tensor, draws: Draws, *, padding: str, interpolation: str) -> torch.Tensor:
    """Return the images that a table and a map each make of films, in this order, as `Chain.copy` does.

    Args:
        films: uint8 (images, height, width).
        draws: of as many images, on the films' device.
        padding: as `grid_sample` names it.
        interpolation: nearest or bilinear.
    """
    count, height, width = films.shape
    levels = films.flatten(1).to(torch.int64)  # indices, as `gather` wants them
    grey = draws.tables.to(torch.float32).gather(1, levels)
    warped = grid_sample(
        grey.view(count, 1, height, width),
        _places_read(draws.maps, height, width),
        mode=interpolation,
        padding_mode=padding,
        align_corners=True,  # so that `reflection` is OpenCV's 101: the outer pixels are not doubled
    )
    return warped.squeeze(1).round_().to(torch.uint8)


def _places_read(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return where each output pixel is read, float32 (images, height, width, 2).

    Not by `affine_grid`: it multiplies matrices, which a GPU may round to 10 bits, a tenth of a pixel.
    """
    across = torch.linspace(-1, 1, width, device=maps.device)
    down = torch.linspace(-1, 1, height, device=maps.device)
    terms = maps[:, :, :, None, None]
    of_row = torch.addcmul(terms[:, :, 2], terms[:, :, 1], down[:, None])
    return torch.addcmul(of_row, terms[:, :, 0], across).permute(0, 2, 3, 1)


class OnlineSource:
    """Films and as many copies of each, drawn anew for every epoch; as long as the augmented set of the same films.

    Place `film * (1 + copies) + k` shows, in epoch e, the film itself where k is 0, else its copy number
    `first_copy(e, copies) + k - 1` by the numbers that `augment` would draw for it. What is drawn for an epoch takes
    280 bytes an image, on the device; the next epoch's is drawn by a thread while this one is used.

    Attributes:
        labels: int64 (images,), on the CPU.
    """

    def __init__(
        self, images: torch.Tensor, labels: torch.Tensor, film_ids: Sequence[str], *, chain: Chain, copies: int
    ) -> None:
        """Take the films.

        Args:
            images: uint8 (films, height, width), on the device where batches are wanted.
            labels: int64 (films,).
            film_ids: of each film, the hash that keys its draws.
            chain: the recipe.
            copies: of each film, beside the original.
        """
        assert len(images) == len(labels) == len(film_ids)
        self.labels = labels.cpu().repeat_interleave(1 + copies)
        self._images, self._labels = images, labels.to(images.device)
        self._film_ids, self._chain, self._copies = film_ids, chain, copies
        self._ahead: tuple[int, Draws] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, chosen: Iterable[Places], *, epoch: int = 1) -> Generator[Batch, None, None]:
        """Yield, for each array of places, grey levels uint8 (n, height, width) and classes int64 (n,), on the device.

        Who stops early closes the iterator, or lets go of it: the thread that draws ahead then ends.
        """
        draws = self._draws(epoch).to(self._images.device)
        stopped = Event()
        with ThreadPoolExecutor(1, thread_name_prefix="draws") as pool:
            ahead = pool.submit(self._draw, epoch + 1, stopped)
            try:
                for places in chosen:
                    yield self._batch(places, draws)
            except BaseException:
                stopped.set()
                raise
        self._ahead = epoch + 1, ahead.result()  # raises here what the thread raised

    def _batch(self, places: Places, draws: Draws) -> Batch:
        index = torch.from_numpy(places).to(self._images.device)
        films = index // (1 + self._copies)
        grey = made(
            self._images[films],
            Draws(draws.maps[index], draws.tables[index]),
            padding=PADDING[self._chain.margins],
            interpolation=self._chain.interpolation,
        )
        return grey, self._labels[films]

    def _draws(self, epoch: int) -> Draws:
        """Return what makes an epoch's images: drawn ahead where the epoch before it ran to its end, else now."""
        ahead, self._ahead = self._ahead, None
        return ahead[1] if ahead and ahead[0] == epoch else self._draw(epoch, Event())

    def _draw(self, epoch: int, stopped: Event) -> Draws:
        parts = []
        for start in range(0, len(self._film_ids), FILMS_AT_ONCE):
            if stopped.is_set():
                raise CancelledError
            film_ids = self._film_ids[start : start + FILMS_AT_ONCE]
            parts.append(draws_of(film_ids, self._chain, self._copies, first=first_copy(epoch, self._copies)))
        return Draws(torch.cat([part.maps for part in parts]), torch.cat([part.tables for part in parts]))
