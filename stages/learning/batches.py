"""From encoded bytes to grey levels in memory, and from those to what a network takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from manifests.shards import ImageFolder, Stored
from stages.contract import StageError, Track
from stages.films.codec import decode
from stages.films.frame import Frame, Gray, frame_of

CHUNK = 256  # encoded images held at once: 20 MB of normalized films, 5 MB of JPEG copies


def resident(
    folder: ImageFolder, images: Sequence[Stored], frame: Frame, track: Track, *, pinned: bool = False
) -> torch.Tensor:
    """Return the images' grey levels as uint8 (images, height, width), in their order, in the host's memory.

    Args:
        folder: where they lie.
        images: which.
        frame: of each.
        track: shows progress.
        pinned: whether a CUDA device shall be able to fetch from this memory by itself.

    Raises:
        StageError: where an image cannot be decoded or has another frame.
        ManifestError: where a file that an image lies in is missing.
    """
    grey = torch.empty((len(images), frame.height, frame.width), dtype=torch.uint8, pin_memory=pinned)
    levels = grey.numpy()
    positions = {image.path: position for position, image in enumerate(images)}
    encoded = folder.read_images(images)
    put = partial(_put, levels=levels, positions=positions, frame=frame)
    with ThreadPoolExecutor() as pool, track(len(images), unit="images") as advance:
        while chunk := list(islice(encoded, CHUNK)):
            for _ in pool.map(put, chunk):
                advance(1)
    return grey


def _put(item: tuple[Stored, bytes], *, levels: NDArray[np.uint8], positions: Mapping[str, int], frame: Frame) -> None:
    """Decode one image into its place."""
    image, data = item
    levels[positions[image.path]] = decoded(image.path, data, frame)


def decoded(path: str, data: bytes, frame: Frame) -> Gray:
    """Return an image's grey levels.

    Raises:
        StageError: where it cannot be decoded or has another frame.
    """
    try:
        image = decode(data)
    except ValueError as error:
        raise StageError(f"{path}: {error}; run the stage that wrote it again") from error
    if frame_of(image) != frame:
        found = frame_of(image)
        raise StageError(
            f"{path}: {found.height}x{found.width} pixels; expected {frame.height}x{frame.width}; "
            "run normalize and augment again"
        )
    return image


def pixel_statistics(images: Iterable[torch.Tensor]) -> tuple[float, float]:
    """Return mean and standard deviation of the grey levels, white being 1; exact, from their histogram.

    Args:
        images: batches of grey levels, uint8, on any device.
    """
    counts = np.zeros(256, np.int64)
    for part in images:
        counts += torch.bincount(part.flatten(), minlength=256).cpu().numpy()
    levels = np.arange(256) / 255
    mean = float(np.average(levels, weights=counts))
    variance = float(np.average((levels - mean) ** 2, weights=counts))
    # images of one grey level have no spread: half a level keeps the division below from failing
    return mean, max(float(np.sqrt(variance)), 0.5 / 255)


def standardised(images: torch.Tensor, *, mean: float, std: float, device: torch.device) -> torch.Tensor:
    """Return grey levels as float32 (images, 1, height, width) on the device, of mean 0 and deviation 1.

    One kernel converts, scales and shifts: PyTorch computes a byte tensor beside a float scalar in float32.
    """
    shift = torch.tensor(-mean / std, dtype=torch.float32, device=device)
    levels = images.to(device, non_blocking=True).unsqueeze(1)
    return torch.add(shift, levels, alpha=1 / (255 * std))
