"""From manifests and shards to resident grey levels, and from those to batches: a batch is an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from manifests.rows import ImageRow
from manifests.shards import ImageFolder
from stages.contract import StageError, Track
from stages.films.codec import decode
from stages.films.frame import Frame, frame_of

CHUNK = 256  # encoded images held at once: 20 MB of normalized films, 5 MB of JPEG copies
ROOM = 0.5  # share of a device's free memory that a set may fill; the network and its batch need the rest


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images and their classes, all in memory.

    Attributes:
        images: uint8 (images, height, width).
        labels: int64 (images,), on the device of `images`.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


def load(folder: ImageFolder, rows: Sequence[ImageRow], frame: Frame, track: Track) -> ImageSet:
    """Return the rows' images and classes, in the order of the rows, in the host's memory.

    Raises:
        StageError: where an image cannot be decoded or has another frame.
        ManifestError: where a file that a row names is missing.
    """
    labels = torch.tensor([row.label_index for row in rows], dtype=torch.int64)
    return ImageSet(resident(folder, rows, frame, track), labels)


def resident(folder: ImageFolder, rows: Sequence[ImageRow], frame: Frame, track: Track) -> torch.Tensor:
    """Return the rows' grey levels as uint8 (images, height, width), in the order of the rows.

    Raises:
        StageError: where an image cannot be decoded or has another frame.
        ManifestError: where a file that a row names is missing.
    """
    images = np.empty((len(rows), frame.height, frame.width), np.uint8)
    places = {row.path: place for place, row in enumerate(rows)}
    encoded = folder.read_images(rows)
    put = partial(_put, images=images, places=places)
    with ThreadPoolExecutor() as pool, track(len(rows), unit="images") as advance:
        while chunk := list(islice(encoded, CHUNK)):
            for _ in pool.map(put, chunk):
                advance(1)
    return torch.from_numpy(images)


def _put(item: tuple[ImageRow, bytes], *, images: NDArray[np.uint8], places: Mapping[str, int]) -> None:
    """Decode one image into its place."""
    row, data = item
    try:
        image = decode(data)
    except ValueError as error:
        raise StageError(f"{row.path}: {error}; run the stage that wrote it again") from error
    if image.shape != images.shape[1:]:
        found, expected = frame_of(image), frame_of(images[0])
        raise StageError(
            f"{row.path}: {found.height}x{found.width} pixels; expected {expected.height}x{expected.width}; "
            "run normalize and augment again"
        )
    images[places[row.path]] = image


def placed(images: ImageSet, device: torch.device) -> ImageSet:
    """Return the set on the device where there is room for it, else as it is."""
    if device.type != "cuda" or images.images.nbytes > ROOM * torch.cuda.mem_get_info(device)[0]:
        return images
    return ImageSet(images.images.to(device), images.labels.to(device))


def pixel_statistics(images: torch.Tensor) -> tuple[float, float]:
    """Return mean and standard deviation of the grey levels, white being 1; exact, from their histogram."""
    counts = np.zeros(256, np.int64)
    for start in range(0, len(images), CHUNK):
        counts += torch.bincount(images[start : start + CHUNK].flatten(), minlength=256).cpu().numpy()
    levels = np.arange(256) / 255
    mean = float(np.average(levels, weights=counts))
    variance = float(np.average((levels - mean) ** 2, weights=counts))
    # images of one grey level have no spread: half a level keeps the division below from failing
    return mean, max(float(np.sqrt(variance)), 0.5 / 255)


def standardised(images: torch.Tensor, *, mean: float, std: float, device: torch.device) -> torch.Tensor:
    """Return grey levels as float32 (images, 1, height, width) on the device, of mean 0 and deviation 1."""
    levels = images.to(device, non_blocking=True).unsqueeze(1).to(torch.float32)
    return levels.sub_(255 * mean).div_(255 * std)


def shuffled(count: int, *, seed: int, epoch: int) -> torch.Tensor:
    """Return 0..count-1 in an order that seed and epoch alone decide."""
    # raw Philox words: NumPy promises them across versions, and promises no permutation
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(count)
    return torch.from_numpy(np.argsort(words, kind="stable"))


def batches(
    images: ImageSet, batch_size: int, *, order: torch.Tensor | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield grey levels and classes batch by batch, the last one smaller where the set does not divide.

    Args:
        images: the set.
        batch_size: images of a batch.
        order: places of the images; None for the order of the set.
    """
    for start in range(0, len(images), batch_size):
        if order is None:
            yield images.images[start : start + batch_size], images.labels[start : start + batch_size]
        else:
            chosen = order[start : start + batch_size].to(images.images.device)
            yield images.images[chosen], images.labels[chosen]
