"""Where a set lies while a network learns from it: chosen from the memory at hand, or as asked for."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from stages.contract import StageError, Track
from stages.films.frame import Frame
from stages.learning.batches import resident
from stages.learning.room import free_on
from stages.learning.source import Resident, Source
from stages.learning.streamed import Streamed
from stages.stored import StoredImages

Residence = Literal["device", "host", "stream"]
ROOM = 0.5  # share of the free memory that the sets may fill; the network and its batch need the rest


def choose(asked: str, needed: int, device: torch.device, *, sharing: int = 1) -> Residence:
    """Return where sets of so many bytes lie: the first of device, host and disk that has room.

    Args:
        asked: a residence, or `auto`.
        needed: bytes.
        device: computes; each process has one of its own, unless it is the CPU.
        sharing: processes of this host, each of which holds the sets.

    Raises:
        StageError: where they are asked into memory that has no room for them.
    """
    host = free_on(torch.device("cpu")).free // sharing
    room = {"device": host if device.type == "cpu" else free_on(device).free, "host": host}
    if asked in room and needed > room[asked]:
        raise StageError(
            f"residence {asked}: the images need {needed / 1e9:.1f} GB as grey levels, and {room[asked] / 1e9:.1f} GB "
            "are free there; use --residence stream, or auto"
        )
    if asked in get_args(Residence):
        return asked  # type: ignore[return-value]  # one of the literals
    return next((where for where in ("device", "host") if needed <= ROOM * room[where]), "stream")


def placed(
    stored: StoredImages, frame: Frame, residence: Residence, device: torch.device, *, window: int, track: Track
) -> Source:
    """Return the images as a source of batches on the device.

    Args:
        stored: the images.
        frame: of each.
        residence: where they lie.
        device: where batches are wanted.
        window: encoded images held at most, where they stay on the disk.
        track: shows the progress of loading.

    Raises:
        StageError: where an image cannot be decoded or has another frame.
        ManifestError: where a file that an image lies in is missing.
    """
    labels = torch.from_numpy(stored.labels.copy())
    if residence == "stream":
        return Streamed(stored, labels, frame, device, window)
    apart = residence == "host" and device.type == "cuda"
    images = resident(stored.folder, stored.all_places(), frame, track, pinned=apart)
    return Resident(images if apart else images.to(device), labels, device)
