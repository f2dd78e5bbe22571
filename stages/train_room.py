"""Whether a training step fits into the memory at hand, told before anything is loaded, and what would fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stages.contract import StageError
from stages.learning import networks
from stages.learning.footprint import Footprint, footprint
from stages.learning.room import free_on
from stages.train_sources import Sources

if TYPE_CHECKING:
    import torch

    from stages.train import TrainParams


def require_room(params: TrainParams, sources: Sources, device: torch.device, *, ranks: int) -> None:
    """Refuse, before anything is loaded, what cannot fit: a host that runs out of memory kills without a word.

    Args:
        params: of the run.
        sources: what is learned from.
        device: computes.
        ranks: processes that share each batch out.

    Raises:
        StageError: saying what would fit.
    """
    takes, room = _footprint(params, sources, device, ranks), free_on(device)
    if takes.total > room.free:
        raise StageError(
            f"network {params.network}: a step takes about {takes.total / 1e9:.1f} GB, and "
            f"{room.free / 1e9:.1f} GB are free of {room.what}; {would_fit(params, sources, device, ranks)}"
        )


def would_fit(params: TrainParams, sources: Sources, device: torch.device, ranks: int) -> str:
    """Say which batch would fit into the memory that is free, or that none does."""
    largest = _footprint(params, sources, device, ranks).largest_batch(free_on(device).free)
    if not largest:
        return "not even one image at a time would fit; take a smaller network (`cxr-pipeline networks`)"
    parts = math.ceil(_share(params.batch_size, ranks) / largest)
    return f"batch_size {largest * ranks} would fit, or the same batch with accumulation {max(2, parts)}"


def _footprint(params: TrainParams, sources: Sources, device: torch.device, ranks: int) -> Footprint:
    """Return what a process's step takes, on a part of its share of the batch: parts come one after the other."""
    return footprint(
        networks.blank(params.network, sources.frame, len(sources.classes)),
        sources.frame,
        math.ceil(_share(params.batch_size, ranks) / params.accumulation),
        optimizer=params.optimizer,
        momentum=params.momentum,
        averaged=params.ema_decay > 0,
        device=device.type,
    )


def _share(batch_size: int, ranks: int) -> int:
    """Return the most images of a batch that one process gets."""
    return math.ceil(batch_size / ranks)
